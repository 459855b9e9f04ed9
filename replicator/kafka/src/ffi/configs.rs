//! Configs of many topics in one call, with where each value comes from; and changing single keys of them (KIP-339).

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use rdsys::rd_kafka_ConfigSource_t as Source;
use rdsys::rd_kafka_ResourceType_t as Kind;
use rdsys::rd_kafka_admin_op_t as Op;
use understudy_domain::{ConfigEntries, ConfigEntry, ConfigOrigin};

use super::call::{ask, c_string, lent, text_of};
use super::reader::Reader;
use crate::fault::{Fault, Operation};

/// What holds configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Topics, by name.
    Topics,
    /// One broker, by its id.
    Broker,
}

impl Holder {
    fn kind(self) -> Kind {
        match self {
            Self::Topics => Kind::RD_KAFKA_RESOURCE_TOPIC,
            Self::Broker => Kind::RD_KAFKA_RESOURCE_BROKER,
        }
    }

    fn describe(self) -> Operation {
        match self {
            Self::Topics => Operation::DescribeConfigs,
            Self::Broker => Operation::DescribeBrokerConfigs,
        }
    }
}

/// Configs by name, or why one has none.
pub type Described = BTreeMap<String, Result<ConfigEntries, Fault>>;

/// Keys to set, or to delete (`None`), by topic.
pub type Changes = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// Reads all configs of the named ones (`DescribeConfigs`).
///
/// # Errors
/// The call as a whole failed or got no answer within `within`.
pub fn describe_configs(
    reader: &Reader,
    holder: Holder,
    names: &[&str],
    within: Duration,
) -> Result<Described, Fault> {
    if names.is_empty() {
        return Ok(Described::new());
    }
    let mut resources = Resources::default();
    for name in names {
        resources.add(holder.kind(), name)?;
    }
    let operation = holder.describe();
    // SAFETY: one call of that kind; resources and options outlive it, as librdkafka copies them; nothing of the event
    // is kept.
    unsafe {
        ask(
            reader,
            operation,
            Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            within,
            |call| {
                rdsys::rd_kafka_DescribeConfigs(
                    call.native,
                    resources.0.as_mut_ptr(),
                    resources.0.len(),
                    call.options,
                    call.queue,
                );
            },
            |event| {
                let result = rdsys::rd_kafka_event_DescribeConfigs_result(event);
                let mut count = 0_usize;
                let first =
                    rdsys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
                Ok(lent(first, count)
                    .iter()
                    .map(|resource| {
                        let answer = fault_of(*resource, operation).map(|()| entries(*resource));
                        (
                            text_of(rdsys::rd_kafka_ConfigResource_name(*resource)),
                            answer,
                        )
                    })
                    .collect())
            },
        )
    }
}

/// Sets and deletes single keys of topics; keys that are not named stay as they are (`IncrementalAlterConfigs`).
/// Each topic's changes are made together or not at all. The answer holds what was refused, by topic.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`: what was changed is then unknown.
pub fn alter_topic_configs(
    reader: &Reader,
    changes: &Changes,
    within: Duration,
) -> Result<BTreeMap<String, Fault>, Fault> {
    if changes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut resources = Resources::default();
    for (topic, keys) in changes {
        let resource = resources.add(Kind::RD_KAFKA_RESOURCE_TOPIC, topic)?;
        for (key, value) in keys {
            let (key, value) = (c_string(key)?, value.as_deref().map(c_string).transpose()?);
            let (change, value) = match &value {
                Some(value) => (
                    rdsys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                    value.as_ptr(),
                ),
                None => (
                    rdsys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE,
                    std::ptr::null(),
                ),
            };
            // SAFETY: the resource is live; key and value are C strings that librdkafka copies.
            let refused = unsafe {
                rdsys::rd_kafka_ConfigResource_add_incremental_config(
                    resource,
                    key.as_ptr(),
                    change,
                    value,
                )
            };
            if !refused.is_null() {
                // SAFETY: the error is ours, and destroyed once.
                let reason = unsafe {
                    let reason = text_of(rdsys::rd_kafka_error_string(refused));
                    rdsys::rd_kafka_error_destroy(refused);
                    reason
                };
                return Err(Fault::Kafka {
                    operation: Operation::AlterConfigs,
                    subject: topic.clone(),
                    code: None,
                    reason,
                });
            }
        }
    }
    // SAFETY: as in `describe_configs`.
    unsafe {
        ask(
            reader,
            Operation::AlterConfigs,
            Op::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
            within,
            |call| {
                rdsys::rd_kafka_IncrementalAlterConfigs(
                    call.native,
                    resources.0.as_mut_ptr(),
                    resources.0.len(),
                    call.options,
                    call.queue,
                );
            },
            |event| {
                let result = rdsys::rd_kafka_event_IncrementalAlterConfigs_result(event);
                let mut count = 0_usize;
                let first = rdsys::rd_kafka_IncrementalAlterConfigs_result_resources(
                    result,
                    &raw mut count,
                );
                Ok(lent(first, count)
                    .iter()
                    .filter_map(|resource| {
                        let fault = fault_of(*resource, Operation::AlterConfigs).err()?;
                        Some((
                            text_of(rdsys::rd_kafka_ConfigResource_name(*resource)),
                            fault,
                        ))
                    })
                    .collect())
            },
        )
    }
}

