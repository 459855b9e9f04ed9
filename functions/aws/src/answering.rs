//! How an event becomes an answer, or an error with a name.
//!
//! Invariants:
//! a. whatever a step does, the answer comes before the platform's own limit, so that the error has a name of ours;
//! b. a panic is `Internal`, and the next event is answered all the same;
//! c. one line of log an event, with the numbers that tie it to its recovery, and nothing of the payload beside them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_runtime::Diagnostic;
use serde_json::Value;
use tokio::runtime::Handle;
use understudy_recovery::{ErrorName, Step, StepError};

/// How much of an invocation's time is kept for saying that it is over.
const RESERVE: Duration = Duration::from_millis(300);

/// Carries out a step: a payload in, an answer out.
pub type Invoke = Arc<dyn Fn(Value) -> Result<Value, StepError> + Send + Sync>;

/// Until when an event must be answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now, less what is needed to say that it has passed.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time.saturating_sub(RESERVE))
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Answers the events of one step.
#[derive(Clone)]
pub struct Answering {
    step: Step,
    invoke: Invoke,
}

impl Answering {
    /// Answers events of `step` by `invoke`.
    pub fn new(step: Step, invoke: Invoke) -> Self {
        Self { step, invoke }
    }

    /// Answers one event, on a thread of its own. One that is late is left behind: it may still finish, which is what
    /// "every step may run twice" is for.
    ///
    /// # Errors
    /// The step's own error, `DeadlineExceeded`, or `Internal` for a panic.
    pub async fn answer(&self, event: Value, deadline: Deadline) -> Result<Value, Diagnostic> {
        let began = Instant::now();
        let ties = Ties::of(&event);
        let (step, invoke) = (self.step, Arc::clone(&self.invoke));
        let working = Handle::current().spawn_blocking(move || {
            catch_unwind(AssertUnwindSafe(|| invoke(event)))
                .unwrap_or_else(|panic| Err(panicked(step, panic.as_ref())))
        });
        let answered = match tokio::time::timeout(deadline.left(), working).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_gone)) => Err(StepError::new(
                ErrorName::Internal,
                format!("{step} has no thread to run on"),
            )),
            Err(_late) => Err(StepError::new(
                ErrorName::DeadlineExceeded,
                format!(
                    "{step} took longer than the {:.1} s that it had; what it was doing may or may not have happened",
                    began.elapsed().as_secs_f64()
                ),
            )),
        };
        ties.log(step, began.elapsed(), answered.as_ref().err());
        answered.map_err(diagnostic)
    }
}

/// An error as a state machine sees it.
fn diagnostic(error: StepError) -> Diagnostic {
    Diagnostic {
        error_type: error.name.name().to_owned(),
        error_message: error.text,
    }
}

fn panicked(step: Step, panic: &(dyn std::any::Any + Send)) -> StepError {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a word".to_owned());
    StepError::new(
        ErrorName::Internal,
        format!("{step} broke off, which is a defect of ours: {said}"),
    )
}

/// What ties an event to its recovery.
struct Ties {
    pair: String,
    execution: String,
    epoch: Option<u64>,
}

impl Ties {
    fn of(event: &Value) -> Self {
        let place = ["order", "start"].into_iter().find_map(|it| event.get(it));
        let place = place.unwrap_or(event);
        let text = |key: &str| {
            let value = place.get(key).and_then(Value::as_str);
            // What is no name of ours is somebody's payload, and no business of a log.
            value.filter(|it| it.len() <= 100).unwrap_or("-").to_owned()
        };
        Self {
            pair: text("pair"),
            execution: text("execution"),
            epoch: place.get("epoch").and_then(Value::as_u64),
        }
    }

