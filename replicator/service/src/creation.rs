//! Making a topic's copy on the target.

use rdkafka::error::RDKafkaErrorCode;
use std::time::Duration;
use understudy_domain::{CLEANUP_POLICY, creation_configs};
use understudy_kafka::{Cluster, Fault};

use crate::config::Flow;
use crate::explain::explain;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// The longest name that Kafka takes.
const NAME_MAX: usize = 249;

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
    made.map_err(|fault| {
        misnamed(target, copy, &fault).unwrap_or_else(|| explain(&flow.target, &fault))
    })?;
    tracing::info!(
        topic = copy,
        partitions,
        configs = configs.len(),
        "topic created on the target"
    );
    Ok(())
}

/// What is wrong with a name that the target does not take; it does not say so itself.
fn misnamed(target: &Cluster, copy: &str, fault: &Fault) -> Option<String> {
    if !matches!(
        fault,
        Fault::Kafka {
            code: Some(RDKafkaErrorCode::InvalidTopic),
            ..
        }
    ) {
        return None;
    }
    let alias = &target.endpoint().alias;
    let length = copy.chars().count();
    if length > NAME_MAX {
        return Some(format!(
            "cluster {alias} takes no topic {copy}: its name has {length} characters, and Kafka takes at most {NAME_MAX}; \
             mirror.policy = \"identity\" adds none, or leave the topic out with mirror.topics_exclude"
        ));
    }
    let same = |name: &str| name.replace('.', "_");
    let topics = target.topics(WITHIN).ok()?;
    let other = topics
        .iter()
        .find(|topic| topic.name != copy && same(&topic.name) == same(copy))?;
    Some(format!(
        "cluster {alias} takes no topic {copy} beside {}: Kafka takes `.` and `_` for the same in the names of its metrics; \
         delete the one there, or leave this one out with mirror.topics_exclude",
        other.name
    ))
}
