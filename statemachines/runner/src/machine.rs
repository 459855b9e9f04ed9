//! A machine's file, read.

use std::time::Duration;

use serde_json::Value;
use understudy_recovery::Step;

use crate::expression::Expression;
use crate::raw::{RawCatch, RawMachine, RawRetry, RawState};
use crate::retry::{Catcher, Retrier};
use crate::state::{Kind, State, Task};
use crate::template::Template;

const INVOKE: &str = "arn:aws:states:::lambda:invoke";
const INVOKE_AND_WAIT: &str = "arn:aws:states:::lambda:invoke.waitForTaskToken";

/// A state machine, as far as ours use the language.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    comment: String,
    start_at: String,
    timeout: Option<Duration>,
    states: Vec<State>,
}

/// Why a file is not a machine that can be carried out here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// It is not JSON, or its outermost fields are others.
    #[error("machine {machine}: {reason}")]
    File {
        /// The machine.
        machine: String,
        /// What is wrong.
        reason: String,
    },
    /// A state is of a kind, has a field, or holds an expression that is not understood here.
    #[error("machine {machine}, state {state}: {reason}")]
    State {
        /// The machine.
        machine: String,
        /// The state.
        state: String,
        /// What is wrong.
        reason: String,
    },
    /// Something leads to a state that is not there.
    #[error("machine {machine}: {from} leads to {to}, which is no state")]
    Dangling {
        /// The machine.
        machine: String,
        /// The state, or `StartAt`.
        from: String,
        /// Where it leads.
        to: String,
    },
}

impl Machine {
    /// Reads a file.
    ///
    /// # Errors
    /// It holds something that is not understood here, or leads nowhere.
    pub fn parse(name: &str, text: &str) -> Result<Self, MachineError> {
        let wrong = |reason: String| MachineError::File {
            machine: name.to_owned(),
            reason,
        };
        let raw: RawMachine =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if raw.query_language != "JSONata" {
            return Err(wrong(format!(
                "QueryLanguage is {}; only JSONata is understood",
                raw.query_language
            )));
        }
        let states: Result<Vec<State>, MachineError> = raw
            .states
            .iter()
            .map(|(state, value)| {
                read_state(state, value).map_err(|reason| MachineError::State {
                    machine: name.to_owned(),
                    state: state.clone(),
                    reason,
                })
            })
            .collect();
        let machine = Self {
            name: name.to_owned(),
            comment: raw.comment,
            start_at: raw.start_at,
            timeout: raw.timeout_seconds.map(Duration::from_secs),
            states: states?,
        };
        machine.leads_somewhere()?;
        Ok(machine)
    }

