//! What AWS says is deployed in a Region: the control plane here, what it stands on in `around`, both as `facts`. Only
//! reads, and what is not permitted or does not answer is said as that.

mod around;
mod facts;

use std::time::Instant;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::primitives::{DateTime, DateTimeFormat};
use aws_sdk_cloudwatch::types::{AlarmType, CompositeAlarm, MetricAlarm};
use serde_json::{Value, json};
use understudy_shell::{PortError, PortErrorKind};

use crate::json_call::JsonService;
use crate::ledger;
use crate::regions::Regions;

pub use facts::{
    AlarmFacts, EndedExecution, FunctionFacts, MachineFacts, Quota, RuleFacts, SecretFacts,
    ServiceFacts, SubscriptionFacts, TableFacts,
};

const EVENTS: JsonService = JsonService {
    name: "events",
    target: "AWSEvents",
};
/// How many pages of a list are asked for.
const PAGES: usize = 20;

/// A Region, looked at until a deadline.
#[derive(Clone, Debug)]
pub struct Inventory {
    regions: Regions,
    /// The Region.
    pub region: String,
    config: SdkConfig,
    deadline: Instant,
}

impl Inventory {
    /// A Region, looked at until `deadline`.
    pub fn new(regions: &Regions, region: &str, deadline: Instant) -> Self {
        Self {
            regions: regions.clone(),
            region: region.to_owned(),
            config: regions.config(region),
            deadline,
        }
    }

