//! MirrorMaker 2's own integration tests, told anew for any replicator between two clusters. Which of them is which of
//! our tests is in `docs/mm2-scenarios.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_tests::{
    Cluster, FlowFile, Judge, Listener, Pair, Worker, Workload, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
/// As MirrorMaker 2's tests have it.
const PARTITIONS: i32 = 10;
const RECORDS: i64 = 100;

/// `testReplication`.
#[test]
fn both_directions_carry_records_configs_places_and_later_topics() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let (a, b) = (source, target);
    for cluster in [a, b] {
        let configs = [("cleanup.policy", "compact"), ("min.insync.replicas", "1")];
        cluster.create_topic("twoway", PARTITIONS, &configs)?;
        fill(cluster, "twoway", 0..PARTITIONS)?;
    }
    let file = |source: &Cluster, target: &Cluster| {
        flow(source, target, &format!("twoway-{}", source.alias()))
            .topics(["twoway.*"])
            .groups(["twoway-.*"])
            .mirror("policy", "prefixed")
    };
    let there = Worker::start(&file(a, b), "twoway-1")?;
    let back = Worker::start(&file(b, a), "twoway-2")?;
    for (worker, from, to) in [(&there, a, b), (&back, b, a)] {
        let copy = format!("{}.twoway", from.alias());
        worker.wait_copied(from, "twoway", LIMIT)?;
        expect_copy(from, "twoway", to, &copy)?;
        assert_eq!(
            to.topic_config(&copy, "cleanup.policy")?.as_deref(),
            Some("compact")
        );
        // A group that has read 10 records of each partition stands behind their copies.
        let group = format!("twoway-{}", from.alias());
        let places: Vec<_> = (0..PARTITIONS).map(|at| ("twoway", at, 5)).collect();
        from.commit_group(&group, &places)?;
        for at in 0..PARTITIONS {
            expect_place(from, "twoway", to, &copy, &group, at, 5)?;
        }
    }
    // Later topics, of which one partition has records.
    for (cluster, topic) in [(a, "twoway-later-a"), (b, "twoway-later-b")] {
        cluster.create_topic(topic, PARTITIONS, &[])?;
        fill(cluster, topic, 3..4)?;
    }
    there.wait_copied(a, "twoway-later-a", LIMIT)?;
    back.wait_copied(b, "twoway-later-b", LIMIT)?;
    expect_copy(a, "twoway-later-a", b, "use1.twoway-later-a")?;
    expect_copy(b, "twoway-later-b", a, "usw2.twoway-later-b")?;
    // A group of theirs follows as well.
    a.commit_group("twoway-later", &[("twoway-later-a", 3, 4)])?;
    expect_place(
        a,
        "twoway-later-a",
        b,
        "use1.twoway-later-a",
        "twoway-later",
        3,
        4,
    )?;
    // No copy of a copy.
    for (cluster, topic) in [(a, "usw2.use1.twoway"), (b, "use1.usw2.twoway")] {
        assert_eq!(cluster.partitions(topic)?, None, "{topic}");
    }
    Ok(())
}

/// `testOneWayReplicationWithFrequentOffsetSyncs`, `testRefreshTopicPartitionsTopicOnTargetFirst` and
/// `testFindConsumerGroupsInCommonScenarios`.
#[test]
fn one_way_makes_nothing_on_the_source_and_only_groups_of_mirrored_topics_on_the_target() -> Outcome
{
    let Pair { source, target } = Pair::shared()?;
    for topic in ["oneway", "oneway-not"] {
        source.create_topic(topic, PARTITIONS, &[])?;
        fill(source, topic, 0..PARTITIONS)?;
    }
    target.create_topic("oneway-only-there", 1, &[])?;
    fill(target, "oneway-only-there", 0..1)?;
    let end = |topic, offset| -> Vec<_> { (0..PARTITIONS).map(|at| (topic, at, offset)).collect() };
    source.commit_group("oneway-reads", &end("oneway", 10))?;
    source.commit_group("oneway-elsewhere", &end("oneway-not", 10))?;
    let both = [end("oneway", 4), end("oneway-not", 4)].concat();
    source.commit_group("oneway-both", &both)?;
    source.commit_group("unwanted", &end("oneway", 10))?;
    let file = flow(source, target, "oneway")
        .topics(["oneway", "oneway-only-there"])
        .groups(["oneway-.*"]);
    let worker = Worker::start(&file, "oneway-1")?;
    worker.wait_copied(source, "oneway", LIMIT)?;
    for at in 0..PARTITIONS {
        expect_place(source, "oneway", target, "oneway", "oneway-both", at, 4)?;
        // Nothing is read again: it stands at the end.
        wait_place(target, "oneway-reads", "oneway", at, |place| {
            // A commit's marker may lie between the last copy and the end.
            let ends = target.ends("oneway").unwrap_or_default();
            ends.get(&at)
                .is_some_and(|end| end.last_stable - place <= 1)
        })?;
    }
    let found = groups(target)?;
    for absent in ["oneway-elsewhere", "unwanted"] {
        assert!(!found.contains(&absent.to_owned()), "{found:?}");
    }
    assert!(target.group_places("oneway-both", "oneway-not")?.is_empty());
    for topic in ["oneway-not", "use1.oneway", "usw2.oneway"] {
        assert_eq!(target.partitions(topic)?, None, "{topic}");
    }
    for topic in ["oneway-only-there", "usw2.oneway", "usw2.oneway-only-there"] {
        assert_eq!(source.partitions(topic)?, None, "{topic}");
    }
    assert_eq!(worker.get("/readyz")?.code, 200);
    Ok(())
}

