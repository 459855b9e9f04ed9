//! Carries a machine out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::retry::matches;
use crate::state::{Kind, State, Task};
use crate::template::{Template, fill_fields};
use crate::{Event, Hooks, Machine, Outcome, Position, Status, TaskError};

/// No run takes so many transitions; Step Functions ends one after 25,000 events.
const MOST_TRANSITIONS: usize = 10_000;
/// What Step Functions takes as a payload, in bytes.
const LARGEST_PAYLOAD: usize = 262_144;

impl Machine {
    /// The position from which a run starts.
    pub fn start(&self, input: Value) -> Position {
        Position {
            state: self.start_at().to_owned(),
            input,
            variables: Map::new(),
        }
    }
}

/// Carries a machine out from a position to one of its ends. `watch` is told of everything, and may stop the run.
pub fn run(
    machine: &Machine,
    from: Position,
    hooks: Hooks<'_>,
    watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
) -> Outcome {
    let mut path = Vec::new();
    let mut position = from;
    let mut walk = Walk { hooks, watch };
    let status = loop {
        let Some(state) = machine.state(&position.state) else {
            break fatal(format!(
                "{} is no state of {}",
                position.state,
                machine.name()
            ));
        };
        let entering = Event::Entering {
            position: &position,
            at_ms: hooks.time.now_ms(),
        };
        if (walk.watch)(&entering).is_break() {
            break Status::Stopped;
        }
        path.push(state.name.clone());
        if path.len() > MOST_TRANSITIONS {
            break fatal(format!("{} does not end", machine.name()));
        }
        match walk.step(state, &position) {
            Went::On(next) => position = next,
            Went::End(status) => break status,
        }
    };
    Outcome {
        status,
        end_state: position.state,
        output: position.input,
        variables: position.variables,
        path,
    }
}

fn fatal(cause: String) -> Status {
    Status::Failed(TaskError::new("States.Runtime", cause))
}

enum Went {
    On(Position),
    End(Status),
}

enum Called {
    Result(Value),
    Error(TaskError),
    Stopped,
}

struct Walk<'a, 'b> {
    hooks: Hooks<'a>,
    watch: &'b mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
}

impl Walk<'_, '_> {
    fn step(&mut self, state: &State, at: &Position) -> Went {
        let states = |more: Value| self.states(state, at, None, more);
        match &state.kind {
            Kind::Task(task) => self.task(state, task, at),
            Kind::Pass {
                assign,
                output,
                next,
            } => {
                let states = states(json!({ "result": at.input }));
                match assigned(at, assign, output.as_ref(), &states, at.input.clone()) {
                    Ok((variables, input)) => Went::On(Position {
                        state: next.clone(),
                        input,
                        variables,
                    }),
                    Err(reason) => Went::End(Status::Failed(query(reason))),
                }
            }
            Kind::Choice { rules, default } => {
                let states = states(json!({}));
                let mut next = default;
                for (condition, to) in rules {
                    match condition.evaluate(&at.variables, &states) {
                        Ok(Value::Bool(true)) => {
                            next = to;
                            break;
                        }
                        Ok(Value::Bool(false)) => {}
                        Ok(other) => {
                            let reason =
                                format!("{:?} is {other}, not true or false", condition.text());
                            return Went::End(Status::Failed(query(reason)));
                        }
                        Err(reason) => return Went::End(Status::Failed(query(reason))),
                    }
                }
                Went::On(Position {
                    state: next.clone(),
                    ..at.clone()
                })
            }
            Kind::Wait { time, next } => {
                self.hooks.time.sleep(*time);
                Went::On(Position {
                    state: next.clone(),
                    ..at.clone()
                })
            }
            Kind::Succeed => Went::End(Status::Succeeded),
            Kind::Fail { error, cause } => {
                let states = states(json!({}));
                let text = |template: &Template| {
                    let value = template.fill(&at.variables, &states);
                    value.map(|value| {
                        value
                            .as_str()
                            .map_or_else(|| value.to_string(), str::to_owned)
                    })
                };
                let error = match (text(error), text(cause)) {
                    (Ok(name), Ok(cause)) => TaskError { name, cause },
                    (Err(reason), _) | (_, Err(reason)) => query(reason),
                };
                Went::End(Status::Failed(error))
            }
        }
    }

    fn task(&mut self, state: &State, task: &Task, at: &Position) -> Went {
        // Each retrier counts for itself, as Step Functions does it.
        let mut repetitions: BTreeMap<usize, u32> = BTreeMap::new();
        let mut attempt = 1_u32;
        loop {
            let error = match self.call(state, task, at, attempt) {
                Called::Result(result) => {
                    let states = self.states(state, at, None, json!({ "result": result }));
                    match assigned(at, &task.assign, task.output.as_ref(), &states, result) {
                        Ok((variables, input)) => {
                            return Went::On(Position {
                                state: task.next.clone(),
                                input,
                                variables,
                            });
                        }
                        Err(reason) => query(reason),
                    }
                }
                Called::Error(error) => error,
                Called::Stopped => return Went::End(Status::Stopped),
            };
            let again_after = self.delay(task, &error, &mut repetitions);
            let failed = Event::Failed {
                state: &state.name,
                error: &error,
                again_after,
                at_ms: self.hooks.time.now_ms(),
            };
            if (self.watch)(&failed).is_break() {
                return Went::End(Status::Stopped);
            }
            let Some(delay) = again_after else {
                return self.caught(state, task, at, error);
            };
            self.hooks.time.sleep(delay);
            attempt = attempt.saturating_add(1);
        }
    }

