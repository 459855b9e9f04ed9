//! A slot while it is held: records move, state is committed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{Run, Slot, SourceOffset, TargetOffset, TopicPartition};
use understudy_kafka::librdkafka::Librdkafka;
use understudy_kafka::plane::{Advance, Copied, DataPlane, Stall, StallKind};
use understudy_kafka::{Cluster, Fault};

use crate::board::{Partition, PartitionState};
use crate::catalog::Listing;
use crate::copies_hold::ShortCopies;
use crate::denied::Denied;
use crate::flow_record::FlowError;
use crate::gap_book::GapBook;
use crate::hearing::Hearing;
use crate::pacing::Pacing;
use crate::place_hold::PlaceBook;
use crate::slot::Context;
use crate::slot_state::{OFFSET_MAP, PlanError, Planned, SlotState};
use crate::stop::Stop;
use crate::stored_state::StateError;

/// How long an idle slot waits for a record, or for a ring, before it looks around by itself: for other credentials, say,
/// which ring no bell.
pub const IDLE_WAIT: Duration = Duration::from_secs(1);
/// The same, where something is to be tried again soon.
pub const SOON: Duration = Duration::from_millis(200);
/// How often positions are stored that moved past control records only.
const QUIET_COMMIT: Duration = Duration::from_secs(1);
/// How long records go out one by one until the refused one should have been met.
const CAREFUL_FOR: Duration = Duration::from_secs(30);
/// Nor longer than for so many bytes: more than the batch that was refused can have held.
const CAREFUL_BYTES: u64 = 1_100_000;

/// Why a holding ended.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A cluster.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The flow's record.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The slot's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// What to write of the slot's state.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Copies did not land where they should have: somebody else writes to a mirrored topic. Harmless, but state cannot
    /// be put by forecast then.
    #[error(
        "copies did not land where they were expected: somebody else writes to a mirrored topic on the target"
    )]
    OtherWriter,
    /// A source topic was replaced by another one of its name; what was fetched since may be of either.
    #[error("topic {topic} was deleted and made again on the source")]
    Replaced {
        /// The topic.
        topic: Arc<str>,
    },
    /// The reader brings nothing of a partition that the source has something of.
    #[error("nothing comes of {partition}, although the source has more of it")]
    Deaf {
        /// The partition, on the source.
        partition: TopicPartition,
    },
    /// A copy landed where others were before: the target's log was cut, or its topic made again.
    #[error("a copy of {partition} landed at {at}, though copies had gone up to {to}")]
    LandedEarly {
        /// Whose copy, on the source.
        partition: TopicPartition,
        /// Where it landed.
        at: TargetOffset,
        /// Where copies had gone.
        to: TargetOffset,
    },
    /// The record that the target refused did not come again.
    #[error("the refused record did not come again")]
    NotRefused,
}

impl HoldError {
    /// The cluster's part in it.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault)
            | Self::Flow(FlowError::Fault(fault))
            | Self::State(StateError::Fault(fault)) => Some(fault),
            Self::Flow(_)
            | Self::State(_)
            | Self::Plan(_)
            | Self::OtherWriter
            | Self::Replaced { .. }
            | Self::Deaf { .. }
            | Self::LandedEarly { .. }
            | Self::NotRefused => None,
        }
    }
}

/// A record that the target does not take.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its offset on the source.
    pub offset: SourceOffset,
    /// The target's words.
    pub reason: String,
}

