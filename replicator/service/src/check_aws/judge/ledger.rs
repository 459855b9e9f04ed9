//! The ledger, and what probers keep beside it.

use understudy_aws::TableFacts;
use understudy_recovery::health::{Saw, Signal, Vantage};
use understudy_recovery::{Ledger, Phase};

use super::{DEPLOY, Told};
use crate::check_aws::finding::Finding;

/// A look that is older tells of a prober that stopped.
const LOOK_SECONDS: i64 = 300;

/// The table that the ledger is in, seen from a Region.
pub fn table(told: &Told<TableFacts>, at: &str, region: &str, other: &str) -> Finding {
    let what = "ledger's table";
    let table = match told {
        Ok(table) => table,
        Err(error) => return Finding::of_error(what, error, "deploy the ledger's stack"),
    };
    if !matches!(table.status.as_str(), "ACTIVE" | "UPDATING") {
        let found = format!("its status is {}", table.status);
        return Finding::fails(what, found, "wait, or look at it in DynamoDB");
    }
    if at != region {
        return Finding::warning(
            what,
            format!("it is in {at} only: no recovery is possible while that Region is lost"),
            "give the ledger a witness (ledger.witness), which makes it a global table",
        );
    }
    let replica = table.replicas.iter().find(|(name, _)| name == other);
    match replica {
        None => Finding::warning(
            what,
            format!("it has no replica in {other}: no recovery is possible while {region} is lost"),
            "give the ledger a witness (ledger.witness), which makes it a global table",
        ),
        Some((_, status)) if status != "ACTIVE" => Finding::fails(
            what,
            format!("its replica in {other} is {status}"),
            "wait, or look at it in DynamoDB",
        ),
        Some(_) if !table.strong => Finding::fails(
            what,
            "its replicas are not strongly consistent: both Regions could act at once",
            "make it anew with strong consistency and a witness",
        ),
        Some(_) => Finding::ok(
            what,
            format!("replicas here and in {other}, strongly consistent"),
        ),
    }
}

/// Where the pair stands.
pub fn ledger(told: &Told<Option<Ledger>>) -> Vec<Finding> {
    let what = "ledger";
    let ledger = match told {
        Ok(Some(ledger)) => ledger,
        Ok(None) => {
            return vec![Finding::ok(
                what,
                "before the first recovery: home is active",
            )];
        }
        Err(error) => {
            return vec![Finding::of_silence(
                what,
                error,
                "a recovery from here needs to read it",
            )];
        }
    };
    let stands = format!("{} is active since {}", ledger.active, ledger.epoch);
    let mut findings = vec![match &ledger.phase {
        Phase::Steady => Finding::ok(what, stands),
        Phase::Recovering(running) => Finding::warning(
            what,
            format!("{stands}; {} is under way", running.execution),
            "understudy watch PAIR.toml --region",
        ),
        Phase::Stuck(running) => Finding::fails(
            what,
            format!("{stands}; {} stopped in the middle", running.execution),
            "understudy evidence PAIR.toml --region says what is next",
        ),
    }];
    for alias in ledger
        .fences
        .keys()
        .filter(|alias| **alias != ledger.active)
    {
        findings.push(Finding::warning(
            "fence",
            format!("{alias} is fenced, or is to be: its writers are shut out until a failback"),
            "when it is back: understudy failback PAIR.toml --standby-only",
        ));
    }
    findings
}

