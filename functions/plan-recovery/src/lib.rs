//! Decides what will be done, or refuses. The decision itself is `understudy_recovery::plan`'s.

use understudy_recovery::assessment::Assessment;
use understudy_recovery::contract::{PlanRequest, Planned};
use understudy_recovery::plan::{Decision, decide};
use understudy_recovery::{Step, StepError};
use understudy_shell::step::{Part, carry_out, must_load, save};
use understudy_shell::{Done, World, keys};

/// Decides, and keeps the plan.
///
/// # Errors
/// The order is stale, the store has no such assessment, or the ledger or the store does not answer.
pub fn handle(world: &World, request: PlanRequest) -> Result<Planned, StepError> {
    let order = &request.order;
    carry_out(world, Step::PlanRecovery, Part::Whole, order, || {
        let assessment: Assessment = must_load(world, &request.assessment)?;
        let (plan, decision) = decide(
            &world.pair,
            order,
            &request.wish,
            request.consent,
            &assessment,
        );
        let execution = order.execution.to_string();
        let key = keys::plan(&execution);
        save(world, &key, &plan)?;
        if let Some(consent) = &request.consent {
            save(world, &keys::consent(&execution), consent)?;
        }
        let decided = match &decision {
            Decision::Proceed => "goes on without asking".to_owned(),
            Decision::Ask { question } => format!("asks: {question}"),
            Decision::Refuse { reason } => reason.clone(),
        };
        let did: Vec<String> = std::iter::once(decided)
            .chain(plan.will.iter().cloned())
            .collect();
        Ok(Done::new(
            Planned {
                digest: plan.digest(),
                plan: key,
                decision,
                waves: plan.waves,
                deadline_seconds: world.pair.approval.deadline_seconds,
            },
            did,
        ))
    })
}
