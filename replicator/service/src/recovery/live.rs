//! A run in the terminal: each state as it is entered and left, with what its `Comment` says is true then.
//!
//! On a terminal the state that is under way stands in the last line and counts its seconds. Elsewhere each state is a
//! line when it is left, and one when it is entered if it can take a while. A state that is entered again and finds
//! nothing new is not told again.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use understudy_machines::Event;

use super::facts;

/// How often seconds are counted.
const TICK: Duration = Duration::from_millis(250);

/// What is shown of a run.
pub struct Live {
    shown: Arc<Mutex<Shown>>,
}

struct Shown {
    /// What each state is, from the machine's file.
    states: BTreeMap<String, Described>,
    is_terminal: bool,
    /// To standard error instead of standard output.
    to_stderr: bool,
    paused: bool,
    now: Option<Now>,
    /// What each state answered last, to tell what is new.
    answers: BTreeMap<String, String>,
}

struct Described {
    comment: String,
    /// Whether it calls somebody or lets time pass.
    acts: bool,
    waits: bool,
}

struct Now {
    state: String,
    began: Instant,
    fact: Option<String>,
    /// Whether it found what it found the last time.
    is_old: bool,
    /// Whether it failed, which was told then.
    failed: bool,
}

impl Live {
    /// What is shown of a run of this machine; on standard error where standard output belongs to machines.
    pub fn new(machine: &str, to_stderr: bool) -> Self {
        let is_terminal = if to_stderr {
            io::stderr().is_terminal()
        } else {
            io::stdout().is_terminal()
        };
        let shown = Arc::new(Mutex::new(Shown {
            states: described(machine),
            is_terminal,
            to_stderr,
            paused: false,
            now: None,
            answers: BTreeMap::new(),
        }));
        if is_terminal {
            let seen = Arc::downgrade(&shown);
            std::thread::spawn(move || tick(&seen));
        }
        Self { shown }
    }

    /// Takes an event in.
    pub fn see(&self, event: &Event<'_>) {
        let mut shown = self.lock();
        match event {
            Event::Entering { position, .. } => {
                shown.leave();
                shown.enter(&position.state);
            }
            Event::Calling { .. } => {}
            Event::Answered { state, answer, .. } => shown.answered(state, answer),
            Event::Failed {
                state,
                error,
                again_after,
                ..
            } => {
                let next = match again_after {
                    Some(time) => format!("; again in {:.1} s", time.as_secs_f64()),
                    None => String::new(),
                };
                // A look that nobody answered in time is how a question waits.
                if error.name != "States.Timeout" || !shown.waits_for_person(state) {
                    shown.line(&format!("  ✗ {state}: {error}{next}"));
                }
                if again_after.is_none()
                    && let Some(now) = &mut shown.now
                {
                    now.failed = true;
                }
            }
        }
    }

    /// Says something beside the states.
    pub fn note(&self, text: &str) {
        let shown = self.lock();
        for line in text.lines() {
            shown.line(&format!("    {line}"));
        }
    }

    /// Lets the last line be: a person types there.
    pub fn pause(&self) {
        self.lock().paused = true;
    }

    /// Counts seconds again.
    pub fn resume(&self) {
        self.lock().paused = false;
    }

    /// The run is over.
    pub fn end(&self) {
        self.lock().leave();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn enter(&mut self, state: &str) {
        let first = !self.answers.contains_key(state);
        let acts = self.states.get(state).is_some_and(|it| it.acts);
        if acts && first && !self.is_terminal {
            self.line(&format!("  … {state}"));
        }
        self.now = Some(Now {
            state: state.to_owned(),
            began: Instant::now(),
            fact: None,
            is_old: false,
            failed: false,
        });
        self.count();
    }

    fn answered(&mut self, state: &str, answer: &Value) {
        let text = answer.to_string();
        let is_old = self.answers.get(state) == Some(&text);
        self.answers.insert(state.to_owned(), text);
        if let Some(now) = self.now.as_mut().filter(|now| now.state == state) {
            now.fact = facts::of(answer);
            now.is_old = is_old;
        }
    }

    fn leave(&mut self) {
        let Some(now) = self.now.take() else { return };
        let described = self.states.get(&now.state);
        let tells = described.is_none_or(|it| !it.waits) && !now.is_old && !now.failed;
        let comment = described.map_or("", |it| it.comment.as_str());
        let line = if described.is_some_and(|it| it.acts) {
            let fact = now.fact.map(|fact| format!("\n      {fact}"));
            format!(
                "  ✓ {} {:.1} s  {comment}{}",
                now.state,
                now.began.elapsed().as_secs_f64(),
                fact.unwrap_or_default()
            )
        } else {
            format!("  · {}  {comment}", now.state)
        };
        if tells && self.is_news(&now.state) {
            self.line(&line);
        } else {
            self.clear();
        }
    }

    /// Whether a state that calls nobody is left for the first time; one that calls somebody tells by its answer.
    fn is_news(&mut self, state: &str) -> bool {
        let acts = self.states.get(state).is_some_and(|it| it.acts);
        let known = self.answers.entry(state.to_owned());
        let first = matches!(known, std::collections::btree_map::Entry::Vacant(_));
        known.or_default();
        acts || first
    }

    fn waits_for_person(&self, state: &str) -> bool {
        state.starts_with("Request") && self.states.contains_key(state)
    }

    fn count(&self) {
        if !self.is_terminal || self.paused {
            return;
        }
        if let Some(now) = &self.now {
            self.write(&format!(
                "\r\x1b[K  ⋯ {} {} s",
                now.state,
                now.began.elapsed().as_secs()
            ));
        }
    }

    fn clear(&self) {
        if self.is_terminal && !self.paused {
            self.write("\r\x1b[K");
        }
    }

    fn line(&self, text: &str) {
        self.clear();
        self.write(&format!("{text}\n"));
    }

    /// Whoever looks may be gone; the recovery goes on.
    fn write(&self, text: &str) {
        let _shown = if self.to_stderr {
            let mut out = io::stderr().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        } else {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
    }
}

fn tick(shown: &Weak<Mutex<Shown>>) {
    while let Some(shown) = shown.upgrade() {
        shown.lock().unwrap_or_else(PoisonError::into_inner).count();
        drop(shown);
        std::thread::sleep(TICK);
    }
}

/// What each state is, as its file says.
fn described(machine: &str) -> BTreeMap<String, Described> {
    let file: Value = serde_json::from_str(machine).unwrap_or_default();
    let states = file.get("States").and_then(Value::as_object);
    let text = |state: &Value, field: &str| {
        let value = state.get(field).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    states
        .into_iter()
        .flatten()
        .map(|(name, state)| {
            let kind = text(state, "Type");
            let described = Described {
                comment: text(state, "Comment"),
                acts: kind == "Task",
                waits: kind == "Wait",
            };
            (name.clone(), described)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_machines::shipped;

    #[test]
    fn every_state_of_the_shipped_machines_is_described() {
        for (name, text) in shipped::ALL {
            let states = described(text);
            assert!(states.len() > 20, "{name} has {} states", states.len());
            for (state, it) in states {
                assert!(!it.comment.is_empty(), "{name} {state}");
            }
        }
    }
}
