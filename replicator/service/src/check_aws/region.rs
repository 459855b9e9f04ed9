//! What was seen of a Region, and of both beside each other.

use understudy_aws::{Quota, ServiceFacts};
use understudy_recovery::pair::Pair;
use understudy_recovery::{Alias, Ledger};

use super::Side;
use super::finding::{Finding, Place};
use super::judge::{self, Told};

/// What was seen of a Region. What depends on which cluster is active is judged once both were looked at.
pub struct Seen {
    alias: Alias,
    region: String,
    /// What was found whatever its role.
    pub findings: Vec<Finding>,
    /// What the ledger says, if it was asked.
    pub ledger: Option<Told<Option<Ledger>>>,
    /// The workers of the flow into this Region: the service, how many there usually are, and what was told.
    pub service: Option<(String, u32, Told<ServiceFacts>)>,
    /// What its pointers hold.
    pub pointers: Vec<(String, Told<Option<String>>)>,
    /// The schemas of the Glue registry, if the pair names one.
    pub schemas: Option<Told<Vec<(String, String)>>>,
    /// How many vCPUs the account may have there, and has.
    pub vcpus: Option<Told<Quota>>,
    /// What tells the functions' program.
    pub code: Option<String>,
}

impl Seen {
    /// Nothing was seen.
    pub fn silent((alias, region): Side<'_>) -> Self {
        Self {
            alias: alias.clone(),
            region: region.to_owned(),
            findings: Vec::new(),
            ledger: None,
            service: None,
            pointers: Vec::new(),
            schemas: None,
            vcpus: None,
            code: None,
        }
    }

    /// Looking broke off.
    pub fn broken(side: Side<'_>) -> Self {
        let mut seen = Self::silent(side);
        seen.findings.push(Finding::fails(
            "this Region",
            "it was not looked at to the end: understudy itself broke off",
            "look again; what broke off stands above",
        ));
        seen
    }

    /// What was found in the Region, now that both were asked which cluster is active; nothing if nobody could say.
    /// `both_run` says whether flows run whichever it is.
    pub fn place(&self, pair: &Pair, active: Option<&Alias>, both_run: bool) -> Place {
        let stands_by = active.map(|active| self.alias != *active);
        let mut findings = self.findings.clone();
        if let Some((service, usual, told)) = &self.service {
            let role = match stands_by {
                _ if both_run => judge::Role::Runs,
                None => judge::Role::Unknown,
                Some(true) => judge::Role::Runs,
                Some(false) => judge::Role::Rests,
            };
            findings.push(judge::service(service, told, *usual, role));
        } else if pair
            .flows
            .iter()
            .any(|flow| flow.target == self.alias && flow.service.is_none())
            && self.ledger.is_some()
        {
            findings.push(Finding::unknown(
                "workers",
                "the pair names no service of the flow into this Region; somebody else runs its workers",
            ));
        }
        for (name, told) in &self.pointers {
            let active = active.map(Alias::as_str);
            findings.push(judge::pointer(name, told, active, self.alias.as_str()));
        }
        let role = match stands_by {
            Some(true) => ", stands by",
            Some(false) => ", active",
            None => "",
        };
        Place {
            place: format!("{}, {}{role}", self.region, self.alias),
            findings,
        }
    }
}

/// The active cluster, as the ledger says: home before the first recovery, and nothing if nobody can read it.
pub fn active<'a>(seen: &'a [Seen; 2], home: &'a Alias) -> Option<&'a Alias> {
    let told = seen
        .iter()
        .filter_map(|it| it.ledger.as_ref()?.as_ref().ok());
    // None is older than any.
    let newest = told.max_by_key(|ledger| ledger.as_ref().map(|it| it.version))?;
    Some(newest.as_ref().map_or(home, |ledger| &ledger.active))
}

/// What both Regions must have alike, and whether what moves from one finds room in the other.
pub fn both(seen: &[Seen; 2], active: Option<&Alias>) -> Place {
    let mut findings = Vec::new();
    let ledgers: Vec<_> = seen.iter().map(|it| &it.ledger).collect();
    if let [Some(Ok(first)), Some(Ok(second))] = ledgers.as_slice() {
        let (ours, theirs) = (first.as_ref(), second.as_ref());
        if ours.map(|it| it.version) != theirs.map(|it| it.version) {
            findings.push(Finding::fails(
                "ledger",
                "both Regions read another one",
                "look again; if it stays, its replicas are not strongly consistent",
            ));
        }
    }
    if let [Some(first), Some(second)] = seen.each_ref().map(|it| it.code.as_ref()) {
        findings.push(if first == second {
            Finding::ok("functions", "of the same program in both Regions")
        } else {
            Finding::warning(
                "functions",
                "each Region has another program",
                "an upgrade that is under way: deploy the other Region too",
            )
        });
    }
    if let [
        Seen {
            region: there,
            vcpus: Some(of_active),
            ..
        },
        Seen {
            region: here,
            vcpus: Some(of_standby),
            ..
        },
    ] = active_first(seen, active)
    {
        findings.push(match active {
            Some(_) => judge::vcpus((there, of_active), (here, of_standby)),
            None => judge::vcpus_unknown(),
        });
    }
    Place {
        place: "both Regions".to_owned(),
        findings,
    }
}

