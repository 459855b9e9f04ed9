//! From the claim to the plan, and the question to a person.

use crate::support::{Drill, Outcome};
use serde_json::{Value, json};
use understudy_domain::TopicPartition;
use understudy_fakes::Stage;
use understudy_recovery::health::Vantage;
use understudy_recovery::pair::Silence;
use understudy_recovery::{Alias, ErrorName, Ledger, Step};
use understudy_shell::PortErrorKind;
use understudy_shell::world::{Ends, Presence};

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[test]
fn a_claim_is_one_claim_however_often_it_is_asked() -> Outcome {
    let drill = Drill::new();
    let order = drill.claim("failover", "acting")?;
    assert_eq!(text(&order, "/source"), "use1");
    assert_eq!(text(&order, "/target"), "usw2");
    let version = drill.stage.scene().ledger.as_ref().map(|it| it.version);
    assert_eq!(drill.claim("failover", "acting")?, order);
    let scene = drill.stage.scene();
    assert_eq!(scene.ledger.as_ref().map(|it| it.version), version);
    Ok(())
}

#[test]
fn a_claim_asked_again_after_the_target_was_opened_names_the_same_clusters() -> Outcome {
    let drill = Drill::new();
    let order = drill.claim("failover", "acting")?;
    {
        let mut scene = drill.stage.scene();
        let execution = "orders-e1-failover-1".parse().expect("a name");
        let opened = scene.ledger.as_ref().map(|it| it.activated(&execution));
        scene.ledger = opened.and_then(Result::ok);
        // Whatever became of the store.
        scene.store.clear();
    }
    assert_eq!(drill.claim("failover", "acting")?, order);
    Ok(())
}

#[test]
fn a_leashed_claim_writes_no_ledger_and_carries_the_epoch_it_would_have() -> Outcome {
    let drill = Drill::new();
    let order = drill.claim("failover", "leashed")?;
    assert_eq!(order.pointer("/epoch"), Some(&json!(1)));
    assert_eq!(drill.stage.scene().ledger, None);
    Ok(())
}

#[test]
fn a_claim_that_contradicts_itself_or_comes_late_is_refused() -> Outcome {
    let drill = Drill::new();
    let mut start = drill.start("failover", "acting");
    if let Some(mode) = start.pointer_mut("/mode") {
        *mode = json!("switchover");
    }
    let refused = drill.invoke(Step::ClaimEpoch, json!({ "start": start }));
    assert_eq!(
        refused.expect_err("it contradicts").name,
        ErrorName::BadRequest
    );

    let late = drill.start("failover", "acting");
    let newer = Ledger {
        epoch: understudy_recovery::Epoch::new(4),
        version: 9,
        ..Ledger::new(
            drill.world.pair.name.clone(),
            Alias::new("use1").expect("an alias"),
        )
    };
    drill.stage.scene().ledger = Some(newer);
    let refused = drill.invoke(Step::ClaimEpoch, json!({ "start": late }));
    assert_eq!(refused.expect_err("it is late").name, ErrorName::StaleEpoch);
    let record = drill.stored("recoveries/orders-e1-failover-1/steps/claim-epoch.json");
    assert_eq!(text(&record, "/error/0"), "StaleEpoch", "and that is kept");
    Ok(())
}

#[test]
fn a_failback_from_home_is_refused() {
    let drill = Drill::new();
    let start = drill.start("failback", "acting");
    let refused = drill.invoke(Step::ClaimEpoch, json!({ "start": start }));
    let error = refused.expect_err("it is at home");
    assert!(error.text.contains("at home"), "{error}");
}

/// A pair with two partitions, whose ends are seen.
fn mirrored() -> Stage {
    let stage = Stage::new();
    stage.mirror("orders", 0, 100, 120);
    stage.mirror("orders", 1, 50, 60);
    {
        let mut scene = stage.scene();
        for (alias, ends) in [("use1", [100, 53]), ("usw2", [121, 61])] {
            for (partition, end) in (0..).zip(ends) {
                let of = TopicPartition::new("orders", partition);
                let both = Ends {
                    last_stable: end,
                    high_watermark: end,
                };
                scene.cluster(alias).ends.insert(of, both);
            }
        }
        let on = scene.cluster("usw2");
        on.groups.insert("billing".to_owned(), Presence::Empty);
        on.groups.insert("fraud".to_owned(), Presence::Live);
        let place = (
            ("billing".to_owned(), TopicPartition::new("orders", 0)),
            120,
        );
        on.places.extend([place]);
    }
    stage
}

