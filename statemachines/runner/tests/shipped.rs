//! The machines as shipped keep to the rules.

#![expect(clippy::panic, reason = "a file that cannot be read fails every test")]

use serde_json::Value;
use understudy_machines::{Machine, check, shipped};

fn machines() -> Vec<Machine> {
    shipped::ALL
        .into_iter()
        .map(|(name, text)| Machine::parse(name, text).unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

#[test]
fn nothing_is_found() {
    for machine in machines() {
        let findings = check::findings(&machine);
        assert!(findings.is_empty(), "{}: {findings:#?}", machine.name());
    }
}

#[test]
fn the_comment_adds_up_the_longest_path() {
    for machine in machines() {
        let seconds = check::longest_path_seconds(&machine, "OpenTarget").unwrap_or_default();
        let said = format!("used up: {seconds} s.");
        let comment = machine.comment();
        assert!(
            comment.contains(&said),
            "{}: {said} is not in its Comment: {comment}",
            machine.name()
        );
        let bound = comment
            .split("an RTO of ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let bound: u64 = bound
            .and_then(|bound| bound.parse().ok())
            .unwrap_or_default();
        assert!(
            seconds <= bound,
            "{}: {seconds} s is more than its RTO of {bound} s",
            machine.name()
        );
    }
}

/// What a state does, without the words in which it is told.
fn acts(mut state: Value) -> Value {
    if let Some(fields) = state.as_object_mut() {
        fields.remove("Comment");
    }
    for field in state.as_object_mut().into_iter().flatten() {
        wordless(field.1);
    }
    state
}

fn wordless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("stand");
            fields.values_mut().for_each(wordless);
        }
        Value::Array(items) => items.iter_mut().for_each(wordless),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_failback_ends_in_the_states_of_a_switchover() {
    let states = |text: &str| {
        let file: Value = serde_json::from_str(text).unwrap_or_default();
        let states = file.get("States").and_then(Value::as_object).cloned();
        states.unwrap_or_default()
    };
    let (switchover, failback) = (states(shipped::SWITCHOVER), states(shipped::FAILBACK));
    assert!(switchover.len() > 30, "{} states", switchover.len());
    // Where it begins otherwise, and has one end more.
    let own = ["Begin", "ClaimEpoch", "ChooseEnd"];
    for (name, state) in switchover {
        if own.contains(&name.as_str()) {
            continue;
        }
        let here = failback.get(&name).cloned().unwrap_or_default();
        assert_eq!(acts(here), acts(state), "{name}");
    }
}
