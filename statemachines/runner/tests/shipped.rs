//! The machines as shipped keep to the rules.

#![expect(clippy::panic, reason = "a file that cannot be read fails every test")]

use serde_json::Value;
use understudy_machines::{Machine, check, shipped};
use understudy_recovery::Mode;
use understudy_recovery::overdue::{SURVEY_SECONDS, TURN_SECONDS};

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

#[test]
fn a_recovery_is_overdue_when_its_machine_says_so() {
    for mode in Mode::ALL {
        let text = shipped::ALL.into_iter().find(|it| it.0 == mode.name());
        let text = text.map_or("", |(_, text)| text);
        let said = format!("an RTO of {} s", mode.bound_seconds());
        assert!(text.contains(&said), "{mode}: {said}");
        let waits = text.matches(".waitForTaskToken").count();
        assert_eq!(
            Some(waits),
            usize::try_from(mode.questions()).ok(),
            "{mode}"
        );
    }
}

/// What a machine's loops of looks and turns add, in seconds, by the counts in its choices and the limits of its states; of
/// what ends by itself far below its limit, that.
fn looped_seconds(text: &str) -> u64 {
    let file: Value = serde_json::from_str(text).unwrap_or_default();
    let states = file.get("States").and_then(Value::as_object).cloned();
    let states = states.unwrap_or_default();
    let seconds = |name: &str, field: &str| {
        let told = states.get(name).and_then(|state| state.get(field));
        told.and_then(Value::as_u64).unwrap_or(0)
    };
    let text = |of: Option<&Value>, field: &str| {
        let told = of.and_then(|of| of.get(field)).and_then(Value::as_str);
        told.unwrap_or_default().to_owned()
    };
    let choices = states
        .values()
        .filter_map(|it| it.get("Choices")?.as_array());
    let mut sum = 0;
    for choice in choices.flatten() {
        let condition = text(Some(choice), "Condition");
        let count = ["$looks < ", "$turns < "].into_iter().find_map(|counted| {
            let (_, rest) = condition.split_once(counted)?;
            rest.split(' ').next()?.parse::<u64>().ok()
        });
        let Some(count) = count else { continue };
        let mut looks = text(Some(choice), "Next");
        let pause = seconds(&looks, "Seconds");
        if pause > 0 {
            looks = text(states.get(&looks), "Next");
        }
        let limit = seconds(&looks, "TimeoutSeconds");
        let (takes, times) = match looks.as_str() {
            "SurveyTail" => (u64::from(SURVEY_SECONDS), 1),
            "PutAsideTail" => (u64::from(TURN_SECONDS), 1),
            // Looked at once more when consumers have stopped.
            "AwaitDrain" => (limit, 2),
            _ => (limit, 1),
        };
        assert!(
            takes > 0 && takes <= limit,
            "{looks}: {takes} s of {limit} s"
        );
        sum += times * count * (takes + pause);
    }
    sum
}

#[test]
fn what_a_machine_repeats_makes_nothing_overdue() {
    for mode in Mode::ALL {
        let text = shipped::ALL.into_iter().find(|it| it.0 == mode.name());
        let looped = looped_seconds(text.map_or("", |(_, text)| text));
        assert_eq!(u64::from(mode.looped_seconds()), looped, "{mode}");
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
