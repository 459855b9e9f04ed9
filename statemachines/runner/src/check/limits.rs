//! How long a machine may take, if everything takes as long as it may.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Machine;
use crate::state::{Kind, State, Task};

/// The longest way from a machine's start to a state, in seconds, with every time limit and every retry used up, each
/// state once. What waits for a person does not count, nor do loops of looks, which the files bound and name themselves.
/// Nothing if no way leads there.
pub fn longest_path_seconds(machine: &Machine, to: &str) -> Option<u64> {
    longest(machine, machine.start_at(), to, &mut BTreeSet::new()).map(|time| time.as_secs())
}

fn longest<'a>(
    machine: &'a Machine,
    from: &'a str,
    to: &str,
    on_path: &mut BTreeSet<&'a str>,
) -> Option<Duration> {
    let state = machine.state(from)?;
    let here = cost(state)?;
    if from == to {
        return Some(here);
    }
    on_path.insert(from);
    let further = forward(state)
        .into_iter()
        .filter(|next| !on_path.contains(next))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|next| longest(machine, next, to, on_path))
        .max();
    on_path.remove(from);
    further.map(|further| here + further)
}

/// Where a state leads when nothing fails.
fn forward(state: &State) -> Vec<&str> {
    match &state.kind {
        Kind::Task(task) => vec![task.next.as_str()],
        Kind::Pass { .. }
        | Kind::Choice { .. }
        | Kind::Wait { .. }
        | Kind::Succeed
        | Kind::Fail { .. } => state.targets(),
    }
}

/// How long a state may take; nothing for one that waits for a person.
fn cost(state: &State) -> Option<Duration> {
    match &state.kind {
        Kind::Task(task) if task.waits_for_token => None,
        Kind::Task(task) => Some(longest_call(task)),
        Kind::Pass { .. }
        | Kind::Choice { .. }
        | Kind::Wait { .. }
        | Kind::Succeed
        | Kind::Fail { .. } => Some(Duration::ZERO),
    }
}

fn longest_call(task: &Task) -> Duration {
    task.retry.iter().fold(task.timeout, |sum, retrier| {
        let waits: Duration = (0..retrier.max_attempts).map(|it| retrier.delay(it)).sum();
        sum + waits + task.timeout * retrier.max_attempts
    })
}
