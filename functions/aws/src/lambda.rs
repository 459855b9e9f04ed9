//! Lambda's side: events come in, answers go out, until the platform ends the process.

use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

use crate::answering::{Answering, Deadline};
use crate::session::Session;

/// Answers Lambda's events, for ever.
///
/// # Errors
/// Lambda's runtime API does not answer.
pub fn serve(session: &Session, answering: &Answering) -> Result<(), Error> {
    let handler = service_fn(|event: LambdaEvent<Value>| {
        let answering = answering.clone();
        async move {
            let (event, context) = event.into_parts();
            let left = time_left(context.deadline(), SystemTime::now());
            answering.answer(event, Deadline::after(left)).await
        }
    });
    session.runtime().block_on(lambda_runtime::run(handler))
}

/// A deadline that passed longer ago than this was never meant: `cargo lambda watch` sends one of the year 1970.
const MEANT_WITHIN: Duration = Duration::from_secs(3_600);
/// What an event has without a deadline.
const WITHOUT: Duration = Duration::from_secs(60);
/// What it has if its deadline is over when it comes: a clock that is ahead must not make every event late.
const LATE: Duration = Duration::from_secs(1);

fn time_left(deadline: SystemTime, now: SystemTime) -> Duration {
    match deadline.duration_since(now) {
        Ok(left) => left,
        Err(over) if over.duration() > MEANT_WITHIN => WITHOUT,
        Err(_over) => LATE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_time_until_its_deadline_and_never_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let seconds = Duration::from_secs;
        assert_eq!(time_left(now + seconds(9), now), seconds(9));
        assert_eq!(time_left(now - seconds(2), now), LATE);
        let of_cargo_lambda = SystemTime::UNIX_EPOCH + seconds(600);
        assert_eq!(time_left(of_cargo_lambda, now), WITHOUT);
    }
}
