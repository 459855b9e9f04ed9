//! What a slot saw of the source's ends where nothing is copied: stored now and then, so that nobody has to take for lost what
//! an idle partition never had.

use std::time::{Duration, Instant};

use understudy_domain::{SourceOffset, TopicPartition};
use understudy_kafka::plane::{Copied, DataPlane};

use crate::clock::now_ms;
use crate::holding::{HoldError, Holding};

/// How often the ends of idle partitions are stored. It costs a slot with idle partitions a transaction of one record.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

impl Holding {
    /// Stores the ends of partitions that were copied nothing for a while, if it is time. Between two transactions.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn store_ends(&mut self) -> Result<(), HoldError> {
        let now = Instant::now();
        let due = self
            .ends_stored_at
            .is_none_or(|at| now.duration_since(at) >= LOOK_INTERVAL);
        if !due {
            return Ok(());
        }
        self.ends_stored_at = Some(now);
        let since_ms = ms_ago(LOOK_INTERVAL);
        let planned = self
            .state
            .look(since_ms, &|partition| self.end_of(partition));
        if planned.writes.is_empty() {
            return Ok(());
        }
        self.plane.put(&planned.writes)?;
        self.finish(planned)
    }

    /// The source's end as far as was seen, and when, in milliseconds since 1970.
    fn end_of(&self, partition: &TopicPartition) -> Option<(SourceOffset, i64)> {
        let board = self.context.board.hold();
        let shown = board.partitions.get(partition)?;
        let seen = shown.end_seen_at?;
        Some((shown.source_end_offset?, ms_ago(seen.elapsed())))
    }

    /// The same with what its newest copies tell. Where they reached the end, that was after the commit before theirs.
    pub(crate) fn end_behind(&self, copied: &Copied) -> Option<(SourceOffset, i64)> {
        if copied.at_end {
            return Some((copied.source_offset, ms_ago(self.quiet_since.elapsed())));
        }
        self.end_of(&copied.partition)
    }
}

fn ms_ago(ago: Duration) -> i64 {
    now_ms().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
}
