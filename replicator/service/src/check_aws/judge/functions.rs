//! Functions, state machines, schedules.

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_aws::{EndedExecution, FunctionFacts, MachineFacts, RuleFacts};
use understudy_recovery::Step;

use super::{DEPLOY, Told};
use crate::check_aws::finding::Finding;

const DRILL: &str = "understudy drill PAIR.toml --region with this Region: it goes through every function, role and endpoint, and changes nothing";
/// Whoever has not drilled for longer does not know.
const DRILL_DAYS: i64 = 31;
const DAY_SECONDS: i64 = 86_400;

/// A Region's functions: there, at work, and all of one program.
pub fn functions(all: &BTreeMap<Step, Told<FunctionFacts>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut codes: BTreeMap<&str, Vec<Step>> = BTreeMap::new();
    for (step, told) in all {
        let what = format!("function {step}");
        match told {
            // What nobody calls sleeps, and is woken by the first call.
            Ok(it) if matches!(it.state.as_str(), "Active" | "Inactive" | "unknown") => {
                codes.entry(&it.code).or_default().push(*step);
                if it.last_update == "Failed" {
                    let found = "its last change failed, so it is what it was before";
                    findings.push(Finding::fails(what, found, DEPLOY));
                }
            }
            Ok(it) => findings.push(Finding::fails(
                what,
                format!("its state is {}", it.state),
                DEPLOY,
            )),
            Err(error) => findings.push(Finding::of_error(what, error, DEPLOY)),
        }
    }
    let fewest = codes.values().min_by_key(|steps| steps.len());
    if let (true, Some(fewest)) = (codes.len() > 1, fewest) {
        let names: Vec<_> = fewest.iter().map(|step| step.name()).collect();
        findings.push(Finding::fails(
            "functions",
            format!(
                "they are of {} programs; {} differ from most",
                codes.len(),
                names.join(", ")
            ),
            DEPLOY,
        ));
    }
    if findings.is_empty() {
        let found = format!("{}, all of one program", all.len());
        findings.push(Finding::ok("functions", found));
    }
    findings
}

