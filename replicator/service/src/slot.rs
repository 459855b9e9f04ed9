//! One slot: taken over, copied, released. The order of a take-over is the proof of exactly-once.
//!
//! Invariants, with what enforces each:
//! a. *Fence first.* `init_transactions` under the slot's transactional id comes before any look at state: whoever
//!    held the id can write nothing afterwards, and its open transaction has ended. Else a predecessor could still
//!    commit a position after we read it.
//! b. *Flow next.* The flow's record is read to its high watermark after (a): a seal, or a change of the number of
//!    slots, written before our fence is seen, and one written after it fences us in turn.
//! c. *State last.* Positions and map are read after (a), committed records only, to the high watermark: nobody else
//!    writes this partition of the state topics, so what was read is what is true.
//! d. *One transaction.* Copies, their map runs and the positions behind them are committed together or not at all.
//! e. *Acknowledged only.* A transaction is committed only if its positions and runs are what the target acknowledged.
//!    They may be sent before that, by forecast, to travel with the data; a forecast that did not come true is aborted.
//! f. *Any doubt ends the holding.* After an error the outcome of a transaction may be unknown; everything is dropped
//!    and the slot taken over again from (a).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{Slot, TopicPartition};
use understudy_kafka::endpoint::BATCH_BYTES;
use understudy_kafka::librdkafka::{Librdkafka, Options};
use understudy_kafka::plane::DataPlane;
use understudy_kafka::{Cluster, Fault};

use crate::answers::Answers;
use crate::bell::Bell;
use crate::board::{Board, Part, SlotEntry};
use crate::catalog::Catalog;
use crate::config::Flow;
use crate::copies_hold::ShortCopies;
use crate::denied::Denied;
use crate::explain::explain;
use crate::flow_record::{self, FlowError};
use crate::gap_book::GapBook;
use crate::hearing::{DEAF_AFTER, DEAF_AFTER_MOST, Hearing};
use crate::holding::{HoldError, Holding, Refused, SOON};
use crate::log_starts::LogStarts;
use crate::metrics::Metrics;
use crate::pacing::Pacing;
use crate::place_hold::PlaceBook;
use crate::places::Places;
use crate::slot_state::SlotState;
use crate::stop::Stop;
use crate::throttle::Throttle;

/// How many records one step takes where they go one by one, so that no transaction is open for long.
const CAREFUL_STEP: usize = 50;
/// Smaller ones are not tried: who takes none of these takes no record of a usual size either.
const BATCH_BYTES_MIN: usize = 8_000;
/// The longest wait before a slot is taken over again after an error.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The wait after a fence: time for the group to tell us that the slot is no longer ours.
const FENCED_WAIT: Duration = Duration::from_secs(2);

/// The wait after a topic was replaced: time for the next look at the source.
const REPLACED_WAIT: Duration = Duration::from_millis(500);

/// What every slot of a worker is given.
#[derive(Clone)]
pub struct Context {
    /// The configuration.
    pub flow: Arc<Flow>,
    /// The flow's generation, part of the transactional id.
    pub generation: u64,
    /// How many slots the flow has.
    pub slots: NonZeroU32,
    /// What wakes slots that wait for records.
    pub bell: Bell,
    /// What there is to mirror.
    pub catalog: Catalog,
    /// What operators answered about gaps.
    pub answers: Answers,
    /// Where groups stand.
    pub places: Places,
    /// Where logs start on both sides.
    pub starts: LogStarts,
    /// The bandwidth limit.
    pub throttle: Throttle,
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
    /// Records that the target refused, exactly known.
    refused: BTreeMap<TopicPartition, Refused>,
    /// Copies that may not be written just now.
    denied: Denied,
    /// Logs of copies that end too early.
    short: ShortCopies,
    /// A batch was refused: records go out one by one until the refused one is known.
    careful: bool,
    /// No batch larger than this: the target refused larger ones, and none of their records.
    batch_bytes_max: Option<usize>,
    /// For how long nothing may come of a partition that the source has more of.
    deaf_after: Duration,
    /// Whether state may be put by forecast; not where others write to mirrored topics.
    forecasting: bool,
}

