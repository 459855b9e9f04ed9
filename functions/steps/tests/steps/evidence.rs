//! The evidence: whatever part is missing, and the ledger told.

use crate::support::{Drill, Outcome};
use serde_json::{Value, json};
use understudy_fakes::Stage;
use understudy_recovery::client::{Application, Role};
use understudy_recovery::{ErrorName, Phase, Step};
use understudy_shell::PortErrorKind;

fn record(
    drill: &Drill,
    mode: &str,
    leash: &str,
    ended: &str,
) -> Result<Value, understudy_recovery::StepError> {
    let start = drill.start(mode, leash);
    let error = json!({"Error": "PlacesUnverified", "Cause": "3 places lie beyond"});
    let error = if ended == "OperatorNeeded" {
        error
    } else {
        Value::Null
    };
    drill.invoke(
        Step::RecordEvidence,
        json!({"start": start, "ended": ended, "error": error}),
    )
}

const JSON: &str = "recoveries/orders-e1-failover-1/evidence.json";
const PAGE: &str = "recoveries/orders-e1-failover-1/page.html";

#[test]
fn a_whole_failover_leaves_its_times_its_cut_and_a_page() -> Outcome {
    let drill = Drill::new();
    drill.stage.mirror("orders", 0, 100, 120);
    drill.lose("use1");
    let order = drill.claim("failover", "acting")?;
    drill.invoke(Step::Assess, json!({ "order": order }))?;
    drill.stage.scene().now_ms += 4_000;
    let sealed = drill.invoke(Step::SealFlow, json!({ "order": order }))?;
    let cut = sealed.get("cut");
    drill.invoke(
        Step::CommitGroupOffsets,
        json!({"order": order, "cut": cut}),
    )?;
    drill.invoke(Step::OpenTarget, json!({ "order": order }))?;
    let recorded = record(&drill, "failover", "acting", "TargetActive")?;
    assert_eq!(recorded.pointer("/page"), Some(&json!(PAGE)));
    let evidence = drill.stored(JSON);
    let after = evidence.pointer("/opened_after_ms").and_then(Value::as_i64);
    assert!(after.is_some_and(|it| it >= 4_000), "{after:?}");
    assert_eq!(
        evidence.pointer("/cut/partitions/0/source_offset"),
        Some(&json!(100))
    );
    let scene = drill.stage.scene();
    let ledger = scene.ledger.as_ref();
    assert_eq!(ledger.map(|it| it.active.as_str()), Some("usw2"));
    assert_eq!(ledger.map(|it| &it.phase), Some(&Phase::Steady));
    let page = scene.store.get(PAGE).cloned().unwrap_or_default();
    assert!(String::from_utf8_lossy(&page).contains("usw2 is active at e1"));
    Ok(())
}

#[test]
fn evidence_written_twice_is_the_same() -> Outcome {
    let drill = Drill::new();
    drill.claim("failover", "acting")?;
    record(&drill, "failover", "acting", "SourceStillActive")?;
    let first = drill.stored(JSON);
    drill.stage.scene().now_ms += 60_000;
    record(&drill, "failover", "acting", "SourceStillActive")?;
    assert_eq!(drill.stored(JSON), first);
    Ok(())
}

#[test]
fn a_claim_that_never_was_leaves_evidence_too_and_no_ledger() -> Outcome {
    let drill = Drill::new();
    record(&drill, "failover", "acting", "OperatorNeeded")?;
    let evidence = drill.stored(JSON);
    assert_eq!(evidence.pointer("/source"), Some(&json!("use1")));
    assert_eq!(
        evidence.pointer("/error"),
        Some(&json!("PlacesUnverified: 3 places lie beyond"))
    );
    assert_eq!(drill.stage.scene().ledger, None);
    Ok(())
}

#[test]
fn what_ended_in_the_middle_is_stuck_and_what_was_superseded_touches_nothing() -> Outcome {
    let drill = Drill::new();
    drill.claim("switchover", "acting")?;
    let stuck = drill.start("switchover", "acting");
    drill.invoke(
        Step::RecordEvidence,
        json!({"start": stuck, "ended": "OperatorNeeded", "error": null}),
    )?;
    let phase = drill.stage.scene().ledger.clone().map(|it| it.phase);
    assert!(matches!(phase, Some(Phase::Stuck(_))));
    let version = drill.stage.scene().ledger.clone().map(|it| it.version);
    drill.invoke(
        Step::RecordEvidence,
        json!({"start": stuck, "ended": "Superseded", "error": null}),
    )?;
    let other = drill.start("failover", "acting");
    drill.invoke(
        Step::RecordEvidence,
        json!({"start": other, "ended": "TargetActive", "error": null}),
    )?;
    assert_eq!(
        drill.stage.scene().ledger.clone().map(|it| it.version),
        version
    );
    Ok(())
}

#[test]
fn a_drill_touches_no_ledger() -> Outcome {
    let drill = Drill::new();
    drill.claim("failover", "leashed")?;
    record(&drill, "failover", "leashed", "DrillDone")?;
    assert_eq!(drill.stage.scene().ledger, None);
    Ok(())
}

