//! Ends the flow and reads the exact cut, even if the source is gone.
//!
//! The order is the proof, and each part of it is refused or repeated without harm:
//! a. the flow's record says that it is sealed, acknowledged by all replicas: a worker that takes its id back afterwards
//!    reads that before it may produce;
//! b. every transactional id is taken over: a worker that held one is refused by the brokers from here on;
//! c. the positions are read: nobody can move them any more. They are the cut.
//!
//! Stopping the workers' tasks comes last and is tidying, not safety.

mod loss;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::{FlowRecord, TopicPartition};
use understudy_recovery::assessment::Assessment;
use understudy_recovery::contract::{JustOrder, Order, Sealed};
use understudy_recovery::cut::{Cut, PartitionCut};
use understudy_recovery::fence::FenceState;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::{Consent, ErrorName, Ledger, LossBound, Mode, Step, StepError};
use understudy_shell::step::{Part, at_target, carry_out, change_ledger, load, read_ledger, save};
use understudy_shell::world::{Ends, Mirrored};
use understudy_shell::{Done, PortErrorKind, World, bounded, copies, keys, reach};

/// How long the cluster that is left has to say where it ends. It may be gone, and nothing waits for it longer.
const SOURCE_WITHIN: Duration = Duration::from_secs(2);
/// How long stopping the workers' tasks may take.
const TIDY_WITHIN: Duration = Duration::from_secs(3);

/// Seals the flow, or says where its cut would be.
///
/// # Errors
/// The order is stale, there is no such flow, a newer epoch has sealed it, the target or the ledger or the store does not
/// answer.
pub fn handle(world: &World, request: JustOrder) -> Result<Sealed, StepError> {
    let order = &request.order;
    carry_out(world, Step::SealFlow, Part::Whole, order, || {
        seal(world, order)
    })
}

fn seal(world: &World, order: &Order) -> Result<Done<Sealed>, StepError> {
    let flow = reach::forward(world, order)?;
    let name = world.flows.name(flow).map_err(|error| at_target(&error))?;
    let leashed = order.leash.is_leashed();
    let mut did = Vec::new();
    let record = if leashed {
        did.push(format!("would seal flow {name} at {}", order.epoch));
        recorded(world, flow, &name)?
    } else {
        let record = write_seal(world, order, flow, &name)?;
        // From here on there is only forward, whatever happens to this call.
        change_ledger(world, |ledger| ledger.sealed(&order.execution))?;
        let fenced = world.flows.fence_workers(flow, &record);
        fenced.map_err(|error| at_target(&error))?;
        did.push(format!("flow {name} is sealed at {}", order.epoch));
        did.push(format!("{} slots were fenced", record.slots));
        record
    };
    let positions = world.flows.positions(flow, &record);
    let positions = positions.map_err(|error| at_target(&error))?;
    let key = keys::cut(&order.execution.to_string());
    let fresh = Cut {
        flow: name,
        epoch: order.epoch,
        at_ms: world.clock.now_ms(),
        partitions: positions.iter().map(cut_of).collect(),
    };
    let cut = match load::<Cut>(world, &key)?.filter(|_| !leashed) {
        // Done before: what was read then is what is read now, and keeps its time.
        Some(before) if same_places(&before, &fresh) => before,
        Some(_) | None => {
            let cut = with_last_look(world, order, fresh);
            save(world, &key, &cut)?;
            cut
        }
    };
    let sealed = judge(world, order, key, &cut)?;
    did.push(format!(
        "the cut has {} partitions; lost: {}",
        sealed.partitions,
        loss::words(&sealed.loss)
    ));
    did.push(tidy(world, flow, leashed));
    Ok(Done::new(sealed, did))
}

fn recorded(world: &World, flow: &FlowOfPair, name: &str) -> Result<FlowRecord, StepError> {
    let record = world
        .flows
        .record(flow)
        .map_err(|error| at_target(&error))?;
    record.ok_or_else(|| {
        StepError::new(
            ErrorName::FlowUnreadable,
            format!(
                "the target has no flow {name}; it is made when `understudy replicate` first runs"
            ),
        )
    })
}

fn write_seal(
    world: &World,
    order: &Order,
    flow: &FlowOfPair,
    name: &str,
) -> Result<FlowRecord, StepError> {
    let written = world.flows.write_seal(flow, order.epoch);
    written.map_err(|error| match error.kind {
        PortErrorKind::Conflict => StepError::new(
            ErrorName::StaleEpoch,
            format!("not sealing flow {name} at {}: {error}", order.epoch),
        ),
        PortErrorKind::Unreachable
        | PortErrorKind::TimedOut
        | PortErrorKind::NotPermitted
        | PortErrorKind::Missing
        | PortErrorKind::Malformed
        | PortErrorKind::Refused => at_target(&error),
    })
}

