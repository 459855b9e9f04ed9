//! How fast a source's ends have been moving: what bounds a loss above while the source is silent.
//!
//! The prober in the standby Region writes down, each time, where the flow last saw all ends of its source. The fastest
//! stretch of the last hour is the rate: a bound is wanted, not a mean. Where nobody probes, such as on a laptop, the
//! copies tell it ([`crate::copies`]).

use serde::{Deserialize, Serialize};

use crate::step::{load, save};
use crate::world::{Mirrored, World};
use understudy_recovery::StepError;

/// How many glances are kept.
const KEPT: usize = 64;
/// A glance older than this, in milliseconds, tells nothing of now.
const FRESH_MS: i64 = 3_600_000;
/// Two glances closer than this, in milliseconds, make no rate.
const APART_MS: i64 = 1_000;

/// Where all ends of a source were seen, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How many partitions.
    pub partitions: u64,
    /// The sum of their ends.
    pub ends: i64,
}

impl Glance {
    /// What the flow's positions say; nothing while an end was never seen.
    pub fn of(mirrored: &[Mirrored]) -> Option<Self> {
        let mut glance = Self {
            at_ms: i64::MIN,
            partitions: 0,
            ends: 0,
        };
        for it in mirrored {
            let position = &it.position;
            let (end, at) = position
                .source_end_offset
                .zip(position.source_end_seen_at_ms)?;
            glance.at_ms = glance.at_ms.max(at);
            glance.partitions = glance.partitions.saturating_add(1);
            glance.ends = glance.ends.saturating_add(end.get());
        }
        (glance.partitions > 0).then_some(glance)
    }
}

/// Writes a glance down.
///
/// # Errors
/// The store does not answer.
pub fn note(world: &World, flow: &str, mirrored: &[Mirrored]) -> Result<(), StepError> {
    let Some(glance) = Glance::of(mirrored) else {
        return Ok(());
    };
    let mut glances = kept(world, flow)?;
    if glances
        .last()
        .is_some_and(|last| glance.at_ms <= last.at_ms)
    {
        return Ok(());
    }
    glances.push(glance);
    let surplus = glances.len().saturating_sub(KEPT);
    glances.drain(..surplus);
    save(world, &key(flow), &glances)
}

/// The fastest that the source's ends moved lately, in records a second, all partitions together; nothing where that was
/// not seen. What the positions say now counts too.
///
/// # Errors
/// The store does not answer.
pub fn fastest(world: &World, flow: &str, mirrored: &[Mirrored]) -> Result<Option<f64>, StepError> {
    let mut glances = kept(world, flow)?;
    glances.extend(Glance::of(mirrored));
    glances.sort_by_key(|it| it.at_ms);
    let newest = glances.last().map_or(i64::MIN, |it| it.at_ms);
    glances.retain(|it| newest.saturating_sub(it.at_ms) <= FRESH_MS);
    let stretches = glances.iter().zip(glances.iter().skip(1));
    Ok(stretches
        .filter_map(|(before, after)| stretch(before, after))
        .fold(None, |most: Option<f64>, rate| {
            Some(most.map_or(rate, |most| most.max(rate)))
        }))
}

fn stretch(before: &Glance, after: &Glance) -> Option<f64> {
    let milliseconds = after.at_ms.saturating_sub(before.at_ms);
    // A partition that is new to the flow would count with its whole past.
    if milliseconds < APART_MS || before.partitions != after.partitions {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "an hour's records, far below 2^53"
    )]
    let (records, seconds) = (
        after.ends.saturating_sub(before.ends).max(0) as f64,
        milliseconds as f64 / 1_000.0,
    );
    Some(records / seconds)
}

fn kept(world: &World, flow: &str) -> Result<Vec<Glance>, StepError> {
    Ok(load(world, &key(flow))?.unwrap_or_default())
}

fn key(flow: &str) -> String {
    format!("flows/{flow}/glances.json")
}
