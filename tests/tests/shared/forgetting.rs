//! The offset map forgets what neither log holds any more, and nothing else.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use understudy_domain::{
    FlowName, GapCause, GapKey, GapRecord, GapState, MapCursor, MapKey, MapRecord, OpenChunk,
    Origin, Pending, Position, Run, SourceOffset, StateTopics, TargetOffset, TopicPartition,
};
use understudy_tests::{Cluster, FlowFile, Pair, Worker, understudy, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);
const TOPIC: &str = "forgetting";
/// Transactions copied long ago, each sealed into a chunk of its own.
const CHUNKS: u64 = 10;
/// Records of each.
const RECORDS: u64 = 100;

#[test]
fn chunks_below_both_log_starts_are_tombstoned_and_the_rest_still_answers() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topics = StateTopics::new(FlowName::new(TOPIC)?);
    copied_long_ago(source, target, &topics, TOPIC, None)?;
    let file = FlowFile::new(source, target)
        .named(TOPIC)
        .topics([TOPIC])
        .groups(["forgetful"])
        .slots(1)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "forgetting-worker")?;
    worker.wait_copied(source, TOPIC, LIMIT)?;
    source.commit_group("forgetful", &[(TOPIC, 0, 350)])?;
    stands(target, 353)?;

    source.delete_records_before(TOPIC, 0, 720)?;
    target.delete_records_before(TOPIC, 0, 727)?;
    wait_for("tombstones", LIMIT, || {
        match forgotten(target, &topics).map_err(|error| error.to_string())? {
            chunks if chunks == (0..7).collect::<Vec<_>>() => Ok(()),
            chunks => Err(format!("{chunks:?}")),
        }
    })?;

    source.commit_group("forgetful", &[(TOPIC, 0, 850)])?;
    stands(target, 858)?;
    for (offset, translation, place) in [
        (720, "exact", Some(727)),
        (999, "exact", Some(1008)),
        (350, "before-history", None),
    ] {
        let line = &translate(&worker, offset)?;
        assert_eq!(
            (line["translation"].as_str(), line["target_offset"].as_i64()),
            (Some(translation), place),
            "{line}"
        );
    }
    // A worker that takes over reads what is left.
    worker.kill()?;
    worker.restart()?;
    source.commit_group("forgetful", &[(TOPIC, 0, 901)])?;
    stands(target, 910)
}

#[test]
fn a_place_in_a_lost_chunk_is_at_least_for_worker_and_tools_and_never_called_exact() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topics = StateTopics::new(FlowName::new("holed")?);
    copied_long_ago(source, target, &topics, "holed", Some(4))?;
    let file = FlowFile::new(source, target)
        .named("holed")
        .topics(["holed"])
        .groups(["holed-.*"])
        .slots(1)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "holed-worker")?;
    worker.wait_copied(source, "holed", LIMIT)?;
    source.commit_group("holed-in", &[("holed", 0, 450)])?;
    source.commit_group("holed-behind", &[("holed", 0, 550)])?;
    // The chunk's beginning is known, and the records before it are copied for sure.
    for (group, place) in [("holed-in", 404), ("holed-behind", 555)] {
        wait_for(&format!("the place of {group}"), LIMIT, || {
            let found = target.group_places(group, "holed");
            match found.map_err(|error| error.to_string())?.get(&0) {
                Some(found) if *found == place => Ok(()),
                other => Err(format!("{other:?}, not {place}")),
            }
        })?;
    }
    let flow = worker.flow().display().to_string();
    let output = understudy(["verify", &flow, "--json"], LIMIT)?;
    let found: &Value = &serde_json::from_slice(&output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{found}");
    let place = |group: &str| {
        let mut places = listed(found).into_iter().flatten();
        let place = places.find(|place| place["group"] == group);
        place.cloned().unwrap_or_default()
    };
    let line = &place("holed-behind");
    assert_eq!(line["state"], "exact", "{found}");
    let line = &place("holed-in");
    assert_eq!(line["state"], "at-least", "{found}");
    assert_eq!(line["reread_records"], 50, "{found}");
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("part of the offset map is lost"), "{line}");
    let faults = found["partitions"].to_string();
    assert!(faults.contains("chunk 4 is missing"), "{found}");
    let output = understudy(["verify", &flow], LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("1 of 2 exact") && text.contains("at-least"),
        "{text}"
    );
    Ok(())
}

