//! What a copy of a full topic costs, and how fast it goes.
//!
//! ```text
//! start ──── first record appended ──────── last record committed ── stop ── count
//!            └──────────── the window ────────────┘
//! ```
//! The window is the same for everyone, so a JVM's start is outside it. Its edges are found afterwards, in samples
//! taken all along; nothing is read from the target meanwhile but its ends and one record.

use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_tests::{LabError, Listener};

use crate::clients::{Ends, FirstRecord, expect_same_counts};
use crate::codec::Codec;
use crate::error::{BenchError, Result};
use crate::lab::Lab;
use crate::load::produce;
use crate::machine;
use crate::mirror::{Contender, Job, Mirror};
use crate::payload::{KEY_BYTES, VALUE_BYTES};

const PARTITIONS: i32 = 8;
const LIMIT: Duration = Duration::from_secs(300);
const WARM_UP_RECORDS: u64 = 150_000;
const BETWEEN_SAMPLES: Duration = Duration::from_millis(25);
/// So long must the end stand still before the copy is counted.
const STILL: Duration = Duration::from_millis(1_500);

/// One copy of the whole topic.
#[derive(Clone, Debug, Serialize)]
pub struct CopyRun {
    /// Who copied.
    pub contender: Contender,
    /// What was compressed with.
    pub codec: Codec,
    /// Which round; runs of a round are compared with each other.
    pub round: usize,
    /// Round trip of the way to the source, in milliseconds.
    pub round_trip_ms: u64,
    /// From the start of the process to the first record that a `read_committed` reader saw.
    pub start_seconds: f64,
    /// Length of the window.
    pub window_seconds: f64,
    /// Records' keys and values a second within the window, in MB.
    pub mb_per_second: f64,
    /// The mirror's CPU time per GB of keys and values.
    pub cpu_seconds_per_gb: f64,
    /// The source broker's.
    pub source_cpu_seconds_per_gb: f64,
    /// The target broker's.
    pub target_cpu_seconds_per_gb: f64,
    /// The mirror's peak resident memory.
    pub peak_mb: f64,
    /// Cores kept busy by others within the window: noise.
    pub foreign_cores: f64,
}

/// A look at everything, while a mirror runs.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    appended: i64,
    committed: i64,
    mirror: f64,
    source: f64,
    target: f64,
    bench: f64,
    machine: f64,
}

/// Lets every contender copy the same topic, round by round.
pub fn section(lab: &Lab, codec: Codec) -> Result<Vec<CopyRun>> {
    let topic = format!("bench-{}", codec.name());
    fill(lab, &topic, codec, lab.plan.records)?;
    let lz4 = codec == Codec::Lz4;
    let rounds = if lz4 {
        lab.plan.rounds
    } else {
        lab.plan.rounds_other
    };
    let mut runs = Vec::new();
    for round in 0..rounds {
        let mut contenders = vec![Contender::Understudy, Contender::Mm2TunedExactlyOnce];
        if lz4 {
            contenders.push(Contender::Mm2Tuned);
        }
        if lz4 && round == 0 {
            contenders.push(Contender::Mm2Default);
        }
        // Whoever comes first meets colder brokers.
        if round % 2 == 1 {
            contenders.reverse();
        }
        for contender in lab.plan.taking_part(contenders) {
            let job = Job {
                contender,
                topic: &topic,
                partitions: PARTITIONS,
                codec,
                source: Listener::Plaintext,
            };
            let run = copy(lab, &job, round)?;
            let line = format!("{} {}: {}", codec.name(), contender.label(), run.line());
            lab.progress.say(&line);
            runs.push(run);
            lab.clear(&[&topic])?;
        }
    }
    lab.clear(&[])?;
    Ok(runs)
}

/// An unmeasured copy, for the brokers' JIT compilers.
pub fn warm_up(lab: &Lab) -> Result<()> {
    let (topic, codec) = ("bench-warm-up", Codec::Lz4);
    fill(lab, topic, codec, WARM_UP_RECORDS)?;
    let contenders = vec![Contender::Mm2TunedExactlyOnce, Contender::Understudy];
    for contender in lab.plan.taking_part(contenders) {
        let job = Job {
            contender,
            topic,
            partitions: PARTITIONS,
            codec,
            source: Listener::Plaintext,
        };
        let mut mirror = Mirror::start(lab, &job)?;
        let ends = Ends::new(&lab.target, &mirror.topic, job.partitions)?;
        mirror.wait_copied(&ends, WARM_UP_RECORDS, LIMIT)?;
        mirror.stop()?;
    }
    lab.clear(&[])
}

/// The same copy by ours, over a link without and with distance.
pub fn over_link(lab: &Lab) -> Result<Vec<CopyRun>> {
    let (topic, codec) = ("bench-link", Codec::Lz4);
    fill(lab, topic, codec, lab.plan.records)?;
    let link = lab.source.link();
    let mut runs = Vec::new();
    for round in 0..lab.plan.rounds_link {
        for round_trip_ms in [0, 60] {
            link.set_round_trip(Duration::from_millis(round_trip_ms));
            let job = Job {
                contender: Contender::Understudy,
                topic,
                partitions: PARTITIONS,
                codec,
                source: Listener::Link,
            };
            let run = CopyRun {
                round_trip_ms,
                ..copy(lab, &job, round)?
            };
            lab.progress
                .say(&format!("link of {round_trip_ms} ms: {}", run.line()));
            runs.push(run);
            lab.clear(&[topic])?;
        }
    }
    link.set_round_trip(Duration::ZERO);
    lab.clear(&[])?;
    Ok(runs)
}

