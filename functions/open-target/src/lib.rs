//! Lets writers into the target, and makes it the active cluster.
//!
//! Only behind the seal: before it two clusters could take writes that belong together.

use std::time::Duration;

use understudy_domain::{Acl, AclPermission};
use understudy_recovery::contract::{JustOrder, Opened, Order};
use understudy_recovery::fence::{FenceRecord, FenceState, to_remove};
use understudy_recovery::{ErrorName, Ledger, Mode, Step, StepError};
use understudy_shell::step::{Part, at_target, carry_out, change_ledger, must_hold, save};
use understudy_shell::world::Cluster;
use understudy_shell::{Done, PortError, PortErrorKind, World, bounded, keys, reach};

/// How long the target has for one answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to find out what mirroring withheld: the cluster that is left is asked, and what it told before is
/// looked up if it is silent.
const WITHHELD_WITHIN: Duration = Duration::from_secs(8);

/// Lifts an older fence, grants what mirroring withheld, and writes down who is active.
///
/// # Errors
/// The order is stale, the flow is not sealed, the target or the ledger does not answer, or it does not permit it.
pub fn handle(world: &World, request: JustOrder) -> Result<Opened, StepError> {
    let order = &request.order;
    carry_out(world, Step::OpenTarget, Part::Whole, order, || {
        let done = open(world, order)?;
        save(
            world,
            &keys::opened(&order.execution.to_string()),
            &done.answer,
        )?;
        Ok(done)
    })
}

fn open(world: &World, order: &Order) -> Result<Done<Opened>, StepError> {
    let ledger = must_hold(world, order)?;
    let leashed = order.leash.is_leashed();
    let sealed = ledger.running().is_some_and(|running| running.sealed);
    if !sealed && !leashed {
        return Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "not opening {}: the flow to it is not sealed, so copies and new records could mix",
                order.target
            ),
        ));
    }
    let target = reach::target(world, order)?;
    let mut did = Vec::new();
    let fences_lifted = lift(world, order, &ledger, &*target, &mut did)?;
    let withheld = withheld(world, order, &ledger);
    // Which writers there were cannot stop a recovery: it is named, and a person lets them in.
    let withheld_unknown = withheld.as_ref().err().map(ToString::to_string);
    if let Some(reason) = &withheld_unknown {
        did.push(format!("what mirroring withheld is not known: {reason}"));
    }
    let withheld = withheld.unwrap_or_default();
    let writes_granted = grant(order, &*target, withheld, &mut did)?;
    if leashed {
        did.push(format!("would make {} the active cluster", order.target));
    } else {
        change_ledger(world, |ledger| ledger.activated(&order.execution))?;
        did.push(format!("{} is the active cluster", order.target));
    }
    Ok(Done::new(
        Opened {
            fences_lifted,
            writes_granted,
            withheld_unknown,
            was_active: ledger.active == order.target,
        },
        did,
    ))
}

/// Removes what a fence on the target had added, when that was left before: denials first, the ledger's memory last.
fn lift(
    world: &World,
    order: &Order,
    ledger: &Ledger,
    target: &dyn Cluster,
    did: &mut Vec<String>,
) -> Result<u32, StepError> {
    let Some(fence) = ledger.fences.get(&order.target) else {
        return Ok(0);
    };
    let count = u32::try_from(fence.added.len()).unwrap_or(u32::MAX);
    if order.leash.is_leashed() {
        did.push(format!("would remove {count} ACLs of an older fence"));
        return Ok(count);
    }
    let lifting = FenceRecord {
        state: FenceState::Lifting,
        ..fence.clone()
    };
    if lifting != *fence {
        remember(world, order, Some(&lifting))?;
    }
    let calls = to_remove(&fence.added);
    let calls = calls.map_err(|error| StepError::new(ErrorName::Internal, error.to_string()))?;
    for acls in calls {
        if !acls.is_empty() {
            let gone = target.remove_acls(&acls, WITHIN);
            gone.map_err(|error| at_target(&error))?;
        }
    }
    remember(world, order, None)?;
    did.push(format!(
        "{count} ACLs of the fence of {} were removed",
        fence.epoch
    ));
    Ok(count)
}

fn remember(world: &World, order: &Order, fence: Option<&FenceRecord>) -> Result<(), StepError> {
    change_ledger(world, |ledger| {
        ledger.held_by(&order.execution)?;
        Ok(ledger.with_fence(&order.target, fence.cloned()))
    })?;
    Ok(())
}

/// Grants what mirroring withheld. Denials come first.
fn grant(
    order: &Order,
    target: &dyn Cluster,
    withheld: Vec<Acl>,
    did: &mut Vec<String>,
) -> Result<u32, StepError> {
    let (denials, grants): (Vec<Acl>, Vec<Acl>) = withheld
        .into_iter()
        .partition(|acl| acl.permission == AclPermission::Deny);
    let count = u32::try_from(grants.len()).unwrap_or(u32::MAX);
    if order.leash.is_leashed() {
        did.extend(grants.iter().map(|acl| format!("would grant: {acl}")));
        return Ok(count);
    }
    for acls in [denials, grants] {
        if !acls.is_empty() {
            let added = target.add_acls(&acls, WITHIN);
            added.map_err(|error| at_target(&error))?;
        }
    }
    if count > 0 {
        did.push(format!(
            "{count} withheld permissions to write were granted"
        ));
    }
    Ok(count)
}

/// What mirroring withheld; what a fence on the source is made of does not follow the writers.
fn withheld(world: &World, order: &Order, ledger: &Ledger) -> Result<Vec<Acl>, PortError> {
    let (flows, pair) = (world.flows.clone(), world.pair.clone());
    let alias = order.source.clone();
    let fence = ledger.fences.get(&alias).map(|fence| &fence.added);
    // What a newer version may have added is none of ours to know.
    let fence: Vec<Acl> = fence
        .into_iter()
        .flatten()
        .filter_map(|acl| acl.acl().ok())
        .collect();
    // In a failover it may be gone, and nobody waits for it.
    let ask_source = order.mode == Mode::Switchover;
    let look = move || match pair.flow_from(&alias) {
        Some(flow) => flows.withheld_acls(flow, ask_source, &fence),
        None => Ok(Vec::new()),
    };
    let answer = bounded::within(WITHHELD_WITHIN, look);
    answer.unwrap_or_else(|| {
        let text = "no answer in time";
        Err(PortError::new(PortErrorKind::TimedOut, text))
    })
}

#[cfg(test)]
mod tests;
