//! The client for admin calls, and offsets of many partitions in one call, by isolation level.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys as rdsys;
use understudy_domain::TopicPartition;

use super::call::{Asked, ask_each};
use super::code::code_at;
use super::login::Enlisted;
use super::reader::Reader;
use crate::endpoint::Endpoint;
use crate::fault::{Fault, Operation};
use crate::watch::Watch;

/// How many events are let go at a time.
const EVENTS_MAX: usize = 10_000;

/// The safe crate's admin client, with a login that is renewed although nobody polls it.
pub struct Admin {
    // Order of fields is order of drop.
    _enlisted: Enlisted<'static>,
    client: AdminClient<Watch>,
}

impl Admin {
    /// A client for admin calls; connects in the background.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn open(endpoint: &Endpoint) -> Result<Self, Fault> {
        let client: AdminClient<Watch> = endpoint
            .admin()
            .create_with_context(endpoint.watch.clone())
            .map_err(|error| Fault::kafka(Operation::OpenClient, &endpoint.alias, error))?;
        let native = client.inner().native_ptr();
        Ok(Self {
            // SAFETY: dropped before the client.
            _enlisted: unsafe { endpoint.watch.logins().enlist_native(native) },
            client,
        })
    }

    /// The client.
    pub fn client(&self) -> &AdminClient<Watch> {
        self.drain();
        &self.client
    }

    /// Lets go of log lines and error events: the safe crate serves the queue of calls only, and they would pile up.
    /// What matters of them comes again as the answer to a call.
    fn drain(&self) {
        // SAFETY: the client is live; queue and events got here are given back here.
        unsafe {
            let queue = rdsys::rd_kafka_queue_get_main(self.client.inner().native_ptr());
            for _ in 0..EVENTS_MAX {
                let event = rdsys::rd_kafka_queue_poll(queue, 0);
                if event.is_null() {
                    break;
                }
                rdsys::rd_kafka_event_destroy(event);
            }
            rdsys::rd_kafka_queue_destroy(queue);
        }
    }
}

/// How many partitions one call asks for. librdkafka looks each one up in the list of the call, from its beginning: with a
/// thousand in one call that took half of an idle worker's time.
const AT_ONCE: usize = 100;

/// Which edge of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The log start offset.
    Earliest,
    /// The last stable offset: where a `read_committed` reader ends.
    LastStable,
    /// The high watermark: where a `read_uncommitted` reader ends.
    HighWatermark,
    /// The first record with this timestamp or a later one, in milliseconds since 1970; −1 where there is none.
    Since(i64),
}

/// The offsets of an edge, by partition; partitions the broker answered with an error hold that error.
pub type Edges = BTreeMap<TopicPartition, Result<i64, RDKafkaErrorCode>>;

/// Asks for one edge of each partition (`ListOffsets`), a hundred of them in one call, and all calls at once.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`.
pub fn list_offsets<'a>(
    reader: &Reader,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    edge: Edge,
    within: Duration,
) -> Result<Edges, Fault> {
    let spec = match edge {
        Edge::Earliest => Offset::Beginning,
        Edge::LastStable | Edge::HighWatermark => Offset::End,
        Edge::Since(ms) => Offset::Offset(ms),
    };
    let mut lists: Vec<TopicPartitionList> = Vec::new();
    for partition in partitions {
        if lists.last().is_none_or(|list| list.count() >= AT_ONCE) {
            lists.push(TopicPartitionList::new());
        }
        if let Some(list) = lists.last_mut() {
            // The offset by the entry itself: by its name each would be looked for among all.
            list.add_partition(&partition.topic, partition.partition)
                .set_offset(spec)
                .map_err(|error| Fault::kafka(Operation::ListOffsets, &partition.topic, error))?;
        }
    }
    let level = match edge {
        Edge::LastStable => {
            rdsys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
        }
        Edge::Earliest | Edge::HighWatermark | Edge::Since(_) => {
            rdsys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
        }
    };
    let asked = Asked {
        native: reader.client().client().native_ptr(),
        alias: &reader.client_alias(),
        operation: Operation::ListOffsets,
        kind: rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
        within,
    };
    let mut edges = Vec::new();
    // SAFETY: the reader keeps its client; one call of that kind for each list; librdkafka copies the lists; nothing of
    // an event is kept.
    unsafe {
        ask_each(
            &asked,
            lists.len(),
            |call| {
                let refused = rdsys::rd_kafka_AdminOptions_set_isolation_level(call.options, level);
                if !refused.is_null() {
                    rdsys::rd_kafka_error_destroy(refused);
                }
                for list in &lists {
                    rdsys::rd_kafka_ListOffsets(call.native, list.ptr(), call.options, call.queue);
                }
            },
            |event| {
                read_edges(event, edge, &mut edges);
                Ok(())
            },
        )?;
    }
    Ok(edges.into_iter().collect())
}

