//! A day of commits on a hundred partitions, written as the state that a worker would have left: what a cold tool has to
//! read of it is a question of its own.

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{
    DELTA_RING, FlowName, FlowRecord, FlowState, MapCursor, MapRecord, OpenChunk, Origin, Position,
    Run, SourceOffset, StateTopics, TargetOffset, TopicPartition, slot_of,
};
use understudy_tests::Cluster;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
/// The flow whose day it is.
pub const FLOW: &str = "day";
/// How many partitions the topic `orders` has.
pub const PARTITIONS: i32 = 100;
/// How many groups have places, `reader-0` and so on.
pub const READERS: usize = 3;
/// A commit every 100 ms for a day, 1,024 of them a chunk.
const CHUNKS: u64 = 24 * 3600 * 10 / 1024;
/// A partition and a chunk of it that is missing.
pub const LOST: (i32, u64) = (PARTITIONS - 1, 500);
/// Commits since the last chunk was sealed.
const OPEN: u32 = 300;

/// The state as a worker would have written it, after compaction.
pub struct Day {
    producer: BaseProducer,
    topics: StateTopics,
    slots: NonZeroU32,
    /// The next offset of each partition of the offset-map topic.
    next: Vec<i64>,
    bytes: u64,
}

impl Day {
    /// Topics, groups with places all over the day, and a client to write with; nothing of the state yet.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer.
    pub fn new(target: &Cluster, slots: NonZeroU32) -> Outcome<Self> {
        let topics = StateTopics::new(FlowName::new(FLOW)?);
        let compact = [("cleanup.policy", "compact")];
        let count = i32::try_from(slots.get())?;
        for topic in [topics.positions(), topics.offset_map()] {
            target.create_topic(&topic, count, &compact)?;
        }
        target.create_topic(&topics.flow(), 1, &compact)?;
        target.create_topic("orders", PARTITIONS, &[])?;
        let mut config: ClientConfig = target.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            // As commits cut them.
            .set("batch.size", "20000")
            .set("queue.buffering.max.kbytes", "65536");
        for (reader, round) in (0..READERS).zip(0..) {
            let places: Vec<(&str, i32, i64)> = (0..PARTITIONS)
                .map(|partition| {
                    (
                        "orders",
                        partition,
                        11 * 1024 * (i64::from(partition) * 8 + round * 5) + 7,
                    )
                })
                .collect();
            target.commit_group(&format!("reader-{reader}"), &places)?;
        }
        Ok(Self {
            producer: config.create()?,
            topics,
            slots,
            next: vec![0; usize::try_from(slots.get())?],
            bytes: 0,
        })
    }

    /// Chunk after chunk of all partitions, then the open ones, then the positions; how many bytes of map that is.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer.
    pub fn write(&mut self) -> Outcome<u64> {
        let record = FlowRecord {
            generation: 1,
            slots: self.slots,
            epoch: 0,
            state: FlowState::Running,
            source_cluster_id: "source".to_owned(),
            target_cluster_id: "target".to_owned(),
            created_at_ms: None,
            paused_topics: BTreeSet::new(),
            changing_to: None,
        };
        let key = FlowRecord::key(self.topics.flow_name());
        self.send(&self.topics.flow(), 0, &key, &record.encode())?;
        let names: Vec<TopicPartition> = (0..PARTITIONS)
            .map(|partition| TopicPartition::new("orders", partition))
            .collect();
        let mut open = vec![(OpenChunk::new(), 0_i64); names.len()];
        for chunk in 0..CHUNKS {
            for (name, (open, from)) in names.iter().zip(&mut open) {
                let runs = (0..u64::from(DELTA_RING))
                    .map(|commit| run(chunk * u64::from(DELTA_RING) + commit));
                // The deltas themselves were compacted away.
                let pending = open.plan(runs.collect(), 0)?;
                open.commit(pending)?;
                let slot = usize::try_from(slot_of(name, self.slots).get())?;
                *from = *self.next.get(slot).ok_or("no such slot")?;
                let pending = open.renew(*from);
                for record in pending.writes() {
                    // Of a page compaction keeps the last one.
                    let is_kept = match record {
                        MapRecord::Directory(page) => {
                            page.next_chunk().is_multiple_of(512) || chunk + 1 == CHUNKS
                        }
                        MapRecord::Chunk { chunk, .. } => (name.partition, *chunk) != LOST,
                        MapRecord::Delta { .. } => true,
                    };
                    if is_kept {
                        self.map(name, slot, record)?;
                    }
                }
                open.commit(pending)?;
            }
        }
        for commit in 0..u64::from(OPEN) {
            for (name, (open, from)) in names.iter().zip(&mut open) {
                let slot = usize::try_from(slot_of(name, self.slots).get())?;
                let pending =
                    open.plan(vec![run(CHUNKS * u64::from(DELTA_RING) + commit)], *from)?;
                for record in pending.writes() {
                    self.map(name, slot, record)?;
                }
                open.commit(pending)?;
            }
        }
        let end = run(CHUNKS * u64::from(DELTA_RING) + u64::from(OPEN) - 1);
        for (name, (open, from)) in names.iter().zip(&open) {
            let position = Position {
                source_offset: end.source_end(),
                source_leader_epoch: None,
                source_topic_id: None,
                target_offset: end.target_end(),
                source_end_offset: None,
                source_end_seen_at_ms: None,
                started_at: Origin {
                    source: SourceOffset::ZERO,
                    target: TargetOffset::ZERO,
                },
                incarnation: 0,
                target_topic: None,
                flow_epoch: 0,
                map: MapCursor {
                    first: 0,
                    chunk: open.chunk(),
                    delta: open.delta(),
                    from: *from,
                },
                records: 0,
                former: Vec::new(),
            };
            let slot = slot_of(name, self.slots).get();
            self.send(
                &self.topics.positions(),
                i32::try_from(slot)?,
                &Position::key(name),
                &position.encode(),
            )?;
        }
        self.producer.flush(LIMIT)?;
        Ok(self.bytes)
    }

    fn map(&mut self, name: &TopicPartition, slot: usize, record: &MapRecord) -> Outcome {
        let value = record.encode();
        self.bytes += value.len() as u64;
        *self.next.get_mut(slot).ok_or("no such slot")? += 1;
        self.send(
            &self.topics.offset_map(),
            i32::try_from(slot)?,
            &record.key(name).encode(),
            &value,
        )
    }

    fn send(&self, topic: &str, partition: i32, key: &[u8], value: &[u8]) -> Outcome {
        let mut record = BaseRecord::to(topic)
            .partition(partition)
            .key(key)
            .payload(value);
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

/// What the `commit`th transaction copied: ten records, and then its marker on the target.
fn run(commit: u64) -> Run {
    Run {
        source: SourceOffset::ZERO.plus(commit * 10),
        target: TargetOffset::ZERO.plus(commit * 11),
        length: 10,
    }
}
