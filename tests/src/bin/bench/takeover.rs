//! How long partitions stand still when one of two workers goes, and when one comes.
//!
//! A steady trickle to every partition and a `read_committed` reader of the target, which therefore has a record of each
//! partition every few moments. A stand-still is the longest time without one, on the partition that has it worst.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use understudy_tests::{Listener, Worker};

use crate::arrivals::{Arrival, Reader};
use crate::clients::expect_same_counts;
use crate::codec::Codec;
use crate::error::{BenchError, Result};
use crate::lab::Lab;
use crate::load::{Pace, Steady, micros};
use crate::mirror::{Contender, Job, flow};

const PARTITIONS: i32 = 32;
/// Each partition gets a record every 20 ms.
const PACE: Pace = Pace {
    records_per_second: 1_600,
    value_bytes: 200,
    codec: Codec::None,
};
const LIMIT: Duration = Duration::from_secs(60);
/// So long is flow watched before an event, so that no start or join is mistaken for it.
const STEADY: Duration = Duration::from_secs(3);
/// Microseconds without a record that no usual commit takes.
const HELD_UP: u64 = 500_000;
/// Longer than any stand-still that is worth a number.
const AFTER: Duration = Duration::from_secs(14);

/// What happened to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// SIGKILL.
    Lost,
    /// SIGTERM.
    HandedOver,
    /// A second one started.
    Joined,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct TakeoverRun {
    /// What happened.
    pub event: Event,
    /// The longest stand-still of a partition.
    pub seconds: f64,
    /// Partitions that stood still for longer than half a second.
    pub partitions_held_up: usize,
}

struct Moment {
    event: Event,
    at: u64,
}

/// Kills and stops workers in turn.
pub fn section(lab: &Lab) -> Result<Vec<TakeoverRun>> {
    let topic = "bench-takeover";
    lab.source.create_topic(topic, PARTITIONS, &[])?;
    lab.target.create_topic(topic, PARTITIONS, &[])?;
    let (dir, aliases) = lab.next_run()?;
    let job = Job {
        contender: Contender::Understudy,
        topic,
        partitions: PARTITIONS,
        codec: PACE.codec,
        source: Listener::Plaintext,
    };
    let flow = flow(lab, &job, &aliases, &dir);
    let workers = [
        Worker::start(&flow, "worker-1")?,
        Worker::start(&flow, "worker-2")?,
    ];
    let [first, second] = &workers;
    let load = Steady::start(&lab.source, &[topic], PARTITIONS, &PACE)?;
    let reader = Reader::start(&lab.target, topic, PARTITIONS)?;
    let mut moments = Vec::new();
    for round in 0..lab.plan.rounds_takeover {
        // Each goes in turn: the oldest member leads the group, which may matter.
        let gone = if round % 2 == 0 { second } else { first };
        for event in [Event::HandedOver, Event::Lost] {
            wait_shared(lab, &workers)?;
            std::thread::sleep(STEADY);
            lab.progress.say(&format!("{}: {event:?}", gone.name()));
            moments.push(Moment {
                event,
                at: micros(),
            });
            match event {
                Event::Lost => gone.kill()?,
                Event::HandedOver | Event::Joined => gone.terminate()?,
            }
            std::thread::sleep(AFTER);
            gone.wait(LIMIT)?;
            moments.push(Moment {
                event: Event::Joined,
                at: micros(),
            });
            gone.restart()?;
        }
    }
    wait_shared(lab, &workers)?;
    std::thread::sleep(STEADY);
    let sent = load.finish()?;
    reader.wait(sent, LIMIT)?;
    let arrivals = reader.finish()?;
    for worker in &workers {
        worker.terminate()?;
        worker.wait(LIMIT)?;
    }
    expect_same_counts(
        "workers going and coming",
        (&lab.source, topic),
        (&lab.target, topic),
        PARTITIONS,
    )?;
    lab.clear(&[])?;
    let ends = moments.iter().skip(1).map(|next| next.at).chain([u64::MAX]);
    let mut runs = Vec::new();
    for (moment, end) in moments.iter().zip(ends) {
        let run = judge(&arrivals, moment, end)?;
        lab.progress.say(&format!(
            "{:?}: {:.2} s without a record, {} of {PARTITIONS} partitions held up",
            run.event, run.seconds, run.partitions_held_up
        ));
        runs.push(run);
    }
    Ok(runs)
}

/// Waits until all slots are held and copy, none worker without.
fn wait_shared(lab: &Lab, workers: &[Worker; 2]) -> Result<()> {
    let all = usize::try_from(lab.plan.slots).unwrap_or(usize::MAX);
    let held = |worker: &Worker| {
        let status = worker.status().ok()?;
        let slots = status.get("slots")?.as_array()?;
        let copying = slots
            .iter()
            .filter(|slot| slot.get("state").and_then(|state| state.as_str()) == Some("copying"));
        Some(copying.count())
    };
    understudy_tests::wait_for("two workers to share the slots", LIMIT, || {
        let [first, second] = workers;
        match (held(first), held(second)) {
            (Some(a), Some(b)) if a > 0 && b > 0 && a + b == all => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })?;
    Ok(())
}

/// The longest times without a record between an event and the next; the wait that the next one interrupts is its own.
fn judge(arrivals: &[Arrival], moment: &Moment, end: u64) -> Result<TakeoverRun> {
    let mut last: BTreeMap<i32, u64> = (0..PARTITIONS).map(|number| (number, moment.at)).collect();
    let mut longest: BTreeMap<i32, u64> = BTreeMap::new();
    let within = arrivals
        .iter()
        .filter(|arrival| (moment.at..end).contains(&arrival.seen));
    for arrival in within {
        let before = last.insert(arrival.partition, arrival.seen);
        let gap = arrival.seen.saturating_sub(before.unwrap_or(moment.at));
        let known = longest.entry(arrival.partition).or_default();
        *known = gap.max(*known);
    }
    if longest.len() != last.len() {
        return Err(BenchError::NotMeasured(format!(
            "after {:?}, only {} of {PARTITIONS} partitions flowed",
            moment.event,
            longest.len()
        )));
    }
    Ok(TakeoverRun {
        event: moment.event,
        seconds: longest.values().max().copied().unwrap_or_default() as f64 / 1e6,
        partitions_held_up: longest.values().filter(|gap| **gap > HELD_UP).count(),
    })
}
