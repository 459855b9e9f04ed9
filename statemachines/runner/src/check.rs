//! What a machine must keep to, beyond what Step Functions asks. Each rule answers with findings in words; none is good.
//!
//! That every function is a step and every target a state is checked when a machine is read.

mod assigned;
mod limits;

use std::collections::BTreeSet;

use understudy_recovery::{ErrorName, Mode};

use crate::Machine;
use crate::expression::Expression;
use crate::state::{Kind, State};

pub use limits::longest_path_seconds;

/// Errors that come from AWS and that a machine may name.
const PLATFORM_ERRORS: [&str; 9] = [
    "States.Timeout",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
];
/// Functions of JSONata that every interpreter of ours has: Step Functions', the emulator's and the one here.
const FUNCTIONS: [&str; 6] = ["count", "exists", "join", "merge", "not", "string"];
/// Operators that are younger than Step Functions' JSONata.
const YOUNGER_OPERATORS: [&str; 2] = ["Coalesce", "Default"];

/// Everything that is wrong with a machine.
pub fn findings(machine: &Machine) -> Vec<String> {
    let rules = [
        unreachable_states,
        tasks,
        expressions,
        assigned::findings,
        ends,
    ];
    rules.iter().flat_map(|rule| rule(machine)).collect()
}

/// States that nothing leads to.
fn unreachable_states(machine: &Machine) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![machine.start_at()];
    while let Some(name) = next.pop() {
        if seen.insert(name)
            && let Some(state) = machine.state(name)
        {
            next.extend(state.targets());
        }
    }
    machine
        .names()
        .filter(|name| !seen.contains(name))
        .map(|name| format!("{name}: nothing leads here"))
        .collect()
}

/// A task has retries and catches, names errors that exist, and catches everything last.
fn tasks(machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    for state in machine.states() {
        if state.comment.is_empty() {
            found.push(format!("{}: its Comment is empty", state.name));
        }
        let Some(task) = state.task() else { continue };
        let mut say = |what: &str| found.push(format!("{}: {what}", state.name));
        if task.timeout.is_zero() {
            say("TimeoutSeconds is 0");
        }
        if task.retry.is_empty() {
            say("it has no Retry");
        }
        let last = task.catch.last().map(|catcher| catcher.errors.as_slice());
        if last != Some(&["States.ALL".to_owned()]) {
            say("its last Catch is not for States.ALL alone");
        }
        let earlier = task
            .catch
            .iter()
            .rev()
            .skip(1)
            .map(|catcher| &catcher.errors);
        let retried = task.retry.iter().map(|retrier| &retrier.errors);
        for error in earlier.chain(retried).flatten() {
            let ours = ErrorName::ALL.into_iter().any(|name| name.name() == error);
            if !ours && !PLATFORM_ERRORS.contains(&error.as_str()) {
                say(&format!(
                    "{error} is no error of ours or of AWS that is known here"
                ));
            }
        }
        for permanent in ErrorName::ALL.into_iter().filter(|name| !retriable(*name)) {
            let named = |errors: &Vec<String>| errors.iter().any(|error| error == permanent.name());
            if task.retry.iter().any(|retrier| named(&retrier.errors)) {
                say(&format!(
                    "{} is tried again, which cannot help",
                    permanent.name()
                ));
            }
        }
    }
    found
}

/// An application's adapter may do it the next time, too: it speaks for somebody else.
fn retriable(name: ErrorName) -> bool {
    name.is_transient() || name == ErrorName::ClientFailed
}

/// Expressions stay within what every interpreter has.
fn expressions(machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    for state in machine.states() {
        for expression in expressions_of(state) {
            for function in expression.functions() {
                if !FUNCTIONS.contains(&function.as_str()) {
                    found.push(format!(
                        "{}: ${function} is not known to be there everywhere",
                        state.name
                    ));
                }
            }
            for operator in expression.operators() {
                if YOUNGER_OPERATORS.contains(&operator.as_str()) {
                    found.push(format!(
                        "{}: {:?} uses an operator that Step Functions does not have",
                        state.name,
                        expression.text()
                    ));
                }
            }
        }
    }
    found
}

/// Every end is one of those that evidence knows, and each is there.
fn ends(machine: &Machine) -> Vec<String> {
    let mut ends = vec![
        "DrillDone",
        "OperatorNeeded",
        "SourceStillActive",
        "Superseded",
        "TargetActive",
    ];
    if machine.name() == Mode::Failback.name() {
        ends.insert(3, "StandbyReady");
    }
    let mut there: Vec<&str> = machine
        .states()
        .iter()
        .filter(|state| state.is_end())
        .map(|state| state.name.as_str())
        .collect();
    there.sort_unstable();
    if there == ends {
        Vec::new()
    } else {
        vec![format!("its ends are {there:?}, not {ends:?}")]
    }
}

