//! Lets writers into the cluster again that was to be left: the exact inverse of its fence, and nothing else.

use std::time::Duration;

use understudy_recovery::contract::{JustOrder, Order, Unfenced};
use understudy_recovery::fence::{FenceRecord, FenceState, to_remove};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::step::{Part, at_source, carry_out, change_ledger, must_hold};
use understudy_shell::{Done, World, reach};

/// How long the cluster has for one answer.
const WITHIN: Duration = Duration::from_secs(10);

/// Removes what the fence added: first what denies, so that nobody is shut out in between; then the ledger forgets it.
///
/// # Errors
/// The order is stale, the flow is sealed already (from there on there is only forward), the cluster or the ledger does not
/// answer.
pub fn handle(world: &World, request: JustOrder) -> Result<Unfenced, StepError> {
    let order = &request.order;
    carry_out(world, Step::UnfenceSource, Part::Whole, order, || {
        lift(world, order)
    })
}

fn lift(world: &World, order: &Order) -> Result<Done<Unfenced>, StepError> {
    let ledger = must_hold(world, order)?;
    if ledger.running().is_some_and(|running| running.sealed) && !order.leash.is_leashed() {
        return Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "not lifting the fence on {}: the flow is sealed, and records written there now would have no copy",
                order.source
            ),
        ));
    }
    let Some(fence) = ledger.fences.get(&order.source) else {
        let none = Unfenced { removed: 0 };
        return Ok(Done::new(none, [format!("{} has no fence", order.source)]));
    };
    let removed = u32::try_from(fence.added.len()).unwrap_or(u32::MAX);
    if order.leash.is_leashed() {
        let did = format!("would remove {removed} ACLs from {}", order.source);
        return Ok(Done::new(Unfenced { removed }, [did]));
    }
    let lifting = FenceRecord {
        state: FenceState::Lifting,
        ..fence.clone()
    };
    if lifting != *fence {
        change_ledger(world, |ledger| {
            ledger.held_by(&order.execution)?;
            Ok(ledger.with_fence(&order.source, Some(lifting.clone())))
        })?;
    }
    let calls = to_remove(&lifting.added);
    let calls = calls.map_err(|error| StepError::new(ErrorName::Internal, error.to_string()))?;
    let source = reach::source(world, order)?;
    for acls in calls {
        if !acls.is_empty() {
            let gone = source.remove_acls(&acls, WITHIN);
            gone.map_err(|error| at_source(&error))?;
        }
    }
    change_ledger(world, |ledger| {
        ledger.held_by(&order.execution)?;
        Ok(ledger.with_fence(&order.source, None))
    })?;
    let did = format!("{removed} ACLs were removed from {}", order.source);
    Ok(Done::new(Unfenced { removed }, [did]))
}

#[cfg(test)]
mod tests {
    use understudy_fakes::Stage;
    use understudy_recovery::fence::FenceAcl;
    use understudy_recovery::{Leash, Mode};
    use understudy_shell::PortErrorKind;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn acl(deny: bool) -> FenceAcl {
        FenceAcl {
            topic: "orders".to_owned(),
            principal: "User:shop".to_owned(),
            operation: "WRITE".to_owned(),
            deny,
        }
    }

    /// A fence of one ACL of each kind, and the order that may lift it.
    fn fenced(leash: Leash) -> (Stage, Order) {
        let stage = Stage::new();
        let order = stage.order(Mode::Switchover, leash);
        let fence = FenceRecord {
            epoch: order.epoch,
            state: FenceState::Proven,
            added: vec![acl(false), acl(true)],
            since_ms: None,
        };
        {
            let mut scene = stage.scene();
            scene.ledger = scene
                .ledger
                .take()
                .map(|ledger| ledger.with_fence(&order.source, Some(fence)));
        }
        (stage, order)
    }

    #[test]
    fn denials_go_first_and_the_ledger_forgets_last_however_often_it_breaks() -> Outcome {
        let (stage, order) = fenced(Leash::Acting);
        let world = stage.world();
        let kind = PortErrorKind::TimedOut;
        stage.scene().failing.insert("remove_acls".to_owned(), kind);
        let request = JustOrder { order };
        let error = handle(&world, request.clone()).err();
        assert_eq!(error.map(|it| it.name), Some(ErrorName::SourceUnreachable));
        stage.scene().failing.clear();
        assert_eq!(handle(&world, request.clone())?.removed, 2);
        assert_eq!(handle(&world, request)?.removed, 0);
        let log = stage.scene().log.clone();
        let removed: Vec<_> = log.iter().filter(|it| it.contains("remove")).collect();
        assert!(
            matches!(removed.as_slice(), [first, second] if first.contains("deny") && second.contains("allow")),
            "{log:?}"
        );
        Ok(())
    }

    #[test]
    fn behind_the_seal_there_is_only_forward() -> Outcome {
        let (stage, order) = fenced(Leash::Acting);
        change_ledger(&stage.world(), |ledger| ledger.sealed(&order.execution))?;
        let refused = handle(&stage.world(), JustOrder { order }).err();
        assert_eq!(refused.map(|it| it.name), Some(ErrorName::BadRequest));
        Ok(())
    }
}