#[test]
fn a_store_that_is_gone_does_not_keep_the_ledger_from_being_told() -> Outcome {
    let drill = Drill::new();
    drill.claim("failover", "acting")?;
    for call in ["store.put", "store.get", "store.list"] {
        let mut scene = drill.stage.scene();
        scene
            .failing
            .insert(call.to_owned(), PortErrorKind::Unreachable);
    }
    let error = record(&drill, "failover", "acting", "SourceStillActive").expect_err("no store");
    assert_eq!(error.name, ErrorName::StoreUnreachable);
    let phase = drill.stage.scene().ledger.clone().map(|it| it.phase);
    assert_eq!(phase, Some(Phase::Steady));
    Ok(())
}

#[test]
fn a_ledger_that_is_gone_does_not_keep_the_evidence_from_being_written() -> Outcome {
    let drill = Drill::new();
    drill.claim("failover", "acting")?;
    let failing = ("ledger.read".to_owned(), PortErrorKind::Unreachable);
    drill.stage.scene().failing.extend([failing]);
    let error = record(&drill, "failover", "acting", "TargetActive").expect_err("no ledger");
    assert_eq!(error.name, ErrorName::LedgerUnreachable);
    assert_eq!(
        drill.stored(JSON).pointer("/ended"),
        Some(&json!("TargetActive"))
    );
    drill.stage.scene().failing.clear();
    record(&drill, "failover", "acting", "TargetActive")?;
    let phase = drill.stage.scene().ledger.clone().map(|it| it.phase);
    assert_eq!(phase, Some(Phase::Steady));
    Ok(())
}

#[test]
fn a_part_that_cannot_be_read_is_named() -> Outcome {
    let drill = Drill::new();
    drill.claim("failover", "acting")?;
    let key = "recoveries/orders-e1-failover-1/cut.json".to_owned();
    drill
        .stage
        .scene()
        .store
        .insert(key, b"{ not json".to_vec());
    record(&drill, "failover", "acting", "TargetActive")?;
    let unknown = drill
        .stored(JSON)
        .pointer("/unknown")
        .cloned()
        .unwrap_or_default();
    assert!(unknown.to_string().contains("cut.json"), "{unknown}");
    Ok(())
}

#[test]
fn applications_that_are_not_back_and_those_that_were_not_moved_are_named() -> Outcome {
    let mut stage = Stage::new();
    stage.pair.applications = ["billing", "shipping"]
        .into_iter()
        .map(|name| Application {
            name: name.to_owned(),
            role: Role::Consumer,
            wave: 0,
            adapters: Vec::new(),
            groups: vec![name.to_owned()],
            topics: Vec::new(),
        })
        .collect();
    stage.mirror("orders", 0, 100, 120);
    let drill = Drill::of(stage);
    drill.lose("use1");
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    let wish = json!({"by": "person", "name": "maria", "reason": "dark"});
    let planned = drill.invoke(
        Step::PlanRecovery,
        json!({"order": order, "assessment": assessed.get("assessment"), "wish": wish}),
    )?;
    drill.invoke(Step::SealFlow, json!({ "order": order }))?;
    drill.invoke(Step::OpenTarget, json!({ "order": order }))?;
    let wave = json!({"order": order, "plan": planned.get("plan"), "wave": 0});
    drill.invoke(Step::ReconfigureClients, wave.clone())?;
    drill.invoke(Step::VerifyClients, wave)?;
    let key = "recoveries/orders-e1-failover-1/clients/moved-usw2.0.json".to_owned();
    let moved = br#"["billing"]"#.to_vec();
    drill.stage.scene().store.insert(key, moved);
    record(&drill, "failover", "acting", "TargetActive")?;
    let evidence = drill.stored(JSON);
    let next = evidence.pointer("/next").cloned().unwrap_or_default();
    let next = next.to_string();
    assert!(next.contains("Look at billing: it is not back"), "{next}");
    assert!(next.contains("Move shipping to usw2 by hand"), "{next}");
    assert_eq!(
        evidence.pointer("/clients_back_after_ms"),
        Some(&Value::Null)
    );
    let unknown = evidence.pointer("/unknown").cloned().unwrap_or_default();
    assert!(
        !unknown.to_string().contains("could not be read"),
        "{unknown}"
    );
    Ok(())
}

#[test]
fn what_keeps_applications_from_going_home_is_said_before_anybody_tries() -> Outcome {
    for can_close in [false, true] {
        let mut stage = Stage::new();
        if can_close {
            stage.fence_shop();
        } else {
            stage.pair.fencing.writers.clear();
        }
        let drill = Drill::of(stage);
        drill.lose("use1");
        drill.claim("failover", "acting")?;
        record(&drill, "failover", "acting", "TargetActive")?;
        let next = drill.stored(JSON).pointer("/next").map(Value::to_string);
        let next = next.unwrap_or_default();
        let hindrance = "no application can move there: nothing could shut writers out of usw2";
        assert!(next.contains("--standby-only"), "{next}");
        assert_eq!(next.contains(hindrance), !can_close, "{next}");
    }
    Ok(())
}
