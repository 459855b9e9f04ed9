//! Plays a machine as shipped, with the real steps, over a world in memory; in virtual time, from any state, and with one
//! thing that goes wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use understudy_fakes::{Fuse, Scene, Stage};
use understudy_machines::{
    Event, Hooks, Machine, Outcome, Position, TaskError, Tasks, Time, Tokens, run,
};
use understudy_recovery::Step;
use understudy_shell::{PortErrorKind, keys};
use understudy_steps::invoke;

use crate::scenario::execution_of;

/// What people say to a question; nothing: silence.
#[derive(Clone, Copy, Debug, Default)]
pub struct People {
    /// To the plan.
    pub plan: Option<bool>,
    /// To the loss, once it is known.
    pub loss: Option<bool>,
}

/// Something changes when a state is entered for the first time.
pub type Surprise = (&'static str, fn(&mut Scene));

/// What becomes of a call that is not heard of in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was never carried out.
    Never,
    /// It was carried out, and its answer was lost.
    Unheard,
    /// It is carried out when the execution has ended long since.
    Late,
}

/// What goes wrong in a state.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Its call fails: once, or always.
    Fails {
        error: String,
        done: Done,
        always: bool,
    },
    /// Its call takes longer than it may: once, or always.
    TimesOut { done: Done, always: bool },
    /// Its call is carried out twice, and the second answer counts.
    Repeated,
    /// Whoever carries its call out is killed at one of its writes, and the call is tried again.
    Killed { write: u32, takes_effect: bool },
    /// And whoever carries the machine out is killed with it.
    KilledWithMachine { write: u32, takes_effect: bool },
    /// Whoever carries the machine out is killed when the call has answered.
    KilledBehind,
    /// Something does not answer while the state lasts, or from then on.
    Dark { what: &'static str, always: bool },
}

/// A run, as it ended.
pub struct Played {
    /// How.
    pub outcome: Outcome,
    /// Whether what was to go wrong did.
    pub went_wrong: bool,
}

/// A machine, and who is around it.
pub struct Rig<'a> {
    pub machine: &'a Machine,
    pub stage: &'a Stage,
    pub execution: String,
    pub people: People,
    pub surprise: Option<Surprise>,
}

/// What was there when a state was entered for the first time.
pub struct Moment {
    pub position: Position,
    pub scene: Scene,
}

impl<'a> Rig<'a> {
    /// One where nothing changes by itself, for an execution that is started so.
    pub fn of(machine: &'a Machine, stage: &'a Stage, start: &Value, people: People) -> Self {
        Self {
            machine,
            stage,
            execution: execution_of(start),
            people,
            surprise: None,
        }
    }
}

impl Rig<'_> {
    /// Plays on from a position.
    pub fn play(&self, from: Position, fault: Option<(&str, &Fault)>) -> Played {
        self.play_watched(from, fault, &mut |_position, _scene| {})
    }

    /// Plays undisturbed; answers what was there when each state was first entered, too.
    pub fn moments(&self, from: Position) -> (Played, BTreeMap<String, Moment>) {
        let mut moments = BTreeMap::new();
        let played = self.play_watched(from, None, &mut |position, scene| {
            let moment = || Moment {
                position: position.clone(),
                scene: scene.clone(),
            };
            let name = position.state.clone();
            moments.entry(name).or_insert_with(moment);
        });
        (played, moments)
    }

    fn play_watched(
        &self,
        from: Position,
        fault: Option<(&str, &Fault)>,
        entered: &mut dyn FnMut(&Position, &Scene),
    ) -> Played {
        let player = Player {
            rig: self,
            fault,
            state: RefCell::default(),
            turns: Cell::new(0),
            killed: Cell::new(false),
            surprised: Cell::new(false),
            tokens: Cell::new(0),
            late: RefCell::default(),
        };
        let hooks = Hooks {
            execution: &self.execution,
            tasks: &player,
            tokens: &player,
            time: &player,
        };
        let mut position = from;
        let outcome = loop {
            let outcome = run(self.machine, position, hooks, &mut |event| {
                player.see(event, entered)
            });
            let Some(again) = player.resumed(&outcome) else {
                break outcome;
            };
            position = again;
        };
        for (step, payload) in player.late.borrow_mut().drain(..) {
            let _nobody_hears = invoke(&self.stage.world(), step, payload);
        }
        Played {
            outcome,
            went_wrong: player.turns.get() > 0,
        }
    }
}

struct Player<'a> {
    rig: &'a Rig<'a>,
    fault: Option<(&'a str, &'a Fault)>,
    state: RefCell<Option<Position>>,
    /// How often the fault had its turn.
    turns: Cell<u32>,
    killed: Cell<bool>,
    surprised: Cell<bool>,
    tokens: Cell<u32>,
    late: RefCell<Vec<(Step, Value)>>,
}

