//! What a run reaches: functions, answers, time, and whoever watches.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use understudy_recovery::Step;

use crate::{Position, TaskError};

/// Functions.
pub trait Tasks {
    /// Calls a function and waits for its answer, no longer than `timeout`: then the error is [`TaskError::timeout`], and
    /// what was asked may or may not have happened.
    ///
    /// # Errors
    /// The function's own, by its name; or it did not answer in time.
    fn invoke(&self, step: Step, payload: Value, timeout: Duration) -> Result<Value, TaskError>;
}

/// Tokens of tasks that wait for somebody's answer.
pub trait Tokens {
    /// A token that nobody can guess and nobody had before.
    fn issue(&self) -> String;

    /// The answer to a token, which comes within `timeout` or not at all: then the error is [`TaskError::timeout`], and
    /// the token is worth nothing any more.
    ///
    /// # Errors
    /// Nobody answered in time, or the answer is an error.
    fn wait(&self, token: &str, timeout: Duration) -> Result<Value, TaskError>;
}

/// Time.
pub trait Time {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// Lets time pass.
    fn sleep(&self, time: Duration);

    /// Some time between none and `longest`, so that many who try again do not do so at once.
    fn jitter(&self, longest: Duration) -> Duration {
        longest
    }
}

/// Everything that a run reaches.
#[derive(Clone, Copy)]
pub struct Hooks<'a> {
    /// The run's name.
    pub execution: &'a str,
    /// Functions.
    pub tasks: &'a dyn Tasks,
    /// Answers.
    pub tokens: &'a dyn Tokens,
    /// Time.
    pub time: &'a dyn Time,
}

/// What whoever watches a run is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A state is about to be entered. A run that is killed from here on goes on from this position.
    Entering {
        /// Where the run stands.
        position: &'a Position,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
    /// A function is called.
    Calling {
        /// The state.
        state: &'a str,
        /// The function.
        step: Step,
        /// Which try, from 1.
        attempt: u32,
        /// What it is asked.
        payload: &'a Value,
    },
    /// A function has answered.
    Answered {
        /// The state.
        state: &'a str,
        /// What.
        answer: &'a Value,
        /// When.
        at_ms: i64,
    },
    /// A call failed.
    Failed {
        /// The state.
        state: &'a str,
        /// Why.
        error: &'a TaskError,
        /// After how long it is tried again; nothing if it is not.
        again_after: Option<Duration>,
        /// When.
        at_ms: i64,
    },
}

/// The time of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallTime;

impl Time for WallTime {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn jitter(&self, longest: Duration) -> Duration {
        // Keys of a new hasher are random, and good enough to spread a few processes.
        let random = RandomState::new().hash_one(self.now_ms());
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random % longest.saturating_add(1))
    }
}
