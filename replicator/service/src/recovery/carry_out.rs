//! One recovery, carried out by this process: its name is taken, the shipped state machine runs with the real handlers,
//! and what stands afterwards is said.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use understudy_machines::{
    Hooks, Outcome, Status, TaskError, Tasks, WallTime, run as run_machine, shipped,
};
use understudy_recovery::contract::Start;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::plan::Wish;
use understudy_recovery::{Consent, ExecutionName, Leash, Ledger, Mode, Phase, Step};
use understudy_shell::step::load;
use understudy_shell::{World, bounded, keys};
use understudy_steps::invoke;

use super::asking::{Answerer, LocalTokens};
use super::home::{Held, Home, LocalError};
use super::live::Live;
use super::summary;
use crate::stop::Stop;

/// What a person asks for.
pub struct Asked {
    /// What kind of recovery.
    pub mode: Mode,
    /// Whether it acts.
    pub leash: Leash,
    /// Whether whatever is asked is approved.
    pub yes: bool,
    /// Whether answers come from elsewhere.
    pub wait: bool,
    /// Why.
    pub reason: String,
    /// What may be lost besides.
    pub consent: Option<Consent>,
    /// Whether a recovery that is under way is taken over from.
    pub supersede: bool,
    /// Of a failback: whether applications stay where they are.
    pub standby_only: bool,
    /// For machines.
    pub json: bool,
}

/// Carries a recovery out. True if the target is active, or stands by as was asked, or the drill is done.
///
/// # Errors
/// The pair's folder cannot be used, or the ledger cannot be read: nothing was started.
pub fn run(home: &Home, asked: &Asked) -> Result<bool, LocalError> {
    let held = home.hold(asked.mode, asked.leash)?;
    let ledger = home.ledger()?;
    let deserted = deserted(home, &ledger);
    let machine =
        shipped::machine(asked.mode).map_err(|error| LocalError::Defect(error.to_string()))?;
    let live = Live::new(shipped::text(asked.mode), asked.json);
    let person = person();
    let start = Start {
        pair: home.world.pair.name.clone(),
        execution: held.execution.clone(),
        mode: asked.mode,
        leash: asked.leash,
        wish: Wish::Person {
            name: person.clone(),
            reason: asked.reason.clone(),
        },
        wished_at_ms: home.world.clock.now_ms(),
        consent: asked.consent,
        supersede: asked.supersede || deserted.is_some(),
        standby_only: asked.standby_only,
    };
    live.note(&heading(&start, deserted.as_ref()));
    let stop = interrupts();
    let tokens = LocalTokens {
        world: home.world.clone(),
        state: home.state.clone(),
        pair_file: home.pair_file.clone(),
        execution: held.execution.clone(),
        answerer: answerer(asked),
        person,
        live: &live,
        stop: stop.clone(),
        typed: Mutex::new(None),
    };
    let handlers = Handlers {
        world: home.world.clone(),
    };
    let execution = held.execution.to_string();
    let hooks = Hooks {
        execution: &execution,
        tasks: &handlers,
        tokens: &tokens,
        time: &WallTime,
    };
    let input = serde_json::to_value(&start)
        .map_err(|error| LocalError::Defect(format!("the start cannot be written: {error}")))?;
    let outcome = run_machine(&machine, machine.start(input), hooks, &mut |event| {
        live.see(event);
        if stop.is_set() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    live.end();
    conclude(home, &held, &outcome, &live, asked.json)
}

/// The real handlers, each call in a thread of its own that is left behind when its time is over.
struct Handlers {
    world: World,
}

impl Tasks for Handlers {
    fn invoke(&self, step: Step, payload: Value, timeout: Duration) -> Result<Value, TaskError> {
        let world = self.world.clone();
        let answer = bounded::within(timeout, move || invoke(&world, step, payload));
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(TaskError::new(error.name.name(), error.text)),
            None => Err(TaskError::timeout(format!(
                "{step} did not answer within {} s",
                timeout.as_secs()
            ))),
        }
    }
}

/// The recovery that holds the pair and whose process is gone.
fn deserted(home: &Home, ledger: &Ledger) -> Option<ExecutionName> {
    match &ledger.phase {
        Phase::Recovering(running) if home.is_running(&running.execution) == Some(false) => {
            Some(running.execution.clone())
        }
        Phase::Recovering(_) | Phase::Stuck(_) | Phase::Steady => None,
    }
}

fn heading(start: &Start, deserted: Option<&ExecutionName>) -> String {
    let drill = if start.leash.is_leashed() {
        "drill, nothing is changed: "
    } else {
        ""
    };
    let takes_over = match deserted {
        Some(dead) => format!("\ntakes over from {dead}, whose process is gone"),
        None => String::new(),
    };
    format!(
        "{drill}{} of pair {}: {}{takes_over}",
        start.mode, start.pair, start.execution
    )
}

fn answerer(asked: &Asked) -> Answerer {
    if asked.yes {
        Answerer::Yes
    } else if asked.wait {
        Answerer::Elsewhere
    } else if io::stdin().is_terminal() && io::stderr().is_terminal() {
        Answerer::Terminal
    } else {
        Answerer::Nobody
    }
}

/// Who asks, as the system calls them.
pub fn person() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "somebody".to_owned())
}

