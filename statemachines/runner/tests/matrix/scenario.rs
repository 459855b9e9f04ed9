//! Ways through the machines. Together they pass through every state, or a test says which one they leave out.

use serde_json::{Value, json};
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_fakes::{Happened, Scene, Stage};
use understudy_machines::{Machine, Position, shipped};
use understudy_recovery::pair::{EarlyClients, WithoutAcls};
use understudy_recovery::tail::Handling;
use understudy_recovery::{Alias, Leash, Ledger, Mode};
use understudy_shell::PortErrorKind;
use understudy_shell::rate;
use understudy_shell::world::{Ends, Presence};

use crate::rig::{People, Rig, Surprise};

/// A way through a machine.
pub struct Scenario {
    /// What is so, in words.
    pub name: &'static str,
    pub mode: Mode,
    pub leash: Leash,
    pub people: People,
    /// Where it ends undisturbed.
    pub ends: &'static str,
    /// Whether applications stay where they are.
    standby_only: bool,
    /// What is there before, beside the usual.
    set: fn(&mut Stage),
    surprise: Option<Surprise>,
}

const YES: People = People {
    plan: Some(true),
    loss: Some(true),
};
const SILENT: People = People {
    plan: None,
    loss: None,
};
const NO: People = People {
    plan: Some(false),
    loss: None,
};

const fn way(mode: Mode, name: &'static str, ends: &'static str, set: fn(&mut Stage)) -> Scenario {
    Scenario {
        name,
        mode,
        leash: Leash::Acting,
        people: YES,
        ends,
        standby_only: false,
        set,
        surprise: None,
    }
}

impl Scenario {
    const fn leashed(mut self) -> Self {
        self.leash = Leash::Leashed;
        self
    }

    const fn standby_only(mut self) -> Self {
        self.standby_only = true;
        self
    }

    const fn people(mut self, people: People) -> Self {
        self.people = people;
        self
    }

    const fn when(mut self, state: &'static str, change: fn(&mut Scene)) -> Self {
        self.surprise = Some((state, change));
        self
    }

    /// The machine that it is a way through.
    pub fn machine(&self) -> Machine {
        shipped::machine(self.mode).expect("a machine as shipped")
    }

    /// What is there before.
    pub fn stage(&self) -> Stage {
        let mut stage = Stage::new().with_life();
        stage.pair.approval.deadline_seconds = 120;
        (self.set)(&mut stage);
        stage
    }

    /// Who is around.
    pub fn rig<'a>(&self, machine: &'a Machine, stage: &'a Stage, start: &Value) -> Rig<'a> {
        Rig {
            surprise: self.surprise,
            ..Rig::of(machine, stage, start, self.people)
        }
    }

    /// What it is started with.
    pub fn start(&self, stage: &Stage) -> Value {
        let mut start = start(stage, self.mode, self.leash);
        if let Some(fields) = start.as_object_mut().filter(|_| self.standby_only) {
            fields.insert("standby_only".to_owned(), true.into());
        }
        start
    }
}

