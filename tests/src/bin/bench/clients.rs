//! The benchmark's own clients: looks at ends, counts, first records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use understudy_tests::Cluster;

use crate::error::{BenchError, Doing, Result};

const LIMIT: Duration = Duration::from_secs(30);
const NEW_TOPIC: Duration = Duration::from_secs(60);

/// Every partition of a topic, at one place.
pub fn partitions_at(topic: &str, partitions: i32, offset: Offset) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, offset)
            .doing(format!("name partition {partition} of {topic}"))?;
    }
    Ok(list)
}

/// A consumer that commits nothing and sees what was committed.
pub fn reader_config(cluster: &Cluster) -> ClientConfig {
    let mut config = cluster.client();
    config
        .set("isolation.level", "read_committed")
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true");
    config
}

/// A look at a topic's ends: one request, cheap enough to repeat while something is measured.
pub struct Ends {
    committed: BaseConsumer,
    appended: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Ends {
    /// Of this topic.
    pub fn new(cluster: &Cluster, topic: &str, partitions: i32) -> Result<Self> {
        let create = |isolation| {
            reader_config(cluster)
                .set("isolation.level", isolation)
                .create()
                .doing("create a consumer")
        };
        Ok(Self {
            committed: create("read_committed")?,
            appended: create("read_uncommitted")?,
            topic: topic.to_owned(),
            partitions,
        })
    }

    /// What `read_committed` readers can reach, over all partitions.
    pub fn committed(&self) -> Result<i64> {
        self.ask(&self.committed)
    }

    /// What was appended, committed or not.
    pub fn appended(&self) -> Result<i64> {
        self.ask(&self.appended)
    }

    fn ask(&self, client: &BaseConsumer) -> Result<i64> {
        let wanted = partitions_at(&self.topic, self.partitions, Offset::End)?;
        let begun = Instant::now();
        let ends = loop {
            match client.offsets_for_times(wanted.clone(), LIMIT) {
                Ok(ends) => break ends,
                // A new topic's leader may not answer yet, above all on a busy machine.
                Err(_) if begun.elapsed() < NEW_TOPIC => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error).doing(format!("look at {}", self.topic)),
            }
        };
        Ok(ends
            .elements()
            .iter()
            .map(|end| match end.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            })
            .sum())
    }
}

/// Reads a topic whole as a `read_committed` reader; records per partition.
pub fn count(cluster: &Cluster, topic: &str, partitions: i32) -> Result<Vec<u64>> {
    let reader: BaseConsumer = reader_config(cluster).create().doing("create a consumer")?;
    reader
        .assign(&partitions_at(topic, partitions, Offset::Beginning)?)
        .doing(format!("read {topic}"))?;
    let mut counts = vec![0; usize::try_from(partitions).unwrap_or_default()];
    let mut open = counts.len();
    let mut heard = Instant::now();
    while open > 0 && heard.elapsed() < LIMIT {
        match reader.poll(Duration::from_millis(200)) {
            None => continue,
            Some(Ok(message)) => {
                let index = usize::try_from(message.partition()).unwrap_or_default();
                if let Some(count) = counts.get_mut(index) {
                    *count += 1;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error).doing(format!("read {topic}")),
        }
        heard = Instant::now();
    }
    Ok(counts)
}

/// Refuses a copy that is not one to one.
pub fn expect_same_counts(
    what: &str,
    source: (&Cluster, &str),
    target: (&Cluster, &str),
    partitions: i32,
) -> Result<()> {
    let expected = count(source.0, source.1, partitions)?;
    let found = count(target.0, target.1, partitions)?;
    if expected == found {
        return Ok(());
    }
    Err(BenchError::Miscounted {
        what: what.to_owned(),
        expected,
        found,
    })
}

/// Waits in a thread for the first record that a `read_committed` reader sees.
pub struct FirstRecord {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<Instant>>,
}

impl FirstRecord {
    /// Begins to read a topic, which must exist.
    pub fn watch(cluster: &Cluster, topic: &str, partitions: i32) -> Result<Self> {
        // No more than the first record is wanted.
        let reader: BaseConsumer = reader_config(cluster)
            .set("fetch.message.max.bytes", "1024")
            .set("queued.min.messages", "1")
            .create()
            .doing("create a consumer")?;
        reader
            .assign(&partitions_at(topic, partitions, Offset::Beginning)?)
            .doing(format!("read {topic}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(_)) = reader.poll(Duration::from_millis(100)) {
                    return Some(Instant::now());
                }
            }
            None
        });
        Ok(Self { stop, thread })
    }

    /// When it was seen; none if it has not been.
    pub fn seen(self) -> Result<Option<Instant>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| BenchError::Panicked("the wait for a first record"))
    }
}
