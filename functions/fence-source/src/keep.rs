//! Fences clusters that were left, once they answer: a schedule asks for it, for as long as the ledger wants them fenced.
//!
//! A recovery that is under way sees to its own fence, and may be lifting another one: nothing is touched then. What is
//! added here and found unwanted right after is taken back, because a recovery may have lifted the fence in between.

use std::time::Duration;

use understudy_recovery::contract::{Fenced, FencesKept, KeepFencesRequest};
use understudy_recovery::fence::FenceState;
use understudy_recovery::{Alias, ErrorName, StepError};
use understudy_shell::World;
use understudy_shell::step::read_ledger;

use crate::fence::{Fence, Reached, WantedBy, is_wanted};
use crate::is_ledgers;

/// How long a cluster that was left has for one answer; it may still be gone.
const WITHIN: Duration = Duration::from_secs(5);

/// Sets and proves every fence that the ledger wants and that is not proven; people are told of one that is now.
///
/// # Errors
/// Another pair is meant, or the ledger does not answer. A cluster that does not is an answer.
pub fn keep(world: &World, request: KeepFencesRequest) -> Result<FencesKept, StepError> {
    if request.pair != world.pair.name {
        return Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "this is pair {}, and the fences of {} were asked for",
                world.pair.name, request.pair
            ),
        ));
    }
    let ledger = read_ledger(world)?;
    let mut kept = FencesKept::default();
    for (alias, fence) in &ledger.fences {
        let Some(flow) = world.pair.flow_from(alias) else {
            continue;
        };
        if fence.state == FenceState::Proven || !is_wanted(&ledger, flow, fence.epoch) {
            continue;
        }
        let held = Fence {
            world,
            flow,
            epoch: fence.epoch,
            leashed: false,
            wanted_by: WantedBy::Ledger,
            within: WITHIN,
            all: true,
            required: false,
        }
        .hold();
        let fenced = match held {
            Ok(Reached { fenced, did, .. }) => {
                if fenced.set && fence.state == FenceState::Wanted {
                    tell(world, alias, &fenced, &did);
                }
                fenced
            }
            Err(error) if is_ledgers(error.name) => return Err(error),
            Err(error) => Fenced {
                set: false,
                proven: false,
                reason: Some(error.text),
            },
        };
        kept.fences.insert(alias.clone(), fenced);
    }
    Ok(kept)
}

fn tell(world: &World, alias: &Alias, fenced: &Fenced, did: &[String]) {
    let proof = if fenced.proven {
        "a write was refused, and every end stands"
    } else {
        "not proven by a refused write"
    };
    let subject = format!("{alias} answers again and is fenced");
    let text = format!(
        "Cluster {alias} of pair {} was left by a recovery and answers again. Its writers are shut out ({proof}): {}.",
        world.pair.name,
        did.join("; ")
    );
    if let Err(error) = world.people.tell(&subject, &text) {
        tracing::warn!(reason = %error, "people not told");
    }
}