fn expressions_of(state: &State) -> Vec<&Expression> {
    let mut all = Vec::new();
    match &state.kind {
        Kind::Task(task) => {
            all.extend(task.payload.expressions());
            all.extend(task.output.iter().flat_map(|it| it.expressions()));
            all.extend(task.assign.iter().flat_map(|(_, it)| it.expressions()));
            let caught = task.catch.iter().flat_map(|catcher| &catcher.assign);
            all.extend(caught.flat_map(|(_, it)| it.expressions()));
        }
        Kind::Pass { assign, output, .. } => {
            all.extend(output.iter().flat_map(|it| it.expressions()));
            all.extend(assign.iter().flat_map(|(_, it)| it.expressions()));
        }
        Kind::Choice { rules, .. } => all.extend(rules.iter().map(|(condition, _)| condition)),
        Kind::Wait { .. } | Kind::Succeed => {}
        Kind::Fail { error, cause } => {
            all.extend(error.expressions());
            all.extend(cause.expressions());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    fn machine(states: &str) -> Machine {
        let text = format!(
            r#"{{ "Comment": "c", "QueryLanguage": "JSONata", "StartAt": "A", "States": {{ {states} }} }}"#
        );
        Machine::parse("m", &text).unwrap()
    }

    const TASK: &str = r#""Type": "Task", "Comment": "c", "Resource": "arn:aws:states:::lambda:invoke", "TimeoutSeconds": 1,
        "Arguments": { "FunctionName": "${AssessArn}", "Payload": {} }, "Next": "B""#;
    const END: &str = r#""B": { "Type": "Succeed", "Comment": "c" }"#;

    fn says(machine: &Machine, what: &str) -> bool {
        findings(machine)
            .iter()
            .any(|finding| finding.contains(what))
    }

    #[test]
    fn what_is_wrong_is_found() {
        let bare = machine(&format!(
            r#""A": {{ {TASK} }}, {END}, "C": {{ "Type": "Succeed", "Comment": "" }}"#
        ));
        assert!(says(&bare, "A: it has no Retry"));
        assert!(says(&bare, "A: its last Catch is not for States.ALL alone"));
        assert!(says(&bare, "C: nothing leads here"));
        assert!(says(&bare, "C: its Comment is empty"));
        let retry = |error: &str| {
            format!(
                r#""Retry": [{{ "ErrorEquals": ["{error}"], "IntervalSeconds": 1, "BackoffRate": 2, "MaxAttempts": 1, "MaxDelaySeconds": 1, "JitterStrategy": "FULL" }}]"#
            )
        };
        let unknown = machine(&format!(
            r#""A": {{ {TASK}, {} }}, {END}"#,
            retry("Nonsense")
        ));
        assert!(says(&unknown, "Nonsense is no error"));
        let permanent = machine(&format!(
            r#""A": {{ {TASK}, {} }}, {END}"#,
            retry("StaleEpoch")
        ));
        assert!(says(&permanent, "StaleEpoch is tried again"));
        let odd = machine(&format!(
            r#""A": {{ "Type": "Pass", "Comment": "c", "Assign": {{ "t": "{{% $millis() %}}" }}, "Next": "B" }}, {END}"#
        ));
        assert!(says(&odd, "$millis"));
    }

    #[test]
    fn what_is_not_understood_is_refused_when_it_is_read() {
        let parse = |states: &str| {
            let text = format!(
                r#"{{ "Comment": "c", "QueryLanguage": "JSONata", "StartAt": "A", "States": {{ {states} }} }}"#
            );
            Machine::parse("m", &text)
                .map(|_| ())
                .map_err(|error| error.to_string())
                .unwrap_err()
        };
        assert!(
            parse(r#""A": { "Type": "Parallel", "Comment": "c", "Branches": [] }"#)
                .contains("Parallel")
        );
        assert!(
            parse(r#""A": { "Type": "Pass", "Comment": "c", "Next": "B" }"#)
                .contains("A leads to B")
        );
        assert!(parse(r#""A": { "Type": "Pass", "Comment": "c", "Nxt": "B" }"#).contains("Nxt"));
        let task = TASK.replace("Assess", "Asses");
        assert!(parse(&format!(r#""A": {{ {task} }}, {END}"#)).contains("AssesArn"));
        let broken = r#""A": { "Type": "Pass", "Comment": "c", "Assign": { "x": "{% $a + %}" }, "Next": "B" }"#;
        assert!(parse(&format!("{broken}, {END}")).contains("state A"));
    }
}