    fn leads_somewhere(&self) -> Result<(), MachineError> {
        let dangling = |from: &str, to: &str| {
            Err(MachineError::Dangling {
                machine: self.name.clone(),
                from: from.to_owned(),
                to: to.to_owned(),
            })
        };
        if self.state(&self.start_at).is_none() {
            return dangling("StartAt", &self.start_at);
        }
        for state in &self.states {
            for target in state.targets() {
                if self.state(target).is_none() {
                    return dangling(&state.name, target);
                }
            }
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, and how long it takes at most.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The first state.
    pub fn start_at(&self) -> &str {
        &self.start_at
    }

    /// How long a run may take at Step Functions; here nothing ends it.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Its states, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|state| state.name.as_str())
    }

    /// What is true once a state has finished.
    pub fn comment_of(&self, state: &str) -> Option<&str> {
        self.state(state).map(|state| state.comment.as_str())
    }

    /// The step that a state carries out, if it carries one out.
    pub fn step_of(&self, state: &str) -> Option<Step> {
        self.state(state)?.task().map(|task| task.step)
    }

    pub(crate) fn states(&self) -> &[State] {
        &self.states
    }

    pub(crate) fn state(&self, name: &str) -> Option<&State> {
        self.states.iter().find(|state| state.name == name)
    }
}

fn read_state(name: &str, value: &Value) -> Result<State, String> {
    let raw = RawState::deserialize(value).map_err(|error| error.to_string())?;
    let (comment, kind) = match raw {
        RawState::Task {
            comment,
            resource,
            arguments,
            timeout_seconds,
            output,
            assign,
            retry,
            catch,
            next,
        } => {
            let waits_for_token = match resource.as_str() {
                INVOKE => false,
                INVOKE_AND_WAIT => true,
                other => {
                    return Err(format!(
                        "Resource is {other}; only a Lambda's invocation is understood"
                    ));
                }
            };
            let retry: Result<_, _> = retry.into_iter().map(read_retry).collect();
            let catch: Result<_, _> = catch.iter().map(read_catch).collect();
            let task = Task {
                step: step_of(&arguments.function_name)?,
                waits_for_token,
                payload: Template::parse(&arguments.payload)?,
                timeout: Duration::from_secs(timeout_seconds),
                assign: Template::parse_fields(&assign)?,
                output: output.as_ref().map(Template::parse).transpose()?,
                retry: retry?,
                catch: catch?,
                next,
            };
            (comment, Kind::Task(Box::new(task)))
        }
        RawState::Pass {
            comment,
            output,
            assign,
            next,
        } => {
            let assign = Template::parse_fields(&assign)?;
            let output = output.as_ref().map(Template::parse).transpose()?;
            (
                comment,
                Kind::Pass {
                    assign,
                    output,
                    next,
                },
            )
        }
        RawState::Choice {
            comment,
            choices,
            default,
        } => {
            let rules: Result<_, String> = choices
                .into_iter()
                .map(|choice| {
                    let inner = Expression::inside(&choice.condition)
                        .ok_or_else(|| format!("{:?} is no expression", choice.condition))?;
                    Ok((Expression::parse(inner)?, choice.next))
                })
                .collect();
            (
                comment,
                Kind::Choice {
                    rules: rules?,
                    default,
                },
            )
        }
        RawState::Wait {
            comment,
            seconds,
            next,
        } => {
            let time = Duration::from_secs(seconds);
            (comment, Kind::Wait { time, next })
        }
        RawState::Succeed { comment } => (comment, Kind::Succeed),
        RawState::Fail {
            comment,
            error,
            cause,
        } => {
            let error = Template::parse(&error)?;
            let cause = Template::parse(&cause)?;
            (comment, Kind::Fail { error, cause })
        }
    };
    Ok(State {
        name: name.to_owned(),
        comment,
        kind,
    })
}

fn read_retry(raw: RawRetry) -> Result<Retrier, String> {
    if raw.jitter_strategy != "FULL" {
        return Err(format!(
            "JitterStrategy is {}; ours is FULL",
            raw.jitter_strategy
        ));
    }
    Ok(Retrier {
        errors: raw.error_equals,
        interval: Duration::from_secs(raw.interval_seconds),
        backoff_rate: raw.backoff_rate,
        max_attempts: raw.max_attempts,
        max_delay: Duration::from_secs(raw.max_delay_seconds),
    })
}

fn read_catch(raw: &RawCatch) -> Result<Catcher, String> {
    Ok(Catcher {
        errors: raw.error_equals.clone(),
        assign: Template::parse_fields(&raw.assign)?,
        next: raw.next.clone(),
    })
}

/// `${ClaimEpochArn}` is `claim-epoch`.
fn step_of(placeholder: &str) -> Result<Step, String> {
    let camel = placeholder
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix("Arn}"));
    Step::ALL
        .into_iter()
        .find(|step| camel == Some(camel_case(*step).as_str()))
        .ok_or_else(|| {
            format!("FunctionName is {placeholder}; it must be ${{<Step>Arn}} of one of our steps")
        })
}

/// A step's name as placeholders spell it: `ClaimEpoch`.
pub(crate) fn camel_case(step: Step) -> String {
    step.name()
        .split('-')
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

use serde::Deserialize;
