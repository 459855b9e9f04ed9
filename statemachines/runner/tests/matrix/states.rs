//! Each state of each machine, and everything that may go wrong in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use understudy_fakes::{Happened, Stage};
use understudy_machines::{Machine, shipped};
use understudy_recovery::{Alias, ErrorName, Leash, Mode, Phase, Step};

use crate::rig::{Done, Fault, Moment};
use crate::scenario;
use crate::trial::{Findings, Trial, Tried};

/// What may not answer: the ledger, the store, each cluster, people, state machines, each application.
const DARK: [&str; 8] = [
    "ledger", "store", "use1", "usw2", "people", "machines", "billing", "shop",
];

/// Every state of every machine, in the first `ways` that pass through it and act, and in one drill.
fn each(ways: usize, mut look: impl FnMut(&Trial, &str, &Moment)) {
    let mut tried: BTreeMap<(String, String, bool), usize> = BTreeMap::new();
    for trial in scenario::all().into_iter().map(Trial::of) {
        let leashed = trial.scenario.leash.is_leashed();
        let most = if leashed { 1 } else { ways };
        for (state, moment) in &trial.moments {
            let of = (trial.machine.name().to_owned(), state.clone(), leashed);
            let times = tried.entry(of).or_default();
            *times += 1;
            if *times <= most {
                look(&trial, state, moment);
            }
        }
    }
}

fn check(
    findings: &mut Findings,
    trial: &Trial,
    state: &str,
    fault: &Fault,
    same_end: bool,
) -> bool {
    let Some(moment) = trial.moments.get(state) else {
        return false;
    };
    let Some(tried) = trial.with_fault(state, moment, fault) else {
        return false;
    };
    let of = format!("{} / {state} / {fault:?}", trial.name());
    let Tried { untrue, played, .. } = tried;
    let end = &played.outcome.end_state;
    let other = (same_end && *end != trial.scenario.ends)
        .then(|| format!("it ends as {end}, by {:?}", played.outcome.path));
    findings.add(&of, untrue.into_iter().chain(other));
    true
}

/// What may not answer a state's task.
fn dark(trial: &Trial, state: &str) -> impl Iterator<Item = &'static str> {
    let calls = trial.machine.step_of(state).is_some();
    DARK.into_iter().filter(move |_| calls)
}

/// The errors of a state's task, one for each way in which the machine takes them: first those that it tries again.
struct Errors {
    again: Vec<String>,
    other: Vec<String>,
}

fn errors(machine: &Machine, state: &str) -> Errors {
    let text = shipped::ALL
        .iter()
        .find(|(name, _)| *name == machine.name());
    let text = text.map(|(_, text)| *text).unwrap_or_default();
    let file: Value = serde_json::from_str(text).unwrap_or_default();
    let task = file.pointer(&format!("/States/{state}"));
    let list = |key: &str| -> Vec<Vec<String>> {
        let list = task.and_then(|it| it.get(key)).and_then(Value::as_array);
        let names = |it: &Value| {
            let names = it.get("ErrorEquals").and_then(Value::as_array);
            let names = names.into_iter().flatten().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        };
        list.into_iter().flatten().map(names).collect()
    };
    let (retries, catches) = (list("Retry"), list("Catch"));
    let place = |lists: &[Vec<String>], error: &str| {
        let is = |name: &String| name == error || name == "States.ALL";
        lists.iter().position(|names| names.iter().any(is))
    };
    // What only a newer recovery leads to is not made up here: see `superseded`.
    let real = [ErrorName::StaleEpoch, ErrorName::RecoveryInProgress];
    let names = ErrorName::ALL.into_iter().filter(|it| !real.contains(it));
    let names = names.map(|it| it.name().to_owned());
    let mut found: BTreeMap<(Option<usize>, Option<usize>), String> = BTreeMap::new();
    for name in names.chain(["Lambda.Unknown", "States.DataLimitExceeded"].map(str::to_owned)) {
        let taken = (place(&retries, &name), place(&catches, &name));
        found.entry(taken).or_insert(name);
    }
    let (again, other): (Vec<_>, Vec<_>) = found.into_iter().partition(|((it, _), _)| it.is_some());
    let names = |it: Vec<(_, String)>| it.into_iter().map(|(_, name)| name).collect();
    Errors {
        again: names(again),
        other: names(other),
    }
}

#[test]
fn every_state_of_every_machine_is_passed_through() {
    let mut passed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    each(2, |trial, state, _| {
        let states = passed.entry(trial.machine.name().to_owned()).or_default();
        states.insert(state.to_owned());
    });
    for (name, text) in shipped::ALL {
        let machine = Machine::parse(name, text).expect("a machine");
        let passed = passed.remove(name).unwrap_or_default();
        let left: Vec<&str> = machine.names().filter(|it| !passed.contains(*it)).collect();
        assert!(
            left.is_empty(),
            "no way of {name} in scenario.rs passes through {left:?}"
        );
    }
}