/// A prober's looks, as the ledger's table keeps them.
pub fn prober(about: &str, vantage: Vantage, told: &Told<Vec<Signal>>, now_ms: i64) -> Finding {
    let what = format!("prober of {about} {}", vantage.words());
    let signals = match told {
        Ok(signals) => signals,
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    let newest = signals
        .iter()
        .filter(|it| it.vantage == vantage)
        .max_by_key(|it| it.at_ms);
    let Some(newest) = newest else {
        let found = "it has never looked";
        return Finding::fails(what, found, "look at the log of probe-health in its Region");
    };
    let seconds = (now_ms - newest.at_ms) / 1_000;
    if seconds > LOOK_SECONDS {
        let found = format!("it has not looked for {seconds} s");
        return Finding::fails(what, found, "look at the log of probe-health in its Region");
    }
    match &newest.saw {
        Saw::Serves if newest.path_proven => {
            Finding::ok(what, format!("it serves, {seconds} s ago"))
        }
        Saw::Serves => Finding::warning(
            what,
            "it serves; the prober's own path is not proven",
            "docs/alarms.md#path-unproven",
        ),
        Saw::Fails { layer, reason } => Finding::warning(
            what,
            format!("{} failed {seconds} s ago: {reason}", layer.name()),
            "docs/alarms.md#unhealthy",
        ),
        Saw::Silence => Finding::warning(what, "it could not tell", "docs/alarms.md#path-unproven"),
    }
}

#[cfg(test)]
mod tests {
    use understudy_recovery::health::Layer;

    use super::*;
    use crate::check::Standing;
    use crate::check_aws::judge::worst;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_ledger_that_one_region_keeps_is_a_warning_and_a_weak_one_fails() {
        let judged = |replicas: &[(&str, &str)], strong| {
            let facts = TableFacts {
                status: "ACTIVE".to_owned(),
                replicas: replicas
                    .iter()
                    .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                    .collect(),
                strong,
            };
            table(&Ok(facts), "us-west-2", "us-west-2", "us-east-1").standing
        };
        assert_eq!(judged(&[("us-east-1", "ACTIVE")], true), Standing::Ok);
        assert_eq!(judged(&[("us-east-1", "ACTIVE")], false), Standing::Fails);
        assert_eq!(
            judged(
                &[("us-east-1", "INACCESSIBLE_ENCRYPTION_CREDENTIALS")],
                true
            ),
            Standing::Fails
        );
        assert_eq!(judged(&[], false), Standing::Warning);
    }

    #[test]
    fn a_prober_that_stopped_fails_and_what_it_saw_is_told() {
        let look = |at_ms, saw| Signal {
            vantage: Vantage::Standby,
            saw,
            at_ms,
            path_proven: true,
        };
        let judged = |signals: Vec<Signal>| {
            prober("use1", Vantage::Standby, &Ok(signals), 1_000_000).standing
        };
        assert_eq!(judged(vec![look(990_000, Saw::Serves)]), Standing::Ok);
        assert_eq!(judged(vec![look(600_000, Saw::Serves)]), Standing::Fails);
        assert_eq!(judged(Vec::new()), Standing::Fails);
        let ill = Saw::Fails {
            layer: Layer::Connect,
            reason: "refused".to_owned(),
        };
        assert_eq!(judged(vec![look(990_000, ill)]), Standing::Warning);
    }

    #[test]
    fn a_stuck_recovery_is_said_first() -> Outcome {
        let ledger_of = |phase: &str| -> Result<Ledger, serde_json::Error> {
            serde_json::from_str(&format!(
                r#"{{"pair":"orders","version":3,"epoch":2,"active":"use1","attempts":0,"phase":{phase}}}"#
            ))
        };
        let running = r#""execution":"orders-e2-failover-1","mode":"failover","target":"usw2","sealed":true,"since_ms":1"#;
        let stuck = ledger_of(&format!(r#"{{"phase":"stuck",{running}}}"#))?;
        let under_way = ledger_of(&format!(r#"{{"phase":"recovering",{running}}}"#))?;
        let steady = ledger_of(r#"{"phase":"steady"}"#)?;
        assert_eq!(worst(&ledger(&Ok(Some(stuck)))), Standing::Fails);
        assert_eq!(worst(&ledger(&Ok(Some(under_way)))), Standing::Warning);
        assert_eq!(worst(&ledger(&Ok(Some(steady)))), Standing::Ok);
        assert_eq!(worst(&ledger(&Ok(None))), Standing::Ok);
        Ok(())
    }
}
