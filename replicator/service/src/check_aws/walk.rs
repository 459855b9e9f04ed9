//! One Region, looked at: what is asked, in which order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use understudy_aws::{AwsSignals, DynamoLedger, Inventory, PairDocument, Regions, Settings};
use understudy_machines::shipped;
use understudy_recovery::client::Adapter;
use understudy_recovery::health::Vantage;
use understudy_recovery::pair::Pair;
use understudy_recovery::{Ledger, Step};
use understudy_shell::world::{LedgerStore, Signals};
use understudy_shell::{PortError, PortErrorKind, keys};

use super::finding::Finding;
use super::judge::{self, Told};
use super::region::Seen;
use super::{Side, drift};

const DEPLOY: &str = "deploy this Region's control plane (scripts/aws-deploy)";

/// What is gone through.
struct Walk<'a> {
    inventory: &'a Inventory,
    regions: &'a Regions,
    pair: &'a Arc<Pair>,
    side: Side<'a>,
    other: Side<'a>,
    /// The ARN of `trigger-recovery`, from which others are told.
    trigger: String,
    settings: Settings,
}

/// Looks at everything of a pair in one Region.
pub fn look<'a>(
    inventory: &'a Inventory,
    regions: &'a Regions,
    pair: &'a Arc<Pair>,
    files: &PairDocument,
    side: Side<'a>,
    other: Side<'a>,
) -> Seen {
    let mut seen = Seen::silent(side);
    let trigger = format!("understudy-{}-{}", pair.name, Step::TriggerRecovery);
    let (facts, environment) = match inventory.function(&trigger) {
        Ok(found) => found,
        Err(error) => {
            let advice = match error.kind {
                PortErrorKind::Missing => DEPLOY,
                _ => {
                    "no recovery can be carried out there now: understudy failover PAIR.toml --local, if need be"
                }
            };
            seen.findings
                .push(Finding::of_silence("control plane", &error, advice));
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
    let walk = Walk {
        inventory,
        regions,
        pair,
        side,
        other,
        trigger: facts.arn,
        settings,
    };
    let ledger = walk.ledger();
    let found = &mut seen.findings;
    found.extend(walk.functions());
    found.extend(walk.schedules());
    found.push(walk.table());
    found.extend(judge::ledger(&ledger));
    found.extend(walk.probers());
    found.extend(walk.alarms());
    found.extend(walk.parameter(&environment, files));
    found.extend(walk.cluster());
    found.push(walk.bucket());
    found.extend(walk.applications());
    found.push(judge::functions_at_once(&inventory.functions_at_once()));
    found.push(judge::log_policies(&inventory.log_policies()));
    seen.vcpus = Some(inventory.fargate_vcpus());
    seen.ledger = Some(ledger);
    seen.code = Some(facts.code);
    let into = pair.flows.iter().find(|flow| flow.target == *side.0);
    seen.service = into.and_then(|flow| {
        let service = flow.service.clone()?;
        let told = inventory.service(&service);
        Some((service, flow.workers, told))
    });
    seen.pointers = pointers(pair)
        .map(|name| (name.to_owned(), inventory.parameter(name)))
        .collect();
    let registry = pair.glue_registry.as_deref();
    seen.schemas = registry.map(|name| inventory.schemas(name));
    seen
}

impl Walk<'_> {
    fn name(&self, what: &str) -> String {
        format!("understudy-{}-{what}", self.pair.name)
    }

    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`
    fn function_arn(&self, step: Step) -> String {
        let (before, _trigger) = self.trigger.rsplit_once(':').unwrap_or_default();
        format!("{before}:{}", self.name(step.name()))
    }

    fn topic_arn(&self, what: &str) -> String {
        let mut parts = self.trigger.split(':').skip(1);
        let (partition, account) = (parts.next(), parts.nth(2));
        let (partition, account) = (partition.unwrap_or("aws"), account.unwrap_or_default());
        let (region, name) = (self.side.1, self.name(what));
        format!("arn:{partition}:sns:{region}:{account}:{name}")
    }

    /// Functions and machines, and whether somebody has gone through them.
    fn functions(&self) -> Vec<Finding> {
        let told = Step::ALL.map(|step| {
            let told = self.inventory.function(&self.name(step.name()));
            (step, told.map(|(facts, _)| facts))
        });
        let changed = told
            .iter()
            .filter_map(|(_, told)| told.as_ref().ok()?.changed_at_seconds);
        let changed = changed.max();
        let mut found = judge::functions(&BTreeMap::from(told));
        let arns = Step::ALL.map(|step| (placeholder(step), self.function_arn(step)));
        let arns = BTreeMap::from(arns);
        for (machine, text) in shipped::ALL {
            let arn = format!("{}{machine}", self.settings.machines);
            found.push(judge::machine(
                machine,
                &self.inventory.machine(&arn),
                text,
                &arns,
            ));
        }
        found.push(self.last_drill(changed));
        found
    }

    /// `changed` is when the newest function was last changed, in seconds since 1970.
    fn last_drill(&self, changed: Option<i64>) -> Finding {
        let failover = format!("{}failover", self.settings.machines);
        let ended = match self.inventory.ended(&failover) {
            Ok(ended) => ended,
            Err(error) => return Finding::of_error("last drill", &error, DEPLOY),
        };
        let newest = judge::newest_drill(&ended);
        let newest = newest.map(|it| (it, self.drill(&it.name)));
        let newest = newest.as_ref().map(|(it, told)| (*it, told));
        judge::drill(newest, changed, now_ms() / 1_000)
    }

    fn drill(&self, execution: &str) -> Told<judge::Drill> {
        let key = keys::evidence(execution);
        let bytes = self.inventory.object(&self.settings.bucket, &key)?;
        serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|error| {
            PortError::new(
                PortErrorKind::Malformed,
                format!("{key} is no evidence: {error}"),
            )
        })
    }

    fn schedules(&self) -> Vec<Finding> {
        let rules = [
            ("probe-here", Step::ProbeHealth),
            ("probe-other", Step::ProbeHealth),
            ("keep-fences", Step::KeepFences),
            ("look-again", Step::TriggerRecovery),
        ];
        let (by_rules, by_alarms) = ("events.amazonaws.com", "sns.amazonaws.com");
        let callers = [
            (Step::ProbeHealth, vec![by_rules]),
            (Step::KeepFences, vec![by_rules]),
            (Step::TriggerRecovery, vec![by_rules, by_alarms]),
        ];
        let on = rules.map(|(rule, step)| {
            let told = self.inventory.rule(&self.name(rule));
            judge::schedule(rule, &told, &self.function_arn(step))
        });
        let callable = callers.map(|(step, services)| {
            let policy = self.inventory.function_policy(&self.name(step.name()));
            judge::callable(step, &policy, &services)
        });
        on.into_iter().chain(callable).collect()
    }

    /// The Region whose replica of the ledger this one uses.
    fn ledger_region(&self) -> &str {
        self.settings
            .ledger_region
            .as_deref()
            .unwrap_or(self.side.1)
    }

    fn ledger(&self) -> Told<Option<Ledger>> {
        self.inventory.in_time("reading the ledger")?;
        let (session, table) = (self.regions.session(), &self.settings.ledger_table);
        DynamoLedger::new(session, table, Some(self.ledger_region())).read(&self.pair.name)
    }

    fn table(&self) -> Finding {
        let at = self.ledger_region();
        let told = self.inventory.table(&self.settings.ledger_table, at);
        judge::table(&told, at, self.side.1, self.other.1)
    }

    /// This Region's two: of its own cluster, and of the other one.
    fn probers(&self) -> Vec<Finding> {
        let (table, at) = (&self.settings.ledger_table, self.ledger_region());
        let signals = AwsSignals::new(self.regions, self.pair, table, Some(at));
        let looks = [
            (self.side.0, Vantage::Active),
            (self.other.0, Vantage::Standby),
        ];
        let judged = looks.map(|(about, vantage)| {
            let in_time = self.inventory.in_time("reading signals");
            let told = in_time.and_then(|()| signals.recent(about));
            judge::prober(about.as_str(), vantage, &told, now_ms())
        });
        judged.into()
    }

    fn alarms(&self) -> Vec<Finding> {
        let alarm = self.name(&format!("{}-unhealthy", self.other.0));
        let alarms = self.inventory.alarms(&self.name(""));
        let topic = self.topic_arn("alarms");
        let told = self.inventory.subscriptions(&topic);
        let trigger = self.function_arn(Step::TriggerRecovery);
        let mut found = judge::alarm(&alarm, &alarms, &topic, &told, &trigger);
        let people = self.topic_arn("people");
        let into = self.pair.flows.iter().find(|it| it.target == *self.side.0);
        let flow = into.filter(|it| it.service.is_some());
        let flow = flow.map(|it| self.name(&format!("{}-{}-", it.source, it.target)));
        found.extend(judge::other_alarms(&people, flow.as_deref(), &alarms));
        found.push(judge::people(&self.inventory.subscriptions(&people)));
        found.extend(judge::notified(&people, &self.pair.notify));
        found
    }

    /// The pair's parameter, and the secrets that it names here.
    fn parameter(
        &self,
        environment: &BTreeMap<String, String>,
        files: &PairDocument,
    ) -> Vec<Finding> {
        let what = "pair's parameter";
        let text = match self.document() {
            Ok(text) => text,
            Err(finding) => return vec![finding],
        };
        let document = match PairDocument::parse(&text) {
            Ok(document) => document,
            Err(error) => {
                let advice = "deploy this Region: no function can read it";
                return vec![Finding::fails(what, error.to_string(), advice)];
            }
        };
        let differs = drift::differences(&document, files, self.side.1);
        let stands = digest(&text);
        let read = environment.get("UNDERSTUDY_PAIR_DIGEST");
        let digests = read.map(|read| (read.as_str(), stands.as_str()));
        let mut found = judge::parameter(&differs, digests);
        for arn in drift::secrets(&document) {
            found.push(judge::secret(
                &arn,
                &self.inventory.secret(&arn),
                self.other.1,
            ));
        }
        found
    }

    /// The text of the pair, from its parameter.
    fn document(&self) -> Result<String, Finding> {
        let (what, name) = ("pair's parameter", &self.settings.pair_parameter);
        let not_told = |error| Finding::of_error(what, &error, DEPLOY);
        let text = self.inventory.parameter(name).map_err(not_told)?;
        text.ok_or_else(|| Finding::fails(what, format!("there is no {name}"), DEPLOY))
    }

    fn cluster(&self) -> Option<Finding> {
        let cluster = self.pair.clusters.get(self.side.0)?;
        let (what, arn) = ("MSK cluster", cluster.msk_arn.as_deref()?);
        Some(match self.inventory.msk_cluster(arn) {
            Ok(state) if state == "ACTIVE" => Finding::ok(what, "ACTIVE"),
            Ok(state) => Finding::warning(what, format!("its state is {state}"), "wait for it"),
            Err(error) => Finding::of_error(what, &error, "the pair's msk_arn names it"),
        })
    }

    fn bucket(&self) -> Finding {
        let (what, bucket) = ("evidence bucket", &self.settings.bucket);
        match self.inventory.bucket_is_versioned(bucket) {
            Ok(true) => Finding::ok(what, format!("{bucket}, versioned")),
            Ok(false) => {
                let found = format!("{bucket} is not versioned: evidence can be overwritten");
                Finding::warning(what, found, DEPLOY)
            }
            Err(error) => Finding::of_error(what, &error, DEPLOY),
        }
    }

    /// What applications are moved by when this Region's cluster becomes active.
    fn applications(&self) -> Vec<Finding> {
        use judge::applications;
        let (inventory, alias) = (self.inventory, self.side.0);
        let closable = applications::closable(&self.pair.fencing, alias);
        let mut findings: Vec<_> = closable.into_iter().collect();
        for application in &self.pair.applications {
            let what = format!("application {}", application.name);
            for adapter in &application.adapters {
                match adapter {
                    Adapter::EcsService { services, .. } => {
                        findings.extend(services.get(alias).map(|service| {
                            applications::service(&what, service, &inventory.service(service))
                        }));
                    }
                    Adapter::LambdaEventSource { mappings } => {
                        findings.extend(mappings.get(alias).map(|mapping| {
                            applications::mapping(&what, mapping, &inventory.mapping(mapping))
                        }));
                    }
                    Adapter::Secret { secret, values } => {
                        let both = std::iter::once(secret).chain(values.get(alias));
                        findings.extend(both.map(|secret| {
                            applications::secret(&what, secret, &inventory.secret(secret))
                        }));
                    }
                    Adapter::SsmParameter { .. }
                    | Adapter::Route53Record { .. }
                    | Adapter::File { .. }
                    | Adapter::Command { .. }
                    | Adapter::Notify { .. } => {}
                }
            }
        }
        findings
    }
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
