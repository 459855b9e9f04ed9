//! What counts as being at work.

use understudy_domain::TopicPartition;
use understudy_fakes::Stage;
use understudy_recovery::client::{Application, Role};
use understudy_recovery::contract::{ClientsSeen, WaveRequest};
use understudy_recovery::plan::{Plan, Wave};
use understudy_recovery::{Leash, LossBound, Mode, StepError};
use understudy_shell::step::save;
use understudy_shell::world::{Ends, Presence};

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// `billing` reads `orders`, `shop` writes it; both in one wave.
fn stage() -> Result<(Stage, WaveRequest), StepError> {
    let mut stage = Stage::new();
    let application = |name: &str, groups: &[&str], topics: &[&str]| Application {
        name: name.to_owned(),
        role: Role::Producer,
        wave: 0,
        adapters: Vec::new(),
        groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        topics: topics.iter().map(|it| (*it).to_owned()).collect(),
    };
    stage.pair.applications = vec![
        application("billing", &["billing"], &[]),
        application("shop", &[], &["orders"]),
    ];
    let order = stage.order(Mode::Failover, Leash::Acting);
    let plan = Plan {
        mode: order.mode,
        epoch: order.epoch,
        source: order.source.clone(),
        target: order.target.clone(),
        flow: "use1-usw2".to_owned(),
        loss: LossBound::NONE,
        waves: vec![Wave {
            number: 0,
            role: Role::Producer,
            applications: vec!["billing".to_owned(), "shop".to_owned()],
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

fn end(stage: &Stage, at: i64) {
    let ends = Ends {
        last_stable: at,
        high_watermark: at,
    };
    let orders = TopicPartition::new("orders", 0);
    stage.scene().cluster("usw2").ends.insert(orders, ends);
}

fn billing(stage: &Stage, presence: Presence, at: i64) {
    let mut scene = stage.scene();
    let target = scene.cluster("usw2");
    target.groups.insert("billing".to_owned(), presence);
    let place = ("billing".to_owned(), TopicPartition::new("orders", 0));
    target.places.insert(place, at);
}

fn reasons(seen: &ClientsSeen) -> Vec<&str> {
    seen.waiting.iter().map(|it| it.reason.as_str()).collect()
}

#[test]
fn a_group_must_be_live_and_move_and_a_topic_must_grow() -> Outcome {
    let (stage, request) = stage()?;
    let world = stage.world();
    end(&stage, 100);
    billing(&stage, Presence::Empty, 40);
    let seen = handle(&world, request.clone())?;
    assert_eq!(
        reasons(&seen),
        [
            "nobody is in group billing yet",
            "nothing new in orders yet"
        ]
    );
    billing(&stage, Presence::Live, 40);
    let seen = handle(&world, request.clone())?;
    let still = "group billing is live and does not move yet";
    assert_eq!(reasons(&seen), [still, "nothing new in orders yet"]);
    billing(&stage, Presence::Live, 45);
    let seen = handle(&world, request.clone())?;
    assert_eq!(seen.back, ["billing"]);
    end(&stage, 101);
    let seen = handle(&world, request)?;
    assert!(seen.all_back, "{seen:?}");
    Ok(())
}

#[test]
fn a_consumer_with_nothing_to_read_is_back_when_it_is_live() -> Outcome {
    let (stage, request) = stage()?;
    end(&stage, 40);
    billing(&stage, Presence::Live, 40);
    let seen = handle(&stage.world(), request)?;
    assert_eq!(seen.back, ["billing"]);
    Ok(())
}