    fn log(&self, step: Step, took: Duration, error: Option<&StepError>) {
        let Self {
            pair,
            execution,
            epoch,
        } = self;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match error {
            None => {
                tracing::info!(%pair, %execution, epoch, %step, duration_ms = millis, "step done");
            }
            Some(error) => {
                tracing::warn!(
                    %pair, %execution, epoch, %step, duration_ms = millis,
                    error = error.name.name(), reason = %error.text, "step not done"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Mutex, mpsc};

    use serde_json::json;
    use understudy_recovery::contract::JustOrder;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn answering(
        invoke: impl Fn(Value) -> Result<Value, StepError> + Send + Sync + 'static,
    ) -> Answering {
        Answering::new(Step::Assess, Arc::new(invoke))
    }

    fn error_of(answer: Result<Value, Diagnostic>) -> Option<(String, String)> {
        answer.err().map(|it| (it.error_type, it.error_message))
    }

    #[tokio::test]
    async fn a_step_s_error_keeps_its_name() {
        for name in ErrorName::ALL {
            let answering = answering(move |_| Err(StepError::new(name, "not today")));
            let answer = answering.answer(json!({}), Deadline::after(SOON)).await;
            let expected = (name.name().to_owned(), "not today".to_owned());
            assert_eq!(error_of(answer), Some(expected));
        }
    }

    #[tokio::test]
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    async fn a_panic_is_internal_and_the_next_event_is_answered() {
        let events = AtomicU32::new(0);
        let answering = answering(move |_| match events.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("out of range"),
            _ => Ok(json!("well")),
        });
        let broken = answering.answer(json!({}), Deadline::after(SOON)).await;
        let (name, text) = error_of(broken).unwrap_or_default();
        assert_eq!(name, "Internal");
        assert!(
            text.contains("assess broke off") && text.contains("out of range"),
            "{text}"
        );
        let next = answering.answer(json!({}), Deadline::after(SOON)).await;
        assert_eq!(next.ok(), Some(json!("well")));
    }

    #[tokio::test]
    async fn a_step_that_takes_too_long_is_named_before_the_platform_does() {
        let (test, over) = mpsc::channel::<()>();
        let over = Mutex::new(over);
        let answering = answering(move |_| {
            // As long as the test runs.
            let _over = over.lock().map(|it| it.recv_timeout(3 * SOON));
            Ok(json!("late"))
        });
        let began = Instant::now();
        let late = answering
            .answer(json!({}), Deadline::after(Duration::from_millis(400)))
            .await;
        assert_eq!(
            error_of(late).map(|it| it.0).as_deref(),
            Some("DeadlineExceeded")
        );
        assert!(
            began.elapsed() < Duration::from_millis(1_400),
            "{:?}",
            began.elapsed()
        );
        drop(test);
    }

    #[tokio::test]
    async fn an_event_that_is_none_is_a_bad_request() {
        let answering = answering(|event| {
            let order: JustOrder = serde_json::from_value(event).map_err(|error| {
                StepError::new(ErrorName::BadRequest, format!("{}: {error}", Step::Assess))
            })?;
            Ok(json!(order.order.epoch))
        });
        for event in [
            json!(null),
            json!([]),
            json!({"order": 7}),
            json!({"Records": []}),
        ] {
            let answer = answering.answer(event, Deadline::after(SOON)).await;
            assert_eq!(
                error_of(answer).map(|it| it.0).as_deref(),
                Some("BadRequest")
            );
        }
    }

    #[test]
    fn a_log_line_is_tied_to_the_recovery_wherever_the_event_says_so() {
        let order = json!({"pair": "orders", "execution": "orders-e1-failover-1", "epoch": 1});
        let start = json!({"pair": "orders", "execution": "orders-e1-failover-1"});
        let ties = Ties::of(&json!({"order": order}));
        assert_eq!((ties.pair.as_str(), ties.epoch), ("orders", Some(1)));
        assert_eq!(ties.execution, "orders-e1-failover-1");
        assert_eq!(Ties::of(&json!({"start": start})).pair, "orders");
        let foreign = Ties::of(&json!({"pair": "x".repeat(5_000), "password": "hush"}));
        assert_eq!((foreign.pair.as_str(), foreign.epoch), ("-", None));
    }
}
