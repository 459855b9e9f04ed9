//! The flow file: what is read once, at the start, into typed values.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use understudy_domain::{
    FlowName, GapPolicy, LostPolicy, Position, RecreatedPolicy, ReplicationPolicy, StateTopics,
    TopicPartition,
};
use understudy_kafka::Endpoint;
use understudy_kafka::endpoint::OWNED;
use understudy_kafka::ffi::names::property_names;
use understudy_kafka::ffi::writer::CodecOf;

use crate::aws::Aws;
use crate::bounded;
use crate::config_error::ConfigError;
use crate::end_access::{Access, OWN_KEYS, Recipe, Tokens};
use crate::http_config::HttpConfig;
use crate::import_mm2;
use crate::mm2::{self, Mm2};
use crate::secrets::{FirstRead, Secrets, settle};
use crate::selection::{GroupSelection, Selection};
use crate::settings::{self, Settings};

/// How often secrets and the files of properties are read again, unless the flow file says otherwise.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// How long a client waits for secrets that are being read: a little longer than reading may take.
const FIRST_READ_WITHIN: Duration = Duration::from_secs(15);

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

/// One end's part: how it is read, and what was read last.
#[derive(Clone, Debug)]
pub struct Renewable {
    /// How it is read.
    pub recipe: Recipe,
    /// What was read last.
    pub access: Access,
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
struct Mirror {
    topics: Vec<String>,
    topics_exclude: Vec<String>,
    groups: Vec<String>,
    groups_exclude: Vec<String>,
    group_deletes: GroupDeletes,
    policy: String,
    separator: String,
    replication_factor: Option<NonZeroU16>,
    start: Start,
    delivery: String,
    slots: NonZeroU32,
    commit_interval: String,
    max_bytes_per_second: u64,
    group_sync_interval: String,
    topic_discovery_interval: String,
    gaps: LostPolicy,
    recreated: RecreatedPolicy,
    parking_topic: String,
    compression: BTreeMap<String, Codec>,
    mm2: mm2::Written,
    #[serde(flatten)]
    settings: settings::Written,
}

/// A codec, as `compression.type` spells it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Codec {
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
            slots: NonZeroU32::MIN.saturating_add(7),
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

fn mirror(table: &toml::Table) -> Result<Mirror, ConfigError> {
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
fn codec_of(patterns: &BTreeMap<String, Codec>) -> Result<Option<CodecOf>, ConfigError> {
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

fn policy(mirror: &Mirror, alias: &str) -> Result<ReplicationPolicy, ConfigError> {
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

fn endpoint(
    table: &toml::Table,
    section: &'static str,
    environment: &dyn Fn(&str) -> Option<String>,
    follow: &mut dyn FnMut(&Recipe) -> Result<Access, ConfigError>,
) -> Result<(Endpoint, Renewable), ConfigError> {
    let Some(toml::Value::Table(entries)) = table.get(section) else {
        return Err(ConfigError::MissingSection(section));
    };
    let mut properties = BTreeMap::new();
    flatten("", entries, &mut properties, section)?;
    let alias = properties
        .remove("alias")
        .ok_or_else(|| ConfigError::MissingKey(format!("{section}.alias")))?;
    FlowName::new(&alias).map_err(|error| bad(&format!("{section}.alias"), &error.to_string()))?;
    let mut written = BTreeMap::new();
    for (key, value) in properties {
        let full = format!("{section}.{key}");
        if OWNED.contains(&key.as_str()) {
            return Err(ConfigError::OwnedProperty(full));
        }
        let value = settle(&value, environment)
            .map_err(|source| ConfigError::Secret { key: full, source })?;
        written.insert(key, value);
    }
    let recipe = Recipe::new(section, written);
    let access = follow(&recipe)?;
    if access
        .properties
        .get("bootstrap.servers")
        .is_none_or(String::is_empty)
        && !access.lacking.contains("bootstrap.servers")
    {
        return Err(ConfigError::MissingKey(format!(
            "{section}.\"bootstrap.servers\""
        )));
    }
    let endpoint = Endpoint::new(&alias, access.properties.clone())
        .with_msk_iam(matches!(access.tokens, Tokens::MskIam(_)));
    if !access.lacking.is_empty() {
        // The rest is checked when it is there.
        let endpoint = endpoint.awaiting(FIRST_READ_WITHIN);
        return Ok((endpoint, Renewable { recipe, access }));
    }
    if let Err(refused) = endpoint.check() {
        if refused.key.is_empty() {
            return Err(bad(section, &refused.reason));
        }
        let full = format!("{section}.{}", refused.key);
        if !refused.unknown {
            return Err(bad(&full, &refused.reason));
        }
        let names = property_names();
        let known = names
            .iter()
            .map(String::as_str)
            .chain(OWN_KEYS.iter().copied());
        let like = closest(&refused.key, known).map(|like| format!("{section}.{like}"));
        return Err(ConfigError::UnknownKey { key: full, like });
    }
    Ok((endpoint, Renewable { recipe, access }))
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

/// `a.b = 1` without quotes is a nested table in TOML; people mean the property `a.b`.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    out: &mut BTreeMap<String, String>,
    section: &str,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Table(inner) => {
                flatten(&name, inner, out, section)?;
                continue;
            }
            _ => {
                return Err(bad(
                    &format!("{section}.{name}"),
                    "must be a string, a whole number or a boolean",
                ));
            }
        };
        out.insert(name, text);
    }
    Ok(())
}

fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let duration = humantime::parse_duration(text)
        .map_err(|_error| bad(key, "must be a time with a unit, like 100ms or 2s"))?;
    if duration < Duration::from_millis(1) || duration > Duration::from_secs(10) {
        return Err(bad(key, "must lie between 1ms and 10s"));
    }
    Ok(duration)
}

/// The one of `known` that looks most like a key nobody knows, if any does.
pub(crate) fn closest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

fn bad(key: &str, reason: &str) -> ConfigError {
    ConfigError::BadValue {
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Flow, String> {
        let environment = |name: &str| (name == "PASSWORD").then(|| "hush".to_owned());
        Flow::parse(
            text,
            Path::new("flow.toml"),
            &environment,
            FirstRead::WithTheFile,
        )
        .map_err(|error| error.to_string())
    }

    fn with(lines: &str) -> String {
        format!(
            "[source]\nalias = \"use1\"\n\"bootstrap.servers\" = \"a:1\"\n{lines}\n\
             [target]\nalias = \"usw2\"\nbootstrap.servers = \"b:1\"\n"
        )
    }

    #[test]
    fn a_minimal_flow_takes_the_documented_defaults() -> Result<(), String> {
        let flow = parse(&with(""))?;
        assert_eq!(flow.name.as_str(), "use1-usw2");
        assert_eq!(flow.slots.get(), 8);
        assert_eq!(flow.commit_interval, Duration::from_millis(100));
        assert_eq!(flow.topic_discovery_interval, Duration::from_secs(2));
        assert_eq!(flow.start, Start::Earliest);
        assert_eq!(flow.target.bootstrap(), "b:1");
        Ok(())
    }

    #[test]
    fn a_secret_that_aws_holds_is_asked_for_when_logging_in_if_so_wanted()
    -> Result<(), Box<dyn std::error::Error>> {
        let text = "[source]\nalias = \"use1\"\n\"bootstrap.servers\" = \"a:1\"\n\
             \"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
             \"sasl.username\" = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:AmazonMSK_a-AbCdEf:username}\"\n\
             \"sasl.password\" = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:AmazonMSK_a-AbCdEf:password}\"\n\
             [target]\nalias = \"usw2\"\n\"bootstrap.servers\" = \"b:1\"\n\
             [http]\ntoken = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:page-AbCdEf}\"\n";
        let flow = Flow::parse(
            text,
            Path::new("flow.toml"),
            &|_| None,
            FirstRead::WhenLoggingIn,
        )?;
        let lacking: Vec<&str> = flow
            .renewal
            .source
            .access
            .lacking
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(lacking, ["sasl.password", "sasl.username"]);
        assert!(flow.renewal.target.access.lacking.is_empty());
        // The target's clients wait for nobody; the source's for the secret, and then have it.
        assert_eq!(flow.target.admin().get("bootstrap.servers"), Some("b:1"));
        let source = flow.source.clone();
        let opened =
            std::thread::spawn(move || source.admin().get("sasl.username").map(str::to_owned));
        let mut whole = flow.renewal.source.access.properties.clone();
        whole.insert("sasl.username".to_owned(), "mirror".to_owned());
        flow.source.renew(whole, false);
        assert_eq!(
            opened.join().map_err(|_| "panicked")?,
            Some("mirror".to_owned())
        );
        // What cannot be had is waited for no more, and told.
        let flow = Flow::parse(
            text,
            Path::new("flow.toml"),
            &|_| None,
            FirstRead::WhenLoggingIn,
        )?;
        flow.source
            .lack("Secrets Manager was not reached".to_owned());
        assert_eq!(flow.source.admin().get("sasl.username"), None);
        assert_eq!(
            flow.source.lacks().as_deref(),
            Some("Secrets Manager was not reached")
        );
        Ok(())
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_what_to_do() {
        for (lines, expected) in [
            (
                "\"bootstrap.server\" = \"a:1\"",
                "source.bootstrap.server is not a known key; did you mean \"source.bootstrap.servers\"?",
            ),
            (
                "\"isolation.level\" = \"read_uncommitted\"",
                "source.isolation.level is set by understudy, exactness depends on it; remove it",
            ),
            (
                "\"ssl.truststore.location\" = \"x\"",
                "source.ssl.truststore.location is a property of Java clients; use \"ssl.ca.location\" (a PEM file)",
            ),
            (
                "[mirorr]",
                "mirorr is not a known key; did you mean \"mirror\"?",
            ),
            (
                "[mirror]\nslot = 1",
                "mirror.slot is not a known key; did you mean \"mirror.slots\"?",
            ),
            ("[mirror]\nslots = 0", "mirror.slots: "),
            (
                "[mirror]\nreplication_factor = 0",
                "mirror.replication_factor: ",
            ),
            (
                "[mirror]\ncommit_interval = \"soon\"",
                "mirror.commit_interval: must be a time with a unit, like 100ms or 2s",
            ),
            (
                "[mirror]\ntopics = [\"orders[\"]",
                "mirror.topics: \"orders[\" is not a valid pattern",
            ),
            (
                "[mirror]\nsync_acl = true",
                "mirror.sync_acl is not a known key; did you mean \"mirror.sync_acls\"?",
            ),
            (
                "[mirror]\nconfig_exclude = [\"x(\"]",
                "mirror.config_exclude: \"x(\" is not a valid pattern",
            ),
            ("[mirror]\nacl_write = \"yes\"", "mirror.acl_write: "),
            (
                "[mirror]\nconfig_sync_interval = \"1ms\"",
                "mirror.config_sync_interval: must be a time with a unit between",
            ),
            (
                "[mirror.principals]\n\"a\" = \"User:b\"",
                "mirror.principals: \"a\" has no type; write \"User:a\"",
            ),
            (
                "[mirror.mm2]\nheartbeat = true",
                "mirror.mm2: unknown field `heartbeat`",
            ),
            (
                "[mirror.mm2]\ncheckpoint_interval = \"1ms\"",
                "mirror.mm2.checkpoint_interval: must be a time with a unit between",
            ),
            (
                "[http]\nlisten = \"8080\"",
                "http.listen: must be an address and a port",
            ),
            (
                "\"sasl.password\" = \"${env:NOWHERE}\"",
                "source.sasl.password",
            ),
            (
                "\"security.protocol\" = \"TLS\"",
                "source.security.protocol: ",
            ),
        ] {
            let message = parse(&with(lines)).err().unwrap_or_default();
            assert!(
                message.starts_with(expected),
                "{lines}\n{message}\n{expected}"
            );
        }
    }

    #[test]
    fn heartbeats_that_the_flow_writes_itself_are_not_mirrored() -> Result<(), String> {
        let flow = parse(&with(""))?;
        let (source, target) = (&flow.source.alias, &flow.target.alias);
        for own in [
            "heartbeats".to_owned(),
            format!("{source}.heartbeats"),
            format!("{target}.heartbeats"),
        ] {
            assert!(!flow.selects(&own), "{own}");
        }
        assert!(flow.selects("device.heartbeats"));
        let other = parse(&with("[mirror.mm2]\nheartbeats = false"))?;
        assert!(other.selects("heartbeats"));
        Ok(())
    }

    #[test]
    fn a_secret_is_never_shown() -> Result<(), String> {
        let flow = parse(&with(
            "\"sasl.username\" = \"u\"\n\"sasl.password\" = \"${env:PASSWORD}\"",
        ))?;
        assert!(!format!("{flow:?}").contains("hush"));
        let broken = parse(&with("\"sasl.password\" = \"hush\nx"));
        assert!(!broken.err().unwrap_or_default().contains("hush"));
        Ok(())
    }
}
