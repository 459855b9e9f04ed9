//! A slot while it is held: records move, state is committed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{Origin, Slot, SourceOffset, TargetOffset, TopicPartition, slot_of};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::librdkafka::Librdkafka;
use understudy_kafka::plane::{Advance, Copied, DataPlane};
use understudy_kafka::{Cluster, Fault};

use crate::board::{Part, Partition, PartitionState};
use crate::config::Start;
use crate::flow_record::FlowError;
use crate::pacing::Pacing;
use crate::slot::Context;
use crate::slot_state::{OFFSET_MAP, Planned, SlotState, StateError};
use crate::stop::Stop;

/// Time limit of one look at a cluster.
const WITHIN: Duration = Duration::from_secs(10);
/// How long an idle slot waits for a record before it looks whether it should stop.
pub const IDLE_WAIT: Duration = Duration::from_millis(200);
/// How often positions are stored that moved past control records only.
const QUIET_COMMIT: Duration = Duration::from_secs(1);
/// How long until partitions are looked at again that had no leader.
const LEADERLESS_WAIT: Duration = Duration::from_millis(500);

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
    /// Copies did not land where they should have: somebody else writes to a mirrored topic. Harmless, but state cannot
    /// be put by forecast then.
    #[error(
        "copies did not land where they were expected: somebody else writes to a mirrored topic on the target"
    )]
    OtherWriter,
}

impl HoldError {
    /// The cluster's part in it.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault)
            | Self::Flow(FlowError::Fault(fault))
            | Self::State(StateError::Fault(fault)) => Some(fault),
            Self::Flow(_) | Self::State(_) | Self::OtherWriter => None,
        }
    }
}

/// A slot between take-over and release.
pub struct Holding {
    pub(crate) context: Context,
    pub(crate) slot: Slot,
    pub(crate) epoch: u64,
    pub(crate) plane: Librdkafka,
    pub(crate) state: SlotState,
    /// Open during a take-over only: its clients cost threads.
    pub(crate) target: Option<Cluster>,
    pub(crate) active: BTreeSet<TopicPartition>,
    pub(crate) seen: Option<Arc<BTreeSet<TopicPartition>>>,
    /// When to look again at partitions that had no leader.
    pub(crate) look_again: Option<Instant>,
    pub(crate) pacing: Pacing,
    pub(crate) quiet_since: Instant,
    /// Whether state may be put by forecast.
    pub(crate) forecasting: bool,
    /// Whether positions may have passed control records since the last commit.
    pub(crate) passed: bool,
}

