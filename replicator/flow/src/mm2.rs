//! `[mirror.mm2]`: MirrorMaker 2's own topics, and taking over from it.

use std::time::Duration;

use serde::Deserialize;
use understudy_domain::mm2::Mm2Topics;

use crate::config_error::ConfigError;

/// Limits of the intervals.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));
/// The source connector's name in dedicated mode.
const CONNECTOR: &str = "MirrorSourceConnector";

/// What ties a flow to MirrorMaker 2.
#[derive(Clone, Debug)]
pub struct Mm2 {
    /// Whether heartbeats are written on the target.
    pub heartbeats: bool,
    /// How often, while the source answers; a source that is not copied from just then is asked at most twice a second.
    pub heartbeat_interval: Duration,
    /// Whether they are written on the source too.
    pub source_heartbeats: bool,
    /// Whether checkpoints are written on the target.
    pub checkpoints: bool,
    /// How often those that changed are written.
    pub checkpoint_interval: Duration,
    /// Whether offset syncs are written on the target.
    pub offset_syncs: bool,
    /// What its topics are called.
    pub topics: Mm2Topics,
    /// Where it stored its places: Connect's offsets topic on the target.
    pub offsets_topic: String,
    /// Under which connector's name.
    pub connector: String,
    /// The group of its workers on the target, which must be empty before it is followed; `None` where others share it.
    pub group: Option<String>,
    /// What is believed about where its copies end.
    pub seam: Seam,
}

/// What is believed about where MirrorMaker 2's copies end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seam {
    /// What comparing contents shows.
    Compare,
    /// The stored place.
    Trust,
}

/// The same, as written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Written {
    heartbeats: bool,
    heartbeat_interval: String,
    source_heartbeats: bool,
    checkpoints: bool,
    checkpoint_interval: String,
    offset_syncs: bool,
    internal_separator: bool,
    offsets_topic: String,
    connector: String,
    group: String,
    seam: Seam,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            heartbeats: true,
            heartbeat_interval: "1s".to_owned(),
            // The source is only read, unless somebody says otherwise.
            source_heartbeats: false,
            checkpoints: true,
            // Readers scan the whole topic, so it should not grow with every commit of every group.
            checkpoint_interval: "5s".to_owned(),
            // Nothing reads them but a MirrorMaker 2 that comes back.
            offset_syncs: false,
            internal_separator: true,
            offsets_topic: String::new(),
            connector: CONNECTOR.to_owned(),
            group: String::new(),
            seam: Seam::Compare,
        }
    }
}

impl Mm2 {
    /// Checks what was written; `source` is its alias, `separator` that of the policy.
    ///
    /// # Errors
    /// The first value that is not one, by key.
    pub fn new(written: &Written, source: &str, separator: &str) -> Result<Self, ConfigError> {
        let interval = |key: &str, text: &str| {
            humantime::parse_duration(text)
                .ok()
                .filter(|time| (INTERVAL.0..=INTERVAL.1).contains(time))
                .ok_or_else(|| ConfigError::BadValue {
                    key: format!("mirror.mm2.{key}"),
                    reason: "must be a time with a unit between 100ms and 1h, like 5s".to_owned(),
                })
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if separator.is_empty() || !separator.chars().all(legal) {
            return Err(ConfigError::BadValue {
                key: "mirror.separator".to_owned(),
                reason: "must be made of letters, digits, '.', '_' and '-', as topic names are"
                    .to_owned(),
            });
        }
        let dedicated = written.offsets_topic.is_empty();
        let or = |text: &str, other: String| match text.is_empty() {
            true => other,
            false => text.to_owned(),
        };
        let group = match (written.group.as_str(), dedicated) {
            ("", true) => Some(format!("{source}-mm2")),
            // A Connect cluster runs other connectors too, and goes on when this one is stopped.
            ("", false) => None,
            (group, _) => Some(group.to_owned()),
        };
        Ok(Self {
            heartbeats: written.heartbeats,
            heartbeat_interval: interval("heartbeat_interval", &written.heartbeat_interval)?,
            source_heartbeats: written.source_heartbeats,
            checkpoints: written.checkpoints,
            checkpoint_interval: interval("checkpoint_interval", &written.checkpoint_interval)?,
            offset_syncs: written.offset_syncs,
            topics: Mm2Topics::new(separator, written.internal_separator),
            offsets_topic: or(
                &written.offsets_topic,
                format!("mm2-offsets.{source}.internal"),
            ),
            connector: written.connector.clone(),
            group,
            seam: written.seam,
        })
    }

    /// The topics that the flow from `source` writes on the target.
    pub fn written_on_target(&self, source: &str) -> Vec<String> {
        let mut topics = Vec::new();
        if self.heartbeats {
            topics.push(self.topics.heartbeats().to_owned());
            topics.push(self.topics.remote_heartbeats(source));
        }
        if self.checkpoints {
            topics.push(self.topics.checkpoints(source));
        }
        if self.offset_syncs {
            topics.push(self.topics.offset_syncs(source));
        }
        topics
    }

    /// The topics that the flow writes on the source.
    pub fn written_on_source(&self) -> Vec<String> {
        let heartbeats = self.topics.heartbeats().to_owned();
        self.source_heartbeats
            .then_some(heartbeats)
            .into_iter()
            .collect()
    }

    /// Whether a topic of the source holds heartbeats that are the flow's own to write on the target.
    pub fn is_own_heartbeats(&self, topic: &str, is_identity: bool, aliases: [&str; 2]) -> bool {
        self.heartbeats
            && (topic == self.topics.heartbeats()
                || (is_identity
                    && aliases
                        .iter()
                        .any(|alias| topic == self.topics.remote_heartbeats(alias))))
    }
}
