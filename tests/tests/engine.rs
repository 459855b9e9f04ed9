//! The engine against real brokers: what is fenced stays unwritten, what is copied is the same to the byte.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{Run, SourceOffset, TopicPartition};
use understudy_kafka::ffi::reader::{Fetched, Reader};
use understudy_kafka::librdkafka::{Librdkafka, Options};
use understudy_kafka::plane::{Advance, Copied, Course, DataPlane};
use understudy_kafka::{Endpoint, Fault};
use understudy_tests::{Cluster, Judge, Listener, Pair, Workload, wait_for, wire};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const START: SourceOffset = SourceOffset::ZERO;

/// The whole of a partition, to one of the same name.
fn course(target: &TopicPartition) -> Course {
    Course {
        target: target.clone(),
        from: START,
        until: None,
        witness: None,
    }
}

#[test]
fn a_second_take_over_fences_the_first_and_nothing_of_it_is_ever_stored() -> Outcome {
    let lab = Lab::of("fenced", 1)?;
    lab.write(100)?;
    let mut first = lab.engine("fenced")?;
    first.take_over()?;
    first.start(&lab.partition(), &course(&lab.partition()))?;
    copy_until(&mut first, 100)?;
    assert!(lab.open_transaction()?, "the copies are in the log, unseen");

    let mut second = lab.engine("fenced")?;
    second.take_over()?;
    let before = lab.target_ends()?;
    assert!(!lab.open_transaction()?, "the take-over ended it");
    assert_fenced(first.put(&[]).and_then(|()| first.commit()), "commit");
    assert_fenced(first.abort(), "abort");
    assert_eq!(lab.target_ends()?, before);
    let comparison = lab.judge().compare()?;
    assert_eq!((comparison.copied, comparison.aborted_copies), (0, 100));

    // The second one may, and only it: everything once.
    second.start(&lab.partition(), &course(&lab.partition()))?;
    copy_until(&mut second, 100)?;
    second.put(&[]).and_then(|()| second.commit())?;
    let comparison = lab.judge().compare_settled(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    Ok(())
}

#[test]
fn a_fenced_engine_that_had_no_transaction_open_cannot_begin_one() -> Outcome {
    let lab = Lab::of("late", 1)?;
    lab.write(100)?;
    let mut first = lab.engine("late")?;
    first.take_over()?;
    first.start(&lab.partition(), &course(&lab.partition()))?;
    let mut second = lab.engine("late")?;
    second.take_over()?;
    // The client learns of it from the brokers only, with the first thing it sends.
    let sent = copy_until(&mut first, 100);
    let refused = sent.err().ok_or("a fenced engine copied")?;
    let fault = refused.downcast_ref::<Fault>().ok_or("not a fault")?;
    assert!(fault.is_fenced(), "{fault}");
    assert_fenced(first.put(&[]).and_then(|()| first.commit()), "commit");
    let ends = lab.target_ends()?;
    assert_eq!((ends.last_stable, ends.high_watermark), (0, 0), "stored");
    Ok(())
}

#[test]
fn an_abort_leaves_copies_to_read_uncommitted_readers_only() -> Outcome {
    let lab = Lab::of("aborted", 1)?;
    lab.write(50)?;
    let mut engine = lab.engine("aborted")?;
    engine.take_over()?;
    engine.start(&lab.partition(), &course(&lab.partition()))?;
    copy_until(&mut engine, 50)?;
    engine.abort()?;
    // An abort is answered before its markers are written; the brokers end what nobody ends only after 15 s.
    lab.target
        .wait_settled(&lab.topic, Duration::from_secs(10))?;
    let mut judge = lab.judge();
    let comparison = judge.compare()?;
    assert_eq!(
        (
            comparison.copied,
            comparison.lost,
            comparison.aborted_copies
        ),
        (0, 50, 50)
    );
    let mut next = lab.engine("aborted")?;
    next.take_over()?;
    next.start(&lab.partition(), &course(&lab.partition()))?;
    copy_until(&mut next, 50)?;
    next.put(&[]).and_then(|()| next.commit())?;
    let comparison = judge.compare_settled(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.aborted_copies == 50,
        "{comparison}"
    );
    Ok(())
}

#[test]
fn a_record_survives_to_the_byte() -> Outcome {
    let lab = Lab::of("bytes", 1)?;
    let large = vec![0x5A; 900_000];
    let strange = [0_u8, 255, 10, 0];
    let headers: [(&str, Option<&[u8]>); 5] = [
        ("b", Some(b"2")),
        ("a", None),
        ("b", Some(b"")),
        ("", Some(&strange)),
        ("b", Some(b"1")),
    ];
    let originals = [
        Content::new(None, None),
        Content::new(Some(b""), Some(b"")),
        Content::new(None, Some(b"")),
        Content::new(Some(b""), None),
        Content::new(Some(&strange), Some(&large)),
        Content {
            headers: headers
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.map(<[u8]>::to_vec)))
                .collect(),
            ..Content::new(Some(b"with headers"), Some(b"v"))
        },
        Content {
            timestamp: Some(1),
            ..Content::new(Some(b"one"), Some(b"v"))
        },
        Content {
            timestamp: Some(1 << 40),
            ..Content::new(Some(b"2^40"), Some(b"v"))
        },
    ];
    let producer: BaseProducer = lab.source.client().create()?;
    for content in &originals {
        content.send(&producer, &lab.topic)?;
    }
    producer.flush(LIMIT)?;
    // And what librdkafka cannot write: a record without a timestamp.
    wire::produce(
        lab.source.broker(1)?.address(Listener::Plaintext),
        &lab.topic,
        -1,
        b"no time",
    )?;
    let count = originals.len() + 1;
    let mut engine = lab.engine("bytes")?;
    engine.take_over()?;
    engine.start(&lab.partition(), &course(&lab.partition()))?;
    copy_until(&mut engine, count as u64)?;
    engine.put(&[]).and_then(|()| engine.commit())?;

    let source = contents(lab.source, &lab.partition())?;
    // Committed is not readable yet: the marker follows.
    let target = wait_for("the copies to be readable", LIMIT, || {
        let copies = contents(lab.target, &lab.partition()).map_err(|error| error.to_string())?;
        match copies.len() {
            all if all >= count => Ok(copies),
            some => Err(format!("{some} of {count}")),
        }
    })?;
    assert_eq!(source.len(), count);
    for (index, original) in originals.iter().enumerate() {
        assert_eq!(source.get(index), Some(original), "as written");
        assert_eq!(target.get(index), Some(original), "as copied");
    }
    let timeless = source.last().ok_or("no record")?;
    assert_eq!(timeless.timestamp.unwrap_or(-1), -1);
    assert_eq!(
        target.last(),
        Some(timeless),
        "a record without a timestamp"
    );
    let comparison = lab.judge().compare_settled(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    Ok(())
}

