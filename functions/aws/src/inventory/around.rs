//! What a pair stands on and does not own: services, secrets, what applications follow, schemas, quotas.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use serde_json::{Value, json};
use understudy_shell::world::Store;
use understudy_shell::{PortError, PortErrorKind};

use super::{Inventory, Quota, SecretFacts, ServiceFacts, text, word};
use crate::json_call::JsonService;
use crate::store::S3Store;

const GLUE: JsonService = JsonService {
    name: "glue",
    target: "AWSGlue",
};

const LOGS: JsonService = JsonService {
    name: "logs",
    target: "Logs_20140328",
};
const QUOTAS: JsonService = JsonService {
    name: "servicequotas",
    target: "ServiceQuotasV20190624",
};
/// "Fargate On-Demand vCPU resource count", as Service Quotas calls it.
const FARGATE_VCPUS: &str = "L-3032A538";
/// How far back usage is looked at.
const USED_WITHIN: Duration = Duration::from_secs(3_600);

impl Inventory {
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
        let did = format!("listing schemas of {registry} in {}", self.region);
        let latest = |schema: &Value| {
            let name = text(schema, "SchemaName");
            let id = json!({ "RegistryName": registry, "SchemaName": name });
            let input = json!({ "SchemaId": id, "SchemaVersionNumber": { "LatestVersion": true } });
            match ask("GetSchemaVersion", input) {
                Ok(version) => Ok((name, text(&version, "SchemaVersionId"))),
                Err(error) if error.kind == PortErrorKind::Missing => Ok((name, String::new())),
                Err(error) => Err(error),
            }
        };
        self.pages(&did, |next: Option<String>| {
            let mut input = json!({ "RegistryId": id, "MaxResults": 100 });
            if let (Some(fields), Some(next)) = (input.as_object_mut(), next) {
                fields.insert("NextToken".to_owned(), next.into());
            }
            let found = ask("ListSchemas", input)?;
            let listed = found.get("Schemas").and_then(Value::as_array);
            let schemas: Result<_, _> = listed.into_iter().flatten().map(latest).collect();
            let next = found.get("NextToken").and_then(Value::as_str);
            Ok((schemas?, next.map(str::to_owned)))
        })
    }

    /// How many functions may be at work at once in the Region, of those that no function has reserved for itself.
    ///
    /// # Errors
    /// AWS did not answer.
    pub fn functions_at_once(&self) -> Result<Option<i32>, PortError> {
        let did = format!("asking how many functions may run in {}", self.region);
        self.in_time(&did)?;
        let client = aws_sdk_lambda::Client::new(&self.config);
        let call = client.get_account_settings().send();
        let found = self.regions.session().call(&did, call)?;
        let limit = found.account_limit;
        Ok(limit.and_then(|it| it.unreserved_concurrent_executions))
    }

    /// How many policies of CloudWatch Logs there are in the Region.
    ///
    /// # Errors
    /// AWS did not answer.
    pub fn log_policies(&self) -> Result<usize, PortError> {
        let did = format!("listing policies of logs in {}", self.region);
        let policies = self.pages(&did, |next: Option<String>| {
            let input = next.map_or_else(|| json!({}), |next| json!({ "nextToken": next }));
            let operation = "DescribeResourcePolicies";
            let found = LOGS.call(self.regions.session(), &self.config, operation, &input)?;
            let listed = found.get("resourcePolicies").and_then(Value::as_array);
            let next = found.get("nextToken").and_then(Value::as_str);
            let listed = listed.cloned().unwrap_or_default();
            Ok((listed, next.map(str::to_owned)))
        })?;
        Ok(policies.len())
    }

    /// How many vCPUs of Fargate the account may have in the Region, and has.
    ///
    /// # Errors
    /// AWS did not answer.
    pub fn fargate_vcpus(&self) -> Result<Quota, PortError> {
        let input = json!({ "ServiceCode": "fargate", "QuotaCode": FARGATE_VCPUS });
        let ask = |operation| {
            self.in_time(operation)?;
            QUOTAS.call(self.regions.session(), &self.config, operation, &input)
        };
        let found = match ask("GetServiceQuota") {
            // As AWS answers where nobody ever had it changed.
            Err(error) if error.kind == PortErrorKind::Missing => ask("GetAWSDefaultServiceQuota"),
            told => told,
        }?;
        let quota = found.get("Quota");
        let limit = quota.and_then(|it| it.get("Value")?.as_f64());
        let limit = limit.ok_or_else(|| {
            let text =
                format!("asking servicequotas for {FARGATE_VCPUS}: it tells no number: {found}");
            PortError::new(PortErrorKind::Malformed, text)
        })?;
        let used = match quota.and_then(|it| it.get("UsageMetric")) {
            Some(metric) => self.used(metric)?,
            None => None,
        };
        Ok(Quota { limit, used })
    }

    /// The most of a usage metric within the last hour.
    fn used(&self, metric: &Value) -> Result<Option<f64>, PortError> {
        let did = format!("asking how much of a quota is used in {}", self.region);
        self.in_time(&did)?;
        let dimensions = metric.get("MetricDimensions").and_then(Value::as_object);
        let dimensions = dimensions.into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().unwrap_or_default();
            Dimension::builder().name(name).value(value).build()
        });
        let now = SystemTime::now();
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let call = client
            .get_metric_statistics()
            .namespace(text(metric, "MetricNamespace"))
            .metric_name(text(metric, "MetricName"))
            .set_dimensions(Some(dimensions.collect()))
            .start_time(DateTime::from(now - USED_WITHIN))
            .end_time(DateTime::from(now))
            .period(300)
            .statistics(Statistic::Maximum)
            .send();
        let found = self.regions.session().call(&did, call)?;
        let most = found.datapoints().iter().filter_map(|it| it.maximum);
        Ok(most.reduce(f64::max))
    }
}