#[test]
fn undisturbed_each_way_ends_where_it_must() {
    let mut findings = Findings::default();
    for trial in scenario::all().into_iter().map(Trial::of) {
        findings.add(&trial.name(), trial.undisturbed.clone());
    }
    findings.none_in(15);
}

#[test]
fn failed_once_it_ends_as_undisturbed_or_says_truly_where_it_stands() {
    let mut findings = Findings::default();
    each(1, |trial, state, _| {
        let errors = errors(&trial.machine, state);
        for (errors, same_end) in [(errors.again, true), (errors.other, false)] {
            for error in errors {
                for done in [Done::Never, Done::Unheard] {
                    let error = error.clone();
                    let always = false;
                    let fault = Fault::Fails {
                        error,
                        done,
                        always,
                    };
                    check(&mut findings, trial, state, &fault, same_end);
                }
            }
        }
        for what in dark(trial, state) {
            let fault = Fault::Dark {
                what,
                always: false,
            };
            check(&mut findings, trial, state, &fault, false);
        }
    });
    findings.none_in(500);
}

#[test]
fn timed_out_once_it_ends_as_undisturbed() {
    let mut findings = Findings::default();
    each(2, |trial, state, _| {
        for done in [Done::Never, Done::Unheard, Done::Late] {
            let always = false;
            check(
                &mut findings,
                trial,
                state,
                &Fault::TimesOut { done, always },
                true,
            );
        }
    });
    findings.none_in(100);
}

#[test]
fn repeated_it_ends_as_undisturbed() {
    let mut findings = Findings::default();
    each(2, |trial, state, _| {
        check(&mut findings, trial, state, &Fault::Repeated, true);
        check(&mut findings, trial, state, &Fault::KilledBehind, true);
    });
    findings.none_in(50);
}

#[test]
fn killed_at_each_write_it_ends_as_undisturbed() {
    let mut findings = Findings::default();
    each(1, |trial, state, _| {
        for takes_effect in [false, true] {
            for write in 1..30 {
                let killed = Fault::Killed {
                    write,
                    takes_effect,
                };
                if !check(&mut findings, trial, state, &killed, true) {
                    break;
                }
                let with_machine = Fault::KilledWithMachine {
                    write,
                    takes_effect,
                };
                check(&mut findings, trial, state, &with_machine, true);
            }
        }
    });
    findings.none_in(500);
}

#[test]
fn failed_for_good_it_says_truly_where_it_stands_and_the_next_recovery_takes_over() {
    let mut findings = Findings::default();
    each(1, |trial, state, moment| {
        let errors = errors(&trial.machine, state);
        let mut faults = Vec::new();
        for error in errors.again.into_iter().chain(errors.other) {
            for done in [Done::Never, Done::Unheard] {
                let error = error.clone();
                let always = true;
                faults.push(Fault::Fails {
                    error,
                    done,
                    always,
                });
            }
        }
        for done in [Done::Never, Done::Unheard, Done::Late] {
            let always = true;
            faults.push(Fault::TimesOut { done, always });
        }
        for what in dark(trial, state) {
            faults.push(Fault::Dark { what, always: true });
        }
        for fault in faults {
            let Some(tried) = trial.with_fault(state, moment, &fault) else {
                continue;
            };
            let of = format!("{} / {state} / {fault:?}", trial.name());
            let mut untrue = tried.untrue.clone();
            untrue.extend(entered_again(trial, moment, &tried));
            untrue.extend(taken_over(trial, &tried));
            findings.add(&of, untrue);
        }
    });
    findings.none_in(500);
}

/// Entered again after it has ended, with everything in order again: nothing is changed by an execution that does not hold
/// the pair any more, and one that does goes on to a true end.
fn entered_again(trial: &Trial, moment: &Moment, tried: &Tried) -> Vec<String> {
    let stage = in_order_again(trial, tried);
    let holds = may_go_on(&stage, &trial.rig(&stage).execution);
    let since = stage.scene().history.len();
    let played = trial.go_on(&stage, &moment.position);
    let scene = stage.scene().clone();
    let untrue = if holds || trial.scenario.leash.is_leashed() {
        trial.untrue(&played, scene)
    } else {
        let mut broken = crate::witness::broken(&scene.history);
        // That it has ended may be written again.
        let own = scene.history.iter().skip(since).filter(|it| match &***it {
            Happened::Ledger(ledger) => {
                let running = ledger.running().map(|it| it.execution.to_string());
                running.is_some_and(|it| it != trial.rig(&stage).execution)
            }
            Happened::Stored(_) | Happened::Notice(_) | Happened::Answered(_) => false,
            other => !other.is_life(),
        });
        broken.extend(own.map(|it| format!("it changed something: {it:?}")));
        broken
    };
    untrue
        .into_iter()
        .map(|it| format!("entered again: {it}"))
        .collect()
}

