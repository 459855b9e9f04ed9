//! Load: all at once beforehand, or steadily while something is measured.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use understudy_tests::Cluster;

use crate::codec::Codec;
use crate::error::{BenchError, Doing, Result};
use crate::payload::{Payloads, VALUE_BYTES, key, stamp};

const FLUSH: Duration = Duration::from_secs(60);

/// Microseconds since this program first asked.
pub fn micros() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let elapsed = BEGUN.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// Counts what was not acknowledged.
struct Failures(Arc<AtomicU64>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An idempotent producer that spreads records evenly over the topics and their partitions.
struct Writer {
    producer: ThreadedProducer<Failures>,
    failed: Arc<AtomicU64>,
    topics: Vec<String>,
    partitions: u64,
    sent: u64,
}

impl Writer {
    fn new(
        mut config: ClientConfig,
        codec: Codec,
        topics: &[&str],
        partitions: i32,
    ) -> Result<Self> {
        let failed = Arc::new(AtomicU64::new(0));
        let producer = config
            .set("enable.idempotence", "true")
            .set("compression.type", codec.name())
            .set("batch.size", "65536")
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(Failures(failed.clone()))
            .doing("create a producer")?;
        Ok(Self {
            producer,
            failed,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            partitions: u64::from(partitions.unsigned_abs().max(1)),
            sent: 0,
        })
    }

    fn send(&mut self, value: &[u8]) -> Result<()> {
        let key = key(self.sent);
        let topics = u64::try_from(self.topics.len().max(1)).unwrap_or(1);
        let at = usize::try_from(self.sent % topics).unwrap_or_default();
        let topic = self.topics.get(at).map(String::as_str).unwrap_or_default();
        let partition = i32::try_from(self.sent / topics % self.partitions).unwrap_or_default();
        let mut record = BaseRecord::to(topic)
            .partition(partition)
            .key(&key)
            .payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(error).doing(format!("write to {topic}")),
            }
        }
        self.sent += 1;
        Ok(())
    }

    fn finish(self) -> Result<u64> {
        self.producer
            .flush(FLUSH)
            .doing(format!("write to {}", self.topics.join(", ")))?;
        let failed = self.failed.load(Ordering::Relaxed);
        if failed > 0 {
            return Err(BenchError::LoadLost {
                failed,
                records: self.sent,
            });
        }
        Ok(self.sent)
    }
}

/// Writes `records` records in all.
pub fn produce(
    cluster: &Cluster,
    topics: &[&str],
    partitions: i32,
    records: u64,
    codec: Codec,
) -> Result<()> {
    let payloads = Payloads::new(VALUE_BYTES);
    let mut config = cluster.client();
    config.set("linger.ms", "20");
    let mut writer = Writer::new(config, codec, topics, partitions)?;
    for number in 0..records {
        writer.send(payloads.value(number))?;
    }
    writer.finish().map(drop)
}

/// How a steady load writes.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Records a second over all partitions.
    pub records_per_second: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// The producer's codec.
    pub codec: Codec,
}

/// A steady load from a thread of its own, until stopped.
pub struct Steady {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Steady {
    /// Begins to write stamped records.
    pub fn start(cluster: &Cluster, topics: &[&str], partitions: i32, pace: &Pace) -> Result<Self> {
        let mut config = cluster.client();
        config.set("linger.ms", "5");
        let mut writer = Writer::new(config, pace.codec, topics, partitions)?;
        let payloads = Payloads::new(pace.value_bytes);
        let rate = pace.records_per_second as f64;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut value = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let due = begun.elapsed().as_secs_f64() * rate;
                while (writer.sent as f64) < due {
                    value.clear();
                    value.extend_from_slice(payloads.value(writer.sent));
                    stamp(&mut value, micros());
                    writer.send(&value)?;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            writer.finish()
        });
        Ok(Self { stop, thread })
    }

    /// Stops; how many records were written.
    pub fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| BenchError::Panicked("the steady load"))?
    }
}
