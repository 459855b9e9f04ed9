//! Records as they are, one by one: written with chosen timestamps, and read whole.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::error::{Doing, LabError, Result};
use crate::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// A record's key and value, each of them any bytes or none.
type RawRecord<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// A record of a topic, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainRecord {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key; empty if there is none.
    pub key: Vec<u8>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// In order, duplicates and nulls included.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Cluster {
    /// Every committed record of a topic up to its present ends, in order within partitions; none if there is no such
    /// topic.
    pub fn read_all(&self, topic: &str) -> Result<Vec<PlainRecord>> {
        // A busy broker may drop a first connection.
        let ends = wait_for(&format!("the ends of {topic}"), LIMIT, || {
            let words = |error: LabError| error.to_string();
            match self.partitions(topic).map_err(words)? {
                None => Ok(None),
                Some(_) => self.ends(topic).map(Some).map_err(words),
            }
        })?;
        let Some(ends) = ends else {
            return Ok(Vec::new());
        };
        let mut config = self.client();
        config
            .set("isolation.level", "read_committed")
            .set("group.id", "lab-read-all")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let reader: BaseConsumer = config.create().doing("create a consumer")?;
        let mut list = TopicPartitionList::new();
        for partition in ends.keys() {
            list.add_partition_offset(topic, *partition, Offset::Beginning)
                .doing("name a partition")?;
        }
        reader
            .assign(&list)
            .doing(format!("read {topic} to its end"))?;
        let mut left: BTreeSet<i32> = ends.keys().copied().collect();
        let mut records = Vec::new();
        let deadline = Instant::now() + LIMIT;
        while !left.is_empty() {
            if Instant::now() >= deadline {
                return Err(LabError::TooLate {
                    what: format!("the end of {topic}"),
                    waited: LIMIT,
                    hint: format!("; partitions {left:?} are left"),
                });
            }
            match reader.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    // Where more is written all the time, no answer is ever the end.
                    let end = ends.get(&partition).map(|end| end.high_watermark);
                    if end.is_some_and(|end| offset + 1 >= end) {
                        left.remove(&partition);
                    }
                    records.push(PlainRecord {
                        partition,
                        offset,
                        key: message.key().unwrap_or_default().to_vec(),
                        value: message.payload().map(<[u8]>::to_vec),
                        timestamp_ms: message.timestamp().to_millis(),
                        headers: headers(&message),
                    });
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                // A connection that comes and goes is retried by the client.
                Some(Err(_)) | None => {}
            }
        }
        // Partitions come as brokers answer; each in its order.
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Writes one record as it is: key and value are any bytes, or none.
    pub fn write_record(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<()> {
        self.write_records(topic, partition, &[(key, value)])
    }

    /// Writes keys and values to one partition, in this order, by one producer.
    pub fn write_records(
        &self,
        topic: &str,
        partition: i32,
        records: &[RawRecord<'_>],
    ) -> Result<()> {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .create()
            .doing("create a producer")?;
        for (key, value) in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
            (record.key, record.payload) = (*key, *value);
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .doing(format!("write to {topic}"))?;
        }
        producer
            .flush(LIMIT)
            .doing(format!("write to {topic}-{partition}"))
    }

    /// Writes values to one partition, each with the timestamp beside it, in milliseconds since 1970.
    pub fn write_at(&self, topic: &str, partition: i32, values: &[(String, i64)]) -> Result<()> {
        let producer: BaseProducer = self.client().create().doing("create a producer")?;
        for (value, timestamp_ms) in values {
            let record = BaseRecord::<str, str>::to(topic)
                .partition(partition)
                .payload(value.as_str())
                .timestamp(*timestamp_ms);
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .doing(format!("write to {topic}"))?;
        }
        producer
            .flush(LIMIT)
            .doing(format!("write to {topic}-{partition}"))
    }
}

fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    headers
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect()
}
