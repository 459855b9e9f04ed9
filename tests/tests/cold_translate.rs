//! A day of commits on a hundred partitions, and nobody who remembers any of it: how much is read for an answer?

use std::error::Error;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{
    DELTA_RING, FlowName, FlowRecord, FlowState, MapCursor, MapRecord, OpenChunk, Origin, Position,
    Run, SourceOffset, StateTopics, TargetOffset, TopicPartition, slot_of,
};
use understudy_tests::{Cluster, FlowFile, Listener, understudy};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 100;
/// A commit every 100 ms for a day, 1,024 of them a chunk.
const CHUNKS: u64 = 24 * 3600 * 10 / 1024;
/// A partition and a chunk of it that is missing.
const LOST: (i32, u64) = (PARTITIONS - 1, 500);
/// Commits since the last chunk was sealed.
const OPEN: u32 = 300;

#[test]
fn a_hundred_places_in_a_day_of_commits_are_found_in_a_twentieth_of_the_map() -> Outcome {
    let target = Cluster::builder("usw2").start()?;
    let slots = NonZeroU32::new(8).ok_or("no slots")?;
    let mut state = Written::new(&target, slots)?;
    let written = state.write()?;
    let nowhere = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let file = FlowFile::with_clients(
        ("use1", nowhere),
        (target.alias(), target.client_properties(Listener::Link)),
        target.dir(),
    )
    .named("day")
    .slots(slots.get());
    let flow = file.write("day", std::net::SocketAddr::from(([127, 0, 0, 1], 8080)))?;

    expect_found(&target, &flow, 0, written)?;

    // Another number of slots, and yet another: old chunks stay where they are, and are found there.
    for (round, slots) in [(1, 3), (2, 12)] {
        let file = file.clone().slots(slots);
        let path = file.write("reslot", std::net::SocketAddr::from(([127, 0, 0, 1], 8080)))?;
        let output = understudy(["reslot".as_ref(), path.as_os_str()], LIMIT)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        expect_found(&target, &path, round, written)?;
    }

    // A place in the lost chunk: its beginning is known, and from there nothing is skipped.
    let place = (11 * 1024 * LOST.1 + 77).to_string();
    let output = understudy(
        [
            "translate",
            &flow.display().to_string(),
            "--topic",
            "orders",
            "--partition",
            &LOST.0.to_string(),
            "--offset",
            &place,
            "--reverse",
            "--json",
        ],
        LIMIT,
    )?;
    let line: &serde_json::Value = &serde_json::from_slice(&output.stdout)?;
    assert_eq!(line["translation"], "at-least", "{line}");
    assert_eq!(line["source_offset"], 10 * 1024 * LOST.1, "{line}");
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("skips nothing")),
        "{line}"
    );
    assert_eq!(output.status.code(), Some(0));
    Ok(())
}

/// Asks for the places of a group in a hundred partitions. What is read decides; the time is told for people.
fn expect_found(target: &Cluster, flow: &Path, round: usize, written: u64) -> Outcome {
    let before = target.link().bytes_from_brokers();
    let began = Instant::now();
    let output = understudy(
        [
            "translate".as_ref(),
            flow.as_os_str(),
            "--group".as_ref(),
            format!("reader-{round}").as_ref(),
            "--reverse".as_ref(),
            "--json".as_ref(),
        ],
        LIMIT,
    )?;
    let took = began.elapsed();
    let read = target.link().bytes_from_brokers() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let exact = text
        .lines()
        .filter(|line| line.contains("\"exact\""))
        .count();
    assert_eq!(
        (output.status.code(), exact),
        (Some(0), 100),
        "{text}{errors}"
    );
    for line in text.lines() {
        let line: &serde_json::Value = &serde_json::from_str(line)?;
        let (source, target) = (
            line["source_offset"].as_i64(),
            line["target_offset"].as_i64(),
        );
        // Every transaction of 10 records is followed by a marker.
        let expected = target.map(|target| target - target / 11);
        assert_eq!(source, expected, "{line}");
    }
    println!("{read} of {written} bytes read in {took:?}");
    assert!(read * 20 < written, "{read} of {written} bytes read");
    Ok(())
}

/// State as a worker would have written it, after compaction.
struct Written {
    producer: BaseProducer,
    topics: StateTopics,
    slots: NonZeroU32,
    /// The next offset of each partition of the offset-map topic.
    next: Vec<i64>,
    bytes: u64,
}

impl Written {
    fn new(target: &Cluster, slots: NonZeroU32) -> Result<Self, Box<dyn Error>> {
        let topics = StateTopics::new(FlowName::new("day")?);
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
        for round in 0..3 {
            let places: Vec<(&str, i32, i64)> = (0..PARTITIONS)
                .map(|partition| {
                    (
                        "orders",
                        partition,
                        11 * 1024 * (i64::from(partition) * 8 + round * 5) + 7,
                    )
                })
                .collect();
            target.commit_group(&format!("reader-{round}"), &places)?;
        }
        Ok(Self {
            producer: config.create()?,
            topics,
            slots,
            next: vec![0; usize::try_from(slots.get())?],
            bytes: 0,
        })
    }

    /// Chunk after chunk of all partitions, then the open ones, then the positions.
    fn write(&mut self) -> Result<u64, Box<dyn Error>> {
        let record = FlowRecord {
            generation: 1,
            slots: self.slots,
            epoch: 0,
            state: FlowState::Running,
            source_cluster_id: "source".to_owned(),
            target_cluster_id: "target".to_owned(),
            created_at_ms: None,
            paused_topics: std::collections::BTreeSet::new(),
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
