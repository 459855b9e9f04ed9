//! The machines as shipped keep to the rules.

#![expect(clippy::panic, reason = "a file that cannot be read fails every test")]

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