/// Set by the first interruption, between two states; the second ends the process, as ever.
fn interrupts() -> Arc<Stop> {
    let stop = Arc::new(Stop::default());
    let told = stop.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else { return };
        for signal in 0..2 {
            if runtime.block_on(tokio::signal::ctrl_c()).is_err() {
                return;
            }
            if signal == 0 {
                eprintln!(
                    "\ninterrupted: stopping behind the step that is under way; once more ends it at once"
                );
                told.set();
            } else {
                std::process::exit(130);
            }
        }
    });
    stop
}

/// Says where we stand.
fn conclude(
    home: &Home,
    held: &Held,
    outcome: &Outcome,
    live: &Live,
    json: bool,
) -> Result<bool, LocalError> {
    let execution = held.execution.to_string();
    let stand = match &outcome.status {
        Status::Stopped => interrupted(home, held),
        Status::Succeeded | Status::Failed(_) => {
            let said = outcome.variables.get("stand").and_then(Value::as_str);
            match (&outcome.status, said) {
                (_, Some(said)) => said.to_owned(),
                (Status::Failed(error), None) => error.to_string(),
                (_, None) => refusal(outcome).unwrap_or_else(|| "nothing more is known".to_owned()),
            }
        }
    };
    let ended = match &outcome.status {
        Status::Stopped => "Interrupted",
        Status::Succeeded | Status::Failed(_) => outcome.end_state.as_str(),
    };
    let evidence: Option<Evidence> = load(&home.world, &keys::evidence(&execution))?;
    let holds = matches!(ended, "TargetActive" | "StandbyReady" | "DrillDone");
    if json {
        let path = |key: String| {
            let path = home.path(&key);
            path.exists().then(|| path.display().to_string())
        };
        let said = json!({
            "execution": execution,
            "ended": ended,
            "stand": stand,
            "holds": holds,
            "error": outcome.variables.get("error"),
            "opened_after_ms": evidence.as_ref().and_then(|it| it.opened_after_ms),
            "clients_back_after_ms": evidence.as_ref().and_then(|it| it.clients_back_after_ms),
            "loss": evidence.as_ref().and_then(|it| it.loss),
            "evidence": path(keys::evidence(&execution)),
            "page": path(keys::page(&execution)),
        });
        println!("{said:#}");
        return Ok(holds);
    }
    live.note(&format!("\n{ended}: {stand}"));
    if let Some(evidence) = evidence {
        print!("{}", summary::of(&evidence));
        println!(
            "  evidence  {}",
            home.path(&keys::evidence(&execution)).display()
        );
        println!(
            "  page      {}",
            home.path(&keys::page(&execution)).display()
        );
    }
    Ok(holds)
}

/// Why a run that never held the pair was turned away.
fn refusal(outcome: &Outcome) -> Option<String> {
    let cause = outcome.variables.get("error")?.get("Cause")?;
    cause.as_str().map(str::to_owned)
}

/// What stands after a run was interrupted between two states.
fn interrupted(home: &Home, held: &Held) -> String {
    if held.execution.leash().is_leashed() {
        return "the drill was interrupted; it has changed nothing.".to_owned();
    }
    let Ok(ledger) = home.ledger() else {
        return "the ledger cannot be read: look at it before anything else is started.".to_owned();
    };
    let Some(running) = ledger.running().filter(|it| it.execution == held.execution) else {
        return format!(
            "{} is the active cluster, and nothing is under way.",
            ledger.active
        );
    };
    let fences: Vec<&str> = ledger.fences.keys().map(|alias| alias.as_str()).collect();
    let fenced = if fences.is_empty() {
        String::new()
    } else {
        format!(" Writers may be shut out of {}.", fences.join(", "))
    };
    let pair = home.pair_file.display();
    if running.sealed {
        format!(
            "the flow is sealed, and {} is the active cluster. Nothing more is copied.{fenced} Only forward from here: \
             `understudy failover {pair} --local` takes over and finishes the way to {}.",
            ledger.active, running.target
        )
    } else {
        format!(
            "nothing was sealed, and {} is the active cluster.{fenced} Start it again: `understudy {} {pair} --local` takes \
             over from here.",
            ledger.active, running.mode
        )
    }
}

#[cfg(test)]
mod tests;
