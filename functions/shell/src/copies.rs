//! What copies on the target tell of their source by their timestamps, while it is silent: how fast it was written to, and
//! since when something may be lacking.
//!
//! Timestamps are those of the producers, or of the source's brokers where a topic says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::TopicPartition;

use crate::PortError;
use crate::world::{Cluster, Mirrored};

/// How far back copies are looked for, in milliseconds before the newest look at the source.
const BACK_MS: [i64; 8] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
];
/// The fastest that copies were written in the hour before the newest look at the source, in records a second, all
/// partitions together; nothing where none is so young. Markers of transactions count as records: a bound is wanted.
///
/// # Errors
/// The target does not answer.
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
    for back_ms in BACK_MS {
        let first = target.first_since(&copies, newest.saturating_sub(back_ms), within)?;
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

/// A time, in milliseconds since 1970, that the newest copy of each partition is no older than; a partition whose newest
/// copy is older than an hour is missing.
///
/// # Errors
/// The target does not answer.
pub fn newest(
    target: &dyn Cluster,
    copies: BTreeSet<TopicPartition>,
    now_ms: i64,
    within: Duration,
) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
    let (mut open, mut newest) = (copies, BTreeMap::new());
    for back_ms in BACK_MS {
        if open.is_empty() {
            break;
        }
        let since = now_ms.saturating_sub(back_ms);
        for (copy, _) in target.first_since(&open, since, within)? {
            open.remove(&copy);
            newest.insert(copy, since);
        }
    }
    Ok(newest)
}
