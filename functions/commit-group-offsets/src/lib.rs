//! Brings every group to its place on the target.
//!
//! Invariants:
//! a. a place is committed only where the record to be read next has its copy, or at the end of the copies, never beyond;
//! b. nobody's place is touched who is in a group on the target;
//! c. what a group read in copies that have topics of their own it does not read again at home;
//! d. in a planned recovery, a place from before the cut at which the flow began is told by the flow the other way, whose map
//!    lies on the source;
//! e. without the source's own word nothing is committed: workers committed each place in the transactions that the seal
//!    has ended, so what stands on the target is what was last known.

mod home;
mod placing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::{FlowRecord, TopicPartition};
use understudy_recovery::contract::{Order, Placed, PlacesRequest};
use understudy_recovery::cut::Cut;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::{ErrorName, Mode, Step, StepError};
use understudy_shell::step::{Part, at_source, at_target, carry_out, must_load, save};
use understudy_shell::world::{Cluster, Presence};
use understudy_shell::{Done, PortError, PortErrorKind, World, bounded, keys, reach};

use crate::placing::{Placing, Stood};

/// How long the target has for one answer.
const TARGET_WITHIN: Duration = Duration::from_secs(10);
/// How long the cluster that is left has, where its word is needed.
const SOURCE_WITHIN: Duration = Duration::from_secs(10);
/// How long it has where it may be gone.
const LOST_SOURCE_WITHIN: Duration = Duration::from_secs(2);
/// How often places are looked at again because somebody joined a group meanwhile.
const LOOKS: usize = 3;

type Stands = BTreeMap<(String, TopicPartition), i64>;

/// Commits places, and keeps what came of it.
///
/// # Errors
/// The order is stale, the cut is not this order's, the target does not answer, or in a planned recovery the source does
/// not.
pub fn handle(world: &World, request: PlacesRequest) -> Result<Placed, StepError> {
    let order = &request.order;
    carry_out(world, Step::CommitGroupOffsets, Part::Whole, order, || {
        commit(world, order, &request.cut)
    })
}

fn commit(world: &World, order: &Order, cut_key: &str) -> Result<Done<Placed>, StepError> {
    let cut: Cut = must_load(world, cut_key)?;
    if cut.epoch != order.epoch {
        return Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "{cut_key} is the cut of {}, and this is {}",
                cut.epoch, order.epoch
            ),
        ));
    }
    let flow = reach::forward(world, order)?;
    let target = reach::target(world, order)?;
    let (mut did, source) = match source_places(world, order, flow) {
        Ok(stands) => (Vec::new(), Some(stands)),
        Err(error) => match order.mode {
            Mode::Failover => {
                let remark = format!("the source does not tell where groups stand: {error}");
                (vec![remark], None)
            }
            Mode::Switchover | Mode::Failback => return Err(at_source(&error)),
        },
    };
    let mut placing = Placing::new(&cut);
    let translated = match &source {
        Some(stands) => {
            let record = world
                .flows
                .record(flow)
                .map_err(|error| at_target(&error))?;
            let record = record.ok_or_else(|| no_flow(&cut.flow))?;
            let mut stood = translate(world, order, (flow, &record), &placing, stands)?;
            stood.extend(home::places(world, order, stands)?);
            stood
        }
        None => BTreeMap::new(),
    };
    let presence = target.groups(TARGET_WITHIN);
    let mut presence = presence.map_err(|error| at_target(&error))?;
    let selected = selected(world, flow, &source, &presence)?;
    for look in 1..=LOOKS {
        let stands = target.places(&selected, TARGET_WITHIN);
        let stands = stands.map_err(|error| at_target(&error))?;
        placing.judge(&presence, &stands, source.as_ref().map(|_| &translated));
        if placing.beyond_needs_ends() {
            let ends = target.ends(&placing.partitions(), TARGET_WITHIN);
            placing.look_at_ends(&ends.map_err(|error| at_target(&error))?);
        }
        let due = placing.due();
        if due.is_empty() {
            break;
        }
        if order.leash.is_leashed() {
            did.push(format!("would commit {} places", due.len()));
            break;
        }
        // Somebody may have joined since; what is theirs stays theirs.
        let now = target.groups(TARGET_WITHIN);
        let now = now.map_err(|error| at_target(&error))?;
        let joined = |group: &String| now.get(group) == Some(&Presence::Live);
        if look < LOOKS && due.keys().any(|(group, _)| joined(group)) {
            presence = now;
            continue;
        }
        commit_due(&*target, &cut.flow, &due)?;
        did.push(format!("committed {} places", due.len()));
        break;
    }
    let places = placing.into_places();
    let key = keys::places(&order.execution.to_string());
    save(world, &key, &places)?;
    let summary = places.summary();
    did.push(format!(
        "{} groups: {} places exact, {} as last known, {} before theirs, {} of live groups, {} not known, {} beyond",
        summary.groups,
        summary.exact,
        summary.last_known,
        summary.at_least,
        summary.live,
        summary.unknown,
        summary.beyond
    ));
    Ok(Done::new(
        Placed {
            places: key,
            summary,
        },
        did,
    ))
}

