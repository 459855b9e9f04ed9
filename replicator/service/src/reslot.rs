//! `understudy reslot`: a flow gets another number of slots, and nothing is copied again.
//!
//! The slot of a partition says in which partition of the state topics its position, its gaps and its offset map lie.
//! With another number of slots most of them belong elsewhere. Sealed chunks of the map are many and stay where they
//! are; the position says where ([`understudy_domain::FormerHome`]). All else moves.
//!
//! The order of a change is the proof that no record is lost or copied twice, wherever it is cut off:
//! a. *Room first.* The state topics get their partitions. That changes nothing for anybody.
//! b. *Said before done.* The flow's record says which number the flow is being given, acknowledged by all replicas.
//!    From here on whoever takes a slot over reads that before it may write, and stops (invariant b of
//!    [`crate::slot`]). There is no way back, only through: whoever comes next begins again at (c).
//! c. *One mover.* `init_transactions` under the mover's own id, then the flow's record is read. A mover that slept is
//!    refused by the brokers; one that comes late finds nothing to be changed.
//! d. *Fence the old generation.* `init_transactions` under every id of its slots, and of the tool that answers gaps:
//!    their open transactions have ended, and none begins (b). State stands still.
//! e. *Each partition moves in one transaction*: what it has in the new slot, tombstones in the old one. At any moment its
//!    position is in exactly one place, so that a second mover sees what is left to do.
//! f. *The record last.* Once nothing is left, the flow's record becomes that of the next generation. Only then do slots
//!    of the new number exist, under transactional ids that nobody held before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_domain::{
    FlowRecord, FlowState, GapKey, GapRecord, MapReader, Position, Slot, TopicPartition, slot_of,
};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster, Fault};

use crate::Report;
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record::{self, FlowError};
use crate::slot_state::{GAPS, OFFSET_MAP, POSITIONS};
use crate::state_topics;
use crate::stored_state::{StateError, place_of, read_gaps, read_map, read_positions};
use crate::tool::{ToolError, open_target};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);
/// How many partitions move in one transaction.
const MOVED_AT_ONCE: usize = 64;
/// How often a flow's number of slots may be changed before it has to be made anew: each change may leave a part of a
/// partition's map in another place, and every position lists them.
const FORMER_MAX: usize = 64;
/// How long another mover is left alone that took the work over.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// How often the flow's record is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is gone on with after the target did not do it, and how long after.
const TRIES_MAX: usize = 10;
const AGAIN: Duration = Duration::from_secs(1);
/// How long the whole may take while movers interrupt each other.
const DEADLINE: Duration = Duration::from_secs(300);

/// Why a number of slots was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ReslotError {
    /// The target is needed, its flow's record above all.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The target did not do it.
    #[error("{reason}; run it again: it goes on where it was")]
    Target {
        /// In words.
        reason: String,
        /// What may help.
        then: Then,
    },
    /// State that cannot be moved because it cannot be read.
    #[error(transparent)]
    State(StateError),
    /// A sealed flow's state is somebody's cut.
    #[error(
        "not changing the slots of flow {0}: it is sealed, a recovery has taken its cut; change them when it runs again"
    )]
    Sealed(String),
    /// Too many changes.
    #[error(
        "not changing the slots of flow {0}: the history of {1} lies in {FORMER_MAX} places by now; use another flow name"
    )]
    TooOften(String, TopicPartition),
    /// Others began it again and again.
    #[error(
        "the slots of flow {0} were not changed in time: others were doing so at once; run it again"
    )]
    Late(String),
}

/// What may help after the target did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The brokers let another mover write instead: it goes on with the change.
    LeaveAlone,
    /// To go on with it, as where a new partition's leader does not know yet that it leads.
    Again,
    /// Somebody has to grant something.
    Nothing,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Reslotted {
    flow: String,
    slots: u32,
    generation: u64,
    /// Whether there was anything to do.
    changed: bool,
    /// How many partitions have their state in another place now.
    moved_partitions: usize,
}

