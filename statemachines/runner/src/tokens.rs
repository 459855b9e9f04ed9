//! Tokens that are answered within this process.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{TaskError, Tokens};

/// Tokens that are answered within this process, by whoever holds the same value.
#[derive(Debug, Default)]
pub struct MemoryTokens {
    // Written by the run, which issues and takes, and by whoever answers. A lock, because both look before they write.
    answers: Mutex<BTreeMap<String, Option<Value>>>,
    answered: Condvar,
}

impl MemoryTokens {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a token. False if nobody waits with it, or it was answered before: the first answer stays.
    pub fn answer(&self, token: &str, answer: Value) -> bool {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get_mut(token) {
            Some(waiting @ None) => {
                *waiting = Some(answer);
                self.answered.notify_all();
                true
            }
            Some(Some(_)) | None => false,
        }
    }
}

impl Tokens for MemoryTokens {
    fn issue(&self) -> String {
        let half = || RandomState::new().hash_one(0_u8);
        let token = format!("{:016x}{:016x}", half(), half());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.clone(), None);
        token
    }

    fn wait(&self, token: &str, timeout: Duration) -> Result<Value, TaskError> {
        let until = Instant::now() + timeout;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(Some(answer)) = answers.get(token) {
                let answer = answer.clone();
                answers.remove(token);
                return Ok(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                answers.remove(token);
                return Err(TaskError::timeout("nobody answered in time"));
            }
            let woken = self.answered.wait_timeout(answers, left);
            answers = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_answer_stays() {
        let tokens = MemoryTokens::new();
        let token = tokens.issue();
        assert!(tokens.answer(&token, json!(1)));
        assert!(!tokens.answer(&token, json!(2)));
        assert_eq!(tokens.wait(&token, Duration::from_secs(1)), Ok(json!(1)));
        assert!(!tokens.answer(&token, json!(3)));
    }

    #[test]
    fn an_answer_wakes_who_waits_and_silence_has_an_end() {
        let tokens = MemoryTokens::new();
        let token = tokens.issue();
        let answer = std::thread::scope(|scope| {
            scope.spawn(|| tokens.answer(&token, json!("yes")));
            tokens.wait(&token, Duration::from_secs(10))
        });
        assert_eq!(answer, Ok(json!("yes")));
        let silent = tokens.issue();
        let nothing = tokens.wait(&silent, Duration::from_millis(1));
        assert_eq!(
            nothing.map_err(|error| error.name),
            Err("States.Timeout".to_owned())
        );
        assert!(!tokens.answer("unknown", json!(1)));
    }
}
