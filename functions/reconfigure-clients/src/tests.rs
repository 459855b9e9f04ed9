//! Who is moved, who is named, and what a repetition leaves alone.

use understudy_fakes::Stage;
use understudy_recovery::client::{Adapter, Application, Role};
use understudy_recovery::contract::WaveRequest;
use understudy_recovery::plan::{Plan, Wave};
use understudy_recovery::{ErrorName, Leash, LossBound, Mode, StepError};
use understudy_shell::PortErrorKind;
use understudy_shell::step::save;

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn stage(leash: Leash) -> Result<(Stage, WaveRequest), StepError> {
    let mut stage = Stage::new();
    let names = ["billing", "search"];
    let application = |name: &str| Application {
        name: name.to_owned(),
        role: Role::Consumer,
        wave: 0,
        adapters: vec![Adapter::File {
            path: format!("{name}.json"),
        }],
        groups: Vec::new(),
        topics: Vec::new(),
    };
    stage.pair.applications = names.map(application).to_vec();
    let order = stage.order(Mode::Failover, leash);
    let mut applications: Vec<String> = names.map(str::to_owned).to_vec();
    applications.push("forgotten".to_owned());
    let plan = Plan {
        mode: order.mode,
        epoch: order.epoch,
        source: order.source.clone(),
        target: order.target.clone(),
        flow: "use1-usw2".to_owned(),
        loss: LossBound::NONE,
        waves: vec![Wave {
            number: 0,
            role: Role::Consumer,
            applications,
        }],
        live_groups: Vec::new(),
        will: Vec::new(),
    };
    save(&stage.world(), "plan", &plan)?;
    let request = WaveRequest {
        order,
        plan: "plan".to_owned(),
        wave: Some(0),
    };
    Ok((stage, request))
}

#[test]
fn one_that_fails_stops_no_other_and_a_repetition_tries_it_alone() -> Outcome {
    let (stage, request) = stage(Leash::Acting)?;
    let world = stage.world();
    let failing = "billing.json.apply".to_owned();
    stage
        .scene()
        .failing
        .insert(failing, PortErrorKind::Refused);
    let first = handle(&world, request.clone())?;
    assert_eq!(first.moved, ["search"]);
    let failed: Vec<_> = first.failed.iter().map(|it| &*it.application).collect();
    assert_eq!(failed, ["billing", "forgotten"]);
    stage.scene().failing.clear();
    let again = handle(&world, request)?;
    assert_eq!(again.moved, ["search", "billing"]);
    let log = stage.scene().log.clone();
    let search = log.iter().filter(|it| it.contains("search")).count();
    assert_eq!(search, 1, "{log:?}");
    Ok(())
}

#[test]
fn one_that_does_not_answer_is_tried_once_more_behind_the_others() -> Outcome {
    let (stage, request) = stage(Leash::Acting)?;
    let failing = "billing.json.apply".to_owned();
    stage
        .scene()
        .failing
        .insert(failing, PortErrorKind::TimedOut);
    let before_ms = stage.scene().now_ms;
    let told = handle(&stage.world(), request)?;
    assert_eq!(told.moved, ["search"]);
    let failed: Vec<_> = told.failed.iter().map(|it| &*it.application).collect();
    assert_eq!(failed, ["forgotten", "billing"]);
    // It waited for the second try.
    assert!(stage.scene().now_ms >= before_ms + 1_000);
    Ok(())
}

#[test]
fn turned_round_they_go_back() -> Outcome {
    let (stage, mut request) = stage(Leash::Acting)?;
    let world = stage.world();
    handle(&world, request.clone())?;
    let order = &mut request.order;
    std::mem::swap(&mut order.source, &mut order.target);
    handle(&world, request)?;
    let log = stage.scene().log.clone();
    assert_eq!(
        log.last().map(String::as_str),
        Some("apply search.json to use1")
    );
    Ok(())
}

#[test]
fn a_wave_that_the_plan_does_not_have_is_a_bad_request() -> Outcome {
    let (stage, mut request) = stage(Leash::Acting)?;
    request.wave = Some(7);
    let error = handle(&stage.world(), request).err();
    assert_eq!(error.map(|it| it.name), Some(ErrorName::BadRequest));
    Ok(())
}

#[test]
fn a_drill_moves_nobody() -> Outcome {
    let (stage, request) = stage(Leash::Leashed)?;
    let would = handle(&stage.world(), request)?;
    assert_eq!(would.moved, ["billing", "search"]);
    assert!(stage.scene().log.is_empty());
    Ok(())
}
