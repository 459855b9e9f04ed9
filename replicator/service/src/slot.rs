//! One slot: taken over, copied, released. The order of a take-over is the proof of exactly-once.
//!
//! Invariants, with what enforces each:
//! a. *Fence first.* `init_transactions` under the slot's transactional id comes before any look at state: whoever
//!    held the id can write nothing afterwards, and its open transaction has ended. Else a predecessor could still
//!    commit a position after we read it.
//! b. *Flow next.* The flow's record is read to its high watermark after (a): a seal written before our fence is seen,
//!    and one written after it fences us in turn.
//! c. *State last.* Positions and map are read after (a), committed records only, to the high watermark: nobody else
//!    writes this partition of the state topics, so what was read is what is true.
//! d. *One transaction.* Copies, their map runs and the positions behind them are committed together or not at all.
//! e. *Acknowledged only.* Positions and runs come from the target's acknowledgements, never from what was sent.
//! f. *Any doubt ends the holding.* After an error the outcome of a transaction may be unknown; everything is dropped
//!    and the slot taken over again from (a).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use understudy_domain::{Origin, Slot, SourceOffset, TargetOffset, TopicPartition, slot_of};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::librdkafka::Librdkafka;
use understudy_kafka::plane::{Advance, Copied, DataPlane};
use understudy_kafka::{Cluster, Fault};

use crate::board::{Board, Part, Partition, PartitionState, SlotEntry};
use crate::catalog::{Catalog, explain};
use crate::config::{Flow, Start};
use crate::flow_record::{self, FlowError};
use crate::metrics::Metrics;
use crate::pacing::Pacing;
use crate::slot_state::{OFFSET_MAP, Planned, SlotState, StateError};
use crate::stop::Stop;

/// Time limit of one look at a cluster.
const WITHIN: Duration = Duration::from_secs(10);
/// How long an idle slot waits for a record before it looks whether it should stop.
const IDLE_WAIT: Duration = Duration::from_millis(200);
/// How often positions are stored that moved past control records only.
const QUIET_COMMIT: Duration = Duration::from_secs(1);
/// The longest wait before a slot is taken over again after an error.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The wait after a fence: time for the group to tell us that the slot is no longer ours.
const FENCED_WAIT: Duration = Duration::from_secs(2);
/// How long until partitions are looked at again that had no leader.
const LEADERLESS_WAIT: Duration = Duration::from_millis(500);

/// Why a holding ended.
#[derive(Debug, thiserror::Error)]
enum HoldError {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl HoldError {
    fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault)
            | Self::Flow(FlowError::Fault(fault))
            | Self::State(StateError::Fault(fault)) => Some(fault),
            Self::Flow(_) | Self::State(_) => None,
        }
    }
}

/// What every slot of a worker is given.
#[derive(Clone)]
pub struct Context {
    /// The configuration.
    pub flow: Arc<Flow>,
    /// The flow's generation, part of the transactional id.
    pub generation: u64,
    /// What there is to mirror.
    pub catalog: Catalog,
    /// Where to say how it goes.
    pub board: Board,
    /// What to count.
    pub metrics: Metrics,
    /// Whether the group lost us. What runs goes on, for the brokers refuse it once somebody else took over; nothing is
    /// taken over until the group answers. Written by the membership, read by slots.
    pub lost: Arc<AtomicBool>,
}

/// One slot and the thread's view of it.
pub struct SlotTask {
    context: Context,
    slot: Slot,
    stop: Arc<Stop>,
    /// Partitions that stay stopped until the slot moves or the worker restarts, with the reason.
    halted: BTreeMap<TopicPartition, String>,
}

impl SlotTask {
    /// A slot to be held until `stop`.
    pub fn new(context: Context, slot: Slot, stop: Arc<Stop>) -> Self {
        Self {
            context,
            slot,
            stop,
            halted: BTreeMap::new(),
        }
    }

    /// Holds the slot until told to stop, taking it over again after each error.
    pub fn run(mut self) {
        let mut backoff = Duration::from_millis(200);
        while !self.stopping() {
            if self.context.lost.load(Ordering::Relaxed) {
                self.stop.wait(IDLE_WAIT);
                continue;
            }
            let began = Instant::now();
            let Err(error) = self.hold() else { break };
            if began.elapsed() > Duration::from_secs(30) {
                backoff = Duration::from_millis(200);
            }
            let wait = self.explain(&error, backoff);
            backoff = (backoff * 2).min(BACKOFF_MAX);
            self.stop.wait(wait);
        }
        let slot = self.slot;
        let mut board = self.context.board.hold();
        board.slots.remove(&slot);
        board
            .partitions
            .retain(|_, partition| partition.slot != slot);
        drop(board);
        self.context.board.ready(&Part::Slot(slot));
    }

    fn stopping(&self) -> bool {
        self.stop.is_set()
    }

    /// Says why the holding ended; how long to wait before the next one.
    fn explain(&mut self, error: &HoldError, backoff: Duration) -> Duration {
        let slot = self.slot;
        if let Some(Fault::RecordRefused { partition, .. }) = error.fault() {
            let reason = error.to_string();
            tracing::error!(%slot, %partition, %reason, "partition halted");
            self.halted.insert(partition.clone(), reason);
            return Duration::ZERO;
        }
        if error.fault().is_some_and(Fault::is_fenced) {
            self.context.metrics.fenced.inc();
            self.state("fenced", None);
            tracing::warn!(%slot, %error, "slot fenced");
            return FENCED_WAIT;
        }
        self.state("failed", None);
        let reason = match error.fault() {
            Some(fault) => explain(&self.context.flow.target, fault),
            None => chain(error),
        };
        self.context.board.not_ready(Part::Slot(slot), &reason);
        backoff
    }