    fn call(&mut self, state: &State, task: &Task, at: &Position, attempt: u32) -> Called {
        let token = task.waits_for_token.then(|| self.hooks.tokens.issue());
        let states = self.states(state, at, token.as_deref(), json!({}));
        let payload = match task.payload.fill(&at.variables, &states) {
            Ok(payload) => payload,
            Err(reason) => return Called::Error(query(reason)),
        };
        if payload.to_string().len() > LARGEST_PAYLOAD {
            let cause = format!(
                "what {} is asked is larger than {LARGEST_PAYLOAD} bytes",
                task.step
            );
            return Called::Error(TaskError::new("States.DataLimitExceeded", cause));
        }
        let calling = Event::Calling {
            state: &state.name,
            step: task.step,
            attempt,
            payload: &payload,
        };
        if (self.watch)(&calling).is_break() {
            return Called::Stopped;
        }
        let began = self.hooks.time.now_ms();
        let answer = match self.hooks.tasks.invoke(task.step, payload, task.timeout) {
            Ok(answer) => answer,
            Err(error) => return Called::Error(error),
        };
        let result = match token {
            Some(token) => {
                let spent = self.hooks.time.now_ms().saturating_sub(began);
                let spent = Duration::from_millis(u64::try_from(spent).unwrap_or(0));
                let left = task.timeout.saturating_sub(spent);
                match self.hooks.tokens.wait(&token, left) {
                    Ok(answer) => answer,
                    Err(error) => return Called::Error(error),
                }
            }
            None => json!({ "StatusCode": 200, "Payload": answer }),
        };
        let answered = Event::Answered {
            state: &state.name,
            answer: &result,
            at_ms: self.hooks.time.now_ms(),
        };
        if (self.watch)(&answered).is_break() {
            return Called::Stopped;
        }
        Called::Result(result)
    }

    /// After how long an error is tried again.
    fn delay(
        &self,
        task: &Task,
        error: &TaskError,
        repetitions: &mut BTreeMap<usize, u32>,
    ) -> Option<Duration> {
        let (index, retrier) = task
            .retry
            .iter()
            .enumerate()
            .find(|(_, retrier)| matches(&retrier.errors, &error.name))?;
        let done = repetitions.entry(index).or_default();
        if *done >= retrier.max_attempts {
            return None;
        }
        let delay = retrier.delay(*done);
        *done = done.saturating_add(1);
        Some(self.hooks.time.jitter(delay))
    }

    fn caught(&self, state: &State, task: &Task, at: &Position, error: TaskError) -> Went {
        let catcher = task
            .catch
            .iter()
            .find(|catcher| matches(&catcher.errors, &error.name));
        let Some(catcher) = catcher else {
            return Went::End(Status::Failed(error));
        };
        let states = self.states(state, at, None, json!({ "errorOutput": error.output() }));
        match assigned(at, &catcher.assign, None, &states, error.output()) {
            Ok((variables, input)) => Went::On(Position {
                state: catcher.next.clone(),
                input,
                variables,
            }),
            Err(reason) => Went::End(Status::Failed(query(reason))),
        }
    }

    /// `$states`, as an expression of this state sees it.
    fn states(&self, state: &State, at: &Position, token: Option<&str>, more: Value) -> Value {
        let mut states = json!({
            "input": at.input,
            "context": {
                "Execution": { "Name": self.hooks.execution },
                "State": { "Name": state.name },
            },
        });
        if let Some(context) = states.get_mut("context").and_then(Value::as_object_mut)
            && let Some(token) = token
        {
            context.insert("Task".to_owned(), json!({ "Token": token }));
        }
        if let (Some(states), Value::Object(more)) = (states.as_object_mut(), more) {
            states.extend(more);
        }
        states
    }
}

/// Variables and output after a state: both are made from what was there when it was entered.
fn assigned(
    at: &Position,
    assign: &[(String, Template)],
    output: Option<&Template>,
    states: &Value,
    otherwise: Value,
) -> Result<(Map<String, Value>, Value), String> {
    let new = fill_fields(assign, &at.variables, states)?;
    let output = match output {
        Some(output) => output.fill(&at.variables, states)?,
        None => otherwise,
    };
    let mut variables = at.variables.clone();
    variables.extend(new);
    Ok((variables, output))
}

fn query(reason: String) -> TaskError {
    TaskError::new("States.QueryEvaluationError", reason)
}
