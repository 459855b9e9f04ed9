//! Topics as they live: they appear, grow, wait, go on; under their own names or prefixed ones, in both directions.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, Judge, Listener, Pair, Worker, Workload, understudy, wait_for, wire,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
/// How long a new topic or partition may take to appear.
const APPEARS: Duration = Duration::from_secs(15);

#[test]
fn new_topics_and_new_partitions_appear_while_it_runs() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("grows-a", 1, &[])?;
    write(source, "grows-a", "first", 300)?;
    let worker = start("grows", |file| file.topics(["grows-.*"]))?;
    worker.wait_copied(source, "grows-a", LIMIT)?;
    // Whoever takes a slot over reads its positions from the beginning: what is not compacted yet has to be little.
    for (key, value) in [
        ("segment.bytes", "16777216"),
        ("delete.retention.ms", "3600000"),
    ] {
        let found = target.topic_config("understudy.grows.positions", key)?;
        assert_eq!(found.as_deref(), Some(value), "{key}");
    }
    source.create_topic("grows-b", 2, &[("cleanup.policy", "compact")])?;
    wait_for("the new topic on the target", APPEARS, || {
        match target.partitions("grows-b") {
            Ok(Some(2)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    write(source, "grows-b", "first", 300)?;
    source.grow_topic("grows-a", 4)?;
    write(source, "grows-a", "second", 800)?;
    for topic in ["grows-a", "grows-b"] {
        worker.wait_copied(source, topic, LIMIT)?;
        assert_eq!(target.partitions(topic)?, source.partitions(topic)?);
        let comparison = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert!(comparison.is_exact(), "{topic}: {comparison}");
    }
    Ok(())
}

#[test]
fn partitions_that_grew_wait_until_the_older_ones_were_copied() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("waits", 1, &[])?;
    write(source, "waits", "first", 100)?;
    // Slow enough that the growth is seen while the old partition is still behind.
    let worker = start("waits", |file| {
        file.topics(["waits"])
            .mirror("max_bytes_per_second", 200_000)
    })?;
    worker.wait_copied(source, "waits", LIMIT)?;
    Workload::orders(source.client(), "waits")
        .producer("second")
        .value_bytes(1_000)
        .records(2_000)
        .run()?;
    let before = source
        .ends("waits")?
        .get(&0)
        .map_or(0, |end| end.last_stable);
    source.grow_topic("waits", 2)?;
    let producer: BaseProducer = source.client().create()?;
    producer
        .send(
            BaseRecord::to("waits")
                .partition(1)
                .key("k")
                .payload("later"),
        )
        .map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    // Whenever the later record is there, all that came before the growth is.
    wait_for("the record of the new partition", LIMIT, || {
        let copied = |partition| {
            target
                .ends("waits")
                .map(|ends| ends.get(&partition).map_or(0, |end| end.last_stable))
                .map_err(|error| error.to_string())
        };
        let later = copied(1)?;
        let status = worker.status().map_err(|error| error.to_string())?;
        let old = line(&status, "waits", 0).and_then(|line| line.get("source_offset")?.as_i64());
        if later == 0 {
            return Err(format!("old partition at {old:?} of {before}"));
        }
        match old {
            Some(old) if old >= before => Ok(()),
            old => panic_with(format!("it overtook: {old:?} of {before}")),
        }
    })?;
    worker.wait_copied(source, "waits", LIMIT)?;
    let found = Judge::new(source, target, "waits").compare_settled(LIMIT)?;
    assert!(found.is_exact(), "{found}");
    Ok(())
}

#[test]
fn a_paused_topic_waits_and_others_go_on_until_it_is_resumed() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    for topic in ["pause-a", "pause-b"] {
        source.create_topic(topic, 2, &[])?;
        write(source, topic, "first", 200)?;
    }
    let worker = start("pause", |file| file.topics(["pause-.*"]))?;
    for topic in ["pause-a", "pause-b"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    let (code, said) = tool(&worker, "pause", &["--topic", "pause-a", "--json"])?;
    assert_eq!(code, 0, "{said}");
    worker.wait_status("pause-a to wait", LIMIT, |status| {
        (0..2).all(|partition| is(status, "pause-a", partition, "paused"))
    })?;
    target.wait_settled("pause-a", LIMIT)?;
    let stood = target.ends("pause-a")?;
    for topic in ["pause-a", "pause-b"] {
        write(source, topic, "second", 200)?;
    }
    worker.wait_copied(source, "pause-b", LIMIT)?;
    assert_eq!(target.ends("pause-a")?, stood);
    // A restart does not forget it; then the whole flow waits.
    worker.kill()?;
    worker.restart()?;
    worker.wait_status("pause-a to wait again", LIMIT, |status| {
        (0..2).all(|partition| is(status, "pause-a", partition, "paused"))
    })?;
    tool(&worker, "pause", &["--json"])?;
    worker.wait_reason(&["the flow is paused"], LIMIT)?;
    worker.wait_status("pause-b to wait", LIMIT, |status| {
        (0..2).all(|partition| is(status, "pause-b", partition, "paused"))
    })?;
    target.wait_settled("pause-b", LIMIT)?;
    let stood = target.ends("pause-b")?;
    write(source, "pause-b", "third", 200)?;
    tool(&worker, "resume", &["--topic", "pause-a", "--json"])?;
    worker.wait_reason(&["the flow is paused"], LIMIT)?;
    assert_eq!(target.ends("pause-b")?, stood);
    let (code, said) = tool(&worker, "resume", &["--json"])?;
    assert_eq!(
        (code, said.get("state")),
        (0, Some(&"running".into())),
        "{said}"
    );
    for topic in ["pause-a", "pause-b"] {
        worker.wait_copied(source, topic, LIMIT)?;
        let found = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert!(found.is_exact(), "{found}");
    }
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn prefixed_flows_run_in_both_directions_without_a_loop() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    for (cluster, name) in [(source, "east"), (target, "west")] {
        cluster.create_topic("both", 2, &[])?;
        write(cluster, "both", name, 400)?;
    }
    let there = start("there", |file| {
        file.topics(["both", ".*\\.both"])
            .mirror("policy", "prefixed")
    })?;
    let back = FlowFile::new(target, source)
        .named("back")
        .topics(["both", ".*\\.both"])
        .mirror("policy", "prefixed")
        .mirror("topic_discovery_interval", "500ms");
    let back = Worker::start(&back, "back-worker")?;
    there.wait_copied(source, "both", LIMIT)?;
    back.wait_copied(target, "both", LIMIT)?;
    for (from, to, copy) in [(source, target, "use1.both"), (target, source, "usw2.both")] {
        let mut judge = Judge::with_clients((from.client(), "both"), (to.client(), copy));
        let comparison = judge.wait_exact(LIMIT)?;
        assert!(
            comparison.is_exact() && comparison.copied == 400,
            "{comparison}"
        );
    }
    // Both have looked again since the copies came to be.
    write(source, "both", "east-2", 50)?;
    there.wait_copied(source, "both", LIMIT)?;
    for (cluster, loops) in [
        (
            source,
            ["use1.usw2.both", "use1.use1.both", "usw2.use1.both"],
        ),
        (
            target,
            ["usw2.use1.both", "usw2.usw2.both", "use1.usw2.both"],
        ),
    ] {
        for name in loops {
            assert_eq!(cluster.partitions(name)?, None, "{name}");
        }
    }
    Ok(())
}

#[test]
fn latest_begins_at_the_flows_start_and_loses_nothing_of_topics_that_come_later() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("late-old", 1, &[])?;
    write(source, "late-old", "before", 300)?;
    let worker = start("late", |file| {
        file.topics(["late-.*"]).mirror("start", "latest")
    })?;
    worker.wait_ready(LIMIT)?;
    worker.wait_status("the old topic", LIMIT, |status| {
        line(status, "late-old", 0).is_some()
    })?;
    write(source, "late-old", "after", 100)?;
    source.create_topic("late-new", 1, &[])?;
    write(source, "late-new", "after", 200)?;
    for topic in ["late-old", "late-new"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    let copied = |topic: &str| -> Result<i64, Box<dyn Error>> {
        // Commit markers take places too; records are what was copied.
        let (code, verified) = tool(&worker, "verify", &["--json"])?;
        assert_eq!(code, 0, "{verified}");
        line(&verified, topic, 0)
            .and_then(|line| line.get("copied")?.as_i64())
            .ok_or_else(|| verified.to_string().into())
    };
    assert_eq!((copied("late-old")?, copied("late-new")?), (100, 200));
    assert!(target.partitions("late-new")?.is_some());
    Ok(())
}

#[test]
fn a_bandwidth_limit_is_kept() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("slow", 4, &[])?;
    Workload::orders(source.client(), "slow")
        .value_bytes(1_000)
        .records(3_000)
        .run()?;
    // Before it is started: no start-up can make it look quicker.
    let began = Instant::now();
    let worker = start("slow", |file| {
        file.topics(["slow"])
            .mirror("max_bytes_per_second", 500_000)
    })?;
    worker.wait_copied(source, "slow", LIMIT)?;
    // Keys and values of 3 MB at 0.5 MB a second are 6 s; what each slot copies last is paid for afterwards. A slow
    // machine takes longer, none takes less.
    assert!(
        began.elapsed() > Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let found = Judge::new(source, target, "slow").compare_settled(LIMIT)?;
    assert!(found.is_exact(), "{found}");
    Ok(())
}

#[test]
fn times_of_a_topic_that_stamps_its_records_itself_are_copied_as_they_are() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("stamped", 2, &[("message.timestamp.type", "LogAppendTime")])?;
    write(source, "stamped", "first", 300)?;
    // Not even a flow that leaves nothing out takes that over.
    let worker = start("stamped", |file| {
        file.topics(["stamped"])
            .mirror("config_exclude", Vec::<String>::new())
            .mirror("config_sync_interval", "300ms")
    })?;
    worker.wait_copied(source, "stamped", LIMIT)?;
    write(source, "stamped", "second", 300)?;
    worker.wait_copied(source, "stamped", LIMIT)?;
    let comparison = Judge::new(source, target, "stamped").compare_settled(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    let kind = target.topic_config("stamped", "message.timestamp.type")?;
    assert_eq!(kind.as_deref(), Some("CreateTime"));
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn a_copy_that_would_replace_timestamps_waits_by_name_until_it_keeps_them() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let (replaces, keeps) = (
        [("message.timestamp.type", "LogAppendTime")],
        [("message.timestamp.type", "CreateTime")],
    );
    for topic in ["times-a", "times-b"] {
        source.create_topic(topic, 2, &[])?;
        write(source, topic, "first", 200)?;
    }
    target.create_topic("times-a", 2, &replaces)?;
    let words = [
        "topic times-a",
        "LogAppendTime",
        "kafka-configs --alter",
        "CreateTime",
    ];
    let worker = start("times", |file| file.topics(["times-.*"]))?;
    worker.wait_copied(source, "times-b", LIMIT)?;
    worker.wait_reason(&words, LIMIT)?;
    let ends = target.ends("times-a")?;
    assert!(ends.values().all(|end| end.high_watermark == 0), "{ends:?}");
    target.set_topic_configs("times-a", &keeps)?;
    worker.wait_copied(source, "times-a", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    // While it runs nobody describes the copy; the brokers' acknowledgements tell.
    target.set_topic_configs("times-a", &replaces)?;
    write(source, "times-a", "second", 200)?;
    worker.wait_reason(&words, LIMIT)?;
    write(source, "times-b", "second", 200)?;
    worker.wait_copied(source, "times-b", LIMIT)?;
    target.set_topic_configs("times-a", &keeps)?;
    worker.wait_copied(source, "times-a", LIMIT)?;
    for topic in ["times-a", "times-b"] {
        let comparison = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert!(comparison.is_exact(), "{topic}: {comparison}");
    }
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn a_topic_that_is_gone_from_the_source_stays_on_the_target_and_is_named() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    for topic in ["leaves-a", "leaves-b"] {
        source.create_topic(topic, 2, &[])?;
        write(source, topic, "first", 200)?;
    }
    let worker = start("leaves", |file| file.topics(["leaves-.*"]))?;
    for topic in ["leaves-a", "leaves-b"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    target.wait_settled("leaves-a", LIMIT)?;
    let copies = target.read_all("leaves-a")?;
    assert_eq!(copies.len(), 200);
    source.delete_topic("leaves-a")?;
    let says_so = |status: &Value| {
        let warnings = status["warnings"].as_array().into_iter().flatten();
        warnings
            .filter_map(Value::as_str)
            .any(|line| line.contains("leaves-a is not on the source any more"))
    };
    worker.wait_status("leaves-a to be named", LIMIT, says_so)?;
    // The other one goes on, and nothing is in the way of a failover.
    write(source, "leaves-b", "second", 200)?;
    worker.wait_copied(source, "leaves-b", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    let (_, said) = tool(&worker, "status", &["--json"])?;
    for (topic, there) in [("leaves-a", false), ("leaves-b", true)] {
        let told = line(&said, topic, 0).map(|line| line["on_source"].clone());
        assert_eq!(told, Some(there.into()), "{said}");
    }
    // Whoever comes later says the same.
    worker.kill()?;
    worker.restart()?;
    worker.wait_status("leaves-a to be named again", LIMIT, says_so)?;
    assert_eq!(target.read_all("leaves-a")?, copies);
    Ok(())
}

#[test]
fn batches_that_a_topic_does_not_take_are_made_smaller() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("tight", 1, &[])?;
    target.create_topic("tight", 1, &[("max.message.bytes", "300000")])?;
    Workload::orders(source.client(), "tight")
        .value_bytes(1_000)
        .records(5_000)
        .run()?;
    // As it is with a topic whose limit is low on both sides, and a producer with small batches on one.
    let worker = start("tight", |file| {
        file.topics(["tight"])
            .target("compression.type", "none")
            .mirror("sync_configs", false)
    })?;
    let verdict = Judge::new(source, target, "tight").wait_exact(2 * LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    let smaller = worker.log().contains("smaller ones from now on");
    assert!(smaller, "no batch was refused: {}", worker.log());
    Ok(())
}

#[test]
fn filters_that_are_narrowed_and_widened_again_go_on_exactly() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    for topic in ["narrow-a", "narrow-b"] {
        source.create_topic(topic, 2, &[])?;
        write(source, topic, "first", 200)?;
    }
    let wide = |file: FlowFile| file.topics(["narrow-.*"]);
    let worker = start("narrow", wide)?;
    for topic in ["narrow-a", "narrow-b"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    let stops = |worker: Worker| -> Outcome {
        worker.terminate()?;
        assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
        Ok(())
    };
    stops(worker)?;
    target.wait_settled("narrow-b", LIMIT)?;
    let stood = target.ends("narrow-b")?;
    let worker = start("narrow", |file| {
        wide(file).mirror("topics_exclude", vec!["narrow-b"])
    })?;
    for topic in ["narrow-a", "narrow-b"] {
        write(source, topic, "second", 200)?;
    }
    worker.wait_copied(source, "narrow-a", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    assert_eq!(target.ends("narrow-b")?, stood);
    stops(worker)?;
    let worker = start("narrow", wide)?;
    for topic in ["narrow-a", "narrow-b"] {
        write(source, topic, "third", 200)?;
        worker.wait_copied(source, topic, LIMIT)?;
        let comparison = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert!(
            comparison.is_exact() && comparison.copied == 600,
            "{topic}: {comparison}"
        );
    }
    Ok(())
}

#[test]
fn keys_that_move_to_new_partitions_stay_in_order() -> Outcome {
    const KEYS: u32 = 50;
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("moving", 2, &[])?;
    // Slow enough that the old partitions are behind when there are new ones.
    let worker = start("moving", |file| {
        file.topics(["moving"])
            .mirror("max_bytes_per_second", 150_000)
    })?;
    let rounds = |from: u32, to: u32| -> Outcome {
        // A client that learns of the partitions when it starts, and spreads keys over them.
        let producer: BaseProducer = source
            .client()
            .set("partitioner", "murmur2_random")
            .create()?;
        for round in from..to {
            for key in 0..KEYS {
                let value = format!("{round:0>400}");
                let key = key.to_string();
                let record = BaseRecord::to("moving").key(&key).payload(&value);
                producer.send(record).map_err(|(error, _)| error)?;
            }
        }
        Ok(producer.flush(LIMIT)?)
    };
    rounds(0, 30)?;
    source.grow_topic("moving", 4)?;
    wait_for("the source to know of them", LIMIT, || {
        match source.partitions("moving") {
            Ok(Some(4)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    rounds(30, 35)?;
    wait_for("all of it", LIMIT, || {
        let said = |error: understudy_tests::LabError| understudy_tests::chain(&error);
        if target.partitions("moving").map_err(said)? != Some(4) {
            return Err("no new partitions yet".to_owned());
        }
        // First the ends of the new partitions, then everything: what came before must be there by then.
        let ends = target.ends("moving").map_err(said)?;
        let all = target.read_all("moving").map_err(said)?;
        let seen = |key: &[u8]| all.iter().filter(|record| record.key == key).count();
        let late = all.iter().filter(|record| {
            let end = ends.get(&record.partition).map_or(0, |end| end.last_stable);
            record.partition >= 2 && record.offset < end
        });
        let mut moved = 0;
        for record in late {
            moved += 1;
            let round = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
            let round: usize = round.trim_start_matches('0').parse().unwrap_or_default();
            if seen(&record.key) <= round {
                let key = String::from_utf8_lossy(&record.key);
                let seen = seen(&record.key);
                return panic_with(format!("round {round} of {key}, and {seen} records of it"));
            }
        }
        match all.len() {
            all if all == 35 * KEYS as usize && moved > 0 => Ok(()),
            // The ends may have been told before anything came.
            some => Err(format!("{some} records, {moved} of keys that moved")),
        }
    })?;
    let found = Judge::new(source, target, "moving").compare_settled(LIMIT)?;
    assert!(found.is_exact(), "{found}");
    worker.expect_running().map_err(Into::into)
}

#[test]
fn compression_is_what_the_topics_pattern_says() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let codecs = [
        ("none", 0),
        ("gzip", 1),
        ("snappy", 2),
        ("lz4", 3),
        ("zstd", 4),
    ];
    let patterns: toml::Table = codecs
        .iter()
        .filter(|(name, _)| *name != "lz4")
        .map(|(name, _)| (format!("codec-{name}.*"), toml::Value::from(*name)))
        .collect();
    for (name, _) in codecs {
        source.create_topic(&format!("codec-{name}"), 1, &[])?;
        write(source, &format!("codec-{name}"), "first", 300)?;
    }
    let worker = start("codecs", |file| {
        file.topics(["codec-.*"]).mirror("compression", patterns)
    })?;
    for (name, number) in codecs {
        let topic = format!("codec-{name}");
        worker.wait_copied(source, &topic, LIMIT)?;
        let broker = target.broker(1)?.address(Listener::Plaintext);
        // A commit is acknowledged before its markers let committed readers see what it wrote.
        let held = wait_for(
            &format!("batches of {topic}"),
            LIMIT,
            || match wire::codecs(broker, &topic) {
                Ok(held) if !held.is_empty() => Ok(held),
                other => Err(format!("{other:?}")),
            },
        )?;
        // What no pattern matches has the target's compression.type, lz4.
        assert!(held.iter().all(|held| *held == number), "{topic}: {held:?}");
    }
    Ok(())
}

#[test]
fn copies_and_state_have_three_replicas_where_there_are_three_brokers() -> Outcome {
    let Pair { source, .. } = Pair::shared()?;
    let target = Cluster::builder("aps1")
        .brokers(3)
        .property("default.replication.factor", "1")
        .property("min.insync.replicas", "1")
        .start()?;
    source.create_topic("replicas", 2, &[("min.insync.replicas", "1")])?;
    source.create_topic("replicas-safe", 2, &[("min.insync.replicas", "9")])?;
    let file = FlowFile::new(source, &target)
        .named("replicas")
        .topics(["replicas.*"])
        .slots(2);
    let report = file.write("replicas-check", ([127, 0, 0, 1], 1).into())?;
    let checked = understudy(["check".as_ref(), report.as_os_str()], LIMIT)?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        text.contains(
            "topics that are made get 3, on 3 brokers; the target's default.replication.factor is 1"
        ),
        "{text}"
    );
    let worker = Worker::start(&file, "replicas-worker")?;
    worker.wait_ready(LIMIT)?;
    let state = [
        "flow",
        "settings",
        "positions",
        "offset-map",
        "gaps",
        "slots",
    ]
    .map(|name| (format!("understudy.replicas.{name}"), 3, "2"));
    let copies = [
        ("replicas".to_owned(), 3, "1"),
        ("replicas-safe".to_owned(), 3, "2"),
    ];
    for (topic, replicas, insync) in state.into_iter().chain(copies) {
        wait_for(&format!("{topic} on the target"), LIMIT, || {
            match target.partitions(&topic) {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        assert_eq!(target.replicas(&topic)?, Some(replicas), "{topic}");
        let found = target.topic_config(&topic, "min.insync.replicas")?;
        assert_eq!(found.as_deref(), Some(insync), "{topic}");
    }
    // As somebody chooses.
    worker.terminate()?;
    worker.wait(LIMIT)?;
    source.create_topic("replicas-two", 1, &[])?;
    let chosen = Worker::start(&file.mirror("replication_factor", 2), "replicas-chosen")?;
    source.create_topic("replicas-later", 1, &[])?;
    for topic in ["replicas-two", "replicas-later"] {
        write(source, topic, "first", 10)?;
        chosen.wait_copied(source, topic, LIMIT)?;
        assert_eq!(target.replicas(topic)?, Some(2), "{topic}");
    }
    Ok(())
}

fn start(name: &str, how: impl FnOnce(FlowFile) -> FlowFile) -> Result<Worker, Box<dyn Error>> {
    let Pair { source, target } = Pair::shared()?;
    let file = FlowFile::new(source, target)
        .named(name)
        .slots(2)
        .mirror("topic_discovery_interval", "500ms");
    Ok(Worker::start(&how(file), &format!("{name}-worker"))?)
}

pub(super) fn write(cluster: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
    Workload::orders(cluster.client(), topic)
        .producer(producer)
        .value_bytes(100)
        .records(records)
        .run()?;
    Ok(())
}

fn tool(worker: &Worker, command: &str, rest: &[&str]) -> Result<(i32, Value), Box<dyn Error>> {
    let flow = worker.flow().display().to_string();
    let arguments: Vec<&str> = [command, &flow]
        .into_iter()
        .chain(rest.iter().copied())
        .collect();
    let output = understudy(arguments, LIMIT)?;
    let value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code().unwrap_or(-1), value))
}

fn line<'a>(status: &'a Value, topic: &str, partition: i32) -> Option<&'a Value> {
    let lines = status.get("partitions")?.as_array()?;
    lines
        .iter()
        .find(|line| line["topic"] == topic && line["partition"] == partition)
}

fn is(status: &Value, topic: &str, partition: i32, state: &str) -> bool {
    line(status, topic, partition).is_some_and(|line| line["state"] == state)
}

#[expect(clippy::panic, reason = "an order that must never be seen")]
fn panic_with(text: String) -> Result<(), String> {
    panic!("{text}")
}
