//! A tail that takes longer than whoever carries it may run: each turn ends in time, and the next one goes on.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_recovery::tail::Carried;
use understudy_shell::turn::TailTurn;
use understudy_shell::world::Flows;
use understudy_shell::{PortError, PortErrorKind};
use understudy_tests::{Cluster, Pair, Worker, Workload};

use crate::seal::Scene;

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const BEFORE: u64 = 200;
/// Several transactions' worth.
const BEYOND: u64 = 6_000;

#[test]
fn a_long_tail_is_put_aside_in_turns_and_what_was_read_back_is_not_taken_on_trust() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "turns";
    source.create_topic(topic, 2, &[])?;
    let scene = left(source, target, topic)?;
    let found = scene.flows.survey_tail(scene.forward())?;
    assert_eq!((found.records(), found.uncounted()), (BEYOND, 0));
    for partition in &found.partitions {
        let keys = partition.keys.ok_or("no keys")?;
        assert!(keys.distinct > 0 && keys.exact && keys.on_both == 0);
        let written = partition
            .first_timestamp_ms
            .zip(partition.last_timestamp_ms);
        assert!(written.is_some_and(|(first, last)| first <= last));
    }

    let topics = [topic.to_owned()];
    let mut turn = TailTurn::default();
    let (carried, turns) = in_turns(|| {
        // As from the store.
        turn.marks = serde_json::from_str(&serde_json::to_string(&turn.marks)?)?;
        Ok(scene
            .flows
            .put_tail_aside(scene.forward(), &topics, &mut turn)?)
    })?;
    assert!(turns > 3, "it took {turns} turns");
    assert_eq!(carried.put_aside, BEYOND);
    let aside = format!("{topic}.tail.e1");
    let values = |cluster: &Cluster, topic: &str| -> Result<Vec<_>, Box<dyn Error>> {
        Ok(cluster
            .read_all(topic)?
            .into_iter()
            .map(|it| it.value)
            .collect())
    };
    let copied: BTreeSet<_> = values(target, topic)?.into_iter().collect();
    let mut tail = values(source, topic)?;
    tail.retain(|value| !copied.contains(value));
    let mut put_aside = values(target, &aside)?;
    tail.sort();
    put_aside.sort();
    assert_eq!(put_aside.len() as u64, BEYOND);
    assert!(put_aside == tail, "something else was put aside");

    // All of it was read back: another turn has nothing to do, and one without marks comes to the same.
    for mut again in [
        turn.clone(),
        TailTurn {
            within: LIMIT,
            ..TailTurn::default()
        },
    ] {
        let done = scene
            .flows
            .put_tail_aside(scene.forward(), &topics, &mut again)?;
        assert_eq!(done, carried);
    }
    // What somebody wrote there since is met, although all before it is marked.
    target.write_record(&aside, 0, Some(b"somebody"), Some(b"else's"))?;
    let met = scene
        .flows
        .put_tail_aside(scene.forward(), &topics, &mut turn);
    let met: PortError = met.err().ok_or("it was not met")?;
    assert_eq!(met.kind, PortErrorKind::Conflict);
    assert!(met.text.contains("somebody else wrote it"), "{}", met.text);
    Ok(())
}

#[test]
fn a_long_tail_is_merged_and_its_keys_are_put_right_in_turns() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "turns-late";
    source.create_topic(topic, 2, &[("cleanup.policy", "compact")])?;
    let scene = left(source, target, topic)?;
    let topics = [topic.to_owned()];
    let mut turn = TailTurn::default();
    let (carried, turns) = in_turns(|| {
        Ok(scene
            .flows
            .merge_tail(scene.forward(), &topics, &mut turn)?)
    })?;
    assert!(turns > 3, "it took {turns} turns");
    assert_eq!((carried.put_aside, carried.merged), (0, BEYOND));
    target.wait_settled(topic, LIMIT)?;
    assert_eq!(target.read_all(topic)?.len() as u64, BEFORE + BEYOND);

    let back = scene.back();
    let (mut renewed, mut turns) = (None, 0);
    while renewed.is_none() {
        turns += 1;
        assert!(turns < 10, "it does not end");
        renewed = scene
            .flows
            .renew_keys(scene.forward(), back, &topics, &mut turn)?;
    }
    assert_eq!(turns, 4, "one to write and one to read for each partition");
    let ends = source.ends(topic)?;
    for (TopicPartition { partition, .. }, end) in renewed.into_iter().flatten() {
        let there = ends.get(&partition).ok_or("no such partition")?;
        assert_eq!(there.high_watermark, end, "in {partition}");
    }
    // What somebody else wrote meanwhile is met before an end is answered.
    source.write_record(topic, 0, Some(b"somebody"), Some(b"else's"))?;
    let met = (scene.flows).renew_keys(scene.forward(), back, &topics, &mut turn);
    let met: PortError = met.err().ok_or("it was not met")?;
    assert_eq!(met.kind, PortErrorKind::Conflict, "{}", met.text);
    Ok(())
}

/// A flow that was sealed at e1 with this tail.
fn left(source: &Cluster, target: &Cluster, topic: &str) -> Result<Scene, Box<dyn Error>> {
    let (forward, scene) = Scene::new(source, target, topic)?;
    let worker = Worker::start(&forward, topic)?;
    let write = |producer: &str, records| {
        Workload::orders(source.client(), topic)
            .producer(producer)
            .value_bytes(100)
            .records(records)
            .run()
    };
    write("before", BEFORE)?;
    worker.wait_copied(source, topic, LIMIT)?;
    worker.kill()?;
    write("beyond", BEYOND)?;
    scene.seal(1)?;
    Ok(scene)
}

/// Asks until all is carried; each turn has come further than the last.
fn in_turns(
    mut ask: impl FnMut() -> Result<Carried, Box<dyn Error>>,
) -> Result<(Carried, usize), Box<dyn Error>> {
    let mut before = Carried::default();
    for turns in 1..200 {
        let now = ask()?;
        assert!(now.put_aside >= before.put_aside && now.merged >= before.merged);
        if !now.is_cut_off {
            return Ok((now, turns));
        }
        before = now;
    }
    Err("it does not end".into())
}
