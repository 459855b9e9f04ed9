//! What a slot does about partitions that cannot go on: each becomes a named gap, and then what the policy or an
//! operator says. All of it happens between two transactions of copies, each step in a transaction of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{
    GapCause, GapKey, GapRecord, Position, Resolution, SourceOffset, TopicPartition,
};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::plane::{DataPlane, Parked, Stall, StallKind};

use crate::board::{CopiedTo, PartitionState};
use crate::clock::now_ms;
use crate::holding::{HoldError, Holding};
use crate::rebirth::what_else;

/// Time limit of one look at a cluster.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// How long until a step is tried again that a cluster did not let happen.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// How long until a partition is read again that was refused, or of which something unusable came.
const AGAIN_WAIT: Duration = Duration::from_secs(1);

impl Holding {
    /// Looks at partitions that stopped and at what operators answered. Not while a transaction is open.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn look_at_gaps(&mut self) -> Result<(), HoldError> {
        for stall in std::mem::take(&mut self.stopped) {
            self.meet_stall(stall)?;
        }
        if self.gaps_again.is_some_and(|at| Instant::now() >= at) {
            self.gaps_again = None;
            let open = self.gaps.all().iter().filter(|(_, gap)| gap.is_open());
            let open: Vec<_> = open.map(|(key, gap)| (key.clone(), gap.clone())).collect();
            for (key, gap) in open {
                self.meet(key, gap)?;
            }
        }
        for (key, resolution) in self.context.answers.take(self.slot) {
            let Some(record) = self.gaps.get(&key).filter(|record| record.is_open()) else {
                continue;
            };
            let mut record = record.clone();
            record.resolution = Some(resolution);
            self.meet(key, record)?;
        }
        Ok(())
    }

    fn meet_stall(&mut self, stall: Stall) -> Result<(), HoldError> {
        let partition = stall.partition;
        if !self.active.contains_key(&partition) {
            return Ok(());
        }
        match stall.kind {
            StallKind::Waiting => Ok(()),
            StallKind::Gone => {
                self.show_state(&partition, PartitionState::Waiting, &stall.reason);
                self.set_aside(&partition);
                Ok(())
            }
            StallKind::Again => {
                self.show_state(&partition, PartitionState::Waiting, &stall.reason);
                self.plane.stop(&partition);
                self.active.remove(&partition);
                self.retrying.insert(partition);
                self.look_again = Some(Instant::now() + AGAIN_WAIT);
                Ok(())
            }
            StallKind::OutOfRange => self.meet_out_of_range(&partition, stall.offset),
            StallKind::Diverged => self.meet_diverged(&partition, stall.offset),
            StallKind::Reached => {
                let reason = self
                    .refused
                    .get(&partition)
                    .map_or_else(String::new, |refused| refused.reason.clone());
                let record = found(
                    Some(stall.offset.next()),
                    GapCause::Refused,
                    format!("the target refused the record: {reason}"),
                );
                self.meet_new(&partition, record)
            }
        }
    }

    /// Waits with a partition until the source was looked at twice more: the first of these looks may have begun before
    /// the partition stopped. The second asks for the topic's id again.
    pub(crate) fn set_aside(&mut self, partition: &TopicPartition) {
        self.context.catalog.doubt();
        self.plane.stop(partition);
        self.active.remove(partition);
        let look = self.seen.as_ref().map_or(0, |seen| seen.look);
        self.absent.insert(partition.clone(), look + 1);
    }

    fn meet_out_of_range(
        &mut self,
        partition: &TopicPartition,
        offset: SourceOffset,
    ) -> Result<(), HoldError> {
        let flow = self.context.flow.clone();
        let source = Cluster::open(&flow.source)?;
        let edge = |edge| -> Result<Option<SourceOffset>, HoldError> {
            let found = source.edges([partition], edge, WITHIN)?.remove(partition);
            Ok(found.and_then(Result::ok).map(SourceOffset::new))
        };
        let ids = source.topic_ids([&*partition.topic], WITHIN)?;
        let known = self
            .state
            .get(partition)
            .and_then(|entry| entry.position.source_topic_id.clone());
        if let (Some(known), Some(now)) = (&known, ids.get(&*partition.topic))
            && known != now
        {
            return self.meet_replaced(partition, &now.clone());
        }
        let (Some(start), Some(end)) = (edge(Edge::Earliest)?, edge(Edge::HighWatermark)?) else {
            self.set_aside(partition);
            return Ok(());
        };
        if offset < start {
            let reason = format!(
                "the source deleted offsets {offset} to {} before they were copied (retention, or DeleteRecords): its log begins at {start}",
                start.get() - 1
            );
            self.meet_new(partition, found(Some(start), GapCause::Deleted, reason))
        } else if offset > end {
            let epoch = self
                .state
                .get(partition)
                .and_then(|entry| entry.position.source_leader_epoch);
            // What was written since it was cut is copied as well.
            let cut = match epoch {
                Some(epoch) => source.first_after_epoch(partition, epoch, end.get(), WITHIN)?,
                None => None,
            };
            let cut = cut.map_or(end, SourceOffset::new);
            let reason = format!(
                "the source's log ends at {end}, copies went up to {offset}: the source lost records that the target still holds (an unclean leader election, a restored disk)"
            );
            self.meet_new(partition, found(Some(cut), GapCause::Truncated, reason))
        } else {
            // It is in range by now.
            self.set_aside(partition);
            Ok(())
        }
    }

    /// The source's log is long enough, and yet not what was copied: it was cut and has grown again. What it holds from
    /// there on is copied from where the leader epochs rise above that of the last copy.
    fn meet_diverged(
        &mut self,
        partition: &TopicPartition,
        offset: SourceOffset,
    ) -> Result<(), HoldError> {
        let flow = self.context.flow.clone();
        let source = Cluster::open(&flow.source)?;
        let known = self.state.get(partition).map(|entry| {
            let position = &entry.position;
            (
                position.source_topic_id.clone(),
                position.source_leader_epoch,
            )
        });
        let Some((id, epoch)) = known else {
            return Ok(());
        };
        let ids = source.topic_ids([&*partition.topic], WITHIN)?;
        if let (Some(known), Some(now)) = (&id, ids.get(&*partition.topic))
            && known != now
        {
            return self.meet_replaced(partition, &now.clone());
        }
        let Some(epoch) = epoch else {
            self.set_aside(partition);
            return Ok(());
        };
        let found_at = source.first_after_epoch(partition, epoch, offset.get(), WITHIN)?;
        let Some(cut) = found_at else {
            self.set_aside(partition);
            return Ok(());
        };
        let cut = SourceOffset::new(cut);
        let reason = format!(
            "the source's log is another one from {cut} on: it was cut there and has grown again, while copies went up to {offset}; the source lost records that the target still holds (an unclean leader election, a restored disk)"
        );
        self.meet_new(partition, found(Some(cut), GapCause::Truncated, reason))
    }

    /// The topic has another id than the one whose records were copied.
    pub(crate) fn meet_replaced(
        &mut self,
        partition: &TopicPartition,
        now: &str,
    ) -> Result<(), HoldError> {
        let known = self
            .state
            .get(partition)
            .and_then(|entry| entry.position.source_topic_id.clone())
            .unwrap_or_default();
        let mut reason = format!(
            "the topic was deleted and made again on the source (id {known}, now {now}); what the deleted one held beyond the copies is not known"
        );
        if self.is_vanished(partition) {
            reason.push_str(&self.last_seen(partition));
        }
        self.meet_new(partition, found(None, GapCause::Recreated, reason))
    }

    fn meet_new(&mut self, partition: &TopicPartition, record: GapRecord) -> Result<(), HoldError> {
        let Some(entry) = self.state.get(partition) else {
            return Ok(());
        };
        let start = entry.position.source_offset;
        self.meet_new_at(partition, start, record)
    }

    /// Writes a gap down that begins at `start`, unless it is known, and does what is to be done about it.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn meet_new_at(
        &mut self,
        partition: &TopicPartition,
        start: SourceOffset,
        record: GapRecord,
    ) -> Result<(), HoldError> {
        let Some(entry) = self.state.get(partition) else {
            return Ok(());
        };
        let key = GapKey {
            partition: partition.clone(),
            incarnation: entry.position.incarnation,
            start,
        };
        let record = match self.gaps.get(&key).filter(|known| known.is_open()) {
            Some(known) => known.clone(),
            None => {
                self.context.metrics.gaps.inc();
                tracing::error!(
                    slot = %self.slot, %partition, cause = record.cause.name(),
                    start = key.start.get(), end = record.end.map(SourceOffset::get),
                    reason = %record.reason, "gap found"
                );
                self.plane.put(&[self.gaps.write(&key, &record)])?;
                self.plane.commit()?;
                record
            }
        };
        self.meet(key, record)
    }

    /// Does what is to be done about an open gap: goes on behind it, or halts in front of it.
    pub(crate) fn meet(&mut self, key: GapKey, record: GapRecord) -> Result<(), HoldError> {
        self.gaps.note(key.clone(), record.clone());
        let partition = key.partition.clone();
        let done = match record.next(&self.context.flow.gap_policy) {
            None => Err(record.reason.clone()),
            Some(resolution) => self
                .resolve(&key, &record, resolution)
                .map(|done| done.then_some(resolution).ok_or(record.reason.clone()))?,
        };
        match done {
            Ok(resolution) => {
                self.context.answers.forget(&key);
                tracing::warn!(
                    slot = %self.slot, %partition, cause = record.cause.name(),
                    start = key.start.get(), end = record.end.map(SourceOffset::get),
                    resolution = resolution.name(), "gap settled"
                );
                self.refused.remove(&partition);
                self.plane.stop(&partition);
                self.active.remove(&partition);
                let vanished = self.is_vanished(&partition);
                let moved_to = self.state.get(&partition).map(|entry| CopiedTo {
                    offset: entry.position.source_offset,
                    incarnation: entry.position.incarnation,
                });
                let mut board = self.context.board.hold();
                match moved_to {
                    Some(moved_to) if !vanished => board.moved(&partition, moved_to),
                    _ => drop(board.partitions.remove(&partition)),
                }
                drop(board);
                self.seen = None;
            }
            Err(reason) => {
                // What was to be done could not be done just now.
                let still = self.gaps.get(&key).unwrap_or(&record);
                if still.next(&self.context.flow.gap_policy).is_some() {
                    self.gaps_again = Some(Instant::now() + RETRY_WAIT);
                }
                self.plane.stop(&partition);
                self.context.answers.want(&key, self.slot);
                self.active
                    .insert(partition.clone(), PartitionState::Halted);
                self.show_partition(
                    &partition,
                    PartitionState::Halted,
                    Some(&format!("{reason}; decide with: {}", advice(&key, &record))),
                );
            }
        }
        self.show_gaps();
        Ok(())
    }

    /// Carries a resolution out, position and gap record in one transaction; false if it cannot be done now.
    fn resolve(
        &mut self,
        key: &GapKey,
        record: &GapRecord,
        resolution: Resolution,
    ) -> Result<bool, HoldError> {
        let partition = &key.partition;
        let Some(entry) = self.state.get(partition) else {
            return Ok(false);
        };
        let old = entry.position.clone();
        let position = old.clone();
        if let Some(why) = in_vain(record.cause, resolution, self.is_vanished(partition)) {
            self.answer_in_vain(key, record, why)?;
            return Ok(false);
        }
        let moved = match resolution {
            Resolution::Retry if record.cause == GapCause::CopiesLost => {
                match self.unless_it_fails(key, self.are_back(partition, &position))? {
                    Some(true) => position,
                    Some(false) => {
                        self.answer_in_vain(key, record, "the copies are not back")?;
                        return Ok(false);
                    }
                    None => return Ok(false),
                }
            }
            Resolution::Skip | Resolution::ContinueInSame
                if record.cause == GapCause::CopiesLost =>
            {
                // They may have been put back, or were never gone.
                let back = resolution == Resolution::ContinueInSame
                    && self.unless_it_fails(key, self.are_back(partition, &position))?
                        == Some(true);
                let behind = || self.behind_the_loss(key, resolution, &position);
                match back {
                    true => position,
                    false => match self.unless_it_fails(key, behind())?.flatten() {
                        Some(position) => position,
                        None => return Ok(false),
                    },
                }
            }
            // Nothing follows: the source has no such partition any more.
            Resolution::ContinueInSame | Resolution::NewTopic if self.is_vanished(partition) => {
                position
            }
            Resolution::Retry => position,
            Resolution::Skip | Resolution::Park => {
                let Some(end) = record.end else {
                    return Ok(false);
                };
                if resolution == Resolution::Park && !self.park(key, record)? {
                    return Ok(false);
                }
                Position {
                    source_offset: end.max(position.source_offset),
                    ..position
                }
            }
            Resolution::ContinueInSame | Resolution::NewTopic => {
                let reborn = self.reborn(key, record, resolution, &position);
                match self.unless_it_fails(key, reborn)?.flatten() {
                    Some(position) => position,
                    None => return Ok(false),
                }
            }
        };
        let mut settled = GapRecord {
            state: resolution.outcome(),
            ..record.clone()
        };
        if moved.incarnation != old.incarnation {
            settled
                .reason
                .push_str(&what_else(key, record, &old, &moved));
        }
        let mut planned = self.state.moved(partition, moved);
        planned.writes.push(self.gaps.write(key, &settled));
        self.plane.put(&planned.writes)?;
        self.finish(planned)?;
        self.gaps.note(key.clone(), settled);
        Ok(true)
    }

    /// What came of a step of an answer. One that a cluster refuses, or does not answer, is tried again later: it holds up
    /// its partition, and no other of the slot.
    fn unless_it_fails<T>(
        &self,
        key: &GapKey,
        step: Result<T, HoldError>,
    ) -> Result<Option<T>, HoldError> {
        match step {
            Err(HoldError::Fault(fault)) if !fault.is_fenced() => {
                tracing::warn!(
                    slot = %self.slot, partition = %key.partition, %fault,
                    "what was decided about its gap cannot be done now; tried again"
                );
                Ok(None)
            }
            step => step.map(Some),
        }
    }

    /// Writes down that what an operator asked for cannot be done: the partition stays halted until another answer.
    fn answer_in_vain(
        &mut self,
        key: &GapKey,
        record: &GapRecord,
        why: &str,
    ) -> Result<(), HoldError> {
        tracing::warn!(
            slot = %self.slot, partition = %key.partition, why,
            "what was decided about its gap cannot be done; still halted"
        );
        let unanswered = GapRecord {
            resolution: None,
            ..record.clone()
        };
        self.plane.put(&[self.gaps.write(key, &unanswered)])?;
        self.plane.commit()?;
        self.gaps.note(key.clone(), unanswered);
        Ok(())
    }

    /// Adds the refused record to the transaction, for the parking topic.
    fn park(&mut self, key: &GapKey, gap: &GapRecord) -> Result<bool, HoldError> {
        let flow = self.context.flow.clone();
        let Some(topic) = &flow.parking_topic else {
            return Ok(false);
        };
        let source = Cluster::open(&flow.source)?;
        let Some(mut record) = source.read_one(&key.partition, key.start.get(), WITHIN)? else {
            return Ok(false);
        };
        let mut note = |name: &str, value: String| {
            let name = format!("understudy.{name}").into_bytes();
            record.headers.push((name, Some(value.into_bytes())));
        };
        note("source.topic", key.partition.topic.to_string());
        note("source.partition", key.partition.partition.to_string());
        note("source.offset", key.start.to_string());
        note("reason", gap.reason.clone());
        if let Some(timestamp) = record.timestamp_ms {
            let name = b"understudy.source.timestamp".to_vec();
            record
                .headers
                .push((name, Some(timestamp.to_string().into_bytes())));
        }
        self.plane.park(&Parked {
            record,
            topic: Arc::from(topic.as_str()),
        })?;
        Ok(true)
    }

    /// Puts the slot's gaps on the board.
    pub(crate) fn show_gaps(&self) {
        let mut board = self.context.board.hold();
        board.gaps.retain(|_, (slot, _)| *slot != self.slot);
        for (key, record) in self.gaps.all() {
            board.gaps.insert(key.clone(), (self.slot, record.clone()));
        }
    }

    /// Waits for answers about every open gap, as after a take-over.
    pub(crate) fn ask_again(&self) {
        for (key, record) in self.gaps.all() {
            if record.is_open() {
                self.context.answers.want(key, self.slot);
            }
        }
    }
}

