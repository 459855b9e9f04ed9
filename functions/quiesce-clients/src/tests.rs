//! Who is told, how often, and when nobody is left.

use understudy_fakes::Stage;
use understudy_recovery::client::{Adapter, Application, Role};
use understudy_recovery::contract::{Order, WaveRequest};
use understudy_recovery::plan::{Plan, Wave};
use understudy_recovery::{ErrorName, Leash, LossBound, Mode, StepError};
use understudy_shell::PortErrorKind;
use understudy_shell::step::save;
use understudy_shell::world::Presence;

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn application(name: &str, role: Role) -> Application {
    Application {
        name: name.to_owned(),
        role,
        wave: 0,
        adapters: vec![Adapter::File {
            path: format!("{name}.json"),
        }],
        groups: vec![name.to_owned()],
        topics: Vec::new(),
    }
}

fn stage(leash: Leash) -> Result<(Stage, WaveRequest), StepError> {
    let mut stage = Stage::new();
    let (readers, writer) = (["billing", "search"], "shop");
    stage.pair.applications = readers
        .map(|name| application(name, Role::Consumer))
        .to_vec();
    stage
        .pair
        .applications
        .push(application(writer, Role::Producer));
    let order = stage.order(Mode::Switchover, leash);
    save(&stage.world(), "plan", &plan(&order))?;
    for group in readers {
        let mut scene = stage.scene();
        let groups = &mut scene.cluster("use1").groups;
        groups.insert(group.to_owned(), Presence::Live);
    }
    let request = WaveRequest {
        order,
        plan: "plan".to_owned(),
        wave: None,
    };
    Ok((stage, request))
}

fn plan(order: &Order) -> Plan {
    let wave = |number, role, names: &[&str]| Wave {
        number,
        role,
        applications: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    Plan {
        mode: order.mode,
        epoch: order.epoch,
        source: order.source.clone(),
        target: order.target.clone(),
        flow: "use1-usw2".to_owned(),
        loss: LossBound::NONE,
        waves: vec![
            wave(0, Role::Consumer, &["billing", "search"]),
            wave(1, Role::Producer, &["shop"]),
        ],
        live_groups: Vec::new(),
        will: Vec::new(),
    }
}

#[test]
fn consumers_are_told_once_and_waited_for() -> Outcome {
    let (stage, request) = stage(Leash::Acting)?;
    let world = stage.world();
    let first = handle(&world, request.clone())?;
    assert_eq!((first.quiesced, first.live_groups.len()), (false, 2));
    for presence in stage.scene().cluster("use1").groups.values_mut() {
        *presence = Presence::Empty;
    }
    assert!(handle(&world, request)?.quiesced);
    let log = stage.scene().log.clone();
    assert_eq!(
        log,
        [
            "quiesce billing.json on use1",
            "quiesce search.json on use1"
        ]
    );
    Ok(())
}

#[test]
fn one_that_cannot_be_told_is_named_and_the_others_are_told() -> Outcome {
    let (stage, request) = stage(Leash::Acting)?;
    let world = stage.world();
    let failing = "billing.json.quiesce".to_owned();
    stage
        .scene()
        .failing
        .insert(failing, PortErrorKind::Refused);
    let error = handle(&world, request.clone()).err().ok_or("all told")?;
    assert_eq!(error.name, ErrorName::ClientFailed);
    assert!(error.text.contains("billing"), "{error}");
    stage.scene().failing.clear();
    handle(&world, request)?;
    let log = stage.scene().log.clone();
    let search = log.iter().filter(|it| it.contains("search")).count();
    assert_eq!(search, 1, "{log:?}");
    Ok(())
}

#[test]
fn a_drill_stops_nobody_and_asks_no_second_time() -> Outcome {
    let (stage, request) = stage(Leash::Leashed)?;
    assert!(handle(&stage.world(), request)?.quiesced);
    assert!(stage.scene().log.is_empty());
    Ok(())
}
