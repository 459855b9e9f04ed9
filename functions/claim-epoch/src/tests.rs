//! Where an attempt is going after one that ended in the middle.

use understudy_fakes::Stage;
use understudy_recovery::contract::{ClaimRequest, Order, Start};
use understudy_recovery::plan::Wish;
use understudy_recovery::{Alias, Epoch, Leash, Ledger, Mode};
use understudy_shell::step::read_ledger;

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Starts the next attempt and claims.
fn attempt(stage: &Stage, mode: Mode, leash: Leash) -> Result<Order, Box<dyn std::error::Error>> {
    let world = stage.world();
    let ledger = read_ledger(&world)?;
    let start = Start {
        pair: stage.pair.name.clone(),
        execution: ledger.next_execution(mode, leash),
        mode,
        leash,
        wish: Wish::Person {
            name: "ada".to_owned(),
            reason: "a test".to_owned(),
        },
        wished_at_ms: 0,
        consent: None,
        supersede: false,
        standby_only: false,
    };
    Ok(handle(&world, ClaimRequest { start })?.order)
}

/// A failover that ends stuck; how far it came is said by the changes of the ledger.
fn stuck(
    stage: &Stage,
    sealed: bool,
    activated: bool,
) -> Result<Ledger, Box<dyn std::error::Error>> {
    let order = attempt(stage, Mode::Failover, Leash::Acting)?;
    let mut ledger = read_ledger(&stage.world())?;
    if sealed {
        ledger = ledger.sealed(&order.execution)?;
    }
    if activated {
        ledger = ledger.activated(&order.execution)?;
    }
    let ledger = ledger.ended(&order.execution, true)?;
    stage.scene().ledger = Some(ledger.clone());
    Ok(ledger)
}

fn ends(order: &Order) -> (&str, &str) {
    (order.source.as_str(), order.target.as_str())
}

#[test]
fn what_is_stuck_behind_activation_is_finished_to_the_same_target() -> Outcome {
    let stage = Stage::new();
    let ledger = stuck(&stage, true, true)?;
    assert_eq!(ledger.active, Alias::new("usw2")?);
    for (mode, leash) in [
        (Mode::Failover, Leash::Leashed),
        (Mode::Switchover, Leash::Leashed),
        (Mode::Failover, Leash::Acting),
    ] {
        let order = attempt(&stage, mode, leash)?;
        assert_eq!(ends(&order), ("use1", "usw2"), "{mode} {leash:?}");
        assert_eq!(order.epoch, Epoch::new(2));
    }
    Ok(())
}

#[test]
fn a_switchover_too_goes_on_to_where_the_seal_was_going() -> Outcome {
    let stage = Stage::new();
    stuck(&stage, true, true)?;
    let order = attempt(&stage, Mode::Switchover, Leash::Acting)?;
    assert_eq!(ends(&order), ("use1", "usw2"));
    Ok(())
}

#[test]
fn once_it_has_ended_the_next_one_goes_the_other_way() -> Outcome {
    let stage = Stage::new();
    stuck(&stage, true, true)?;
    let order = attempt(&stage, Mode::Failover, Leash::Acting)?;
    let ledger = read_ledger(&stage.world())?.ended(&order.execution, false)?;
    stage.scene().ledger = Some(ledger);
    let next = attempt(&stage, Mode::Failover, Leash::Acting)?;
    assert_eq!(ends(&next), ("usw2", "use1"));
    Ok(())
}

#[test]
fn what_sealed_nothing_binds_nobody() -> Outcome {
    let stage = Stage::new();
    let ledger = stuck(&stage, false, false)?;
    assert_eq!(ledger.unfinished(), None);
    let order = attempt(&stage, Mode::Failover, Leash::Acting)?;
    assert_eq!(ends(&order), ("use1", "usw2"));
    Ok(())
}
