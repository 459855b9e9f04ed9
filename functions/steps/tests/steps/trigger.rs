//! Alarms, schedules and people: what starts a recovery, and what does not.

use crate::support::{Drill, Outcome};
use serde_json::{Value, json};
use understudy_fakes::Stage;
use understudy_recovery::health::Vantage;
use understudy_recovery::pair::Automation;
use understudy_recovery::{Alias, ErrorName, Step, StepError};

const SNS: &str = include_str!("../../../trigger-recovery/events/alarm-over-sns.json");
const DIRECT: &str = include_str!("../../../trigger-recovery/events/alarm-direct.json");
const CHANGE: &str = include_str!("../../../trigger-recovery/events/alarm-state-change.json");
const CANNOT_TELL: &str =
    include_str!("../../../trigger-recovery/events/alarm-insufficient-data.json");
const LOOK: &str = include_str!("../../../trigger-recovery/events/look-again.json");
const FAILOVER: &str = include_str!("../../../trigger-recovery/events/person-failover.json");
const DRILL: &str = include_str!("../../../trigger-recovery/events/person-drill.json");

fn event(text: &str) -> Value {
    serde_json::from_str(text).expect("an event")
}

fn trigger(drill: &Drill, event: Value) -> Result<(String, String), StepError> {
    let answer = drill.invoke(Step::TriggerRecovery, event)?;
    let text = |key: &str| {
        let text = answer.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    Ok((text("outcome"), text("reason")))
}

fn started(drill: &Drill) -> Vec<String> {
    let said = drill.said();
    said.starts
        .iter()
        .map(|it| it.execution.to_string())
        .collect()
}

#[test]
fn ten_alarms_of_every_kind_are_one_execution() -> Outcome {
    let drill = Drill::new();
    let outcomes: Vec<String> = [
        SNS, DIRECT, CHANGE, SNS, DIRECT, CHANGE, SNS, DIRECT, SNS, SNS,
    ]
    .into_iter()
    .map(|text| trigger(&drill, event(text)).map(|it| it.0))
    .collect::<Result<_, _>>()?;
    assert_eq!(outcomes.first().map(String::as_str), Some("started"));
    assert!(
        outcomes.iter().skip(1).all(|it| it == "under-way"),
        "{outcomes:?}"
    );
    assert_eq!(started(&drill), ["orders-e1-failover-1"]);
    drill.claim("failover", "acting")?;
    assert_eq!(
        trigger(&drill, event(SNS))?.0,
        "under-way",
        "and after the claim too"
    );
    assert_eq!(started(&drill).len(), 1);
    Ok(())
}

#[test]
fn only_a_firing_alarm_about_the_active_cluster_acts() -> Outcome {
    let drill = Drill::new();
    assert_eq!(trigger(&drill, event(CANNOT_TELL))?.0, "ignored");
    for (name, state) in [
        ("understudy-orders-use1-unhealthy", "OK"),
        ("understudy-orders-usw2-unhealthy", "ALARM"),
        ("somebody-elses", "ALARM"),
    ] {
        let alarm = json!({"alarmData": {"alarmName": name, "state": {"value": state}}});
        assert_eq!(trigger(&drill, alarm)?.0, "ignored", "{name} {state}");
    }
    assert!(started(&drill).is_empty());
    Ok(())
}

#[test]
fn a_run_that_died_before_its_claim_does_not_block_the_next() -> Outcome {
    let drill = Drill::new();
    trigger(&drill, event(SNS))?;
    drill
        .said()
        .executions
        .insert("orders-e1-failover-1".to_owned(), false);
    assert_eq!(trigger(&drill, event(SNS))?.0, "started");
    assert_eq!(
        started(&drill),
        ["orders-e1-failover-1", "orders-e1-failover-2"]
    );
    Ok(())
}

#[test]
fn a_failover_does_not_start_in_the_region_that_is_lost() -> Outcome {
    let mut drill = Drill::new();
    drill.world.here = Alias::new("use1").ok();
    let (outcome, reason) = trigger(&drill, event(FAILOVER))?;
    assert_eq!(outcome, "refused");
    assert!(reason.contains("Region of usw2"), "{reason}");
    drill.world.here = Alias::new("usw2").ok();
    assert_eq!(trigger(&drill, event(FAILOVER))?.0, "started");
    Ok(())
}

#[test]
fn who_only_observes_is_told_once_and_nothing_starts() -> Outcome {
    let mut stage = Stage::new();
    stage.pair.automation = Automation::ObserveOnly;
    let drill = Drill::of(stage);
    assert_eq!(trigger(&drill, event(SNS))?.0, "told");
    assert_eq!(trigger(&drill, event(DIRECT))?.0, "told");
    assert_eq!(drill.said().told.len(), 1);
    assert!(started(&drill).is_empty());
    assert_eq!(
        trigger(&drill, event(FAILOVER))?.0,
        "started",
        "a person may"
    );
    Ok(())
}

#[test]
fn the_schedule_acts_on_what_stands_and_never_on_what_it_cannot_tell() -> Outcome {
    let drill = Drill::new();
    let (outcome, reason) = trigger(&drill, event(LOOK))?;
    assert_eq!(outcome, "ignored");
    assert!(reason.contains("cannot be told"), "{reason}");
    drill.looked("use1", Vantage::Standby, 10, false);
    drill.looked("use1", Vantage::Standby, 5, false);
    assert_eq!(
        trigger(&drill, event(LOOK))?.0,
        "ignored",
        "one vantage is not enough"
    );
    drill.lose("use1");
    assert_eq!(trigger(&drill, event(LOOK))?.0, "started");
    assert_eq!(
        trigger(&drill, json!({"schedule": "x", "pair": "other"}))?.0,
        "ignored"
    );
    Ok(())
}

#[test]
fn the_schedule_rests_after_a_recovery_that_moved_nothing() -> Outcome {
    let drill = Drill::new();
    drill.lose("use1");
    trigger(&drill, event(LOOK))?;
    drill.claim("failover", "acting")?;
    let start = drill.start("failover", "acting");
    drill.invoke(
        Step::RecordEvidence,
        json!({"start": start, "ended": "SourceStillActive", "error": null}),
    )?;
    let (outcome, reason) = trigger(&drill, event(LOOK))?;
    assert_eq!(outcome, "ignored");
    assert!(reason.contains("SourceStillActive"), "{reason}");
    Ok(())
}

#[test]
fn an_alarm_during_a_switchover_is_a_failover_of_its_own() -> Outcome {
    let drill = Drill::new();
    drill.claim("switchover", "acting")?;
    let (outcome, reason) = trigger(&drill, event(SNS))?;
    assert_eq!(outcome, "ignored", "nothing else says that use1 is gone");
    assert!(reason.contains("orders-e1-switchover-1"), "{reason}");
    drill.lose("use1");
    assert_eq!(trigger(&drill, event(SNS))?.0, "started");
    assert_eq!(started(&drill), ["orders-e2-failover-1"]);
    Ok(())
}

#[test]
fn an_alarm_does_not_start_over_what_needs_a_person_and_a_person_does() -> Outcome {
    let drill = Drill::new();
    drill.claim("failover", "acting")?;
    let start = drill.start("failover", "acting");
    drill.invoke(
        Step::RecordEvidence,
        json!({"start": start, "ended": "OperatorNeeded", "error": null}),
    )?;
    assert_eq!(trigger(&drill, event(SNS))?.0, "refused");
    assert_eq!(trigger(&drill, event(FAILOVER))?.0, "started");
    Ok(())
}

#[test]
fn a_drill_stands_in_nobodys_way() -> Outcome {
    let drill = Drill::new();
    assert_eq!(trigger(&drill, event(DRILL))?.0, "started");
    assert_eq!(trigger(&drill, event(SNS))?.0, "started");
    assert_eq!(
        started(&drill),
        ["orders-e1-switchover-1-drill", "orders-e1-failover-1"]
    );
    Ok(())
}

#[test]
fn a_foreign_event_is_a_bad_request_that_says_what_is_understood() {
    let drill = Drill::new();
    for foreign in [
        json!({}),
        json!([1, 2]),
        json!({"Records": [{"Sns": {"Message": "hello"}}]}),
        json!({"Records": [{"s3": {}}]}),
        json!({"mode": "failover"}),
        json!({"mode": "failover", "wish": {"by": "alarm", "alarm": "x"}}),
        json!({"mode": "sideways", "wish": {"name": "a", "reason": "b"}}),
        json!({"mode": "failover", "wish": {"name": "a", "reason": "b"}, "force": true}),
        json!({"alarmData": {"alarmName": "x", "state": {"value": "PURPLE"}}}),
    ] {
        let error = trigger(&drill, foreign.clone()).expect_err("it is foreign");
        assert_eq!(error.name, ErrorName::BadRequest, "{foreign}: {error}");
    }
    assert!(started(&drill).is_empty());
}
