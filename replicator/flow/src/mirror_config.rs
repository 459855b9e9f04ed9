//! `[mirror]`: what is mirrored, and how.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use serde::Deserialize;
use understudy_domain::{LostPolicy, RecreatedPolicy, ReplicationPolicy};
use understudy_kafka::ffi::writer::CodecOf;

use crate::config_error::{ConfigError, bad, closest};
use crate::{mm2, settings};

/// How many slots a flow has unless told otherwise: as many workers may share it. Each costs threads, connections and
/// transactions, also with nothing to do; docs/benchmark.md has what two, four and eight take.
pub(crate) const SLOTS_DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);

/// Where a partition begins that was never mirrored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the log start.
    Earliest,
    /// At the end: only what comes from now on.
    Latest,
    /// Where MirrorMaker 2 stopped.
    Mm2,
}

/// What becomes of a group's places on the target when it has them no more on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupDeletes {
    /// They stay: a group deleted by mistake, or forgotten by its brokers, can still be moved.
    Keep,
    /// They are deleted too, unless somebody is in the group on the target.
    Follow,
}

/// `[mirror]`, as written.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Mirror {
    pub(crate) topics: Vec<String>,
    pub(crate) topics_exclude: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) groups_exclude: Vec<String>,
    pub(crate) group_deletes: GroupDeletes,
    pub(crate) policy: String,
    pub(crate) separator: String,
    pub(crate) replication_factor: Option<NonZeroU16>,
    pub(crate) start: Start,
    pub(crate) delivery: String,
    pub(crate) slots: NonZeroU32,
    pub(crate) commit_interval: String,
    pub(crate) max_bytes_per_second: u64,
    pub(crate) group_sync_interval: String,
    pub(crate) topic_discovery_interval: String,
    pub(crate) gaps: LostPolicy,
    pub(crate) recreated: RecreatedPolicy,
    pub(crate) parking_topic: String,
    pub(crate) compression: BTreeMap<String, Codec>,
    pub(crate) mm2: mm2::Written,
    #[serde(flatten)]
    pub(crate) settings: settings::Written,
}

/// A codec, as `compression.type` spells it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

const MIRROR_KEYS: &[&str] = &[
    "commit_interval",
    "compression",
    "delivery",
    "gaps",
    "group_deletes",
    "group_sync_interval",
    "groups",
    "groups_exclude",
    "max_bytes_per_second",
    "mm2",
    "parking_topic",
    "policy",
    "recreated",
    "replication_factor",
    "separator",
    "slots",
    "start",
    "topic_discovery_interval",
    "topics",
    "topics_exclude",
];

impl Default for Mirror {
    fn default() -> Self {
        Self {
            topics: vec![".*".to_owned()],
            topics_exclude: Vec::new(),
            groups: vec![".*".to_owned()],
            groups_exclude: Vec::new(),
            group_deletes: GroupDeletes::Keep,
            policy: "identity".to_owned(),
            separator: ".".to_owned(),
            replication_factor: None,
            start: Start::Earliest,
            delivery: "exactly-once".to_owned(),
            slots: SLOTS_DEFAULT,
            commit_interval: "100ms".to_owned(),
            max_bytes_per_second: 0,
            group_sync_interval: "1s".to_owned(),
            topic_discovery_interval: "2s".to_owned(),
            gaps: LostPolicy::default(),
            recreated: RecreatedPolicy::default(),
            parking_topic: String::new(),
            compression: BTreeMap::new(),
            mm2: mm2::Written::default(),
            settings: settings::Written::default(),
        }
    }
}

/// The section of a flow file, or what holds without one.
pub(crate) fn mirror(table: &toml::Table) -> Result<Mirror, ConfigError> {
    let Some(section) = table.get("mirror") else {
        return Ok(Mirror::default());
    };
    let toml::Value::Table(section) = section else {
        return Err(bad("mirror", "must be a section"));
    };
    for key in section.keys() {
        let mut known = MIRROR_KEYS.iter().chain(settings::KEYS).copied();
        if !known.clone().any(|known| known == key) {
            return Err(ConfigError::UnknownKey {
                key: format!("mirror.{key}"),
                like: closest(key, &mut known).map(|like| format!("mirror.{like}")),
            });
        }
        // One key at a time, so that a wrong value is named by its key.
        let one: toml::Table = [(
            key.clone(),
            section
                .get(key)
                .cloned()
                .unwrap_or(toml::Value::Boolean(false)),
        )]
        .into_iter()
        .collect();
        let parsed: Result<Mirror, _> = one.try_into();
        parsed.map_err(|error: toml::de::Error| bad(&format!("mirror.{key}"), error.message()))?;
    }
    let mirror: Mirror = section
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| bad("mirror", error.message()))?;
    let slots = mirror.slots.get();
    if slots > 1000 {
        return Err(bad(
            "mirror.slots",
            "must be at most 1000; more slots than partitions do nothing",
        ));
    }
    let unsupported = |key, value: &str, advice| ConfigError::Unsupported {
        key,
        value: value.to_owned(),
        advice,
    };
    // Whoever asks for at least once is content with exactly once, which every flow does.
    if !["exactly-once", "at-least-once"].contains(&mirror.delivery.as_str()) {
        return Err(unsupported(
            "mirror.delivery",
            &mirror.delivery,
            "write \"exactly-once\" or \"at-least-once\"; every flow copies exactly once",
        ));
    }
    if mirror.gaps == LostPolicy::Park && mirror.parking_topic.is_empty() {
        return Err(bad(
            "mirror.gaps",
            "\"park\" needs mirror.parking_topic, a topic of the target that takes refused records",
        ));
    }
    Ok(mirror)
}

/// The compression of topics by pattern; of several that match, the first in order of the patterns.
pub(crate) fn codec_of(patterns: &BTreeMap<String, Codec>) -> Result<Option<CodecOf>, ConfigError> {
    let mut compiled = Vec::new();
    for (pattern, codec) in patterns {
        let regex = regex::Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|_error| bad("mirror.compression", "a key is not a valid pattern"))?;
        compiled.push((regex, codec.name()));
    }
    if compiled.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(move |topic: &str| {
        compiled
            .iter()
            .find(|(pattern, _)| pattern.is_match(topic))
            .map(|(_, codec)| (*codec).to_owned())
    })))
}

/// How copies of the cluster `alias` are called.
pub(crate) fn policy(mirror: &Mirror, alias: &str) -> Result<ReplicationPolicy, ConfigError> {
    match mirror.policy.as_str() {
        "identity" => Ok(ReplicationPolicy::Identity),
        "prefixed" => {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if mirror.separator.is_empty() || !mirror.separator.chars().all(legal) {
                return Err(bad(
                    "mirror.separator",
                    "must be made of letters, digits, '.', '_' and '-', as topic names are",
                ));
            }
            Ok(ReplicationPolicy::Prefixed {
                alias: alias.to_owned(),
                separator: mirror.separator.clone(),
            })
        }
        other => Err(ConfigError::Unsupported {
            key: "mirror.policy",
            value: other.to_owned(),
            advice: "the policies are \"identity\" and \"prefixed\"",
        }),
    }
}
