//! What is tried again, and what is caught.

use std::time::Duration;

use crate::template::Template;

/// Errors that are tried again.
#[derive(Clone, Debug)]
pub struct Retrier {
    /// Their names.
    pub errors: Vec<String>,
    /// Before the first repetition.
    pub interval: Duration,
    /// By how much longer before each further one.
    pub backoff_rate: f64,
    /// How often, at most.
    pub max_attempts: u32,
    /// How long before one of them, at most.
    pub max_delay: Duration,
}

/// Errors that lead elsewhere.
#[derive(Clone, Debug)]
pub struct Catcher {
    /// Their names.
    pub errors: Vec<String>,
    /// What is assigned.
    pub assign: Vec<(String, Template)>,
    /// Where they lead.
    pub next: String,
}

impl Retrier {
    /// How long to wait before a repetition, the first one being 0; without jitter.
    pub fn delay(&self, repetition: u32) -> Duration {
        let exponent = i32::try_from(repetition).unwrap_or(i32::MAX);
        let seconds = self.interval.as_secs_f64() * self.backoff_rate.powi(exponent);
        Duration::try_from_secs_f64(seconds)
            .map_or(self.max_delay, |delay| delay.min(self.max_delay))
    }
}

/// Whether an error is one of these, as Step Functions matches them.
pub fn matches(errors: &[String], name: &str) -> bool {
    errors.iter().any(|error| match error.as_str() {
        "States.ALL" => true,
        "States.TaskFailed" => name != "States.Timeout",
        exact => exact == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound() {
        let retrier = Retrier {
            errors: Vec::new(),
            interval: Duration::from_secs(1),
            backoff_rate: 2.0,
            max_attempts: 5,
            max_delay: Duration::from_secs(4),
        };
        let delays: Vec<u64> = (0..5).map(|it| retrier.delay(it).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 4, 4]);
        assert_eq!(retrier.delay(u32::MAX), Duration::from_secs(4));
    }
}
