//! Applications on AWS, each by its adapter.
//!
//! What starts something on the cluster that becomes active runs in that cluster's Region and must succeed. What stops
//! something elsewhere may be a call to a Region that is lost: where an application is moved, that is tried beside and
//! waited for no longer than a moment; where it is stopped, that is the whole of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
};
use understudy_recovery::Alias;
use understudy_recovery::client::{Adapter, Pointer};
use understudy_recovery::pair::Pair;
use understudy_shell::world::{Clients, People};
use understudy_shell::{PortError, PortErrorKind, bounded};

use crate::ecs::EcsServices;
use crate::parameters::Parameters;
use crate::people::SnsPeople;
use crate::regions::Regions;

/// How long the other side is waited for where it need not answer.
const BESIDE: Duration = Duration::from_secs(1);
/// How long resolvers keep a record, in seconds. Clients that were told before keep what they know.
const RECORD_TTL_SECONDS: i64 = 30;

/// Applications on AWS.
#[derive(Clone, Debug)]
pub struct AwsClients {
    regions: Regions,
    pair: Arc<Pair>,
    people: SnsPeople,
}

impl AwsClients {
    /// Applications of a pair.
    pub fn new(regions: &Regions, pair: &Arc<Pair>) -> Self {
        Self {
            regions: regions.clone(),
            pair: Arc::clone(pair),
            people: SnsPeople::new(regions, pair),
        }
    }

    fn region(&self, alias: &Alias) -> String {
        self.regions.of_cluster(&self.pair, alias)
    }

    fn map(&self, mapping: &str, region: &str, enabled: bool) -> Result<String, PortError> {
        let client = aws_sdk_lambda::Client::new(&self.regions.config(region));
        let word = if enabled { "enabled" } else { "disabled" };
        let call = client
            .update_event_source_mapping()
            .uuid(mapping)
            .enabled(enabled)
            .send();
        let did = format!("setting event source mapping {mapping} in {region} to {word}");
        self.regions.session().call(&did, call)?;
        Ok(format!(
            "event source mapping {mapping} in {region} is {word}"
        ))
    }

    /// Disables the twins of a mapping, as far as they answer.
    fn disable_beside(&self, mappings: &BTreeMap<Alias, String>, active: &Alias) -> Vec<String> {
        let under_way: Vec<_> = mappings
            .iter()
            .filter(|(alias, _)| *alias != active)
            .map(|(alias, mapping)| {
                let (this, mapping, region) = (self.clone(), mapping.clone(), self.region(alias));
                let words =
                    format!("whether its twin {mapping} in {region} is disabled is not known");
                (
                    words,
                    bounded::start(move || this.map(&mapping, &region, false)),
                )
            })
            .collect();
        under_way
            .into_iter()
            .map(|(words, pending)| match pending.wait(BESIDE) {
                Some(Ok(done)) => done,
                Some(Err(error)) => format!("{words}: {error}"),
                None => words,
            })
            .collect()
    }

    fn set_record(&self, zone: &str, record: &str, value: &str) -> Result<String, PortError> {
        let refused = |error: aws_sdk_route53::error::BuildError| {
            PortError::new(PortErrorKind::Refused, format!("record {record}: {error}"))
        };
        let set = ResourceRecordSet::builder()
            .name(record)
            .r#type(RrType::Cname)
            .ttl(RECORD_TTL_SECONDS)
            .resource_records(
                ResourceRecord::builder()
                    .value(value)
                    .build()
                    .map_err(refused)?,
            )
            .build()
            .map_err(refused)?;
        let change = Change::builder()
            .action(ChangeAction::Upsert)
            .resource_record_set(set)
            .build()
            .map_err(refused)?;
        let batch = ChangeBatch::builder()
            .changes(change)
            .build()
            .map_err(refused)?;
        let client = aws_sdk_route53::Client::new(self.regions.session().config());
        let call = client
            .change_resource_record_sets()
            .hosted_zone_id(zone)
            .change_batch(batch)
            .send();
        let did = format!("setting record {record} of zone {zone}");
        self.regions.session().call(&did, call)?;
        Ok(format!("record {record} is a CNAME of {value}"))
    }

    fn copy_secret(&self, secret: &str, from: &str, region: &str) -> Result<String, PortError> {
        let client = aws_sdk_secretsmanager::Client::new(&self.regions.config(region));
        let session = self.regions.session();
        let read = |name: &str| {
            let call = client.get_secret_value().secret_id(name).send();
            session
                .call(&format!("reading secret {name} in {region}"), call)
                .map(|answer| answer.secret_string)
        };
        let value = read(from)?.ok_or_else(|| {
            PortError::new(
                PortErrorKind::Refused,
                format!("secret {from} in {region} is binary; only text can be copied"),
            )
        })?;
        let before = match read(secret) {
            Ok(before) => before,
            // One that never had a value.
            Err(error) if error.kind == PortErrorKind::Missing => None,
            Err(error) => return Err(error),
        };
        if before.as_ref() == Some(&value) {
            return Ok(format!("secret {secret} has the value of {from} already"));
        }
        let call = client
            .put_secret_value()
            .secret_id(secret)
            .secret_string(value)
            .send();
        session.call(&format!("writing secret {secret} in {region}"), call)?;
        Ok(format!("secret {secret} has the value of {from}"))
    }
}