impl Holding {
    pub(crate) fn copy(
        &mut self,
        stop: &Stop,
        halted: &BTreeMap<TopicPartition, String>,
    ) -> Result<(), HoldError> {
        let mut idle = true;
        while !stop.is_set() {
            let wait = if !self.plane.in_transaction() {
                self.enrol(halted)?;
                IDLE_WAIT
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
            self.note_stalls();
            let now = Instant::now();
            if self.plane.in_transaction() {
                if self.pacing.left(idle, now).is_zero() {
                    self.commit()?;
                }
            } else if self.passed && now.duration_since(self.quiet_since) >= QUIET_COMMIT {
                self.commit()?;
            }
        }
        Ok(())
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
        if forecast.is_some_and(|forecast| forecast != copied) {
            return Err(HoldError::OtherWriter);
        }
        let (news, still): (Vec<_>, Vec<_>) =
            copied.into_iter().partition(|copied| self.is_news(copied));
        self.passed = false;
        self.quiet_since = began;
        self.show(&still, began);
        if news.is_empty() && !self.plane.in_transaction() {
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
        self.finish(planned)?;
        let now = Instant::now();
        self.pacing.committed(now, now.duration_since(began));
        let metrics = &self.context.metrics;
        metrics.records.inc_by(records);
        metrics.bytes.inc_by(bytes);
        metrics.commits.inc();
        metrics
            .commit_seconds
            .observe(began.elapsed().as_secs_f64());
        self.show(&news, now);
        Ok(())
    }

    /// Whether this was not stored before.
    fn is_news(&self, copied: &Copied) -> bool {
        let stored = self
            .state
            .get(&copied.partition)
            .map(|entry| entry.position.source_offset);
        !copied.runs.is_empty() || stored.is_none_or(|stored| stored < copied.source_offset)
    }

    fn plan(&self, copied: &[Copied]) -> Result<Planned, StateError> {
        let board = &self.context.board;
        let ends = |partition: &TopicPartition| {
            board
                .hold()
                .partitions
                .get(partition)
                .and_then(|partition| partition.source_end_offset)
        };
        let news = copied
            .iter()
            .filter(|copied| self.is_news(copied))
            .cloned()
            .collect();
        self.state.plan(news, &ends)
    }

    /// Commits what was put.
    fn finish(&mut self, planned: Planned) -> Result<(), HoldError> {
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
            partition.last_timestamp_ms = copied.last_timestamp_ms.or(partition.last_timestamp_ms);
            let seen = partition.source_end_offset.unwrap_or(copied.source_offset);
            // At the end, the end is known better than any earlier look told.
            partition.source_end_offset = Some(seen.max(copied.source_offset));
            if copied.at_end || partition.lag_records() == 0 {
                partition.caught_up_at = Some(now);
            }
            if partition.state == PartitionState::Waiting {
                partition.state = PartitionState::Copying;
                partition.reason = None;
            }
        }
    }

    fn note_stalls(&mut self) {
        for stall in self.plane.stalls() {
            let mut board = self.context.board.hold();
            let Some(partition) = board.partitions.get_mut(&stall.partition) else {
                continue;
            };
            let state = if stall.heals {
                PartitionState::Waiting
            } else {
                PartitionState::Halted
            };
            if partition.reason.as_ref() != Some(&stall.reason) {
                tracing::error!(slot = %self.slot, partition = %stall.partition, reason = %stall.reason, "partition not served");
            }
            partition.state = state;
            partition.reason = Some(stall.reason);
        }
    }

    /// Starts partitions that are new in the catalog and stops those that left it.
    pub(crate) fn enrol(
        &mut self,
        halted: &BTreeMap<TopicPartition, String>,
    ) -> Result<(), HoldError> {
        let catalog = self.context.catalog.partitions();
        let known = self
            .seen
            .as_ref()
            .is_some_and(|seen| Arc::ptr_eq(seen, &catalog));
        if known && self.look_again.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let slots: NonZeroU32 = self.context.flow.slots;
        let wanted: BTreeSet<TopicPartition> = catalog
            .iter()
            .filter(|partition| slot_of(partition, slots) == self.slot)
            .cloned()
            .collect();
        let gone: Vec<_> = self.active.difference(&wanted).cloned().collect();
        if !gone.is_empty() {
            self.commit()?;
        }
        for partition in gone {
            self.plane.stop(&partition);
            self.active.remove(&partition);
            self.context.board.hold().partitions.remove(&partition);
        }
        let new: Vec<_> = wanted.difference(&self.active).cloned().collect();
        self.enrol_unknown(&new)?;
        for partition in new {
            let Some(position) = self
                .state
                .get(&partition)
                .map(|entry| entry.position.clone())
            else {
                continue;
            };
            let reason = halted.get(&partition).cloned();
            if reason.is_none() {
                let target = self.context.flow.target_of(&partition);
                self.plane
                    .start(&partition, &target, position.source_offset)?;
            }
            self.context.board.hold().partitions.insert(
                partition.clone(),
                Partition {
                    slot: self.slot,
                    source_offset: position.source_offset,
                    target_offset: position.target_offset,
                    source_end_offset: position.source_end_offset,
                    caught_up_at: None,
                    last_timestamp_ms: None,
                    state: if reason.is_some() {
                        PartitionState::Halted
                    } else {
                        PartitionState::Copying
                    },
                    reason,
                },
            );
            self.active.insert(partition);
        }
        self.seen = Some(catalog);
        let part = Part::Slot(self.slot);
        let leaderless: Vec<_> = wanted
            .difference(&self.active)
            .map(TopicPartition::to_string)
            .collect();
        if leaderless.is_empty() {
            self.look_again = None;
            self.context.board.ready(&part);
        } else {
            self.look_again = Some(Instant::now() + LEADERLESS_WAIT);
            let reason = format!(
                "waiting for a leader, on the source or the target, of {}",
                leaderless.join(", ")
            );
            self.context.board.not_ready(part, &reason);
        }
        Ok(())
    }

    /// Stores where partitions begin that were never mirrored, before their first record: a restart must not choose
    /// another beginning.
    fn enrol_unknown(&mut self, new: &[TopicPartition]) -> Result<(), HoldError> {
        let unknown: Vec<_> = new
            .iter()
            .filter(|partition| self.state.get(partition).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let flow = self.context.flow.clone();
        let edge = match flow.start {
            Start::Earliest => Edge::Earliest,
            Start::Latest => Edge::LastStable,
        };
        let starts = Cluster::open(&flow.source)?.edges(unknown.iter().copied(), edge, WITHIN)?;
        let opened;
        let target = match &self.target {
            Some(target) => target,
            None => {
                opened = Cluster::open(&flow.target)?;
                &opened
            }
        };
        let copies: Vec<_> = unknown
            .iter()
            .map(|partition| flow.target_of(partition))
            .collect();
        let ends = target.edges(&copies, Edge::HighWatermark, WITHIN)?;
        let mut all = Planned::default();
        for (partition, copy) in unknown.into_iter().zip(&copies) {
            // A partition without a leader, or one that the target does not show yet, waits for the next look.
            let (Some(Ok(source)), Some(Ok(target))) = (starts.get(partition), ends.get(copy))
            else {
                continue;
            };
            let origin = Origin {
                source: SourceOffset::new(*source),
                target: TargetOffset::new(*target),
            };
            all.add(self.state.enrol(partition, origin, self.epoch));
        }
        if all.writes.is_empty() {
            return Ok(());
        }
        self.plane.put(&all.writes)?;
        self.finish(all)
    }
}
