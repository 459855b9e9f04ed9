//! The shipped machines, the real handlers and this process's answers, over a world in memory.

use std::path::PathBuf;

use understudy_fakes::Stage;
use understudy_recovery::{Alias, Phase};
use understudy_shell::step::read_ledger;

use super::*;
use crate::recovery::approve;
use crate::recovery::asking::LocalMachines;
use crate::recovery::home::Place;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A pair in memory, and its folder.
struct Scene {
    stage: Stage,
    home: Home,
}

impl Scene {
    fn new(name: &str) -> Self {
        let stage = Stage::new();
        stage.mirror("orders", 0, 100, 110);
        let state = std::env::temp_dir().join(format!("understudy-{name}-{}", std::process::id()));
        let _before = std::fs::remove_dir_all(&state);
        let mut world = stage.world();
        world.machines = Arc::new(LocalMachines::new(&state));
        let home = Home {
            pair_file: PathBuf::from("pair.toml"),
            state,
            world,
            place: Place::Here,
        };
        Self { stage, home }
    }

    fn active(&self) -> Result<Alias, Box<dyn std::error::Error>> {
        Ok(read_ledger(&self.home.world)?.active)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.home.state);
    }
}

fn asked(yes: bool, leash: Leash) -> Asked {
    Asked {
        mode: Mode::Failover,
        leash,
        yes,
        wait: false,
        reason: "a test".to_owned(),
        consent: None,
        supersede: false,
        standby_only: false,
        json: true,
    }
}

#[test]
fn what_is_approved_beforehand_is_carried_out_and_named() -> Outcome {
    let scene = Scene::new("yes");
    assert!(run(&scene.home, &asked(true, Leash::Acting))?);
    assert_eq!(scene.active()?.as_str(), "usw2");
    let evidence: Evidence =
        load(&scene.home.world, &keys::evidence("orders-e1-failover-1"))?.ok_or("no evidence")?;
    assert_eq!(evidence.ended, "TargetActive");
    Ok(())
}

#[test]
fn without_a_terminal_or_a_word_nothing_is_done() -> Outcome {
    let scene = Scene::new("nobody");
    let mut asked = asked(false, Leash::Acting);
    // A source that answers is a reason to ask, and a person at a terminal is not part of this test.
    asked.wait = false;
    let held = scene.home.hold(asked.mode, asked.leash)?;
    let live = Live::new(shipped::FAILOVER, true);
    let tokens = LocalTokens {
        world: scene.home.world.clone(),
        state: scene.home.state.clone(),
        pair_file: scene.home.pair_file.clone(),
        execution: held.execution.clone(),
        answerer: Answerer::Nobody,
        person: "ada".to_owned(),
        live: &live,
        stop: Arc::default(),
        typed: Mutex::new(None),
    };
    let handlers = Handlers {
        world: scene.home.world.clone(),
    };
    let name = held.execution.to_string();
    let hooks = Hooks {
        execution: &name,
        tasks: &handlers,
        tokens: &tokens,
        time: &WallTime,
    };
    let start = json!({
        "pair": "orders", "execution": name, "mode": "failover", "leash": "acting", "wished_at_ms": 0,
        "wish": { "by": "person", "name": "ada", "reason": "a test" },
    });
    let machine = shipped::machine(Mode::Failover)?;
    let outcome = run_machine(&machine, machine.start(start), hooks, &mut |_event| {
        ControlFlow::Continue(())
    });
    assert!(
        outcome.path.iter().any(|state| state == "RequestApproval"),
        "{:?}",
        outcome.path
    );
    assert_eq!(outcome.end_state, "SourceStillActive");
    let ledger = read_ledger(&scene.home.world)?;
    assert_eq!(
        (ledger.active.as_str(), ledger.phase),
        ("use1", Phase::Steady)
    );
    Ok(())
}

#[test]
fn a_drill_leaves_no_ledger_and_asks_nobody() -> Outcome {
    let scene = Scene::new("drill");
    assert!(run(&scene.home, &asked(false, Leash::Leashed))?);
    assert_eq!(scene.stage.scene().ledger, None);
    // The next drill is another one.
    assert!(run(&scene.home, &asked(false, Leash::Leashed))?);
    let names = crate::recovery::reading::executions(&scene.home)?;
    assert_eq!(
        names,
        ["orders-e1-failover-1-drill", "orders-e1-failover-2-drill"]
    );
    Ok(())
}

#[test]
fn whoever_comes_after_a_process_that_died_takes_over_without_being_told() -> Outcome {
    let scene = Scene::new("died");
    let died = scene.home.hold(Mode::Failover, Leash::Acting)?;
    let ledger = scene.home.ledger()?;
    let claimed = ledger.claim(&died.execution, &Alias::new("usw2")?, false, 0)?;
    scene.stage.scene().ledger = Some(claimed);
    let living = run(&scene.home, &asked(true, Leash::Acting))?;
    assert!(!living, "it took over from a process that lives");
    drop(died);
    assert!(run(&scene.home, &asked(true, Leash::Acting))?);
    assert_eq!(scene.active()?.as_str(), "usw2");
    Ok(())
}

#[test]
fn another_terminal_answers_and_the_answer_is_kept_with_who_gave_it() -> Outcome {
    let scene = Scene::new("elsewhere");
    let mut wanted = asked(false, Leash::Acting);
    wanted.wait = true;
    let name = "orders-e1-failover-1";
    let other = Home {
        pair_file: scene.home.pair_file.clone(),
        state: scene.home.state.clone(),
        world: scene.home.world.clone(),
        place: Place::Here,
    };
    let answering = std::thread::spawn(move || {
        for _look in 0..200 {
            if other
                .question(name)
                .is_ok_and(|question| question.is_some())
            {
                let answer = approve::Answer {
                    execution: name.to_owned(),
                    approve: Some(false),
                    digest: None,
                    note: Some("not tonight".to_owned()),
                    json: true,
                };
                return approve::run(&other, answer).ok();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    });
    assert!(!run(&scene.home, &wanted)?);
    let told = answering
        .join()
        .map_err(|_panic| "the other terminal broke")?;
    assert_eq!(told, Some(false));
    let evidence: Evidence =
        load(&scene.home.world, &keys::evidence(name))?.ok_or("no evidence")?;
    assert_eq!(evidence.ended, "SourceStillActive");
    let approval = evidence.approval.ok_or("no approval")?;
    assert_eq!(approval.note.as_deref(), Some("not tonight"));
    // Nothing waits any more: a second answer is refused.
    assert!(scene.home.question(name)?.is_none());
    Ok(())
}
