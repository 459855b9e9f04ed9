//! What was seen of a Region, and of both beside each other.

use understudy_aws::ServiceFacts;
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
            code: None,
        }
    }

    /// What was found in the Region, now that it is known which cluster is active.
    pub fn place(&self, pair: &Pair, active: &Alias, known: bool) -> Place {
        let stands_by = self.alias != *active;
        let mut findings = self.findings.clone();
        if let Some((service, usual, told)) = &self.service {
            findings.push(judge::service(service, told, *usual, stands_by));
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
            // Where nobody moved to, a pointer stays what it was.
            findings.push(judge::pointer(
                name,
                told,
                Some(active.as_str()),
                !stands_by,
            ));
        }
        let role = match (known, stands_by) {
            (true, true) => ", stands by",
            (true, false) => ", active",
            (false, _) => "",
        };
        Place {
            place: format!("{}, {}{role}", self.region, self.alias),
            findings,
        }
    }
}

/// The active cluster, and whether the ledger says so; home, if nobody can read it.
pub fn active<'a>(seen: &'a [Seen; 2], home: &'a Alias) -> (&'a Alias, bool) {
    let told = seen
        .iter()
        .filter_map(|it| it.ledger.as_ref()?.as_ref().ok());
    let known = told.clone().next().is_some();
    let newest = told.flatten().max_by_key(|ledger| ledger.version);
    (newest.map_or(home, |ledger| &ledger.active), known)
}

/// What both Regions must have alike.
pub fn both(seen: &[Seen; 2]) -> Place {
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
    Place {
        place: "both Regions".to_owned(),
        findings,
    }
}

/// The registries of both Regions beside each other.
pub fn registries(name: &str, seen: &[Seen; 2], active: &Alias) -> Place {
    let mut sides: Vec<&Seen> = seen.iter().collect();
    sides.sort_by_key(|it| it.alias != *active);
    let findings = match sides.as_slice() {
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
