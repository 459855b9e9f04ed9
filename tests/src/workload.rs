//! What applications write: keyed orders, transactions with some aborted, compacted topics.
//!
//! Every record carries an id of its own, `<producer>-<partition>-<number>`, in its value and, where
//! it has headers, in a header too. The number rises by one within a partition.

mod connected;
mod orders;
mod running;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer};

use crate::ends::wait_settled;
use crate::error::{Doing, LabError, Result};
use connected::{Connected, Deliveries, flush};
use orders::{Order, Orders};
pub use running::RunningWorkload;

const LIMIT: Duration = Duration::from_secs(120);
/// How long markers of a transaction that has ended are waited for.
const MARKERS: Duration = Duration::from_secs(30);
/// Records that are due within this time are written together.
const BURST: Duration = Duration::from_millis(10);

/// How a workload writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Idempotent,
    /// Transactions of so many records; each `abort_every`-th is aborted (0: none).
    Transactional {
        records: u64,
        abort_every: u64,
    },
}

/// Orders to be written to one topic.
#[derive(Debug, Clone)]
pub struct Workload {
    client: ClientConfig,
    topic: String,
    producer: String,
    records: u64,
    value_bytes: usize,
    rate: Option<u64>,
    keys: Option<u64>,
    tombstone_every: u64,
    mode: Mode,
}

/// What a workload has written, as the brokers acknowledged it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Produced {
    /// Records that `read_committed` readers see, per partition.
    pub committed: BTreeMap<i32, u64>,
    /// Records of aborted transactions, per partition.
    pub aborted: BTreeMap<i32, u64>,
    /// Bytes of the committed values.
    pub value_bytes: u64,
}

impl Produced {
    /// Committed records over all partitions.
    pub fn committed_total(&self) -> u64 {
        self.committed.values().sum()
    }

    /// Aborted records over all partitions.
    pub fn aborted_total(&self) -> u64 {
        self.aborted.values().sum()
    }

    fn add(&mut self, other: Self) {
        for (partition, count) in other.committed {
            *self.committed.entry(partition).or_default() += count;
        }
        for (partition, count) in other.aborted {
            *self.aborted.entry(partition).or_default() += count;
        }
        self.value_bytes += other.value_bytes;
    }
}

impl Workload {
    /// 1,000 orders of about 1 KB, as fast as possible. `client` comes from
    /// [`crate::Cluster::client`] or [`crate::client_config`].
    pub fn orders(client: ClientConfig, topic: impl Into<String>) -> Self {
        Self {
            client,
            topic: topic.into(),
            producer: "p".to_owned(),
            records: 1_000,
            value_bytes: 1_000,
            rate: None,
            keys: None,
            tombstone_every: 0,
            mode: Mode::Idempotent,
        }
    }

    /// Names the producer; two workloads on one topic need two names.
    #[must_use]
    pub fn producer(mut self, name: impl Into<String>) -> Self {
        self.producer = name.into();
        self
    }

    /// How many records; [`u64::MAX`] with [`Self::start`] until stopped.
    #[must_use]
    pub fn records(mut self, records: u64) -> Self {
        self.records = records;
        self
    }

    /// The size of a value.
    #[must_use]
    pub fn value_bytes(mut self, bytes: usize) -> Self {
        self.value_bytes = bytes;
        self
    }

    /// Records a second; without it, as fast as possible.
    #[must_use]
    pub fn rate(mut self, records_per_second: u64) -> Self {
        self.rate = Some(records_per_second.max(1));
        self
    }

    /// Few keys, written again and again, with a tombstone now and then: for a compacted topic.
    #[must_use]
    pub fn compacted(mut self, keys: u64, tombstone_every: u64) -> Self {
        self.keys = Some(keys.max(1));
        self.tombstone_every = tombstone_every;
        self
    }

    /// Transactions of so many records, of which each `abort_every`-th is aborted (0: none). It ends once no transaction on
    /// the topic is open, nobody else's either.
    #[must_use]
    pub fn transactional(mut self, records: u64, abort_every: u64) -> Self {
        self.mode = Mode::Transactional {
            records: records.max(1),
            abort_every,
        };
        self
    }

