//! What a flow and the applications need: workers, secrets, pointers, the pair itself, schemas.

use std::collections::BTreeMap;

use understudy_aws::{SecretFacts, ServiceFacts};
use understudy_recovery::client::Pointer;

use super::{DEPLOY, Told};
use crate::check_aws::finding::Finding;

/// Whether a flow is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads from the active cluster to the standby, or runs always.
    Runs,
    /// It leads to the active cluster.
    Rests,
    /// Nobody can tell which cluster is active.
    Unknown,
}

/// The workers of the flow into a Region.
pub fn service(service: &str, told: &Told<ServiceFacts>, usual: u32, role: Role) -> Finding {
    let what = format!("service {service}");
    let it = match told {
        Ok(it) if it.status == "ACTIVE" => it,
        Ok(it) => {
            let found = format!("its status is {}", it.status);
            return Finding::fails(what, found, "deploy this Region's Replicator stack");
        }
        Err(error) => {
            return Finding::of_error(what, error, "deploy this Region's Replicator stack");
        }
    };
    let usual = i32::try_from(usual).unwrap_or(i32::MAX);
    let found = format!("{} of {} workers run", it.running, it.wanted);
    if it.failed {
        return Finding::fails(
            what,
            format!("{found}; its newest deployment failed"),
            "look at the service's events",
        );
    }
    let runs = match role {
        Role::Runs => true,
        Role::Rests => false,
        Role::Unknown => {
            let found = format!("{found}; whether they should is not known: nor is the ledger");
            return Finding::unknown(what, found);
        }
    };
    match (runs, it.wanted, it.running) {
        (false, 0, 0) => Finding::ok(what, "at rest, as the flow that goes the other way"),
        (false, ..) => Finding::warning(
            what,
            format!("{found}, and its flow leads to the active cluster"),
            "let it rest: aws ecs update-service --desired-count 0",
        ),
        (true, 0, _) => Finding::fails(
            what,
            "no worker is wanted: nothing is copied here",
            "aws ecs update-service --desired-count with the pair's flows.workers",
        ),
        (true, _, 0) => Finding::fails(
            what,
            format!("{found}: nothing is copied here"),
            "docs/alarms.md#workers-silent",
        ),
        (true, wanted, running) if running < wanted => {
            Finding::warning(what, found, "look at the service's events")
        }
        (true, wanted, _) if wanted < usual => Finding::warning(
            what,
            format!("{found}, and the pair wants {usual}"),
            "aws ecs update-service --desired-count with the pair's flows.workers",
        ),
        (true, ..) => Finding::ok(what, found),
    }
}

