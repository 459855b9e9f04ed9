//! How a step is carried out: its epoch is checked, what it did is kept, its errors have names.

use serde::Serialize;
use serde::de::DeserializeOwned;
use understudy_recovery::contract::Order;
use understudy_recovery::evidence::StepRecord;
use understudy_recovery::{ErrorName, Ledger, Refusal, Step, StepError};

use crate::world::World;
use crate::{PortError, PortErrorKind};

/// What a step answers, and what it did in words.
#[derive(Clone, Debug)]
pub struct Done<T> {
    /// The answer.
    pub answer: T,
    /// What was done, or would have been; for the evidence.
    pub did: Vec<String>,
}

impl<T> Done<T> {
    /// An answer.
    pub fn new(answer: T, did: impl IntoIterator<Item = String>) -> Self {
        Self {
            answer,
            did: did.into_iter().collect(),
        }
    }
}

/// Which part of a step, where it is done more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// One wave of applications.
    Wave(u32),
    /// What is done for a cluster that came back, before applications move.
    Returned,
}

impl Part {
    /// A wave, or the whole.
    pub fn of_wave(wave: Option<u32>) -> Self {
        wave.map_or(Self::Whole, Self::Wave)
    }

    /// What is done for a cluster that came back, or the whole.
    pub const fn on_return(returned: bool) -> Self {
        if returned {
            Self::Returned
        } else {
            Self::Whole
        }
    }
}

/// Carries a step out under an order: refuses a stale epoch before, and keeps the step's record in the store. What takes so
/// long that a newer epoch may begin meanwhile asks again itself ([`must_hold`]).
///
/// # Errors
/// The order is stale, the ledger or the store does not answer, or the step's own errors.
pub fn carry_out<T: Serialize>(
    world: &World,
    step: Step,
    part: Part,
    order: &Order,
    act: impl FnOnce() -> Result<Done<T>, StepError>,
) -> Result<T, StepError> {
    must_hold(world, order)?;
    let began = world.clock.now_ms();
    let result = act();
    keep_record(
        world,
        step,
        part,
        order,
        began,
        result.as_ref().map(|done| done.did.clone()),
    )?;
    Ok(result?.answer)
}

/// The ledger, with the pair held by this order's execution.
///
/// # Errors
/// It is held by another one, or the ledger does not answer. A leashed recovery holds nothing and is never stale.
pub fn must_hold(world: &World, order: &Order) -> Result<Ledger, StepError> {
    let ledger = read_ledger(world)?;
    if !order.leash.is_leashed() {
        ledger.held_by(&order.execution).map_err(refused)?;
    }
    Ok(ledger)
}

/// The ledger as stored, or as it is before the first recovery.
///
/// # Errors
/// It does not answer.
pub fn read_ledger(world: &World) -> Result<Ledger, StepError> {
    let stored = world
        .ledger
        .read(&world.pair.name)
        .map_err(|error| at_ledger(&error))?;
    Ok(stored.unwrap_or_else(|| Ledger::new(world.pair.name.clone(), world.pair.home.clone())))
}

/// Changes the ledger, on condition that nobody else does so meanwhile.
///
/// # Errors
/// The change is refused, somebody else changed it (try again), or it does not answer.
pub fn change_ledger(
    world: &World,
    change: impl FnOnce(&Ledger) -> Result<Ledger, Refusal>,
) -> Result<Ledger, StepError> {
    let ledger = read_ledger(world)?;
    let next = change(&ledger).map_err(refused)?;
    if next.version != ledger.version {
        world
            .ledger
            .write(ledger.version, &next)
            .map_err(|error| at_ledger(&error))?;
    }
    Ok(next)
}

/// Keeps what a step did, or why it did not, beside what was kept of earlier tries.
///
/// # Errors
/// The store did not take it.
pub fn keep_record(
    world: &World,
    step: Step,
    part: Part,
    order: &Order,
    began: i64,
    result: Result<Vec<String>, &StepError>,
) -> Result<(), StepError> {
    let key = record_key(order, step, part);
    let before: Option<StepRecord> = load(world, &key).ok().flatten();
    let (did, error) = match result {
        Ok(did) => (did, None),
        Err(error) => (
            Vec::new(),
            Some((error.name.name().to_owned(), error.text.clone())),
        ),
    };
    let record = StepRecord {
        step,
        part: match part {
            Part::Wave(wave) => Some(wave),
            Part::Whole | Part::Returned => None,
        },
        returned: part == Part::Returned,
        began_at_ms: before.as_ref().map_or(began, |record| record.began_at_ms),
        ended_at_ms: world.clock.now_ms(),
        tries: before.map_or(0, |record| record.tries).saturating_add(1),
        did,
        error,
    };
    save(world, &key, &record)
}

