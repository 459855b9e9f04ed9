//! The ids of topics (KIP-516): what tells a topic from one of the same name that was made later.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;

use super::reader::Reader;
use crate::fault::{Fault, Operation};

/// Asks for the ids of these topics; those that the cluster does not know, or tells no id of, are left out.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`.
pub fn topic_ids<'a>(
    reader: &Reader,
    topics: impl IntoIterator<Item = &'a str>,
    within: Duration,
) -> Result<BTreeMap<String, String>, Fault> {
    let names: Vec<CString> = topics
        .into_iter()
        .map(|name| CString::new(name).map_err(|_nul| Fault::name(name)))
        .collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let native = reader.client().client().native_ptr();
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    let deadline = Instant::now() + within + Duration::from_secs(1);
    // SAFETY: every object made here is destroyed here, the event after the last look at its contents; the names and
    // the client outlive the block.
    unsafe {
        let queue = rdsys::rd_kafka_queue_new(native);
        let options = rdsys::rd_kafka_AdminOptions_new(
            native,
            rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut text = [0_i8; 256];
        rdsys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis,
            text.as_mut_ptr().cast(),
            text.len(),
        );
        let collection =
            rdsys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rdsys::rd_kafka_DescribeTopics(native, collection, options, queue);
        let wait = i32::try_from(
            deadline
                .saturating_duration_since(Instant::now())
                .as_millis(),
        )
        .unwrap_or(i32::MAX);
        let event = rdsys::rd_kafka_queue_poll(queue, wait);
        let answer = if event.is_null() {
            Err(Fault::TimedOut {
                operation: Operation::Metadata,
                subject: reader.client_alias(),
                within,
            })
        } else {
            let code = rdsys::rd_kafka_event_error(event);
            if code == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                Ok(ids_of(event))
            } else {
                let reason = CStr::from_ptr(rdsys::rd_kafka_event_error_string(event))
                    .to_string_lossy()
                    .into_owned();
                Err(Fault::code(
                    Operation::Metadata,
                    &reader.client_alias(),
                    RDKafkaErrorCode::from(code),
                    reason,
                ))
            }
        };
        if !event.is_null() {
            rdsys::rd_kafka_event_destroy(event);
        }
        rdsys::rd_kafka_TopicCollection_destroy(collection);
        rdsys::rd_kafka_AdminOptions_destroy(options);
        rdsys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is a live result event of `DescribeTopics` without an error.
unsafe fn ids_of(event: *mut rdsys::rd_kafka_event_t) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    // SAFETY: the result and its descriptions live as long as the event; the text of an id lives as long as the id.
    unsafe {
        let result = rdsys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0_usize;
        let topics = rdsys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let error = rdsys::rd_kafka_TopicDescription_error(topic);
            let refused = !error.is_null()
                && rdsys::rd_kafka_error_code(error)
                    != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            let id = rdsys::rd_kafka_TopicDescription_topic_id(topic);
            if refused || id.is_null() {
                continue;
            }
            let zero = rdsys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && rdsys::rd_kafka_Uuid_least_significant_bits(id) == 0;
            if zero {
                continue;
            }
            let name = CStr::from_ptr(rdsys::rd_kafka_TopicDescription_name(topic));
            let id = CStr::from_ptr(rdsys::rd_kafka_Uuid_base64str(id));
            if let (Ok(name), Ok(id)) = (name.to_str(), id.to_str()) {
                ids.insert(name.to_owned(), id.to_owned());
            }
        }
    }
    ids
}
