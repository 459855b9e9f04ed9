//! Whether the topics fit on the target.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::permissions::End;
use understudy_kafka::describe::Configs;
use understudy_kafka::fault::keep_timestamps;

use crate::check::Limits;
use crate::check::facts::Facts;
use crate::check::finding::{Finding, Findings};
use crate::check::reach::brokers;
use crate::check::wanted::Wanted;
use crate::config::Flow;
use crate::replication::Replicas;

/// The longest name that a topic can have.
const NAME_MAX: usize = 249;
/// Beyond this many replicas a broker, vendors advise against more.
const REPLICAS_A_BROKER: u64 = 4_000;

/// Judges every selected topic and its copy.
pub fn judge(
    flow: &Flow,
    source: &Facts,
    target: &Facts,
    wanted: &Wanted,
    limits: Limits,
    findings: &mut Findings,
) {
    let (mut good, mut compacted) = (0_usize, 0_usize);
    let (mut unanswered, mut uncompared) = (0_usize, 0_usize);
    let taken = target.cluster.topics(limits.call()).unwrap_or_default();
    // Kafka treats `.` and `_` as one in metric names, and refuses a topic that differs in nothing else.
    let metric = |name: &str| name.replace('.', "_");
    let taken: BTreeMap<String, BTreeSet<String>> =
        taken.into_iter().fold(BTreeMap::new(), |mut all, topic| {
            let same: &mut BTreeSet<String> = all.entry(metric(&topic.name)).or_default();
            same.insert(topic.name);
            all
        });
    if let Some(parking) = &flow.parking_topic
        && let Some(Err(Code::UnknownTopicOrPartition)) = target.topics.get(parking)
    {
        findings.add(Finding::fails(
            End::Target,
            &format!("topic {parking}"),
            "mirror.parking_topic is not there; refused records would halt their partitions"
                .to_owned(),
            "make it",
        ));
    }
    for (topic, partitions, copy) in &wanted.topics {
        let mut faults = names(copy, taken.get(&metric(copy)));
        let ours = source.configs.get(topic);
        compacted += usize::from(ours.is_some_and(|configs| policy(configs).contains("compact")));
        match target.topics.get(copy) {
            Some(Ok(found)) => {
                faults.extend(counts(copy, *partitions, found.partitions));
                match (ours, target.configs.get(copy)) {
                    (Some(ours), Some(theirs)) => {
                        faults.extend(configs(copy, ours, theirs, found.replicas_min));
                    }
                    (None, _) | (_, None) => uncompared += 1,
                }
                if found.leaderless > 0 {
                    faults.push(Finding::fails(
                        End::Target,
                        &format!("topic {copy}"),
                        format!("{} of its partitions have no leader", found.leaderless),
                        "bring the brokers back that hold them",
                    ));
                }
            }
            // What is wrong with its name is said already.
            None => {
                unanswered += 1;
                continue;
            }
            // What is wrong with its name is said already.
            Some(Err(_)) if faults.is_empty() => faults.extend(creation(copy, target)),
            Some(Err(_)) => {}
        }
        if let Some(Ok(found)) = source.topics.get(topic)
            && found.leaderless > 0
        {
            findings.add(Finding::warning(
                End::Source,
                &format!("topic {topic}"),
                format!("{} of its partitions have no leader", found.leaderless),
                "they are copied once they have one again",
            ));
        }
        good += usize::from(faults.is_empty());
        findings.extend(faults);
    }
    findings.extend(creation(&flow.state.flow(), target));
    findings.extend(target.replicas.map(told));
    let mut found = format!("{good} of {} fit", wanted.topics.len());
    if compacted > 0 {
        found.push_str(&format!(
            "; {compacted} are compacted, their copies hold what was left when they were read"
        ));
    }
    for (count, what) in [
        (unanswered, "the target did not answer for"),
        (uncompared, "configs may not be read (DESCRIBE_CONFIGS) of"),
    ] {
        if count > 0 {
            let found = format!("{what} {count} topics; whether they fit is not known");
            findings.add(Finding::unknown(End::Target, "topics", found));
        }
    }
    findings.add(if good + unanswered == wanted.topics.len() {
        Finding::ok(End::Target, "topics", found)
    } else {
        Finding::warning(End::Target, "topics", found, "see the lines of the others")
    });
    findings.extend(load(wanted, target));
}

fn policy(configs: &Configs) -> &str {
    configs.get("cleanup.policy").map_or("", String::as_str)
}

fn names(copy: &str, same_metric: Option<&BTreeSet<String>>) -> Vec<Finding> {
    let what = format!("topic {copy}");
    let mut faults = Vec::new();
    if copy.len() > NAME_MAX {
        faults.push(Finding::fails(
            End::Target,
            &what,
            format!(
                "its name has {} characters, {NAME_MAX} are the most",
                copy.len()
            ),
            "use a shorter source.alias, or leave it out with mirror.topics_exclude",
        ));
    }
    let other = same_metric.and_then(|same| same.iter().find(|name| *name != copy));
    if let Some(other) = other.filter(|_| same_metric.is_some_and(|same| !same.contains(copy))) {
        faults.push(Finding::fails(
            End::Target,
            &what,
            format!("the target has {other}, which Kafka cannot tell from it in metric names"),
            "rename one of them, or leave it out with mirror.topics_exclude",
        ));
    }
    faults
}

