//! What AWS says is deployed in a Region. Only reads, and what is not permitted or does not answer is said as that.

use std::time::Instant;

use aws_config::SdkConfig;
use serde_json::{Value, json};
use understudy_shell::world::Store;
use understudy_shell::{PortError, PortErrorKind};

use crate::json_call::JsonService;
use crate::ledger;
use crate::regions::Regions;
use crate::store::S3Store;

const EVENTS: JsonService = JsonService {
    name: "events",
    target: "AWSEvents",
};
const GLUE: JsonService = JsonService {
    name: "glue",
    target: "AWSGlue",
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

/// A function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFacts {
    /// Its ARN.
    pub arn: String,
    /// `Active`, …
    pub state: String,
    /// How its last change ended: `Successful`, …
    pub last_update: String,
    /// What tells one program from another.
    pub code: String,
}

/// A state machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFacts {
    /// `ACTIVE`, …
    pub status: String,
    /// Its definition, as JSON.
    pub definition: String,
}

/// An execution that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedExecution {
    /// Its name.
    pub name: String,
    /// Whether it came to one of its ends.
    pub succeeded: bool,
    /// When it ended, in seconds since 1970.
    pub at_seconds: i64,
}

/// A rule of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFacts {
    /// Whether it is on.
    pub enabled: bool,
    /// When it calls: `rate(1 minute)`.
    pub expression: String,
    /// What it calls.
    pub targets: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// `ACTIVE`, …
    pub status: String,
    /// Its replicas elsewhere, with their status.
    pub replicas: Vec<(String, String)>,
    /// Whether replicas are consistent with each other at every read.
    pub strong: bool,
}

/// An alarm, composite or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmFacts {
    /// Its name.
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Whether its actions are enabled.
    pub enabled: bool,
    /// What it tells when it fires.
    pub actions: Vec<String>,
    /// What a composite one stands on.
    pub rule: Option<String>,
}

/// Somebody whom a topic tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionFacts {
    /// `lambda`, `email`, …
    pub protocol: String,
    /// Who.
    pub endpoint: String,
    /// Whether it was confirmed.
    pub confirmed: bool,
}

/// A service in ECS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// `ACTIVE`, …
    pub status: String,
    /// How many tasks it is to have.
    pub wanted: i32,
    /// How many run.
    pub running: i32,
    /// Whether a deployment of it failed.
    pub failed: bool,
}

