//! One way through a machine, and what is tried on it.

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_fakes::{Scene, Stage};
use understudy_machines::{Machine, Position};
use understudy_recovery::pair::Pair;
use understudy_recovery::{Leash, Mode};

use crate::ends::Left;
use crate::rig::{Fault, Moment, People, Played, Rig};
use crate::scenario::{Scenario, execution_of, from_start, start};
use crate::witness;

/// A way, as it goes undisturbed.
pub struct Trial {
    pub scenario: Scenario,
    pub machine: Machine,
    pub pair: Pair,
    pub start: Value,
    /// What is there when each state is entered.
    pub moments: BTreeMap<String, Moment>,
    /// What is untrue of it as it goes undisturbed.
    pub undisturbed: Vec<String>,
    acls_before: usize,
    since: usize,
}

/// What does not hold, printed as it is found.
#[derive(Default)]
pub struct Findings {
    found: usize,
    runs: usize,
}

impl Findings {
    /// Notes what does not hold of a run.
    pub fn add(&mut self, of: &str, untrue: impl IntoIterator<Item = String>) {
        self.runs += 1;
        for untrue in untrue {
            self.found += 1;
            println!("{of}: {untrue}");
        }
    }

    /// Fails if there are any, or if too few runs were made for that to say something.
    pub fn none_in(self, runs_min: usize) {
        let Self { found, runs } = self;
        assert_eq!(found, 0, "that much does not hold of {runs} runs");
        assert!(runs >= runs_min, "{runs} runs are too few");
        println!("{runs} runs");
    }
}

impl Trial {
    /// Goes the way undisturbed, and looks that it ends where it must.
    pub fn of(scenario: Scenario) -> Self {
        let machine = scenario.machine();
        let stage = scenario.stage();
        let start = scenario.start(&stage);
        let since = stage.scene().history.len();
        let acls_before = {
            let mut scene = stage.scene();
            // What a recovery that was cut off has added is no part of what was.
            let fences = scene.ledger.iter().flat_map(|it| it.fences.values());
            let added: usize = fences.map(|it| it.added.len()).sum();
            let acls = scene.cluster("use1").acls.as_ref();
            acls.map_or(0, std::collections::BTreeSet::len) - added
        };
        let rig = scenario.rig(&machine, &stage, &start);
        let (played, moments) = rig.moments(from_start(&machine, &start));
        let mut trial = Self {
            undisturbed: Vec::new(),
            pair: stage.pair.clone(),
            machine,
            start,
            moments,
            acls_before,
            since,
            scenario,
        };
        let untrue = trial.untrue(&played, stage.scene().clone());
        assert_eq!(
            played.outcome.end_state,
            trial.scenario.ends,
            "{}: {}",
            trial.name(),
            trial.left(&played, stage.scene().clone()).stand()
        );
        trial.undisturbed = untrue;
        trial
    }

    /// In words.
    pub fn name(&self) -> String {
        format!("{}, {}", self.scenario.mode, self.scenario.name)
    }

    /// The world as it was when a state was entered.
    pub fn stage(&self, moment: &Moment) -> Stage {
        Stage::of(self.pair.clone(), moment.scene.clone())
    }

    /// Whoever plays it.
    pub fn rig<'a>(&'a self, stage: &'a Stage) -> Rig<'a> {
        self.scenario.rig(&self.machine, stage, &self.start)
    }

    /// Plays on from a state with a fault in it, and answers what is untrue afterwards; nothing if the fault had no
    /// occasion.
    pub fn with_fault(&self, state: &str, moment: &Moment, fault: &Fault) -> Option<Tried> {
        let stage = self.stage(moment);
        let rig = self.rig(&stage);
        let played = rig.play(moment.position.clone(), Some((state, fault)));
        if !played.went_wrong {
            return None;
        }
        let untrue = self.untrue(&played, stage.scene().clone());
        Some(Tried {
            played,
            stage,
            untrue,
        })
    }

    fn left<'a>(&self, played: &'a Played, scene: Scene) -> Left<'a> {
        Left {
            played,
            scene,
            execution: execution_of(&self.start),
            mode: self.scenario.mode,
            leash: self.scenario.leash,
            acls_before: self.acls_before,
            since: self.since,
        }
    }

    /// What is untrue of a run, and which promises were broken on the way.
    pub fn untrue(&self, played: &Played, scene: Scene) -> Vec<String> {
        let mut untrue = witness::broken(&scene.history);
        untrue.extend(self.left(played, scene).untrue());
        untrue
    }

    /// What this execution changed since `since`, beyond what it keeps of itself.
    pub fn changed_since(&self, played: &Played, scene: Scene, since: usize) -> Option<String> {
        let mut left = self.left(played, scene);
        left.since = since;
        left.changed_anything().err()
    }

    /// Plays a further recovery of the pair to its end, undisturbed, with people who say yes.
    pub fn next(stage: &Stage, mode: Mode, supersede: bool) -> Played {
        let mut start = start(stage, mode, Leash::Acting);
        if let Some(start) = start.as_object_mut() {
            start.insert("supersede".to_owned(), supersede.into());
        }
        let machine = understudy_machines::shipped::machine(mode).expect("a machine");
        let people = People {
            plan: Some(true),
            loss: Some(true),
        };
        let rig = Rig::of(&machine, stage, &start, people);
        rig.play(from_start(&machine, &start), None)
    }

    /// Goes on from a position as it is.
    pub fn go_on(&self, stage: &Stage, from: &Position) -> Played {
        self.rig(stage).play(from.clone(), None)
    }
}

/// A run with a fault.
pub struct Tried {
    pub played: Played,
    pub stage: Stage,
    pub untrue: Vec<String>,
}

impl Tried {
    /// The end.
    pub fn end(&self) -> &str {
        &self.played.outcome.end_state
    }
}