/// A slot between take-over and release.
pub struct Holding {
    pub(crate) context: Context,
    pub(crate) slot: Slot,
    pub(crate) epoch: u64,
    /// When the flow was first started.
    pub(crate) created_at_ms: Option<i64>,
    pub(crate) plane: Librdkafka,
    pub(crate) state: SlotState,
    pub(crate) gaps: GapBook,
    pub(crate) places: PlaceBook,
    /// When the map was last looked over for what may be forgotten.
    pub(crate) forgot_at: Option<Instant>,
    /// When the source's ends were last stored where nothing was copied.
    pub(crate) ends_stored_at: Option<Instant>,
    /// Open during a take-over only: its clients cost threads.
    pub(crate) target: Option<Cluster>,
    /// What this slot's partitions are doing.
    pub(crate) active: BTreeMap<TopicPartition, PartitionState>,
    /// Who waits for records.
    pub(crate) hearing: Hearing,
    /// Records known to be refused: their partitions stop in front of them.
    pub(crate) refused: BTreeMap<TopicPartition, Refused>,
    /// Copies that may not be written just now: their partitions wait.
    pub(crate) denied: Denied,
    /// Logs of copies that end too early.
    pub(crate) short: ShortCopies,
    /// Partitions that the source did not know; each waits for a look at the source after this one.
    pub(crate) absent: BTreeMap<TopicPartition, u64>,
    /// Partitions that are read again; the board says why they waited until something comes.
    pub(crate) retrying: BTreeSet<TopicPartition>,
    pub(crate) seen: Option<Arc<Listing>>,
    /// When to look again at partitions that had no leader.
    pub(crate) look_again: Option<Instant>,
    /// When to try again what could not be done about a gap.
    pub(crate) gaps_again: Option<Instant>,
    /// Partitions that stopped, to be looked at between two transactions.
    pub(crate) stopped: Vec<Stall>,
    pub(crate) pacing: Pacing,
    /// When the last commit began, of a transaction or of nothing: what is not stored came after that.
    pub(crate) quiet_since: Instant,
    /// Whether state may be put by forecast.
    pub(crate) forecasting: bool,
    /// Whether positions may have passed control records since the last commit.
    pub(crate) passed: bool,
    /// Since when records go out one by one.
    pub(crate) careful_since: Option<Instant>,
    /// Bytes that were copied since.
    pub(crate) careful_bytes: u64,
    /// Until when nothing is read, to keep the bandwidth limit.
    pub(crate) resting_until: Option<Instant>,
    /// Why partitions cannot begin yet where MirrorMaker 2 stopped.
    pub(crate) mm2_wait: Option<String>,
    /// The generation of credentials that its clients were made of.
    pub(crate) credentials: u64,
}

impl Holding {
    pub(crate) fn copy(&mut self, stop: &Stop) -> Result<(), HoldError> {
        let mut idle = true;
        while !stop.is_set() && self.context.flow.credentials_generation() == self.credentials {
            let wait = if !self.plane.in_transaction() {
                self.enrol()?;
                self.look_at_denied()?;
                self.look_at_gaps()?;
                self.bring_groups()?;
                self.forget()?;
                self.store_ends()?;
                if let Some(rest) = self.rest() {
                    stop.wait(rest);
                    continue;
                }
                self.patience()
            } else {
                // Nothing was waiting: let some more come together rather than wake for each record.
                if idle {
                    std::thread::sleep(self.pacing.left(true, Instant::now()));
                }
                Duration::ZERO
            };
            let was_open = self.plane.in_transaction();
            idle = self.plane.advance(wait)? == Advance::Idle;
            if !was_open && self.plane.in_transaction() {
                self.pacing.opened(Instant::now());
            }
            self.passed |= idle;
            if let Some(topic) = self.plane.read_two_lives() {
                return Err(HoldError::Replaced {
                    topic: topic.into(),
                });
            }
            self.note_stalls();
            let now = Instant::now();
            if idle {
                self.must_hear(now)?;
            }
            if self.plane.in_transaction() {
                if self.pacing.left(idle, now).is_zero()
                    || !self.stopped.is_empty()
                    || self.is_turn_over()
                {
                    self.commit()?;
                }
            } else if !self.stopped.is_empty()
                || (self.passed && now.duration_since(self.quiet_since) >= QUIET_COMMIT)
            {
                self.commit()?;
            }
            let careful = self
                .careful_since
                .is_some_and(|since| now.duration_since(since) > CAREFUL_FOR)
                || self.careful_bytes > CAREFUL_BYTES;
            if careful && !self.plane.in_transaction() {
                return Err(HoldError::NotRefused);
            }
        }
        Ok(())
    }

    /// How long an idle slot waits.
    fn patience(&self) -> Duration {
        // Something was settled that lets partitions begin.
        if self.seen.is_none() {
            return Duration::ZERO;
        }
        let soon = self.look_again.or(self.gaps_again).is_some()
            || self.denied.is_pending()
            || !self.absent.is_empty()
            || self.places.are_waiting();
        let most = if soon { SOON } else { IDLE_WAIT };
        match self.passed {
            true => most.min(QUIET_COMMIT.saturating_sub(self.quiet_since.elapsed())),
            false => most,
        }
    }