/// What people are told to do next is done, and leads where it is said to lead.
fn taken_over(trial: &Trial, tried: &Tried) -> Vec<String> {
    let stand = tried.played.outcome.variables.get("stand");
    let stand = stand.and_then(Value::as_str).unwrap_or_default();
    if tried.end() != "OperatorNeeded" || !stand.contains("takes over from here") {
        return Vec::new();
    }
    let mut modes = Vec::new();
    if stand.contains("Start the failover again") || stand.contains("or a failover") {
        modes.push(Mode::Failover);
    }
    if stand.contains("Start the switchover again") {
        modes.push(Mode::Switchover);
    }
    if stand.contains("tart the failback again") {
        modes.push(Mode::Failback);
    }
    let mut untrue = Vec::new();
    for mode in modes {
        let stage = in_order_again(trial, tried);
        if let Some(life) = &mut stage.scene().life {
            life.stalled = false;
        }
        let next = Trial::next(&stage, mode, stand.contains("may have to supersede it"));
        let (scene, outcome) = (stage.scene(), &next.outcome);
        let broken = crate::witness::broken(&scene.history);
        untrue.extend(
            broken
                .into_iter()
                .map(|it| format!("the next {mode}: {it}")),
        );
        let active = scene.ledger.as_ref().map(|it| it.active.to_string());
        if outcome.end_state != "TargetActive" || active.as_deref() != Some("usw2") {
            let why = outcome.variables.get("stand");
            untrue.push(format!(
                "the next {mode} ends as {} with {active:?} active: {why:?}",
                outcome.end_state
            ));
        }
    }
    untrue
}

/// The world that a run left, once everything answers again.
fn in_order_again(trial: &Trial, tried: &Tried) -> Stage {
    let mut scene = tried.stage.scene().clone();
    scene.failing.retain(|call, _| !call.ends_with(".*"));
    Stage::of(trial.pair.clone(), scene)
}

/// Whether an execution holds the pair, or its epoch is still free.
fn may_go_on(stage: &Stage, execution: &str) -> bool {
    let scene = stage.scene();
    scene
        .ledger
        .as_ref()
        .is_none_or(|ledger| match &ledger.phase {
            Phase::Recovering(running) => running.execution.to_string() == execution,
            Phase::Steady => execution.contains(&format!("-{}-", ledger.epoch.next())),
            Phase::Stuck(_) => false,
        })
}

/// Steps that carry an order, and so are refused once it is stale.
fn carries_an_order(step: Step) -> bool {
    !matches!(
        step,
        Step::AnswerApproval | Step::RecordEvidence | Step::Notify
    )
}

#[test]
fn superseded_it_changes_nothing_from_any_state_on() {
    let mut findings = Findings::default();
    each(2, |trial, state, moment| {
        if trial.scenario.leash.is_leashed() || trial.scenario.ends == "Superseded" {
            return;
        }
        for runs in [false, true] {
            let stage = trial.stage(moment);
            if !supersede(&stage, runs) {
                return;
            }
            let since = stage.scene().history.len();
            let played = trial.go_on(&stage, &moment.position);
            let scene = stage.scene().clone();
            let mut untrue = crate::witness::broken(&scene.history);
            untrue.extend(trial.changed_since(&played, scene, since));
            let end = &played.outcome.end_state;
            let step = trial.machine.step_of(state);
            if step.is_some_and(carries_an_order) && end != "Superseded" {
                untrue.push(format!("it ends as {end}"));
            }
            let of = format!("{} / {state} / superseded, runs {runs}", trial.name());
            findings.add(&of, untrue);
        }
    });
    findings.none_in(50);
}

/// A newer execution takes the pair from whoever holds it, and runs to its end, or not yet; false if nobody holds it.
fn supersede(stage: &Stage, runs: bool) -> bool {
    let target = Alias::new("usw2").expect("an alias");
    let mut scene = stage.scene();
    let Some(ledger) = scene.ledger.clone() else {
        return false;
    };
    if ledger.running().is_none() {
        return false;
    }
    if runs {
        drop(scene);
        let next = Trial::next(stage, Mode::Failover, true);
        return next.outcome.end_state != "Superseded";
    }
    let execution = ledger.next_execution(Mode::Failover, Leash::Acting);
    let next = ledger.claim(&execution, &target, true, scene.now_ms);
    let next = next.expect("it supersedes");
    let happened = Happened::Ledger(Box::new(next.clone()));
    scene.happens(happened);
    scene.ledger = Some(next);
    true
}
