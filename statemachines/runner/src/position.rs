//! Where a run stands, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where a run stands: everything that it needs to go on from there. A run that was killed goes on from the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The state that is about to be entered.
    pub state: String,
    /// What it is given.
    pub input: Value,
    /// Variables.
    pub variables: Map<String, Value>,
}

/// An error of a task, as a state machine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// What `ErrorEquals` matches.
    pub name: String,
    /// What a person reads.
    pub cause: String,
}

impl TaskError {
    /// An error.
    pub fn new(name: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cause: cause.into(),
        }
    }

    /// It took longer than it may; whether it was done is not known.
    pub fn timeout(cause: impl Into<String>) -> Self {
        Self::new("States.Timeout", cause)
    }

    /// As `$states.errorOutput`.
    pub(crate) fn output(&self) -> Value {
        json!({ "Error": self.name, "Cause": self.cause })
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.cause)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// In a state that ends well.
    Succeeded,
    /// In a state that ends with an error, or by an error that nothing caught.
    Failed(TaskError),
    /// Whoever watched it said so; it can go on from its position.
    Stopped,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How.
    pub status: Status,
    /// Where: the end's name, or the state in which it stopped or failed.
    pub end_state: String,
    /// What it leaves.
    pub output: Value,
    /// Variables, as they were last.
    pub variables: Map<String, Value>,
    /// Each state that was entered, in order.
    pub path: Vec<String>,
}
