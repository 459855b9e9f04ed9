//! Which configs of a topic are set and deleted on the target, so that it follows the source's.
//!
//! A key is ours while the source's topic sets it, and after that if we set it and nobody changed it since. Every other
//! key on the target is somebody else's and stays as it is.

use std::collections::{BTreeMap, BTreeSet};

/// Where a config's value in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigOrigin {
    /// Set on the topic itself.
    Topic,
    /// The cluster's own, from a broker's properties or set at run time for all topics.
    Cluster,
    /// Built into Kafka.
    Kafka,
}

/// One config of a topic, as a cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The value in force; `None` if the cluster does not tell.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: ConfigOrigin,
    /// Whether it can be changed.
    pub read_only: bool,
    /// Whether the cluster hides it.
    pub sensitive: bool,
}

/// The configs of one topic, by key.
pub type ConfigEntries = BTreeMap<String, ConfigEntry>;

/// Whose defaults hold for a copy; MirrorMaker 2's `use.defaults.from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefaultsFrom {
    /// The target's: only what the source's topic sets is set on the copy.
    Target,
    /// The source's: whatever is in force there is made to be in force on the copy.
    Source,
}

/// What decides beside the two topics.
pub struct ConfigRules<'a> {
    /// Whose defaults hold.
    pub defaults_from: DefaultsFrom,
    /// Keys that are never looked at.
    pub excluded: &'a dyn Fn(&str) -> bool,
}

/// What is to be done to one topic of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigPlan {
    /// Keys to set, or to delete (`None`).
    pub changes: BTreeMap<String, Option<String>>,
    /// What is ours once that is done: the keys and the values we set.
    pub remember: BTreeMap<String, String>,
    /// Keys that the source's topic sets and the target does not have.
    pub unknown: BTreeSet<String>,
}

/// Compares a topic with its copy; `remembered` is what we set on it before.
pub fn plan_configs(
    source: &ConfigEntries,
    target: &ConfigEntries,
    remembered: &BTreeMap<String, String>,
    rules: &ConfigRules<'_>,
) -> ConfigPlan {
    let mut plan = ConfigPlan::default();
    for (key, entry) in source {
        let Some(value) = wanted(key, entry, rules) else {
            continue;
        };
        let explicit = entry.origin == ConfigOrigin::Topic;
        let Some(there) = target.get(key) else {
            if explicit {
                plan.unknown.insert(key.clone());
            }
            continue;
        };
        if there.read_only || there.sensitive {
            continue;
        }
        let equal = there.value.as_deref() == Some(value);
        let set_there = there.origin == ConfigOrigin::Topic;
        // A default of the source need only be in force on the target, however that comes about.
        if !equal || (explicit && !set_there) {
            plan.changes.insert(key.clone(), Some(value.to_owned()));
            plan.remember.insert(key.clone(), value.to_owned());
        } else if explicit || (set_there && remembered.contains_key(key)) {
            plan.remember.insert(key.clone(), value.to_owned());
        }
    }
    for (key, value) in remembered {
        let is_wanted = source
            .get(key)
            .is_some_and(|entry| wanted(key, entry, rules).is_some());
        if is_wanted || (rules.excluded)(key) {
            continue;
        }
        // A value that is no longer the one we set is somebody else's.
        let ours = target.get(key).is_some_and(|there| {
            there.origin == ConfigOrigin::Topic
                && there.value.as_ref() == Some(value)
                && !there.read_only
        });
        if ours {
            plan.changes.insert(key.clone(), None);
        }
    }
    plan
}

/// The configs that a copy is made with: what a plan would set, as far as the source alone tells, and the cleanup
/// policy in any case, because it decides which records there are.
pub fn creation_configs(
    source: &ConfigEntries,
    rules: &ConfigRules<'_>,
) -> BTreeMap<String, String> {
    let mut configs = BTreeMap::new();
    for (key, entry) in source {
        let set = match entry.origin {
            ConfigOrigin::Topic | ConfigOrigin::Cluster => wanted(key, entry, rules),
            ConfigOrigin::Kafka => None,
        };
        let policy = entry
            .value
            .as_deref()
            .filter(|_| key == CLEANUP_POLICY && !(rules.excluded)(key));
        if let Some(value) = set.or(policy) {
            configs.insert(key.clone(), value.to_owned());
        }
    }
    configs
}

/// The config that decides which records a topic keeps.
pub const CLEANUP_POLICY: &str = "cleanup.policy";
/// The config that decides whose timestamps a topic keeps. A copy keeps those of its source, so it is never mirrored.
pub const TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// Its value for timestamps as they were written.
pub const CREATE_TIME: &str = "CreateTime";
/// The config that decides how many replicas must have a record before it is acknowledged.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// The value that the copy should have for `key`, if we care for it.
fn wanted<'a>(key: &str, entry: &'a ConfigEntry, rules: &ConfigRules<'_>) -> Option<&'a str> {
    let value = entry.value.as_deref()?;
    if entry.sensitive || entry.read_only || (rules.excluded)(key) {
        return None;
    }
    match (entry.origin, rules.defaults_from) {
        (ConfigOrigin::Topic, _)
        | (ConfigOrigin::Cluster | ConfigOrigin::Kafka, DefaultsFrom::Source) => Some(value),
        (ConfigOrigin::Cluster | ConfigOrigin::Kafka, DefaultsFrom::Target) => None,
    }
}
