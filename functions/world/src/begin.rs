//! Where a flow that does not run begins: behind what the flow the other way copied.
//!
//! a. *Sealed first.* The record is sealed at the epoch, or made so: a worker that comes meanwhile reads that before it
//!    may write, and stops. One that runs already has copied records that are there: such a flow is left alone.
//! b. *Then fenced.* Every id is taken over; who held one writes nothing more.
//! c. *Then written*, under the id of each slot, after another look at the record: of two recoveries the newer one seals
//!    first and fences then, so the older one reads that or is refused.
//!
//! What was copied before stays, as an earlier life of the partition. Done again it is no change.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::{
    FlowRecord, FlowState, MapCursor, Origin, Position, Slot, TopicPartition, slot_of,
};
use understudy_flow::config::Flow;
use understudy_flow::flow_record::{self, FlowError};
use understudy_flow::state_topics;
use understudy_flow::stored_state::{place_of, read_positions};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster as Connection, Fault};
use understudy_recovery::Epoch;
use understudy_shell::world::Begin;
use understudy_shell::{PortError, PortErrorKind};

use crate::trouble::{of_fault, of_flow, of_state};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);
/// How often a slot's positions are written where a worker takes its id over meanwhile. It reads then that the flow is sealed
/// and lets go of it, and comes again a while later.
const TRIES: usize = 5;
/// Numbers the positions among what a transaction writes; there is nothing else.
const POSITIONS: u8 = 0;

/// Seals the flow, or makes it sealed; nothing if it runs at this epoch already: all is done then.
///
/// # Errors
/// A cluster does not answer, a newer epoch holds the flow, or it runs.
fn seal(target: &Connection, flow: &Flow, epoch: Epoch) -> Result<Option<FlowRecord>, PortError> {
    let at_target = |fault: &Fault| of_fault(&flow.target, fault);
    let of_flow = |error: &FlowError| of_flow(&flow.target, error);
    let refused = |text: String| Err(PortError::new(PortErrorKind::Refused, text));
    let ids = || -> Result<(String, String), PortError> {
        let at_source = |fault: &Fault| of_fault(&flow.source, fault);
        let source = Connection::open(&flow.source).map_err(|fault| at_source(&fault))?;
        let source_id = source.id(WITHIN).map_err(|fault| at_source(&fault))?;
        let target_id = target.id(WITHIN).map_err(|fault| at_target(&fault))?;
        Ok((source_id, target_id))
    };
    let (source_id, target_id) = ids()?;
    state_topics::make(flow, target).map_err(|fault| at_target(&fault))?;
    let record = flow_record::create_sealed(target, flow, &source_id, &target_id, epoch.get())
        .map_err(|error| of_flow(&error))?;
    if record.source_cluster_id != source_id || record.target_cluster_id != target_id {
        return refused(format!(
            "flow {} was made for other clusters than those of its flow file; use another flow name for another cluster",
            flow.name
        ));
    }
    flow_record::must_be_settled(flow, &record).map_err(|error| of_flow(&error))?;
    if record.epoch > epoch.get() {
        return Err(newer(flow, &record, epoch));
    }
    match record.state {
        FlowState::Sealed if record.epoch == epoch.get() => Ok(Some(record)),
        FlowState::Running | FlowState::Paused if record.epoch == epoch.get() => Ok(None),
        state => {
            let sealed = flow_record::change(target, flow, |record| {
                if record.epoch < epoch.get() {
                    record.epoch = epoch.get();
                    record.state = FlowState::Sealed;
                }
            });
            let sealed = sealed.map_err(|error| of_flow(&error))?;
            if sealed.epoch > epoch.get() {
                return Err(newer(flow, &sealed, epoch));
            }
            flow_record::fence_slots(flow, &sealed, WITHIN).map_err(|error| of_flow(&error))?;
            if state != FlowState::Sealed && holds_copies(target, flow, &sealed)? {
                return refused(format!(
                    "flow {} was running before it was told where to begin, and has copied something; it is sealed now: look \
                     at what it wrote to cluster {} before it runs again",
                    flow.name, flow.target.alias
                ));
            }
            Ok(Some(sealed))
        }
    }
}

