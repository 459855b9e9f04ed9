//! Workers come, die, sleep and come back: every slot has one writer, and every record one copy.

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{FlowName, FlowRecord, FlowState, Slot, StateTopics};
use understudy_kafka::Endpoint;
use understudy_kafka::ffi::writer::Writer;
use understudy_tests::{
    Cluster, FlowFile, Judge, Listener, Pair, RunningWorkload, Worker, Workload, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const SLOTS: u32 = 4;

#[test]
fn others_go_on_exactly_after_one_is_killed_in_a_transaction() -> Outcome {
    let flow = Mirrored::new("killed", 8)?;
    let (killed, other) = (flow.worker("killed-1")?, flow.worker("killed-2")?);
    flow.wait_shared(&killed, &other)?;
    let load = flow.load()?;
    let mut judge = flow.judge();
    for round in 1.. {
        flow.pause_in_transaction(&killed)?;
        killed.kill()?;
        wait_slots(&other, SLOTS as usize)?;
        // Without an aborted copy the brokers had the commit already: then it was not killed in a transaction.
        if judge.compare()?.aborted_copies > 0 {
            break;
        }
        assert!(round < 5, "{round} kills, and never in a transaction");
        killed.restart()?;
        flow.wait_shared(&killed, &other)?;
    }
    load.stop()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    // All of it again, by a worker that was never told anything.
    other.kill()?;
    flow.write(500)?;
    killed.restart()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    Ok(())
}

#[test]
fn a_zombie_writes_nothing_and_hears_so_from_the_brokers() -> Outcome {
    let flow = Mirrored::new("zombie", 8)?;
    let (zombie, other) = (flow.worker("zombie-1")?, flow.worker("zombie-2")?);
    flow.wait_shared(&zombie, &other)?;
    let load = flow.load()?;
    flow.pause_in_transaction(&zombie)?;
    wait_slots(&other, SLOTS as usize)?;
    zombie.resume()?;
    wait_for("the zombie to be fenced", LIMIT, || {
        let metrics = zombie.metrics().map_err(|error| error.to_string())?;
        match metric(&metrics, "understudy_fenced_total") {
            Some(fenced) if fenced > 0.0 => Ok(()),
            fenced => Err(format!("{fenced:?} writes refused\n{}", zombie.log())),
        }
    })?;
    assert!(zombie.log().contains("slot fenced"), "{}", zombie.log());
    // It is a member again, and does its part.
    flow.wait_shared(&zombie, &other)?;
    load.stop()?;
    let comparison = flow.judge().wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    Ok(())
}

#[test]
fn a_sealed_flow_stops_its_workers_and_nothing_is_copied_afterwards() -> Outcome {
    let flow = Mirrored::new("sealed", 4)?;
    flow.write(1_000)?;
    let worker = flow.worker("sealed-1")?;
    assert!(flow.judge().wait_exact(LIMIT)?.is_exact());
    // What `seal-flow` does: the record first, then every transactional id.
    let name = FlowName::new("sealed")?;
    let topics = StateTopics::new(name.clone());
    let sealed = FlowRecord {
        generation: 1,
        slots: NonZeroU32::new(SLOTS).ok_or("no slots")?,
        epoch: 7,
        state: FlowState::Sealed,
        source_cluster_id: flow.pair.source.cluster_id().to_owned(),
        target_cluster_id: flow.pair.target.cluster_id().to_owned(),
        created_at_ms: None,
        paused_topics: BTreeSet::new(),
        changing_to: None,
    };
    let producer: BaseProducer = flow.pair.target.client().create()?;
    let (topic, key, value) = (topics.flow(), FlowRecord::key(&name), sealed.encode());
    producer
        .send(BaseRecord::to(&topic).key(&key).payload(&value))
        .map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    for slot in 0..SLOTS {
        fence(
            &flow.pair.target,
            &topics.transactional_id(1, Slot::new(slot)),
        )?;
    }
    let cut = flow.pair.target.ends(&flow.topic)?;
    flow.write(1_000)?;
    worker.wait_reason(&["flow:", "sealed", "epoch 7"], LIMIT)?;
    // Another one that comes later learns it before it asks for a slot.
    let late = flow.worker("sealed-2")?;
    late.wait_reason(&["sealed since recovery epoch 7"], LIMIT)?;
    let status = late.status()?;
    assert_eq!(status.get("slots"), Some(&serde_json::json!([])));
    assert_eq!(flow.pair.target.ends(&flow.topic)?, cut);
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    let ends = flow.pair.target.ends(&flow.topic)?;
    assert!(
        ends.values().all(understudy_tests::Ends::is_settled),
        "{ends:?}"
    );
    assert_eq!(flow.judge().compare()?.lost, 1_000);
    Ok(())
}

#[test]
fn a_planned_stop_commits_what_is_open_and_exits_0() -> Outcome {
    let flow = Mirrored::new("stopped", 4)?;
    let worker = flow.worker("stopped-1")?;
    let load = flow.load()?;
    let mut judge = flow.judge();
    for _ in 0..3 {
        flow.wait_moving()?;
        worker.terminate()?;
        let status = worker.wait(LIMIT)?;
        assert_eq!(status.code(), Some(0), "{}", worker.log());
        let ends = flow.pair.target.ends(&flow.topic)?;
        assert!(
            ends.values().all(understudy_tests::Ends::is_settled),
            "{ends:?}"
        );
        assert_eq!(judge.compare()?.aborted_copies, 0);
        worker.restart()?;
    }
    load.stop()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.aborted_copies == 0,
        "{comparison}"
    );
    Ok(())
}

