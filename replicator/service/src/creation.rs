//! Making a topic's copy on the target.

use rdkafka::error::RDKafkaErrorCode;
use std::time::Duration;
use understudy_domain::{CLEANUP_POLICY, creation_configs};
use understudy_kafka::{Cluster, Fault};

use crate::catalog::explain;
use crate::config::Flow;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// Makes the topic `copy` like the source's `topic`: its first record already meets the right configs.
///
/// # Errors
/// What keeps it from being made, in an operator's words.
pub fn create(
    flow: &Flow,
    source: &Cluster,
    target: &Cluster,
    topic: &str,
    copy: &str,
    partitions: i32,
) -> Result<(), String> {
    let entries = source
        .topic_configs(topic, WITHIN)
        .map_err(|fault| explain(&flow.source, &fault))?;
    let mut configs = flow
        .settings
        .with_config_rules(|rules| creation_configs(&entries, rules));
    if !flow.settings.configs {
        configs.retain(|key, _| key == CLEANUP_POLICY);
    }
    let attempt = |configs: &[(&str, &str)]| target.create_topic(copy, partitions, configs, WITHIN);
    let all: Vec<(&str, &str)> = configs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let made = match attempt(&all) {
        // One config that this cluster does not take must not keep the records away; the keeper of settings sets the
        // others one by one and names the one that is refused.
        Err(Fault::Kafka {
            code: Some(RDKafkaErrorCode::InvalidConfig | RDKafkaErrorCode::PolicyViolation),
            reason,
            ..
        }) if all.len() > 1 => {
            tracing::warn!(
                topic = copy,
                reason,
                "the target refuses the source's configs; topic made with its cleanup policy only"
            );
            let policy: Vec<(&str, &str)> = all
                .into_iter()
                .filter(|(key, _)| *key == CLEANUP_POLICY)
                .collect();
            attempt(&policy)
        }
        made => made,
    };
    made.map_err(|fault| explain(&flow.target, &fault))?;
    tracing::info!(
        topic = copy,
        partitions,
        configs = configs.len(),
        "topic created on the target"
    );
    Ok(())
}