fn cut_of(mirrored: &Mirrored) -> PartitionCut {
    let position = &mirrored.position;
    PartitionCut {
        topic: mirrored.source.topic.to_string(),
        partition: mirrored.source.partition,
        target_topic: mirrored.target.topic.to_string(),
        source_offset: position.source_offset.get(),
        target_offset: position.target_offset.get(),
        incarnation: position.incarnation,
        source_end_offset: position.source_end_offset.map(|end| end.get()),
        source_end_seen_at_ms: position.source_end_seen_at_ms,
    }
}

fn same_places(one: &Cut, other: &Cut) -> bool {
    let places = |cut: &Cut| -> BTreeSet<(String, i32, i64, i64)> {
        let place = |it: &PartitionCut| {
            let (source, target) = (it.source_offset, it.target_offset);
            (it.topic.clone(), it.partition, source, target)
        };
        cut.partitions.iter().map(place).collect()
    };
    one.epoch == other.epoch && places(one) == places(other)
}

/// The source's own word on where it ends, if it still says one: then what lies beyond the cut is known.
fn with_last_look(world: &World, order: &Order, mut cut: Cut) -> Cut {
    let partitions: BTreeSet<TopicPartition> = cut.partitions.iter().map(source_of).collect();
    let Ok(source) = reach::source(world, order) else {
        return cut;
    };
    let look = move || source.ends(&partitions, SOURCE_WITHIN);
    // A source that is silent is what a failover is for.
    let Some(Ok(ends)) = bounded::within(SOURCE_WITHIN, look) else {
        return cut;
    };
    let now = world.clock.now_ms();
    for partition in &mut cut.partitions {
        if let Some(Ends { last_stable, .. }) = ends.get(&source_of(partition)) {
            partition.source_end_offset = Some(*last_stable);
            partition.source_end_seen_at_ms = Some(now);
        }
    }
    cut
}

fn source_of(cut: &PartitionCut) -> TopicPartition {
    TopicPartition::new(cut.topic.as_str(), cut.partition)
}

/// What is lost, and whether somebody has to consent to it.
fn judge(world: &World, order: &Order, key: String, cut: &Cut) -> Result<Sealed, StepError> {
    let execution = order.execution.to_string();
    let assessment: Option<Assessment> = load(world, &keys::assessment(&execution))?;
    let flow = assessment.and_then(|it| it.flow);
    let ended_before = flow.as_ref().is_some_and(|flow| flow.ended_before(order));
    let rate = flow.and_then(|flow| flow.records_per_second);
    let ledger = read_ledger(world)?;
    // What nobody can write to any more, seen after the seal, holds what it was seen to hold.
    let ends_stand = match order.mode {
        Mode::Switchover | Mode::Failback => true,
        Mode::Failover => is_fenced(&ledger, order),
    };
    let loss = if ended_before {
        LossBound::default()
    } else if ends_stand && loss::seen_after(cut) {
        loss::exact(cut)
    } else {
        let newest = newest(world, order, cut);
        cut.loss(cut.at_ms, rate, |it| newest.get(&it.copy()).copied())
    };
    save(world, &keys::loss(&execution), &loss)?;
    let said: Option<Consent> = load(world, &keys::consent(&execution))?;
    let consents = std::iter::once(world.pair.consent).chain(said);
    let within_consent = consents.clone().any(|consent| consent.covers(&loss));
    let most = loss::largest(consents);
    let partitions = u32::try_from(cut.partitions.len()).unwrap_or(u32::MAX);
    Ok(Sealed {
        cut: key,
        partitions,
        within_consent,
        question: (!within_consent).then(|| loss::question(order, cut, &loss, &most)),
        loss,
    })
}

/// The times of the newest copies of partitions that are known to lack some; empty where the target does not tell.
fn newest(world: &World, order: &Order, cut: &Cut) -> BTreeMap<TopicPartition, i64> {
    let found =
        reach::target(world, order).map(|target| copies::newest(&*target, cut, SOURCE_WITHIN));
    match found {
        Ok(Ok(newest)) => newest,
        Ok(Err(_)) | Err(_) => BTreeMap::new(),
    }
}

fn is_fenced(ledger: &Ledger, order: &Order) -> bool {
    let fence = ledger.fences.get(&order.source);
    fence.is_some_and(|fence| fence.state == FenceState::Proven)
}

/// Stops the workers' tasks. They can write nothing any more, so a failure is a remark.
fn tidy(world: &World, flow: &FlowOfPair, leashed: bool) -> String {
    if leashed {
        return "would stop its workers".to_owned();
    }
    let (workers, flow) = (world.workers.clone(), flow.clone());
    match bounded::within(TIDY_WITHIN, move || workers.want(&flow, 0)) {
        Some(Ok(())) => "its workers were told to stop".to_owned(),
        Some(Err(error)) => format!("its workers write nothing, but were not stopped: {error}"),
        None => "its workers write nothing, but were not stopped: no answer in time".to_owned(),
    }
}

#[cfg(test)]
mod tests;
