//! A person's answer to the question of a recovery, or what silence means once the deadline has passed.
//!
//! Invariants:
//! a. the first answer to a question stays, whoever answers later;
//! b. what is approved is the plan that the person saw: another digest is refused.

use understudy_recovery::contract::{AnswerRequest, Approved};
use understudy_recovery::evidence::ApprovalRecord;
use understudy_recovery::pair::Silence;
use understudy_recovery::{ErrorName, StepError};
use understudy_shell::keys::{self, Waiting};
use understudy_shell::step::{load, save};
use understudy_shell::{PortErrorKind, World};

/// Answers the task that waits.
///
/// # Errors
/// Nobody asks, another plan is asked about, or the store or the state machine does not answer.
pub fn handle(world: &World, request: AnswerRequest) -> Result<Approved, StepError> {
    let execution = request.execution.to_string();
    if request.execution.pair() != &world.pair.name {
        return Err(StepError::new(
            ErrorName::UnknownPair,
            format!(
                "{execution} belongs to pair {}, and this function serves {}",
                request.execution.pair(),
                world.pair.name
            ),
        ));
    }
    let waiting: Waiting = load(world, &keys::waiting(&execution))?.ok_or_else(|| {
        StepError::new(
            ErrorName::BadRequest,
            format!("{execution} asks nothing; look at where it stands with `understudy watch`"),
        )
    })?;
    let key = keys::answer(&execution, &waiting.digest);
    let first: Option<ApprovalRecord> = load(world, &key)?;
    let record = match first {
        Some(first) => first,
        None => {
            let record = decide(world, &request, &waiting)?;
            save(world, &key, &record)?;
            record
        }
    };
    let approved = Approved {
        approved: record.approved,
        by: record.by,
        note: record.note,
    };
    tell_machine(world, &request, &waiting, &approved)?;
    Ok(approved)
}

fn decide(
    world: &World,
    request: &AnswerRequest,
    waiting: &Waiting,
) -> Result<ApprovalRecord, StepError> {
    let (approved, note) = match request.approve {
        None => {
            let approved = match world.pair.approval.silence {
                Silence::Approve => true,
                Silence::Reject => false,
            };
            let note = format!(
                "nobody answered within {} s; the pair's rule decides",
                waiting.deadline_seconds
            );
            (approved, request.note.clone().or(Some(note)))
        }
        Some(approved) => {
            same_plan(request, waiting)?;
            (approved, request.note.clone())
        }
    };
    Ok(ApprovalRecord {
        approved,
        by: request.by.clone(),
        at_ms: world.clock.now_ms(),
        digest: waiting.digest.clone(),
        note,
    })
}

fn same_plan(request: &AnswerRequest, waiting: &Waiting) -> Result<(), StepError> {
    match &request.digest {
        Some(digest) if digest == &waiting.digest => Ok(()),
        Some(digest) => Err(StepError::new(
            ErrorName::PlanChanged,
            format!(
                "the plan that you saw is {digest}, and {} asks about {}; read the question again and answer that: {}",
                request.execution, waiting.digest, waiting.question
            ),
        )),
        None => Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "an answer names the plan that was seen; add its digest, such as {}, from the question that {} asks",
                waiting.digest, request.execution
            ),
        )),
    }
}

fn tell_machine(
    world: &World,
    request: &AnswerRequest,
    waiting: &Waiting,
    approved: &Approved,
) -> Result<(), StepError> {
    let answer = serde_json::to_value(approved).map_err(|error| {
        StepError::new(
            ErrorName::Internal,
            format!("an answer cannot be written as JSON: {error}"),
        )
    })?;
    match world.machines.answer(&waiting.token, &answer) {
        Ok(()) => Ok(()),
        // The machine asked what silence means: its task has given up, and it reads the answer from here.
        Err(_gone) if request.approve.is_none() => Ok(()),
        Err(error) if error.kind == PortErrorKind::Missing => gone(world, request, &error.text),
        Err(error) => {
            let name = match error.kind {
                PortErrorKind::NotPermitted => ErrorName::NotPermitted,
                PortErrorKind::Unreachable
                | PortErrorKind::TimedOut
                | PortErrorKind::Conflict
                | PortErrorKind::Missing
                | PortErrorKind::Malformed
                | PortErrorKind::Refused => ErrorName::DeadlineExceeded,
            };
            Err(StepError::new(
                name,
                format!(
                    "the answer is kept, but {} could not be told: {error}; answer again",
                    request.execution
                ),
            ))
        }
    }
}

/// The token is not waited for. A question that stands is asked anew from time to time, and then finds the answer that is
/// kept; a recovery that has ended asks nothing.
fn gone(world: &World, request: &AnswerRequest, text: &str) -> Result<(), StepError> {
    match world.machines.is_running(&request.execution) {
        Ok(Some(false)) => Err(StepError::new(
            ErrorName::BadRequest,
            format!(
                "{} has ended and waits for no answer: {text}; look at its evidence",
                request.execution
            ),
        )),
        Ok(Some(true) | None) | Err(_) => Ok(()),
    }
}