    /// Sets a property of the producer, such as `compression.type`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.client.set(name, value);
        self
    }

    /// Writes everything; returns what was committed.
    pub fn run(self) -> Result<Produced> {
        self.write(&AtomicBool::new(false), &AtomicU64::new(0))
    }

    /// Writes on a thread of its own, until done or stopped.
    pub fn start(self) -> Result<RunningWorkload> {
        let (stop, written) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stop_seen, counter) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = thread::Builder::new()
            .name(format!("workload-{}", self.topic))
            .spawn(move || self.write(&stop_seen, &counter))
            .doing("start a thread")?;
        Ok(RunningWorkload {
            stop,
            written,
            thread: Some(thread),
        })
    }

    fn write(&self, stop: &AtomicBool, written: &AtomicU64) -> Result<Produced> {
        let producer = self.connect()?;
        let partitions = self.partitions(&producer)?;
        let mut orders = Orders::new(self, partitions);
        let mut produced = Produced::default();
        let begun = Instant::now();
        let (mut sent, mut transactions) = (0, 0);
        while sent < self.records && !stop.load(Ordering::Relaxed) {
            let batch = match self.mode {
                Mode::Idempotent => (self.records - sent).min(1_000),
                Mode::Transactional { records, .. } => {
                    producer.begin_transaction().doing("begin a transaction")?;
                    (self.records - sent).min(records)
                }
            };
            let mut part = Produced::default();
            for _ in 0..batch {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                self.pace(begun, sent);
                let order = orders.next();
                part.value_bytes += order.value.as_ref().map_or(0, |value| value.len() as u64);
                *part.committed.entry(order.partition).or_default() += 1;
                self.send(&producer, &order)?;
                sent += 1;
                written.store(sent, Ordering::Relaxed);
            }
            transactions += 1;
            produced.add(self.finish(&producer, transactions, part)?);
        }
        flush(&producer)?;
        let failed = producer.context().failed.load(Ordering::Relaxed);
        if failed > 0 {
            return Err(LabError::BadAnswer {
                who: format!("the cluster that holds {}", self.topic),
                why: format!("it refused {failed} records"),
            });
        }
        // The end of a transaction is answered before its markers are written: whoever goes on from here finds them. Where
        // brokers are away, what was produced was produced.
        if self.mode != Mode::Idempotent
            && let Err(late) = wait_settled(&self.client, &self.topic, MARKERS)
        {
            eprintln!("markers of {} are late: {late}", self.topic);
        }
        Ok(produced)
    }

    /// Ends a transaction, if there is one; returns what it has committed or aborted.
    fn finish(&self, producer: &Connected, number: u64, part: Produced) -> Result<Produced> {
        match self.mode {
            Mode::Idempotent => Ok(part),
            Mode::Transactional { abort_every, .. }
                if abort_every > 0 && number.is_multiple_of(abort_every) =>
            {
                // Flushed first, so that the aborted records are really in the log.
                flush(producer)?;
                producer
                    .abort_transaction(LIMIT)
                    .doing("abort a transaction")?;
                Ok(Produced {
                    aborted: part.committed,
                    ..Produced::default()
                })
            }
            Mode::Transactional { .. } => {
                flush(producer)?;
                producer
                    .commit_transaction(LIMIT)
                    .doing("commit a transaction")?;
                Ok(part)
            }
        }
    }

    fn send(&self, producer: &Connected, order: &Order) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut record = BaseRecord::to(&self.topic)
            .partition(order.partition)
            .key(&order.key);
        if let Some(value) = &order.value {
            record = record.payload(value);
        }
        if let Some(headers) = &order.headers {
            record = record.headers(headers.clone());
        }
        loop {
            match producer.send(record) {
                Ok(()) => {
                    producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    producer.poll(Duration::from_millis(10));
                }
                Err((source, _)) => {
                    return Err(LabError::Kafka {
                        action: format!("write to {}", self.topic),
                        source,
                    });
                }
            }
        }
    }

    /// Waits until the next record is due, or a few of them.
    fn pace(&self, begun: Instant, sent: u64) {
        let Some(rate) = self.rate else { return };
        let due = begun + Duration::from_secs_f64(sent as f64 / rate as f64);
        let early = due.saturating_duration_since(Instant::now());
        // Not by polling: rdkafka's `poll` spins through what is left of a millisecond.
        if early > BURST {
            thread::sleep(early);
        }
    }

    fn connect(&self) -> Result<Connected> {
        let mut config = self.client.clone();
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("linger.ms", "20"),
            ("batch.size", "500000"),
            ("queue.buffering.max.kbytes", "131072"),
            // An outage must not lose a record of the test's own making.
            (
                "message.timeout.ms",
                if self.mode == Mode::Idempotent {
                    "0"
                } else {
                    "60000"
                },
            ),
        ] {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        if self.mode != Mode::Idempotent {
            config.set(
                "transactional.id",
                format!("lab-{}-{}", self.topic, self.producer),
            );
        }
        let producer: Connected = config
            .create_with_context(Deliveries::default())
            .doing("create a producer")?;
        if self.mode != Mode::Idempotent {
            producer
                .init_transactions(LIMIT)
                .doing("begin as a transactional producer")?;
        }
        Ok(producer)
    }

    fn partitions(&self, producer: &Connected) -> Result<i32> {
        let metadata = producer
            .client()
            .fetch_metadata(Some(&self.topic), LIMIT)
            .doing("look up the topic")?;
        match metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len())
        {
            0 => Err(LabError::Usage(format!(
                "create topic {} before writing to it",
                self.topic
            ))),
            count => Ok(count as i32),
        }
    }
}