/// The folder of the store that an execution's things are in.
pub fn folder(order: &Order) -> String {
    folder_of(&order.execution.to_string())
}

/// The folder of the store that an execution's things are in.
pub fn folder_of(execution: &str) -> String {
    format!("recoveries/{execution}")
}

fn record_key(order: &Order, step: Step, part: Part) -> String {
    match part {
        Part::Wave(wave) => format!("{}/steps/{step}.{wave}.json", folder(order)),
        Part::Returned => format!("{}/steps/{step}.returned.json", folder(order)),
        Part::Whole => format!("{}/steps/{step}.json", folder(order)),
    }
}

/// Keeps a value as JSON.
///
/// # Errors
/// The store did not take it.
pub fn save<T: Serialize>(world: &World, key: &str, value: &T) -> Result<(), StepError> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        StepError::new(
            ErrorName::Internal,
            format!("{key} cannot be written as JSON: {error}"),
        )
    })?;
    world
        .store
        .put(key, &bytes)
        .map_err(|error| at_store(&error))
}

/// Reads a value that is kept as JSON.
///
/// # Errors
/// The store did not answer, or what it holds is something else.
pub fn load<T: DeserializeOwned>(world: &World, key: &str) -> Result<Option<T>, StepError> {
    let Some(bytes) = world.store.get(key).map_err(|error| at_store(&error))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        StepError::new(
            ErrorName::Internal,
            format!("{key} in the store cannot be read: {error}"),
        )
    })
}

/// Reads a value that an earlier step must have kept.
///
/// # Errors
/// As [`load`], or there is none.
pub fn must_load<T: DeserializeOwned>(world: &World, key: &str) -> Result<T, StepError> {
    load(world, key)?
        .ok_or_else(|| StepError::new(ErrorName::BadRequest, format!("the store has no {key}")))
}

/// The ledger's refusals, as a state machine sees them.
pub fn refused(refusal: Refusal) -> StepError {
    let name = match &refusal {
        Refusal::Stale { .. } => ErrorName::StaleEpoch,
        Refusal::InProgress { .. } => ErrorName::RecoveryInProgress,
        Refusal::AlreadyActive { .. } => ErrorName::BadRequest,
    };
    StepError::new(name, refusal.to_string())
}

/// Trouble at the ledger.
pub fn at_ledger(error: &PortError) -> StepError {
    named(
        error,
        ErrorName::LedgerUnreachable,
        ErrorName::LedgerConflict,
        "ledger",
    )
}

/// Trouble at the store.
pub fn at_store(error: &PortError) -> StepError {
    named(
        error,
        ErrorName::StoreUnreachable,
        ErrorName::StoreUnreachable,
        "store",
    )
}

/// Trouble at the cluster that becomes active.
pub fn at_target(error: &PortError) -> StepError {
    named(
        error,
        ErrorName::TargetUnreachable,
        ErrorName::TargetUnreachable,
        "target cluster",
    )
}

/// Trouble at the cluster that is left.
pub fn at_source(error: &PortError) -> StepError {
    named(
        error,
        ErrorName::SourceUnreachable,
        ErrorName::SourceUnreachable,
        "source cluster",
    )
}

fn named(error: &PortError, silent: ErrorName, conflict: ErrorName, what: &str) -> StepError {
    let name = match error.kind {
        PortErrorKind::Unreachable | PortErrorKind::TimedOut => silent,
        PortErrorKind::NotPermitted => ErrorName::NotPermitted,
        PortErrorKind::Conflict => conflict,
        PortErrorKind::Missing | PortErrorKind::Malformed => ErrorName::FlowUnreadable,
        PortErrorKind::Refused => silent,
    };
    StepError::new(name, format!("{what}: {error}"))
}
