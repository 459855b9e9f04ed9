//! Consumer groups stand on the target at the copy of the very record that they would read next.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, understudy, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn groups_near_and_far_stand_exactly_and_follow_in_both_directions() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("places", 2, &[])?;
    // Every third transaction is aborted: offsets without records on the source, markers on both sides.
    Workload::orders(source.client(), "places")
        .value_bytes(50)
        .records(6_000)
        .transactional(100, 3)
        .run()?;
    let worker = start("places", |file| file.topics(["places"]).groups(["team-.*"]))?;
    worker.wait_copied(source, "places", LIMIT)?;
    let ends = source.ends("places")?;
    let mut groups = BTreeMap::new();
    for (group, behind) in [
        ("team-at-end", 0),
        ("team-close", 1),
        ("team-later", 700),
        ("team-far", 2_500),
    ] {
        let places: Vec<_> = ends
            .iter()
            .map(|(partition, end)| ("places", *partition, (end.last_stable - behind).max(0)))
            .collect();
        source.commit_group(group, &places)?;
        groups.insert(group, places);
    }
    source.commit_group("other", &[("places", 0, 5)])?;
    for (group, places) in &groups {
        expect_exact(source, target, group, places)?;
    }
    assert!(target.group_places("other", "places")?.is_empty());
    // A group that goes back is followed, and one that goes on.
    for offset in [3, 1_500] {
        let place = [("places", 0, offset)];
        source.commit_group("team-far", &place)?;
        expect_exact(source, target, "team-far", &place)?;
    }
    // What the worker says of them is what holds.
    let status = worker.wait_status("every place to be exact", LIMIT, |status| {
        let lines = status.get("groups").and_then(|lines| lines.as_array());
        lines.is_some_and(|lines| {
            lines.len() == 8 && lines.iter().all(|line| line["state"] == "exact")
        })
    })?;
    assert!(status.to_string().contains("team-at-end"), "{status}");
    Ok(())
}

#[test]
fn a_group_consumes_part_here_and_part_there_and_nothing_twice() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("split", 1, &[])?;
    Workload::orders(source.client(), "split")
        .value_bytes(50)
        .records(2_000)
        .run()?;
    let worker = start("split", |file| file.topics(["split"]).groups(["split-.*"]))?;
    worker.wait_copied(source, "split", LIMIT)?;
    let here = read(source, "split-group", 800)?;
    let at = source
        .group_places("split-group", "split")?
        .get(&0)
        .copied()
        .ok_or("the group committed nothing")?;
    expect_exact(source, target, "split-group", &[("split", 0, at)])?;
    let there = read(target, "split-group", 2_000 - here.len())?;
    let all: Vec<_> = here.into_iter().chain(there).collect();
    assert_eq!(all, read(source, "split-all", 2_000)?);
    Ok(())
}

#[test]
fn a_group_that_is_live_on_the_target_is_left_alone() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("lively", 1, &[])?;
    Workload::orders(source.client(), "lively")
        .value_bytes(50)
        .records(500)
        .run()?;
    let worker = start("lively", |file| {
        file.topics(["lively"]).groups(["lively-.*"])
    })?;
    worker.wait_copied(source, "lively", LIMIT)?;
    // Somebody reads on the target, under the same name.
    let mut config = target.client();
    config
        .set("group.id", "lively-group")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&["lively"])?;
    wait_for("the group to be live", LIMIT, || {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    source.commit_group("lively-group", &[("lively", 0, 250)])?;
    worker.wait_status("the group to be seen as live", LIMIT, |status| {
        // It goes on being a member meanwhile.
        drop(consumer.poll(Duration::ZERO));
        let lines = status.get("groups").and_then(|lines| lines.as_array());
        lines.is_some_and(|lines| {
            lines
                .iter()
                .any(|line| line["group"] == "lively-group" && line["reason"].is_string())
        })
    })?;
    assert!(target.group_places("lively-group", "lively")?.is_empty());
    // Once it has left, it is brought to its place.
    drop(consumer);
    expect_exact(source, target, "lively-group", &[("lively", 0, 250)])
}

#[test]
fn a_group_that_went_on_on_the_target_is_not_set_back_by_a_new_worker() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("onward", 1, &[])?;
    Workload::orders(source.client(), "onward")
        .value_bytes(50)
        .records(1_000)
        .run()?;
    let worker = start("onward", |file| {
        file.topics(["onward"]).groups(["onward-.*"])
    })?;
    worker.wait_copied(source, "onward", LIMIT)?;
    source.commit_group("onward-group", &[("onward", 0, 300)])?;
    expect_exact(source, target, "onward-group", &[("onward", 0, 300)])?;
    // Its consumers move to the target while the flow runs, and stop there for a moment.
    read_on(target, "onward-group", "onward", 200)?;
    let own = target.group_places("onward-group", "onward")?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    worker.restart()?;
    left_alone(&worker, "onward-group", "further on")?;
    assert_eq!(target.group_places("onward-group", "onward")?, own);
    // Where it moves on the source, that counts again.
    source.commit_group("onward-group", &[("onward", 0, 400)])?;
    expect_exact(source, target, "onward-group", &[("onward", 0, 400)])
}