fn counts(copy: &str, source: i32, target: i32) -> Option<Finding> {
    let what = format!("topic {copy}");
    let found = format!("the target's topic has {target} partitions, the source's {source}");
    match target.cmp(&source) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(Finding::warning(
            End::Target,
            &what,
            found,
            "a worker raises it before it copies",
        )),
        std::cmp::Ordering::Greater => Some(Finding::warning(
            End::Target,
            &what,
            found,
            "the surplus stays empty; after a failover producers spread keys over more partitions than before",
        )),
    }
}

fn configs(copy: &str, ours: &Configs, theirs: &Configs, replicas: usize) -> Vec<Finding> {
    let what = format!("topic {copy}");
    let number = |configs: &Configs, key: &str| -> Option<i64> { configs.get(key)?.parse().ok() };
    let mut faults = Vec::new();
    let key = "max.message.bytes";
    if let (Some(source), Some(target)) = (number(ours, key), number(theirs, key))
        && source > target
    {
        faults.push(Finding::fails(
            End::Target,
            &what,
            format!("{key} is {source} on the source and {target} here: a larger batch would be refused and halt its partition"),
            &format!("kafka-configs --alter --entity-type topics --entity-name {copy} --add-config {key}={source}"),
        ));
    }
    if policy(ours) != policy(theirs) {
        faults.push(Finding::warning(
            End::Target,
            &what,
            format!(
                "cleanup.policy is {} on the source and {} here",
                policy(ours),
                policy(theirs)
            ),
            "make them alike, or the copies are deleted or compacted otherwise than their sources",
        ));
    }
    let value = |configs: &Configs, key: &str| configs.get(key).cloned().unwrap_or_default();
    let key = "message.timestamp.type";
    if value(theirs, key) == "LogAppendTime" {
        faults.push(Finding::fails(
            End::Target,
            &what,
            format!("{key} is LogAppendTime: the target would replace every timestamp; a worker copies nothing there"),
            &keep_timestamps(copy),
        ));
    }
    let key = "message.timestamp.before.max.ms";
    if let Some(limit) = number(theirs, key).filter(|limit| *limit != i64::MAX) {
        faults.push(Finding::warning(
            End::Target,
            &what,
            format!("{key} is {limit}: older records would be refused"),
            "remove it before the history is copied",
        ));
    }
    if let Some(wanted) = number(theirs, "min.insync.replicas")
        && usize::try_from(wanted).is_ok_and(|wanted| wanted > replicas)
    {
        faults.push(Finding::fails(
            End::Target,
            &what,
            format!("min.insync.replicas is {wanted}, and a partition has {replicas} replicas: every write is refused"),
            "lower it, or add replicas",
        ));
    }
    faults
}

/// Why a topic could not be made, other than for a permission.
fn creation(copy: &str, target: &Facts) -> Option<Finding> {
    let code = match target.could_create.get(copy) {
        None
        | Some(Ok(()) | Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
            return None;
        }
        Some(Err(code)) => *code,
    };
    let advice = match code {
        Code::InvalidReplicationFactor => {
            "set mirror.replication_factor to no more than the target's brokers, or start brokers"
        }
        Code::PolicyViolation => "ask whoever keeps the target's create.topic.policy",
        Code::InvalidTopic => "leave it out with mirror.topics_exclude",
        _ => "see the reason",
    };
    Some(Finding::fails(
        End::Target,
        &format!("topic {copy}"),
        format!("it could not be made ({}): {code}", brokers(target.brokers)),
        advice,
    ))
}

/// How many replicas new topics get, and why.
fn told(replicas: Replicas) -> Finding {
    let Replicas {
        count,
        chosen,
        cluster_default,
        brokers: present,
    } = replicas;
    let why = match (chosen, cluster_default) {
        (Some(_), _) => "by mirror.replication_factor".to_owned(),
        (None, Some(default)) => format!("the target's default.replication.factor is {default}"),
        (None, None) => {
            "the target's default.replication.factor may not be read (DESCRIBE_CONFIGS on the cluster)"
                .to_owned()
        }
    };
    let found = format!(
        "topics that are made get {count}, on {}; {why}",
        brokers(present)
    );
    if usize::try_from(count).is_ok_and(|count| count > present) {
        let advice =
            "set mirror.replication_factor to no more than the target's brokers, or start brokers";
        return Finding::fails(End::Target, "replicas", found, advice);
    }
    Finding::ok(End::Target, "replicas", found)
}

/// What the copies add up to.
fn load(wanted: &Wanted, target: &Facts) -> Option<Finding> {
    let partitions: u64 = wanted
        .topics
        .iter()
        .filter_map(|(_, partitions, _)| u64::try_from(*partitions).ok())
        .sum();
    let factor = target
        .topics
        .values()
        .filter_map(|topic| topic.as_ref().ok())
        .map(|topic| topic.replicas_min as u64)
        .chain(
            target
                .replicas
                .and_then(|replicas| u64::try_from(replicas.count).ok()),
        )
        .max()
        .unwrap_or(3);
    let each = partitions * factor / (target.brokers as u64).max(1);
    (each > REPLICAS_A_BROKER).then(|| {
        Finding::warning(
            End::Target,
            "partitions",
            format!("the copies come to about {each} replicas a broker"),
            "check how many the brokers' size carries",
        )
    })
}
