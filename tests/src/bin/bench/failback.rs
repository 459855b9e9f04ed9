//! How long a failback takes to copy what was written since the cut, beside what is retained, and how long it looks at a
//! large pair first. Carried out by one process (`--local`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use understudy_tests::Worker;

use crate::codec::Codec;
use crate::error::Result;
use crate::lab::Lab;
use crate::load::produce;
use crate::payload::VALUE_BYTES;
use crate::recovery::{PARTITIONS_EACH, Scene, Size, topic};

const LIMIT: Duration = Duration::from_secs(180);
/// What is written since the cut, in megabytes.
const DIFFERENCES_MB: [u64; 3] = [1, 10, 100];
/// The pair that is looked at.
const LARGE: Size = Size {
    topics: 100,
    groups: 0,
    records: None,
};

/// One failback.
#[derive(Clone, Debug, Serialize)]
pub struct FailbackRun {
    /// What was written since the cut, in megabytes; nothing where the survey of a large pair was measured.
    pub difference_mb: Option<u64>,
    /// What is retained, in records.
    pub retained_records: Option<u64>,
    /// From the start of the flow home until all of it was there; or of the survey.
    pub seconds: f64,
}

/// Comes home with each difference to the same pair, and looks at a large one.
pub fn section(lab: &Lab) -> Result<Vec<FailbackRun>> {
    let mut runs = Vec::new();
    let retained = lab.plan.records;
    let size = Size {
        topics: 1,
        groups: 0,
        records: Some(retained),
    };
    let scene = Scene::start(lab, size)?;
    for megabytes in DIFFERENCES_MB {
        let seconds = differs_by(&scene, megabytes)?;
        lab.progress.say(&format!(
            "failback, {megabytes} MB since the cut: {seconds:.2} s"
        ));
        runs.push(FailbackRun {
            difference_mb: Some(megabytes),
            retained_records: Some(retained),
            seconds,
        });
    }
    drop(scene);
    let scene = Scene::start(lab, LARGE)?;
    scene.recover(&["failover", "--yes"], "TargetActive")?;
    let standby = scene.recover(&["failback", "--standby-only"], "StandbyReady")?;
    let took = standby.last("survey-tail", "ended_at_ms")?
        - standby.first("survey-tail", "began_at_ms")?;
    let seconds = took as f64 / 1e3;
    lab.progress.say(&format!(
        "failback, survey of 1,000 partitions: {seconds:.2} s"
    ));
    runs.push(FailbackRun {
        difference_mb: None,
        retained_records: None,
        seconds,
    });
    Ok(runs)
}

/// Leaves home, writes so much, and comes home.
fn differs_by(scene: &Scene, megabytes: u64) -> Result<f64> {
    scene.recover(&["failover", "--yes"], "TargetActive")?;
    let away = &scene.pair.target;
    let records = megabytes * 1_000_000 / VALUE_BYTES as u64;
    let topic = topic(0);
    produce(away, &[&topic], PARTITIONS_EACH, records, Codec::Lz4)?;
    let back = Worker::start(&scene.reverse, "back")?;
    let standby = scene.recover(&["failback", "--standby-only"], "StandbyReady")?;
    back.wait_copied(away, &topic, LIMIT)?;
    let there = SystemTime::now().duration_since(UNIX_EPOCH);
    let there = i64::try_from(there.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    let started = standby.last("start-flow", "ended_at_ms")?;
    scene.recover(&["failback", "--yes"], "TargetActive")?;
    back.kill()?;
    Ok((there - started) as f64 / 1e3)
}
