//! A producer that keeps its own log of what was acknowledged to it, record by record: the truth about a loss.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::error::{Doing, Result};
use crate::serve::sleep_and_serve;

/// Between one number and the next, each of which goes to every partition.
const PAUSE: Duration = Duration::from_millis(4);

/// Writes numbers, the same one to each partition in turn, until it is stopped.
pub struct LoggedProducer {
    stop: Arc<AtomicBool>,
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    sent: AtomicU64,
    refused: AtomicU64,
    acknowledged: Mutex<BTreeMap<(i32, i64), u64>>,
}

impl Log {
    fn acknowledged(&self) -> MutexGuard<'_, BTreeMap<(i32, i64), u64>> {
        self.acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a producer knows at its end.
pub struct Heard {
    /// The numbers that were acknowledged, by partition and offset.
    pub acknowledged: BTreeMap<(i32, i64), u64>,
    /// How many the brokers refused because it may not write there.
    pub refused: u64,
    /// How many were sent of which nothing was heard: they may be there or not.
    pub unheard: u64,
}

struct Hears(Arc<Log>);

impl ClientContext for Hears {}

impl ProducerContext for Hears {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = match result {
            Ok(message) => message,
            Err((error, _)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                    self.0.refused.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        };
        if let Some(number) = LoggedProducer::number(message.key()) {
            let place = (message.partition(), message.offset());
            self.0.acknowledged().insert(place, number);
        }
    }
}

impl LoggedProducer {
    /// Starts to write to the topic, from 0 on.
    pub fn start(client: ClientConfig, topic: &str, partitions: i32) -> Result<Self> {
        Self::start_from(0, client, topic, partitions)
    }

    /// The same, from another number on.
    pub fn start_from(
        first: u64,
        mut client: ClientConfig,
        topic: &str,
        partitions: i32,
    ) -> Result<Self> {
        let (stop, log) = (Arc::<AtomicBool>::default(), Arc::<Log>::default());
        client
            // Also acknowledged by all in sync. Without it a retry may write a record twice when a leader moves.
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "8000");
        let producer: BaseProducer<Hears> = client
            .create_with_context(Hears(log.clone()))
            .doing("make a producer")?;
        let (seen, sent, topic) = (stop.clone(), log.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            for number in first.. {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                for partition in 0..partitions {
                    let value = number.to_string();
                    let record = BaseRecord::to(&topic)
                        .partition(partition)
                        .key(&value)
                        .payload(&value);
                    if producer.send(record).is_ok() {
                        sent.sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
                sleep_and_serve(&producer, PAUSE);
            }
            // What is not acknowledged by then will not be.
            let _flushed = producer.flush(Duration::from_secs(1));
        });
        Ok(Self {
            stop,
            log,
            thread: Some(thread),
        })
    }

    /// The number that a record's key is, if it is one.
    pub fn number(key: Option<&[u8]>) -> Option<u64> {
        std::str::from_utf8(key?).ok()?.parse().ok()
    }

    /// How many records were acknowledged by now.
    pub fn acknowledged(&self) -> usize {
        self.log.acknowledged().len()
    }

    /// How many records the brokers refused by now, because it may not write there.
    pub fn refused(&self) -> u64 {
        self.log.refused.load(Ordering::Relaxed)
    }

    /// Stops it.
    pub fn stop(mut self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its own panic has been printed.
            let _ended = thread.join();
        }
        let acknowledged = std::mem::take(&mut *self.log.acknowledged());
        let (sent, refused) = (self.log.sent.load(Ordering::Relaxed), self.refused());
        Heard {
            refused,
            unheard: sent.saturating_sub(acknowledged.len() as u64 + refused),
            acknowledged,
        }
    }
}

impl Drop for LoggedProducer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
