//! One Region, looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use understudy_aws::{
    AwsSignals, DynamoLedger, Inventory, PairDocument, Regions, S3Store, ServiceFacts, Settings,
};
use understudy_machines::shipped;
use understudy_recovery::client::Adapter;
use understudy_recovery::health::Vantage;
use understudy_recovery::pair::Pair;
use understudy_recovery::{Alias, Ledger, Step};
use understudy_shell::PortErrorKind;
use understudy_shell::world::{LedgerStore, Signals, Store};

use super::drift;
use super::finding::{Finding, Place};
use super::judge::{self, Told};

const DEPLOY: &str = "deploy this Region's control plane (scripts/aws-deploy)";

/// What was seen of a Region. What depends on which cluster is active is judged once both were looked at.
pub struct Seen {
    alias: Alias,
    region: String,
    findings: Vec<Finding>,
    /// What the ledger says, if it was asked.
    ledger: Option<Told<Option<Ledger>>>,
    /// The workers of the flow into this Region: the service, how many there usually are, and what was told.
    service: Option<(String, u32, Told<ServiceFacts>)>,
    pointers: Vec<(String, Told<Option<String>>)>,
    schemas: Option<Told<Vec<(String, String)>>>,
    /// What tells the functions' program.
    code: Option<String>,
}