fn holds_copies(target: &Connection, flow: &Flow, record: &FlowRecord) -> Result<bool, PortError> {
    for slot in record.homes() {
        let positions = read_positions(target, &flow.state, slot)
            .map_err(|error| of_state(&flow.target, &error))?;
        if positions.values().any(|position| position.records > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn newer(flow: &Flow, record: &FlowRecord, epoch: Epoch) -> PortError {
    let text = format!(
        "flow {} is {} since epoch e{}, which is newer than {epoch}",
        flow.name,
        record.state.name(),
        record.epoch
    );
    PortError::new(PortErrorKind::Conflict, text)
}

/// Lets the flow begin at these places; how many partitions do.
///
/// # Errors
/// A cluster does not answer, a newer epoch holds the flow, or the flow runs.
pub fn begin_at(flow: &Flow, epoch: Epoch, begins: &[Begin]) -> Result<u32, PortError> {
    let count = u32::try_from(begins.len()).unwrap_or(u32::MAX);
    let target = Connection::open(&flow.target).map_err(|fault| of_fault(&flow.target, &fault))?;
    let Some(record) = seal(&target, flow, epoch)? else {
        return Ok(count);
    };
    let mut by_slot: BTreeMap<Slot, Vec<&Begin>> = BTreeMap::new();
    for begin in begins {
        let slot = slot_of(&begin.source, record.slots);
        by_slot.entry(slot).or_default().push(begin);
    }
    for (slot, begins) in by_slot {
        let mut tries = 1;
        while let Err(trouble) = write(&target, flow, &record, slot, &begins) {
            match trouble {
                Trouble::Fault(fault) if is_taken(&fault) && tries < TRIES => tries += 1,
                Trouble::Fault(fault) => return Err(of_fault(&flow.target, &fault)),
                Trouble::Port(error) => return Err(error),
            }
        }
    }
    Ok(count)
}

/// Whether somebody took the id over meanwhile. Brokers of Kafka 4.1 have no words for it where that meets the end of a
/// transaction: they answer an unknown error.
fn is_taken(fault: &Fault) -> bool {
    let is_unknown =
        matches!(fault, Fault::Kafka { code: Some(code), .. } if *code == Code::Unknown);
    fault.is_fenced() || is_unknown
}

/// Why the positions of a slot were not written.
enum Trouble {
    /// The target.
    Fault(Fault),
    /// Something else.
    Port(PortError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Writes the positions of one slot, in one transaction.
fn write(
    target: &Connection,
    flow: &Flow,
    record: &FlowRecord,
    slot: Slot,
    begins: &[&Begin],
) -> Result<(), Trouble> {
    let id = flow.state.transactional_id(record.generation, slot);
    let watch = flow.target.watch.clone();
    let mut writer = Writer::new(&flow.target.writer(&id), watch, usize::MAX)?;
    writer.init(WITHIN)?;
    let now = flow_record::read(target, flow)
        .map_err(|error| Trouble::Port(of_flow(&flow.target, &error)))?;
    if let Some(now) = now.filter(|now| now != record) {
        let error = newer(flow, &now, Epoch::new(record.epoch));
        return Err(Trouble::Port(error));
    }
    let known = read_positions(target, &flow.state, slot)
        .map_err(|error| Trouble::Port(of_state(&flow.target, &error)))?;
    let map = place_of(flow.state.offset_map(), slot);
    let end = target.edges([&map], Edge::HighWatermark, WITHIN)?;
    let end = end.into_values().find_map(Result::ok).unwrap_or(0);
    let place = place_of(flow.state.positions(), slot);
    let mut begun = false;
    for begin in begins {
        let Some(position) = position(flow, begin, known.get(&begin.source), record.epoch, end)
        else {
            continue;
        };
        if !begun {
            writer.begin()?;
            begun = true;
        }
        let key = Position::key(&begin.source);
        writer.put(POSITIONS, &place, &key, Some(&position.encode()))?;
    }
    if begun {
        writer.commit(WITHIN)?;
    }
    Ok(())
}

/// Where a partition stands that begins so; nothing if it stands there already.
fn position(
    flow: &Flow,
    begin: &Begin,
    known: Option<&Position>,
    epoch: u64,
    map_end: i64,
) -> Option<Position> {
    let origin = Origin {
        source: begin.source_offset,
        target: begin.target_offset,
    };
    let usual: TopicPartition = flow.target_of(&begin.source);
    let elsewhere = usual.topic != begin.target.topic;
    let target_topic = elsewhere.then(|| begin.target.topic.to_string());
    match known {
        Some(known) if known.flow_epoch == epoch && known.started_at == origin => None,
        Some(known) => Some(Position {
            flow_epoch: epoch,
            ..known.reborn(origin, target_topic)
        }),
        None => Some(Position {
            source_offset: origin.source,
            source_leader_epoch: None,
            source_topic_id: None,
            target_offset: origin.target,
            source_end_offset: None,
            source_end_seen_at_ms: None,
            started_at: origin,
            incarnation: 0,
            target_topic,
            flow_epoch: epoch,
            map: MapCursor {
                first: 0,
                chunk: 0,
                delta: 0,
                from: map_end,
            },
            records: 0,
            former: Vec::new(),
        }),
    }
}