    fn state(&self, state: &'static str, take_over_seconds: Option<f64>) {
        let mut board = self.context.board.hold();
        let entry = board.slots.entry(self.slot).or_insert_with(|| SlotEntry {
            state,
            since: Instant::now(),
            take_over_seconds,
        });
        entry.state = state;
        entry.since = Instant::now();
        entry.take_over_seconds = take_over_seconds.or(entry.take_over_seconds);
    }

    fn hold(&mut self) -> Result<(), HoldError> {
        let began = Instant::now();
        self.state("taking-over", None);
        let flow = self.context.flow.clone();
        let id = flow
            .state
            .transactional_id(self.context.generation, self.slot);
        let mut plane = Librdkafka::new(&flow.source, &flow.target, &id)?;
        // a
        plane.take_over()?;
        let fenced = began.elapsed();
        let target = Cluster::open(&flow.target)?;
        // b
        let record = flow_record::read(&target, &flow)?;
        let epoch = record.as_ref().map_or(0, |record| record.epoch);
        if let Some(record) = &record {
            flow_record::must_run(&flow, record)?;
        }
        // c
        let flow_read = began.elapsed();
        let state = SlotState::load(&target, &flow.state, self.slot)?;
        let state_read = began.elapsed();
        let mut holding = Holding {
            context: self.context.clone(),
            slot: self.slot,
            epoch,
            plane,
            state,
            target: Some(target),
            active: BTreeSet::new(),
            seen: None,
            look_again: None,
            pacing: Pacing::new(flow.commit_interval, Instant::now()),
            quiet_since: Instant::now(),
            passed: false,
        };
        holding.enrol(&self.halted)?;
        holding.target = None;
        let seconds = began.elapsed().as_secs_f64();
        self.context.metrics.take_overs.inc();
        self.context.metrics.take_over_seconds.observe(seconds);
        self.state("copying", Some(seconds));
        tracing::debug!(slot = %self.slot, ?fenced, ?flow_read, ?state_read, "steps of the take-over");
        tracing::info!(slot = %self.slot, seconds, partitions = holding.active.len(), "slot taken over");
        let copied = holding.copy(&self.stop, &self.halted);
        self.release(holding, copied)
    }

    /// Ends the open transaction, by commit when all is well and by abort otherwise.
    fn release(
        &self,
        mut holding: Holding,
        copied: Result<(), HoldError>,
    ) -> Result<(), HoldError> {
        let result = match copied {
            Ok(()) => {
                self.state("stopping", None);
                holding.commit()
            }
            Err(error) => Err(error),
        };
        if holding.plane.in_transaction() {
            self.context.metrics.aborts.inc();
            match holding.plane.abort() {
                Ok(()) => {}
                // What a worker hears that was replaced while it slept; it explains more than what led here.
                Err(fault) if fault.is_fenced() => return Err(fault.into()),
                Err(fault) => {
                    tracing::debug!(slot = %self.slot, %fault, "abort left to the brokers")
                }
            }
        }
        result
    }
}

/// A slot between take-over and release.
struct Holding {
    context: Context,
    slot: Slot,
    epoch: u64,
    plane: Librdkafka,
    state: SlotState,
    /// Open during a take-over only: its clients cost threads.
    target: Option<Cluster>,
    active: BTreeSet<TopicPartition>,
    seen: Option<Arc<BTreeSet<TopicPartition>>>,
    /// When to look again at partitions that had no leader.
    look_again: Option<Instant>,
    pacing: Pacing,
    quiet_since: Instant,
    /// Whether positions may have passed control records since the last commit.
    passed: bool,
}

impl Holding {
    fn copy(
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
    fn commit(&mut self) -> Result<(), HoldError> {
        let began = Instant::now();
        let copied = self.plane.settle()?;
        let passed = |copied: &Copied| {
            let stored = self
                .state
                .get(&copied.partition)
                .map(|entry| entry.position.source_offset);
            !copied.runs.is_empty() || stored.is_none_or(|stored| stored < copied.source_offset)
        };
        let (news, still): (Vec<_>, Vec<_>) = copied.into_iter().partition(passed);
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
        let shown = news.clone();
        let board = self.context.board.clone();
        let ends = |partition: &TopicPartition| {
            board
                .hold()
                .partitions
                .get(partition)
                .and_then(|partition| partition.source_end_offset)
        };
        let planned = self.state.plan(news, &ends)?;
        self.write(planned)?;
        let now = Instant::now();
        self.pacing.committed(now);
        let metrics = &self.context.metrics;
        metrics.records.inc_by(records);
        metrics.bytes.inc_by(bytes);
        metrics.commits.inc();
        metrics
            .commit_seconds
            .observe(began.elapsed().as_secs_f64());
        self.show(&shown, now);
        Ok(())
    }

    fn write(&mut self, planned: Planned) -> Result<(), HoldError> {
        self.plane.commit(&planned.writes)?;
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
    fn enrol(&mut self, halted: &BTreeMap<TopicPartition, String>) -> Result<(), HoldError> {
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
                self.plane.start(&partition, position.source_offset)?;
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
        let ends = target.edges(unknown.iter().copied(), Edge::HighWatermark, WITHIN)?;
        let mut all = Planned::default();
        for partition in unknown {
            // A partition without a leader, or one that the target does not show yet, waits for the next look.
            let (Some(Ok(source)), Some(Ok(target))) = (starts.get(partition), ends.get(partition))
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
        self.write(all)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
