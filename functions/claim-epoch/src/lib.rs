//! Takes the epoch: one recovery at a time, and late ones lose.
//!
//! Invariants:
//! a. one execution's claim is one claim, however often it is asked, and it always leads to the same order;
//! b. a leashed recovery takes nothing: its order carries the epoch that the real one would have;
//! c. what an earlier recovery sealed is finished to where it was going: from a seal there is only forward, also when the
//!    target is the active cluster already and only applications are not back.

use std::time::Duration;

use understudy_recovery::contract::{ClaimRequest, Claimed, Order, Start};
use understudy_recovery::{Alias, ErrorName, ExecutionName, Ledger, Mode, Step, StepError};
use understudy_shell::step::{Part, change_ledger, keep_record, load, read_ledger, save};
use understudy_shell::{World, keys};

/// How often a claim is tried again when somebody else changes the ledger at the same time.
const TRIES: u32 = 5;
/// How long before the second try; each later one waits as much longer.
const PAUSE: Duration = Duration::from_millis(40);

/// Takes the epoch for an execution.
///
/// # Errors
/// The execution's input contradicts itself or the pair, another recovery is under way, a newer epoch is claimed, or the
/// ledger or the store does not answer.
pub fn handle(world: &World, request: ClaimRequest) -> Result<Claimed, StepError> {
    let start = request.start;
    check(world, &start)?;
    let began = world.clock.now_ms();
    let ledger = read_ledger(world)?;
    let order = order_of(world, &ledger, &start)?;
    let claimed = if start.leash.is_leashed() {
        Ok(format!(
            "would claim epoch {} of {} for {}",
            order.epoch, order.pair, order.target
        ))
    } else {
        claim(world, &start, &order).map(|()| {
            format!(
                "claimed epoch {}: {} takes over from {}",
                order.epoch, order.target, order.source
            )
        })
    };
    if claimed.is_ok() {
        save(world, &keys::order(&start.execution.to_string()), &order)?;
    }
    let kept = keep_record(
        world,
        Step::ClaimEpoch,
        Part::Whole,
        &order,
        began,
        claimed.as_ref().map(|did| vec![did.clone()]),
    );
    // Why the claim was refused matters more than that it could not be written down.
    claimed?;
    kept?;
    Ok(Claimed { order })
}

fn check(world: &World, start: &Start) -> Result<(), StepError> {
    if start.pair != world.pair.name {
        return Err(StepError::new(
            ErrorName::UnknownPair,
            format!(
                "{} was started for pair {}, and this function serves {}; start it where that pair is deployed",
                start.execution, start.pair, world.pair.name
            ),
        ));
    }
    let execution = &start.execution;
    let named = ExecutionName::new(
        start.pair.clone(),
        execution.epoch(),
        start.mode,
        start.leash,
        execution.attempt(),
    );
    if &named == execution {
        return Ok(());
    }
    Err(StepError::new(
        ErrorName::BadRequest,
        format!(
            "execution {execution} does not belong to its input, which makes it {named}; start it through trigger-recovery"
        ),
    ))
}

/// The order: as it was made before, or from where the pair stands.
fn order_of(world: &World, ledger: &Ledger, start: &Start) -> Result<Order, StepError> {
    // What cannot be read is made again, and comes out the same while the claim stands.
    let before: Option<Order> = load(world, &keys::order(&start.execution.to_string()))?;
    if let Some(order) = before {
        return Ok(order);
    }
    let target = target(world, ledger, start)?;
    let source = other(world, &target)?;
    Ok(Order {
        pair: start.pair.clone(),
        execution: start.execution.clone(),
        epoch: start.execution.epoch(),
        mode: start.mode,
        leash: start.leash,
        begun: ledger.unfinished() == Some(&target),
        found_fenced: ledger.fences.contains_key(&source),
        source,
        target,
    })
}

fn target(world: &World, ledger: &Ledger, start: &Start) -> Result<Alias, StepError> {
    if let Some(running) = ledger.running()
        && running.execution == start.execution
    {
        // Claimed before; the target may be active already.
        return Ok(running.target.clone());
    }
    match start.mode {
        Mode::Failback if let Some(begun) = ledger.unfinished() => Ok(begun.clone()),
        // Whichever came back stands by again.
        Mode::Failback if start.standby_only => other(world, &ledger.active),
        Mode::Failover | Mode::Switchover => match ledger.unfinished() {
            Some(begun) => Ok(begun.clone()),
            None => other(world, &ledger.active),
        },
        Mode::Failback if ledger.active == world.pair.home => Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "not failing back: {} is at home on {} already",
                world.pair.name, ledger.active
            ),
        )),
        Mode::Failback => Ok(world.pair.home.clone()),
    }
}

fn other(world: &World, alias: &Alias) -> Result<Alias, StepError> {
    world.pair.other(alias).cloned().ok_or_else(|| {
        StepError::new(
            ErrorName::BadRequest,
            format!(
                "pair {} has no cluster beside {alias}; look at its clusters",
                world.pair.name
            ),
        )
    })
}

fn claim(world: &World, start: &Start, order: &Order) -> Result<(), StepError> {
    let mut tries = 1;
    loop {
        let now = world.clock.now_ms();
        let claimed = change_ledger(world, |ledger| {
            ledger.claim(&start.execution, &order.target, start.supersede, now)
        });
        match claimed {
            Err(error) if error.name == ErrorName::LedgerConflict && tries < TRIES => {
                world.clock.sleep(PAUSE.saturating_mul(tries));
                tries += 1;
            }
            claimed => return claimed.map(|_ledger| ()),
        }
    }
}

#[cfg(test)]
mod tests;
