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

/// A clock that is ahead must not make every event late.
fn time_left(deadline: SystemTime, now: SystemTime) -> Duration {
    deadline
        .duration_since(now)
        .unwrap_or(Duration::from_secs(1))
}
