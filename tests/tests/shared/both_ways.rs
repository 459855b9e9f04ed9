//! Under the identity policy one direction of a pair runs: two would send each record round for ever.

use std::error::Error;
use std::time::Duration;

use understudy_tests::{FlowFile, Judge, Pair, Worker, Workload, understudy};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_flow_waits_while_another_mirrors_back_what_it_would_write() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("round", 2, &[])?;
    Workload::orders(source.client(), "round")
        .records(300)
        .run()?;
    let there = FlowFile::new(source, target)
        .named("round")
        .topics(["round"])
        .slots(2);
    let there = Worker::start(&there, "round")?;
    there.wait_copied(source, "round", LIMIT)?;
    // The other way: its source holds the copies.
    let back = FlowFile::new(target, source)
        .named("round-back")
        .topics(["round"])
        .slots(2)
        .mirror("start", "latest");
    let back = Worker::start(&back, "round-back")?;
    let words = ["flow round runs the other way", "round", "seal or pause"];
    back.wait_reason(&words, LIMIT)?;
    assert_eq!(
        source.partitions("understudy.round-back.flow")?,
        None,
        "a flow that may not run leaves nothing behind"
    );
    let comparison = Judge::new(source, target, "round").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");

    // Once the first one waits, the second goes on by itself.
    let flow = there.flow();
    let tool = |command: &str| understudy([command.as_ref(), flow.as_os_str()], LIMIT);
    assert_eq!(tool("pause")?.status.code(), Some(0));
    back.wait_ready(LIMIT)?;
    Workload::orders(target.client(), "round")
        .producer("home")
        .records(200)
        .run()?;
    back.wait_copied(target, "round", LIMIT)?;

    // Both at once, by a hand that was too quick: neither copies until one of them is stopped.
    assert_eq!(tool("resume")?.status.code(), Some(0));
    there.wait_reason(&["flow round-back runs the other way"], LIMIT)?;
    back.wait_reason(&["flow round runs the other way"], LIMIT)?;
    assert_eq!(tool("pause")?.status.code(), Some(0));
    back.wait_ready(LIMIT)?;
    Ok(())
}
