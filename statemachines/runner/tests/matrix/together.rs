//! Recoveries that meet: alarms by the dozen, an alarm in the middle of a switchover, a failover in the middle of a drill;
//! either cluster lost in the middle of a failback.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use understudy_fakes::Stage;
use understudy_machines::shipped;
use understudy_recovery::health::{Layer, Saw, Signal, Vantage};
use understudy_recovery::pair::Automation;
use understudy_recovery::{Alias, Leash, Mode, Step};
use understudy_steps::invoke;

use crate::rig::{People, Played, Rig};
use crate::scenario::{self, from_start};
use crate::trial::{Findings, Trial};
use crate::witness;

const YES: People = People {
    plan: Some(true),
    loss: Some(true),
};

/// The active cluster is gone, and lookers have seen so.
fn lose(stage: &Stage) {
    let mut scene = stage.scene();
    scene.cluster("use1").silent = true;
    let now = scene.now_ms;
    let signals = scene.signals.entry("use1".to_owned()).or_default();
    for seconds_ago in [30, 20, 10] {
        for vantage in [Vantage::Standby, Vantage::Active] {
            signals.push(Signal {
                vantage,
                saw: Saw::Fails {
                    layer: Layer::Connect,
                    reason: "no broker took a connection".to_owned(),
                },
                at_ms: now - seconds_ago * 1_000,
                path_proven: true,
            });
        }
    }
}

fn alarm(stage: &Stage) -> String {
    let event = json!({"alarmData": {
        "alarmName": "understudy-orders-use1-unhealthy", "state": {"value": "ALARM"},
    }});
    let answer = invoke(&stage.world(), Step::TriggerRecovery, event).expect("an answer");
    let outcome = answer.get("outcome").and_then(Value::as_str);
    outcome.unwrap_or_default().to_owned()
}

/// Plays what a trigger started last.
fn play_started(stage: &Stage) -> Played {
    let start = stage.scene().starts.last().cloned().expect("a start");
    let machine = shipped::machine(start.mode).expect("a machine");
    let start = serde_json::to_value(start).expect("JSON");
    let rig = Rig::of(&machine, stage, &start, YES);
    rig.play(from_start(&machine, &start), None)
}

fn active(stage: &Stage) -> String {
    let scene = stage.scene();
    let ledger = scene.ledger.as_ref();
    ledger.map_or("use1".to_owned(), |it| it.active.to_string())
}

#[test]
fn ten_alarms_at_once_are_one_recovery() {
    let mut stage = Stage::new().with_life();
    stage.pair.automation = Automation::Automatic;
    lose(&stage);
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let fired: Vec<_> = (0..10).map(|_| scope.spawn(|| alarm(&stage))).collect();
        fired
            .into_iter()
            .map(|it| it.join().expect("an outcome"))
            .collect()
    });
    let started = outcomes.iter().filter(|it| *it == "started").count();
    assert_eq!(started, 1, "{outcomes:?}");
    let played = play_started(&stage);
    assert_eq!(played.outcome.end_state, "TargetActive");
    assert_eq!(active(&stage), "usw2");
    // What was the active cluster is no longer: its alarm asks for nothing.
    assert_eq!(alarm(&stage), "ignored");
    let scene = stage.scene();
    let executions: BTreeSet<_> = scene.starts.iter().map(|it| &it.execution).collect();
    assert_eq!(executions.len(), 1);
    assert_eq!(witness::broken(&scene.history), Vec::<String>::new());
}

#[test]
fn ten_executions_of_one_epoch_are_one_recovery() {
    let mut stage = Stage::new().with_life();
    stage.pair.consent.max_lost_records = 1_000;
    stage.pair.consent.max_age_seconds = 1_000;
    let first = scenario::start(&stage, Mode::Failover, Leash::Acting);
    let machine = shipped::machine(Mode::Failover).expect("a machine");
    let mut ends = Vec::new();
    for attempt in 1..=10 {
        let mut start = first.clone();
        if let Some(name) = start.get_mut("execution") {
            *name = format!("orders-e1-failover-{attempt}").into();
        }
        let rig = Rig::of(&machine, &stage, &start, YES);
        let played = rig.play(from_start(&machine, &start), None);
        ends.push(played.outcome.end_state);
    }
    assert_eq!(ends.iter().filter(|it| *it == "TargetActive").count(), 1);
    assert_eq!(ends.iter().filter(|it| *it == "Superseded").count(), 9);
    assert_eq!(
        witness::broken(&stage.scene().history),
        Vec::<String>::new()
    );
}