impl Seen {
    /// Nothing was seen.
    pub fn silent((alias, region): (&Alias, &str)) -> Self {
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

/// Looks at everything of a pair in one Region.
pub fn look(
    inventory: &Inventory,
    regions: &Regions,
    pair: &Arc<Pair>,
    files: &PairDocument,
    side: (&Alias, &str),
    other: (&Alias, &str),
) -> Seen {
    let mut seen = Seen::silent(side);
    let name = |what: &str| format!("understudy-{}-{what}", pair.name);
    let trigger = name(Step::TriggerRecovery.name());
    let (facts, environment) = match inventory.function(&trigger) {
        Ok(found) => found,
        Err(error) => {
            let advice = match error.kind {
                PortErrorKind::Missing => DEPLOY,
                PortErrorKind::NotPermitted => "give who asks the permissions of docs/aws.md",
                _ => {
                    "no recovery can be carried out there now: understudy failover PAIR.toml --local, if need be"
                }
            };
            seen.findings
                .push(Finding::fails("control plane", error.text, advice));
            return seen;
        }
    };
    let settings = match Settings::read(|key| environment.get(key).cloned()) {
        Ok(settings) => settings,
        Err(error) => {
            let found = format!("function {trigger}: {error}");
            seen.findings
                .push(Finding::fails("control plane", found, DEPLOY));
            return seen;
        }
    };
    // arn:aws:lambda:REGION:ACCOUNT:function:
    let arn_of = |step: Step| facts.arn.replace(&trigger, &name(step.name()));
    let topic = |what: &str| {
        let mut parts = facts.arn.split(':');
        let (partition, account) = (parts.nth(1), parts.nth(2));
        let (partition, account) = (partition.unwrap_or("aws"), account.unwrap_or_default());
        format!("arn:{partition}:sns:{}:{account}:{}", side.1, name(what))
    };
    let found = &mut seen.findings;

    let functions: BTreeMap<Step, _> = Step::ALL
        .into_iter()
        .map(|step| {
            let told = inventory.function(&name(step.name()));
            (step, told.map(|(facts, _)| facts))
        })
        .collect();
    found.extend(judge::functions(&functions));
    seen.code = Some(facts.code.clone());

    let arns = Step::ALL.map(|step| (placeholder(step), arn_of(step)));
    let arns = BTreeMap::from(arns);
    for (machine, text) in shipped::ALL {
        let told = inventory.machine(&format!("{}{machine}", settings.machines));
        found.push(judge::machine(machine, &told, text, &arns));
    }
    let ended = inventory.ended(&format!("{}failover", settings.machines));
    found.push(judge::drills(&ended, now_ms() / 1_000));

    for (rule, step) in [
        ("probe-here", Step::ProbeHealth),
        ("probe-other", Step::ProbeHealth),
        ("keep-fences", Step::KeepFences),
        ("look-again", Step::TriggerRecovery),
    ] {
        found.push(judge::schedule(
            rule,
            &inventory.rule(&name(rule)),
            &arn_of(step),
        ));
    }
    let (by_rules, by_alarms) = ("events.amazonaws.com", "sns.amazonaws.com");
    for (step, services) in [
        (Step::ProbeHealth, vec![by_rules]),
        (Step::KeepFences, vec![by_rules]),
        (Step::TriggerRecovery, vec![by_rules, by_alarms]),
    ] {
        let policy = inventory.function_policy(&name(step.name()));
        found.push(judge::callable(step, &policy, &services));
    }

    let at = settings.ledger_region.as_deref().unwrap_or(side.1);
    let table = inventory.table(&settings.ledger_table, at);
    found.push(judge::table(&table, at, side.1, other.1));
    let store = DynamoLedger::new(regions.session(), &settings.ledger_table, Some(at));
    let ledger = store.read(&pair.name);
    found.extend(judge::ledger(&ledger));
    seen.ledger = Some(ledger);

    let signals = AwsSignals::new(regions, pair, &settings.ledger_table, Some(at));
    // This Region's two probers: of its own cluster, and of the other one.
    for (about, vantage) in [(side.0, Vantage::Active), (other.0, Vantage::Standby)] {
        found.push(judge::prober(
            about.as_str(),
            vantage,
            &signals.recent(about),
            now_ms(),
        ));
    }

    let alarm = name(&format!("{}-unhealthy", other.0));
    let alarms = inventory.alarms(&name(""));
    let subscriptions = inventory.subscriptions(&topic("alarms"));
    let trigger_arn = arn_of(Step::TriggerRecovery);
    found.extend(judge::alarm(
        &alarm,
        &alarms,
        &topic("alarms"),
        &subscriptions,
        &trigger_arn,
    ));
    found.extend(judge::other_alarms(&alarm, &alarms));
    found.push(judge::people(&inventory.subscriptions(&topic("people"))));

    parameter(
        inventory,
        regions,
        &settings,
        &environment,
        files,
        other.1,
        found,
    );
    if let Some(arn) = pair
        .clusters
        .get(side.0)
        .and_then(|it| it.msk_arn.as_deref())
    {
        found.push(match inventory.msk_cluster(arn) {
            Ok(state) if state == "ACTIVE" => Finding::ok("MSK cluster", "ACTIVE"),
            Ok(state) => Finding::warning(
                "MSK cluster",
                format!("its state is {state}"),
                "wait for it",
            ),
            Err(error) => Finding::of_error("MSK cluster", &error, "the pair's msk_arn names it"),
        });
    }
    found.push(match inventory.bucket_is_versioned(&settings.bucket) {
        Ok(true) => Finding::ok("evidence bucket", format!("{}, versioned", settings.bucket)),
        Ok(false) => Finding::warning(
            "evidence bucket",
            format!(
                "{} is not versioned: evidence can be overwritten",
                settings.bucket
            ),
            DEPLOY,
        ),
        Err(error) => Finding::of_error("evidence bucket", &error, DEPLOY),
    });
    found.extend(applications(inventory, pair, side.0));

    let into = pair.flows.iter().find(|flow| flow.target == *side.0);
    seen.service = into.and_then(|flow| {
        let service = flow.service.clone()?;
        let told = inventory.service(&service);
        Some((service, flow.workers, told))
    });
    seen.pointers = pointers(pair)
        .map(|name| (name.to_owned(), inventory.parameter(name)))
        .collect();
    seen.schemas = pair
        .glue_registry
        .as_deref()
        .map(|name| inventory.schemas(name));
    seen
}

/// The pair's parameter, and the secrets that it names here.
fn parameter(
    inventory: &Inventory,
    regions: &Regions,
    settings: &Settings,
    environment: &BTreeMap<String, String>,
    files: &PairDocument,
    other: &str,
    found: &mut Vec<Finding>,
) {
    let what = "pair's parameter";
    let text = match inventory.parameter(&settings.pair_parameter) {
        Ok(Some(text)) => text,
        Ok(None) => {
            found.push(Finding::fails(
                what,
                format!("there is no {}", settings.pair_parameter),
                DEPLOY,
            ));
            return;
        }
        Err(error) => {
            found.push(Finding::of_error(what, &error, DEPLOY));
            return;
        }
    };
    let text = match PairDocument::stored_under(&text) {
        None => Ok(text),
        Some(_) if !regions.is_here(&inventory.region) => {
            found.push(Finding::unknown(
                what,
                "it stands in that Region's bucket; look with --region there",
            ));
            return;
        }
        Some(key) => {
            let store = S3Store::new(regions.session(), &settings.bucket);
            let bytes = store.get(&key).map(Option::unwrap_or_default);
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
    };
    match text.map(|text| (PairDocument::parse(&text), text)) {
        Ok((Ok(document), text)) => {
            let differs = drift::differences(&document, files, &inventory.region);
            let stands = digest(&text);
            let read = environment.get("UNDERSTUDY_PAIR_DIGEST");
            let digests = read.map(|read| (read.as_str(), stands.as_str()));
            found.extend(judge::parameter(&differs, digests));
            for arn in drift::secrets(&document.flows) {
                found.push(judge::secret(&arn, &inventory.secret(&arn), other));
            }
        }
        Ok((Err(error), _)) => {
            let advice = "deploy this Region: no function can read it";
            found.push(Finding::fails(what, error.to_string(), advice));
        }
        Err(error) => found.push(Finding::of_error(what, &error, DEPLOY)),
    }
}

/// What applications are moved by when this Region's cluster becomes active.
fn applications(inventory: &Inventory, pair: &Pair, alias: &Alias) -> Vec<Finding> {
    let mut findings = Vec::new();
    for application in &pair.applications {
        let what = format!("application {}", application.name);
        for adapter in &application.adapters {
            let advice = "recoveries start it: make it, or correct the pair";
            let told = match adapter {
                Adapter::EcsService { services, .. } => services.get(alias).map(|service| {
                    let told = inventory.service(service);
                    told.map(|it| {
                        format!(
                            "service {service}, {} of {} tasks run",
                            it.running, it.wanted
                        )
                    })
                }),
                Adapter::LambdaEventSource { mappings } => mappings.get(alias).map(|mapping| {
                    let told = inventory.mapping(mapping);
                    told.map(|state| format!("event source mapping {mapping}, {state}"))
                }),
                Adapter::Secret { values, .. } => values
                    .get(alias)
                    .map(|secret| inventory.secret(secret).map(|_| format!("secret {secret}"))),
                Adapter::SsmParameter { .. }
                | Adapter::Route53Record { .. }
                | Adapter::File { .. }
                | Adapter::Command { .. }
                | Adapter::Notify { .. } => None,
            };
            findings.extend(told.map(|told| match told {
                Ok(found) => Finding::ok(&what, found),
                Err(error) => Finding::of_error(&what, &error, advice),
            }));
        }
    }
    findings
}

/// The parameters that applications follow, each once.
fn pointers(pair: &Pair) -> impl Iterator<Item = &str> {
    let all = pair.applications.iter().flat_map(|it| &it.adapters);
    let names = all.filter_map(|adapter| match adapter {
        Adapter::SsmParameter { parameter } => Some(parameter.as_str()),
        _ => None,
    });
    std::collections::BTreeSet::from_iter(names).into_iter()
}

/// What stands for a step's function in the files: `SealFlowArn`.
fn placeholder(step: Step) -> String {
    let words = step.name().split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    format!("{}Arn", words.collect::<String>())
}

/// As the deployment tells one pair from another.
fn digest(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect::<String>().chars().take(16).collect()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_in_the_files_as_in_the_deployment() {
        assert_eq!(placeholder(Step::SealFlow), "SealFlowArn");
        for (name, text) in shipped::ALL {
            let mut rest = text.to_owned();
            for step in Step::ALL {
                rest = rest.replace(&format!("${{{}}}", placeholder(step)), "");
            }
            assert!(!rest.contains("${"), "{name}");
        }
    }

    #[test]
    fn a_digest_is_the_deployments() {
        // createHash('sha256').update('{}').digest('hex').slice(0, 16)
        assert_eq!(digest("{}"), "44136fa355b3678a");
    }
}
