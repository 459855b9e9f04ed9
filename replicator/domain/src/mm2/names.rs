//! What MirrorMaker 2 calls its own topics.

/// Names of a deployment's own topics. The separator is that of the replication policy (KIP-690), and applies to its
/// own topics too unless that was switched off (KIP-949).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mm2Topics {
    separator: String,
    internal: String,
}

impl Default for Mm2Topics {
    fn default() -> Self {
        Self::new(".", true)
    }
}

impl Mm2Topics {
    /// Names with this `replication.policy.separator` and this
    /// `replication.policy.internal.topic.separator.enabled`.
    pub fn new(separator: &str, internal_separator: bool) -> Self {
        let internal = if internal_separator { separator } else { "." };
        Self {
            separator: separator.to_owned(),
            internal: internal.to_owned(),
        }
    }

    /// The topic to which a flow's heartbeats go, on its target.
    pub const fn heartbeats(&self) -> &'static str {
        "heartbeats"
    }

    /// What the heartbeats topic of the cluster `source` is called once it is mirrored; also with the identity policy.
    pub fn remote_heartbeats(&self, source: &str) -> String {
        format!("{source}{}heartbeats", self.separator)
    }

    /// The topic of checkpoints of groups of `source`, on the target.
    pub fn checkpoints(&self, source: &str) -> String {
        format!("{source}{0}checkpoints{0}internal", self.internal)
    }

    /// The topic of offset syncs: `other` is the target's alias when it lies on the source, which is the default, and
    /// the source's when it lies on the target (KIP-716).
    pub fn offset_syncs(&self, other: &str) -> String {
        format!("mm2-offset-syncs{0}{other}{0}internal", self.internal)
    }

    /// The cluster whose heartbeats a topic holds: none for a cluster's own, and none for other topics.
    pub fn heartbeats_source<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic
            .strip_suffix("heartbeats")?
            .strip_suffix(self.separator.as_str())
            .filter(|source| !source.is_empty())
    }

    /// The cluster whose groups' checkpoints a topic holds, if it holds any.
    pub fn checkpoints_source<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic
            .strip_suffix("internal")?
            .strip_suffix(self.internal.as_str())?
            .strip_suffix("checkpoints")?
            .strip_suffix(self.internal.as_str())
            .filter(|source| !source.is_empty())
    }
}
