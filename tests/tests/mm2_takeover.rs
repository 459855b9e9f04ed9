//! A flow goes on where a MirrorMaker 2 stopped, in the same topics, and nothing is lost or doubled at the seam.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use serde_json::Value;
use understudy_domain::mm2::{ConnectOffsetKey, decode_connect_offset};
use understudy_tests::{
    Cluster, Comparison, ConnectWorker, FlowFile, Judge, Listener, MirrorMaker, Pair, Worker,
    Workload, package_file, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

/// A JVM that starts beside others on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(150);

#[test]
fn after_a_clean_stop_the_flow_goes_on_behind_the_last_copy_and_groups_keep_their_places() -> Outcome
{
    let Pair { source, target } = Pair::shared()?;
    let (here, there) = ("c1", "c2");
    source.create_topic("clean", 2, &[])?;
    fill(source, "clean", 1_500)?;
    let ends = source.ends("clean")?;
    let end = ends.get(&0).ok_or("no partition 0")?.last_stable;
    source.commit_group("clean-group", &[("clean", 0, 400)])?;
    let mut mirror = MirrorMaker::start(
        (here, source),
        (there, target),
        "clean",
        &["emit.checkpoints.interval.seconds = 1"],
    )?;
    wait_for("MirrorMaker 2 to copy", LIMIT, || {
        mirror.expect_running().map_err(|error| error.to_string())?;
        match copied(target, "c1.clean") {
            Ok(1_500) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    // Started before it stops: the worker waits.
    let worker = Worker::start(
        &flow("clean", (here, source), (there, target)),
        "clean-worker",
    )?;
    worker.wait_reason(&["MirrorMaker 2 still runs", "c1-mm2"], LIMIT)?;
    mirror.stop()?;
    // What others put among its checkpoints and syncs is passed over; so is what was taken back.
    for (cluster, topic) in [
        (target, "c1.checkpoints.internal"),
        (source, "mm2-offset-syncs.c2.internal"),
    ] {
        let noise: &[u8] = b"\x00\xffnot ours";
        cluster.write_record(topic, 0, Some(noise), Some(noise))?;
        cluster.write_record(topic, 0, Some(noise), None)?;
    }
    fill(source, "clean", 500)?;
    let verdict = judge(source, "clean", target, "c1.clean")?;
    assert!(verdict.is_exact(), "{verdict}");
    // What stood in MirrorMaker 2's copies stands there at least; what stands behind them, exactly.
    source.commit_group("clean-later", &[("clean", 0, end + 3)])?;
    worker.wait_status("both groups to have places", LIMIT, |status| {
        let old = place(status, "clean-group");
        let new = place(status, "clean-later");
        matches!(old, Some(("at-least", at)) if (1..=400).contains(&at))
            && matches!(new, Some(("exact", _)))
    })?;
    wait_for(
        "the old group to stand on the target",
        LIMIT,
        || match target.group_places("clean-group", "c1.clean") {
            Ok(places) if places.get(&0).is_some_and(|at| (1..=400).contains(at)) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )?;
    // The tools say the same, and do not call it exact.
    let flow_file = worker.flow().display().to_string();
    let output = understudy(["verify", &flow_file, "--json"], LIMIT)?;
    let found: &Value = &serde_json::from_slice(&output.stdout)?;
    let state = |group: &str| {
        let mut places = listed(found).into_iter().flatten();
        let place = places.find(|place| place["group"] == group && place["partition"] == 0);
        place.map_or(Value::Null, |place| place["state"].clone())
    };
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert_eq!(state("clean-group"), "at-least", "{found}");
    assert_eq!(state("clean-later"), "exact", "{found}");
    let output = understudy(
        ["translate", &flow_file, "--group", "clean-group", "--json"],
        LIMIT,
    )?;
    let line: &Value = &serde_json::from_slice(&output.stdout)?;
    assert_eq!(line["translation"], "at-least", "{line}");
    assert!(
        line["target_offset"]
            .as_i64()
            .is_some_and(|at| (1..=400).contains(&at)),
        "{line}"
    );
    // A restart goes on from its own positions, whatever MirrorMaker 2 stored.
    worker.terminate()?;
    worker.wait(LIMIT)?;
    fill(source, "clean", 100)?;
    worker.restart()?;
    let verdict = judge(source, "clean", target, "c1.clean")?;
    assert!(verdict.is_exact(), "{verdict}");
    // And back: MirrorMaker 2 goes on behind the flow's last copy, under the very keys that it stored itself.
    worker.terminate()?;
    worker.wait(LIMIT)?;
    let file = worker.flow().display().to_string();
    wait_for("the places to be stored for MirrorMaker 2", LIMIT, || {
        let out = understudy(["export-mm2", &file], LIMIT).map_err(|error| error.to_string())?;
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        out.status.success().then_some(()).ok_or(words)
    })?;
    let keys: BTreeSet<Vec<u8>> = target
        .read_all("mm2-offsets.c1.internal")?
        .into_iter()
        .map(|record| record.key)
        .filter(|key| String::from_utf8_lossy(key).contains("\"clean\""))
        .collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    fill(source, "clean", 300)?;
    let mut mirror = MirrorMaker::start((here, source), (there, target), "clean", &[])?;
    let verdict = judge(source, "clean", target, "c1.clean")?;
    mirror.expect_running()?;
    assert!(verdict.is_exact(), "{verdict}");
    Ok(())
}

#[test]
fn after_a_crash_under_load_what_was_copied_and_not_stored_is_not_copied_again() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let (here, there) = ("k1", "k2");
    source.create_topic("crash", 2, &[])?;
    fill(source, "crash", 200)?;
    let mut mirror = MirrorMaker::start(
        (here, source),
        (there, target),
        "crash",
        &["k2.offset.flush.interval.ms = 5000"],
    )?;
    let load = Workload::orders(source.client(), "crash")
        .producer("load")
        .value_bytes(100)
        .rate(300)
        .records(1_000_000)
        .start()?;
    wait_for("copies beyond the stored place", LIMIT, || {
        mirror.expect_running().map_err(|error| error.to_string())?;
        copied_beyond(target, "k1.crash", "mm2-offsets.k1.internal", "crash")
    })?;
    mirror.kill()?;
    let worker = Worker::start(
        &flow("crash", (here, source), (there, target)),
        "crash-worker",
    )?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let verdict = judge(source, "crash", target, "k1.crash")?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    Ok(())
}

/// What makes MirrorMaker 2 copy in transactions; one that died with it ends soon.
const EXACTLY_ONCE: [&str; 4] = [
    "exactly.once.source.support = enabled",
    "dedicated.mode.enable.internal.rest = true",
    "listeners = http://localhost:0",
    "producer.transaction.timeout.ms = 10000",
];

#[test]
fn after_a_clean_stop_of_one_that_copied_exactly_once_the_flow_goes_on_behind_its_last_copy()
-> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let (here, there) = ("e1", "e2");
    source.create_topic("eos", 2, &[])?;
    fill(source, "eos", 1_000)?;
    let mut mirror = MirrorMaker::start((here, source), (there, target), "eos", &EXACTLY_ONCE)?;
    let verdict = judge(source, "eos", target, "e1.eos")?;
    mirror.expect_running()?;
    assert!(verdict.is_exact(), "{verdict}");
    mirror.stop()?;
    fill(source, "eos", 300)?;
    let worker = Worker::start(&flow("eos", (here, source), (there, target)), "eos-worker")?;
    let verdict = judge(source, "eos", target, "e1.eos")?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    Ok(())
}

#[test]
fn after_a_crash_of_one_that_copied_exactly_once_nothing_is_lost_or_copied_again() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let (here, there) = ("x1", "x2");
    source.create_topic("eos-crash", 2, &[])?;
    fill(source, "eos-crash", 200)?;
    let mut mirror =
        MirrorMaker::start((here, source), (there, target), "eos-crash", &EXACTLY_ONCE)?;
    let load = Workload::orders(source.client(), "eos-crash")
        .producer("load")
        .value_bytes(100)
        .rate(300)
        .records(1_000_000)
        .start()?;
    wait_for("some hundred copies in transactions", LIMIT, || {
        mirror.expect_running().map_err(|error| error.to_string())?;
        match copied(target, "x1.eos-crash") {
            Ok(copied) if copied > 700 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    mirror.kill()?;
    let worker = Worker::start(
        &flow("eos-crash", (here, source), (there, target)),
        "eos-crash-worker",
    )?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let verdict = judge(source, "eos-crash", target, "x1.eos-crash")?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    Ok(())
}

#[test]
fn after_its_connector_was_deleted_from_a_connect_cluster_the_flow_goes_on_behind_the_last_copy()
-> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let (here, there) = ("n1", "n2");
    source.create_topic("connected", 2, &[])?;
    fill(source, "connected", 1_000)?;
    let mut connect = ConnectWorker::start(target, "connect-here", "connect-places")?;
    connect.mirror("west", (here, source), (there, target), "connected")?;
    let verdict = judge(source, "connected", target, "n1.connected")?;
    assert!(verdict.is_exact(), "{verdict}");
    connect.delete("west")?;
    fill(source, "connected", 300)?;
    let mut mm2 = toml::Table::new();
    mm2.insert("offsets_topic".to_owned(), "connect-places".into());
    mm2.insert("connector".to_owned(), "west".into());
    let file = flow("connected", (here, source), (there, target)).mirror("mm2", mm2);
    let worker = Worker::start(&file, "connected-worker")?;
    let verdict = judge(source, "connected", target, "n1.connected")?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    // The Connect cluster goes on for others.
    connect.expect_running()?;
    Ok(())
}

#[test]
fn after_a_connect_worker_crashed_under_load_what_it_had_not_stored_is_not_copied_again() -> Outcome
{
    let Pair { source, target } = Pair::shared()?;
    let (here, there) = ("q1", "q2");
    let (group, places) = ("connect-killed", "connect-killed-places");
    source.create_topic("killed", 2, &[])?;
    fill(source, "killed", 200)?;
    let mut connect = ConnectWorker::start(target, group, places)?;
    connect.mirror("west", (here, source), (there, target), "killed")?;
    let load = Workload::orders(source.client(), "killed")
        .producer("load")
        .value_bytes(100)
        .rate(300)
        .records(1_000_000)
        .start()?;
    wait_for("copies beyond the stored place", LIMIT, || {
        connect
            .expect_running()
            .map_err(|error| error.to_string())?;
        copied_beyond(target, "q1.killed", places, "killed")
    })?;
    connect.kill()?;
    let mut mm2 = toml::Table::new();
    for (key, value) in [
        ("offsets_topic", places),
        ("connector", "west"),
        ("group", group),
    ] {
        mm2.insert(key.to_owned(), value.into());
    }
    let file = flow("killed", (here, source), (there, target)).mirror("mm2", mm2);
    let worker = Worker::start(&file, "killed-worker")?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let verdict = judge(source, "killed", target, "q1.killed")?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    Ok(())
}

#[test]
fn places_of_a_connect_cluster_are_followed_and_what_cannot_be_told_halts_its_partition() -> Outcome
{
    let Pair { source, target } = Pair::shared()?;
    let records = |from: i64, to: i64| -> Vec<(String, i64)> {
        (from..to)
            .map(|number| (format!("record {number}"), 1_700_000_000_000 + number))
            .collect()
    };
    // By topic: what the source holds, what the target does, and the last offset that Connect stored.
    let alike = |count| vec![("same".to_owned(), 1_700_000_000_000); count];
    let crashed_twice: Vec<_> = [records(0, 60), records(50, 70), records(50, 55)].concat();
    for (topic, here, there) in [
        ("seam-clean", records(0, 80), records(0, 50)),
        ("seam-crash", records(0, 80), records(0, 63)),
        ("seam-twice", records(0, 80), crashed_twice),
        ("seam-quiet", records(0, 50), records(0, 50)),
        ("seam-unstored", records(0, 80), records(0, 7)),
        ("seam-foreign", records(0, 80), records(500, 520)),
        ("seam-alike", alike(20), alike(10)),
    ] {
        source.create_topic(topic, 1, &[])?;
        target.create_topic(topic, 1, &[])?;
        source.write_at(topic, 0, &here)?;
        target.write_at(topic, 0, &there)?;
    }
    target.create_topic("connect-offsets", 3, &[("cleanup.policy", "compact")])?;
    // A Connect cluster's other connectors keep what they like there.
    let noise: &[u8] = b"\x00\xffnot ours";
    target.write_record("connect-offsets", 0, Some(noise), Some(noise))?;
    target.write_record("connect-offsets", 1, Some(noise), None)?;
    let stored = [
        "seam-clean:0:49",
        "seam-crash:0:49",
        "seam-twice:0:49",
        "seam-quiet:0:49",
        "seam-foreign:0:49",
        "seam-alike:0:4",
    ];
    store(
        target,
        "connect-offsets",
        "west.MirrorSourceConnector",
        "d1",
        &stored,
    )?;
    let mut mm2 = toml::Table::new();
    mm2.insert("offsets_topic".to_owned(), "connect-offsets".into());
    let file = FlowFile::with_clients(
        ("d1", source.client_properties(Listener::Link)),
        ("d2", target.client_properties(Listener::Plaintext)),
        target.dir(),
    )
    .named("seam")
    .topics(["seam-.*"])
    .slots(2)
    .mirror("start", "mm2");
    // Another connector's name is refused before anything is copied twice.
    let worker = Worker::start(&file.clone().mirror("mm2", mm2.clone()), "seam-worker")?;
    worker.wait_reason(
        &["west.MirrorSourceConnector", "mirror.mm2.connector"],
        LIMIT,
    )?;
    worker.kill()?;
    mm2.insert("connector".to_owned(), "west.MirrorSourceConnector".into());
    let worker = Worker::start(&file.mirror("mm2", mm2), "seam-worker-2")?;
    let halted = ["seam-alike", "seam-foreign"];
    worker.wait_status(
        "two partitions to be halted and no other",
        LIMIT,
        |status| {
            let lines = status.get("partitions").and_then(Value::as_array);
            let lines = lines.map(Vec::as_slice).unwrap_or_default();
            lines.len() == 7
                && lines.iter().all(|line| {
                    let is_halted = line["state"] == "halted";
                    let should = halted.iter().any(|topic| line["topic"] == **topic);
                    is_halted == should && (is_halted || line["lag_records"] == 0)
                })
        },
    )?;
    worker.wait_reason(&["seam-foreign", "mirror.mm2.seam"], LIMIT)?;
    // What MirrorMaker 2 doubled itself stays; nothing is added to it but what was missing.
    let twice = [records(0, 60), records(50, 70), records(50, 80)].concat();
    for (topic, expected) in [
        ("seam-clean", records(0, 80)),
        ("seam-crash", records(0, 80)),
        ("seam-twice", twice),
        ("seam-quiet", records(0, 50)),
        ("seam-unstored", records(0, 80)),
        ("seam-foreign", records(500, 520)),
        ("seam-alike", alike(10)),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(value, timestamp)| (Some(value.into_bytes()), Some(timestamp)))
            .collect();
        wait_for(&format!("{topic} to be whole"), LIMIT, || {
            let all = target.read_all(topic).map_err(|error| error.to_string())?;
            let found: Vec<_> = all
                .into_iter()
                .map(|record| (record.value, record.timestamp_ms))
                .collect();
            (found == expected)
                .then_some(())
                .ok_or(format!("{} records: {found:?}", found.len()))
        })?;
    }
    Ok(())
}

fn fill(source: &Cluster, topic: &str, records: u64) -> Outcome {
    Workload::orders(source.client(), topic)
        .producer(format!("{topic}-{records}"))
        .value_bytes(100)
        .records(records)
        .run()?;
    Ok(())
}

fn flow(
    name: &str,
    (here, source): (&str, &Cluster),
    (there, target): (&str, &Cluster),
) -> FlowFile {
    FlowFile::with_clients(
        (here, source.client_properties(Listener::Link)),
        (there, target.client_properties(Listener::Plaintext)),
        target.dir(),
    )
    .named(name)
    .topics([name])
    .groups([format!("{name}-.*")])
    .slots(2)
    .mirror("policy", "prefixed")
    .mirror("start", "mm2")
}

fn judge(
    source: &Cluster,
    topic: &str,
    target: &Cluster,
    copy: &str,
) -> Result<Comparison, Box<dyn Error>> {
    let mut judge = Judge::with_clients((source.client(), topic), (target.client(), copy));
    Ok(judge.wait_exact(LIMIT)?)
}

/// How many records a topic holds that no transaction wrote.
fn copied(cluster: &Cluster, topic: &str) -> Result<i64, Box<dyn Error>> {
    if cluster.partitions(topic)?.is_none() {
        return Ok(0);
    }
    let ends = cluster.ends(topic)?;
    Ok(ends.values().map(|end| end.last_stable).sum())
}

/// Whether both partitions hold a hundred copies more than is stored; the source has no markers, so places are counts.
fn copied_beyond(target: &Cluster, copy: &str, offsets: &str, topic: &str) -> Result<(), String> {
    let stored = stored(target, offsets, topic).map_err(|error| error.to_string())?;
    let there: i64 = stored.values().sum();
    let copied = copied(target, copy).map_err(|error| error.to_string())?;
    match stored.len() == 2 && copied > there + 100 {
        true => Ok(()),
        false => Err(format!("{copied} copied, {stored:?} stored")),
    }
}

/// By partition of `topic`: the next record, as MirrorMaker 2 stored it.
fn stored(
    target: &Cluster,
    offsets: &str,
    topic: &str,
) -> Result<BTreeMap<i32, i64>, Box<dyn Error>> {
    let mut stored = BTreeMap::new();
    for record in target.read_all(offsets)? {
        let Some(value) = &record.value else { continue };
        let Some((_, partition)) = ConnectOffsetKey::decode(&record.key)?.place else {
            continue;
        };
        if &*partition.topic == topic {
            stored.insert(partition.partition, decode_connect_offset(value)?.get());
        }
    }
    Ok(stored)
}

fn place<'a>(status: &'a Value, group: &str) -> Option<(&'a str, i64)> {
    let lines = status.get("groups")?.as_array()?;
    let line = lines
        .iter()
        .find(|line| line["group"] == group && line["partition"] == 0)?;
    Some((line["state"].as_str()?, line["target_offset"].as_i64()?))
}

fn store(target: &Cluster, topic: &str, connector: &str, alias: &str, places: &[&str]) -> Outcome {
    let program = package_file("java/Mm2Oracle.java");
    let bootstrap = target.bootstrap();
    let mut arguments = vec!["store", bootstrap.as_str(), topic, connector, alias];
    arguments.extend(places);
    target.kafka().run_source(&program, &arguments)?;
    Ok(())
}

/// The places of groups that `verify` found.
fn listed(found: &Value) -> Option<&Vec<Value>> {
    found.pointer("/groups/places")?.as_array()
}
