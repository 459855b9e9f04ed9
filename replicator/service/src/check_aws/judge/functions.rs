//! Functions, state machines, schedules.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use understudy_aws::{EndedExecution, FunctionFacts, MachineFacts, RuleFacts};
use understudy_recovery::Step;

use super::{DEPLOY, Told};
use crate::check_aws::finding::Finding;

const DRILL: &str = "understudy drill PAIR.toml --region with this Region: every look of a failover is real, by its own functions, and every act is replaced by its plan";
/// Whoever has not drilled for longer does not know.
const DRILL_DAYS: i64 = 31;
const DAY_SECONDS: i64 = 86_400;
/// When every schedule calls.
const EVERY_MINUTE: &str = "rate(1 minute)";

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

/// How a drill ended, as its evidence says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Drill {
    ended: String,
    error: Option<String>,
}

/// The newest drill that came to one of its ends. A failover that was refused does so too, and has gone through little.
pub fn newest_drill(ended: &[EndedExecution]) -> Option<&EndedExecution> {
    (ended.iter().filter(|it| it.succeeded))
        .filter(|it| it.name.ends_with("-drill"))
        .max_by_key(|it| it.at_seconds)
}

/// Whether somebody has gone through all of it lately. A drill that was refused, or superseded, ends well and has not.
///
/// `changed_seconds` is when the newest function was last changed: what was drilled before was another one.
pub fn drill(
    newest: Option<(&EndedExecution, &Told<Drill>)>,
    changed_seconds: Option<i64>,
    now_seconds: i64,
) -> Finding {
    let what = "last drill";
    let Some((newest, told)) = newest else {
        let found =
            "none has come to its end here: whether functions reach what they need is not proven";
        return Finding::warning(what, found, DRILL);
    };
    let days = (now_seconds - newest.at_seconds) / DAY_SECONDS;
    let found = format!("{}, {}", newest.name, days_ago(days));
    match told {
        Err(error) => Finding::unknown(
            what,
            format!("{found}; how it ended is not known: {}", error.text),
        ),
        Ok(Drill { ended, error }) if ended != "DrillDone" || error.is_some() => {
            let why = error
                .as_deref()
                .unwrap_or("it did not go through all of it");
            Finding::warning(what, format!("{found}, {ended}: {why}"), DRILL)
        }
        Ok(_) if days > DRILL_DAYS => Finding::warning(what, found, DRILL),
        Ok(_) if changed_seconds.is_some_and(|changed| changed > newest.at_seconds) => {
            let found = format!("{found}; functions were deployed or set anew since");
            Finding::warning(what, found, DRILL)
        }
        Ok(_) => Finding::ok(what, found),
    }
}

fn days_ago(days: i64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

/// A schedule: on, every minute, and leading to its function.
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
        Ok(it) if it.expression != EVERY_MINUTE => {
            let found = format!("it calls at {}, and not at {EVERY_MINUTE}", it.expression);
            Finding::fails(what, found, DEPLOY)
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
            expression: EVERY_MINUTE.to_owned(),
            targets: vec![target.to_owned()],
        };
        let slow = RuleFacts {
            expression: "rate(1 hour)".to_owned(),
            ..on(true, TRIGGER)
        };
        assert_eq!(rule(Ok(slow)), Standing::Fails);
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
    fn a_drill_of_long_ago_or_of_other_functions_proves_little_and_a_refused_failover_nothing() {
        let named = |name: &str, succeeded, days: i64| EndedExecution {
            name: name.to_owned(),
            succeeded,
            at_seconds: (100 - days) * DAY_SECONDS,
        };
        let ended = |succeeded, days| named("orders-e1-failover-1-drill", succeeded, days);
        let judged = |it: EndedExecution, told| {
            let it = [it];
            let newest = newest_drill(&it).map(|newest| (newest, &told));
            drill(newest, Some(96 * DAY_SECONDS), 100 * DAY_SECONDS).standing
        };
        let of = |ended: &str, error: Option<&str>| -> Told<Drill> {
            Ok(Drill {
                ended: ended.to_owned(),
                error: error.map(str::to_owned),
            })
        };
        let done = || of("DrillDone", None);
        assert_eq!(judged(ended(true, 3), done()), Standing::Ok);
        assert_eq!(judged(ended(true, 60), done()), Standing::Warning);
        assert_eq!(judged(ended(false, 3), done()), Standing::Warning);
        let other = named("orders-e1-failover-1", true, 3);
        assert_eq!(judged(other, done()), Standing::Warning);
        let refused = of("DrillDone", Some("use1 serves"));
        assert_eq!(judged(ended(true, 3), refused), Standing::Warning);
        let superseded = of("Superseded", None);
        assert_eq!(judged(ended(true, 3), superseded), Standing::Warning);
        let untold = Err(error(PortErrorKind::NotPermitted));
        assert_eq!(judged(ended(true, 3), untold), Standing::Unknown);
        let deployed_since = ended(true, 5);
        assert_eq!(judged(deployed_since, done()), Standing::Warning);
    }
}