impl Player<'_> {
    fn fault_here(&self) -> Option<&Fault> {
        let state = self.state.borrow();
        let here = state.as_ref().map(|it| it.state.as_str());
        let (at, fault) = self.fault?;
        (here == Some(at)).then_some(fault)
    }

    fn turn(&self) -> u32 {
        self.turns.set(self.turns.get() + 1);
        self.turns.get()
    }

    fn see(
        &self,
        event: &Event<'_>,
        entered: &mut dyn FnMut(&Position, &Scene),
    ) -> ControlFlow<()> {
        match event {
            Event::Entering { position, .. } => {
                self.enter(position);
                entered(position, &self.rig.stage.scene());
                ControlFlow::Continue(())
            }
            Event::Failed { .. } => match self.fault_here() {
                Some(Fault::KilledWithMachine { .. }) if self.killed.get() => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            },
            Event::Answered { .. } => match self.fault_here() {
                Some(Fault::KilledBehind) if self.turn() == 1 => {
                    self.killed.set(true);
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            },
            Event::Calling { .. } => ControlFlow::Continue(()),
        }
    }

    fn enter(&self, position: &Position) {
        let mut scene = self.rig.stage.scene();
        if let Some((state, change)) = self.rig.surprise
            && state == position.state
            && !self.surprised.replace(true)
        {
            change(&mut scene);
        }
        if let Some((state, Fault::Dark { what, always })) = self.fault {
            let key = format!("{what}.*");
            if state == position.state {
                self.turns.set(1);
                scene.failing.insert(key, PortErrorKind::Unreachable);
            } else if !always {
                scene.failing.remove(&key);
            }
        }
        *self.state.borrow_mut() = Some(position.clone());
    }

    /// Where a run goes on whose machine was killed: as a file would have kept it.
    fn resumed(&self, outcome: &Outcome) -> Option<Position> {
        let stopped = outcome.status == understudy_machines::Status::Stopped;
        if !(stopped && self.killed.replace(false)) {
            return None;
        }
        let kept = serde_json::to_string(&*self.state.borrow()).ok()?;
        serde_json::from_str(&kept).ok()?
    }

    fn call(&self, step: Step, payload: Value) -> Result<Value, TaskError> {
        answered(invoke(&self.rig.stage.world(), step, payload))
    }

    fn call_until(&self, fuse: Fuse, step: Step, payload: Value) -> Result<Value, TaskError> {
        let fuse = Arc::new(fuse);
        let answer = invoke(&self.rig.stage.world_until(&fuse), step, payload);
        if !fuse.has_ended() {
            return answered(answer);
        }
        self.turn();
        self.killed.set(true);
        Err(TaskError::new("Runtime.ExitError", "killed"))
    }

    fn carry_out(&self, done: Done, step: Step, payload: Value) {
        match done {
            Done::Never => {}
            Done::Unheard => {
                let _unheard = self.call(step, payload);
            }
            Done::Late => self.late.borrow_mut().push((step, payload)),
        }
    }
}

fn answered(answer: Result<Value, understudy_recovery::StepError>) -> Result<Value, TaskError> {
    answer.map_err(|error| TaskError::new(error.name.name(), error.text))
}

impl Tasks for Player<'_> {
    fn invoke(&self, step: Step, payload: Value, timeout: Duration) -> Result<Value, TaskError> {
        let first = self.turns.get() == 0;
        match self.fault_here() {
            Some(Fault::Fails {
                error,
                done,
                always,
            }) if first || *always => {
                self.turn();
                self.carry_out(*done, step, payload);
                Err(TaskError::new(error.clone(), "told to fail"))
            }
            Some(Fault::TimesOut { done, always }) if first || *always => {
                self.turn();
                self.carry_out(*done, step, payload);
                self.rig.stage.scene().pass(timeout);
                Err(TaskError::timeout("told to take too long"))
            }
            Some(Fault::Repeated) if first => {
                self.turn();
                let _first = self.call(step, payload.clone());
                self.call(step, payload)
            }
            Some(
                Fault::Killed {
                    write,
                    takes_effect,
                }
                | Fault::KilledWithMachine {
                    write,
                    takes_effect,
                },
            ) if first => self.call_until(Fuse::at(*write, *takes_effect), step, payload),
            _ => self.call(step, payload),
        }
    }
}

impl Tokens for Player<'_> {
    fn issue(&self) -> String {
        self.tokens.set(self.tokens.get() + 1);
        format!("{}-{}", self.rig.execution, self.tokens.get())
    }

    fn wait(&self, token: &str, timeout: Duration) -> Result<Value, TaskError> {
        let key = keys::waiting(&self.rig.execution);
        let kept = self.rig.stage.scene().store.get(&key).cloned();
        let waiting: Option<keys::Waiting> =
            kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(waiting) = waiting {
            let said = if waiting.digest.ends_with("-loss") {
                self.rig.people.loss
            } else {
                self.rig.people.plan
            };
            if let Some(approve) = said {
                let answer = json!({
                    "execution": self.rig.execution, "digest": waiting.digest, "approve": approve, "by": "maria",
                });
                let _taken_or_not = self.call(Step::AnswerApproval, answer);
            }
        }
        let mut scene = self.rig.stage.scene();
        match scene.answers.remove(token) {
            Some(answer) => Ok(answer),
            None => {
                scene.pass(timeout);
                Err(TaskError::timeout("nobody answered in time"))
            }
        }
    }
}

impl Time for Player<'_> {
    fn now_ms(&self) -> i64 {
        self.rig.stage.scene().now_ms
    }

    fn sleep(&self, time: Duration) {
        self.rig.stage.scene().pass(time);
    }
}
