//! A source whose log was cut and has grown again is not the one that was copied: that is found, and named.

use std::error::Error;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, copy_folder};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_source_restored_from_an_older_disk_is_found_although_it_grew_beyond_the_copies() -> Outcome {
    let Pair { source, target } = &Pair::start(|source| source, |target| target)?;
    for topic in ["asleep", "awake"] {
        source.create_topic(topic, 1, &[])?;
        write(source, topic, "before", 100)?;
    }
    let flow = |name: &str| {
        FlowFile::new(source, target)
            .named(name)
            .topics([name])
            .slots(1)
    };
    // What a snapshot of the disk holds.
    let data = source.broker(1)?.dir().join("data");
    source.stop_cleanly(LIMIT)?;
    for topic in ["asleep", "awake"] {
        copy_folder(&data.join(format!("{topic}-0")), &source.dir().join(topic))?;
    }
    source.start_again()?;
    for topic in ["asleep", "awake"] {
        write(source, topic, "lost", 50)?;
    }
    let asleep = Worker::start(&flow("asleep"), "asleep")?;
    let awake = Worker::start(&flow("awake"), "awake")?;
    asleep.wait_copied(source, "asleep", LIMIT)?;
    awake.wait_copied(source, "awake", LIMIT)?;

    // One worker does not run meanwhile, the other one does not see what happens.
    asleep.kill()?;
    // Not cut: a source that refuses connections would keep the worker busy, and the machine with it.
    source.link().blackhole()?;
    source.stop_cleanly(LIMIT)?;
    for topic in ["asleep", "awake"] {
        let log = data.join(format!("{topic}-0"));
        fs::remove_dir_all(&log)?;
        copy_folder(&source.dir().join(topic), &log)?;
    }
    source.start_again()?;
    for topic in ["asleep", "awake"] {
        write(source, topic, "after", 300)?;
    }
    source.link().heal()?;
    asleep.restart()?;

    for (worker, topic) in [(&asleep, "asleep"), (&awake, "awake")] {
        let halted = format!("{topic}-0 halted");
        worker.wait_reason(&[&halted, "another one from 100 on"], LIMIT)?;
        let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
        let gap = at(&gaps, "/gaps/0");
        assert_eq!((code, at(gap, "/cause")), (1, &"truncated".into()), "{gap}");
        assert_eq!(
            (at(gap, "/start"), at(gap, "/end")),
            (&150.into(), &100.into()),
            "{gap}"
        );
        let go_on = ["gaps", "resolve", "--as", "continue-in-same", "--json"];
        assert_eq!(worker.tool(&go_on)?.0, 0);
        worker.wait_copied(source, topic, LIMIT)?;
        worker.wait_ready(LIMIT)?;
        // All of the new log is there, behind what the source has lost.
        let comparison = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert_eq!(
            (comparison.lost, comparison.foreign),
            (0, 50),
            "{comparison}"
        );
        // A restart finds what was copied last where it was, and goes on in silence.
        worker.kill()?;
        write(source, topic, "more", 40)?;
        worker.restart()?;
        worker.wait_copied(source, topic, LIMIT)?;
        worker.wait_ready(LIMIT)?;
        let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
        assert_eq!(
            (code, at(&gaps, "/gaps").as_array().map(Vec::len)),
            (0, Some(1)),
            "{gaps}"
        );
    }
    Ok(())
}

/// A leader that never saw the last records, elected because nobody else was left: `unclean.leader.election.enable`.
#[test]
fn an_unclean_leader_election_is_a_gap_of_exactly_what_the_new_leader_never_saw() -> Outcome {
    let Pair { target, .. } = Pair::shared()?;
    let source = &Cluster::builder("euw3")
        .brokers(3)
        .own_processes()
        .start()?;
    let bootstrap = source.bootstrap();
    for topic in ["unclean-asleep", "unclean-awake"] {
        // Two of the brokers hold it; the third keeps the controllers' quorum.
        let arguments = [
            "--bootstrap-server",
            &bootstrap,
            "--create",
            "--topic",
            topic,
            "--replica-assignment",
            "1:2",
            "--config",
            "unclean.leader.election.enable=true",
            "--config",
            "min.insync.replicas=1",
        ];
        let class = "org.apache.kafka.tools.TopicCommand";
        source.kafka().run_tool(class, &arguments)?;
    }
    source.create_topic("clean", 1, &[("min.insync.replicas", "1")])?;
    for topic in ["unclean-asleep", "unclean-awake", "clean"] {
        write(source, topic, "before", 100)?;
    }
    let flow = |name: &str, topics: &[&str]| {
        FlowFile::new(source, target)
            .named(name)
            .topics(topics.iter().copied())
            .slots(1)
    };
    let asleep = flow("unclean-asleep", &["unclean-asleep"]);
    let asleep = Worker::start(&asleep, "unclean-asleep")?;
    let awake = flow("unclean-awake", &["unclean-awake", "clean"]);
    let awake = Worker::start(&awake, "unclean-awake")?;
    awake.wait_copied(source, "clean", LIMIT)?;
    // The second replica is down while records are written that are acknowledged, for the first one is in sync alone.
    source.broker(2)?.kill()?;
    for (worker, topic) in [(&asleep, "unclean-asleep"), (&awake, "unclean-awake")] {
        write(source, topic, "lost", 50)?;
        worker.wait_copied(source, topic, LIMIT)?;
    }
    asleep.kill()?;
    source.broker(1)?.kill()?;
    source.broker(2)?.start()?;
    // It leads now, from what it has, and goes on beyond where the copies end.
    for topic in ["unclean-asleep", "unclean-awake"] {
        write(source, topic, "after", 200)?;
    }
    source.broker(1)?.start()?;
    source.wait_ready()?;
    asleep.restart()?;
    for (worker, topic) in [(&asleep, "unclean-asleep"), (&awake, "unclean-awake")] {
        let halted = format!("{topic}-0 halted");
        worker.wait_reason(&[&halted, "an unclean leader election"], LIMIT)?;
        let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
        let gap = at(&gaps, "/gaps/0");
        assert_eq!(
            (code, at(gap, "/cause")),
            (1, &"truncated".into()),
            "{gaps}"
        );
        assert_eq!(
            (at(gap, "/start"), at(gap, "/end")),
            (&150.into(), &100.into()),
            "{gap}"
        );
    }
    // The other topic lost nothing, and flows.
    write(source, "clean", "after", 100)?;
    awake.wait_copied(source, "clean", LIMIT)?;
    let found = Judge::new(source, target, "clean").wait_exact(LIMIT)?;
    assert!(found.is_exact(), "{found}");
    for (worker, topic) in [(&asleep, "unclean-asleep"), (&awake, "unclean-awake")] {
        let go_on = ["gaps", "resolve", "--as", "continue-in-same", "--json"];
        assert_eq!(worker.tool(&go_on)?.0, 0);
        worker.wait_copied(source, topic, LIMIT)?;
        worker.wait_ready(LIMIT)?;
        // All that the new leader has, behind what it never saw.
        let found = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert_eq!((found.lost, found.foreign), (0, 50), "{topic}: {found}");
    }
    Ok(())
}

