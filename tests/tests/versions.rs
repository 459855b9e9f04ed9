//! Clusters of different versions: the oldest that is covered and the newest, either way round.

use std::error::Error;
use std::time::Duration;

use understudy_tests::{
    Cluster, DEFAULT_VERSION, FlowFile, Judge, OLDER_VERSION, Pair, Worker, Workload, understudy,
    wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_older_source_is_mirrored_to_a_newer_target() -> Outcome {
    mirror_restart_verify(OLDER_VERSION, DEFAULT_VERSION)
}

#[test]
fn a_newer_source_is_mirrored_to_an_older_target() -> Outcome {
    mirror_restart_verify(DEFAULT_VERSION, OLDER_VERSION)
}

fn mirror_restart_verify(source: &str, target: &str) -> Outcome {
    let Pair { source, target } = &Pair::start(
        |cluster| cluster.version(source),
        |cluster| cluster.version(target),
    )?;
    source.create_topic("orders", 4, &[])?;
    source.create_topic("payments", 2, &[("cleanup.policy", "compact")])?;
    source.create_topic("again", 2, &[])?;
    write(source, "again", "first", 100)?;
    let file = FlowFile::new(source, target)
        .slots(3)
        .mirror("recreated", "continue-in-same")
        .mirror("topic_discovery_interval", "500ms")
        .mirror("group_sync_interval", "300ms")
        .mirror("config_sync_interval", "500ms");
    let worker = Worker::start(&file, "worker")?;
    let orders = Workload::orders(source.client(), "orders")
        .rate(500)
        .records(u64::MAX)
        .transactional(20, 5)
        .start()?;
    let payments = Workload::orders(source.client(), "payments")
        .records(1_000)
        .compacted(50, 9);
    payments.run()?;
    let mut judges = ["orders", "payments"].map(|topic| Judge::new(source, target, topic));
    for judge in &mut judges {
        let (begun, mut seen) = (std::time::Instant::now(), judge.compare()?);
        while seen.copied == 0 && begun.elapsed() < LIMIT {
            seen = judge.compare()?;
        }
        assert!(seen.copied > 0 && !seen.is_beyond_repair(), "{seen}");
    }
    worker.kill()?;
    worker.restart()?;
    orders.stop()?;
    for judge in &mut judges {
        let comparison = judge.wait_exact(LIMIT)?;
        assert!(comparison.is_exact(), "{comparison}");
    }
    worker.wait_copied(source, "orders", LIMIT)?;
    live(&worker, source, target)?;
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    for arguments in [&["status"][..], &["verify"], &["verify", "--deep"]] {
        let (command, options) = arguments.split_first().ok_or("no tool")?;
        let flow = worker.flow().display().to_string();
        let all = [*command, &flow].into_iter().chain(options.iter().copied());
        let output = understudy(all, LIMIT)?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {text}");
    }
    Ok(())
}

/// What happens to topics and groups while a flow runs, after a transactional producer has written to `orders`.
fn live(worker: &Worker, source: &Cluster, target: &Cluster) -> Outcome {
    // Growth.
    source.grow_topic("orders", 6)?;
    write(source, "orders", "grown", 600)?;
    worker.wait_copied(source, "orders", LIMIT)?;
    assert_eq!(target.partitions("orders")?, Some(6));
    let mut judge = Judge::new(source, target, "orders");
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    // Groups, among aborted transactions.
    let places = [("orders", 0, 12), ("orders", 3, 40), ("orders", 5, 20)];
    source.commit_group("readers", &places)?;
    for (topic, partition, offset) in places {
        let wanted = judge.place_on_target(partition, offset).ok_or("no copy")?;
        wait_for("the group's place", LIMIT, || {
            let found = target.group_places("readers", topic);
            match found.map_err(|error| error.to_string())?.get(&partition) {
                Some(place) if *place == wanted => Ok(()),
                other => Err(format!("{other:?}, not {wanted}")),
            }
        })?;
    }
    // Settings.
    source.set_topic_configs("orders", &[("retention.bytes", "123456789")])?;
    wait_for("the config", LIMIT, || {
        let value = target.topic_config("orders", "retention.bytes");
        match value.map_err(|error| error.to_string())?.as_deref() {
            Some("123456789") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    // A topic that is made again.
    worker.wait_copied(source, "again", LIMIT)?;
    source.delete_topic("again")?;
    source.create_topic("again", 2, &[])?;
    write(source, "again", "second", 60)?;
    worker.wait_copied(source, "again", LIMIT)?;
    worker.wait_status("the gaps of both partitions", LIMIT, |status| {
        let gaps = status["gaps"].as_array().into_iter().flatten();
        gaps.filter(|gap| gap["cause"] == "recreated").count() == 2
    })?;
    let copies: i64 = target
        .ends("again")?
        .values()
        .map(|ends| ends.last_stable)
        .sum();
    assert!(copies >= 160, "{copies}");
    Ok(())
}

fn write(cluster: &Cluster, topic: &str, name: &str, records: u64) -> Outcome {
    Workload::orders(cluster.client(), topic)
        .producer(name)
        .value_bytes(100)
        .records(records)
        .run()?;
    Ok(())
}
