//! Turns an alarm, a schedule that looks again, or a person's wish into at most one execution.
//!
//! Invariants:
//! a. a storm of events is one execution: its name comes from the ledger, and a name is started once;
//! b. an event that asks for nothing, or for what may not be done now, is answered with the reason and starts nothing;
//! c. a failover starts on the side that survives: never in the Region of the cluster that is active.
//!
//! Whatever is started looks again by itself before it acts.

pub mod event;
mod standing;
mod start;

use serde_json::Value;
use understudy_recovery::contract::{TriggerOutcome, Triggered};
use understudy_recovery::health::Health;
use understudy_recovery::pair::Automation;
use understudy_recovery::plan::Wish;
use understudy_recovery::{Alias, ErrorName, Leash, Ledger, Mode, PairName, Phase, StepError};
use understudy_shell::World;
use understudy_shell::step::read_ledger;
use understudy_shell::verdict::verdict;

use crate::event::{AlarmState, Event};
use crate::start::Asked;

/// Acts on an event.
///
/// # Errors
/// The event cannot be understood, or the ledger, the store or the state machines do not answer: then it is to be
/// delivered again.
pub fn handle(world: &World, event: Value) -> Result<Triggered, StepError> {
    let events = event::parse(&event)?;
    let mut most: Option<Triggered> = None;
    for event in events {
        let triggered = one(world, event)?;
        if most
            .as_ref()
            .is_none_or(|it| it.outcome < triggered.outcome)
        {
            most = Some(triggered);
        }
    }
    Ok(most.unwrap_or_else(|| ignored("the event holds nothing".to_owned())))
}

fn one(world: &World, event: Event) -> Result<Triggered, StepError> {
    match event {
        Event::Alarm { name, state } => alarm(world, &name, state),
        Event::LookAgain { pair } if pair == world.pair.name => standing::look(world),
        Event::LookAgain { pair } => Ok(ignored(format!(
            "the schedule looks at pair {pair}, and this function serves {}",
            world.pair.name
        ))),
        Event::Person(asks) => {
            if let Some(pair) = asks.pair.filter(|pair| *pair != world.pair.name) {
                return Ok(refused(format!(
                    "not starting: this function serves pair {}, and pair {pair} was asked for",
                    world.pair.name
                )));
            }
            start::start(
                world,
                Asked {
                    mode: asks.mode,
                    leash: asks.leash,
                    wish: Wish::Person {
                        name: asks.wish.name,
                        reason: asks.wish.reason,
                    },
                    consent: asks.consent,
                    supersede: asks.supersede,
                    standby_only: asks.standby_only,
                },
            )
        }
    }
}

/// The name of the alarm that says that a cluster is unhealthy. In the Region of the other one.
pub fn alarm_name(pair: &PairName, about: &Alias) -> String {
    format!("understudy-{pair}-{about}-unhealthy")
}

fn alarm(world: &World, name: &str, state: AlarmState) -> Result<Triggered, StepError> {
    match state {
        AlarmState::Alarm => {}
        AlarmState::Ok => return Ok(ignored(format!("alarm {name} is OK again"))),
        AlarmState::InsufficientData => {
            return Ok(ignored(format!(
                "alarm {name} cannot tell: that is not an outage"
            )));
        }
    }
    let mut aliases = world.pair.clusters.keys();
    let Some(about) = aliases.find(|alias| alarm_name(&world.pair.name, alias) == name) else {
        return Ok(ignored(format!(
            "alarm {name} is none of pair {}; what leads to a recovery is called {}",
            world.pair.name,
            alarm_name(&world.pair.name, &world.pair.home)
        )));
    };
    let ledger = read_ledger(world)?;
    if about != &ledger.active {
        return Ok(ignored(format!(
            "alarm {name} is about {about}, which stands by: there is nothing to fail over; {} is active",
            ledger.active
        )));
    }
    if let Some(reason) = false_alarm(world, &ledger)? {
        return Ok(ignored(reason));
    }
    unhealthy(world, &ledger, name)
}

/// Why an alarm does not take over from a planned recovery. Such a recovery fences the cluster that it leaves, stops what
/// reads there, and may have sealed: who takes over and then finds that cluster well would leave all that behind. So it must
/// be known to be unhealthy beforehand; the schedule looks again.
fn false_alarm(world: &World, ledger: &Ledger) -> Result<Option<String>, StepError> {
    let planned = ledger.running().filter(|it| it.mode != Mode::Failover);
    let Some(planned) = planned else {
        return Ok(None);
    };
    let active = &ledger.active;
    let signals = world.signals.recent(active);
    let signals = signals.map_err(|error| {
        let text = format!("signals about {active} could not be read: {error}; try again");
        StepError::new(ErrorName::DeadlineExceeded, text)
    })?;
    let verdict = verdict(signals, world.clock.now_ms());
    if verdict.health == Health::Unhealthy {
        return Ok(None);
    }
    Ok(Some(format!(
        "{} moves {active} out of use, and {active} is not known to be unhealthy ({}); a person may start a failover",
        planned.execution,
        verdict.reasons.join("; ")
    )))
}

/// The active cluster is said to be unhealthy.
pub(crate) fn unhealthy(
    world: &World,
    ledger: &Ledger,
    alarm: &str,
) -> Result<Triggered, StepError> {
    if let Phase::Stuck(stuck) = &ledger.phase
        && stuck.mode == Mode::Failover
    {
        return Ok(refused(format!(
            "not failing over by itself: {} ended in the middle and a person is needed; see its evidence, then start a \
             recovery by hand",
            stuck.execution
        )));
    }
    match world.pair.automation {
        Automation::ObserveOnly => start::only_tell(world, ledger, alarm),
        Automation::Automatic | Automation::AskFirst => start::start(
            world,
            Asked {
                mode: Mode::Failover,
                leash: Leash::Acting,
                wish: Wish::Alarm {
                    alarm: alarm.to_owned(),
                },
                consent: None,
                supersede: false,
                standby_only: false,
            },
        ),
    }
}

pub(crate) fn ignored(reason: String) -> Triggered {
    answer(TriggerOutcome::Ignored, reason)
}

pub(crate) fn refused(reason: String) -> Triggered {
    answer(TriggerOutcome::Refused, reason)
}

pub(crate) fn answer(outcome: TriggerOutcome, reason: String) -> Triggered {
    Triggered {
        outcome,
        execution: None,
        reason,
    }
}
