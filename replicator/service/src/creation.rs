//! Making a topic's copy on the target.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{
    CLEANUP_POLICY, CREATE_TIME, ConfigEntries, ConfigOrigin, MIN_INSYNC_REPLICAS, TIMESTAMP_TYPE,
    creation_configs,
};
use understudy_kafka::{Cluster, Fault};

use crate::config::Flow;
use crate::explain::explain;
use crate::replication::Replicas;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// The longest name that Kafka takes.
const NAME_MAX: usize = 249;

/// Which cluster keeps a copy from being made.
pub enum NotMade {
    /// The source does not tell what the topic is like.
    Source(Fault),
    /// The target does not make it.
    Target(Fault),
}

impl From<NotMade> for Fault {
    fn from(not_made: NotMade) -> Self {
        match not_made {
            NotMade::Source(fault) | NotMade::Target(fault) => fault,
        }
    }
}

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
    (partitions, replicas): (i32, Replicas),
) -> Result<(), String> {
    make(flow, source, target, topic, copy, (partitions, replicas)).map_err(|not_made| {
        match not_made {
            NotMade::Source(fault) => explain(&flow.source, &fault),
            NotMade::Target(fault) => {
                misnamed(target, copy, &fault).unwrap_or_else(|| explain(&flow.target, &fault))
            }
        }
    })
}

/// The same, with the fault itself.
///
/// # Errors
/// What keeps it from being made.
pub fn make(
    flow: &Flow,
    source: &Cluster,
    target: &Cluster,
    topic: &str,
    copy: &str,
    (partitions, replicas): (i32, Replicas),
) -> Result<(), NotMade> {
    let entries = source
        .topic_configs(topic, WITHIN)
        .map_err(NotMade::Source)?;
    let configs = configs(flow, &entries, replicas);
    let attempt = |configs: &[(&str, &str)]| replicas.create(target, copy, partitions, configs);
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
                "the target refuses the source's configs; topic made with what decides about its records only"
            );
            let least: Vec<(&str, &str)> = all
                .into_iter()
                .filter(|(key, _)| [CLEANUP_POLICY, TIMESTAMP_TYPE].contains(key))
                .collect();
            attempt(&least)
        }
        made => made,
    };
    made.map_err(NotMade::Target)?;
    tracing::info!(
        topic = copy,
        partitions,
        replicas = replicas.count,
        configs = configs.len(),
        "topic created on the target"
    );
    Ok(())
}

/// What a copy is made with: the source's configs, and what keeps its records as they are and safe.
fn configs(flow: &Flow, source: &ConfigEntries, replicas: Replicas) -> BTreeMap<String, String> {
    let mut configs = flow
        .settings
        .with_config_rules(|rules| creation_configs(source, rules));
    if !flow.settings.configs {
        configs.retain(|key, _| key == CLEANUP_POLICY);
    }
    // Whatever the target's default is: a copy has its record's time.
    configs.insert(TIMESTAMP_TYPE.to_owned(), CREATE_TIME.to_owned());
    // What nobody set on the source is the target's to decide.
    let asked = source
        .get(MIN_INSYNC_REPLICAS)
        .filter(|entry| entry.origin != ConfigOrigin::Kafka)
        .and_then(|entry| entry.value.as_deref()?.parse().ok());
    if let Some(asked) = asked {
        let insync = replicas.min_insync(Some(asked));
        configs.insert(MIN_INSYNC_REPLICAS.to_owned(), insync.to_string());
    }
    configs
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

/// Gives a copy as many partitions as its topic has, or says why it cannot be given them.
pub fn grow(
    flow: &Flow,
    target: &Cluster,
    copy: &str,
    have: i32,
    partitions: i32,
) -> Result<(), String> {
    target
        .grow_topic(copy, partitions, WITHIN)
        .map_err(|fault| {
            format!(
                "the target's topic {copy} has {have} partitions, the source's {partitions}: {}; \
                 raise it: kafka-topics --alter --topic {copy} --partitions {partitions}",
                explain(&flow.target, &fault)
            )
        })?;
    tracing::info!(
        topic = copy,
        from = have,
        to = partitions,
        "topic grown on the target"
    );
    Ok(())
}
