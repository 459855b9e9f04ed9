//! Whether each variable has a value on every path that leads to where it is read.

use std::collections::{BTreeMap, BTreeSet};

use crate::Machine;
use crate::expression::Expression;
use crate::state::{Kind, State};
use crate::template::Template;

type Names = BTreeSet<String>;

/// Variables that may be read before they are assigned.
pub fn findings(machine: &Machine) -> Vec<String> {
    let known = known_on_entry(machine);
    let mut found = Vec::new();
    for state in machine.states() {
        let Some(known) = known.get(state.name.as_str()) else {
            continue;
        };
        let read: Names = super::expressions_of(state)
            .into_iter()
            .flat_map(Expression::variables)
            .collect();
        for name in read.difference(known) {
            found.push(format!(
                "{}: ${name} is not assigned on every path that leads here",
                state.name
            ));
        }
    }
    found
}

/// Variables that have a value whenever a state is entered. Begins with "all of them" everywhere but at the start, and
/// takes away until nothing changes.
fn known_on_entry(machine: &Machine) -> BTreeMap<&str, Names> {
    let mut known: BTreeMap<&str, Names> = BTreeMap::new();
    known.insert(machine.start_at(), Names::new());
    let mut changed = true;
    while changed {
        changed = false;
        for state in machine.states() {
            let Some(here) = known.get(state.name.as_str()).cloned() else {
                continue;
            };
            for (target, assigned) in edges(state) {
                let mut there: Names = here.clone();
                there.extend(assigned);
                match known.get_mut(target) {
                    Some(before) => {
                        let both: Names = before.intersection(&there).cloned().collect();
                        changed |= both.len() != before.len();
                        *before = both;
                    }
                    None => {
                        known.insert(target, there);
                        changed = true;
                    }
                }
            }
        }
    }
    known
}

/// Where a state leads, and what is assigned on that way.
fn edges(state: &State) -> Vec<(&str, Vec<String>)> {
    let names =
        |assign: &[(String, Template)]| assign.iter().map(|(name, _)| name.clone()).collect();
    match &state.kind {
        Kind::Task(task) => {
            let caught = task
                .catch
                .iter()
                .map(|catcher| (catcher.next.as_str(), names(&catcher.assign)));
            std::iter::once((task.next.as_str(), names(&task.assign)))
                .chain(caught)
                .collect()
        }
        Kind::Pass { assign, next, .. } => vec![(next, names(assign))],
        Kind::Choice { .. } | Kind::Wait { .. } | Kind::Succeed | Kind::Fail { .. } => state
            .targets()
            .into_iter()
            .map(|target| (target, Vec::new()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    #[test]
    fn a_variable_that_one_path_lacks_is_found() {
        let text = r#"{ "Comment": "c", "QueryLanguage": "JSONata", "StartAt": "A", "States": {
            "A": { "Type": "Pass", "Comment": "c", "Assign": { "x": 1 }, "Next": "B" },
            "B": { "Type": "Choice", "Comment": "c", "Choices": [{ "Condition": "{% $x = 1 %}", "Next": "C" }], "Default": "D" },
            "C": { "Type": "Pass", "Comment": "c", "Assign": { "y": "{% $x %}" }, "Next": "D" },
            "D": { "Type": "Pass", "Comment": "c", "Assign": { "z": "{% $x + $y %}" }, "Next": "B" } } }"#;
        let machine = Machine::parse("m", text).unwrap();
        assert_eq!(
            findings(&machine),
            ["D: $y is not assigned on every path that leads here"]
        );
    }
}
