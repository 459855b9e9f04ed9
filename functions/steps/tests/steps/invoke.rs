//! Whatever is handed to a step, an answer or a named error comes back.

use crate::support::{Drill, Outcome};
use serde_json::{Value, json};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::world::Measured;

#[test]
fn a_payload_that_does_not_fit_is_a_bad_request_for_every_step() {
    let drill = Drill::new();
    for step in Step::ALL {
        for payload in [
            Value::Null,
            json!({}),
            json!([]),
            json!("x"),
            json!({"order": 7}),
        ] {
            let answer = drill.invoke(step, payload.clone());
            let error = answer.expect_err("it does not fit");
            assert_eq!(
                error.name,
                ErrorName::BadRequest,
                "{step} {payload}: {error}"
            );
        }
    }
}

#[test]
fn the_field_that_does_not_fit_is_named() {
    let drill = Drill::new();
    let mut start = drill.start("failover", "acting");
    if let Some(at) = start.pointer_mut("/wished_at_ms") {
        *at = json!("yesterday");
    }
    let answer = drill.invoke(Step::ClaimEpoch, json!({ "start": start }));
    let error = answer.expect_err("a time is a number");
    assert!(error.text.contains("start.wished_at_ms"), "{error}");
}

#[test]
fn every_committed_event_fits_its_step() -> Outcome {
    for step in Step::ALL {
        // From the package's folder, where tests run: a path that is compiled in may be that of another clone.
        let path = format!("../../statemachines/contracts/{step}.request.json");
        let text = std::fs::read_to_string(&path).expect("each step has an event");
        let payload: Value = serde_json::from_str(&text).expect("JSON");
        let drill = Drill::new();
        if let Err(error) = drill.invoke(step, payload) {
            // Nothing has gone before: what is missing is state, not a field.
            assert!(
                !error.text.contains("does not understand"),
                "{step}: {error}"
            );
        }
    }
    Ok(())
}

#[test]
fn people_are_told_the_same_once() -> Outcome {
    let drill = Drill::new();
    let notice = json!({
        "pair": "orders", "execution": "orders-e1-failover-1",
        "subject": "orders: TargetActive\nsecond line", "text": "usw2 is active",
    });
    let first = drill.invoke(Step::Notify, notice.clone())?;
    assert_eq!(drill.invoke(Step::Notify, notice)?, first);
    let said = drill.said();
    assert_eq!(said.told.len(), 1);
    let subject = said.told.first().and_then(|it| it.split('\n').next());
    assert_eq!(subject, Some("orders: TargetActive second line"));
    Ok(())
}

#[test]
fn the_prober_that_stands_by_measures_certificates_and_recoveries_that_are_overdue() -> Outcome {
    let drill = Drill::new();
    let now_ms = drill.now_ms();
    let measured = |vantage: &str| -> Result<Vec<Measured>, StepError> {
        drill.said().measured.clear();
        let probe = json!({"about": "use1", "vantage": vantage});
        drill.invoke(Step::ProbeHealth, probe)?;
        Ok(drill.said().measured.iter().map(|(_, it)| *it).collect())
    };
    let steady = Measured {
        certificate_days: None,
        recovery_overdue_seconds: Some(0),
    };
    assert_eq!(measured("standby")?, [steady]);
    assert_eq!(measured("active")?, [], "the other one does");
    let ends = now_ms / 1_000 + 20 * 86_400 - 1;
    drill.stage.scene().cluster("use1").certificate_ends = Some(ends);
    let before_three_weeks = Measured {
        certificate_days: Some(19),
        ..steady
    };
    assert_eq!(measured("standby")?, [before_three_weeks]);
    let down = understudy_shell::PortErrorKind::Unreachable;
    let failing = |scene: &mut understudy_fakes::Scene| {
        scene.failing.insert("ledger.read".to_owned(), down);
    };
    failing(&mut drill.stage.scene());
    let nobody_knows = Measured {
        recovery_overdue_seconds: None,
        ..before_three_weeks
    };
    assert_eq!(measured("standby")?, [nobody_knows]);
    Ok(())
}

#[test]
fn a_probe_publishes_what_it_saw_and_whether_its_path_is_proven() -> Outcome {
    let drill = Drill::new();
    let probe = json!({"about": "use1", "vantage": "standby"});
    let seen = drill.invoke(Step::ProbeHealth, probe.clone())?;
    assert_eq!(seen.pointer("/saw/saw"), Some(&json!("serves")));
    drill.said().silent.insert("use1".to_owned());
    let seen = drill.invoke(Step::ProbeHealth, probe.clone())?;
    assert_eq!(seen.pointer("/saw/layer"), Some(&json!("connect")));
    assert_eq!(
        seen.pointer("/path_proven"),
        Some(&json!(true)),
        "usw2 answered"
    );
    drill.said().silent.insert("usw2".to_owned());
    let down = understudy_shell::PortErrorKind::Unreachable;
    drill
        .stage
        .scene()
        .failing
        .insert("ledger.read".to_owned(), down);
    let seen = drill.invoke(Step::ProbeHealth, probe)?;
    assert_eq!(
        seen.pointer("/path_proven"),
        Some(&json!(false)),
        "nothing did"
    );
    let signals = drill.said().signals.get("use1").map(Vec::len);
    assert_eq!(signals, Some(3));
    let foreign = json!({"about": "eu1", "vantage": "active"});
    let error = drill
        .invoke(Step::ProbeHealth, foreign)
        .expect_err("no such cluster");
    assert_eq!(error.name, ErrorName::BadRequest);
    Ok(())
}

#[test]
fn a_defect_is_a_named_error() {
    let drill = Drill::new();
    drill.said().breaks = true;
    let notice = json!({
        "pair": "orders", "execution": "orders-e1-failover-1", "subject": "s", "text": "t",
    });
    let error = drill.invoke(Step::Notify, notice).expect_err("it breaks");
    assert_eq!(error.name, ErrorName::Internal);
    assert!(error.text.contains("told to break"), "{error}");
}