#[test]
fn who_reads_on_the_target_while_the_source_is_silent_is_seen_and_not_set_back() -> Outcome {
    let Pair { source, target } = &Pair::start(|source| source, |target| target)?;
    source.create_topic("silent", 1, &[])?;
    Workload::orders(source.client(), "silent")
        .value_bytes(50)
        .records(1_000)
        .run()?;
    let flow = FlowFile::new(source, target)
        .topics(["silent"])
        .groups(["silent-.*"])
        .slots(2)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&flow, "silent-worker")?;
    worker.wait_copied(source, "silent", LIMIT)?;
    source.commit_group("silent-group", &[("silent", 0, 300)])?;
    expect_exact(source, target, "silent-group", &[("silent", 0, 300)])?;
    source.link().cut()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> Outcome {
        let reading = scope.spawn(|| target.stay_in_group("silent-group", "silent", &stop));
        let seen = left_alone(&worker, "silent-group", "somebody is in the group");
        stop.store(true, Ordering::Relaxed);
        let read = reading.join().map_err(|_panic| "the consumer panicked")??;
        seen?;
        assert!(!read.is_empty(), "nothing was read");
        Ok(())
    })?;
    let own = target.group_places("silent-group", "silent")?;
    left_alone(&worker, "silent-group", "further on")?;
    assert_eq!(target.group_places("silent-group", "silent")?, own);
    Ok(())
}

#[test]
fn a_place_whose_copies_the_target_has_deleted_is_not_called_exact() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("cut-off", 1, &[])?;
    Workload::orders(source.client(), "cut-off")
        .value_bytes(50)
        .records(500)
        .run()?;
    let worker = start("cut-off", |file| {
        file.topics(["cut-off"]).groups(["cut-off-.*"])
    })?;
    worker.wait_copied(source, "cut-off", LIMIT)?;
    source.commit_group("cut-off-group", &[("cut-off", 0, 100)])?;
    expect_exact(source, target, "cut-off-group", &[("cut-off", 0, 100)])?;
    target.delete_records_before("cut-off", 0, 200)?;
    left_alone(&worker, "cut-off-group", "has deleted everything below")?;
    let arguments = ["verify".as_ref(), worker.flow().as_os_str()];
    let output = understudy(arguments, LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("has deleted everything below 200"), "{text}");
    Ok(())
}

/// Reads on as a consumer does that leaves its offsets to the client, which notes the leader's epoch with them.
fn read_on(cluster: &Cluster, group: &str, topic: &str, records: usize) -> Outcome {
    let mut config = cluster.client();
    config
        .set("group.id", group)
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[topic])?;
    let mut read = 0;
    wait_for(&format!("{records} records"), LIMIT, || {
        while read < records {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(_)) => read += 1,
                other => return Err(format!("{read} and {other:?}")),
            }
        }
        Ok(())
    })?;
    Ok(consumer.commit_consumer_state(rdkafka::consumer::CommitMode::Sync)?)
}

/// Waits until the worker says this of a group's place.
fn left_alone(worker: &Worker, group: &str, why: &str) -> Outcome {
    worker.wait_status(&format!("{group}: {why}"), LIMIT, |status| {
        let lines = status.get("groups").and_then(|lines| lines.as_array());
        lines.is_some_and(|lines| {
            lines.iter().any(|line| {
                let reason = line["reason"].as_str().unwrap_or_default();
                line["group"] == group && reason.contains(why)
            })
        })
    })?;
    Ok(())
}

fn start(name: &str, how: impl FnOnce(FlowFile) -> FlowFile) -> Result<Worker, Box<dyn Error>> {
    let Pair { source, target } = Pair::shared()?;
    let file = FlowFile::new(source, target)
        .named(name)
        .slots(2)
        .mirror("group_sync_interval", "300ms");
    Ok(Worker::start(&how(file), &format!("{name}-worker"))?)
}

/// Waits until a group stands where the judge, by comparing contents, says that it must.
fn expect_exact(
    source: &Cluster,
    target: &Cluster,
    group: &str,
    places: &[(&str, i32, i64)],
) -> Outcome {
    let topic = places.first().ok_or("no places")?.0;
    let mut judge = Judge::new(source, target, topic);
    let found = judge.compare_settled(LIMIT)?;
    assert!(found.is_exact(), "{found}");
    wait_for(&format!("{group} to stand exactly"), LIMIT, || {
        let found = target
            .group_places(group, topic)
            .map_err(|error| error.to_string())?;
        for (_, partition, offset) in places {
            let stands = found.get(partition).copied();
            let right = match judge.place_on_target(*partition, *offset) {
                Some(place) => stands == Some(place),
                // Nothing is left to read: behind the last copy, before or after its marker.
                None => {
                    stands.is_some_and(|stands| nothing_after(target, topic, *partition, stands))
                }
            };
            if !right {
                return Err(format!("{found:?} for {places:?}"));
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn nothing_after(cluster: &Cluster, topic: &str, partition: i32, offset: i64) -> bool {
    let ends = cluster.ends(topic).unwrap_or_default();
    let Some(end) = ends.get(&partition) else {
        return false;
    };
    // At most the commit marker lies between.
    end.last_stable - offset <= 1
}

/// Reads as a group from its place on, in order, and commits behind the last record read.
fn read(cluster: &Cluster, group: &str, records: usize) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut config = cluster.client();
    config
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    let consumer: BaseConsumer = config.create()?;
    let topic = "split";
    let from = match cluster.group_places(group, topic)?.get(&0) {
        Some(at) => Offset::Offset(*at),
        None => Offset::Beginning,
    };
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(topic, 0, from)?;
    consumer.assign(&start)?;
    let (mut values, mut next) = (Vec::new(), 0);
    wait_for("records", LIMIT, || {
        while values.len() < records {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                return Err(format!("{} of {records}", values.len()));
            };
            let message = message.map_err(|error| error.to_string())?;
            values.push(message.payload().unwrap_or_default().to_vec());
            next = message.offset() + 1;
        }
        Ok(())
    })?;
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, 0, Offset::Offset(next))?;
    consumer.commit(&place, rdkafka::consumer::CommitMode::Sync)?;
    Ok(values)
}