/// `testReplicationWithEmptyPartition`.
#[test]
fn a_group_on_a_partition_that_was_never_written_stands_at_its_beginning() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("empty", 2, &[])?;
    fill(source, "empty", 0..1)?;
    source.commit_group("empty-group", &[("empty", 0, 5), ("empty", 1, 0)])?;
    let file = flow(source, target, "empty")
        .topics(["empty"])
        .groups(["empty-.*"]);
    let worker = Worker::start(&file, "empty-1")?;
    worker.wait_copied(source, "empty", LIMIT)?;
    expect_place(source, "empty", target, "empty", "empty-group", 0, 5)?;
    wait_place(target, "empty-group", "empty", 1, |place| place == 0)
}

/// `testNoCheckpointsIfNoRecordsAreMirrored`, `testNoCheckpointForTopicWithoutOffsetSyncs`.
#[test]
fn a_group_has_no_place_before_its_records_are_copied_and_the_right_one_afterwards() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("unseen", 1, &[])?;
    let file = flow(source, target, "unseen")
        .topics(["unseen"])
        .groups(["unseen-.*"]);
    let worker = Worker::start(&file, "unseen-1")?;
    worker.wait_status("the partition", LIMIT, |status| {
        status["partitions"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    })?;
    pause(&worker, "pause")?;
    worker.wait_status("the topic to wait", LIMIT, |status| {
        let mut lines = status["partitions"].as_array().into_iter().flatten();
        lines.any(|line| line["state"] == "paused")
    })?;
    fill(source, "unseen", 0..1)?;
    source.commit_group("unseen-group", &[("unseen", 0, 7)])?;
    worker.wait_status("the group to be ahead", LIMIT, |status| {
        let mut lines = status["groups"].as_array().into_iter().flatten();
        lines.any(|line| line["group"] == "unseen-group" && line["state"] == "ahead")
    })?;
    assert!(target.group_places("unseen-group", "unseen")?.is_empty());
    pause(&worker, "resume")?;
    worker.wait_copied(source, "unseen", LIMIT)?;
    expect_place(source, "unseen", target, "unseen", "unseen-group", 0, 7)
}

/// `testRestartReplication`, `testCheckpointsTaskRestartUsesExistingCheckpoints`,
/// `testOffsetTranslationBehindReplicationFlow`.
#[test]
fn over_a_restart_places_go_on_and_go_back_only_with_their_group() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("restarted", 1, &[])?;
    let write = |name: &str, records| {
        Workload::orders(source.client(), "restarted")
            .producer(name)
            .value_bytes(50)
            .records(records)
            .run()
    };
    write("old", 10_000)?;
    let file = flow(source, target, "restarted")
        .topics(["restarted"])
        .groups(["restarted-.*"]);
    let worker = Worker::start(&file, "restarted-1")?;
    worker.wait_copied(source, "restarted", LIMIT)?;
    let group = "restarted-group";
    let place = |offset| -> Outcome {
        source.commit_group(group, &[("restarted", 0, offset)])?;
        expect_place(source, "restarted", target, "restarted", group, 0, offset)
    };
    let stands = || -> Result<i64, Box<dyn Error>> {
        let places = target.group_places(group, "restarted")?;
        places.get(&0).copied().ok_or_else(|| "no place".into())
    };
    place(9_000)?;
    place(1_000)?;
    place(9_500)?;
    let before = stands()?;
    worker.kill()?;
    write("new", 500)?;
    worker.restart()?;
    // Never back, at any moment of the restart.
    let ends = source.ends("restarted")?;
    let end = ends.get(&0).ok_or("no partition")?.last_stable;
    wait_for("the new records", LIMIT, || {
        let now = stands().map_err(|error| error.to_string())?;
        if now < before {
            return Ok(Err(format!("it went back from {before} to {now}")));
        }
        let copies = target
            .ends("restarted")
            .map_err(|error| error.to_string())?;
        match copies.get(&0) {
            // Markers only add to it.
            Some(copies) if copies.last_stable >= end => Ok(Ok(())),
            other => Err(format!("{other:?} of {end}")),
        }
    })??;
    assert_eq!(stands()?, before);
    place(10_200)
}