/// The switchover that nothing disturbs.
fn switchover() -> Trial {
    let ways = scenario::all().into_iter();
    let mut plain = ways.filter(|it| it.mode == Mode::Switchover && it.ends == "TargetActive");
    Trial::of(plain.next().expect("a plain switchover"))
}

#[test]
fn an_alarm_during_a_switchover_is_a_failover_that_finishes_it_from_any_state() {
    let trial = switchover();
    let mut findings = Findings::default();
    for (state, moment) in &trial.moments {
        let mut stage = trial.stage(moment);
        stage.pair.automation = Automation::Automatic;
        stage.pair.consent.max_lost_records = 1_000;
        stage.pair.consent.max_age_seconds = 1_000;
        let moved = active(&stage) == "usw2";
        lose(&stage);
        let outcome = alarm(&stage);
        let mut untrue = Vec::new();
        if outcome == "started" {
            let failover = play_started(&stage);
            let end = failover.outcome.end_state;
            if end != "TargetActive" {
                untrue.push(format!("the failover ends as {end}"));
            }
        } else if !moved {
            untrue.push(format!("the alarm is {outcome}"));
        }
        let since = stage.scene().history.len();
        let rest = trial.go_on(&stage, &moment.position);
        let end = &rest.outcome.end_state;
        if !moved && state != "Begin" && end != "Superseded" {
            untrue.push(format!("the switchover ends as {end}"));
        }
        if !moved {
            let scene = stage.scene().clone();
            untrue.extend(trial.changed_since(&rest, scene, since));
        }
        if active(&stage) != "usw2" {
            untrue.push("usw2 is not active".to_owned());
        }
        untrue.extend(witness::broken(&stage.scene().history));
        findings.add(state, untrue);
    }
    findings.none_in(20);
}

/// The failback that nothing disturbs: `use1` is active, and `usw2` is home, which came back with a tail.
fn failback() -> Trial {
    let ways = scenario::all().into_iter();
    // Of a long tail, others meet a part.
    let mut long = ways.filter(|it| it.name == "a tail takes several turns");
    Trial::of(long.next().expect("a failback"))
}

#[test]
fn the_active_cluster_is_lost_during_a_failback_and_a_failover_takes_over_from_any_state() {
    let trial = failback();
    let mut findings = Findings::default();
    for (state, moment) in &trial.moments {
        let stage = trial.stage(moment);
        let moved = active(&stage) == "usw2";
        stage.scene().cluster("use1").silent = true;
        let mut untrue = Vec::new();
        if !moved {
            // A person knows what is not there: what was written since the cut and was not copied yet.
            let failover = Trial::next(&stage, Mode::Failover, false);
            let end = failover.outcome.end_state;
            if end != "TargetActive" {
                untrue.push(format!("the failover ends as {end}"));
            }
            let since = stage.scene().history.len();
            let rest = trial.go_on(&stage, &moment.position);
            let end = &rest.outcome.end_state;
            // Before its claim it finds home active, and says so.
            if !matches!(state.as_str(), "Begin" | "ClaimEpoch") && end != "Superseded" {
                untrue.push(format!("the failback ends as {end}"));
            }
            let scene = stage.scene().clone();
            untrue.extend(trial.changed_since(&rest, scene, since));
        }
        if active(&stage) != "usw2" {
            untrue.push("usw2 is not active".to_owned());
        }
        // The one that was lost is back, and stands by again.
        stage.scene().cluster("use1").silent = false;
        let mut again = stage.pair.clone();
        again.home = Alias::new("use1").expect("an alias");
        let stage = Stage::of(again, stage.scene().clone());
        if !moved {
            let back = Trial::next(&stage, Mode::Failback, false);
            let end = back.outcome.end_state;
            if end != "TargetActive" {
                untrue.push(format!("the failback to use1 ends as {end}"));
            }
        }
        untrue.extend(witness::broken(&stage.scene().history));
        findings.add(state, untrue);
    }
    findings.none_in(25);
}