/// Why what was decided can never be done, if so.
fn in_vain(cause: GapCause, resolution: Resolution, is_vanished: bool) -> Option<&'static str> {
    match (cause, resolution) {
        (GapCause::CopiesLost, Resolution::ContinueInSame | Resolution::Retry) if is_vanished => {
            Some(
                "the source's topic was made again without this partition: nothing can be copied or compared again; settle it with skip",
            )
        }
        (
            GapCause::CopiesLost
            | GapCause::Deleted
            | GapCause::Truncated
            | GapCause::Recreated
            | GapCause::Refused,
            _,
        ) => None,
    }
}

/// A gap, found just now.
pub(crate) fn found(end: Option<SourceOffset>, cause: GapCause, reason: String) -> GapRecord {
    GapRecord {
        end,
        cause,
        reason,
        found_at_ms: now_ms(),
        state: understudy_domain::GapState::Halted,
        resolution: None,
    }
}

/// The command that settles a gap.
fn advice(key: &GapKey, record: &GapRecord) -> String {
    let ways: Vec<_> = record
        .cause
        .resolutions()
        .iter()
        .map(|resolution| resolution.name())
        .collect();
    format!(
        "understudy gaps FLOW.toml resolve --topic {} --partition {} --as {}",
        key.partition.topic,
        key.partition.partition,
        ways.join("|")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_copies_of_a_partition_that_the_source_has_no_more_can_only_be_skipped() {
        let can = |cause: GapCause, vanished| -> Vec<Resolution> {
            let all = cause.resolutions().iter().copied();
            all.filter(|resolution| in_vain(cause, *resolution, vanished).is_none())
                .collect()
        };
        assert_eq!(can(GapCause::CopiesLost, true), [Resolution::Skip]);
        for cause in [
            GapCause::Deleted,
            GapCause::Truncated,
            GapCause::Recreated,
            GapCause::Refused,
            GapCause::CopiesLost,
        ] {
            assert_eq!(can(cause, false), cause.resolutions(), "{cause:?}");
        }
    }
}