#[test]
fn settled_gaps_are_forgotten_once_they_are_old_and_nobody_can_ask_for_them() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topics = StateTopics::new(FlowName::new("settled")?);
    source.create_topic("settled", 1, &[])?;
    let producer: BaseProducer = source.client().create()?;
    for number in 0..300 {
        send(&producer, "settled", None, number.to_string().as_bytes())?;
    }
    producer.flush(LIMIT)?;
    let file = FlowFile::new(source, target)
        .named("settled")
        .topics(["settled"])
        .slots(1);
    let worker = Worker::start(&file, "settled-worker")?;
    worker.wait_copied(source, "settled", LIMIT)?;
    worker.kill()?;
    // As an earlier worker would have left them.
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let (hour, day) = (3_600_000, 24);
    let put = |start: i64, age: i64, state: GapState| -> Outcome {
        let key = GapKey {
            partition: TopicPartition::new("settled", 0),
            incarnation: 0,
            start: SourceOffset::new(start),
        };
        let record = GapRecord {
            end: Some(SourceOffset::new(start + 10)),
            cause: GapCause::Deleted,
            reason: "long ago".to_owned(),
            found_at_ms: now - age * hour,
            state,
            resolution: None,
        };
        target.write_record(
            &topics.gaps(),
            0,
            Some(&key.encode()),
            Some(&record.encode()),
        )?;
        Ok(())
    };
    // More than a worker remembers, of which some are young and some lie in what the source still holds.
    for start in 0..140 {
        put(start, 31 * day, GapState::Skipped)?;
    }
    for (start, age) in [(150, 29 * day), (195, 30 * day + 1), (250, 30 * day + 2)] {
        put(start, age, GapState::Skipped)?;
    }
    source.delete_records_before("settled", 0, 200)?;
    worker.restart()?;
    let flow = worker.flow().display().to_string();
    wait_for("old gaps to be forgotten", LIMIT, || {
        let output = understudy(["gaps", &flow, "list", "--json"], LIMIT)
            .map_err(|error| error.to_string())?;
        let found: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let starts: Vec<i64> = found
            .pointer("/gaps")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|gap| gap["start"].as_i64())
            .collect();
        match starts == [150, 195, 250] {
            true => Ok(()),
            false => Err(format!("{starts:?}")),
        }
    })?;
    // What is left is shown, and records flow.
    worker.wait_status("the gaps that are left", LIMIT, |status| {
        status["gaps"].as_array().map(Vec::len) == Some(3)
    })?;
    send(&producer, "settled", None, b"more")?;
    producer.flush(LIMIT)?;
    worker.wait_copied(source, "settled", LIMIT)?;
    Ok(())
}

