//! The flow: its state on the target, and what a failover now would lose.

use std::collections::{BTreeMap, BTreeSet};

use understudy_domain::{FlowRecord, TopicPartition};
use understudy_recovery::assessment::FlowSeen;
use understudy_recovery::contract::Order;
use understudy_recovery::cut::{Cut, PartitionCut};
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::{Epoch, LossBound, StepError};
use understudy_shell::step::{at_source, at_target};
use understudy_shell::world::{Ends, Mirrored};
use understudy_shell::{PortError, PortErrorKind, World, copies, rate, reach};

use crate::BOUND;

/// A flow as its target holds it.
pub struct State {
    /// The flow, as configured.
    pub flow: FlowOfPair,
    /// Its name.
    pub name: String,
    /// Its record.
    pub record: FlowRecord,
    /// Every partition that has a position.
    pub mirrored: Vec<Mirrored>,
    /// Partitions that are halted by gaps, where that could be told.
    halted: Result<u32, PortError>,
    /// How fast copies were written, in records a second, where that could be told.
    copied: Result<Option<f64>, PortError>,
}

/// Reads the flow's state.
pub fn read(world: &World, order: &Order) -> Result<State, StepError> {
    let flow = reach::forward(world, order)?.clone();
    let flows = &world.flows;
    let name = flows.name(&flow).map_err(|error| at_target(&error))?;
    let record = flows.record(&flow).map_err(|error| at_target(&error))?;
    let record = record.ok_or_else(|| {
        at_target(&PortError::new(
            PortErrorKind::Missing,
            format!("{} has no flow {name}: it has never run", order.target),
        ))
    })?;
    let mirrored = flows
        .positions(&flow, &record)
        .map_err(|error| at_target(&error))?;
    let halted = flows.halted(&flow, &record);
    let copied = reach::target(world, order)
        .map_err(|error| PortError::new(PortErrorKind::Refused, error.text))
        .and_then(|target| copies::rate(&*target, &mirrored, BOUND));
    Ok(State {
        flow,
        name,
        record,
        mirrored,
        halted,
        copied,
    })
}

/// The real ends of the source.
pub fn ends(
    world: &World,
    order: &Order,
    state: &State,
) -> Result<BTreeMap<TopicPartition, Ends>, StepError> {
    let partitions: BTreeSet<TopicPartition> = state
        .mirrored
        .iter()
        .map(|mirrored| mirrored.source.clone())
        .collect();
    reach::source(world, order)?
        .ends(&partitions, BOUND)
        .map_err(|error| at_source(&error))
}

/// What is to be said of the flow.
pub fn seen(
    world: &World,
    order: &Order,
    state: &State,
    ends: Option<&BTreeMap<TopicPartition, Ends>>,
    now_ms: i64,
    reasons: &mut Vec<String>,
) -> FlowSeen {
    let gaps = state.halted.clone().unwrap_or_else(|error| {
        reasons.push(format!("gaps could not be counted: {error}"));
        0
    });
    if gaps > 0 {
        reasons.push(format!(
            "{gaps} partitions of {} are halted by gaps that nobody dealt with; see `understudy gaps`",
            state.name
        ));
    }
    let (loss, records_per_second) = loss(world, order, state, ends, now_ms, reasons);
    let mut seen = FlowSeen {
        flow: state.name.clone(),
        state: state.record.state.name().to_owned(),
        epoch: Epoch::new(state.record.epoch),
        partitions: u32::try_from(state.mirrored.len()).unwrap_or(u32::MAX),
        gaps,
        loss,
        records_per_second,
    };
    if seen.ended_before(order) {
        // Its positions say where it ended, and nothing of what the source took since.
        seen.loss = LossBound::default();
        reasons.push(format!(
            "flow {} was sealed at {}, and nothing was copied to {} since",
            seen.flow, seen.epoch, order.target
        ));
    }
    seen
}

/// What a failover now would lose, and how fast the source was written to.
fn loss(
    world: &World,
    order: &Order,
    state: &State,
    ends: Option<&BTreeMap<TopicPartition, Ends>>,
    now_ms: i64,
    reasons: &mut Vec<String>,
) -> (LossBound, Option<f64>) {
    let fastest = rate::fastest(world, &state.name, &state.mirrored).unwrap_or_else(|error| {
        reasons.push(format!(
            "how fast the source was written to is not known: {error}"
        ));
        None
    });
    let copied = state.copied.clone().unwrap_or_else(|error| {
        reasons.push(format!(
            "how fast copies were written is not known: {error}"
        ));
        None
    });
    let fastest = match (fastest, copied) {
        (Some(seen), Some(copied)) => Some(seen.max(copied)),
        (seen, copied) => seen.or(copied),
    };
    // Ends that were seen just now leave no time in which something came unseen.
    let all_seen = ends.is_some_and(|ends| {
        let mut mirrored = state.mirrored.iter();
        mirrored.all(|it| ends.contains_key(&it.source))
    });
    let fastest = fastest.or(all_seen.then_some(0.0));
    if fastest.is_none() {
        reasons.push(
            "how fast the source was written to was not seen before, so nothing bounds the loss above".to_owned(),
        );
    }
    let partitions = state.mirrored.iter().map(|mirrored| {
        let position = &mirrored.position;
        let seen = ends.and_then(|ends| ends.get(&mirrored.source));
        PartitionCut {
            topic: mirrored.source.topic.to_string(),
            partition: mirrored.source.partition,
            target_topic: mirrored.target.topic.to_string(),
            source_offset: position.source_offset.get(),
            target_offset: position.target_offset.get(),
            incarnation: position.incarnation,
            source_end_offset: seen
                .map(|ends| ends.last_stable)
                .or_else(|| position.source_end_offset.map(|offset| offset.get())),
            source_end_seen_at_ms: seen.map(|_| now_ms).or(position.source_end_seen_at_ms),
        }
    });
    let cut = Cut {
        flow: state.name.clone(),
        epoch: Epoch::new(state.record.epoch),
        at_ms: now_ms,
        partitions: partitions.collect(),
    };
    let newest = reach::target(world, order)
        .and_then(|target| copies::newest(&*target, &cut, BOUND).map_err(|error| at_target(&error)))
        .unwrap_or_else(|error| {
            reasons.push(format!(
                "how old the newest copies are is not known: {error}"
            ));
            BTreeMap::new()
        });
    let loss = cut.loss(now_ms, fastest, |it| newest.get(&it.copy()).copied());
    (loss, fastest)
}