#[test]
fn a_record_of_timestamp_zero_is_refused_by_name_rather_than_altered() -> Outcome {
    let lab = Lab::of("zero", 1)?;
    lab.write(3)?;
    wire::produce(
        lab.source.broker(1)?.address(Listener::Plaintext),
        &lab.topic,
        0,
        b"at 1970",
    )?;
    let mut engine = lab.engine("zero")?;
    engine.take_over()?;
    engine.start(&lab.partition(), &course(&lab.partition()))?;
    let refused = copy_until(&mut engine, 4)
        .err()
        .ok_or("it was copied although nothing can say zero")?;
    match refused.downcast_ref::<Fault>() {
        Some(Fault::RecordRefused {
            partition,
            offset,
            exact,
            reason,
        }) => {
            assert_eq!((partition, offset.get()), (&lab.partition(), 3));
            assert!(exact);
            assert!(reason.contains("timestamp is 0"), "{reason}");
        }
        _ => return Err(format!("not a refusal: {refused}").into()),
    }
    engine.abort()?;
    assert_eq!(lab.judge().compare()?.copied, 0);
    Ok(())
}

#[test]
fn reported_runs_are_the_offsets_on_the_target_and_the_end_passes_control_records() -> Outcome {
    let lab = Lab::of("runs", 3)?;
    // Every third transaction is aborted, the last one too: holes of every kind on the source.
    Workload::orders(lab.source.client(), &lab.topic)
        .records(900)
        .value_bytes(100)
        .transactional(25, 3)
        .run()?;
    let ends = lab.source.ends(&lab.topic)?;
    let mut engine = lab.engine("runs")?;
    engine.take_over()?;
    for partition in lab.partitions() {
        engine.start(&partition, &course(&partition))?;
    }
    let mut runs: BTreeMap<TopicPartition, Vec<Run>> = BTreeMap::new();
    let mut places: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let deadline = Instant::now() + LIMIT;
    let reached = |places: &BTreeMap<TopicPartition, i64>| {
        ends.iter().all(|(partition, end)| {
            let name = TopicPartition::new(lab.topic.as_str(), *partition);
            places.get(&name) == Some(&end.last_stable)
        })
    };
    while !reached(&places) {
        assert!(
            Instant::now() < deadline,
            "stands at {places:?}, ends are {ends:?}"
        );
        engine.advance(Duration::from_millis(100))?;
        for copied in engine.settle()? {
            places.insert(copied.partition.clone(), copied.source_offset.get());
            runs.entry(copied.partition)
                .or_default()
                .extend(copied.runs);
        }
        if engine.in_transaction() {
            engine.put(&[]).and_then(|()| engine.commit())?;
        }
    }
    lab.target.wait_settled(&lab.topic, LIMIT)?;
    for partition in lab.partitions() {
        let (source, target) = (
            offsets(lab.source, &partition)?,
            offsets(lab.target, &partition)?,
        );
        assert!(!source.is_empty());
        let told: Vec<(i64, i64)> = runs
            .get(&partition)
            .into_iter()
            .flatten()
            .flat_map(|run| (0..run.length).map(|at| (run.source.plus(at), run.target.plus(at))))
            .map(|(source, target)| (source.get(), target.get()))
            .collect();
        let found: Vec<(i64, i64)> = source.into_iter().zip(target).collect();
        assert_eq!(told, found, "{partition}");
    }
    let comparison = lab.judge().compare_settled(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.copied == 600,
        "{comparison}"
    );
    Ok(())
}

