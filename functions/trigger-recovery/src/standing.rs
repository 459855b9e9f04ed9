//! The schedule that looks again. An alarm fires on an edge: one that stood before automation was armed, or whose recovery
//! was refused because the target was not ready, fires no more.

use understudy_recovery::contract::Triggered;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::health::Health;
use understudy_recovery::{Epoch, Ledger, StepError};
use understudy_shell::step::{at_store, load, read_ledger};
use understudy_shell::verdict::verdict;
use understudy_shell::{World, keys};

use crate::{alarm_name, ignored, unhealthy};

/// How long after a recovery ended nothing is started anew by itself, in milliseconds; twice as long with each further one
/// within [`REST_MAX_MS`], so that what was refused for a reason that passes is not refused for long.
const REST_MS: i64 = 60_000;
/// But never longer than this.
const REST_MAX_MS: i64 = 600_000;
/// How often it is doubled.
const DOUBLED_MAX: u32 = 4;
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

/// Why nothing is started so soon after the last ones.
fn rests(world: &World, ledger: &Ledger, now_ms: i64) -> Result<Option<String>, StepError> {
    let mut recent = Vec::new();
    // Each claim takes an epoch, so the last ones that count are of the last epochs.
    let newest = ledger.epoch.get();
    for epoch in newest.saturating_sub(DOUBLED_MAX.into())..=newest {
        for last in ended(world, ledger, Epoch::new(epoch))? {
            let ago = now_ms.saturating_sub(last.ended_at_ms);
            if ago < REST_AFTER_NO_MS {
                recent.push((ago, last));
            }
        }
    }
    let short = recent.iter().filter(|(ago, _)| *ago < REST_MAX_MS).count();
    let usual = rest_ms(short);
    let left = recent.into_iter().map(|(ago, last)| {
        let rest = if said_no(&last) {
            REST_AFTER_NO_MS
        } else {
            usual
        };
        (rest.saturating_sub(ago), rest, ago, last)
    });
    let longest = left.max_by_key(|(left, ..)| *left);
    Ok(longest
        .filter(|(left, ..)| *left > 0)
        .map(|(_, rest, ago, last)| {
            format!(
                "{} ended as {} {} s ago, and nothing is started by itself for {} s; its page: {}",
                last.execution,
                last.ended,
                ago / 1_000,
                rest / 1_000,
                keys::page(&last.execution.to_string())
            )
        }))
}

/// How long nothing is started by itself after so many that ended not long ago, in milliseconds.
fn rest_ms(ended: usize) -> i64 {
    let doubled = u32::try_from(ended).map_or(DOUBLED_MAX, |ended| ended.saturating_sub(1));
    REST_MAX_MS.min(REST_MS << doubled.min(DOUBLED_MAX))
}

/// The evidence of recoveries of an epoch; drills do not count.
fn ended(world: &World, ledger: &Ledger, epoch: Epoch) -> Result<Vec<Evidence>, StepError> {
    let prefix = format!("recoveries/{}-{epoch}-", ledger.pair);
    let keys = world
        .store
        .list(&prefix)
        .map_err(|error| at_store(&error))?;
    let mut all: Vec<Evidence> = Vec::new();
    for key in keys.iter().filter(|key| key.ends_with("/evidence.json")) {
        all.extend(load(world, key)?);
    }
    all.retain(|it| !it.leash.is_leashed());
    Ok(all)
}

/// Whether a person, and not silence, said no.
fn said_no(evidence: &Evidence) -> bool {
    let approval = evidence.approval.as_ref();
    approval.is_some_and(|it| !it.approved && it.by != "nobody")
}

#[cfg(test)]
mod tests {
    use super::rest_ms;

    #[test]
    fn the_more_were_refused_the_longer_it_rests_and_never_longer_than_ten_minutes() {
        let seconds = [1, 2, 3, 4, 5, 6, 1_000, usize::MAX].map(|ended| rest_ms(ended) / 1_000);
        assert_eq!(seconds, [60, 120, 240, 480, 600, 600, 600, 600]);
    }
}
