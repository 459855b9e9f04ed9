//! Runs: stretches of records whose copies lie side by side on the target.
//!
//! ```text
//! source   10 11 12 13  .  .  16 17
//!           |  |  |  |         |  |
//! target    4  5  6  7  .      9 10     runs (10, 4, 4) and (16, 9, 2)
//! ```
//!
//! A dot is an offset without a copy: a commit marker, an aborted record, a
//! record that compaction took.

use std::fmt;

use crate::{SourceOffset, TargetOffset};

/// So many records from `source` on, copied to `target` on, without a hole on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first record.
    pub source: SourceOffset,
    /// Its copy.
    pub target: TargetOffset,
    /// How many records.
    pub length: u64,
}

impl Run {
    /// One past the last record.
    pub const fn source_end(self) -> SourceOffset {
        self.source.plus(self.length)
    }

    /// One past the last copy.
    pub const fn target_end(self) -> TargetOffset {
        self.target.plus(self.length)
    }

    /// True for a run that a log can hold: not empty, both ends within an offset.
    fn is_possible(self) -> bool {
        let fits = |start: i64| {
            start >= 0
                && i64::try_from(self.length)
                    .is_ok_and(|length| start.checked_add(length).is_some())
        };
        self.length > 0 && fits(self.source.get()) && fits(self.target.get())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}→{}×{}", self.source, self.target, self.length)
    }
}

/// Why a run cannot be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Copies are made in order by one writer, so both offsets only rise.
    #[error(
        "run {run} does not follow source {source_end}, target {target_end}: offsets must rise on both sides"
    )]
    OutOfOrder {
        /// The run that was refused.
        run: Run,
        /// One past the last record held.
        source_end: SourceOffset,
        /// One past the last copy held.
        target_end: TargetOffset,
    },
    /// A run is at least one record long and lies within the offsets that Kafka can hold.
    #[error("run {run} is empty or reaches outside the offsets that exist")]
    OutOfRange {
        /// The run that was refused.
        run: Run,
    },
}

/// Runs in the making: what one commit has copied of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    runs: Vec<Run>,
}

impl Runs {
    /// None yet.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// One record and its copy.
    pub fn push(&mut self, source: SourceOffset, target: TargetOffset) -> Result<(), RunError> {
        self.push_run(Run {
            source,
            target,
            length: 1,
        })
    }

    /// A whole run; joined to the last one if it continues it.
    pub fn push_run(&mut self, run: Run) -> Result<(), RunError> {
        check_follows(end_of(&self.runs), run)?;
        append(&mut self.runs, run);
        Ok(())
    }

    /// Hands over the runs and starts again from none.
    pub fn take(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.runs)
    }

    /// The runs so far.
    pub fn as_slice(&self) -> &[Run] {
        &self.runs
    }

    /// True if nothing was pushed since the last take.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many records the runs hold.
    pub fn records(&self) -> u64 {
        records(&self.runs)
    }
}

/// Both ends of what is held; the next run starts at or after them.
pub(crate) type End = (SourceOffset, TargetOffset);

/// Where the last of some runs ends.
pub(crate) fn end_of(runs: &[Run]) -> Option<End> {
    runs.last().map(|run| (run.source_end(), run.target_end()))
}

/// Refuses a run that is impossible or does not follow `end`.
pub(crate) fn check_follows(end: Option<End>, run: Run) -> Result<(), RunError> {
    if !run.is_possible() {
        return Err(RunError::OutOfRange { run });
    }
    match end {
        Some((source_end, target_end)) if run.source < source_end || run.target < target_end => {
            Err(RunError::OutOfOrder {
                run,
                source_end,
                target_end,
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses runs that do not follow `end` and one another.
pub(crate) fn check_all_follow(end: Option<End>, runs: &[Run]) -> Result<(), RunError> {
    runs.iter()
        .try_fold(end, |end, run| {
            check_follows(end, *run)?;
            Ok(Some((run.source_end(), run.target_end())))
        })
        .map(|_| ())
}

/// Appends a checked run, joining it to the last one if it continues it.
pub(crate) fn append(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.source_end() == run.source && last.target_end() == run.target => {
            last.length = last.length.saturating_add(run.length);
        }
        Some(_) | None => runs.push(run),
    }
}

/// How many records some runs hold.
pub(crate) fn records(runs: &[Run]) -> u64 {
    runs.iter()
        .fold(0, |sum, run| sum.saturating_add(run.length))
}