/// Where the flow's groups stand on the cluster that is left.
fn source_places(world: &World, order: &Order, flow: &FlowOfPair) -> Result<Stands, PortError> {
    let within = match order.mode {
        Mode::Failover => LOST_SOURCE_WITHIN,
        Mode::Switchover | Mode::Failback => SOURCE_WITHIN,
    };
    let (clusters, flows) = (world.clusters.clone(), world.flows.clone());
    let (alias, flow) = (order.source.clone(), flow.clone());
    let look = move || {
        let source = clusters.get(&alias)?;
        let mut groups = BTreeSet::new();
        for group in source.groups(within)?.into_keys() {
            if flows.selects_group(&flow, &group)? {
                groups.insert(group);
            }
        }
        source.places(&groups, within)
    };
    let answer = bounded::within(within.saturating_mul(2), look);
    answer.unwrap_or_else(|| {
        let text = format!("{} did not answer in time", order.source);
        Err(PortError::new(PortErrorKind::TimedOut, text))
    })
}

/// Every group that the flow mirrors, as far as one of the clusters knows it.
fn selected(
    world: &World,
    flow: &FlowOfPair,
    source: &Option<Stands>,
    presence: &BTreeMap<String, Presence>,
) -> Result<BTreeSet<String>, StepError> {
    let mut groups = BTreeSet::new();
    for group in presence.keys() {
        let selects = world.flows.selects_group(flow, group);
        if selects.map_err(|error| at_target(&error))? {
            groups.insert(group.clone());
        }
    }
    // These were selected when they were looked up.
    groups.extend(source.iter().flatten().map(|((group, _), _)| group.clone()));
    Ok(groups)
}

/// What the source's places are on the target.
fn translate(
    world: &World,
    order: &Order,
    (flow, record): (&FlowOfPair, &FlowRecord),
    placing: &Placing,
    stands: &Stands,
) -> Result<BTreeMap<(String, TopicPartition), Stood>, StepError> {
    let questions = placing.questions(stands);
    let planned = order.mode.is_planned();
    let answers = world.flows.translate(flow, record, &questions, planned);
    let answers = answers.map_err(|error| at_target(&error))?;
    Ok(placing.stood(stands, &answers))
}

fn commit_due(target: &dyn Cluster, flow: &str, due: &Stands) -> Result<(), StepError> {
    let id = format!("understudy-{flow}-recovery");
    let committed = target.commit_places(&id, due, TARGET_WITHIN);
    committed.map_err(|error| at_target(&error))
}

fn no_flow(flow: &str) -> StepError {
    StepError::new(
        ErrorName::FlowUnreadable,
        format!("the target has no flow {flow} any more; its offset map cannot be read"),
    )
}

#[cfg(test)]
mod tests;