#[test]
fn home_is_lost_again_during_a_failback_and_comes_back_once_more() {
    let trial = failback();
    let mut findings = Findings::default();
    for (state, moment) in &trial.moments {
        let stage = trial.stage(moment);
        let moved = active(&stage) == "usw2";
        stage.scene().cluster("usw2").silent = true;
        let rest = trial.go_on(&stage, &moment.position);
        let end = &rest.outcome.end_state;
        let mut untrue = Vec::new();
        if !moved && !matches!(end.as_str(), "SourceStillActive" | "OperatorNeeded") {
            untrue.push(format!("it ends as {end}"));
        }
        if end == "SourceStillActive" && !stage.scene().takes_writes("use1") {
            untrue.push("use1 is active and takes no writes".to_owned());
        }
        stage.scene().cluster("usw2").silent = false;
        if !moved {
            let again = Trial::next(&stage, Mode::Failback, false);
            let outcome = again.outcome;
            if outcome.end_state != "TargetActive" || active(&stage) != "usw2" {
                let why = outcome.variables.get("stand");
                untrue.push(format!(
                    "the next one ends as {}: {why:?}",
                    outcome.end_state
                ));
            }
        }
        untrue.extend(witness::broken(&stage.scene().history));
        findings.add(state, untrue);
    }
    findings.none_in(25);
}

#[test]
fn an_alarm_without_an_outage_during_a_switchover_leaves_nobody_shut_out() {
    let trial = switchover();
    let mut findings = Findings::default();
    for (state, moment) in &trial.moments {
        let mut stage = trial.stage(moment);
        stage.pair.automation = Automation::Automatic;
        let mut untrue = Vec::new();
        if alarm(&stage) == "started" {
            let failover = play_started(&stage);
            let outcome = &failover.outcome;
            if !matches!(outcome.end_state.as_str(), "OperatorNeeded" | "Superseded") {
                let active = active(&stage);
                if !stage.scene().takes_writes(&active) {
                    let end = &outcome.end_state;
                    untrue.push(format!("it ends as {end}, and {active} takes no writes"));
                }
            }
        }
        let _rest = trial.go_on(&stage, &moment.position);
        untrue.extend(witness::broken(&stage.scene().history));
        findings.add(state, untrue);
    }
    findings.none_in(20);
}

#[test]
fn a_failover_during_a_drill_is_not_touched_by_it() {
    let ways = scenario::all().into_iter();
    let mut findings = Findings::default();
    for drill in ways.filter(|it| it.leash.is_leashed()) {
        let trial = Trial::of(drill);
        for (state, moment) in &trial.moments {
            let stage = trial.stage(moment);
            lose(&stage);
            let failover = Trial::next(&stage, Mode::Failover, false);
            let mut untrue = Vec::new();
            if failover.outcome.end_state != "TargetActive" {
                let end = failover.outcome.end_state;
                untrue.push(format!("the failover ends as {end}"));
            }
            let since = stage.scene().history.len();
            let rest = trial.go_on(&stage, &moment.position);
            let scene = stage.scene().clone();
            untrue.extend(trial.changed_since(&rest, scene, since));
            let status = &rest.outcome.status;
            if *status == understudy_machines::Status::Stopped || rest.outcome.path.is_empty() {
                untrue.push(format!("the drill does not end: {status:?}"));
            }
            untrue.extend(witness::broken(&stage.scene().history));
            findings.add(&format!("{} / {state}", trial.name()), untrue);
        }
    }
    findings.none_in(20);
}

#[test]
fn a_second_failover_finishes_a_half_finished_one() {
    let stage = Stage::new().with_life();
    lose(&stage);
    let start = scenario::start(&stage, Mode::Failover, Leash::Acting);
    let machine = shipped::machine(Mode::Failover).expect("a machine");
    let silent = People {
        plan: Some(true),
        loss: None,
    };
    let rig = Rig::of(&machine, &stage, &start, silent);
    let first = rig.play(from_start(&machine, &start), None);
    assert_eq!(first.outcome.end_state, "OperatorNeeded");
    assert_eq!(active(&stage), "use1");
    let second = Trial::next(&stage, Mode::Failover, false);
    assert_eq!(second.outcome.end_state, "TargetActive");
    assert_eq!(active(&stage), "usw2");
    assert_eq!(
        witness::broken(&stage.scene().history),
        Vec::<String>::new()
    );
}
