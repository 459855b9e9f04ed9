//! Workers come, die, sleep and come back: every slot has one writer, and every record one copy.

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{FlowName, FlowRecord, FlowState, Slot, StateTopics};
use understudy_kafka::Endpoint;
use understudy_kafka::ffi::writer::Writer;
use understudy_tests::{
    Cluster, FlowFile, Judge, Listener, Pair, RunningWorkload, Worker, Workload, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

/// A transaction whose end was asked for has ended by then.
const SOON_ENDED: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(60);
const SLOTS: u32 = 4;
/// How long the group waits for a worker that says nothing any more (`session.timeout.ms`).
const SESSION: Duration = Duration::from_secs(6);

#[test]
fn others_go_on_exactly_after_one_is_killed_in_a_transaction() -> Outcome {
    let flow = Mirrored::new("killed", 8)?;
    let (killed, other) = (flow.worker("killed-1")?, flow.worker("killed-2")?);
    flow.wait_shared(&killed, &other)?;
    let mut judge = flow.judge();
    let began = Instant::now();
    for attempt in 0.. {
        let load = flow.load_as(&format!("load-{attempt}"))?;
        flow.pause_in_transaction(&killed)?;
        killed.kill()?;
        wait_slots(&other, SLOTS as usize)?;
        // While more is copied, what is in an open transaction would be taken for aborted.
        load.stop()?;
        let comparison = judge.wait_exact(LIMIT)?;
        assert!(comparison.is_exact(), "{comparison}");
        // Without an aborted copy the brokers had the commit already: then it was not killed in a transaction.
        if comparison.aborted_copies > 0 {
            break;
        }
        assert!(
            began.elapsed() < 2 * LIMIT,
            "killed again and again, and never in a transaction"
        );
        killed.restart()?;
        flow.wait_shared(&killed, &other)?;
    }
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
        // A commit is answered before its markers are in every partition.
        flow.pair.target.wait_settled(&flow.topic, LIMIT)?;
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
fn a_planned_stop_hands_its_slots_over_long_before_a_session_would_have_ended() -> Outcome {
    let flow = Mirrored::new("handed", 8)?;
    let (one, other) = (flow.worker("handed-1")?, flow.worker("handed-2")?);
    flow.wait_shared(&one, &other)?;
    let load = flow.load()?;
    // The quickest of a few: a busy machine makes each of them slower, and none quicker.
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        one.terminate()?;
        wait_slots(&other, SLOTS as usize)?;
        quickest = quickest.min(began.elapsed());
        assert_eq!(one.wait(LIMIT)?.code(), Some(0));
        if quickest < SESSION / 2 {
            break;
        }
        one.restart()?;
        flow.wait_shared(&one, &other)?;
    }
    assert!(quickest < SESSION / 2, "{quickest:?}");
    load.stop()?;
    let comparison = flow.judge().wait_exact(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.aborted_copies == 0,
        "{comparison}"
    );
    Ok(())
}

#[test]
fn workers_that_come_and_go_under_load_copy_everything_once() -> Outcome {
    let flow = Mirrored::new("crew", 8)?;
    let load = flow.load()?;
    let first = flow.worker("crew-1")?;
    wait_slots(&first, SLOTS as usize)?;
    let (second, third) = (flow.worker("crew-2")?, flow.worker("crew-3")?);
    let shared = |crew: &[&Worker]| -> Outcome {
        wait_for("every worker to hold slots", LIMIT, || {
            let held: Vec<usize> = crew
                .iter()
                .map(|worker| copying(worker).unwrap_or_default())
                .collect();
            let all = held.iter().sum::<usize>() == SLOTS as usize;
            match all && held.iter().all(|held| *held > 0) {
                true => Ok(()),
                false => Err(format!("{held:?}")),
            }
        })?;
        flow.wait_moving()
    };
    shared(&[&first, &second, &third])?;
    first.terminate()?;
    assert_eq!(first.wait(LIMIT)?.code(), Some(0));
    shared(&[&second, &third])?;
    load.stop()?;
    let comparison = flow.judge().wait_exact(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.aborted_copies == 0,
        "{comparison}"
    );
    Ok(())
}

#[test]
fn a_lone_worker_that_slept_beyond_its_transactions_time_takes_over_from_itself() -> Outcome {
    let flow = Mirrored::new("alone", 4)?;
    let worker = flow.worker("alone-1")?;
    wait_slots(&worker, SLOTS as usize)?;
    let began = Instant::now();
    for attempt in 0.. {
        let load = flow.load_as(&format!("load-{attempt}"))?;
        flow.pause_in_transaction(&worker)?;
        // Nobody takes its slots over: the brokers themselves end what it left open.
        wait_for("the brokers to abort", LIMIT, || {
            let ends = flow.pair.target.ends(&flow.topic);
            let ends = ends.map_err(|error| error.to_string())?;
            match ends.values().all(understudy_tests::Ends::is_settled) {
                true => Ok(()),
                false => Err(format!("{ends:?}")),
            }
        })?;
        worker.resume()?;
        wait_slots(&worker, SLOTS as usize)?;
        flow.wait_moving()?;
        load.stop()?;
        let comparison = flow.judge().wait_exact(LIMIT)?;
        assert!(comparison.is_exact(), "{comparison}");
        // Without an aborted copy the brokers had the commit already, and were slow to say so.
        if comparison.aborted_copies > 0 {
            break;
        }
        assert!(
            began.elapsed() < 2 * LIMIT,
            "paused again and again, and never in a transaction"
        );
    }
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn what_others_write_into_a_copy_costs_an_abort_and_no_record() -> Outcome {
    let flow = Mirrored::new("foreign", 1)?;
    let worker = flow.worker("foreign-1")?;
    flow.write_as("first", 50)?;
    worker.wait_copied(&flow.pair.source, &flow.topic, LIMIT)?;
    // The slot is quiet, and knows where its next copy would land.
    let producer: BaseProducer = flow.pair.target.client().create()?;
    let stray = BaseRecord::to(&flow.topic)
        .partition(0)
        .key("stray")
        .payload("not ours");
    producer.send(stray).map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    flow.write_as("second", 50)?;
    worker.wait_copied(&flow.pair.source, &flow.topic, LIMIT)?;
    assert!(
        worker.log().contains("slot goes on without forecasts"),
        "{}",
        worker.log()
    );
    let comparison = flow.judge().compare_settled(LIMIT)?;
    assert_eq!(
        (
            comparison.copied,
            comparison.lost + comparison.doubled + comparison.out_of_order + comparison.altered,
            comparison.foreign
        ),
        (101, 0, 1),
        "{comparison}"
    );
    assert!(comparison.aborted_copies > 0, "{comparison}");
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn memory_is_bounded_while_the_target_takes_nothing() -> Outcome {
    /// What is written on the source meanwhile.
    const WAITING: u64 = 250 << 20;
    /// Of which a worker may hold, with all that it is made of.
    const RSS_MAX: u64 = 200 << 20;
    let pair = Pair::start(|source| source, |target| target.own_processes())?;
    pair.source.create_topic("heavy", 8, &[])?;
    let file = FlowFile::new(&pair.source, &pair.target)
        .topics(["heavy"])
        .slots(SLOTS);
    let worker = Worker::start(&file, "heavy-1")?;
    wait_slots(&worker, SLOTS as usize)?;
    let workload = || Workload::orders(pair.source.client(), "heavy").value_bytes(10_000);
    workload().records(100).run()?;
    worker.wait_copied(&pair.source, "heavy", LIMIT)?;
    let broker = pair.target.broker(1)?;
    broker.pause()?;
    workload()
        .producer("waiting")
        .records(WAITING / 10_000)
        .run()?;
    // It reads what it may, and then no more.
    let read = || pair.source.link().bytes_from_brokers();
    let mut before = read();
    let mut still = Instant::now();
    wait_for("the worker to read no more", LIMIT, || {
        let now = read();
        // Answers without records go on.
        if now - before > 100_000 {
            still = Instant::now();
        }
        before = now;
        match still.elapsed() > Duration::from_secs(3) {
            true => Ok(()),
            false => Err(format!("{now} bytes")),
        }
    })?;
    let peak = worker.peak_rss_bytes().ok_or("no memory is told")?;
    assert!(peak < RSS_MAX, "{} MiB", peak >> 20);
    broker.resume()?;
    worker.wait_copied(&pair.source, "heavy", 2 * LIMIT)?;
    let peak = worker.peak_rss_bytes().ok_or("no memory is told")?;
    assert!(peak < RSS_MAX, "{} MiB at the end", peak >> 20);
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
    // Committed is not readable yet: the marker follows.
    let comparison = wait_for("the copies to be readable", LIMIT, || {
        let seen = flow.judge().compare().map_err(|error| error.to_string())?;
        match seen.copied {
            200.. => Ok(seen),
            _ => Err(seen.to_string()),
        }
    })?;
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
        self.load_as("load")
    }

    fn load_as(&self, producer: &str) -> understudy_tests::Result<RunningWorkload> {
        Workload::orders(self.pair.source.client(), &self.topic)
            .producer(producer)
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

    /// Stops a worker's clock at a moment when one of its own partitions has a transaction open, whose end the brokers have
    /// not been asked for yet: what they were asked for they do without the worker.
    fn pause_in_transaction(&self, worker: &Worker) -> Outcome {
        wait_for("a pause within a transaction", LIMIT, || {
            let own = own_partitions(worker, &self.topic).map_err(|error| error.to_string())?;
            worker.pause().map_err(|error| error.to_string())?;
            let mut is_open = false;
            let ends = wait_for("its end", SOON_ENDED, || {
                is_open = false;
                let ends = self.pair.target.ends(&self.topic);
                let ends = ends.map_err(|error| error.to_string())?;
                let mut of_own = ends.iter().filter(|(partition, _)| own.contains(partition));
                is_open = of_own.any(|(_, ends)| !ends.is_settled());
                if is_open {
                    Err(String::new())
                } else {
                    Ok(ends)
                }
            });
            if is_open {
                return Ok(());
            }
            // Also where the ends were not told: a worker that sleeps tells nothing next time.
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