#[test]
fn a_new_leader_epoch_alone_is_no_truncation() -> Outcome {
    let Pair { source, target } = &Pair::start(|source| source, |target| target)?;
    source.create_topic("moved", 2, &[])?;
    write(source, "moved", "before", 200)?;
    let file = FlowFile::new(source, target)
        .named("moved")
        .topics(["moved"])
        .slots(1);
    let worker = Worker::start(&file, "moved")?;
    worker.wait_copied(source, "moved", LIMIT)?;
    for round in 0..2 {
        source.stop_cleanly(LIMIT)?;
        source.start_again()?;
        if round == 1 {
            worker.kill()?;
        }
        write(source, "moved", &format!("after-{round}"), 200)?;
        if round == 1 {
            worker.restart()?;
        }
        worker.wait_copied(source, "moved", LIMIT)?;
    }
    let comparison = Judge::new(source, target, "moved").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
    assert_eq!(
        (code, at(&gaps, "/gaps").as_array().map(Vec::len)),
        (0, Some(0)),
        "{gaps}"
    );
    Ok(())
}

#[test]
fn a_topic_made_again_is_read_on_although_its_leaders_epochs_begin_anew() -> Outcome {
    let Pair { target, .. } = Pair::shared()?;
    let source = &Cluster::builder("euw5").start()?;
    let topics = ["anew-running", "anew-paused", "anew-away"];
    for topic in topics {
        source.create_topic(topic, 2, &[])?;
        write(source, topic, "before", 100)?;
    }
    // Their leaders' epochs rise.
    source.stop_cleanly(LIMIT)?;
    source.start_again()?;
    let file = FlowFile::new(source, target)
        .named("anew")
        .topics(["anew-.*"])
        .slots(1)
        .mirror("topic_discovery_interval", "500ms")
        .mirror("recreated", "continue-in-same");
    let worker = Worker::start(&file, "anew")?;
    for topic in topics {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    // One after the other: a slot that starts over for one would start over for all.
    let (code, said) = worker.tool(&["pause", "--topic", "anew-paused", "--json"])?;
    assert_eq!(code, 0, "{said}");
    worker.wait_status("it is paused", LIMIT, |status| {
        let mut partitions = array(status, "/partitions").iter();
        partitions
            .any(|partition| partition["topic"] == "anew-paused" && partition["state"] == "paused")
    })?;
    source.delete_topic("anew-away")?;
    worker.wait_status("it is gone", LIMIT, |status| {
        array(status, "/warnings")
            .iter()
            .any(|warning| warning.to_string().contains("anew-away"))
    })?;
    source.delete_topic("anew-paused")?;
    let again = |topic: &str| -> Outcome {
        source.create_topic(topic, 2, &[])?;
        write(source, topic, "again", 150)
    };
    again("anew-paused")?;
    let (code, said) = worker.tool(&["resume", "--topic", "anew-paused", "--json"])?;
    assert_eq!(code, 0, "{said}");
    worker.wait_copied(source, "anew-paused", LIMIT)?;
    again("anew-away")?;
    worker.wait_copied(source, "anew-away", LIMIT)?;
    source.delete_topic("anew-running")?;
    again("anew-running")?;
    worker.wait_copied(source, "anew-running", LIMIT)?;
    // Known by its id, not by waiting until nothing came for too long.
    assert!(!worker.log().contains("nothing comes of"));
    Ok(())
}

fn write(source: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
    Workload::orders(source.client(), topic)
        .producer(producer)
        .records(records)
        .run()?;
    Ok(())
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn array<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}
