//! Clusters of different versions: the oldest that is covered and the newest, either way round.

use std::error::Error;
use std::time::Duration;

use understudy_tests::{
    DEFAULT_VERSION, FlowFile, Judge, OLDER_VERSION, Pair, Worker, Workload, understudy,
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
    let file = FlowFile::new(source, target).slots(3);
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
