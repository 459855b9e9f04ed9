//! Topics as they live: they appear, grow, wait, go on; under their own names or prefixed ones, in both directions.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, understudy, wait_for};

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
        let comparison = Judge::new(source, target, topic).compare()?;
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
    assert!(Judge::new(source, target, "waits").compare()?.is_exact());
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
        assert!(Judge::new(source, target, topic).compare()?.is_exact());
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
    assert!(Judge::new(source, target, "slow").compare()?.is_exact());
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

fn write(cluster: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
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
