//! Reading a topic to its end, again and again, without forgetting.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::Seen;
use crate::ends::wait_settled;
use crate::error::{Doing, LabError, Result};

const LIMIT: Duration = Duration::from_secs(30);
/// A reader that gets nothing for so long gives up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
const ID_FIELD: &[u8] = b"{\"id\":\"";

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Committed,
    Uncommitted,
}

/// A topic on one side, as far as it was read.
#[derive(Debug)]
pub(crate) struct Reader {
    client: ClientConfig,
    topic: String,
    isolation: Isolation,
    pub(crate) partitions: BTreeMap<i32, Vec<Seen>>,
}

impl Reader {
    pub(crate) fn new(client: ClientConfig, topic: &str, isolation: Isolation) -> Self {
        Self {
            client,
            topic: topic.to_owned(),
            isolation,
            partitions: BTreeMap::new(),
        }
    }

    /// Records read so far.
    pub(crate) fn count(&self) -> u64 {
        self.partitions.values().map(|seen| seen.len() as u64).sum()
    }

    /// Reads on to the present end of every partition.
    ///
    /// A consumer reports the end of a partition once only, so each reading has a consumer of its own.
    pub(crate) fn read_to_end(&mut self) -> Result<()> {
        let consumer = self.connect()?;
        let count = self.count_partitions(&consumer)?;
        let mut unfinished: BTreeSet<i32> = (0..count).collect();
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            let last = self.partitions.entry(partition).or_default().last();
            let start = last.map_or(Offset::Beginning, |seen| Offset::Offset(seen.offset + 1));
            list.add_partition_offset(&self.topic, partition, start)
                .doing("name a partition")?;
        }
        consumer
            .assign(&list)
            .doing(format!("read {}", self.topic))?;
        let mut heard = Instant::now();
        while !unfinished.is_empty() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    self.partitions
                        .entry(message.partition())
                        .or_default()
                        .push(seen(&message));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = Instant::now();
                    unfinished.remove(&partition);
                }
                Some(Err(source)) if is_final(&source) => {
                    return Err(LabError::Kafka {
                        action: format!("read {}", self.topic),
                        source,
                    });
                }
                // Brokers come and go under a drill; the silence has its own limit.
                Some(Err(_)) | None => {}
            }
            if heard.elapsed() >= SILENCE_LIMIT {
                let hint = format!("; partitions {unfinished:?} did not end");
                let what = format!("the end of {}", self.topic);
                return Err(LabError::TooLate {
                    what,
                    waited: SILENCE_LIMIT,
                    hint,
                });
            }
        }
        Ok(())
    }

    /// Waits until the topic is known and no transaction on it is open.
    pub(crate) fn wait_settled(&self, limit: Duration) -> Result<()> {
        wait_settled(&self.client, &self.topic, limit)
    }

    fn count_partitions(&self, consumer: &BaseConsumer) -> Result<i32> {
        let metadata = consumer
            .fetch_metadata(Some(&self.topic), LIMIT)
            .doing(format!("look up {}", self.topic))?;
        let topic = metadata.topics().first();
        Ok(topic.map_or(0, |topic| topic.partitions().len() as i32))
    }

    fn connect(&self) -> Result<BaseConsumer> {
        let isolation = match self.isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        self.client
            .clone()
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.error.backoff.ms", "20")
            .set("fetch.queue.backoff.ms", "20")
            // Never a member of it; the client wants one to assign by hand.
            .set("group.id", "lab-judge")
            .create()
            .doing("create a reader")
    }
}

fn is_final(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Fatal
                | Code::AutoOffsetReset
                | Code::TopicAuthorizationFailed
                | Code::Authentication
                | Code::BadMessage
        )
    )
}

fn seen(message: &BorrowedMessage<'_>) -> Seen {
    let content = content(message);
    let identity = id(message).map_or(content, hash);
    Seen {
        offset: message.offset(),
        identity,
        content,
    }
}

/// The id that the workloads give to a record: in its value, or else in a header.
fn id<'a>(message: &'a BorrowedMessage<'_>) -> Option<&'a [u8]> {
    let in_value = message.payload().and_then(|value| {
        let rest = value.strip_prefix(ID_FIELD)?;
        rest.split(|byte| *byte == b'"').next()
    });
    let in_header = || {
        message
            .headers()?
            .iter()
            .find(|header| header.key == "id")
            .and_then(|header| header.value)
    };
    in_value.or_else(in_header)
}

fn content(message: &BorrowedMessage<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.key().hash(&mut hasher);
    message.payload().hash(&mut hasher);
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        (header.key, header.value).hash(&mut hasher);
    }
    message.timestamp().to_millis().hash(&mut hasher);
    hasher.finish()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