    /// Whether something may still be asked. `did` says in words what.
    ///
    /// # Errors
    /// The time is over.
    pub fn in_time(&self, did: &str) -> Result<(), PortError> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        // No call timed out: nothing is known of who was not asked.
        Err(PortError::new(
            PortErrorKind::Refused,
            format!("{did}: not asked, the time was over"),
        ))
    }

    /// A function's variables, and the function.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer; as everywhere here.
    pub fn function(
        &self,
        name: &str,
    ) -> Result<(FunctionFacts, std::collections::BTreeMap<String, String>), PortError> {
        let did = format!("looking at function {name} in {}", self.region);
        self.in_time(&did)?;
        let client = aws_sdk_lambda::Client::new(&self.config);
        let call = client
            .get_function_configuration()
            .function_name(name)
            .send();
        let found = self.regions.session().call(&did, call)?;
        let facts = FunctionFacts {
            arn: found.function_arn.unwrap_or_default(),
            state: word(found.state.as_ref().map(|it| it.as_str())),
            last_update: word(found.last_update_status.as_ref().map(|it| it.as_str())),
            code: found.code_sha256.unwrap_or_default(),
            changed_at_seconds: found.last_modified.as_deref().and_then(seconds_of),
        };
        let variables = found.environment.and_then(|it| it.variables);
        Ok((facts, variables.unwrap_or_default().into_iter().collect()))
    }

    /// Who may call a function, by its own policy; the policy as JSON.
    ///
    /// # Errors
    /// It has none, or AWS did not answer.
    pub fn function_policy(&self, name: &str) -> Result<String, PortError> {
        let did = format!("reading the policy of function {name} in {}", self.region);
        self.in_time(&did)?;
        let client = aws_sdk_lambda::Client::new(&self.config);
        let call = client.get_policy().function_name(name).send();
        let found = self.regions.session().call(&did, call)?;
        Ok(found.policy.unwrap_or_default())
    }

    /// A state machine.
    ///
    /// # Errors
    /// There is none of this ARN, or AWS did not answer.
    pub fn machine(&self, arn: &str) -> Result<MachineFacts, PortError> {
        let did = format!("looking at {arn}");
        self.in_time(&did)?;
        let client = aws_sdk_sfn::Client::new(&self.config);
        let call = client
            .describe_state_machine()
            .state_machine_arn(arn)
            .send();
        let found = self.regions.session().call(&did, call)?;
        Ok(MachineFacts {
            status: word(found.status.as_ref().map(|it| it.as_str())),
            definition: found.definition,
        })
    }

    /// A machine's newest executions that have ended.
    ///
    /// # Errors
    /// There is no such machine, or AWS did not answer.
    pub fn ended(&self, machine: &str) -> Result<Vec<EndedExecution>, PortError> {
        let did = format!("listing executions of {machine}");
        self.in_time(&did)?;
        let client = aws_sdk_sfn::Client::new(&self.config);
        let call = client
            .list_executions()
            .state_machine_arn(machine)
            .max_results(100)
            .send();
        let found = self.regions.session().call(&did, call)?;
        let ended = found.executions.into_iter().filter_map(|it| {
            Some(EndedExecution {
                succeeded: it.status == aws_sdk_sfn::types::ExecutionStatus::Succeeded,
                at_seconds: it.stop_date?.secs(),
                name: it.name,
            })
        });
        Ok(ended.collect())
    }

    /// A rule of a schedule.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer.
    pub fn rule(&self, name: &str) -> Result<RuleFacts, PortError> {
        let ask = |operation, input: Value| {
            self.in_time(operation)?;
            EVENTS.call(self.regions.session(), &self.config, operation, &input)
        };
        let rule = ask("DescribeRule", json!({ "Name": name }))?;
        let targets = ask("ListTargetsByRule", json!({ "Rule": name }))?;
        let listed = targets.get("Targets").and_then(Value::as_array);
        Ok(RuleFacts {
            enabled: text(&rule, "State") == "ENABLED",
            expression: text(&rule, "ScheduleExpression"),
            targets: listed
                .into_iter()
                .flatten()
                .map(|it| text(it, "Arn"))
                .collect(),
        })
    }

    /// The ledger's table. `region` is whose replica of it is meant.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer.
    pub fn table(&self, name: &str, region: &str) -> Result<TableFacts, PortError> {
        let did = format!("looking at table {name} in {region}");
        self.in_time(&did)?;
        let client = ledger::client(self.regions.session(), Some(region));
        let call = client.describe_table().table_name(name).send();
        let found = self.regions.session().call(&did, call)?;
        let table = found.table.ok_or_else(|| {
            PortError::new(PortErrorKind::Malformed, format!("{did}: nothing was told"))
        })?;
        let consistency = table.multi_region_consistency.as_ref();
        let replicas = table.replicas.unwrap_or_default().into_iter().map(|it| {
            let status = word(it.replica_status.as_ref().map(|it| it.as_str()));
            (it.region_name.unwrap_or_default(), status)
        });
        Ok(TableFacts {
            status: word(table.table_status.as_ref().map(|it| it.as_str())),
            replicas: replicas.collect(),
            strong: consistency.is_some_and(|it| it.as_str() == "STRONG"),
        })
    }

    /// The alarms whose names begin so.
    ///
    /// # Errors
    /// AWS did not answer.
    pub fn alarms(&self, prefix: &str) -> Result<Vec<AlarmFacts>, PortError> {
        let did = format!("listing alarms {prefix}* in {}", self.region);
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        self.pages(&did, |next| {
            let call = client
                .describe_alarms()
                .alarm_name_prefix(prefix)
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .set_next_token(next)
                .send();
            let found = self.regions.session().call(&did, call)?;
            let on_metrics = found.metric_alarms.unwrap_or_default().into_iter();
            let on_others = found.composite_alarms.unwrap_or_default().into_iter();
            let alarms = on_metrics.map(of_metric).chain(on_others.map(of_others));
            Ok((alarms.collect(), found.next_token))
        })
    }

    /// Whom a topic tells.
    ///
    /// # Errors
    /// There is no such topic, or AWS did not answer.
    pub fn subscriptions(&self, topic: &str) -> Result<Vec<SubscriptionFacts>, PortError> {
        let did = format!("listing whom {topic} tells");
        let client = aws_sdk_sns::Client::new(&self.config);
        self.pages(&did, |next| {
            let call = client
                .list_subscriptions_by_topic()
                .topic_arn(topic)
                .set_next_token(next)
                .send();
            let found = self.regions.session().call(&did, call)?;
            let listed = found.subscriptions.unwrap_or_default().into_iter();
            let subscriptions = listed.map(|it| SubscriptionFacts {
                protocol: it.protocol.unwrap_or_default(),
                endpoint: it.endpoint.unwrap_or_default(),
                // In place of an ARN it says `PendingConfirmation`, or `Deleted`.
                confirmed: (it.subscription_arn).is_some_and(|arn| arn.starts_with("arn:")),
            });
            Ok((subscriptions.collect(), found.next_token))
        })
    }

    /// Every page of a list; `page` answers one, and where the next one begins.
    ///
    /// # Errors
    /// As `page`; or the list does not end: a part of it is not taken for the whole.
    fn pages<T, N>(
        &self,
        did: &str,
        mut page: impl FnMut(Option<N>) -> Result<(Vec<T>, Option<N>), PortError>,
    ) -> Result<Vec<T>, PortError> {
        let (mut all, mut next) = (Vec::new(), None);
        for _page in 0..PAGES {
            self.in_time(did)?;
            let (some, behind) = page(next)?;
            all.extend(some);
            next = behind;
            if next.is_none() {
                return Ok(all);
            }
        }
        let text = format!("{did}: there are more than {}", all.len());
        Err(PortError::new(PortErrorKind::Refused, text))
    }
}

fn of_metric(it: MetricAlarm) -> AlarmFacts {
    AlarmFacts {
        name: it.alarm_name.unwrap_or_default(),
        state: word(it.state_value.as_ref().map(|it| it.as_str())),
        enabled: it.actions_enabled.unwrap_or(false),
        actions: it.alarm_actions.unwrap_or_default(),
        rule: None,
    }
}

fn of_others(it: CompositeAlarm) -> AlarmFacts {
    AlarmFacts {
        name: it.alarm_name.unwrap_or_default(),
        state: word(it.state_value.as_ref().map(|it| it.as_str())),
        enabled: it.actions_enabled.unwrap_or(false),
        actions: it.alarm_actions.unwrap_or_default(),
        rule: Some(it.alarm_rule.unwrap_or_default()),
    }
}