/// A secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFacts {
    /// Whether it is to be deleted.
    pub deleted: bool,
    /// The Region of which it is a replica, if it is one.
    pub primary: Option<String>,
    /// Its replicas, with their status.
    pub replicas: Vec<(String, String)>,
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
        use aws_sdk_cloudwatch::types::AlarmType;
        let did = format!("listing alarms {prefix}* in {}", self.region);
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let (mut alarms, mut next) = (Vec::new(), None);
        for _page in 0..PAGES {
            self.in_time(&did)?;
            let call = client
                .describe_alarms()
                .alarm_name_prefix(prefix)
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .set_next_token(next)
                .send();
            let found = self.regions.session().call(&did, call)?;
            alarms.extend(
                found
                    .metric_alarms
                    .unwrap_or_default()
                    .into_iter()
                    .map(|it| AlarmFacts {
                        name: it.alarm_name.unwrap_or_default(),
                        state: word(it.state_value.as_ref().map(|it| it.as_str())),
                        enabled: it.actions_enabled.unwrap_or(false),
                        actions: it.alarm_actions.unwrap_or_default(),
                        rule: None,
                    }),
            );
            alarms.extend(
                found
                    .composite_alarms
                    .unwrap_or_default()
                    .into_iter()
                    .map(|it| AlarmFacts {
                        name: it.alarm_name.unwrap_or_default(),
                        state: word(it.state_value.as_ref().map(|it| it.as_str())),
                        enabled: it.actions_enabled.unwrap_or(false),
                        actions: it.alarm_actions.unwrap_or_default(),
                        rule: Some(it.alarm_rule.unwrap_or_default()),
                    }),
            );
            next = found.next_token;
            if next.is_none() {
                return Ok(alarms);
            }
        }
        Err(more(&did, alarms.len()))
    }

    /// Whom a topic tells.
    ///
    /// # Errors
    /// There is no such topic, or AWS did not answer.
    pub fn subscriptions(&self, topic: &str) -> Result<Vec<SubscriptionFacts>, PortError> {
        let did = format!("listing whom {topic} tells");
        let client = aws_sdk_sns::Client::new(&self.config);
        let (mut subscriptions, mut next) = (Vec::new(), None);
        for _page in 0..PAGES {
            self.in_time(&did)?;
            let call = client
                .list_subscriptions_by_topic()
                .topic_arn(topic)
                .set_next_token(next)
                .send();
            let found = self.regions.session().call(&did, call)?;
            let listed = found.subscriptions.unwrap_or_default().into_iter();
            subscriptions.extend(listed.map(|it| SubscriptionFacts {
                protocol: it.protocol.unwrap_or_default(),
                endpoint: it.endpoint.unwrap_or_default(),
                // In place of an ARN it says `PendingConfirmation`, or `Deleted`.
                confirmed: (it.subscription_arn).is_some_and(|arn| arn.starts_with("arn:")),
            }));
            next = found.next_token;
            if next.is_none() {
                return Ok(subscriptions);
            }
        }
        Err(more(&did, subscriptions.len()))
    }

    /// A service in ECS, named as `cluster/service`.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer.
    pub fn service(&self, service: &str) -> Result<ServiceFacts, PortError> {
        let did = format!("looking at service {service} in {}", self.region);
        self.in_time(&did)?;
        let (cluster, name) = service.split_once('/').unwrap_or(("", service));
        let client = aws_sdk_ecs::Client::new(&self.config);
        let call = client
            .describe_services()
            .cluster(cluster)
            .services(name)
            .send();
        let found = self.regions.session().call(&did, call)?;
        let found = found.services.unwrap_or_default().into_iter().next();
        let found = found.ok_or_else(|| {
            PortError::new(
                PortErrorKind::Missing,
                format!("{did}: there is no such service"),
            )
        })?;
        let failed = |it: &aws_sdk_ecs::types::Deployment| {
            it.rollout_state
                .as_ref()
                .is_some_and(|state| state.as_str() == "FAILED")
        };
        Ok(ServiceFacts {
            failed: found.deployments().iter().any(failed),
            wanted: found.desired_count,
            running: found.running_count,
            status: found.status.unwrap_or_default(),
        })
    }

    /// The Lambda's event source mapping of a UUID: its state.
    ///
    /// # Errors
    /// There is none, or AWS did not answer.
    pub fn mapping(&self, uuid: &str) -> Result<String, PortError> {
        let did = format!("looking at event source mapping {uuid} in {}", self.region);
        self.in_time(&did)?;
        let client = aws_sdk_lambda::Client::new(&self.config);
        let call = client.get_event_source_mapping().uuid(uuid).send();
        Ok(word(
            self.regions.session().call(&did, call)?.state.as_deref(),
        ))
    }

    /// A secret: what is known of it, not what is in it.
    ///
    /// # Errors
    /// There is none here of this ARN, or AWS did not answer.
    pub fn secret(&self, arn: &str) -> Result<SecretFacts, PortError> {
        let did = format!("looking at secret {arn}");
        self.in_time(&did)?;
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        let call = client.describe_secret().secret_id(arn).send();
        let found = self.regions.session().call(&did, call)?;
        let replicas = found
            .replication_status
            .unwrap_or_default()
            .into_iter()
            .map(|it| {
                let status = word(it.status.as_ref().map(|it| it.as_str()));
                (it.region.unwrap_or_default(), status)
            });
        Ok(SecretFacts {
            deleted: found.deleted_date.is_some(),
            primary: found
                .primary_region
                .filter(|primary| *primary != self.region),
            replicas: replicas.collect(),
        })
    }

    /// Whether a bucket keeps what is overwritten.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer.
    pub fn bucket_is_versioned(&self, bucket: &str) -> Result<bool, PortError> {
        let did = format!("looking at bucket {bucket} in {}", self.region);
        self.in_time(&did)?;
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true);
        let client = aws_sdk_s3::Client::from_conf(config.build());
        let call = client.get_bucket_versioning().bucket(bucket).send();
        let found = self.regions.session().call(&did, call)?;
        Ok(found.status.is_some_and(|it| it.as_str() == "Enabled"))
    }

    /// What a bucket holds under a key; nothing if there is no such key.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer.
    pub fn object(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.in_time(&format!("reading {key} in {}", self.region))?;
        S3Store::reached(self.regions.session(), &self.config, bucket).get(key)
    }

    /// A parameter's value; nothing if there is none of this name.
    ///
    /// # Errors
    /// AWS did not answer.
    pub fn parameter(&self, name: &str) -> Result<Option<String>, PortError> {
        let did = format!("reading parameter {name} in {}", self.region);
        self.in_time(&did)?;
        let client = aws_sdk_ssm::Client::new(&self.config);
        let call = client.get_parameter().name(name).send();
        match self.regions.session().call(&did, call) {
            Ok(found) => Ok(found.parameter.and_then(|it| it.value)),
            Err(error) if error.kind == PortErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The state of an MSK cluster.
    ///
    /// # Errors
    /// There is none of this ARN, or AWS did not answer.
    pub fn msk_cluster(&self, arn: &str) -> Result<String, PortError> {
        let did = format!("looking at {arn}");
        self.in_time(&did)?;
        let client = aws_sdk_kafka::Client::new(&self.config);
        let call = client.describe_cluster_v2().cluster_arn(arn).send();
        let found = self.regions.session().call(&did, call)?;
        let state = found.cluster_info.and_then(|it| it.state);
        Ok(word(state.as_ref().map(|it| it.as_str())))
    }

    /// The schemas of a Glue registry, with the UUIDs of their latest versions; empty for a schema that has none.
    ///
    /// # Errors
    /// There is none of this name, or AWS did not answer.
    pub fn schemas(&self, registry: &str) -> Result<Vec<(String, String)>, PortError> {
        let ask = |operation, input: Value| {
            self.in_time(operation)?;
            GLUE.call(self.regions.session(), &self.config, operation, &input)
        };
        let id = json!({ "RegistryName": registry });
        ask("GetRegistry", json!({ "RegistryId": id }))?;
        let (mut schemas, mut next) = (Vec::new(), Value::Null);
        for _page in 0..PAGES {
            let mut input = json!({ "RegistryId": id, "MaxResults": 100 });
            if let (Some(fields), false) = (input.as_object_mut(), next.is_null()) {
                fields.insert("NextToken".to_owned(), next);
            }
            let found = ask("ListSchemas", input)?;
            let listed = found.get("Schemas").and_then(Value::as_array);
            for schema in listed.into_iter().flatten() {
                let name = text(schema, "SchemaName");
                let id = json!({ "RegistryName": registry, "SchemaName": name });
                let latest =
                    json!({ "SchemaId": id, "SchemaVersionNumber": { "LatestVersion": true } });
                let version = match ask("GetSchemaVersion", latest) {
                    Ok(version) => text(&version, "SchemaVersionId"),
                    Err(error) if error.kind == PortErrorKind::Missing => String::new(),
                    Err(error) => return Err(error),
                };
                schemas.push((name, version));
            }
            next = found.get("NextToken").cloned().unwrap_or(Value::Null);
            if next.is_null() {
                return Ok(schemas);
            }
        }
        let did = format!("listing schemas of {registry} in {}", self.region);
        Err(more(&did, schemas.len()))
    }
}

/// A list that does not end.
fn more(did: &str, listed: usize) -> PortError {
    PortError::new(
        PortErrorKind::Refused,
        format!("{did}: there are more than {listed}"),
    )
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