/// Both, the one of the active cluster first; home's where nobody can tell.
fn active_first<'a>(seen: &'a [Seen; 2], active: Option<&Alias>) -> [&'a Seen; 2] {
    let [first, second] = seen;
    if active == Some(&second.alias) {
        [second, first]
    } else {
        [first, second]
    }
}

/// The registries of both Regions beside each other.
pub fn registries(name: &str, seen: &[Seen; 2], active: Option<&Alias>) -> Place {
    let findings = match active_first(seen, active) {
        _ if active.is_none() => vec![Finding::unknown(
            format!("Glue registry {name}"),
            "which Region's is to be followed is not known: nor is the ledger",
        )],
        [
            Seen {
                region: there,
                schemas: Some(of_active),
                ..
            },
            Seen {
                region: here,
                schemas: Some(of_standby),
                ..
            },
        ] => judge::registries(
            name,
            (there.as_str(), of_active),
            (here.as_str(), of_standby),
        ),
        _ => vec![Finding::unknown(
            format!("Glue registry {name}"),
            "a Region was not looked at",
        )],
    };
    Place {
        place: "schemas".to_owned(),
        findings,
    }
}

#[cfg(test)]
mod tests {
    use understudy_aws::ServiceFacts;
    use understudy_shell::{PortError, PortErrorKind};

    use super::*;
    use crate::check::Standing;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const PAIR: &str = r#"{
        "name": "orders", "home": "use1",
        "clusters": { "use1": { "region": "us-east-1" }, "usw2": { "region": "us-west-2" } },
        "flows": [
            { "source": "use1", "target": "usw2", "file": "there.toml", "service": "understudy/there" },
            { "source": "usw2", "target": "use1", "file": "back.toml", "service": "understudy/back" }
        ],
        "consent": { "max_lost_records": 0, "max_age_seconds": 60 }
    }"#;

    /// A Region where two workers run.
    fn seen(alias: &str, ledger: Told<Option<Ledger>>) -> Result<Seen, Box<dyn std::error::Error>> {
        let facts = ServiceFacts {
            status: "ACTIVE".to_owned(),
            wanted: 2,
            running: 2,
            failed: false,
        };
        let alias: Alias = serde_json::from_value(alias.into())?;
        Ok(Seen {
            ledger: Some(ledger),
            service: Some(("understudy/flow".to_owned(), 2, Ok(facts))),
            ..Seen::silent((&alias, "some-region"))
        })
    }

    #[test]
    fn where_nobody_knows_the_active_cluster_nobody_knows_what_must_fit() -> Outcome {
        let of = |alias, limit, used| -> Result<Seen, Box<dyn std::error::Error>> {
            Ok(Seen {
                vcpus: Some(Ok(Quota { limit, used })),
                ..seen(alias, Ok(None))?
            })
        };
        let seen = [of("use1", 100.0, Some(20.0))?, of("usw2", 6.0, None)?];
        let judged = |active| {
            let found = both(&seen, active).findings;
            let found = found.into_iter().find(|it| it.what == "Fargate vCPUs");
            found.map(|it| it.standing)
        };
        let [home, standby] = &seen;
        assert_eq!(judged(Some(&home.alias)), Some(Standing::Warning));
        assert_eq!(judged(Some(&standby.alias)), Some(Standing::Ok));
        assert_eq!(judged(None), Some(Standing::Unknown));
        Ok(())
    }

    #[test]
    fn whoever_cannot_read_the_ledger_does_not_know_what_should_run() -> Outcome {
        let pair: Pair = serde_json::from_str(PAIR)?;
        let silent = || Err(PortError::new(PortErrorKind::Unreachable, "no answer"));
        let both = [seen("use1", silent())?, seen("usw2", silent())?];
        let none = active(&both, &pair.home);
        assert_eq!(none, None);
        let judged = |seen: &Seen, active, both_run| {
            let found = seen.place(&pair, active, both_run).findings;
            found.first().map(|it| it.standing)
        };
        for seen in &both {
            assert_eq!(judged(seen, none, false), Some(Standing::Unknown));
        }
        let one = [seen("use1", silent())?, seen("usw2", Ok(None))?];
        let home = active(&one, &pair.home);
        assert_eq!(home, Some(&pair.home));
        let [use1, usw2] = &one;
        assert_eq!(judged(use1, home, false), Some(Standing::Warning));
        assert_eq!(judged(usw2, home, false), Some(Standing::Ok));
        // With copies under names of their own both flows run always.
        assert_eq!(judged(use1, home, true), Some(Standing::Ok));
        Ok(())
    }
}