/// One topic on both clusters of the shared pair.
struct Lab {
    source: &'static Cluster,
    target: &'static Cluster,
    topic: String,
    partitions: i32,
}

impl Lab {
    fn of(topic: &str, partitions: i32) -> Result<Self, Box<dyn Error>> {
        let pair = Pair::shared()?;
        for cluster in [&pair.source, &pair.target] {
            cluster.create_topic(topic, partitions, &[])?;
        }
        Ok(Self {
            source: &pair.source,
            target: &pair.target,
            topic: topic.to_owned(),
            partitions,
        })
    }

    fn partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), 0)
    }

    fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        (0..self.partitions).map(|partition| TopicPartition::new(self.topic.as_str(), partition))
    }

    fn write(&self, records: u64) -> Outcome {
        Workload::orders(self.source.client(), &self.topic)
            .records(records)
            .run()?;
        Ok(())
    }

    fn engine(&self, id: &str) -> Result<Librdkafka, Fault> {
        let (source, target) = (endpoint(self.source), endpoint(self.target));
        Librdkafka::new(&source, &target, id, Options::default())
    }

    fn judge(&self) -> Judge {
        Judge::new(self.source, self.target, &self.topic)
    }

    fn target_ends(&self) -> Result<understudy_tests::Ends, Box<dyn Error>> {
        let ends = self.target.ends(&self.topic)?;
        Ok(ends.get(&0).copied().ok_or("no partition 0")?)
    }

    fn open_transaction(&self) -> Result<bool, Box<dyn Error>> {
        Ok(!self.target_ends()?.is_settled())
    }
}

fn endpoint(cluster: &Cluster) -> Endpoint {
    let properties = cluster.client_properties(Listener::Plaintext);
    Endpoint::new(cluster.alias(), properties.into_iter().collect())
}

/// Advances until so many records of the open transaction were acknowledged.
fn copy_until(engine: &mut Librdkafka, records: u64) -> Outcome {
    let (deadline, mut moved) = (Instant::now() + LIMIT, 0);
    while moved < records {
        if Instant::now() >= deadline {
            return Err(format!("{moved} records moved, {records} wanted").into());
        }
        if engine.advance(Duration::from_millis(100))? == Advance::Moved {
            moved += copied_records(&engine.settle()?);
        }
    }
    Ok(())
}

fn copied_records(copied: &[Copied]) -> u64 {
    copied
        .iter()
        .flat_map(|copied| &copied.runs)
        .map(|run| run.length)
        .sum()
}

fn assert_fenced(result: Result<(), Fault>, call: &str) {
    assert!(
        matches!(result, Err(Fault::Fenced { .. })),
        "{call}: {result:?}"
    );
}

/// All of a record but its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

impl Content {
    fn new(key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        Self {
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: Vec::new(),
            timestamp: Some(1_700_000_000_000),
        }
    }

    fn send(&self, producer: &BaseProducer, topic: &str) -> Outcome {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0);
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record.timestamp = self.timestamp;
        if !self.headers.is_empty() {
            let mut headers = OwnedHeaders::new();
            for (name, value) in &self.headers {
                headers = headers.insert(Header {
                    key: std::str::from_utf8(name)?,
                    value: value.as_deref(),
                });
            }
            record = record.headers(headers);
        }
        producer.send(record).map_err(|(error, _)| error)?;
        Ok(())
    }
}

/// What a `read_committed` reader sees of a partition up to its present end.
fn read<T>(
    cluster: &Cluster,
    partition: &TopicPartition,
    take: impl Fn(&understudy_kafka::ffi::reader::Record) -> T,
) -> Result<Vec<T>, Box<dyn Error>> {
    let endpoint = endpoint(cluster);
    let mut reader = Reader::new(&endpoint.reader_to_end(), endpoint.watch.clone())?;
    reader.start(partition, 0)?;
    let end = cluster.ends(&partition.topic)?;
    let end = end
        .get(&partition.partition)
        .map_or(0, |end| end.last_stable);
    let (mut seen, mut fetched) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        reader.poll(Duration::from_millis(100), &mut fetched);
        for item in fetched.drain(..) {
            match item {
                Fetched::Record(_, record) => seen.push(take(&record)),
                Fetched::End(_, at) if at.get() >= end => return Ok(seen),
                Fetched::End(..) => {}
                Fetched::Fault(_, code, reason) => return Err(format!("{code} {reason}").into()),
            }
        }
    }
    Err(format!("{partition} did not end").into())
}

fn offsets(cluster: &Cluster, partition: &TopicPartition) -> Result<Vec<i64>, Box<dyn Error>> {
    read(cluster, partition, |record| record.offset())
}

fn contents(cluster: &Cluster, partition: &TopicPartition) -> Result<Vec<Content>, Box<dyn Error>> {
    read(cluster, partition, |record| Content {
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: record.headers(),
        timestamp: record.timestamp_ms(),
    })
}