/// A pointer that applications follow, in the Region of the cluster `here`. Where nobody moved to, it stays what it was.
pub fn pointer(
    name: &str,
    told: &Told<Option<String>>,
    active: Option<&str>,
    here: &str,
) -> Finding {
    let what = format!("pointer {name}");
    let text = match told {
        Ok(Some(text)) => text,
        Ok(None) => return Finding::fails(what, "there is none", DEPLOY),
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    let Ok(pointer) = serde_json::from_str::<Pointer>(text) else {
        return Finding::warning(
            what,
            "nobody has pointed with it yet",
            "scripts/aws-point, once",
        );
    };
    let found = format!("{} since e{}", pointer.active, pointer.epoch);
    match active {
        None => Finding::unknown(
            what,
            format!("{found}; whether it should is not known: nor is the ledger"),
        ),
        Some(active) if here == active && pointer.active != active => Finding::fails(
            what,
            format!("{found}, and {active} is active: somebody else wrote it"),
            "find who may write it; point it where the ledger says",
        ),
        Some(_) => Finding::ok(what, found),
    }
}

/// The pair's parameter beside the pair's files, and beside what functions have read.
pub fn parameter(differs: &[String], digests: Option<(&str, &str)>) -> Vec<Finding> {
    let what = "pair's parameter";
    let mut findings = Vec::new();
    if !differs.is_empty() {
        findings.push(Finding::fails(
            what,
            format!("it is not what the files say: {}", differs.join("; ")),
            "deploy both Regions, or take the files that were deployed",
        ));
    }
    if let Some((read, stands)) = digests.filter(|(read, stands)| read != stands) {
        findings.push(Finding::fails(
            what,
            format!("it was changed without a deployment: functions have read {read}, and it is {stands}"),
            "deploy this Region: functions read it only when they start",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(what, "as the files say"));
    }
    findings
}

/// A secret that flow files name, in a Region.
pub fn secret(arn: &str, told: &Told<SecretFacts>, other: &str) -> Finding {
    let what = format!("secret {}", arn.rsplit(':').next().unwrap_or(arn));
    let it = match told {
        Ok(it) => it,
        Err(error) => {
            let advice = "replicate it here: aws secretsmanager replicate-secret-to-regions";
            return Finding::of_error(what, error, advice);
        }
    };
    if it.deleted {
        return Finding::fails(
            what,
            "it is to be deleted",
            "aws secretsmanager restore-secret",
        );
    }
    if let Some(primary) = &it.primary {
        return Finding::ok(what, format!("here, a replica of {primary}'s"));
    }
    match it.replicas.iter().find(|(region, _)| region == other) {
        None => Finding::fails(
            what,
            format!("here, and not replicated to {other}"),
            "aws secretsmanager replicate-secret-to-regions: what runs there reads it there",
        ),
        Some((_, status)) if status != "InSync" => Finding::fails(
            what,
            format!("its replica in {other} is {status}"),
            "look at its replication in Secrets Manager",
        ),
        Some(_) => Finding::ok(what, format!("here, and replicated to {other}")),
    }
}

/// Whether both Regions' Glue registries have the same schemas.
pub fn registries(
    name: &str,
    active: (&str, &Told<Vec<(String, String)>>),
    standby: (&str, &Told<Vec<(String, String)>>),
) -> Vec<Finding> {
    let what = format!("Glue registry {name}");
    let mut findings = Vec::new();
    let mut of = |(region, told): (&str, &Told<Vec<(String, String)>>)| match told {
        Ok(schemas) => Some(schemas.iter().cloned().collect::<BTreeMap<_, _>>()),
        Err(error) => {
            let advice =
                format!("make it in {region}: applications there cannot read a record without it");
            findings.push(Finding::of_error(&what, error, &advice));
            None
        }
    };
    let (there, here) = (of(active), of(standby));
    let (Some(there), Some(here)) = (there, here) else {
        return findings;
    };
    let missing: Vec<_> = there
        .keys()
        .filter(|schema| !here.contains_key(*schema))
        .cloned()
        .collect();
    if !missing.is_empty() {
        findings.push(Finding::fails(
            &what,
            format!("{} has no {}", standby.0, missing.join(", ")),
            "register them there",
        ));
    }
    let same = |(schema, version): &(&String, &String)| here.get(*schema) == Some(*version);
    let others = there
        .iter()
        .filter(|it| here.contains_key(it.0) && !same(it))
        .count();
    if others > 0 {
        findings.push(Finding::warning(
            &what,
            format!("{others} schemas have other version ids in {} than in {}, and copies name the latter", standby.0, active.0),
            "docs/operating.md#schemas",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            what,
            format!("{} schemas in both Regions", there.len()),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use understudy_shell::PortErrorKind;

    use super::*;
    use crate::check::Standing;
    use crate::check_aws::judge::worst;

    fn error(kind: PortErrorKind) -> understudy_shell::PortError {
        understudy_shell::PortError::new(kind, "AWS says no".to_owned())
    }

    #[test]
    fn workers_run_where_the_standby_is_and_rest_where_applications_are() {
        let judged = |role, wanted, running| {
            let facts = ServiceFacts {
                status: "ACTIVE".to_owned(),
                wanted,
                running,
                failed: false,
            };
            service("understudy/use1-usw2", &Ok(facts), 2, role).standing
        };
        assert_eq!(judged(Role::Runs, 2, 2), Standing::Ok);
        assert_eq!(judged(Role::Runs, 0, 0), Standing::Fails);
        assert_eq!(judged(Role::Runs, 2, 0), Standing::Fails);
        assert_eq!(judged(Role::Runs, 2, 1), Standing::Warning);
        assert_eq!(judged(Role::Runs, 1, 1), Standing::Warning);
        assert_eq!(judged(Role::Rests, 0, 0), Standing::Ok);
        assert_eq!(judged(Role::Rests, 2, 2), Standing::Warning);
        assert_eq!(judged(Role::Unknown, 0, 0), Standing::Unknown);
        assert_eq!(judged(Role::Unknown, 2, 2), Standing::Unknown);
    }

    #[test]
    fn a_secret_has_to_be_in_both_regions() {
        let judged =
            |facts: SecretFacts| secret("arn:x:secret:login", &Ok(facts), "us-west-2").standing;
        let replica = |status: &str| SecretFacts {
            replicas: vec![("us-west-2".to_owned(), status.to_owned())],
            ..SecretFacts::default()
        };
        assert_eq!(judged(replica("InSync")), Standing::Ok);
        assert_eq!(judged(replica("Failed")), Standing::Fails);
        assert_eq!(judged(SecretFacts::default()), Standing::Fails);
        let primary = Some("us-east-1".to_owned());
        assert_eq!(
            judged(SecretFacts {
                primary,
                ..SecretFacts::default()
            }),
            Standing::Ok
        );
        assert_eq!(
            judged(SecretFacts {
                deleted: true,
                ..replica("InSync")
            }),
            Standing::Fails
        );
    }

    #[test]
    fn a_pointer_goes_where_the_ledger_says() {
        let text = r#"{"schema":1,"pair":"orders","epoch":3,"active":"use1","bootstrap":"b:1"}"#;
        let judged = |text: &str, active, here| {
            pointer("/apps/shop", &Ok(Some(text.to_owned())), active, here).standing
        };
        assert_eq!(judged(text, Some("use1"), "use1"), Standing::Ok);
        assert_eq!(judged(text, Some("usw2"), "usw2"), Standing::Fails);
        // Nobody is told there.
        assert_eq!(judged(text, Some("usw2"), "use1"), Standing::Ok);
        assert_eq!(judged(text, None, "usw2"), Standing::Unknown);
        let not_yet = judged(r#"{"schema":0}"#, Some("use1"), "use1");
        assert_eq!(not_yet, Standing::Warning);
        let none = pointer("/apps/shop", &Ok(None), None, "use1");
        assert_eq!(none.standing, Standing::Fails);
    }

    #[test]
    fn schemas_of_both_regions_are_compared_by_name_and_by_version() {
        let of = |schemas: &[(&str, &str)]| -> Told<Vec<(String, String)>> {
            Ok(schemas
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect())
        };
        let judged = |standby: &Told<Vec<(String, String)>>| {
            let there = of(&[("order", "1"), ("refund", "2")]);
            worst(&registries(
                "shop",
                ("us-east-1", &there),
                ("us-west-2", standby),
            ))
        };
        assert_eq!(
            judged(&of(&[("order", "1"), ("refund", "2")])),
            Standing::Ok
        );
        assert_eq!(
            judged(&of(&[("order", "7"), ("refund", "8")])),
            Standing::Warning
        );
        assert_eq!(judged(&of(&[("order", "1")])), Standing::Fails);
        assert_eq!(judged(&Err(error(PortErrorKind::Missing))), Standing::Fails);
    }
}
