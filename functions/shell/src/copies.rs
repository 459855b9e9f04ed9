//! What copies on the target tell of their source by their timestamps, while it is silent: how fast it was written to, and
//! since when something may be lacking.
//!
//! Timestamps are those of the producers, or of the source's brokers where a topic says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use understudy_domain::words::limit;

use understudy_domain::TopicPartition;
use understudy_recovery::cut::{Cut, PartitionCut};

use crate::world::{Cluster, Mirrored};
use crate::{PortError, PortErrorKind};

/// How far back copies are looked for, in milliseconds before the newest look at the source.
const BACK_MS: [i64; 8] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
];

/// The fastest that copies were written in the hour before the newest look at the source, in records a second, all
/// partitions together; nothing where none is so young. Markers of transactions count as records: a bound is wanted.
///
/// # Errors
/// The target does not answer, all in all, within `within`.
pub fn rate(
    target: &dyn Cluster,
    mirrored: &[Mirrored],
    within: Duration,
) -> Result<Option<f64>, PortError> {
    let newest = mirrored
        .iter()
        .filter_map(|it| it.position.source_end_seen_at_ms)
        .max();
    let Some(newest) = newest else {
        return Ok(None);
    };
    let copies: BTreeSet<_> = mirrored.iter().map(|it| it.target.clone()).collect();
    let ends = || {
        mirrored
            .iter()
            .map(|it| (&it.target, it.position.target_offset.get()))
    };
    // Where all copies end, taken together, and where they stood back then.
    let end: i64 = ends().map(|(_, end)| end).sum();
    let (mut fastest, mut later, mut later_ms) = (None, end, 0);
    let began = Instant::now();
    for back_ms in BACK_MS {
        let since = newest.saturating_sub(back_ms);
        let first = target.first_since(&copies, since, left(began, within)?)?;
        let stood = ends().map(|(copy, end)| first.get(copy).map_or(end, |at| end.min(*at)));
        let stood: i64 = stood.sum();
        #[expect(
            clippy::cast_precision_loss,
            reason = "an hour's records, far below 2^53"
        )]
        let rate =
            later.saturating_sub(stood).max(0) as f64 / (back_ms - later_ms) as f64 * 1_000.0;
        if stood < end {
            fastest = Some(fastest.map_or(rate, |most: f64| most.max(rate)));
        }
        (later, later_ms) = (stood, back_ms);
    }
    Ok(fastest)
}

/// Of each partition that is known to lack copies at a cut: a time, in milliseconds since 1970, that its newest copy is no
/// older than. One whose newest copy is older than an hour before the cut is missing.
///
/// # Errors
/// The target does not answer, all in all, within `within`.
pub fn newest(
    target: &dyn Cluster,
    cut: &Cut,
    within: Duration,
) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
    let lacking = cut.partitions.iter().filter(|it| it.lost_at_least() > 0);
    let mut open: BTreeSet<TopicPartition> = lacking.map(PartitionCut::copy).collect();
    let mut newest = BTreeMap::new();
    let began = Instant::now();
    for back_ms in BACK_MS {
        if open.is_empty() {
            break;
        }
        let since = cut.at_ms.saturating_sub(back_ms);
        for (copy, _) in target.first_since(&open, since, left(began, within)?)? {
            open.remove(&copy);
            newest.insert(copy, since);
        }
    }
    Ok(newest)
}

/// What is left of the time for several questions in a row: applications wait for the last answer.
fn left(began: Instant, within: Duration) -> Result<Duration, PortError> {
    let left = within.saturating_sub(began.elapsed());
    if left.is_zero() {
        let text = format!("the times of copies were not told within {}", limit(within));
        return Err(PortError::new(PortErrorKind::TimedOut, text));
    }
    Ok(left)
}