#[test]
fn a_living_pair_is_assessed_with_its_real_ends() -> Outcome {
    let drill = Drill::of(mirrored());
    let order = drill.claim("switchover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    assert_eq!(text(&assessed, "/source_health"), "healthy");
    assert_eq!(text(&assessed, "/target_health"), "healthy");
    assert_eq!(assessed.pointer("/loss/records_at_least"), Some(&json!(3)));
    assert_eq!(assessed.pointer("/loss/records_at_most"), Some(&json!(3)));
    let kept = drill.stored(text(&assessed, "/assessment"));
    assert_eq!(kept.pointer("/live_groups"), Some(&json!(["fraud"])));
    assert_eq!(kept.pointer("/flow/partitions"), Some(&json!(2)));
    Ok(())
}

#[test]
fn a_lost_source_is_what_was_found_and_no_error() -> Outcome {
    let drill = Drill::of(mirrored());
    drill.lose("use1");
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    assert_eq!(text(&assessed, "/source_health"), "unhealthy");
    assert_eq!(assessed.pointer("/target_is_fit"), Some(&json!(true)));
    assert_eq!(
        assessed.pointer("/loss/records_at_most"),
        Some(&Value::Null),
        "no rate was seen"
    );
    Ok(())
}

#[test]
fn a_silent_prober_of_a_dark_region_is_a_second_signal() -> Outcome {
    let drill = Drill::of(mirrored());
    drill.said().silent.insert("use1".to_owned());
    // Its own prober fell silent a minute and a half ago; ours has seen it fail since.
    for seconds_ago in [130, 110, 90] {
        drill.looked("use1", Vantage::Active, seconds_ago, true);
    }
    for seconds_ago in [40, 20] {
        drill.looked("use1", Vantage::Standby, seconds_ago, false);
    }
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    assert_eq!(text(&assessed, "/source_health"), "unhealthy");
    Ok(())
}

#[test]
fn where_nothing_answers_nothing_is_said_of_either_cluster() -> Outcome {
    let drill = Drill::of(mirrored());
    drill
        .said()
        .silent
        .extend(["use1".to_owned(), "usw2".to_owned()]);
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    assert_eq!(text(&assessed, "/source_health"), "unknown");
    assert_eq!(assessed.pointer("/target_is_fit"), Some(&json!(false)));
    Ok(())
}

#[test]
fn the_fastest_rate_that_probers_saw_bounds_the_loss() -> Outcome {
    let drill = Drill::of(mirrored());
    let probe = json!({"about": "use1", "vantage": "standby"});
    let written = [0_i64, 500, 520];
    for more in written {
        {
            let mut scene = drill.stage.scene();
            scene.now_ms += 10_000;
            let now = scene.now_ms;
            for mirrored in &mut scene.flow("forward.toml").positions {
                let position = &mut mirrored.position;
                let end = position.source_offset.get() + more;
                position.source_offset = understudy_domain::SourceOffset::new(end);
                position.source_end_offset = Some(position.source_offset);
                position.source_end_seen_at_ms = Some(now);
            }
        }
        drill.invoke(Step::ProbeHealth, probe.clone())?;
    }
    drill.stage.scene().now_ms += 2_000;
    drill.lose("use1");
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    // 2 × 520 records in 10 s; 2 s unseen.
    assert_eq!(assessed.pointer("/loss/records_at_most"), Some(&json!(208)));
    assert_eq!(assessed.pointer("/loss/records_at_least"), Some(&json!(0)));
    Ok(())
}

#[test]
fn where_nobody_probes_copies_tell_how_fast_the_source_was_written_to_and_how_old_a_loss_is()
-> Outcome {
    let drill = Drill::of(mirrored());
    {
        let mut scene = drill.stage.scene();
        let now = scene.now_ms;
        for (mirrored, lost) in scene.flow("forward.toml").positions.iter_mut().zip([0, 3]) {
            let position = &mut mirrored.position;
            let end = position.source_offset.get() + lost;
            position.source_end_offset = Some(understudy_domain::SourceOffset::new(end));
            position.source_end_seen_at_ms = Some(now);
        }
        // Five copies a second and partition up to now, the newest fifth of a second ago.
        for (partition, end) in [(0, 120), (1, 60)] {
            let copies = (0..50).map(|n| (now - 100 - 200 * n, end - 1 - n));
            let of = TopicPartition::new("orders", partition);
            scene.cluster("usw2").written.insert(of, copies.collect());
        }
        scene.now_ms += 2_000;
    }
    drill.lose("use1");
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    // Ten records a second, 2 s unseen, and the three that were seen to lack.
    assert_eq!(assessed.pointer("/loss/records_at_least"), Some(&json!(3)));
    assert_eq!(assessed.pointer("/loss/records_at_most"), Some(&json!(23)));
    // They came behind a copy that was written within five seconds.
    assert_eq!(assessed.pointer("/loss/seconds_at_most"), Some(&json!(5.0)));
    Ok(())
}

#[test]
fn a_plan_is_the_same_when_it_is_decided_again() -> Outcome {
    let drill = Drill::of(mirrored());
    drill.lose("use1");
    let order = drill.claim("failover", "acting")?;
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    let request = json!({
        "order": order,
        "assessment": assessed.get("assessment"),
        "wish": {"by": "person", "name": "maria", "reason": "dark"},
        "consent": {"max_lost_records": 10, "max_age_seconds": 10},
    });
    let planned = drill.invoke(Step::PlanRecovery, request.clone())?;
    assert_eq!(drill.invoke(Step::PlanRecovery, request)?, planned);
    assert!(!text(&planned, "/decision").is_empty());
    let consent = drill.stored("recoveries/orders-e1-failover-1/consent.json");
    assert_eq!(consent.pointer("/max_lost_records"), Some(&json!(10)));
    Ok(())
}

fn question(order: &Value, token: &str, digest: &str) -> Value {
    json!({
        "order": order, "token": token, "question": "Fail over?", "digest": digest,
        "deadline_seconds": 600,
    })
}

#[test]
fn people_are_told_once_and_never_the_token() -> Outcome {
    let drill = Drill::new();
    let order = drill.claim("failover", "acting")?;
    for token in ["secret-1", "secret-2", "secret-2"] {
        drill.invoke(Step::RequestApproval, question(&order, token, "abc"))?;
    }
    drill.invoke(
        Step::RequestApproval,
        question(&order, "secret-3", "abc-loss"),
    )?;
    let said = drill.said();
    assert_eq!(said.told.len(), 2, "once for each question");
    assert!(
        said.told
            .iter()
            .all(|it| !it.contains("secret") && it.contains("abc"))
    );
    Ok(())
}

#[test]
fn the_first_answer_stays_and_goes_to_the_newest_token() -> Outcome {
    let drill = Drill::new();
    let order = drill.claim("failover", "acting")?;
    drill.invoke(Step::RequestApproval, question(&order, "one", "abc"))?;
    drill.invoke(Step::RequestApproval, question(&order, "two", "abc"))?;
    let answer = |approve: bool, by: &str, digest: &str| json!({"execution": "orders-e1-failover-1", "digest": digest, "approve": approve, "by": by});
    let other = drill.invoke(Step::AnswerApproval, answer(true, "eve", "xyz"));
    assert_eq!(
        other.expect_err("another plan").name,
        ErrorName::PlanChanged
    );
    let first = drill.invoke(Step::AnswerApproval, answer(true, "jun", "abc"))?;
    let second = drill.invoke(Step::AnswerApproval, answer(false, "eve", "abc"))?;
    assert_eq!(first, second);
    assert_eq!(text(&second, "/by"), "jun");
    let said = drill.said();
    assert!(said.answers.iter().all(|(token, _)| token == "two"));
    Ok(())
}

#[test]
fn an_answer_between_two_tokens_is_passed_on() -> Outcome {
    let drill = Drill::new();
    let order = drill.claim("failover", "acting")?;
    drill.invoke(Step::RequestApproval, question(&order, "one", "abc"))?;
    drill.said().gone.insert("one".to_owned());
    drill.invoke(
        Step::AnswerApproval,
        json!({"execution": "orders-e1-failover-1", "digest": "abc", "approve": false, "by": "jun"}),
    )?;
    let asked = drill.invoke(Step::RequestApproval, question(&order, "two", "abc"))?;
    assert_eq!(asked.pointer("/answered/approved"), Some(&json!(false)));
    let answers = drill.said().answers.clone();
    assert_eq!(answers.first().map(|it| it.0.as_str()), Some("two"));
    Ok(())
}

#[test]
fn silence_means_what_the_pair_says() -> Outcome {
    for (silence, approved) in [(Silence::Reject, false), (Silence::Approve, true)] {
        let mut stage = Stage::new();
        stage.pair.approval.silence = silence;
        let drill = Drill::of(stage);
        let order = drill.claim("failover", "acting")?;
        drill.invoke(Step::RequestApproval, question(&order, "one", "abc"))?;
        drill.said().gone.insert("one".to_owned());
        let answer = drill.invoke(
            Step::AnswerApproval,
            json!({"execution": "orders-e1-failover-1", "by": "nobody"}),
        )?;
        assert_eq!(answer.pointer("/approved"), Some(&json!(approved)));
    }
    Ok(())
}

#[test]
fn an_answer_to_nothing_is_a_bad_request() {
    let drill = Drill::new();
    let answer = json!({"execution": "orders-e1-failover-1", "approve": true, "by": "jun"});
    let error = drill
        .invoke(Step::AnswerApproval, answer)
        .expect_err("nobody asks");
    assert_eq!(error.name, ErrorName::BadRequest);
}

#[test]
fn a_ledger_that_is_busy_is_tried_again_and_one_that_is_gone_is_named() -> Outcome {
    let drill = Drill::new();
    let failing = |kind| {
        let mut scene = drill.stage.scene();
        scene.failing.insert("ledger.write".to_owned(), kind);
    };
    for (kind, name) in [
        (PortErrorKind::Conflict, ErrorName::LedgerConflict),
        (PortErrorKind::Unreachable, ErrorName::LedgerUnreachable),
    ] {
        failing(kind);
        let error = drill.claim("failover", "acting").expect_err("it fails");
        assert_eq!(error.name, name);
    }
    drill.stage.scene().failing.clear();
    drill.claim("failover", "acting").map(|_order| ())
}

#[test]
fn a_source_that_never_comes_back_costs_no_more_than_its_bound() -> Outcome {
    let drill = Drill::of(mirrored());
    let order = drill.claim("failover", "acting")?;
    drill.said().hanging.insert("use1".to_owned());
    let began = std::time::Instant::now();
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    assert_eq!(text(&assessed, "/source_health"), "unknown");
    assert_eq!(text(&assessed, "/target_health"), "healthy");
    Ok(())
}

#[test]
fn a_thousand_partitions_and_two_hundred_groups_are_assessed_and_planned_in_time() -> Outcome {
    let stage = Stage::new();
    for partition in 0..1_000 {
        stage.mirror("orders", partition, 100, 120);
    }
    {
        let mut scene = stage.scene();
        for alias in ["use1", "usw2"] {
            let cluster = scene.cluster(alias);
            for group in 0..200 {
                let group = format!("group-{group}");
                cluster.groups.insert(group.clone(), Presence::Empty);
                for partition in 0..100 {
                    let at = TopicPartition::new("orders", partition);
                    cluster.places.insert((group.clone(), at), 90);
                }
            }
        }
    }
    let drill = Drill::of(stage);
    let order = drill.claim("switchover", "acting")?;
    let began = std::time::Instant::now();
    let assessed = drill.invoke(Step::Assess, json!({ "order": order }))?;
    let wish = json!({"by": "person", "name": "maria", "reason": "dark"});
    let request = json!({
        "order": order, "assessment": assessed.get("assessment"), "wish": wish,
    });
    drill.invoke(Step::PlanRecovery, request)?;
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    let kept = drill.stored(text(&assessed, "/assessment"));
    assert_eq!(kept.pointer("/places/groups"), Some(&json!(200)));
    Ok(())
}