impl SlotTask {
    /// A slot to be held until `stop`.
    pub fn new(context: Context, slot: Slot, stop: Arc<Stop>) -> Self {
        Self {
            context,
            slot,
            stop,
            refused: BTreeMap::new(),
            denied: Denied::default(),
            short: ShortCopies::default(),
            careful: false,
            batch_bytes_max: None,
            deaf_after: DEAF_AFTER,
            forecasting: true,
        }
    }

    /// Holds the slot until told to stop, taking it over again after each error.
    pub fn run(mut self) {
        let mut backoff = Duration::from_millis(200);
        while !self.stopping() {
            if self.context.lost.load(Ordering::Relaxed) {
                self.stop.wait(SOON);
                continue;
            }
            let began = Instant::now();
            // It also ends well when credentials changed.
            let Err(error) = self.hold() else { continue };
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
        board.gaps.retain(|_, (owner, _)| *owner != slot);
        board.places.remove(&slot);
        board.gone.remove(&slot);
        drop(board);
        self.context.bell.take_down(slot);
        self.context.answers.forget_slot(slot);
        self.context.starts.leave(slot);
        self.context.places.leave(slot);
        self.context.board.ready(&Part::Slot(slot));
    }

    fn stopping(&self) -> bool {
        self.stop.is_set()
    }

    /// Says why the holding ended; how long to wait before the next one.
    fn explain(&mut self, error: &HoldError, backoff: Duration) -> Duration {
        let slot = self.slot;
        if let Some(Fault::RecordRefused {
            partition,
            offset,
            exact,
            reason,
        }) = error.fault()
        {
            tracing::warn!(%slot, %partition, offset = offset.get(), exact, reason, "record refused");
            if *exact {
                let refused = Refused {
                    offset: *offset,
                    reason: reason.clone(),
                };
                self.refused.insert(partition.clone(), refused);
            }
            self.careful = !exact;
            return Duration::ZERO;
        }
        if error.fault().is_some_and(Fault::is_fenced) {
            self.context.metrics.fenced.inc();
            self.state("fenced", None);
            tracing::warn!(%slot, %error, "slot fenced");
            return FENCED_WAIT;
        }
        if let HoldError::NotRefused = error {
            self.careful = false;
            // Each record fits, and the batch did not.
            let bytes = self.batch_bytes_max.unwrap_or(BATCH_BYTES) / 2;
            if bytes >= BATCH_BYTES_MIN {
                tracing::warn!(%slot, bytes, "the target refuses batches, and none of their records: smaller ones from now on");
                self.batch_bytes_max = Some(bytes);
            }
            return Duration::ZERO;
        }
        if let HoldError::Replaced { .. } = error {
            tracing::warn!(%slot, %error, "slot starts over");
            // The catalog learns of it with its next look, which comes at once.
            self.context.catalog.doubt();
            return REPLACED_WAIT;
        }
        if let HoldError::Deaf { .. } = error {
            tracing::warn!(%slot, %error, "slot starts over with a new reader");
            self.deaf_after = (self.deaf_after * 2).min(DEAF_AFTER_MOST);
            return Duration::ZERO;
        }
        if let HoldError::LandedEarly { partition, at, .. } = error {
            tracing::warn!(%slot, %error, "copies are lost on the target; slot starts over");
            self.short.note_landed(partition, *at);
            return Duration::ZERO;
        }
        if matches!(error, HoldError::OtherWriter) {
            tracing::warn!(%slot, %error, "slot goes on without forecasts");
            self.forecasting = false;
            return Duration::ZERO;
        }
        if matches!(
            error.fault(),
            Some(Fault::Denied {
                code: RDKafkaErrorCode::TopicAuthorizationFailed,
                ..
            })
        ) && self.set_denied_aside()
        {
            tracing::warn!(%slot, %error, "copies that may not be written are set aside");
            return Duration::ZERO;
        }
        if let Some(Fault::TimestampAltered { copy }) = error.fault() {
            // The catalog leaves the topic out with its next look.
            self.context.catalog.note_altering(&copy.topic);
        }
        self.state("failed", None);
        let reason = match error.fault() {
            Some(fault) => explain(&self.context.flow.target, fault),
            None => chain(error),
        };
        self.context.board.not_ready(Part::Slot(slot), &reason);
        backoff
    }

    /// Finds out which copies may not be written; false if none is known to be, beyond those that are.
    fn set_denied_aside(&mut self) -> bool {
        let context = &self.context;
        let copies = context
            .catalog
            .listing()
            .of_slot(self.slot, context.slots)
            .map(|partition| context.flow.target_of(&partition).topic)
            .collect();
        match Denied::ask(&context.flow, &copies) {
            Ok(denied) => {
                let is_news = !denied.is_empty() && !denied.is_within(&self.denied);
                self.denied = denied;
                is_news
            }
            Err(fault) => {
                tracing::debug!(slot = %self.slot, %fault, "the target does not tell what may be written");
                false
            }
        }
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
        let credentials = flow.credentials_generation();
        let options = Options {
            codec_of: flow.codec_of.clone(),
            one_record_a_batch: self.careful,
            batch_bytes_max: self.batch_bytes_max,
            // One by one each takes a round trip, and a step ends only when all of them were handed over.
            records_a_step: match self.careful {
                true => Some(CAREFUL_STEP),
                false => self.context.throttle.records_a_step(),
            },
            give_up: Some({
                let stop = Arc::clone(&self.stop);
                Arc::new(move || stop.is_set())
            }),
        };
        let mut plane = Librdkafka::new(&flow.source, &flow.target, &id, options)?;
        self.context.bell.hang(self.slot, plane.waker());
        // a
        plane.take_over()?;
        let fenced = began.elapsed();
        let target = Cluster::open(&flow.target)?;
        // b
        let record = flow_record::read(&target, &flow)?
            .ok_or_else(|| FlowError::NoFlow(flow.name.to_string()))?;
        self.context.board.hold().flow_state = Some(record.state);
        flow_record::must_be_of(&flow, &record, self.context.generation)?;
        flow_record::must_run(&flow, &record)?;
        // c
        let flow_read = began.elapsed();
        let state = SlotState::load(&target, &flow.state, (self.slot, self.context.slots))?;
        let gaps = GapBook::load(&target, &flow.state, self.slot)?;
        let state_read = began.elapsed();
        let mut holding = Holding {
            context: self.context.clone(),
            slot: self.slot,
            epoch: record.epoch,
            created_at_ms: record.created_at_ms,
            plane,
            state,
            gaps,
            places: PlaceBook::new(&self.context.places, self.slot),
            forgot_at: None,
            ends_stored_at: None,
            target: Some(target),
            active: BTreeMap::new(),
            hearing: Hearing::new(self.deaf_after),
            refused: std::mem::take(&mut self.refused),
            denied: std::mem::take(&mut self.denied),
            short: std::mem::take(&mut self.short),
            absent: BTreeMap::new(),
            retrying: BTreeSet::new(),
            seen: None,
            look_again: None,
            gaps_again: None,
            stopped: Vec::new(),
            pacing: Pacing::new(flow.commit_interval, Instant::now()),
            quiet_since: Instant::now(),
            forecasting: self.forecasting,
            passed: false,
            careful_since: self.careful.then(Instant::now),
            careful_bytes: 0,
            resting_until: None,
            mm2_wait: None,
            credentials,
        };
        holding.ask_again();
        if let Err(error) = holding.enrol() {
            return self.release(holding, Err(error));
        }
        holding.target = None;
        let seconds = began.elapsed().as_secs_f64();
        self.context.metrics.take_overs.inc();
        self.context.metrics.take_over_seconds.observe(seconds);
        self.state("copying", Some(seconds));
        tracing::debug!(slot = %self.slot, ?fenced, ?flow_read, ?state_read, "steps of the take-over");
        tracing::info!(slot = %self.slot, seconds, partitions = holding.active.len(), "slot taken over");
        let copied = holding.copy(&self.stop);
        self.release(holding, copied)
    }

    /// Ends the open transaction, by commit when all is well and by abort otherwise.
    fn release(
        &mut self,
        mut holding: Holding,
        copied: Result<(), HoldError>,
    ) -> Result<(), HoldError> {
        // What is known of refused records outlives the holding.
        self.refused = std::mem::take(&mut holding.refused);
        self.denied = std::mem::take(&mut holding.denied);
        self.short = std::mem::take(&mut holding.short);
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

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