/// Reads `2026-11-29T15:50:41.000+0000`, as Lambda spells times.
fn seconds_of(time: &str) -> Option<i64> {
    let utc = time
        .strip_suffix("+0000")
        .map_or_else(|| time.to_owned(), |it| format!("{it}Z"));
    let time = DateTime::from_str(&utc, DateTimeFormat::DateTime).ok()?;
    Some(time.secs())
}

fn word(word: Option<&str>) -> String {
    word.unwrap_or("unknown").to_owned()
}

fn text(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::stand_in::StandIn;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn schemas_are_told_with_the_versions_that_records_would_name() -> Outcome {
        let answers = [
            (200, r#"{"RegistryName": "shop", "Status": "AVAILABLE"}"#),
            (
                200,
                r#"{"Schemas": [{"SchemaName": "order"}], "NextToken": "more"}"#,
            ),
            (200, r#"{"SchemaVersionId": "1c"}"#),
            (200, r#"{"Schemas": [{"SchemaName": "refund"}]}"#),
            (
                400,
                r#"{"__type": "EntityNotFoundException", "Message": "no version"}"#,
            ),
        ];
        let (session, asked) = StandIn::saying(&answers)?;
        let regions = Regions::new(session, BTreeMap::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        let schemas = Inventory::new(&regions, "us-west-2", deadline).schemas("shop")?;
        let expected = [("order", "1c"), ("refund", "")];
        let expected = expected.map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(schemas, expected);
        let second_page = asked.asked().into_iter().nth(3);
        assert!(second_page.is_some_and(|body| body.contains("\"NextToken\":\"more\"")));
        Ok(())
    }

    #[test]
    fn a_list_that_does_not_end_is_not_taken_for_a_whole_one() -> Outcome {
        let found = (200, r#"{"RegistryName": "shop"}"#);
        let page = (200, r#"{"Schemas": [], "NextToken": "more"}"#);
        let answers: Vec<_> = std::iter::once(found).chain([page; PAGES]).collect();
        let (session, _) = StandIn::saying(&answers)?;
        let regions = Regions::new(session, BTreeMap::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        let schemas = Inventory::new(&regions, "us-west-2", deadline).schemas("shop");
        let said = schemas.map_err(|error| error.text);
        let expected = "listing schemas of shop in us-west-2: there are more than 0";
        assert_eq!(said, Err(expected.to_owned()));
        Ok(())
    }

    #[test]
    fn lambda_s_times_are_read() {
        assert_eq!(seconds_of("1970-01-02T00:00:01.857+0000"), Some(86_401));
        assert_eq!(seconds_of("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(seconds_of("yesterday"), None);
    }

    #[test]
    fn a_quota_is_told_with_what_is_used_of_it() -> Outcome {
        let quota = r#"{"Quota": {"Value": 30.0, "UsageMetric": {"MetricNamespace": "AWS/Usage", "MetricName": "ResourceCount",
            "MetricDimensions": {"Class": "Standard/OnDemand", "Service": "Fargate"}}}}"#;
        let (session, asked) = StandIn::saying(&[(200, quota)])?;
        let regions = Regions::new(session, BTreeMap::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        let inventory = Inventory::new(&regions, "us-west-2", deadline);
        // Who may not see metrics does not know; the stand-in says no more.
        assert!(inventory.fargate_vcpus().is_err());
        let asked = asked.asked();
        assert!(
            asked
                .first()
                .is_some_and(|body| body.contains("L-3032A538"))
        );
        let (session, _) = StandIn::saying(&[(200, r#"{"Quota": {"Value": 6.0}}"#)])?;
        let regions = Regions::new(session, BTreeMap::new());
        let quota = Inventory::new(&regions, "us-west-2", deadline).fargate_vcpus()?;
        let untold = Quota {
            limit: 6.0,
            used: None,
        };
        assert_eq!(quota, untold);
        Ok(())
    }

    #[test]
    fn a_quota_that_nobody_changed_is_aws_s_own() -> Outcome {
        let none = r#"{"__type": "NoSuchResourceException", "message": "none"}"#;
        let (session, asked) =
            StandIn::saying(&[(400, none), (200, r#"{"Quota": {"Value": 6.0}}"#)])?;
        let regions = Regions::new(session, BTreeMap::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        let quota = Inventory::new(&regions, "us-west-2", deadline).fargate_vcpus()?;
        assert_eq!(
            quota,
            Quota {
                limit: 6.0,
                used: None
            }
        );
        let asked = asked.header("x-amz-target");
        assert!(
            asked
                .last()
                .is_some_and(|target| target.ends_with("GetAWSDefaultServiceQuota"))
        );
        Ok(())
    }

    #[test]
    fn what_comes_after_the_deadline_is_not_asked() -> Outcome {
        let (session, asked) = StandIn::saying(&[])?;
        let regions = Regions::new(session, BTreeMap::new());
        let inventory = Inventory::new(&regions, "us-west-2", Instant::now());
        let late = inventory.rule("look-again").map_err(|error| error.kind);
        assert_eq!(late, Err(PortErrorKind::Refused));
        let late = inventory.alarms("understudy-").map_err(|error| error.kind);
        assert_eq!(late, Err(PortErrorKind::Refused));
        assert_eq!(asked.asked(), Vec::<String>::new());
        Ok(())
    }
}