impl Clients for AwsClients {
    fn quiesce(
        &self,
        adapter: &Adapter,
        _pointer: &Pointer,
        source: &Alias,
    ) -> Result<String, PortError> {
        let region = self.region(source);
        match adapter {
            Adapter::EcsService { services, .. } => {
                let service = of(services, source, "an ECS service")?;
                EcsServices::new(&self.regions).want(&region, service, 0)?;
                Ok(format!("service {service} in {region} is to have no tasks"))
            }
            Adapter::LambdaEventSource { mappings } => {
                let mapping = of(mappings, source, "an event source mapping")?;
                self.map(mapping, &region, false)
            }
            Adapter::SsmParameter { parameter } => Ok(format!(
                "clients that follow parameter {parameter} stop by themselves or not at all"
            )),
            Adapter::Route53Record { record, .. } => Ok(format!(
                "clients that resolve {record} stop by themselves or not at all"
            )),
            Adapter::Secret { secret, .. } => Ok(format!(
                "clients that read secret {secret} stop by themselves or not at all"
            )),
            Adapter::Notify { text } => self.notify("stop", text),
            Adapter::File { .. } | Adapter::Command { .. } => Err(elsewhere(adapter)),
        }
    }

    fn apply(&self, adapter: &Adapter, pointer: &Pointer) -> Result<String, PortError> {
        let active = alias(pointer)?;
        let region = self.region(&active);
        match adapter {
            Adapter::SsmParameter { parameter } => {
                Parameters::new(self.regions.session()).point(parameter, pointer)
            }
            Adapter::EcsService { services, desired } => {
                let service = of(services, &active, "an ECS service")?;
                EcsServices::new(&self.regions).deploy(&region, service, *desired)
            }
            Adapter::LambdaEventSource { mappings } => {
                let mapping = of(mappings, &active, "an event source mapping")?;
                let enabled = self.map(mapping, &region, true)?;
                let mut said = vec![enabled];
                said.extend(self.disable_beside(mappings, &active));
                Ok(said.join("; "))
            }
            Adapter::Route53Record {
                zone,
                record,
                values,
            } => self.set_record(zone, record, of(values, &active, "a record's value")?),
            Adapter::Secret { secret, values } => {
                self.copy_secret(secret, of(values, &active, "a secret")?, &region)
            }
            Adapter::Notify { text } => self.notify(&format!("move to {active}"), text),
            Adapter::File { .. } | Adapter::Command { .. } => Err(elsewhere(adapter)),
        }
    }

    fn plan(&self, adapter: &Adapter, pointer: &Pointer) -> String {
        let active = &pointer.active;
        match adapter {
            Adapter::SsmParameter { parameter } => {
                format!("point parameter {parameter} to {active}")
            }
            Adapter::EcsService { services, desired } => {
                let service = planned(services, active);
                format!("deploy service {service} with {desired} tasks")
            }
            Adapter::LambdaEventSource { mappings } => {
                format!(
                    "enable event source mapping {}, disable its twin",
                    planned(mappings, active)
                )
            }
            Adapter::Route53Record { record, values, .. } => {
                format!(
                    "make record {record} a CNAME of {}",
                    planned(values, active)
                )
            }
            Adapter::Secret { secret, values } => {
                format!("copy secret {} to {secret}", planned(values, active))
            }
            Adapter::Notify { text } => format!("tell people: {text}"),
            Adapter::File { path } => format!("nothing: file {path} is for people without AWS"),
            Adapter::Command { .. } => "nothing: a command is for people without AWS".to_owned(),
        }
    }
}

impl AwsClients {
    fn notify(&self, subject: &str, text: &str) -> Result<String, PortError> {
        let told = self
            .people
            .tell(&format!("{}: {subject}", self.pair.name), text)?;
        Ok(format!("{told} told: {text}"))
    }
}

fn alias(pointer: &Pointer) -> Result<Alias, PortError> {
    Alias::new(&pointer.active)
        .map_err(|error| PortError::new(PortErrorKind::Malformed, error.to_string()))
}

fn of<'a>(
    by_alias: &'a BTreeMap<Alias, String>,
    alias: &Alias,
    what: &str,
) -> Result<&'a str, PortError> {
    by_alias.get(alias).map(String::as_str).ok_or_else(|| {
        PortError::new(
            PortErrorKind::Refused,
            format!(
                "the pair names {what} of no application for {alias}; name one for each cluster"
            ),
        )
    })
}

fn planned<'a>(by_alias: &'a BTreeMap<Alias, String>, active: &str) -> &'a str {
    by_alias
        .iter()
        .find(|(alias, _)| alias.as_str() == active)
        .map_or("(none is named)", |(_, value)| value.as_str())
}

fn elsewhere(adapter: &Adapter) -> PortError {
    let what = match adapter {
        Adapter::File { path } => format!("file {path}"),
        Adapter::Command { .. } => "a command".to_owned(),
        Adapter::SsmParameter { .. }
        | Adapter::EcsService { .. }
        | Adapter::LambdaEventSource { .. }
        | Adapter::Route53Record { .. }
        | Adapter::Secret { .. }
        | Adapter::Notify { .. } => "this".to_owned(),
    };
    PortError::new(
        PortErrorKind::Refused,
        format!(
            "{what} is an adapter for people without AWS; a function has nowhere to carry it out"
        ),
    )
}
