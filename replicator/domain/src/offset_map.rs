//! The offset map: for every copied record, where its copy lies.
//!
//! A committed offset names the next record to be read, so "the first record
//! at or after it" is an exact answer also where the offset itself holds none.
//!
//! Invariants:
//! (a) runs rise on both sides and never overlap;
//! (b) neighbours that could be one run are one run;
//! (c) nothing lies before the origin.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::run::{End, append, check_all_follow, end_of, records};
use crate::{Run, RunError, SourceOffset, TargetOffset, Translation};

/// Where replication of a partition began, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The first source offset that was asked for.
    pub source: SourceOffset,
    /// The target's end at that moment: every copy lies at or after it.
    pub target: TargetOffset,
}

/// How far replication has reached.
///
/// It must not be newer than the map it is used with, or runs that the map
/// lacks would be skipped: read positions first, then the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicated {
    /// The next source offset to be read.
    pub source: SourceOffset,
    /// One past the last copy. For places on a sealed target this may be its
    /// log end, so that markers after the last copy count as reached.
    pub target_end: TargetOffset,
}

/// The runs of one partition, in order, and where they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetMap {
    /// None: history begins at the first run, if there is one.
    origin: Option<Origin>,
    runs: Vec<Run>,
}

impl OffsetMap {
    /// A map that knows its beginning and holds nothing yet.
    pub const fn new(origin: Origin) -> Self {
        Self {
            origin: Some(origin),
            runs: Vec::new(),
        }
    }

    /// A map whose older part is gone: what lies before its first run is
    /// before history. Without runs it says that there was never a sync.
    pub const fn without_origin() -> Self {
        Self {
            origin: None,
            runs: Vec::new(),
        }
    }

    /// Appends runs, all or none.
    pub fn extend(&mut self, runs: &[Run]) -> Result<(), RunError> {
        check_all_follow(self.end(), runs)?;
        for run in runs {
            append(&mut self.runs, *run);
        }
        Ok(())
    }

    /// Where a place on the source lies on the target.
    pub fn forward(
        &self,
        offset: SourceOffset,
        replicated: Replicated,
    ) -> Translation<TargetOffset> {
        Self::forward_among(self.origin, &self.runs, offset, replicated)
    }

    /// The same of runs that are in order, without a map that owns them; `origin` is where they begin, none if that is
    /// the first of them.
    pub fn forward_among(
        origin: Option<Origin>,
        runs: &[Run],
        offset: SourceOffset,
        replicated: Replicated,
    ) -> Translation<TargetOffset> {
        let first = || runs.first().map(|run| run.source);
        let Some(begins) = origin.map(|origin| origin.source).or_else(first) else {
            return Translation::NoSync;
        };
        if offset < begins {
            return Translation::BeforeHistory;
        }
        match place(runs, |run| run.source.get(), offset.get()) {
            Place::Inside { run, depth } => Translation::Exact(run.target.plus(depth)),
            Place::Before(run) => Translation::Exact(run.target),
            Place::Past if replicated.source >= offset => Translation::Exact(replicated.target_end),
            Place::Past => Translation::Ahead,
        }
    }

    /// Where a place on the target lies on the source.
    pub fn reverse(
        &self,
        offset: TargetOffset,
        replicated: Replicated,
    ) -> Translation<SourceOffset> {
        let Some(begins) = self.begins() else {
            return Translation::NoSync;
        };
        if offset < begins.target {
            return Translation::BeforeHistory;
        }
        match place(&self.runs, |run| run.target.get(), offset.get()) {
            Place::Inside { run, depth } => Translation::Exact(run.source.plus(depth)),
            Place::Before(run) => Translation::Exact(run.source),
            Place::Past if replicated.target_end >= offset => Translation::Exact(replicated.source),
            Place::Past => Translation::Ahead,
        }
    }

    /// Where the map begins; nothing is known of what lies before.
    pub fn begins(&self) -> Option<Origin> {
        let first_run = || {
            self.first().map(|run| Origin {
                source: run.source,
                target: run.target,
            })
        };
        self.origin.or_else(first_run)
    }

    /// How many records were copied.
    pub fn copied(&self) -> u64 {
        records(&self.runs)
    }

    /// How many records of a source range were copied.
    pub fn copied_between(&self, range: Range<SourceOffset>) -> u64 {
        let first = self
            .runs
            .partition_point(|run| run.source_end() <= range.start);
        let overlap = |run: &Run| {
            let start = run.source.max(range.start).get();
            let end = run.source_end().min(range.end).get();
            if end > start { end.abs_diff(start) } else { 0 }
        };
        let overlapping = self
            .runs
            .iter()
            .skip(first)
            .take_while(|run| run.source < range.end);
        overlapping.fold(0, |sum, run| sum.saturating_add(overlap(run)))
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The oldest run.
    pub fn first(&self) -> Option<Run> {
        self.runs.first().copied()
    }

    /// The newest run.
    pub fn last(&self) -> Option<Run> {
        self.runs.last().copied()
    }

    /// What the next run must not lie before.
    fn end(&self) -> Option<End> {
        end_of(&self.runs).or_else(|| self.origin.map(|origin| (origin.source, origin.target)))
    }
}

/// Where an offset falls among runs.
enum Place {
    /// On a record: so many places into this run.
    Inside { run: Run, depth: u64 },
    /// On no record; this run is the next.
    Before(Run),
    /// On no record, and no run follows.
    Past,
}

/// Finds an offset on the side that `start` reads.
fn place(runs: &[Run], start: impl Fn(&Run) -> i64, offset: i64) -> Place {
    let next = runs.partition_point(|run| start(run) <= offset);
    if let Some(run) = next.checked_sub(1).and_then(|last| runs.get(last)) {
        let depth = offset.abs_diff(start(run));
        if depth < run.length {
            return Place::Inside { run: *run, depth };
        }
    }
    match runs.get(next) {
        Some(run) => Place::Before(*run),
        None => Place::Past,
    }
}