/// Records on both sides, and the state of a flow that has copied them; one chunk of its map may be lost.
fn copied_long_ago(
    source: &Cluster,
    target: &Cluster,
    topics: &StateTopics,
    topic: &str,
    lost: Option<u64>,
) -> Outcome {
    for cluster in [source, target] {
        cluster.create_topic(topic, 1, &[])?;
    }
    for state in [topics.positions(), topics.offset_map()] {
        target.create_topic(&state, 1, &[("cleanup.policy", "compact")])?;
    }
    let original: BaseProducer = source.client().set("linger.ms", "5").create()?;
    let copy: BaseProducer = target
        .client()
        .set("linger.ms", "5")
        .set("transactional.id", format!("{topic}-before"))
        .create()?;
    copy.init_transactions(LIMIT)?;
    let state: BaseProducer = target.client().create()?;
    let name = TopicPartition::new(topic, 0);
    let (mut open, mut at) = (OpenChunk::new(), 0);
    let put = |pending: &Pending, at: &mut i64| -> Outcome {
        for record in pending.writes() {
            if matches!(record, MapRecord::Chunk { chunk, .. } if Some(*chunk) == lost) {
                continue;
            }
            let key = record.key(&name).encode();
            send(&state, &topics.offset_map(), Some(&key), &record.encode())?;
            *at += 1;
        }
        Ok(())
    };
    for chunk in 0..CHUNKS {
        copy.begin_transaction()?;
        for record in 0..RECORDS {
            let value = (chunk * RECORDS + record).to_string();
            for producer in [&original, &copy] {
                send(producer, topic, None, value.as_bytes())?;
            }
        }
        original.flush(LIMIT)?;
        copy.commit_transaction(LIMIT)?;
        let run = Run {
            source: SourceOffset::ZERO.plus(chunk * RECORDS),
            target: TargetOffset::ZERO.plus(chunk * (RECORDS + 1)),
            length: RECORDS,
        };
        let pending = open.plan(vec![run], at)?;
        put(&pending, &mut at)?;
        open.commit(pending)?;
        let pending = open.renew(at);
        put(&pending, &mut at)?;
        open.commit(pending)?;
    }
    let position = Position {
        source_offset: SourceOffset::ZERO.plus(CHUNKS * RECORDS),
        source_leader_epoch: None,
        source_topic_id: None,
        target_offset: TargetOffset::ZERO.plus(CHUNKS * (RECORDS + 1) - 1),
        source_end_offset: None,
        source_end_seen_at_ms: None,
        former: Vec::new(),
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
            // The last chunk and the directory behind it.
            from: at - 2,
        },
        records: CHUNKS * RECORDS,
    };
    let key = Position::key(&name);
    send(&state, &topics.positions(), Some(&key), &position.encode())?;
    Ok(state.flush(LIMIT)?)
}

fn send(producer: &BaseProducer, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Outcome {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic)
        .partition(0)
        .payload(value);
    if let Some(key) = key {
        record = record.key(key);
    }
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(())
}

/// Chunks of the map whose newest record is a tombstone.
fn forgotten(target: &Cluster, topics: &StateTopics) -> Result<Vec<u64>, Box<dyn Error>> {
    let topic = topics.offset_map();
    let end = target
        .ends(&topic)?
        .get(&0)
        .map_or(0, |end| end.last_stable);
    let consumer: BaseConsumer = target
        .client()
        .set("group.id", "forgetting-look")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&topic, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    let mut chunks = BTreeMap::new();
    wait_for("the offset map to be read", LIMIT, || {
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let key = MapKey::decode(message.key().unwrap_or_default());
                    if let Ok(MapKey::Chunk { chunk, .. }) = key {
                        chunks.insert(chunk, message.payload().is_none());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(format!("{} chunks before {end}", chunks.len())),
            }
        }
    })?;
    let gone = chunks.into_iter().filter(|(_, gone)| *gone);
    Ok(gone.map(|(chunk, _)| chunk).collect())
}

fn stands(target: &Cluster, place: i64) -> Outcome {
    wait_for("the group's place", LIMIT, || {
        let found = target.group_places("forgetful", TOPIC);
        let found = found.map_err(|error| error.to_string())?.get(&0).copied();
        (found == Some(place))
            .then_some(())
            .ok_or(format!("{found:?}, not {place}"))
    })?;
    Ok(())
}

fn translate(worker: &Worker, offset: i64) -> Result<Value, Box<dyn Error>> {
    let flow = worker.flow().display().to_string();
    let offset = offset.to_string();
    let arguments = [
        "translate",
        &flow,
        "--topic",
        TOPIC,
        "--partition",
        "0",
        "--offset",
        &offset,
        "--json",
    ];
    let output = understudy(arguments, LIMIT)?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The places of groups that `verify` found.
fn listed(found: &Value) -> Option<&Vec<Value>> {
    found.pointer("/groups/places")?.as_array()
}
