//! The schedule that looks again. An alarm fires on an edge: one that stood before automation was armed, or whose recovery
//! was refused because the target was not ready, fires no more.

use understudy_recovery::contract::Triggered;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::health::Health;
use understudy_recovery::{Ledger, StepError};
use understudy_shell::step::{at_store, load, read_ledger};
use understudy_shell::verdict::verdict;
use understudy_shell::{World, keys};

use crate::{alarm_name, ignored, unhealthy};

/// How long after a recovery ended nothing is started anew by itself, in milliseconds.
const REST_MS: i64 = 600_000;
/// And how long after a person said no.
const REST_AFTER_NO_MS: i64 = 3_600_000;

/// Looks whether the active cluster is still unhealthy, by what probers published.
pub fn look(world: &World) -> Result<Triggered, StepError> {
    let ledger = read_ledger(world)?;
    let active = &ledger.active;
    let now = world.clock.now_ms();
    let signals = match world.signals.recent(active) {
        Ok(signals) => signals,
        Err(error) => {
            return Ok(ignored(format!(
                "signals about {active} could not be read, and cannot tell is not unhealthy: {error}"
            )));
        }
    };
    let verdict = verdict(signals, now);
    match verdict.health {
        Health::Healthy => return Ok(ignored(format!("{active} is healthy"))),
        Health::Unknown => {
            return Ok(ignored(format!(
                "whether {active} is unhealthy cannot be told: {}",
                verdict.reasons.join("; ")
            )));
        }
        Health::Unhealthy => {}
    }
    if let Some(reason) = rests(world, &ledger, now)? {
        return Ok(ignored(reason));
    }
    unhealthy(world, &ledger, &alarm_name(&world.pair.name, active))
}

/// Why nothing is started so soon after the last one.
fn rests(world: &World, ledger: &Ledger, now_ms: i64) -> Result<Option<String>, StepError> {
    let prefix = format!("recoveries/{}-{}-", ledger.pair, ledger.epoch);
    let keys = world
        .store
        .list(&prefix)
        .map_err(|error| at_store(&error))?;
    for key in keys.iter().filter(|key| key.ends_with("/evidence.json")) {
        let Some(last): Option<Evidence> = load(world, key)? else {
            continue;
        };
        if last.leash.is_leashed() {
            continue;
        }
        let person_said_no = last
            .approval
            .as_ref()
            .is_some_and(|it| !it.approved && it.by != "nobody");
        let rest = if person_said_no {
            REST_AFTER_NO_MS
        } else {
            REST_MS
        };
        let ago = now_ms.saturating_sub(last.ended_at_ms);
        if ago < rest {
            return Ok(Some(format!(
                "{} ended as {} {} s ago, and nothing is started by itself for {} s; its page: {}",
                last.execution,
                last.ended,
                ago / 1_000,
                rest / 1_000,
                keys::page(&last.execution.to_string())
            )));
        }
    }
    Ok(None)
}
