//! Where consumer groups stand after a failover: how much they would read again, how soon a place is right, and what a
//! hundred thousand places cost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde::Serialize;
use understudy_domain::{OffsetMap, Origin, Replicated, Run, SourceOffset, TargetOffset};
use understudy_tests::{Listener, Worker, wait_for};

use crate::clients::{Ends, reader_config};
use crate::codec::Codec;
use crate::error::{BenchError, Doing, Result};
use crate::lab::Lab;
use crate::load::produce;
use crate::mirror::{Contender, Job, Mirror, flow};
use crate::payload::key;

const RECORDS: u64 = 500_000;
/// How far behind the end groups stand.
pub const BEHIND: [u64; 6] = [0, 1, 1_000, 50_000, 250_000, 450_000];
const LIMIT: Duration = Duration::from_secs(240);
/// After the last place came, time for better ones.
const SETTLE: Duration = Duration::from_secs(10);
/// How long a contender may take until a place is right, before that is given up.
const RIGHT_LIMIT: Duration = Duration::from_secs(60);

const MANY_GROUPS: u32 = 1_000;
const MANY_PARTITIONS: i32 = 100;
/// The largest map that is worth a look-up: a run each second for a week.
const RUNS: u64 = 604_800;

/// What became of the groups of one contender.
#[derive(Clone, Debug, Serialize)]
pub struct GroupsRun {
    /// Who copied.
    pub contender: Contender,
    /// For each of [`BEHIND`], records that the group would read again; all of them where it has no place.
    pub reread: Vec<u64>,
    /// Records that any of them would skip.
    pub skipped: u64,
    /// From the commit on the source until the place on the target is right; none if it never was.
    pub right_seconds: Option<f64>,
}

/// What a hundred thousand places that stand still cost ours.
#[derive(Clone, Debug, Serialize)]
pub struct ManyRun {
    /// CPU time in percent of a core, all of the worker's.
    pub cpu_percent: f64,
    /// Peak memory beyond that of the same flow without groups.
    pub more_mb: f64,
}

/// One look at everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GroupsSection {
    /// By contender.
    pub runs: Vec<GroupsRun>,
    /// Many groups.
    pub many: Vec<ManyRun>,
    /// Nanoseconds of a look-up in a map in memory.
    pub lookup_ns: Vec<f64>,
}

/// Places of few groups by each contender, then of many by ours.
pub fn section(lab: &Lab) -> Result<GroupsSection> {
    let mut section = GroupsSection::default();
    let topic = "bench-groups";
    lab.source.create_topic(topic, 1, &[])?;
    produce(&lab.source, &[topic], 1, RECORDS, Codec::Lz4)?;
    for contender in lab
        .plan
        .taking_part(vec![Contender::Understudy, Contender::Mm2Tuned])
    {
        let run = places(lab, contender, topic)?;
        let right = run
            .right_seconds
            .map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.2} s"));
        lab.progress.say(&format!(
            "places, {}: re-read {:?} records, skipped {}, right after {right}",
            contender.label(),
            run.reread,
            run.skipped,
        ));
        section.runs.push(run);
        lab.clear(&[topic])?;
    }
    lab.clear(&[])?;
    section.many.push(many(lab)?);
    lab.clear(&[])?;
    section.lookup_ns.push(lookup());
    Ok(section)
}