/// Gives the flow the configured number of slots.
///
/// # Errors
/// The target does not do it, or the flow is sealed.
pub fn run(flow: &Flow) -> Result<Reslotted, ReslotError> {
    let target = open_target(flow)?;
    let deadline = Instant::now() + DEADLINE;
    let (mut changed, mut moved, mut tries) = (false, 0, 0);
    while Instant::now() < deadline {
        let record = record(&target, flow)?;
        let done = if record.changing_to.is_some() {
            changed = true;
            finish(&target, flow)
        } else if record.slots == flow.slots {
            return Ok(Reslotted {
                flow: flow.name.to_string(),
                slots: record.slots.get(),
                generation: record.generation,
                changed,
                moved_partitions: moved,
            });
        } else {
            begin(&target, flow, &record).map(|()| 0)
        };
        match done {
            Ok(count) => moved += count,
            Err(ReslotError::Target {
                then: Then::LeaveAlone,
                ..
            }) => leave_alone(&target, flow)?,
            Err(ReslotError::Target {
                then: Then::Again, ..
            }) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
    Err(ReslotError::Late(flow.name.to_string()))
}

fn record(target: &Cluster, flow: &Flow) -> Result<FlowRecord, ReslotError> {
    let found = flow_record::read(target, flow).map_err(|error| of_flow(flow, error))?;
    Ok(found.ok_or_else(|| ToolError::NoFlow(flow.name.to_string()))?)
}

/// Waits for another mover to be done, for a while.
fn leave_alone(target: &Cluster, flow: &Flow) -> Result<(), ReslotError> {
    let until = Instant::now() + LEFT_ALONE;
    while Instant::now() < until && record(target, flow)?.changing_to.is_some() {
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Says that the flow is being given the configured number of slots (invariants a, b).
fn begin(target: &Cluster, flow: &Flow, record: &FlowRecord) -> Result<(), ReslotError> {
    let sealed = || ReslotError::Sealed(flow.name.to_string());
    if record.state == FlowState::Sealed {
        return Err(sealed());
    }
    for home in record.homes() {
        for (partition, position) in
            read_positions(target, &flow.state, home).map_err(of_state(flow))?
        {
            if position.former.len() >= FORMER_MAX {
                return Err(ReslotError::TooOften(flow.name.to_string(), partition));
            }
        }
    }
    // a
    state_topics::make(flow, target).map_err(|fault| of_fault(flow, &fault))?;
    let most = flow.slots.max(record.slots);
    state_topics::grow(flow, target, most).map_err(|fault| of_fault(flow, &fault))?;
    // b
    let written = flow_record::change(target, flow, |now| {
        // Another tool may have begun, or a recovery sealed the flow.
        if now.changing_to.is_none() && now.slots != flow.slots && now.state != FlowState::Sealed {
            now.changing_to = Some(flow.slots);
        }
    })
    .map_err(|error| of_flow(flow, error))?;
    match (written.state, written.changing_to) {
        (FlowState::Sealed, None) => Err(sealed()),
        (FlowState::Running | FlowState::Paused | FlowState::Sealed, _) => Ok(()),
    }
}

/// Does what is left of a change that was begun, by whomever; how many partitions it moved.
///
/// # Errors
/// The target does not do it, or state that cannot be read.
pub fn finish(target: &Cluster, flow: &Flow) -> Result<usize, ReslotError> {
    let mut writer =
        writer(flow, &flow_record::reslot_id(flow)).map_err(|fault| of_fault(flow, &fault))?;
    // c
    writer
        .init(WITHIN)
        .map_err(|fault| of_fault(flow, &fault))?;
    let record = record(target, flow)?;
    let Some(to) = record.changing_to else {
        return Ok(0);
    };
    tracing::info!(flow = %flow.name, from = record.slots.get(), to = to.get(), "changing the number of slots");
    let most = to.max(record.slots);
    state_topics::grow(flow, target, most).map_err(|fault| of_fault(flow, &fault))?;
    // d
    fence(flow, &record).map_err(|fault| of_fault(flow, &fault))?;
    // e
    let mut mover = Mover {
        target,
        flow,
        writer,
        from: record.slots,
        to,
        floors: floors(target, flow, to).map_err(|fault| of_fault(flow, &fault))?,
    };
    let mut moved = 0;
    for home in record.homes() {
        moved += mover.empty(home)?;
    }
    // f
    let done = flow_record::change(target, flow, |now| {
        if now.generation == record.generation && now.changing_to == Some(to) {
            *now = now.clone().changed();
        }
    })
    .map_err(|error| of_flow(flow, error))?;
    tracing::info!(flow = %flow.name, slots = done.slots.get(), generation = done.generation, moved, "number of slots changed");
    Ok(moved)
}

fn writer(flow: &Flow, id: &str) -> Result<Writer, Fault> {
    let watch = flow.target.watch.clone();
    Writer::new(&flow.target.writer(id), watch, usize::MAX)
}

/// Takes every id over that could still write state of the old number of slots.
fn fence(flow: &Flow, record: &FlowRecord) -> Result<(), Fault> {
    let slots = (0..record.slots.get()).map(Slot::new);
    let mut ids: Vec<String> = slots
        .map(|slot| flow.state.transactional_id(record.generation, slot))
        .collect();
    ids.push(flow_record::answers_id(flow));
    flow_record::fence(flow, &ids, WITHIN)
}

/// Where each new slot's partition of the offset-map topic ends: nothing that moves there will stand before.
fn floors(target: &Cluster, flow: &Flow, to: NonZeroU32) -> Result<BTreeMap<Slot, i64>, Fault> {
    let homes: Vec<_> = (0..to.get())
        .map(Slot::new)
        .map(|slot| (slot, place_of(flow.state.offset_map(), slot)))
        .collect();
    let places = homes.iter().map(|(_, place)| place);
    let ends = target.edges(places, Edge::HighWatermark, WITHIN)?;
    homes
        .iter()
        .map(|(slot, place)| match ends.get(place) {
            Some(Ok(end)) => Ok((*slot, *end)),
            Some(Err(_)) | None => Err(Fault::TimedOut {
                operation: understudy_kafka::Operation::ListOffsets,
                subject: place.to_string(),
                within: WITHIN,
            }),
        })
        .collect()
}

/// Moves state of partitions to the slots that they belong to by the new number.
struct Mover<'a> {
    target: &'a Cluster,
    flow: &'a Flow,
    writer: Writer,
    from: NonZeroU32,
    to: NonZeroU32,
    /// By slot: an offset in its partition of the offset-map topic at or before which nothing of this change stands.
    floors: BTreeMap<Slot, i64>,
}

impl Mover<'_> {
    /// Moves everything that does not belong to `home` any more; how many partitions.
    fn empty(&mut self, home: Slot) -> Result<usize, ReslotError> {
        let flow = self.flow;
        let at_home = |partition: &TopicPartition| slot_of(partition, self.to) == home;
        let mut positions =
            read_positions(self.target, &flow.state, home).map_err(of_state(flow))?;
        // What moved away from here before may be told once more by a replica that was away for longer than tombstones are
        // kept.
        let was_here = |partition: &TopicPartition| slot_of(partition, self.from) == home;
        positions.retain(|partition, _| was_here(partition) && !at_home(partition));
        let mut gaps = read_gaps(self.target, &flow.state, home).map_err(of_state(flow))?;
        gaps.retain(|key, _| !at_home(&key.partition));
        let mut readers = BTreeMap::new();
        if let Some(from) = positions.values().map(|position| position.map.from).min() {
            read_map(self.target, &flow.state, home, from, &mut readers).map_err(of_state(flow))?;
        }
        let mut leaving: BTreeSet<TopicPartition> = positions.keys().cloned().collect();
        leaving.extend(gaps.keys().map(|key| key.partition.clone()));
        let leaving: Vec<_> = leaving.into_iter().collect();
        for some in leaving.chunks(MOVED_AT_ONCE) {
            for partition in some {
                let state = Moving {
                    partition,
                    home,
                    position: positions.get(partition),
                    map: readers.remove(partition).unwrap_or_default(),
                    gaps: gaps.iter().filter(|(key, _)| key.partition == *partition),
                };
                self.put(state)?;
            }
            self.writer
                .commit(WITHIN)
                .map_err(|fault| of_fault(flow, &fault))?;
        }
        Ok(positions.len())
    }

    /// Adds one partition's move to the transaction.
    fn put<'g>(
        &mut self,
        state: Moving<'g, impl Iterator<Item = (&'g GapKey, &'g GapRecord)>>,
    ) -> Result<(), ReslotError> {
        let flow = self.flow;
        let topics = &flow.state;
        let (partition, old) = (state.partition, state.home);
        let new = slot_of(partition, self.to);
        self.writer
            .begin()
            .map_err(|fault| of_fault(flow, &fault))?;
        let mut write = |kind, topic: String, slot, key: &[u8], value: Option<&[u8]>| {
            let place = place_of(topic, slot);
            self.writer
                .put(kind, &place, key, value)
                .map_err(|fault| of_fault(flow, &fault))
        };
        if let Some(position) = state.position {
            let floor = self.floors.get(&new).copied().unwrap_or_default();
            let chunk = state.map.open_chunk(position).map_err(|source| {
                ReslotError::State(StateError::Fold {
                    partition: partition.clone(),
                    source,
                })
            })?;
            let plan = chunk.renew(floor);
            for record in plan.writes() {
                let key = record.key(partition).encode();
                let value = record.encode();
                write(OFFSET_MAP, topics.offset_map(), new, &key, Some(&value))?;
            }
            let key = Position::key(partition);
            let value = position.moved(old, &plan, floor).encode();
            write(POSITIONS, topics.positions(), new, &key, Some(&value))?;
            write(POSITIONS, topics.positions(), old, &key, None)?;
        }
        for (key, record) in state.gaps {
            let key = key.encode();
            write(GAPS, topics.gaps(), new, &key, Some(&record.encode()))?;
            write(GAPS, topics.gaps(), old, &key, None)?;
        }
        Ok(())
    }
}

/// One partition's state in the slot that it leaves.
struct Moving<'a, G> {
    partition: &'a TopicPartition,
    home: Slot,
    position: Option<&'a Position>,
    map: MapReader,
    gaps: G,
}