#[test]
fn start_latest_begins_at_the_end_and_keeps_that_place_over_a_restart() -> Outcome {
    let pair = Pair::shared()?;
    let mut flow = Mirrored::new("latest", 2)?;
    flow.file = flow.file.mirror("start", "latest");
    flow.write(300)?;
    let begin = pair.source.ends(&flow.topic)?;
    let worker = flow.worker("latest-1")?;
    worker.wait_copied(&pair.source, &flow.topic, LIMIT)?;
    // Its place is chosen; what comes now is not "before".
    worker.kill()?;
    flow.write_as("q", 200)?;
    worker.restart()?;
    worker.wait_copied(&pair.source, &flow.topic, LIMIT)?;
    let comparison = flow.judge().compare()?;
    assert_eq!(
        (comparison.copied, comparison.lost, comparison.foreign),
        (200, 300, 0),
        "{comparison}"
    );
    let judge = {
        let mut judge = flow.judge();
        judge.compare()?;
        judge
    };
    for (partition, end) in begin {
        assert_eq!(
            judge.place_on_target(partition, end.last_stable),
            Some(0),
            "the first copy is the first record after the start"
        );
    }
    Ok(())
}

#[test]
fn a_new_topic_appears_on_the_target_with_its_partitions_and_cleanup_policy() -> Outcome {
    let pair = Pair::shared()?;
    let file = FlowFile::new(&pair.source, &pair.target)
        .named("new")
        .topics(["new-.*"])
        .slots(2)
        .mirror("topic_discovery_interval", "200ms");
    let worker = Worker::start(&file, "new-1")?;
    worker.wait_ready(LIMIT)?;
    let all = [("new-a", 1, "delete"), ("new-b", 7, "compact")];
    for (topic, partitions, policy) in all {
        pair.source
            .create_topic(topic, partitions, &[("cleanup.policy", policy)])?;
        Workload::orders(pair.source.client(), topic)
            .records(100)
            .run()?;
    }
    pair.source.create_topic("old-a", 1, &[])?;
    for (topic, partitions, policy) in all {
        wait_for(&format!("{topic} on the target"), LIMIT, || {
            match pair.target.partitions(topic) {
                Ok(Some(found)) if found == partitions => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        let comparison = Judge::new(&pair.source, &pair.target, topic).wait_exact(LIMIT)?;
        assert!(comparison.is_exact(), "{topic}: {comparison}");
        assert_eq!(
            pair.target
                .topic_config(topic, "cleanup.policy")?
                .as_deref(),
            Some(policy)
        );
    }
    assert_eq!(pair.target.partitions("old-a")?, None);
    worker.expect_running()?;
    Ok(())
}

/// One topic of the shared pair and a flow of the same name.
struct Mirrored {
    pair: &'static Pair,
    topic: String,
    file: FlowFile,
}

impl Mirrored {
    fn new(name: &str, partitions: i32) -> Result<Self, Box<dyn Error>> {
        let pair = Pair::shared()?;
        pair.source.create_topic(name, partitions, &[])?;
        let file = FlowFile::new(&pair.source, &pair.target)
            .named(name)
            .topics([name])
            .slots(SLOTS);
        Ok(Self {
            pair,
            topic: name.to_owned(),
            file,
        })
    }

    fn worker(&self, name: &str) -> understudy_tests::Result<Worker> {
        Worker::start(&self.file, name)
    }

    fn write(&self, records: u64) -> Outcome {
        self.write_as("more", records)
    }

    fn write_as(&self, producer: &str, records: u64) -> Outcome {
        Workload::orders(self.pair.source.client(), &self.topic)
            .producer(producer)
            .records(records)
            .run()?;
        Ok(())
    }

    /// A steady stream, until stopped.
    fn load(&self) -> understudy_tests::Result<RunningWorkload> {
        Workload::orders(self.pair.source.client(), &self.topic)
            .producer("load")
            .value_bytes(200)
            .rate(1_000)
            .records(u64::MAX)
            .start()
    }

    fn judge(&self) -> Judge {
        Judge::new(&self.pair.source, &self.pair.target, &self.topic)
    }

    /// Waits until each of two workers copies with some of the slots, and both together with all.
    fn wait_shared(&self, one: &Worker, other: &Worker) -> Outcome {
        wait_for("both workers to hold slots", LIMIT, || {
            let held = [one, other].map(|worker| copying(worker).unwrap_or_default());
            match held {
                [a, b] if a > 0 && b > 0 && a + b == SLOTS as usize => Ok(()),
                held => Err(format!("{held:?}\n{}\n{}", one.log(), other.log())),
            }
        })?;
        Ok(())
    }

    /// Waits until the target's topic grows.
    fn wait_moving(&self) -> Outcome {
        let ends = || {
            let ends = self.pair.target.ends(&self.topic);
            ends.map_err(|error| error.to_string())
        };
        let before = wait_for("the topic on the target", LIMIT, ends)?;
        wait_for("copies to come", LIMIT, || {
            let now = ends()?;
            if now != before && !now.is_empty() {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })?;
        Ok(())
    }

    /// Stops a worker's clock at a moment when one of its own partitions has a transaction open.
    fn pause_in_transaction(&self, worker: &Worker) -> Outcome {
        wait_for("a pause within a transaction", LIMIT, || {
            let own = own_partitions(worker, &self.topic).map_err(|error| error.to_string())?;
            worker.pause().map_err(|error| error.to_string())?;
            let ends = self.pair.target.ends(&self.topic);
            let ends = ends.map_err(|error| error.to_string())?;
            if ends
                .iter()
                .any(|(partition, ends)| own.contains(partition) && !ends.is_settled())
            {
                return Ok(());
            }
            worker.resume().map_err(|error| error.to_string())?;
            Err(format!("{own:?} {ends:?}"))
        })?;
        Ok(())
    }
}

fn wait_slots(worker: &Worker, slots: usize) -> Outcome {
    wait_for(&format!("{slots} slots"), LIMIT, || {
        match copying(worker).unwrap_or_default() {
            held if held == slots => Ok(()),
            held => Err(format!("{held}\n{}", worker.log())),
        }
    })?;
    Ok(())
}

/// How many slots a worker copies.
fn copying(worker: &Worker) -> understudy_tests::Result<usize> {
    let status = worker.status()?;
    let slots = status.get("slots").and_then(serde_json::Value::as_array);
    let slots = slots.into_iter().flatten();
    Ok(slots.filter(|slot| slot["state"] == "copying").count())
}

fn own_partitions(worker: &Worker, topic: &str) -> understudy_tests::Result<BTreeSet<i32>> {
    let status = worker.status()?;
    let lines = status
        .get("partitions")
        .and_then(serde_json::Value::as_array);
    let lines = lines.into_iter().flatten();
    Ok(lines
        .filter(|line| line["topic"] == topic)
        .filter_map(|line| i32::try_from(line["partition"].as_i64()?).ok())
        .collect())
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Takes a transactional id from whoever holds it.
fn fence(cluster: &Cluster, id: &str) -> Outcome {
    let properties = cluster.client_properties(Listener::Plaintext);
    let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
    Writer::new(&endpoint.writer(id), endpoint.watch.clone(), usize::MAX)?.init(LIMIT)?;
    Ok(())
}