/// # Safety
/// `event` is a live result event of `ListOffsets` without an error.
unsafe fn read_edges(
    event: *mut rdsys::rd_kafka_event_t,
    edge: Edge,
    edges: &mut Vec<(TopicPartition, Result<i64, RDKafkaErrorCode>)>,
) {
    // SAFETY: the result and its infos live as long as the event.
    unsafe {
        let result = rdsys::rd_kafka_event_ListOffsets_result(event);
        let mut count = 0_usize;
        let infos = rdsys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        for at in 0..count {
            let info = *infos.add(at);
            let place = rdsys::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
            let Ok(topic) = CStr::from_ptr((*place).topic).to_str() else {
                continue;
            };
            // They come as they were asked for: topic by topic.
            let topic = match edges.last() {
                Some((before, _)) if *before.topic == *topic => before.topic.clone(),
                _ => topic.into(),
            };
            let partition = TopicPartition {
                topic,
                partition: (*place).partition,
            };
            let code = code_at(&raw const (*place).err);
            edges.push((partition, told(edge, code, (*place).offset)));
        }
    }
}

/// What was told of a partition. librdkafka 2.12.1 asks the leaders one by one, and where one of them does not answer
/// leaves its partitions without an error at an offset that is none (`rd_kafka_ListOffsets_response_merge`): taken for
/// an end, it would make a log with records in it look empty.
const fn told(edge: Edge, code: RDKafkaErrorCode, offset: i64) -> Result<i64, RDKafkaErrorCode> {
    match (code, edge, offset) {
        (RDKafkaErrorCode::NoError, _, 0..) | (RDKafkaErrorCode::NoError, Edge::Since(_), -1) => {
            Ok(offset)
        }
        (RDKafkaErrorCode::NoError, _, _) => Err(RDKafkaErrorCode::OperationTimedOut),
        (code, _, _) => Err(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Edge; 4] = [
        Edge::Earliest,
        Edge::LastStable,
        Edge::HighWatermark,
        Edge::Since(5),
    ];

    #[test]
    fn a_leader_that_did_not_answer_is_never_an_empty_log() {
        for edge in ALL {
            for none in [-1001, -1000, -2, i64::MIN] {
                let told = told(edge, RDKafkaErrorCode::NoError, none);
                assert_eq!(told, Err(RDKafkaErrorCode::OperationTimedOut), "{edge:?}");
            }
            assert_eq!(told(edge, RDKafkaErrorCode::NoError, 0), Ok(0));
            assert_eq!(
                told(edge, RDKafkaErrorCode::NotLeaderForPartition, 7),
                Err(RDKafkaErrorCode::NotLeaderForPartition)
            );
        }
        assert!(told(Edge::HighWatermark, RDKafkaErrorCode::NoError, -1).is_err());
        assert_eq!(
            told(Edge::Since(5), RDKafkaErrorCode::NoError, -1),
            Ok(-1),
            "no record is that young"
        );
    }
}