fn of_fault(flow: &Flow, fault: &Fault) -> ReslotError {
    ReslotError::Target {
        reason: explain(&flow.target, fault),
        then: match fault {
            Fault::Fenced { .. } => Then::LeaveAlone,
            Fault::Denied { .. } => Then::Nothing,
            _ => Then::Again,
        },
    }
}

fn of_flow(flow: &Flow, error: FlowError) -> ReslotError {
    match error {
        FlowError::Fault(fault) => of_fault(flow, &fault),
        other => ReslotError::Tool(ToolError::Flow(other)),
    }
}

fn of_state(flow: &Flow) -> impl Fn(StateError) -> ReslotError {
    move |error| match error {
        StateError::Fault(fault) => of_fault(flow, &fault),
        other => ReslotError::State(other),
    }
}

impl Report for Reslotted {
    fn holds(&self) -> bool {
        true
    }
}

impl fmt::Display for Reslotted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.changed {
            return write!(f, "flow {} has {} slots already", self.flow, self.slots);
        }
        writeln!(
            f,
            "flow {} has {} slots now, generation {}; the state of {} partitions moved, no record is copied again",
            self.flow, self.slots, self.generation, self.moved_partitions
        )?;
        write!(
            f,
            "workers with another mirror.slots have stopped; start them with mirror.slots = {}",
            self.slots
        )
    }
}
