//! Records of somebody else in the topics that a flow keeps its state in: named with what ends it, and never guessed at.

use std::error::Error;
use std::time::Duration;

use understudy_domain::{FlowName, StateTopics};
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, understudy};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(90);
/// Neither a key nor a value of ours.
const NOISE: &[u8] = b"\x00\xffnot ours";

#[test]
fn a_record_of_somebody_else_among_the_state_is_named_and_a_tombstone_ends_it() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("foreign", 1, &[])?;
    orders(source, "p", 200)?;
    source.commit_group("foreign-group", &[("foreign", 0, 150)])?;
    let file = FlowFile::new(source, target)
        .named("foreign")
        .topics(["foreign"])
        .groups(["foreign-.*"])
        .slots(1)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "foreign-worker")?;
    worker.wait_copied(source, "foreign", LIMIT)?;
    let flow = worker.flow().display().to_string();
    let topics = StateTopics::new(FlowName::new("foreign")?);
    let verifies = || {
        let output = understudy(["verify", &flow], LIMIT)?;
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words).into_owned();
        Ok::<_, Box<dyn Error>>((output.status.code(), words))
    };
    for topic in [topics.positions(), topics.offset_map(), topics.gaps()] {
        // Whoever holds the slot has read its state, and goes on.
        target.write_record(&topic, 0, Some(NOISE), Some(NOISE))?;
        orders(source, &format!("{topic}-beside"), 50)?;
        worker.wait_copied(source, "foreign", LIMIT)?;
        // Whoever takes it over does not, and says where and what to do.
        worker.kill()?;
        worker.restart()?;
        worker.wait_reason(&[&topic, "offset", "tombstone"], LIMIT)?;
        orders(source, &format!("{topic}-behind"), 50)?;
        let (code, words) = verifies()?;
        assert_eq!(code, Some(2), "{words}");
        assert!(
            words.contains(&topic) && words.contains("tombstone"),
            "{words}"
        );
        target.write_record(&topic, 0, Some(NOISE), None)?;
        worker.wait_copied(source, "foreign", LIMIT)?;
        let (code, words) = verifies()?;
        assert_eq!(code, Some(0), "{topic}: {words}");
    }
    let verdict = Judge::new(source, target, "foreign").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    Ok(())
}

fn orders(cluster: &Cluster, producer: &str, records: u64) -> Outcome {
    Workload::orders(cluster.client(), "foreign")
        .producer(producer)
        .records(records)
        .value_bytes(50)
        .run()?;
    Ok(())
}
