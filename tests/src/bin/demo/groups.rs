//! Two consumer groups, one at the end of a topic and one far behind, and where they stand on the target.

use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_tests::chaos::Result;
use understudy_tests::{Cluster, Judge, Workload};

use crate::stage::Clusters;

/// What the groups read: written before anything else, as months of records are.
pub const HISTORY: &str = "history";
/// How many partitions it has.
pub const PARTITIONS: i32 = 3;
/// How many records it holds.
pub const RECORDS: u64 = 60_000;
/// Caught up, and 40,000 records behind.
pub const GROUPS: [&str; 2] = ["billing", "reports"];

/// Where a group stands on the target, beside where it stands on the source.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Standing {
    /// The group.
    pub group: String,
    /// Records of the source that it has not read.
    pub behind: u64,
    /// Records that it would read a second time on the target.
    pub re_read: u64,
    /// Records that it would never read.
    pub skipped: u64,
    /// What it would read a second time where MirrorMaker 2 put it, if that told in time.
    pub re_read_mm2: Option<u64>,
    /// What it would never read there.
    pub skipped_mm2: Option<u64>,
}

/// Writes the history, and lets one group stand at its end and the other a third into it.
pub fn prepare(source: &Cluster) -> Result<()> {
    source.create_topic(HISTORY, PARTITIONS, &[])?;
    Workload::orders(source.client(), HISTORY)
        .producer(HISTORY)
        .value_bytes(100)
        .records(RECORDS)
        .run()?;
    for (group, parts) in GROUPS.into_iter().zip([3, 1]) {
        let ends = source.ends(HISTORY)?;
        let place = |end: i64| end * parts / 3;
        let places: Vec<_> = ends
            .iter()
            .map(|(partition, ends)| (HISTORY, *partition, place(ends.last_stable)))
            .collect();
        source.commit_group(group, &places)?;
    }
    Ok(())
}

/// Compares a group's places with what the judge reads on both sides. Looks again for `limit` while a place is missing
/// or behind: one that is committed each second may not be yet.
pub fn standing(
    clusters: &Clusters,
    mut judge: Judge,
    group: &str,
    copy: &str,
    limit: Duration,
) -> Result<Standing> {
    let begun = Instant::now();
    let here = clusters.source.group_places(group, HISTORY)?;
    loop {
        let there = clusters.target.group_places(group, copy)?;
        judge.compare()?;
        let produced = judge.produced();
        let mut seen = Standing {
            group: group.to_owned(),
            ..Standing::default()
        };
        for (partition, place) in &here {
            // Without a place a consumer would begin at the beginning.
            let stands = there.get(partition).copied().unwrap_or_default();
            let (before, copies) = judge.passed(*partition, *place, stands);
            let all = produced.get(partition).copied().unwrap_or_default();
            seen.behind += all.saturating_sub(before as u64);
            seen.re_read += before.saturating_sub(copies) as u64;
            seen.skipped += copies.saturating_sub(before) as u64;
        }
        if seen.re_read + seen.skipped == 0 || begun.elapsed() >= limit {
            return Ok(seen);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
