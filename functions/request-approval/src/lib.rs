//! Asks a person. The task that waits is answered by `answer-approval`; its token is a credential, so it is kept in the
//! store, and people are told how to answer without it.
//!
//! Invariants:
//! a. the newest token is the one that is answered: a task that is entered again waits with another one;
//! b. one question is answered once: an answer that came between two tokens is passed on to the newer one, and people are
//!    told once.

use understudy_recovery::contract::{ApprovalRequest, Approved, Asked, Order};
use understudy_recovery::evidence::ApprovalRecord;
use understudy_recovery::pair::Silence;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::keys::{self, Waiting};
use understudy_shell::step::{Part, carry_out, load, save};
use understudy_shell::typed::Typing;
use understudy_shell::{Done, PortError, PortErrorKind, World};

/// Keeps the question, and tells people.
///
/// # Errors
/// The order is stale, or the ledger or the store does not answer. That nobody could be told is no error: the question
/// waits, and its deadline is running.
pub fn handle(world: &World, request: ApprovalRequest) -> Result<Asked, StepError> {
    carry_out(
        world,
        Step::RequestApproval,
        Part::Whole,
        &request.order,
        || ask(world, &request),
    )
}

fn ask(world: &World, request: &ApprovalRequest) -> Result<Done<Asked>, StepError> {
    let execution = request.order.execution.to_string();
    let key = keys::waiting(&execution);
    let before: Option<Waiting> = load(world, &key)?;
    let before = before.filter(|it| it.digest == request.digest);
    let mut waiting = Waiting {
        token: request.token.clone(),
        digest: request.digest.clone(),
        question: request.question.clone(),
        asked_at_ms: before
            .as_ref()
            .map_or_else(|| world.clock.now_ms(), |it| it.asked_at_ms),
        deadline_seconds: request.deadline_seconds,
        told: before.and_then(|it| it.told),
    };
    save(world, &key, &waiting)?;
    let answered: Option<ApprovalRecord> = load(world, &keys::answer(&execution, &request.digest))?;
    if let Some(record) = answered {
        return pass_on(world, request, record);
    }
    if let Some(told) = waiting.told {
        let did = "the question waits, as it was told before".to_owned();
        return Ok(Done::new(
            Asked {
                told,
                answered: None,
            },
            [did],
        ));
    }
    let asked = format!("asked: {}", waiting.question);
    let did = match tell(world, &request.order, &waiting) {
        Ok(told) => {
            waiting.told = Some(told);
            save(world, &key, &waiting)?;
            match told {
                0 => "nobody was told: the pair's notify names nobody".to_owned(),
                _ => "people were told".to_owned(),
            }
        }
        // The question waits and its deadline runs; it is told when it is asked again.
        Err(error) => format!("nobody could be told: {error}"),
    };
    Ok(Done::new(
        Asked {
            told: waiting.told.unwrap_or(0),
            answered: None,
        },
        [asked, did],
    ))
}

fn pass_on(
    world: &World,
    request: &ApprovalRequest,
    record: ApprovalRecord,
) -> Result<Done<Asked>, StepError> {
    let word = if record.approved { "yes" } else { "no" };
    let did = format!("{} has said {word} to this already", record.by);
    let answered = Approved {
        approved: record.approved,
        by: record.by,
        note: record.note,
    };
    let answer = serde_json::to_value(&answered).map_err(|error| {
        StepError::new(
            ErrorName::Internal,
            format!("an answer cannot be written as JSON: {error}"),
        )
    })?;
    match world.machines.answer(&request.token, &answer) {
        Ok(()) => {}
        // Answered or given up meanwhile: there is nobody to tell.
        Err(error) if error.kind == PortErrorKind::Missing => {}
        Err(error) => {
            return Err(StepError::new(
                ErrorName::DeadlineExceeded,
                format!(
                    "{} could not be told the answer that is kept: {error}; it is tried again",
                    request.order.execution
                ),
            ));
        }
    }
    Ok(Done::new(
        Asked {
            told: 0,
            answered: Some(answered),
        },
        [did],
    ))
}

fn tell(world: &World, order: &Order, waiting: &Waiting) -> Result<u32, PortError> {
    let minutes = waiting.deadline_seconds.div_ceil(60);
    let silence = match world.pair.approval.silence {
        Silence::Reject => "it is not done",
        Silence::Approve => "it is done",
    };
    let subject = format!("{}: {} waits for your answer", order.pair, order.mode);
    let text = format!(
        "{question}\n\nAnswer within {minutes} minutes; without an answer {silence}.\n\n  {approve} {execution} --digest {digest} --yes\n  {approve} {execution} --digest {digest} --no\n",
        question = waiting.question,
        approve = Typing::of(world).command("approve", &order.target),
        execution = order.execution,
        digest = waiting.digest,
    );
    world.people.tell(&subject, &text)
}