    /// How long to wait for the bandwidth limit, in steps that let the loop look around.
    fn rest(&mut self) -> Option<Duration> {
        let left = self
            .resting_until?
            .saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.resting_until = None;
            return None;
        }
        Some(left.min(SOON))
    }

    /// Stores what was copied and passed, in the transaction of the copies (invariants d, e).
    pub(crate) fn commit(&mut self) -> Result<(), HoldError> {
        let began = Instant::now();
        // State put by a forecast travels with the data instead of after it.
        let forecast = if self.forecasting && self.plane.in_transaction() {
            self.plane.forecast()
        } else {
            None
        };
        let early = match &forecast {
            Some(copied) => {
                let planned = self.plan(copied)?;
                self.plane.put(&planned.writes)?;
                Some(planned)
            }
            None => None,
        };
        let copied = self.plane.settle()?;
        self.must_be_of_the_old_topic(&copied)?;
        self.must_follow(&copied)?;
        if let Some(forecast) = forecast {
            let came_true = forecast.len() == copied.len()
                && copied
                    .iter()
                    .zip(&forecast)
                    .all(|(copied, forecast)| copied.is_as_forecast(forecast));
            if !came_true {
                return Err(HoldError::OtherWriter);
            }
        }
        let (news, still): (Vec<_>, Vec<_>) =
            copied.into_iter().partition(|copied| self.is_news(copied));
        self.passed = false;
        self.show(&still, began);
        if news.is_empty() && !self.plane.in_transaction() {
            self.quiet_since = began;
            return Ok(());
        }
        let records: u64 = news
            .iter()
            .flat_map(|copied| &copied.runs)
            .map(|run| run.length)
            .sum();
        let bytes: u64 = news.iter().map(|copied| copied.bytes).sum();
        let planned = match early {
            Some(planned) => planned,
            None => {
                let planned = self.plan(&news)?;
                self.plane.put(&planned.writes)?;
                planned
            }
        };
        self.quiet_since = began;
        self.finish(planned)?;
        let now = Instant::now();
        self.pacing.committed(now, now.duration_since(began));
        self.spend(bytes, now);
        if self.careful_since.is_some() {
            self.careful_bytes += bytes;
        }
        let metrics = &self.context.metrics;
        metrics.records.inc_by(records);
        metrics.bytes.inc_by(bytes);
        metrics.commits.inc();
        metrics
            .commit_seconds
            .observe(began.elapsed().as_secs_f64());
        self.show(&news, now);
        if records > 0 {
            // It was fetched before the commit began.
            let mut board = self.context.board.hold();
            board.source_answered_at = board.source_answered_at.max(Some(began));
        }
        Ok(())
    }

    /// What was fetched must come from the topic that the positions speak of.
    fn must_be_of_the_old_topic(&self, copied: &[Copied]) -> Result<(), HoldError> {
        for copied in copied {
            let known = self
                .state
                .get(&copied.partition)
                .and_then(|entry| entry.position.source_topic_id.as_ref());
            if let (Some(known), Some(fetched)) = (known, &copied.topic_id)
                && known != fetched
            {
                return Err(HoldError::Replaced {
                    topic: copied.partition.topic.clone(),
                });
            }
        }
        Ok(())
    }

    /// Whether the bandwidth limit asks for a commit before more is taken.
    fn is_turn_over(&self) -> bool {
        if self.context.throttle.records_a_step().is_none() {
            return false;
        }
        let (held, share) = self.share();
        let taken = self.plane.taken_bytes();
        self.context.throttle.is_turn_over(taken, share, held)
    }

    /// How many slots this worker holds, and which part of the flow's that is.
    fn share(&self) -> (u32, f64) {
        let held = u32::try_from(self.context.board.hold().slots.len()).unwrap_or(u32::MAX);
        (held, f64::from(held) / f64::from(self.context.slots.get()))
    }

    fn spend(&mut self, bytes: u64, now: Instant) {
        let (_, share) = self.share();
        let rest = self.context.throttle.spend(bytes, share, now);
        self.resting_until = (!rest.is_zero()).then(|| now + rest);
    }

    /// Whether this was not stored before.
    fn is_news(&self, copied: &Copied) -> bool {
        let stored = self
            .state
            .get(&copied.partition)
            .map(|entry| entry.position.source_offset);
        !copied.runs.is_empty() || stored.is_none_or(|stored| stored < copied.source_offset)
    }

    fn plan(&self, copied: &[Copied]) -> Result<Planned, PlanError> {
        let ends = |copied: &Copied| self.end_behind(copied);
        let id_of = |topic: &str| Some(self.seen.as_ref()?.id_of(topic)?.to_owned());
        let news = copied
            .iter()
            .filter(|copied| self.is_news(copied))
            .cloned()
            .collect();
        self.state.plan(news, &ends, &id_of)
    }

    /// Commits what was put.
    pub(crate) fn finish(&mut self, planned: Planned) -> Result<(), HoldError> {
        self.plane.commit()?;
        Ok(self
            .state
            .committed(planned, self.plane.state_offset(OFFSET_MAP))?)
    }

    fn show(&self, copied: &[Copied], now: Instant) {
        let mut board = self.context.board.hold();
        for copied in copied {
            let Some(partition) = board.partitions.get_mut(&copied.partition) else {
                continue;
            };
            partition.source_offset = copied.source_offset;
            partition.target_offset = copied
                .runs
                .last()
                .map_or(partition.target_offset, |run| run.target_end());
            partition.last_copy = copied.runs.last().and_then(last_of).or(partition.last_copy);
            partition.last_timestamp_ms = copied.last_timestamp_ms.or(partition.last_timestamp_ms);
            let seen = partition.source_end_offset.unwrap_or(copied.source_offset);
            // At the end, the end is known better than any earlier look told.
            partition.source_end_offset = Some(seen.max(copied.source_offset));
            if copied.at_end || partition.lag_records() == 0 {
                partition.caught_up_at = Some(now);
            }
            if copied.at_end {
                partition.end_seen_at = Some(now);
            }
            if partition.state == PartitionState::Waiting {
                partition.state = PartitionState::Copying;
                partition.reason = None;
            }
        }
    }

    fn note_stalls(&mut self) {
        for stall in self.plane.stalls() {
            match stall.kind {
                StallKind::Waiting => {
                    self.show_state(&stall.partition, PartitionState::Waiting, &stall.reason);
                }
                StallKind::OutOfRange
                | StallKind::Diverged
                | StallKind::Gone
                | StallKind::Reached
                | StallKind::Again => {
                    self.stopped.push(stall);
                }
            }
        }
    }

    /// Says on the board why a partition is not copied.
    pub(crate) fn show_state(
        &self,
        partition: &TopicPartition,
        state: PartitionState,
        reason: &str,
    ) {
        let mut board = self.context.board.hold();
        let Some(shown) = board.partitions.get_mut(partition) else {
            return;
        };
        if shown.reason.as_deref() != Some(reason) {
            match state {
                PartitionState::Halted => {
                    tracing::error!(slot = %self.slot, %partition, reason, "partition halted");
                }
                PartitionState::Copying | PartitionState::Waiting | PartitionState::Paused => {
                    tracing::warn!(slot = %self.slot, %partition, reason, "partition not copied");
                }
            }
        }
        shown.state = state;
        shown.reason = Some(reason.to_owned());
    }

    /// Puts a partition on the board as its position has it.
    pub(crate) fn show_partition(
        &self,
        partition: &TopicPartition,
        state: PartitionState,
        reason: Option<&str>,
    ) {
        let Some(entry) = self.state.get(partition) else {
            return;
        };
        let position = &entry.position;
        let shown = Partition {
            slot: self.slot,
            copies: self.target_of(partition),
            incarnation: position.incarnation,
            source_offset: position.source_offset,
            target_offset: position.target_offset,
            source_end_offset: position.source_end_offset,
            end_seen_at: None,
            caught_up_at: None,
            last_timestamp_ms: None,
            last_copy: entry.runs().last().and_then(last_of),
            state: PartitionState::Copying,
            reason: None,
        };
        self.context
            .board
            .hold()
            .partitions
            .insert(partition.clone(), shown);
        match reason {
            Some(reason) => self.show_state(partition, state, reason),
            None => {
                if let Some(shown) = self.context.board.hold().partitions.get_mut(partition) {
                    shown.state = state;
                }
            }
        }
    }
}

/// A run's last record, and its copy.
fn last_of(run: &Run) -> Option<(SourceOffset, TargetOffset)> {
    let before_last = run.length.checked_sub(1)?;
    Some((run.source.plus(before_last), run.target.plus(before_last)))
}
