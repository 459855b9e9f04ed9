//! How long a record is on its way under a steady load, and what the load costs.

use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_tests::Listener;

use crate::arrivals::Reader;
use crate::clients::expect_same_counts;
use crate::codec::Codec;
use crate::error::{BenchError, Result};
use crate::lab::Lab;
use crate::load::{Pace, Steady, micros, produce};
use crate::machine::{self, Noise};
use crate::mirror::{Contender, Job, Mirror};
use crate::payload::VALUE_BYTES;
use crate::stats::percentile;

const PARTITIONS: i32 = 8;
/// 5 MB/s of 1,024-byte records.
const RECORDS_PER_SECOND: u64 = 4_883;
/// Until the first record is through: a JVM's start, and more on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(180);
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// One window under load.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyRun {
    /// Who copied.
    pub contender: Contender,
    /// Which round.
    pub round: usize,
    /// Half of the records were faster, in milliseconds.
    pub p50_ms: f64,
    /// One in a hundred was slower.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// The mirror's CPU time, in percent of a core.
    pub cpu_percent: f64,
    /// The target broker's.
    pub target_cpu_percent: f64,
    /// Records sent within the window.
    pub records: usize,
    /// Cores kept busy by others within the window: noise.
    pub foreign_cores: f64,
}

/// Lets contenders mirror the same load in turn.
pub fn section(lab: &Lab) -> Result<Vec<LatencyRun>> {
    let mut runs = Vec::new();
    for round in 0..lab.plan.rounds_latency {
        let mut contenders = vec![Contender::Understudy, Contender::Mm2TunedExactlyOnce];
        if round == 0 {
            contenders.push(Contender::Mm2Tuned);
        } else {
            contenders.reverse();
        }
        for contender in lab.plan.taking_part(contenders) {
            let run = measure(lab, contender, round)?;
            lab.progress.say(&format!(
                "5 MB/s {}: p50 {:.0} ms, p99 {:.0} ms, {:.1} % of a core{}",
                contender.label(),
                run.p50_ms,
                run.p99_ms,
                run.cpu_percent,
                machine::remark(run.foreign_cores)
            ));
            runs.push(run);
            lab.clear(&[])?;
        }
    }
    Ok(runs)
}

fn measure(lab: &Lab, contender: Contender, round: usize) -> Result<LatencyRun> {
    let (topic, codec) = ("bench-latency", Codec::Lz4);
    lab.source.create_topic(topic, PARTITIONS, &[])?;
    // One record a partition shows when the mirror is ready.
    let first = u64::from(PARTITIONS.unsigned_abs());
    produce(&lab.source, &[topic], PARTITIONS, first, codec)?;
    let job = Job {
        contender,
        topic,
        partitions: PARTITIONS,
        codec,
        source: Listener::Plaintext,
    };
    let mut mirror = Mirror::start(lab, &job)?;
    let reader = Reader::start(&lab.target, &mirror.topic, PARTITIONS)?;
    reader.wait(first, READY_LIMIT)?;
    let pace = Pace {
        records_per_second: RECORDS_PER_SECOND,
        value_bytes: VALUE_BYTES,
        codec,
    };
    let load = Steady::start(&lab.source, &[topic], PARTITIONS, &pace)?;
    std::thread::sleep(lab.plan.latency_warm_up);
    let known = |mirror: &mut Mirror| {
        mirror.cpu_seconds() + lab.source.cpu_seconds() + lab.target.cpu_seconds()
    };
    let noise = Noise::listen(known(&mut mirror));
    let begun = Instant::now();
    let (from, cpu, target_cpu) = (micros(), mirror.cpu_seconds(), lab.target.cpu_seconds());
    std::thread::sleep(lab.plan.latency_window);
    let seconds = begun.elapsed().as_secs_f64();
    let (to, cpu_end, target_cpu_end) = (micros(), mirror.cpu_seconds(), lab.target.cpu_seconds());
    let foreign_cores = noise.foreign_cores(known(&mut mirror));
    let sent = load.finish()?;
    reader.wait(first + sent, DRAIN_LIMIT)?;
    let arrivals = reader.finish()?;
    let copy = mirror.topic.clone();
    mirror.stop()?;
    expect_same_counts(
        contender.label(),
        (&lab.source, topic),
        (&lab.target, &copy),
        PARTITIONS,
    )?;
    let mut times: Vec<f64> = arrivals
        .iter()
        .filter(|arrival| (from..to).contains(&arrival.sent))
        .map(|arrival| arrival.seen.saturating_sub(arrival.sent) as f64 / 1e3)
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |percent| {
        percentile(&times, percent)
            .ok_or_else(|| BenchError::NotMeasured("no record fell into the window".to_owned()))
    };
    Ok(LatencyRun {
        contender,
        round,
        p50_ms: at(50.0)?,
        p99_ms: at(99.0)?,
        max_ms: at(100.0)?,
        cpu_percent: (cpu_end - cpu) / seconds * 100.0,
        target_cpu_percent: (target_cpu_end - target_cpu) / seconds * 100.0,
        records: times.len(),
        foreign_cores,
    })
}
