//! The ids of topics (KIP-516): what tells a topic from one of the same name that was made later.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka_sys as rdsys;

use super::call::{ask, c_string};
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
    let names: Vec<CString> = topics.into_iter().map(c_string).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: one call of that kind, about a collection that is destroyed after it was sent; nothing of the event is
    // kept.
    unsafe {
        ask(
            reader,
            Operation::Metadata,
            rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            within,
            |call| {
                let collection = rdsys::rd_kafka_TopicCollection_of_topic_names(
                    pointers.as_mut_ptr(),
                    pointers.len(),
                );
                rdsys::rd_kafka_DescribeTopics(call.native, collection, call.options, call.queue);
                rdsys::rd_kafka_TopicCollection_destroy(collection);
            },
            |event| Ok(ids_of(event)),
        )
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
