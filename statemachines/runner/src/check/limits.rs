//! How long a machine may take, if everything takes as long as it may.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Machine;
use crate::state::{Kind, State, Task};

/// How long the way from a machine's start to a state may take, in seconds, with every time limit and every retry used
/// up: every state that a walk there can come by, each once. What waits for a person does not count, nor do loops of
/// looks, which the files bound and name themselves. Nothing if no way leads there.
pub fn longest_path_seconds(machine: &Machine, to: &str) -> Option<u64> {
    let from_start = walk(machine, machine.start_at(), Some(to));
    if !from_start.contains(to) {
        return None;
    }
    let on_the_way = from_start
        .iter()
        .filter(|name| walk(machine, name, None).contains(to));
    let time: Duration = on_the_way
        .filter_map(|name| cost(machine.state(name)?))
        .sum();
    Some(time.as_secs())
}

/// Every state that a walk from `from` comes by when nothing fails, not beyond `until`, and not by way of a person.
fn walk<'a>(machine: &'a Machine, from: &'a str, until: Option<&str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        let Some(state) = machine.state(name).filter(|state| cost(state).is_some()) else {
            continue;
        };
        if seen.insert(name) && until != Some(name) {
            next.extend(forward(state));
        }
    }
    seen
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