/// A state machine: the one that this `understudy` would carry out. `functions` are the ARNs that it calls, by what
/// stands for them in the file.
pub fn machine(
    name: &str,
    told: &Told<MachineFacts>,
    shipped: &str,
    functions: &BTreeMap<String, String>,
) -> Finding {
    let what = format!("state machine {name}");
    let deployed = match told {
        Ok(it) if it.status == "DELETING" => {
            return Finding::fails(what, "it is being deleted", DEPLOY);
        }
        Ok(it) => &it.definition,
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    let mut expected = shipped.to_owned();
    for (placeholder, arn) in functions {
        expected = expected.replace(&format!("${{{placeholder}}}"), arn);
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    if json(deployed).is_some() && json(deployed) == json(&expected) {
        return Finding::ok(what, "as this understudy has it");
    }
    Finding::warning(
        what,
        "it is of another version than this understudy",
        "use the understudy of the deployed version, or deploy this one",
    )
}

/// Whether somebody has gone through all of it lately.
pub fn drills(ended: &Told<Vec<EndedExecution>>, now_seconds: i64) -> Finding {
    let what = "last drill";
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    // A failover that was refused ends well, too, and has gone through little.
    let succeeded = (ended.iter()).filter(|it| it.succeeded && it.name.ends_with("-drill"));
    let Some(newest) = succeeded.max_by_key(|it| it.at_seconds) else {
        let found =
            "none has come to its end here: whether functions reach what they need is not proven";
        return Finding::warning(what, found, DRILL);
    };
    let days = (now_seconds - newest.at_seconds) / DAY_SECONDS;
    let found = format!("{}, {}", newest.name, days_ago(days));
    if days > DRILL_DAYS {
        return Finding::warning(what, found, DRILL);
    }
    Finding::ok(what, found)
}

fn days_ago(days: i64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

/// A schedule: on, and leading to its function.
pub fn schedule(name: &str, told: &Told<RuleFacts>, function: &str) -> Finding {
    let what = format!("schedule {name}");
    match told {
        Ok(it) if !it.enabled => Finding::fails(
            what,
            "it is switched off",
            "aws events enable-rule --name with its name",
        ),
        Ok(it) if !it.targets.iter().any(|arn| arn == function) => {
            Finding::fails(what, format!("it does not call {function}"), DEPLOY)
        }
        Ok(_) => Finding::ok(what, "on, every minute"),
        Err(error) => Finding::of_error(what, error, DEPLOY),
    }
}

/// A policy by which a service may call a function.
pub fn callable(step: Step, told: &Told<String>, services: &[&str]) -> Finding {
    let what = format!("who may call {step}");
    let policy = match told {
        Ok(policy) => policy,
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    let missing = services.iter().find(|service| !policy.contains(**service));
    match missing {
        Some(service) => Finding::fails(what, format!("{service} may not"), DEPLOY),
        None => Finding::ok(what, services.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use understudy_shell::PortErrorKind;

    use super::*;
    use crate::check::Standing;
    use crate::check_aws::judge::worst;

    const TRIGGER: &str = "arn:aws:lambda:us-west-2:1:function:understudy-orders-trigger-recovery";

    fn error(kind: PortErrorKind) -> understudy_shell::PortError {
        understudy_shell::PortError::new(kind, "AWS says no".to_owned())
    }

    fn active(code: &str) -> Told<FunctionFacts> {
        Ok(FunctionFacts {
            state: "Active".to_owned(),
            last_update: "Successful".to_owned(),
            code: code.to_owned(),
            ..FunctionFacts::default()
        })
    }

    #[test]
    fn what_is_missing_fails_and_what_may_not_be_seen_is_unknown() {
        let rule = |told| schedule("look-again", &told, TRIGGER).standing;
        assert_eq!(rule(Err(error(PortErrorKind::Missing))), Standing::Fails);
        assert_eq!(
            rule(Err(error(PortErrorKind::NotPermitted))),
            Standing::Unknown
        );
        assert_eq!(rule(Err(error(PortErrorKind::TimedOut))), Standing::Unknown);
        let on = |enabled, target: &str| RuleFacts {
            enabled,
            targets: vec![target.to_owned()],
        };
        assert_eq!(rule(Ok(on(true, TRIGGER))), Standing::Ok);
        assert_eq!(rule(Ok(on(false, TRIGGER))), Standing::Fails);
        assert_eq!(rule(Ok(on(true, "another"))), Standing::Fails);
    }

    #[test]
    fn a_region_that_was_deployed_half_is_told_by_what_differs() {
        let mut all = BTreeMap::from([
            (Step::SealFlow, active("new")),
            (Step::Assess, active("new")),
        ]);
        assert_eq!(worst(&functions(&all)), Standing::Ok);
        all.insert(Step::Notify, active("old"));
        let findings = functions(&all);
        assert_eq!(worst(&findings), Standing::Fails);
        assert!(
            findings.iter().any(|it| it.found.contains("notify differ")),
            "{findings:?}"
        );
    }

    #[test]
    fn a_machine_is_compared_as_it_calls() {
        let functions = BTreeMap::from([("NotifyArn".to_owned(), "arn:notify".to_owned())]);
        let shipped = r#"{"Comment": "a", "FunctionName": "${NotifyArn}"}"#;
        let deployed = |definition: &str| {
            let facts = MachineFacts {
                status: "ACTIVE".to_owned(),
                definition: definition.to_owned(),
            };
            machine("failover", &Ok(facts), shipped, &functions).standing
        };
        assert_eq!(
            deployed(r#"{"FunctionName":"arn:notify","Comment":"a"}"#),
            Standing::Ok
        );
        assert_eq!(
            deployed(r#"{"FunctionName":"arn:notify","Comment":"b"}"#),
            Standing::Warning
        );
        assert_eq!(deployed("not JSON"), Standing::Warning);
    }

    #[test]
    fn a_drill_that_is_long_ago_proves_little_and_a_refused_failover_nothing() {
        let named = |name: &str, succeeded, days: i64| {
            Ok(vec![EndedExecution {
                name: name.to_owned(),
                succeeded,
                at_seconds: 100 * DAY_SECONDS - days * DAY_SECONDS,
            }])
        };
        let ended = |succeeded, days| named("orders-e1-failover-1-drill", succeeded, days);
        let judged = |told| drills(&told, 100 * DAY_SECONDS).standing;
        assert_eq!(judged(ended(true, 3)), Standing::Ok);
        assert_eq!(judged(ended(true, 60)), Standing::Warning);
        assert_eq!(judged(ended(false, 3)), Standing::Warning);
        assert_eq!(
            judged(named("orders-e1-failover-1", true, 3)),
            Standing::Warning
        );
        assert_eq!(judged(Ok(Vec::new())), Standing::Warning);
    }
}
