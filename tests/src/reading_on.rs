//! A reader of a group who goes on reading while applications are moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset};

use crate::cluster::Cluster;
use crate::error::{Doing, LabError, Result};

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a group read from where it stood.
#[derive(Debug, Default)]
pub struct ReadOn {
    /// The first offset that was read of each partition.
    pub first: BTreeMap<i32, i64>,
    /// Each record by its partition and value.
    pub read: BTreeSet<(i32, Vec<u8>)>,
}

impl Cluster {
    /// Reads on from a group's places until `done` is set, and then to the ends of all `partitions`, each of which holds a
    /// record behind the group's place.
    ///
    /// # Errors
    /// A record comes twice, the group has no place, or the ends are not reached within `limit`.
    pub fn read_on(
        &self,
        group: &str,
        topic: &str,
        partitions: usize,
        done: &AtomicBool,
        limit: Duration,
    ) -> Result<ReadOn> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", group)
            .set("auto.commit.interval.ms", "200")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .create()
            .doing("create a consumer")?;
        let doing = || format!("read {topic} as {group}");
        consumer.subscribe(&[topic]).doing(doing())?;
        let mut seen = ReadOn::default();
        let (mut next, mut at_end) = (BTreeMap::new(), BTreeSet::new());
        let mut all_is_written = false;
        let began = Instant::now();
        while !all_is_written || at_end.len() < partitions {
            if began.elapsed() >= limit {
                return Err(LabError::TooLate {
                    what: format!("the ends of {topic}"),
                    waited: limit,
                    hint: format!("; read to {next:?}, and to the end of {at_end:?}"),
                });
            }
            // An end that was met before the last record was written is none.
            if !all_is_written && done.load(Ordering::Relaxed) && next.len() == partitions {
                all_is_written = true;
                at_end.clear();
                for (partition, offset) in &next {
                    let place = Offset::Offset(*offset);
                    consumer
                        .seek(topic, *partition, place, LIMIT)
                        .doing(doing())?;
                }
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    at_end.insert(partition);
                }
                Some(Err(source)) => {
                    return Err(LabError::Kafka {
                        action: doing(),
                        source,
                    });
                }
                Some(Ok(record)) => {
                    let (partition, offset) = (record.partition(), record.offset());
                    at_end.remove(&partition);
                    seen.first.entry(partition).or_insert(offset);
                    next.insert(partition, offset + 1);
                    let value = record.payload().unwrap_or_default().to_vec();
                    if !seen.read.insert((partition, value)) {
                        return Err(LabError::BadAnswer {
                            who: doing(),
                            why: format!("{partition} at {offset} was read before"),
                        });
                    }
                }
            }
        }
        Ok(seen)
    }
}
