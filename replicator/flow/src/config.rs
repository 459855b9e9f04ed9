//! The flow file: what is read once, at the start, into typed values.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::time::Duration;

use understudy_domain::{
    FlowName, GapPolicy, Position, ReplicationPolicy, StateTopics, TopicPartition,
};
use understudy_kafka::Endpoint;
use understudy_kafka::ffi::writer::CodecOf;

use crate::aws::Aws;
use crate::bounded;
use crate::config_error::{ConfigError, bad, closest};
use crate::end_access::Recipe;
pub use crate::end_config::Renewable;
use crate::end_config::endpoint;
use crate::http_config::HttpConfig;
use crate::import_mm2;
pub use crate::mirror_config::{GroupDeletes, Start};
use crate::mirror_config::{codec_of, mirror, policy};
use crate::mm2::Mm2;
use crate::secrets::{FirstRead, Secrets};
use crate::selection::{GroupSelection, Selection};
use crate::settings::Settings;

/// How often secrets and the files of properties are read again, unless the flow file says otherwise.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// A flow: from where, to where, what, how.
#[derive(Clone)]
pub struct Flow {
    /// Its name: `<source>-<target>` unless given.
    pub name: FlowName,
    /// Names of its state on the target.
    pub state: StateTopics,
    /// The cluster that is read.
    pub source: Endpoint,
    /// The cluster that is written.
    pub target: Endpoint,
    /// Which topics are mirrored.
    pub selection: Selection,
    /// Which consumer groups are mirrored.
    pub groups: GroupSelection,
    /// What becomes of places on the target that groups have no more on the source.
    pub group_deletes: GroupDeletes,
    /// How often places of groups are read on the source.
    pub group_sync_interval: Duration,
    /// What topics are called on the target.
    pub policy: ReplicationPolicy,
    /// How many replicas topics get that are made on the target; `None`: see [`understudy_domain::replicas`].
    pub replication_factor: Option<NonZeroU16>,
    /// MirrorMaker 2's own topics, and taking over from it.
    pub mm2: Mm2,
    /// Where partitions begin that were never mirrored before.
    pub start: Start,
    /// How many slots share the work: the upper bound for workers.
    pub slots: NonZeroU32,
    /// The longest time that a transaction stays open.
    pub commit_interval: Duration,
    /// How often new topics are looked for.
    pub topic_discovery_interval: Duration,
    /// What is done about gaps without asking.
    pub gap_policy: GapPolicy,
    /// The topic on the target that takes refused records.
    pub parking_topic: Option<String>,
    /// The compression of target topics, where the flow says so.
    pub codec_of: Option<CodecOf>,
    /// Key and value bytes a second that all workers together may copy; 0: no limit.
    pub max_bytes_per_second: u64,
    /// Which configs and ACLs are mirrored, and how.
    pub settings: Settings,
    /// Where the worker is observed, and by whom.
    pub http: HttpConfig,
    /// What is read again while the process runs: secrets, certificates, tokens.
    pub renewal: Renewal,
}

