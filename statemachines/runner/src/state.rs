//! One state, read.

use std::time::Duration;

use understudy_recovery::Step;

use crate::expression::Expression;
use crate::retry::{Catcher, Retrier};
use crate::template::Template;

/// A state.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name.
    pub name: String,
    /// What is true once it has finished.
    pub comment: String,
    /// What it does.
    pub kind: Kind,
}

/// What a state does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Calls a function.
    Task(Box<Task>),
    /// Assigns.
    Pass {
        /// What.
        assign: Vec<(String, Template)>,
        /// What the next state is given; its own input if nothing is said.
        output: Option<Template>,
        /// The next state.
        next: String,
    },
    /// Follows the first condition that holds.
    Choice {
        /// Conditions, and where they lead.
        rules: Vec<(Expression, String)>,
        /// Where it leads if none holds.
        default: String,
    },
    /// Lets time pass.
    Wait {
        /// How much.
        time: Duration,
        /// The next state.
        next: String,
    },
    /// Ends well.
    Succeed,
    /// Ends with an error.
    Fail {
        /// Its name.
        error: Template,
        /// What a person reads.
        cause: Template,
    },
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct Task {
    /// Which.
    pub step: Step,
    /// Whether it goes on when its token is answered, rather than when the function has.
    pub waits_for_token: bool,
    /// What the function is asked.
    pub payload: Template,
    /// How long it may take, token and all.
    pub timeout: Duration,
    /// What is assigned.
    pub assign: Vec<(String, Template)>,
    /// What the next state is given; the whole result if nothing is said.
    pub output: Option<Template>,
    /// What is tried again.
    pub retry: Vec<Retrier>,
    /// What is caught.
    pub catch: Vec<Catcher>,
    /// The next state.
    pub next: String,
}

impl State {
    /// Where it may lead, errors included.
    pub fn targets(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Task(task) => {
                let caught = task.catch.iter().map(|catcher| catcher.next.as_str());
                std::iter::once(task.next.as_str()).chain(caught).collect()
            }
            Kind::Pass { next, .. } | Kind::Wait { next, .. } => vec![next],
            Kind::Choice { rules, default } => {
                let ruled = rules.iter().map(|(_, next)| next.as_str());
                ruled.chain(std::iter::once(default.as_str())).collect()
            }
            Kind::Succeed | Kind::Fail { .. } => Vec::new(),
        }
    }

    /// Its call, if it makes one.
    pub fn task(&self) -> Option<&Task> {
        match &self.kind {
            Kind::Task(task) => Some(task),
            Kind::Pass { .. }
            | Kind::Choice { .. }
            | Kind::Wait { .. }
            | Kind::Succeed
            | Kind::Fail { .. } => None,
        }
    }

    /// Whether a run ends here.
    pub const fn is_end(&self) -> bool {
        matches!(self.kind, Kind::Succeed | Kind::Fail { .. })
    }
}