/// The name of the execution that is started so.
pub fn execution_of(start: &Value) -> String {
    let name = start.get("execution").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

/// The input of the next execution, as a person starts it.
pub fn start(stage: &Stage, mode: Mode, leash: Leash) -> Value {
    let scene = stage.scene();
    let ledger = scene.ledger.clone();
    let ledger =
        ledger.unwrap_or_else(|| Ledger::new(stage.pair.name.clone(), stage.pair.home.clone()));
    json!({
        "pair": stage.pair.name,
        "execution": ledger.next_execution(mode, leash),
        "mode": mode,
        "leash": leash,
        "wish": {"by": "person", "name": "maria", "reason": "a test"},
        "wished_at_ms": scene.now_ms,
    })
}

/// From the start.
pub fn from_start(machine: &Machine, start: &Value) -> Position {
    machine.start(start.clone())
}

/// Every way.
pub fn all() -> Vec<Scenario> {
    let mut all = moves();
    all.extend(returns());
    all
}

/// Ways from `use1` to `usw2`, which stands by.
fn moves() -> Vec<Scenario> {
    use Mode::{Failover, Switchover};
    vec![
        way(Failover, "the source is gone", "TargetActive", |stage| {
            gone(stage);
            consents(stage);
        }),
        way(Failover, "the source is healthy", "TargetActive", |_| {})
            .when("ChooseDecision", stall),
        way(Failover, "a person says no", "SourceStillActive", |_| {}).people(NO),
        way(Failover, "nobody answers", "SourceStillActive", |_| {}).people(SILENT),
        way(
            Failover,
            "a person says no behind a switchover that was cut off",
            "SourceStillActive",
            cut_off,
        )
        .people(NO),
        way(
            Failover,
            "nobody consents to the loss",
            "OperatorNeeded",
            |_| {},
        )
        .people(People {
            plan: Some(true),
            loss: None,
        })
        .when("ChooseDecision", stall),
        way(
            Failover,
            "the target is not fit",
            "SourceStillActive",
            unfit,
        ),
        way(Failover, "nobody comes back", "TargetActive", |stage| {
            gone(stage);
            consents(stage);
            nobody_back(stage);
        }),
        way(Failover, "a drill", "DrillDone", |stage| gone(stage)).leashed(),
        way(
            Failover,
            "another one is under way",
            "Superseded",
            under_way,
        ),
        way(Switchover, "both are healthy", "TargetActive", |_| {}),
        way(Switchover, "a person is asked", "TargetActive", early),
        way(Switchover, "a person says no", "SourceStillActive", early).people(NO),
        way(Switchover, "nobody answers", "SourceStillActive", early).people(SILENT),
        way(
            Switchover,
            "nothing could prove a fence",
            "SourceStillActive",
            |stage| stage.pair.fencing.proof.clear(),
        ),
        way(
            Switchover,
            "the source is not healthy",
            "SourceStillActive",
            |stage| {
                fails(stage, "use1.probe");
            },
        ),
        way(
            Switchover,
            "workers copy nothing",
            "SourceStillActive",
            |stage| {
                stall(&mut stage.scene());
                for _moment in 0..20 {
                    stage.scene().go_on();
                }
            },
        ),
        way(
            Switchover,
            "somebody does not stop",
            "SourceStillActive",
            |stage| {
                if let Some(life) = &mut stage.scene().life {
                    life.stubborn = true;
                }
            },
        ),
        way(
            Switchover,
            "somebody writes after all",
            "OperatorNeeded",
            |stage| {
                stage.pair.fencing.without_acls = WithoutAcls::AcceptIdle;
                let mut scene = stage.scene();
                scene.cluster("use1").acls = None;
                if let Some(life) = &mut scene.life {
                    life.writes_to.clear();
                }
            },
        )
        .when("SealFlow", |scene| {
            stall(scene);
            if let Some(life) = &mut scene.life {
                life.writes_to.insert("use1".to_owned());
            }
        }),
        way(Switchover, "nobody comes back", "TargetActive", nobody_back),
        way(Switchover, "a drill", "DrillDone", |_| {}).leashed(),
        way(
            Switchover,
            "another one is under way",
            "Superseded",
            under_way,
        ),
    ]
}

/// Ways from `use1` to `usw2`, which was lost and came back.
fn returns() -> Vec<Scenario> {
    use Mode::Failback;
    let moves_home = |name, ends, set| way(Failback, name, ends, set);
    vec![
        moves_home("a tail is put aside", "TargetActive", returned),
        moves_home("a tail takes several turns", "TargetActive", |stage| {
            returned(stage);
            stage.scene().tail_turn = Some(1);
        }),
        moves_home(
            "a tail is longer than anybody waits",
            "SourceStillActive",
            |stage| {
                returned(stage);
                stage.scene().tail_turn = Some(0);
            },
        ),
        moves_home("only to stand by", "StandbyReady", returned).standby_only(),
        moves_home("it stands by already", "TargetActive", standing_by),
        moves_home("the way home was begun", "TargetActive", |stage| {
            cut_off_at(stage, "CommitGroupOffsets");
        }),
        moves_home("home is open already", "TargetActive", |stage| {
            cut_off_at(stage, "ReconfigureClients");
        }),
        moves_home(
            "the active cluster was left fenced",
            "TargetActive",
            |stage| {
                cut_off_at(stage, "QuiesceClients");
            },
        ),
        moves_home(
            "the active cluster was left fenced, and it is only to stand by",
            "OperatorNeeded",
            |stage| cut_off_at(stage, "QuiesceClients"),
        )
        .standby_only(),
        moves_home(
            "a flow back was told where to begin and no more",
            "TargetActive",
            |stage| {
                returned(stage);
                stage
                    .scene()
                    .failing
                    .insert("reopen".to_owned(), PortErrorKind::Unreachable);
                let played = failback(stage);
                assert_eq!(played.outcome.end_state, "SourceStillActive");
                stage.scene().failing.remove("reopen");
            },
        ),
        moves_home(
            "the policy names what is not there",
            "SourceStillActive",
            |stage| {
                returned(stage);
                let topics = &mut stage.pair.tails.topics;
                topics.insert("nothing".to_owned(), Handling::Leave);
            },
        ),
        moves_home(
            "somebody writes behind the survey",
            "SourceStillActive",
            returned,
        )
        .when("StartReturn", |scene| {
            let partition = TopicPartition::new("orders", 0);
            scene.cluster("usw2").append(&partition, None);
            scene.happens(Happened::Copied {
                flow: "nobody".to_owned(),
                cluster: "usw2".to_owned(),
                partition,
                record: None,
            });
        }),
        moves_home("nobody ends a transaction", "SourceStillActive", returned)
            .when("SurveyTail", hold_back),
        moves_home("much is to be copied", "TargetActive", returned)
            .when("AwaitCopies", far_behind),
        moves_home("too much is to be copied", "SourceStillActive", returned)
            .when("AwaitCopies", much_else),
        moves_home("a person is asked", "TargetActive", |stage| {
            returned(stage);
            early(stage);
        }),
        moves_home(
            "nothing could prove a fence at home",
            "SourceStillActive",
            |stage| {
                returned(stage);
                stage.pair.fencing.proof.clear();
            },
        ),
        moves_home(
            "nothing could prove a fence away",
            "SourceStillActive",
            |stage| {
                returned(stage);
                stage
                    .pair
                    .fencing
                    .proof
                    .retain(|it, _| it.as_str() == "use1");
            },
        ),
        moves_home("a person says no", "SourceStillActive", |stage| {
            returned(stage);
            early(stage);
        })
        .people(NO),
        moves_home("nobody answers", "SourceStillActive", |stage| {
            returned(stage);
            early(stage);
        })
        .people(SILENT),
        moves_home(
            "the active cluster is not healthy",
            "SourceStillActive",
            |stage| {
                returned(stage);
                fails(stage, "use1.probe");
            },
        ),
        moves_home("workers copy nothing", "SourceStillActive", returned).when("Assess", stall),
        moves_home("somebody does not stop", "SourceStillActive", |stage| {
            returned(stage);
            if let Some(life) = &mut stage.scene().life {
                life.stubborn = true;
            }
        }),
        moves_home("somebody writes after all", "OperatorNeeded", |stage| {
            returned(stage);
            stage.pair.fencing.without_acls = WithoutAcls::AcceptIdle;
            let mut scene = stage.scene();
            scene.cluster("use1").acls = None;
            if let Some(life) = &mut scene.life {
                life.writes_to.clear();
            }
        })
        .when("SealFlow", |scene| {
            stall(scene);
            if let Some(life) = &mut scene.life {
                life.writes_to.insert("use1".to_owned());
            }
        }),
        moves_home("nobody comes back", "TargetActive", |stage| {
            returned(stage);
            nobody_back(stage);
        }),
        moves_home("a drill", "DrillDone", returned).leashed(),
        moves_home("a drill while it stands by", "DrillDone", standing_by).leashed(),
        moves_home("another one is under way", "Superseded", |stage| {
            returned(stage);
            let target = Alias::new("usw2").expect("an alias");
            let mut scene = stage.scene();
            let now = scene.now_ms;
            let ledger = scene.ledger.clone().expect("a ledger");
            let execution = ledger.next_execution(Mode::Failover, Leash::Acting);
            scene.ledger = ledger.claim(&execution, &target, false, now).ok();
        }),
    ]
}

/// Applications had moved to `usw2`, which is home; it was lost with records that nobody had copied, and `use1` took over.
/// Now it is there again, and takes writes as before.
fn returned(stage: &mut Stage) {
    play(stage, Mode::Switchover);
    moments(stage, 60);
    stall(&mut stage.scene());
    moments(stage, 20);
    stage.scene().cluster("usw2").silent = true;
    play(stage, Mode::Failover);
    {
        let mut scene = stage.scene();
        scene.cluster("usw2").silent = false;
        if let Some(life) = &mut scene.life {
            life.stalled = false;
        }
    }
    moments(stage, 20);
    stage.pair.home = Alias::new("usw2").expect("an alias");
}

/// And stands by already.
fn standing_by(stage: &mut Stage) {
    returned(stage);
    let mut start = start(stage, Mode::Failback, Leash::Acting);
    if let Some(fields) = start.as_object_mut() {
        fields.insert("standby_only".to_owned(), true.into());
    }
    let machine = shipped::machine(Mode::Failback).expect("a machine");
    let rig = Rig::of(&machine, stage, &start, YES);
    let played = rig.play(from_start(&machine, &start), None);
    assert_eq!(played.outcome.end_state, "StandbyReady");
    moments(stage, 20);
}

/// A failback was cut off when it had come to a state.
fn cut_off_at(stage: &mut Stage, state: &str) {
    returned(stage);
    let start = start(stage, Mode::Failback, Leash::Acting);
    let machine = shipped::machine(Mode::Failback).expect("a machine");
    let rig = Rig::of(&machine, stage, &start, YES);
    let (_played, moments) = rig.moments(from_start(&machine, &start));
    let behind = moments.get(state).expect("a state");
    *stage = Stage::of(stage.pair.clone(), behind.scene.clone());
    let mut scene = stage.scene();
    let ledger = scene.ledger.clone().expect("a ledger");
    let running = ledger.running().expect("it holds the pair").clone();
    let stuck = ledger.ended(&running.execution, true).expect("it ends");
    scene.happens(Happened::Ledger(Box::new(stuck.clone())));
    scene.ledger = Some(stuck);
}

/// Plays a failback, however it ends.
fn failback(stage: &Stage) -> crate::rig::Played {
    let start = start(stage, Mode::Failback, Leash::Acting);
    let machine = shipped::machine(Mode::Failback).expect("a machine");
    let rig = Rig::of(&machine, stage, &start, YES);
    rig.play(from_start(&machine, &start), None)
}

/// Plays a recovery to its end.
fn play(stage: &Stage, mode: Mode) {
    let start = start(stage, mode, Leash::Acting);
    let machine = shipped::machine(mode).expect("a machine");
    let rig = Rig::of(&machine, stage, &start, YES);
    let played = rig.play(from_start(&machine, &start), None);
    let outcome = &played.outcome;
    assert_eq!(
        outcome.end_state,
        "TargetActive",
        "{:?}",
        outcome.variables.get("stand")
    );
}

fn moments(stage: &Stage, count: usize) {
    for _moment in 0..count {
        stage.scene().go_on();
    }
}

/// An open transaction holds an offset back on the cluster that came back.
fn hold_back(scene: &mut Scene) {
    for ends in scene.cluster("usw2").ends.values_mut() {
        ends.high_watermark = ends.last_stable + 1;
    }
}

/// There is a partition that the workers do not come to an end with.
fn much_else(scene: &mut Scene) {
    let partition = TopicPartition::new("archive", 0);
    let ends = Ends {
        last_stable: 20_000,
        high_watermark: 20_000,
    };
    scene.cluster("use1").ends.insert(partition.clone(), ends);
    let flow = scene.flow("forward.toml");
    let mut mirrored = flow.positions.first().cloned().expect("a position");
    mirrored.position.source_offset = SourceOffset::new(0);
    (mirrored.source, mirrored.target) = (partition.clone(), partition);
    flow.positions.push(mirrored);
}

/// The active cluster holds much that has no copy; it looks so until it is written to again.
fn far_behind(scene: &mut Scene) {
    for ends in scene.cluster("use1").ends.values_mut() {
        ends.high_watermark += 20_000;
    }
}

fn fails(stage: &Stage, call: &str) {
    let kind = PortErrorKind::TimedOut;
    stage.scene().failing.insert(call.to_owned(), kind);
}

/// The source is gone, and it is known how fast it was written to.
fn gone(stage: &Stage) {
    for _glance in 0..2 {
        let positions = {
            let mut scene = stage.scene();
            scene.pass(std::time::Duration::from_secs(5));
            scene.flow("forward.toml").positions.clone()
        };
        rate::note(&stage.world(), "use1-usw2", &positions).expect("a store");
    }
    stage.scene().cluster("use1").silent = true;
}

fn consents(stage: &mut Stage) {
    stage.pair.consent.max_lost_records = 1_000;
    stage.pair.consent.max_age_seconds = 1_000;
}

fn stall(scene: &mut Scene) {
    if let Some(life) = &mut scene.life {
        life.stalled = true;
    }
}

fn unfit(stage: &mut Stage) {
    fails(stage, "usw2.probe");
}

fn nobody_back(stage: &mut Stage) {
    if let Some(life) = &mut stage.scene().life {
        life.lost = true;
        life.writes_to.remove("usw2");
    }
}

/// Somebody is on the target already, and the pair wants a person to know.
fn early(stage: &mut Stage) {
    stage.pair.early_clients = EarlyClients::Ask;
    let mut scene = stage.scene();
    let groups = &mut scene.cluster("usw2").groups;
    groups.insert("early".to_owned(), Presence::Live);
}

/// A switchover was cut off: it has fenced the source and stopped its consumers, and has sealed nothing.
fn cut_off(stage: &mut Stage) {
    let start = start(stage, Mode::Switchover, Leash::Acting);
    let machine = shipped::machine(Mode::Switchover).expect("a machine");
    let rig = Rig::of(&machine, stage, &start, YES);
    let (_played, moments) = rig.moments(from_start(&machine, &start));
    let behind = moments.get("LookOnceMore").expect("a state");
    *stage = Stage::of(stage.pair.clone(), behind.scene.clone());
}

/// A failover holds the pair.
fn under_way(stage: &mut Stage) {
    let target = Alias::new("usw2").expect("an alias");
    let ledger = Ledger::new(stage.pair.name.clone(), stage.pair.home.clone());
    let execution = ledger.next_execution(Mode::Failover, Leash::Acting);
    let mut scene = stage.scene();
    let now = scene.now_ms;
    scene.ledger = ledger.claim(&execution, &target, false, now).ok();
}