/// What is read again while the process runs.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The source's part.
    pub source: Renewable,
    /// The target's part.
    pub target: Renewable,
    /// How often.
    pub interval: Duration,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Flow {
    /// Reads a flow file; `environment` answers `${env:NAME}`. A MirrorMaker 2 property file, or the JSON of its
    /// connectors, may stand in its place: `mm2_flow` names the flow in it. Its secrets stay in memory.
    ///
    /// # Errors
    /// The first thing that is wrong with it, by key.
    pub fn read(
        path: &Path,
        mm2_flow: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
        first_read: FirstRead,
    ) -> Result<Self, ConfigError> {
        let kind = path.extension().and_then(|kind| kind.to_str());
        if matches!(kind, Some("properties" | "json")) {
            let imported = import_mm2::one(path, mm2_flow)?;
            let secrets = |name: &str| {
                let own = imported.secrets.get(name).cloned();
                own.or_else(|| environment(name))
            };
            return Self::parse(&imported.toml, path, &secrets, first_read);
        }
        if let Some(flow) = mm2_flow {
            return Err(ConfigError::NotMm2 {
                path: path.to_owned(),
                flow: flow.to_owned(),
            });
        }
        let text = bounded::read_text(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path, environment, first_read)
    }

    /// Understands a flow file's text; `path` is named where it cannot be. A relative path in it is one of the process.
    ///
    /// # Errors
    /// As [`Flow::read`].
    pub fn parse(
        text: &str,
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
        first_read: FirstRead,
    ) -> Result<Self, ConfigError> {
        let table: toml::Table =
            text.parse()
                .map_err(|error: toml::de::Error| ConfigError::Syntax {
                    path: path.to_owned(),
                    reason: match error.span() {
                        Some(span) => {
                            let line = text
                                .get(..span.start)
                                .unwrap_or_default()
                                .lines()
                                .count()
                                .max(1);
                            format!("line {line}: {}", error.message())
                        }
                        None => error.message().to_owned(),
                    },
                })?;
        let known = [
            "source", "target", "mirror", "http", "metrics", "secrets", "name",
        ];
        for key in table.keys() {
            if !known.contains(&key.as_str()) {
                return Err(ConfigError::UnknownKey {
                    key: key.clone(),
                    like: closest(key, known),
                });
            }
        }
        let interval = refresh_interval(&table)?;
        let aws = Aws::default();
        let mut secrets = Secrets::look(&aws);
        let mut follow = |recipe: &Recipe| match first_read {
            FirstRead::WithTheFile => recipe.follow(&mut secrets),
            FirstRead::WhenLoggingIn => recipe.follow_at_hand(),
        };
        let (source, at_source) = endpoint(&table, "source", environment, &mut follow)?;
        let (target, at_target) = endpoint(&table, "target", environment, &mut follow)?;
        if source.alias == target.alias {
            return Err(ConfigError::SameAlias(source.alias));
        }
        let name = match table.get("name") {
            None => format!("{}-{}", source.alias, target.alias),
            Some(toml::Value::String(name)) => name.clone(),
            Some(_) => return Err(bad("name", "must be a string")),
        };
        let name = FlowName::new(&name)?;
        let mirror = mirror(&table)?;
        let selection = Selection::new(&mirror.topics, &mirror.topics_exclude)?;
        let policy = policy(&mirror, &source.alias)?;
        let mm2 = Mm2::new(&mirror.mm2, &source.alias, &mirror.separator)?;
        Ok(Self {
            state: StateTopics::new(name.clone()),
            name,
            source,
            target,
            selection,
            groups: GroupSelection::new(&mirror.groups, &mirror.groups_exclude)?,
            group_deletes: mirror.group_deletes,
            group_sync_interval: duration(
                "mirror.group_sync_interval",
                &mirror.group_sync_interval,
            )?,
            policy,
            replication_factor: mirror.replication_factor,
            mm2,
            start: mirror.start,
            slots: mirror.slots,
            commit_interval: duration("mirror.commit_interval", &mirror.commit_interval)?,
            topic_discovery_interval: duration(
                "mirror.topic_discovery_interval",
                &mirror.topic_discovery_interval,
            )?,
            gap_policy: GapPolicy {
                lost: mirror.gaps,
                recreated: mirror.recreated,
            },
            parking_topic: Some(mirror.parking_topic.clone()).filter(|topic| !topic.is_empty()),
            codec_of: codec_of(&mirror.compression)?,
            max_bytes_per_second: mirror.max_bytes_per_second,
            settings: Settings::new(&mirror.settings)?,
            http: HttpConfig::parse(&table, environment, first_read)?,
            renewal: Renewal {
                source: at_source,
                target: at_target,
                interval,
            },
        })
    }
}

impl Flow {
    /// What a partition of the source is called on the target.
    pub fn target_of(&self, partition: &TopicPartition) -> TopicPartition {
        match &self.policy {
            ReplicationPolicy::Identity => partition.clone(),
            policy @ ReplicationPolicy::Prefixed { .. } => {
                TopicPartition::new(policy.target_topic(&partition.topic), partition.partition)
            }
        }
    }

    /// Where the copies of a partition are that stands at `position`.
    pub fn copies_of(&self, partition: &TopicPartition, position: &Position) -> TopicPartition {
        match &position.target_topic {
            Some(topic) => TopicPartition::new(topic.as_str(), partition.partition),
            None => self.target_of(partition),
        }
    }

    /// Rises when clients should be made anew, of either end.
    pub fn credentials_generation(&self) -> u64 {
        self.source.generation() + self.target.generation()
    }

    /// Whether `topic` of the source is mirrored.
    pub fn selects(&self, topic: &str) -> bool {
        let is_identity = self.policy == ReplicationPolicy::Identity;
        let aliases = [self.source.alias.as_str(), self.target.alias.as_str()];
        self.selection.selects(topic)
            && !self.policy.is_cycle(topic, &self.target.alias)
            && !self.mm2.is_own_heartbeats(topic, is_identity, aliases)
    }
}

/// How often secrets are read again.
fn refresh_interval(table: &toml::Table) -> Result<Duration, ConfigError> {
    const KEY: &str = "secrets.refresh_interval";
    let Some(section) = table.get("secrets") else {
        return Ok(REFRESH_INTERVAL);
    };
    let toml::Value::Table(section) = section else {
        return Err(bad("secrets", "must be a section"));
    };
    for key in section.keys() {
        if key != "refresh_interval" {
            return Err(ConfigError::UnknownKey {
                key: format!("secrets.{key}"),
                like: closest(key, ["refresh_interval"]).map(|like| format!("secrets.{like}")),
            });
        }
    }
    let interval = match section.get("refresh_interval") {
        None => return Ok(REFRESH_INTERVAL),
        Some(toml::Value::String(text)) => humantime::parse_duration(text)
            .map_err(|_error| bad(KEY, "must be a time with a unit, like 30s or 5m"))?,
        Some(_) => return Err(bad(KEY, "must be a string")),
    };
    if interval < Duration::from_millis(100) || interval > Duration::from_secs(3600) {
        return Err(bad(KEY, "must lie between 100ms and 1h"));
    }
    Ok(interval)
}

fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let duration = humantime::parse_duration(text)
        .map_err(|_error| bad(key, "must be a time with a unit, like 100ms or 2s"))?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(10) {
        return Err(bad(key, "must lie between 1ms and 10s"));
    }
    Ok(duration)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