fn fill(lab: &Lab, topic: &str, codec: Codec, records: u64) -> Result<()> {
    lab.progress
        .say(&format!("writing {records} records to {topic}"));
    lab.source.create_topic(topic, PARTITIONS, &[])?;
    produce(&lab.source, &[topic], PARTITIONS, records, codec)
}

fn copy(lab: &Lab, job: &Job<'_>, round: usize) -> Result<CopyRun> {
    let label = job.contender.label();
    let mut mirror = Mirror::start(lab, job)?;
    let first = FirstRecord::watch(&lab.target, &mirror.topic, job.partitions)?;
    let samples = sample(lab, job, &mut mirror)?;
    let peak_mb = mirror.peak_mb();
    let (topic, started) = (mirror.topic.clone(), mirror.started);
    mirror.stop()?;
    expect_same_counts(
        label,
        (&lab.source, job.topic),
        (&lab.target, &topic),
        job.partitions,
    )?;
    let not_measured = || BenchError::NotMeasured(format!("{label}: no first record was seen"));
    let first = first.seen()?.ok_or_else(not_measured)?;
    let (begin, end) = window(&samples).ok_or_else(not_measured)?;
    let seconds = end.at.duration_since(begin.at).as_secs_f64();
    let bytes = lab.plan.records as f64 * (KEY_BYTES + VALUE_BYTES) as f64;
    let within = 1.0 - begin.appended as f64 / end.committed.max(1) as f64;
    let gb = bytes * within / 1e9;
    let known = |sample: Sample| sample.mirror + sample.source + sample.target + sample.bench;
    let foreign = (end.machine - begin.machine) - (known(end) - known(begin));
    Ok(CopyRun {
        contender: job.contender,
        codec: job.codec,
        round,
        round_trip_ms: 0,
        start_seconds: first.duration_since(started).as_secs_f64(),
        window_seconds: seconds,
        mb_per_second: gb * 1e3 / seconds,
        cpu_seconds_per_gb: (end.mirror - begin.mirror) / gb,
        source_cpu_seconds_per_gb: (end.source - begin.source) / gb,
        target_cpu_seconds_per_gb: (end.target - begin.target) / gb,
        peak_mb,
        foreign_cores: (foreign / seconds).max(0.0),
    })
}

/// Looks until everything is committed and the end stands still.
fn sample(lab: &Lab, job: &Job<'_>, mirror: &mut Mirror) -> Result<Vec<Sample>> {
    let ends = Ends::new(&lab.target, &mirror.topic, job.partitions)?;
    let wanted = i64::try_from(lab.plan.records).unwrap_or(i64::MAX);
    let mut samples: Vec<Sample> = Vec::new();
    let mut moved = Instant::now();
    loop {
        mirror.expect_running()?;
        let last = samples.last().copied();
        let committed = ends.committed()?;
        // Once something was appended, only the committed end is of interest.
        let appended = match last {
            Some(last) if last.appended > 0 => last.appended.max(committed),
            _ => ends.appended()?,
        };
        let now = Sample {
            at: Instant::now(),
            appended,
            committed,
            mirror: mirror.cpu_seconds(),
            source: lab.source.cpu_seconds(),
            target: lab.target.cpu_seconds(),
            bench: machine::own_cpu_seconds(),
            machine: machine::busy_seconds(),
        };
        if last.is_none_or(|last| last.committed != committed) {
            moved = now.at;
        }
        samples.push(now);
        if committed >= wanted && moved.elapsed() >= STILL {
            return Ok(samples);
        }
        if mirror.started.elapsed() > LIMIT {
            let (label, records) = (job.contender.label(), lab.plan.records);
            return Err(LabError::TooLate {
                what: format!("{label} to copy {records} records"),
                waited: LIMIT,
                hint: format!("; the target's end is {committed}"),
            }
            .into());
        }
        std::thread::sleep(BETWEEN_SAMPLES);
    }
}

fn window(samples: &[Sample]) -> Option<(Sample, Sample)> {
    let begin = samples.iter().find(|sample| sample.appended > 0)?;
    let last = samples.last()?;
    let end = samples
        .iter()
        .find(|sample| sample.committed == last.committed)?;
    Some((*begin, *end))
}

impl CopyRun {
    fn line(&self) -> String {
        let noise = machine::remark(self.foreign_cores);
        format!(
            "{:.1} CPU s/GB, {:.0} MB/s, brokers {:.1} + {:.1} s/GB, peak {:.0} MB, first record after {:.1} s{noise}",
            self.cpu_seconds_per_gb,
            self.mb_per_second,
            self.source_cpu_seconds_per_gb,
            self.target_cpu_seconds_per_gb,
            self.peak_mb,
            self.start_seconds,
        )
    }
}