fn places(lab: &Lab, contender: Contender, topic: &str) -> Result<GroupsRun> {
    // Not ours: groups that are called `understudy-…` are never mirrored.
    let prefix = format!("bench-{contender:?}").to_lowercase();
    let wanted: Vec<(String, u64)> = BEHIND
        .into_iter()
        .map(|behind| (format!("{prefix}-{behind}"), RECORDS - behind))
        .collect();
    for (group, at) in &wanted {
        lab.source.commit_group(group, &[(topic, 0, offset(*at))])?;
    }
    let job = Job {
        contender,
        topic,
        partitions: 1,
        codec: Codec::Lz4,
        source: Listener::Plaintext,
    };
    let mut mirror = Mirror::start_following(lab, &job, &format!("{prefix}-.*"))?;
    let ends = Ends::new(&lab.target, &mirror.topic, 1)?;
    mirror.wait_copied(&ends, RECORDS, LIMIT)?;
    drop(ends);
    // Whatever is not there by then counts as not there.
    let place = |group: &str| -> Result<Option<i64>> {
        Ok(lab
            .target
            .group_places(group, &mirror.topic)?
            .get(&0)
            .copied())
    };
    let _all = wait_for("a place of every group", RIGHT_LIMIT, || {
        for (group, _) in &wanted {
            let found = place(group).map_err(|error| error.to_string())?;
            found.ok_or_else(|| group.clone())?;
        }
        Ok(())
    });
    std::thread::sleep(SETTLE);
    let numbers: HashMap<String, u64> = (0..RECORDS).map(|number| (key(number), number)).collect();
    let (mut reread, mut skipped) = (Vec::new(), 0);
    for (group, at) in &wanted {
        let next = match place(group)? {
            Some(place) => number_at(lab, &mirror.topic, place, &numbers)?,
            None => 0,
        };
        reread.push(at.saturating_sub(next));
        skipped += next.saturating_sub(*at);
    }
    let right_seconds = time_until_right(lab, topic, &mirror.topic, &prefix, &numbers)?;
    mirror.stop()?;
    Ok(GroupsRun {
        contender,
        reread,
        skipped,
        right_seconds,
    })
}

