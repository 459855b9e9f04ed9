//! Copies that were there and are not any more, because somebody deleted or cut them on the target: named exactly, never
//! written over, and made good as somebody decides.

use std::error::Error;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, copy_folder, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_copy_that_is_deleted_is_a_gap_is_not_made_anew_and_is_copied_again_when_told() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("lost-a", 2, &[])?;
    source.create_topic("lost-b", 1, &[])?;
    for topic in ["lost-a", "lost-b"] {
        write(source, topic, "first", 200)?;
    }
    let worker = Worker::start(&flow(source, target, "lost", "lost-.*"), "lost-worker")?;
    for topic in ["lost-a", "lost-b"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    let ends: Vec<i64> = source
        .ends("lost-a")?
        .values()
        .map(|ends| ends.last_stable)
        .collect();
    target.delete_topic("lost-a")?;
    // One gap a partition, seen while it runs.
    for partition in 0..2 {
        let halted = format!("lost-a-{partition} halted");
        worker.wait_reason(&[&halted, "is gone from the target", "resolve"], LIMIT)?;
    }
    let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
    assert_eq!(code, 1, "{gaps}");
    for (gap, end) in listed(&gaps).zip(&ends) {
        assert_eq!(
            (&gap["cause"], &gap["start"], &gap["end"], &gap["state"]),
            (
                &"copies-lost".into(),
                &0.into(),
                &(*end).into(),
                &"halted".into()
            ),
            "{gap}"
        );
    }
    // Nor is it made by a worker that knows it from the stored state alone; others go on, also in the same slot.
    worker.terminate()?;
    worker.wait(LIMIT)?;
    worker.restart()?;
    worker.wait_reason(&["lost-a-0 halted", "is gone from the target"], LIMIT)?;
    write(source, "lost-a", "second", 100)?;
    write(source, "lost-b", "second", 200)?;
    worker.wait_copied(source, "lost-b", LIMIT)?;
    assert_eq!(target.partitions("lost-a")?, None, "{}", worker.log());
    assert_eq!(
        number(&worker.tool(&["gaps", "list", "--json"])?.1, "open"),
        2
    );
    // What the source still has is copied again, once.
    let again = ["gaps", "resolve", "--as", "continue-in-same", "--json"];
    assert_eq!(worker.tool(&again)?.0, 0);
    worker.wait_copied(source, "lost-a", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    for topic in ["lost-a", "lost-b"] {
        let found = Judge::new(source, target, topic).wait_exact(LIMIT)?;
        assert!(found.is_exact(), "{topic}: {found}");
    }
    let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
    assert_eq!(
        (code, gaps.pointer("/gaps/0/state")),
        (0, Some(&"continued".into()))
    );
    let (code, verified) = worker.tool(&["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    // A restart finds everything where it was left.
    worker.kill()?;
    write(source, "lost-a", "third", 50)?;
    worker.restart()?;
    worker.wait_copied(source, "lost-a", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    let found = Judge::new(source, target, "lost-a").compare_settled(LIMIT)?;
    assert!(found.is_exact(), "{found}");
    Ok(())
}

#[test]
fn a_copy_that_is_made_again_under_a_running_worker_is_never_written_behind_the_loss() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("remade", 1, &[])?;
    write(source, "remade", "first", 300)?;
    let worker = Worker::start(&flow(source, target, "remade", "remade"), "remade-worker")?;
    worker.wait_copied(source, "remade", LIMIT)?;
    // Records come all the while: whoever is faster, the acknowledgements or the look, finds it.
    let load = Workload::orders(source.client(), "remade")
        .producer("load")
        .records(100_000)
        .rate(200)
        .start()?;
    target.delete_topic("remade")?;
    target.create_topic("remade", 1, &[])?;
    worker.wait_reason(&["remade-0 halted", "are lost there", "resolve"], LIMIT)?;
    load.stop()?;
    let (_, gaps) = worker.tool(&["gaps", "list", "--json"])?;
    let gap = gaps.pointer("/gaps/0").ok_or("no gap")?;
    assert_eq!(
        (&gap["cause"], &gap["start"]),
        (&"copies-lost".into(), &0.into())
    );
    let lost = gap["end"].as_i64().ok_or("no end")?;
    assert!(lost >= 300, "{gap}");
    assert_eq!(
        target.read_all("remade")?.len(),
        0,
        "nothing is written behind it"
    );
    let skip = [
        "gaps", "resolve", "--topic", "remade", "--as", "skip", "--json",
    ];
    assert_eq!(worker.tool(&skip)?.0, 0);
    worker.wait_copied(source, "remade", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    // What is there is what came after the loss, in order, once.
    let first = usize::try_from(lost)?;
    target.wait_settled("remade", LIMIT)?;
    let all = source.read_all("remade")?;
    let values = |records: &[understudy_tests::PlainRecord]| -> Vec<_> {
        records.iter().map(|record| record.value.clone()).collect()
    };
    let expected = values(all.get(first..).ok_or("too few")?);
    assert_eq!(values(&target.read_all("remade")?), expected);
    let (code, verified) = worker.tool(&["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    Ok(())
}

/// Between two looks at the logs nothing but an acknowledgement tells that a topic was made again.
#[test]
fn a_copy_that_lands_where_others_were_is_taken_back_and_tells_of_the_loss() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topics: Vec<String> = (0..6).map(|attempt| format!("landed-{attempt}")).collect();
    for topic in &topics {
        source.create_topic(topic, 1, &[])?;
    }
    // A look that is due as soon as it wakes could come before any acknowledgement, time and again.
    let file = flow(source, target, "landed", "landed-.*");
    let file = file.mirror("topic_discovery_interval", "10s");
    let worker = Worker::start(&file, "landed-worker")?;
    for topic in &topics {
        write(source, topic, "first", 100)?;
        worker.wait_copied(source, topic, LIMIT)?;
        // It sleeps, without an open transaction, while its copy is replaced and more is to be copied.
        worker.pause()?;
        target.delete_topic(topic)?;
        target.create_topic(topic, 1, &[])?;
        write(source, topic, "second", 500)?;
        worker.resume()?;
        let halted = format!("{topic}-0 halted");
        let reason = worker.wait_reason(&[&halted, "source offsets 0 to 99 are lost"], LIMIT)?;
        assert_eq!(target.read_all(topic)?.len(), 0, "{reason}");
        let again = [
            "gaps",
            "resolve",
            "--topic",
            topic,
            "--as",
            "continue-in-same",
            "--json",
        ];
        assert_eq!(worker.tool(&again)?.0, 0);
        worker.wait_copied(source, topic, LIMIT)?;
        let found = Judge::new(source, target, topic).wait_exact(LIMIT)?;
        assert!(found.is_exact(), "{found}");
        // A look may have come first.
        if reason.contains("landed at") {
            return Ok(());
        }
    }
    Err("no acknowledgement told of it".into())
}

#[test]
fn a_target_restored_from_an_older_disk_has_lost_exactly_what_came_since() -> Outcome {
    let Pair { source, target } = &Pair::start(|source| source, |target| target)?;
    for topic in ["cut", "back", "whole"] {
        source.create_topic(topic, 1, &[])?;
        write(source, topic, "before", 100)?;
    }
    let file = flow(source, target, "older", ".*");
    let worker = Worker::start(&file, "older-worker")?;
    let copied = || -> Outcome {
        for topic in ["cut", "back", "whole"] {
            worker.wait_copied(source, topic, LIMIT)?;
        }
        Ok(())
    };
    copied()?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    // What a snapshot of the disk holds.
    let data = target.broker(1)?.dir().join("data");
    let log = |topic: &str| data.join(format!("{topic}-0"));
    let kept = |name: &str| target.dir().join(name);
    target.stop_cleanly(LIMIT)?;
    for topic in ["cut", "back"] {
        copy_folder(&log(topic), &kept(topic))?;
    }
    target.start_again()?;
    for topic in ["cut", "back", "whole"] {
        write(source, topic, "lost", 50)?;
    }
    worker.restart()?;
    copied()?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    target.stop_cleanly(LIMIT)?;
    copy_folder(&log("back"), &kept("back-later"))?;
    for topic in ["cut", "back"] {
        fs::remove_dir_all(log(topic))?;
        copy_folder(&kept(topic), &log(topic))?;
    }
    target.start_again()?;
    worker.restart()?;
    for topic in ["cut", "back"] {
        let halted = format!("{topic}-0 halted");
        worker.wait_reason(&[&halted, "source offsets 100 to 149 are lost"], LIMIT)?;
        write(source, topic, "after", 30)?;
    }
    write(source, "whole", "after", 30)?;
    worker.wait_copied(source, "whole", LIMIT)?;
    // By what a place there is now, nobody is sent beyond the end.
    let (code, verified) = worker.tool(&["verify", "--json"])?;
    assert_eq!(code, 1, "{verified}");

    // The one is copied again from where it ends.
    let again = |topic: &str, how: &str| {
        let arguments = ["gaps", "resolve", "--topic", topic, "--as", how, "--json"];
        worker.tool(&arguments)
    };
    assert_eq!(again("cut", "continue-in-same")?.0, 0);
    worker.wait_copied(source, "cut", LIMIT)?;
    let found = Judge::new(source, target, "cut").wait_exact(LIMIT)?;
    assert!(found.is_exact(), "{found}");

    // Of the other one it is said that it is back: not before it is.
    assert_eq!(again("back", "retry")?.0, 0);
    wait_for("the answer to be taken back", LIMIT, || {
        match worker.log().contains("the copies are not back") {
            true => Ok(()),
            false => Err("it is not".to_owned()),
        }
    })?;
    let (_, gaps) = worker.tool(&["gaps", "list", "--json"])?;
    assert_eq!(number(&gaps, "open"), 1, "{gaps}");
    worker.terminate()?;
    worker.wait(LIMIT)?;
    target.stop_cleanly(LIMIT)?;
    fs::remove_dir_all(log("back"))?;
    copy_folder(&kept("back-later"), &log("back"))?;
    target.start_again()?;
    worker.restart()?;
    worker.wait_reason(&["back-0 halted"], LIMIT)?;
    assert_eq!(again("back", "retry")?.0, 0);
    copied()?;
    worker.wait_ready(LIMIT)?;
    for topic in ["cut", "back", "whole"] {
        let found = Judge::new(source, target, topic).wait_exact(LIMIT)?;
        assert!(found.is_exact(), "{topic}: {found}");
    }
    let (code, gaps) = worker.tool(&["gaps", "list", "--json"])?;
    assert_eq!(code, 0, "{gaps}");
    let (code, verified) = worker.tool(&["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    Ok(())
}

fn flow(source: &Cluster, target: &Cluster, name: &str, topics: &str) -> FlowFile {
    FlowFile::new(source, target)
        .named(name)
        .topics([topics])
        .slots(1)
        .mirror("topic_discovery_interval", "500ms")
}

fn write(source: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
    Workload::orders(source.client(), topic)
        .producer(producer)
        .records(records)
        .run()?;
    Ok(())
}

fn listed(gaps: &Value) -> impl Iterator<Item = &Value> {
    let listed = gaps.pointer("/gaps").and_then(Value::as_array);
    listed.into_iter().flatten()
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(-1)
}
