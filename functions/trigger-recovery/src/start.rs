//! Starting one execution, whoever asks and however often.

use understudy_recovery::contract::{Start, TriggerOutcome, Triggered};
use understudy_recovery::plan::Wish;
use understudy_recovery::{
    Alias, Consent, ErrorName, ExecutionName, Leash, Ledger, Mode, Phase, Refusal, StepError,
};
use understudy_shell::step::{change_ledger, load, read_ledger, save};
use understudy_shell::typed::Typing;
use understudy_shell::{PortError, PortErrorKind, World};

use crate::{answer, refused};

/// How many names of ended runs are passed by.
const TRIES: u32 = 8;
/// How long people are not told the same again, in milliseconds.
const QUIET_MS: i64 = 3_600_000;

/// What is asked for.
pub struct Asked {
    pub mode: Mode,
    pub leash: Leash,
    pub wish: Wish,
    pub consent: Option<Consent>,
    pub supersede: bool,
    pub standby_only: bool,
}

/// Starts an execution, unless one is under way or it may not be.
pub fn start(world: &World, asked: Asked) -> Result<Triggered, StepError> {
    for _try in 0..TRIES {
        let ledger = read_ledger(world)?;
        let execution = ledger.next_execution(asked.mode, asked.leash);
        if let Some(triggered) = hindrance(world, &ledger, &asked, &execution) {
            return Ok(triggered);
        }
        let start = Start {
            pair: world.pair.name.clone(),
            execution: execution.clone(),
            mode: asked.mode,
            leash: asked.leash,
            wish: asked.wish.clone(),
            wished_at_ms: world.clock.now_ms(),
            consent: asked.consent,
            supersede: asked.supersede,
            standby_only: asked.standby_only,
        };
        let started = world.machines.start(&start);
        if started.map_err(|error| at_machines(&execution, &error))? {
            return Ok(Triggered {
                outcome: TriggerOutcome::Started,
                reason: format!("{execution} was started"),
                execution: Some(execution),
            });
        }
        let running = world.machines.is_running(&execution);
        match running.map_err(|error| at_machines(&execution, &error))? {
            Some(true) | None => return Ok(under_way(world, execution)),
            // It ended without claiming: its epoch is free, its name is not.
            Some(false) => pass_by(world, &ledger)?,
        }
    }
    Err(StepError::new(
        ErrorName::LedgerConflict,
        format!(
            "{TRIES} names for a {} of {} were taken by runs that ended before they claimed; see why they did, and try \
             again",
            asked.mode, world.pair.name
        ),
    ))
}

/// Counts an attempt that led to nothing. Somebody else may have done so: then the ledger has moved on by itself.
fn pass_by(world: &World, seen: &Ledger) -> Result<(), StepError> {
    let counted = change_ledger(world, |ledger| {
        if ledger.version == seen.version {
            Ok(ledger.attempted())
        } else {
            Ok(ledger.clone())
        }
    });
    match counted {
        Err(error) if error.name == ErrorName::LedgerConflict => Ok(()),
        counted => counted.map(|_ledger| ()),
    }
}

/// Why nothing is started: what the claim would say, and where this runs.
fn hindrance(
    world: &World,
    ledger: &Ledger,
    asked: &Asked,
    execution: &ExecutionName,
) -> Option<Triggered> {
    let target = match target(world, ledger, asked) {
        Ok(target) => target,
        Err(reason) => return Some(refused(reason)),
    };
    if asked.mode == Mode::Failover && world.here.as_ref() == Some(&ledger.active) {
        return Some(refused(format!(
            "not failing over from here: {active} is active, and this is its Region, which a failover must do without; \
             start it in the Region of {target}",
            active = ledger.active
        )));
    }
    if asked.leash.is_leashed() {
        return None;
    }
    let now = world.clock.now_ms();
    match ledger.claim(execution, &target, asked.supersede, now) {
        Ok(_claimed) => None,
        Err(Refusal::InProgress { running, .. }) if running.mode() == asked.mode => {
            Some(under_way(world, running))
        }
        Err(refusal) => Some(refused(refusal.to_string())),
    }
}

