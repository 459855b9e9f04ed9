//! What a `read_committed` reader of the target sees, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset};
use understudy_tests::{Cluster, LabError};

use crate::clients::{partitions_at, reader_config};
use crate::error::{BenchError, Doing, Result};
use crate::load::micros;
use crate::payload::stamped;

/// One record, sent and seen; both in microseconds of this program's clock.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its partition.
    pub partition: i32,
    /// When it was handed to the source's producer.
    pub sent: u64,
    /// When the reader of the target had it.
    pub seen: u64,
}

/// A reader in a thread of its own, from the copy's beginning.
pub struct Reader {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Result<Vec<Arrival>>>,
}

impl Reader {
    /// Begins to read.
    pub fn start(cluster: &Cluster, topic: &str, partitions: i32) -> Result<Self> {
        let consumer: BaseConsumer = reader_config(cluster).create().doing("create a consumer")?;
        consumer
            .assign(&partitions_at(topic, partitions, Offset::Beginning)?)
            .doing(format!("read {topic}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let (stopped, counted, topic) = (stop.clone(), count.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut arrivals = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match consumer.poll(Duration::from_millis(100)) {
                    None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                    Some(Ok(message)) => {
                        arrivals.push(Arrival {
                            partition: message.partition(),
                            sent: message.payload().and_then(stamped).unwrap_or_default(),
                            seen: micros(),
                        });
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Err(error)) => return Err(error).doing(format!("read {topic}")),
                }
            }
            Ok(arrivals)
        });
        Ok(Self {
            stop,
            count,
            thread,
        })
    }

    /// Waits until `records` were seen.
    pub fn wait(&self, records: u64, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.count.load(Ordering::Relaxed) < records {
            if begun.elapsed() > limit || self.thread.is_finished() {
                return Err(LabError::TooLate {
                    what: format!("{records} records on the target"),
                    waited: begun.elapsed(),
                    hint: format!("; seen: {}", self.count.load(Ordering::Relaxed)),
                }
                .into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Stops; everything seen.
    pub fn finish(self) -> Result<Vec<Arrival>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| BenchError::Panicked("the reader of the target"))?
    }
}
