//! Bulk travels by reference: what steps tell each other of a large pair stays far below what Step Functions carries.

use serde_json::json;
use understudy_domain::TopicPartition;
use understudy_fakes::Stage;
use understudy_recovery::Step;
use understudy_recovery::client::{Application, Role};
use understudy_shell::world::{Ends, Presence};

use crate::support::{Drill, Outcome};

/// What a payload may hold, in bytes; Step Functions takes eight times as much.
const LARGEST: usize = 32 * 1024;
const TOPICS: i32 = 100;
const PARTITIONS: i32 = 10;
const GROUPS: usize = 200;

/// A thousand partitions, two hundred groups that are all live on the target, fifty applications.
fn large() -> Stage {
    let mut stage = Stage::new();
    stage.pair.applications = (0..50)
        .map(|number| Application {
            name: format!("application-with-a-long-name-{number}"),
            role: Role::Consumer,
            wave: 0,
            adapters: Vec::new(),
            groups: vec![format!("group-with-a-long-name-{number}")],
            topics: Vec::new(),
        })
        .collect();
    for topic in 0..TOPICS {
        let name = format!("topic-with-a-long-name-{topic}");
        for partition in 0..PARTITIONS {
            stage.mirror(&name, partition, 100, 120);
            let place = TopicPartition::new(name.as_str(), partition);
            let ends = Ends {
                last_stable: 100,
                high_watermark: 100,
            };
            let mut scene = stage.scene();
            scene.cluster("use1").ends.insert(place.clone(), ends);
            for alias in ["use1", "usw2"] {
                let cluster = scene.cluster(alias);
                for group in 0..GROUPS {
                    let group = format!("group-with-a-long-name-{group}");
                    cluster.groups.insert(group.clone(), Presence::Live);
                    cluster.places.insert((group, place.clone()), 50);
                }
            }
        }
    }
    stage
}

#[test]
fn what_steps_tell_each_other_of_a_large_pair_is_small() -> Outcome {
    let drill = Drill::of(large());
    let order = drill.claim("switchover", "acting")?;
    let mut largest = 0;
    let mut invoke = |step: Step, payload: serde_json::Value| {
        let asked = payload.to_string().len();
        let answer = drill.invoke(step, payload)?;
        let told = answer.to_string().len();
        assert!(asked <= LARGEST, "{step} is asked {asked} bytes");
        assert!(told <= LARGEST, "{step} answers {told} bytes");
        largest = largest.max(asked).max(told);
        Ok::<_, understudy_recovery::StepError>(answer)
    };
    let assessed = invoke(Step::Assess, json!({ "order": order }))?;
    let wish = json!({"by": "person", "name": "maria", "reason": "a test"});
    let planned = invoke(
        Step::PlanRecovery,
        json!({"order": order, "assessment": assessed.get("assessment"), "wish": wish}),
    )?;
    invoke(Step::AwaitDrain, json!({ "order": order }))?;
    invoke(
        Step::QuiesceClients,
        json!({ "order": order, "plan": planned.get("plan"), "wave": null }),
    )?;
    let sealed = invoke(Step::SealFlow, json!({ "order": order }))?;
    let cut = sealed.get("cut");
    let placed = invoke(
        Step::CommitGroupOffsets,
        json!({ "order": order, "cut": cut }),
    )?;
    let places = placed.get("places");
    let verify = json!({ "order": order, "cut": cut, "places": places });
    invoke(Step::VerifyOffsets, verify)?;
    invoke(Step::OpenTarget, json!({ "order": order }))?;
    let wave = json!({"order": order, "plan": planned.get("plan"), "wave": 0});
    invoke(Step::ReconfigureClients, wave.clone())?;
    invoke(Step::VerifyClients, wave)?;
    assert!(largest > 1_000, "nothing was told");
    Ok(())
}