/// `testMultiNodeCluster` of `DedicatedMirrorIntegrationTest`.
#[test]
fn three_workers_find_topics_one_by_one_and_take_a_new_config_one_after_the_other() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    // Aliases as MirrorMaker 2's test has them, as far as topic names allow.
    let file = |topics: &str| {
        FlowFile::with_clients(
            ("A-b_9", source.client_properties(Listener::Plaintext)),
            ("B.c-8", target.client_properties(Listener::Plaintext)),
            target.dir(),
        )
        .named("nodes")
        .slots(3)
        .topics([topics])
        .mirror("policy", "prefixed")
        .mirror("topic_discovery_interval", "500ms")
    };
    let mut workers = Vec::new();
    for at in 0..3 {
        workers.push(Worker::start(&file("nodes-a.*"), &format!("nodes-{at}"))?);
    }
    let appears = |topic: &str| -> Outcome {
        source.create_topic(topic, 3, &[])?;
        fill(source, topic, 0..3)?;
        let copy = format!("A-b_9.{topic}");
        wait_for(&format!("all of {topic}"), LIMIT, || {
            match target.partitions(&copy).map_err(|e| e.to_string())? {
                Some(_) => {}
                None => return Err("no topic".to_owned()),
            }
            let seen = Judge::with_clients((source.client(), topic), (target.client(), &copy))
                .compare()
                .map_err(|error| error.to_string())?;
            match seen.is_exact() && seen.copied > 0 {
                true => Ok(()),
                false => Err(seen.to_string()),
            }
        })?;
        Ok(())
    };
    for topic in ["nodes-a1", "nodes-a2", "nodes-a3"] {
        appears(topic)?;
    }
    source.create_topic("nodes-b0", 1, &[])?;
    fill(source, "nodes-b0", 0..1)?;
    // One after the other, with another config.
    for at in 0..3 {
        let name = format!("nodes-new-{at}");
        let old = workers.remove(0);
        old.terminate()?;
        assert_eq!(old.wait(LIMIT)?.code(), Some(0));
        workers.push(Worker::start(&file("nodes-.*"), &name)?);
    }
    appears("nodes-b1")?;
    expect_copy(source, "nodes-b0", target, "A-b_9.nodes-b0")?;
    expect_copy(source, "nodes-a1", target, "A-b_9.nodes-a1")
}

fn flow(source: &Cluster, target: &Cluster, name: &str) -> FlowFile {
    let plain = |cluster: &Cluster| cluster.client_properties(Listener::Plaintext);
    FlowFile::with_clients(
        (source.alias(), plain(source)),
        (target.alias(), plain(target)),
        target.dir(),
    )
    .named(name)
    .slots(2)
    .mirror("group_sync_interval", "300ms")
    .mirror("topic_discovery_interval", "500ms")
}

/// Ten records to each of these partitions, as MirrorMaker 2's tests write them.
fn fill(cluster: &Cluster, topic: &str, partitions: std::ops::Range<i32>) -> Outcome {
    let producer: BaseProducer = cluster.client().create()?;
    for partition in partitions {
        for number in 0..RECORDS / i64::from(PARTITIONS) {
            let (key, value) = (
                format!("key-{number}"),
                format!("message-{partition}-{number}"),
            );
            let record = BaseRecord::to(topic)
                .partition(partition)
                .key(&key)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
        }
    }
    Ok(producer.flush(LIMIT)?)
}

fn expect_copy(source: &Cluster, topic: &str, target: &Cluster, copy: &str) -> Outcome {
    let mut judge = Judge::with_clients((source.client(), topic), (target.client(), copy));
    let seen = judge.wait_exact(LIMIT)?;
    assert!(seen.is_exact() && seen.copied > 0, "{copy}: {seen}");
    Ok(())
}

/// Waits until a group stands on the target at the copy of the record that it would read next.
fn expect_place(
    source: &Cluster,
    topic: &str,
    target: &Cluster,
    copy: &str,
    group: &str,
    partition: i32,
    offset: i64,
) -> Outcome {
    let mut judge = Judge::with_clients((source.client(), topic), (target.client(), copy));
    judge.compare_settled(LIMIT)?;
    let place = judge
        .place_on_target(partition, offset)
        .ok_or("its record has no copy")?;
    wait_place(target, group, copy, partition, |stands| stands == place)
}

fn wait_place(
    cluster: &Cluster,
    group: &str,
    topic: &str,
    partition: i32,
    is_right: impl Fn(i64) -> bool,
) -> Outcome {
    let what = format!("the place of {group} on {topic}-{partition}");
    wait_for(&what, LIMIT, || {
        let places: BTreeMap<i32, i64> = cluster
            .group_places(group, topic)
            .map_err(|error| error.to_string())?;
        match places.get(&partition) {
            Some(place) if is_right(*place) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    Ok(())
}

fn groups(cluster: &Cluster) -> Result<Vec<String>, Box<dyn Error>> {
    let client: BaseConsumer = cluster.client().create()?;
    let list = client.fetch_group_list(None, LIMIT)?;
    Ok(list
        .groups()
        .iter()
        .map(|group| group.name().to_owned())
        .collect())
}

fn pause(worker: &Worker, command: &str) -> Outcome {
    let flow = worker.flow().display().to_string();
    let output = understudy([command, &flow, "--topic", "unseen"], LIMIT)?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    Ok(())
}
