//! Writes what happened: a JSON for machines, a page for people; and tells the ledger that the recovery has ended.
//!
//! Invariants:
//! a. any part may be missing: what cannot be read is named in the evidence, never a reason to write none;
//! b. the ledger of a pair that this execution does not hold is not touched, and a drill touches none;
//! c. the evidence and the ledger do not wait for each other: what can be done of the two is done.

mod gather;
mod next;
mod unknown;

use std::time::Duration;

use understudy_evidence_page::render;
use understudy_recovery::contract::{EvidenceRequest, Recorded, Start};
use understudy_recovery::evidence::Evidence;
use understudy_recovery::{ErrorName, Ledger, StepError};
use understudy_shell::step::{at_store, change_ledger, load, read_ledger, save};
use understudy_shell::{World, keys};

/// How often the ledger is tried when somebody else changes it at the same time.
const TRIES: u32 = 5;
/// How long before the second try.
const PAUSE: Duration = Duration::from_millis(40);

/// Gathers, writes, and ends the recovery in the ledger.
///
/// # Errors
/// The store or the ledger does not answer. Asked again, it does what is left.
pub fn handle(world: &World, request: EvidenceRequest) -> Result<Recorded, StepError> {
    let start = &request.start;
    if start.pair != world.pair.name {
        return Err(StepError::new(
            ErrorName::UnknownPair,
            format!(
                "{} belongs to pair {}, and this function serves {}",
                start.execution, start.pair, world.pair.name
            ),
        ));
    }
    let ledger = read_ledger(world);
    let mut evidence = gather::gather(world, &request, ledger.as_ref().ok());
    if let Err(error) = &ledger {
        evidence.unknown.push(error.text.clone());
    }
    let kept = keep(world, &mut evidence);
    let ended = ledger.and_then(|ledger| end(world, start, &request.ended, &ledger));
    let recorded = kept?;
    ended?;
    Ok(recorded)
}

fn keep(world: &World, evidence: &mut Evidence) -> Result<Recorded, StepError> {
    let execution = evidence.execution.to_string();
    let recorded = Recorded {
        evidence: keys::evidence(&execution),
        page: keys::page(&execution),
    };
    // Written again, it ended when it did.
    let before: Option<Evidence> = load(world, &recorded.evidence).ok().flatten();
    if let Some(before) = before
        && before.ended == evidence.ended
        && before.steps == evidence.steps
    {
        evidence.ended_at_ms = before.ended_at_ms;
    }
    save(world, &recorded.evidence, evidence)?;
    world
        .store
        .put(&recorded.page, render(evidence).as_bytes())
        .map_err(|error| at_store(&error))?;
    Ok(recorded)
}

fn end(world: &World, start: &Start, ended: &str, ledger: &Ledger) -> Result<(), StepError> {
    if start.leash.is_leashed() || ended == "Superseded" || !holds(ledger, start) {
        return Ok(());
    }
    let stuck = ended == "OperatorNeeded";
    let mut tries = 1;
    loop {
        let changed = change_ledger(world, |ledger| {
            if holds(ledger, start) {
                ledger.ended(&start.execution, stuck)
            } else {
                // Taken over meanwhile.
                Ok(ledger.clone())
            }
        });
        match changed {
            Err(error) if error.name == ErrorName::LedgerConflict && tries < TRIES => {
                world.clock.sleep(PAUSE.saturating_mul(tries));
                tries += 1;
            }
            changed => return changed.map(|_ledger| ()),
        }
    }
}

fn holds(ledger: &Ledger, start: &Start) -> bool {
    let running = ledger.running();
    running.is_some_and(|running| running.execution == start.execution)
}