/// Resources made for one call, destroyed after it.
#[derive(Default)]
struct Resources(Vec<*mut rdsys::rd_kafka_ConfigResource_t>);

impl Resources {
    fn add(
        &mut self,
        kind: Kind,
        name: &str,
    ) -> Result<*mut rdsys::rd_kafka_ConfigResource_t, Fault> {
        let text = c_string(name)?;
        // SAFETY: librdkafka copies the name; it refuses only an empty one, with null.
        let resource = unsafe { rdsys::rd_kafka_ConfigResource_new(kind, text.as_ptr()) };
        if resource.is_null() {
            return Err(Fault::name(name));
        }
        self.0.push(resource);
        Ok(resource)
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        for resource in &self.0 {
            // SAFETY: made by `add`, destroyed once, here.
            unsafe { rdsys::rd_kafka_ConfigResource_destroy(*resource) }
        }
    }
}

/// What the broker answered for one resource.
///
/// # Safety
/// `resource` is live.
unsafe fn fault_of(
    resource: *const rdsys::rd_kafka_ConfigResource_t,
    operation: Operation,
) -> Result<(), Fault> {
    // SAFETY: as the caller promises; name and text live as long as the resource.
    unsafe {
        match rdsys::rd_kafka_ConfigResource_error(resource) {
            rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(Fault::code(
                operation,
                &text_of(rdsys::rd_kafka_ConfigResource_name(resource)),
                RDKafkaErrorCode::from(code),
                text_of(rdsys::rd_kafka_ConfigResource_error_string(resource)),
            )),
        }
    }
}

/// # Safety
/// `resource` is live and part of a `DescribeConfigs` result about a topic or a broker: their sources are those that
/// librdkafka names.
unsafe fn entries(resource: *const rdsys::rd_kafka_ConfigResource_t) -> ConfigEntries {
    // SAFETY: entries, names and values live as long as the resource.
    unsafe {
        let mut count = 0_usize;
        let first = rdsys::rd_kafka_ConfigResource_configs(resource, &raw mut count);
        lent(first, count)
            .iter()
            .map(|entry| {
                let value = rdsys::rd_kafka_ConfigEntry_value(*entry);
                let described = ConfigEntry {
                    value: (!value.is_null()).then(|| text_of(value)),
                    origin: match rdsys::rd_kafka_ConfigEntry_source(*entry) {
                        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG => ConfigOrigin::Topic,
                        Source::RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG
                        | Source::RD_KAFKA_CONFIG_SOURCE_UNKNOWN_CONFIG => ConfigOrigin::Kafka,
                        _ => ConfigOrigin::Cluster,
                    },
                    read_only: rdsys::rd_kafka_ConfigEntry_is_read_only(*entry) == 1,
                    sensitive: rdsys::rd_kafka_ConfigEntry_is_sensitive(*entry) == 1,
                };
                (text_of(rdsys::rd_kafka_ConfigEntry_name(*entry)), described)
            })
            .collect()
    }
}