fn target(world: &World, ledger: &Ledger, asked: &Asked) -> Result<Alias, String> {
    if let (Mode::Failback, Some(begun)) = (asked.mode, ledger.unfinished()) {
        return Ok(begun.clone());
    }
    if asked.mode == Mode::Failback && !asked.standby_only {
        let home = &world.pair.home;
        if home == &ledger.active && ledger.phase == Phase::Steady {
            return Err(format!(
                "not failing back: {} is at home on {home} already",
                world.pair.name
            ));
        }
        return Ok(home.clone());
    }
    world.pair.other(&ledger.active).cloned().ok_or_else(|| {
        format!(
            "not starting: pair {} has no cluster beside {}",
            world.pair.name, ledger.active
        )
    })
}

fn under_way(world: &World, execution: ExecutionName) -> Triggered {
    let here = world.here.as_ref().unwrap_or(&world.pair.home);
    let watch = Typing::of(world).command("watch", here);
    Triggered {
        outcome: TriggerOutcome::UnderWay,
        reason: format!("{execution} is under way already; follow it with `{watch}`"),
        execution: Some(execution),
    }
}

/// Tells people that a recovery would be due, at most once an hour for one epoch.
pub fn only_tell(world: &World, ledger: &Ledger, alarm: &str) -> Result<Triggered, StepError> {
    let told = |reason: String| answer(TriggerOutcome::Told, reason);
    let now = world.clock.now_ms();
    let key = format!("told/{}-{}.json", ledger.pair, ledger.epoch);
    let before: Option<i64> = load(world, &key).ok().flatten();
    if let Some(before) = before.filter(|at| now.saturating_sub(*at) < QUIET_MS) {
        let minutes = now.saturating_sub(before) / 60_000;
        return Ok(told(format!(
            "people were told {minutes} minutes ago that {} is unhealthy; the pair only observes",
            ledger.active
        )));
    }
    let subject = format!("{}: {} is unhealthy", ledger.pair, ledger.active);
    let standby = world.pair.other(&ledger.active).unwrap_or(&ledger.active);
    let typing = Typing::of(world);
    let text = format!(
        "Alarm {alarm} says that {active} is unhealthy. Pair {pair} only observes, so nothing was started.\n\nTo see what \
         a failover would do:\n\n  {drill}\n\nTo fail over:\n\n  {failover}\n",
        active = ledger.active,
        pair = ledger.pair,
        drill = typing.command("drill", standby),
        failover = typing.command("failover", standby),
    );
    let subscribers = world.people.tell(&subject, &text).map_err(|error| {
        StepError::new(
            ErrorName::DeadlineExceeded,
            format!(
                "nobody could be told that {} is unhealthy: {error}",
                ledger.active
            ),
        )
    })?;
    // Without this they may be told again, which is no harm.
    let _kept = save(world, &key, &now);
    Ok(told(format!(
        "{subscribers} subscribers were told that {} is unhealthy; the pair only observes",
        ledger.active
    )))
}

fn at_machines(execution: &ExecutionName, error: &PortError) -> StepError {
    let name = match error.kind {
        PortErrorKind::Missing => {
            let text = format!(
                "{execution} cannot be started: {error}; deploy this pair's control plane here"
            );
            return StepError::new(ErrorName::BadRequest, text);
        }
        PortErrorKind::NotPermitted => ErrorName::NotPermitted,
        PortErrorKind::Unreachable
        | PortErrorKind::TimedOut
        | PortErrorKind::Conflict
        | PortErrorKind::Malformed
        | PortErrorKind::Refused => ErrorName::DeadlineExceeded,
    };
    StepError::new(
        name,
        format!("whether {execution} runs, or can be started, is not known: {error}; try again"),
    )
}