/// Commits a place anew and waits until the target's is as it should be.
fn time_until_right(
    lab: &Lab,
    topic: &str,
    copy: &str,
    prefix: &str,
    numbers: &HashMap<String, u64>,
) -> Result<Option<f64>> {
    let (group, at) = (format!("{prefix}-new"), RECORDS - 777);
    lab.source.commit_group(&group, &[(topic, 0, offset(at))])?;
    let committed = Instant::now();
    let mut last = None;
    while committed.elapsed() < RIGHT_LIMIT {
        let place = lab.target.group_places(&group, copy)?.get(&0).copied();
        if let Some(place) = place.filter(|_| place != last)
            && number_at(lab, copy, place, numbers)? == at
        {
            return Ok(Some(committed.elapsed().as_secs_f64()));
        }
        last = place;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

/// The number of the record that a committed reader gets first from a place on; behind the last one, how many there are.
fn number_at(lab: &Lab, topic: &str, place: i64, numbers: &HashMap<String, u64>) -> Result<u64> {
    let reader: BaseConsumer = reader_config(&lab.target)
        .create()
        .doing("create a consumer")?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(place))
        .doing("name a place")?;
    reader.assign(&list).doing(format!("read {topic}"))?;
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        match reader.poll(Duration::from_millis(200)) {
            None => {}
            Some(Ok(message)) => {
                let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                let number = numbers.get(&key).copied();
                return number.ok_or_else(|| {
                    BenchError::NotMeasured(format!("a foreign record in {topic}"))
                });
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(RECORDS),
            Some(Err(error)) => return Err(error).doing(format!("read {topic}")),
        }
    }
    Err(BenchError::NotMeasured(format!(
        "nothing at {place} of {topic}"
    )))
}

/// A thousand groups on a hundred partitions, looked at every 5 s.
fn many(lab: &Lab) -> Result<ManyRun> {
    let topic = "bench-many";
    lab.source.create_topic(topic, MANY_PARTITIONS, &[])?;
    lab.target.create_topic(topic, MANY_PARTITIONS, &[])?;
    produce(&lab.source, &[topic], MANY_PARTITIONS, 20_000, Codec::Lz4)?;
    lab.progress.say("committing 100,000 places");
    let groups: Vec<u32> = (0..MANY_GROUPS).collect();
    let source = &lab.source;
    std::thread::scope(|scope| {
        let threads: Vec<_> = groups
            .chunks(groups.len().div_ceil(8))
            .map(|some| {
                scope.spawn(move || -> Result<()> {
                    for number in some {
                        let at = i64::from(number % 200);
                        let places: Vec<_> = (0..MANY_PARTITIONS)
                            .map(|partition| (topic, partition, at))
                            .collect();
                        source.commit_group(&format!("many-{number}"), &places)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| BenchError::Panicked("committing places"))?
        })
    })?;
    let mut peaks = Vec::new();
    let mut cpu_percent = 0.0;
    for groups in ["none", "many-.*"] {
        let (dir, aliases) = lab.next_run()?;
        let job = Job {
            contender: Contender::Understudy,
            topic,
            partitions: MANY_PARTITIONS,
            codec: Codec::Lz4,
            source: Listener::Plaintext,
        };
        let file = flow(lab, &job, &aliases, &dir)
            .named(format!("many-{}", peaks.len()))
            .groups([groups])
            .mirror("group_sync_interval", "5s");
        let worker = Worker::start(&file, "worker")?;
        worker.wait_ready(LIMIT)?;
        if groups != "none" {
            let all = format!(
                "understudy_group_places{{state=\"exact\"}} {}",
                i64::from(MANY_GROUPS) * i64::from(MANY_PARTITIONS)
            );
            wait_for("every place to be exact", LIMIT, || {
                std::thread::sleep(Duration::from_millis(500));
                let metrics = worker.metrics().map_err(|error| error.to_string())?;
                metrics.contains(&all).then_some(()).ok_or_else(|| {
                    metrics
                        .lines()
                        .filter(|line| line.starts_with("understudy_group_places{"))
                        .collect::<Vec<_>>()
                        .join(", ")
                })
            })?;
            let count = format!(
                "places_committed_total {}",
                i64::from(MANY_GROUPS) * i64::from(MANY_PARTITIONS)
            );
            wait_for("every place to be committed", LIMIT, || {
                std::thread::sleep(Duration::from_millis(500));
                let metrics = worker.metrics().map_err(|error| error.to_string())?;
                metrics
                    .contains(&count)
                    .then_some(())
                    .ok_or_else(String::new)
            })?;
        }
        std::thread::sleep(SETTLE);
        let (begun, before) = (Instant::now(), worker.cpu_seconds());
        std::thread::sleep(lab.plan.idle_window.max(Duration::from_secs(20)));
        cpu_percent = (worker.cpu_seconds() - before) / begun.elapsed().as_secs_f64() * 100.0;
        peaks.push(worker.peak_rss_bytes().unwrap_or_default() as f64 / 1e6);
        worker.terminate()?;
        worker.wait(LIMIT)?;
    }
    let more_mb = peaks.last().unwrap_or(&0.0) - peaks.first().unwrap_or(&0.0);
    lab.progress.say(&format!(
        "{MANY_GROUPS} groups × {MANY_PARTITIONS} partitions: {cpu_percent:.1} % of a core, {more_mb:.0} MB more"
    ));
    Ok(ManyRun {
        cpu_percent,
        more_mb,
    })
}

/// The mean time of a look-up, over places all along the map.
fn lookup() -> f64 {
    let mut map = OffsetMap::new(Origin {
        source: SourceOffset::ZERO,
        target: TargetOffset::ZERO,
    });
    let runs: Vec<Run> = (0..RUNS)
        .map(|number| Run {
            source: SourceOffset::ZERO.plus(number * 100),
            target: TargetOffset::ZERO.plus(number * 101),
            length: 100,
        })
        .collect();
    // Runs that rise by construction.
    let _in_order = map.extend(&runs);
    let replicated = Replicated {
        source: SourceOffset::ZERO.plus(RUNS * 100),
        target_end: TargetOffset::ZERO.plus(RUNS * 101),
    };
    let looks = 1_000_000_u64;
    let begun = Instant::now();
    for look in 0..looks {
        let at = look.wrapping_mul(2_654_435_761) % (RUNS * 100);
        std::hint::black_box(map.forward(SourceOffset::ZERO.plus(at), replicated));
    }
    begun.elapsed().as_nanos() as f64 / looks as f64
}

fn offset(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
