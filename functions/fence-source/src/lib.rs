//! Shuts writers out of the cluster that is left, or out of one that came back, and proves it.
//!
//! Invariants:
//! a. what will be added is in the ledger before it is added, so that whoever comes next can take back exactly that;
//! b. a fence is *proven* by a write that the brokers refuse and by ends that stand, not by what ACLs say: super users and
//!    principals of MSK IAM are subject to none;
//! c. nobody is shut out of a cluster that came back for a failback that is refused anyway, as where copies have topics of
//!    their own;
//! d. where it is required, and the pair does not hold what a proof takes, nobody is shut out at all, nor said to be;
//! e. where it is not required, no trouble is an error: the ledger goes on wanting the fence, and [`keep`] goes on trying.

mod fence;
mod keep;
mod proof;

pub use keep::keep;

use std::time::Duration;

use understudy_domain::FlowState;
use understudy_recovery::contract::{FenceRequest, Fenced, Order};
use understudy_recovery::pair::{FlowOfPair, WithoutAcls};
use understudy_recovery::{Alias, ErrorName, Step, StepError, tail};
use understudy_shell::step::{Part, at_source, at_target, carry_out};
use understudy_shell::{Done, PortError, World, reach};

use crate::fence::{Fence, Reached, WantedBy};

/// How long the cluster that is left has for one answer: where it has to answer, and where it may be gone.
const REQUIRED_WITHIN: Duration = Duration::from_secs(5);
const OPTIONAL_WITHIN: Duration = Duration::from_secs(2);

/// Sets the fence and proves it.
///
/// # Errors
/// The order is stale or the ledger does not answer; and if the fence is required: the source does not answer, or the fence
/// cannot be set or proved (`FenceUnproven`).
pub fn handle(world: &World, request: FenceRequest) -> Result<Fenced, StepError> {
    let order = &request.order;
    carry_out(
        world,
        Step::FenceSource,
        Part::on_return(request.returned),
        order,
        || {
            let within = if request.required {
                REQUIRED_WITHIN
            } else {
                OPTIONAL_WITHIN
            };
            let flow = if request.returned {
                reach::reverse(world, order)?
            } else {
                reach::forward(world, order)?
            };
            if request.returned && is_copied_to(world, order, flow)? {
                let did = format!(
                    "{} is copied to already, and nothing was ever copied from it: writers are as they were",
                    flow.source
                );
                let fenced = Fenced {
                    set: false,
                    proven: false,
                    reason: Some(did.clone()),
                };
                return Ok(Done::new(fenced, [did]));
            }
            if request.returned
                && let Some(reason) = under_another_name(world, flow)?
            {
                return Err(StepError::new(ErrorName::BadRequest, reason));
            }
            if request.required {
                // Before anybody is shut out.
                let fencing = &world.pair.fencing;
                let can = fencing.can_close(&flow.source);
                can.map_err(|reason| StepError::new(ErrorName::FenceUnproven, reason))?;
            }
            let fence = Fence {
                world,
                flow,
                epoch: order.epoch,
                leashed: order.leash.is_leashed(),
                wanted_by: WantedBy::Recovery(&order.execution),
                within,
                all: request.required,
                required: request.required,
            };
            match fence.hold() {
                Ok(done) => judged(
                    &flow.source,
                    request.required,
                    world.pair.fencing.without_acls,
                    done,
                ),
                Err(error) if request.required || is_ledgers(error.name) => Err(error),
                Err(error) => Ok(Done::new(
                    Fenced {
                        set: false,
                        proven: false,
                        reason: Some(error.text.clone()),
                    },
                    [format!(
                        "{} is not fenced yet, and stays to be: {}",
                        flow.source, error.text
                    )],
                )),
            }
        },
    )
}

/// Whether the cluster stands by without ever having been left: nothing came back then.
fn is_copied_to(world: &World, order: &Order, from: &FlowOfPair) -> Result<bool, StepError> {
    let known = |flow, at: fn(&PortError) -> StepError| {
        let record = world.flows.record(flow);
        record.map_err(|error| at(&error))
    };
    if known(from, at_source)?.is_some() {
        return Ok(false);
    }
    let onto = known(reach::forward(world, order)?, at_target)?;
    Ok(onto.is_some_and(|it| it.state != FlowState::Sealed))
}

/// Why nothing comes back, and nobody is to be shut out for it: copies have topics of their own. Told before anything is
/// touched.
fn under_another_name(world: &World, from: &FlowOfPair) -> Result<Option<String>, StepError> {
    let flows = &world.flows;
    let Some(record) = flows.record(from).map_err(|error| at_source(&error))? else {
        return Ok(None);
    };
    let mirrored = flows.positions(from, &record);
    let mirrored = mirrored.map_err(|error| at_source(&error))?;
    let mut renamed = Vec::new();
    for it in mirrored {
        // What the flow leaves out by now is in nobody's way.
        if it.source.topic != it.target.topic
            && flows
                .selects_topic(from, &it.source.topic)
                .map_err(|error| at_source(&error))?
        {
            renamed.push(it);
        }
    }
    let renamed = renamed
        .iter()
        .map(|it| (&*it.source.topic, it.source.partition, &*it.target.topic));
    let name = flows.name(from).map_err(|error| at_source(&error))?;
    Ok(tail::under_another_name(
        &name,
        from.source.as_str(),
        renamed,
    ))
}

/// Trouble that is none of the source's.
const fn is_ledgers(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::StaleEpoch | ErrorName::LedgerConflict | ErrorName::LedgerUnreachable
    )
}

fn judged(
    fenced_cluster: &Alias,
    required: bool,
    without_acls: WithoutAcls,
    reached: Reached,
) -> Result<Done<Fenced>, StepError> {
    let Reached {
        fenced,
        idle,
        mut did,
    } = reached;
    if fenced.proven || !required {
        return Ok(Done::new(fenced, did));
    }
    if idle && without_acls == WithoutAcls::AcceptIdle {
        did.push(format!(
            "every end of {} stands: that is idleness and no fence, and the pair accepts it",
            fenced_cluster
        ));
        return Ok(Done::new(fenced, did));
    }
    let reason = fenced.reason.unwrap_or_else(|| "no proof".to_owned());
    Err(StepError::new(
        ErrorName::FenceUnproven,
        format!("writers of {fenced_cluster} may not be shut out: {reason}"),
    ))
}

#[cfg(test)]
mod tests;
