//! The places that a consumer group has committed.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use understudy_domain::TopicPartition;

use super::reader::Reader;
use crate::fault::{Fault, Operation};

/// The next record that a group reads, by partition; partitions that the broker answered with an error hold that
/// error. Partitions without a committed place are absent.
pub type GroupPlaces = BTreeMap<TopicPartition, Result<i64, RDKafkaErrorCode>>;

/// What is waited beyond the request's own time limit, so that librdkafka's answer is told rather than ours.
const GRACE: Duration = Duration::from_secs(1);

/// Asks for every place of one group (`ListConsumerGroupOffsets`); librdkafka takes one group a call.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`.
pub fn group_places(reader: &Reader, group: &str, within: Duration) -> Result<GroupPlaces, Fault> {
    let name = CString::new(group).map_err(|_nul| Fault::name(group))?;
    let native = reader.client().client().native_ptr();
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: every object made here is destroyed here, the event after the last look at its contents; the client
    // outlives the block, and the call copies what it is asked about.
    unsafe {
        let queue = rdsys::rd_kafka_queue_new(native);
        let options = rdsys::rd_kafka_AdminOptions_new(
            native,
            rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
        );
        let mut text = [0_i8; 256];
        rdsys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(within),
            text.as_mut_ptr().cast(),
            text.len(),
        );
        // No list of partitions means all.
        let mut asked =
            rdsys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), std::ptr::null());
        rdsys::rd_kafka_ListConsumerGroupOffsets(native, &raw mut asked, 1, options, queue);
        let event = rdsys::rd_kafka_queue_poll(queue, millis(within + GRACE));
        let answer = if event.is_null() {
            Err(Fault::TimedOut {
                operation: Operation::GroupOffsets,
                subject: group.to_owned(),
                within,
            })
        } else {
            let code = rdsys::rd_kafka_event_error(event);
            if code == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                places_of(event, group)
            } else {
                let reason = CStr::from_ptr(rdsys::rd_kafka_event_error_string(event))
                    .to_string_lossy()
                    .into_owned();
                let code = RDKafkaErrorCode::from(code);
                Err(Fault::code(Operation::GroupOffsets, group, code, reason))
            }
        };
        if !event.is_null() {
            rdsys::rd_kafka_event_destroy(event);
        }
        rdsys::rd_kafka_ListConsumerGroupOffsets_destroy(asked);
        rdsys::rd_kafka_AdminOptions_destroy(options);
        rdsys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is a live result event of `ListConsumerGroupOffsets` without an error.
unsafe fn places_of(event: *mut rdsys::rd_kafka_event_t, name: &str) -> Result<GroupPlaces, Fault> {
    let mut places = GroupPlaces::new();
    // SAFETY: the result, its groups and their partitions live as long as the event.
    unsafe {
        let result = rdsys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let mut count = 0_usize;
        let groups = rdsys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        for at in 0..count {
            let group = *groups.add(at);
            let error = rdsys::rd_kafka_group_result_error(group);
            if !error.is_null() {
                let code = RDKafkaErrorCode::from(rdsys::rd_kafka_error_code(error));
                return Err(Fault::kafka_code(Operation::GroupOffsets, name, code));
            }
            let list = rdsys::rd_kafka_group_result_partitions(group);
            if list.is_null() {
                continue;
            }
            let length = usize::try_from((*list).cnt).unwrap_or_default();
            for at in 0..length {
                let place = &*(*list).elems.add(at);
                let Ok(topic) = CStr::from_ptr(place.topic).to_str() else {
                    continue;
                };
                let partition = TopicPartition::new(topic, place.partition);
                if place.err != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    places.insert(partition, Err(RDKafkaErrorCode::from(place.err)));
                } else if place.offset >= 0 {
                    places.insert(partition, Ok(place.offset));
                }
            }
        }
    }
    Ok(places)
}
