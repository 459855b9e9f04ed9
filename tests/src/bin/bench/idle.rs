//! What it costs to have nothing to do.

use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_tests::Listener;

use crate::clients::Ends;
use crate::codec::Codec;
use crate::error::Result;
use crate::lab::Lab;
use crate::load::produce;
use crate::mirror::{Contender, Job, Mirror};

const PARTITIONS: i32 = 200;
const RECORDS: u64 = 2_000;
const READY_LIMIT: Duration = Duration::from_secs(180);
/// Time for the last commits and first checks to be over.
const SETTLE: Duration = Duration::from_secs(5);

/// One look at a mirror that has caught up.
#[derive(Clone, Debug, Serialize)]
pub struct IdleRun {
    /// Who copied.
    pub contender: Contender,
    /// Partitions mirrored.
    pub partitions: i32,
    /// The mirror's CPU time, in percent of a core.
    pub cpu_percent: f64,
    /// The source broker's.
    pub source_cpu_percent: f64,
    /// The target broker's.
    pub target_cpu_percent: f64,
    /// The mirror's peak resident memory.
    pub peak_mb: f64,
}

/// Looks at ours and at MirrorMaker 2.
pub fn section(lab: &Lab) -> Result<Vec<IdleRun>> {
    let mut runs = Vec::new();
    let contenders = vec![Contender::Understudy, Contender::Mm2TunedExactlyOnce];
    for contender in lab.plan.taking_part(contenders) {
        let run = measure(lab, contender)?;
        lab.progress.say(&format!(
            "idle, {PARTITIONS} partitions, {}: {:.1} % of a core, brokers {:.1} + {:.1} %, peak {:.0} MB",
            contender.label(),
            run.cpu_percent,
            run.source_cpu_percent,
            run.target_cpu_percent,
            run.peak_mb
        ));
        runs.push(run);
        lab.clear(&[])?;
    }
    Ok(runs)
}

fn measure(lab: &Lab, contender: Contender) -> Result<IdleRun> {
    let (topic, codec) = ("bench-idle", Codec::Lz4);
    lab.source.create_topic(topic, PARTITIONS, &[])?;
    produce(&lab.source, &[topic], PARTITIONS, RECORDS, codec)?;
    let job = Job {
        contender,
        topic,
        partitions: PARTITIONS,
        codec,
        source: Listener::Plaintext,
    };
    let mut mirror = Mirror::start(lab, &job)?;
    let ends = Ends::new(&lab.target, &mirror.topic, PARTITIONS)?;
    mirror.wait_copied(&ends, RECORDS, READY_LIMIT)?;
    drop(ends);
    std::thread::sleep(SETTLE);
    let mut look = || {
        [
            mirror.cpu_seconds(),
            lab.source.cpu_seconds(),
            lab.target.cpu_seconds(),
        ]
    };
    let (begun, before) = (Instant::now(), look());
    std::thread::sleep(lab.plan.idle_window);
    let (seconds, after) = (begun.elapsed().as_secs_f64(), look());
    let [cpu, source, target] = [0, 1, 2].map(|index| {
        let at = |values: &[f64; 3]| values.get(index).copied().unwrap_or_default();
        (at(&after) - at(&before)) / seconds * 100.0
    });
    let peak_mb = mirror.peak_mb();
    mirror.stop()?;
    Ok(IdleRun {
        contender,
        partitions: PARTITIONS,
        cpu_percent: cpu,
        source_cpu_percent: source,
        target_cpu_percent: target,
        peak_mb,
    })
}
