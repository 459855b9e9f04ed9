//! How a topic is called on the target.

use std::fmt;

/// The replication policy: topic names on the target, in MirrorMaker 2's terms (KIP-382).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicationPolicy {
    /// The same name on both sides. One direction of a pair at a time.
    Identity,
    /// `<source alias><separator><topic>`: tells copies from topics of the cluster's own, so that both directions may
    /// run at once.
    Prefixed {
        /// The source's alias.
        alias: String,
        /// Between alias and topic; `.` unless told otherwise.
        separator: String,
    },
}

impl ReplicationPolicy {
    /// What `topic` of the source is called on the target.
    pub fn target_topic(&self, topic: &str) -> String {
        match self {
            Self::Identity => topic.to_owned(),
            Self::Prefixed { alias, separator } => format!("{alias}{separator}{topic}"),
        }
    }

    /// What the copy `topic` on the target is called on the source; `None` when it is no copy of this flow.
    pub fn source_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        match self {
            Self::Identity => Some(topic),
            Self::Prefixed { alias, separator } => topic
                .strip_prefix(alias.as_str())
                .and_then(|rest| rest.strip_prefix(separator.as_str()))
                .filter(|rest| !rest.is_empty()),
        }
    }

    /// Whether `topic` of the source came from the cluster `target`, so that mirroring it there would be a loop.
    ///
    /// Prefixes may be nested: `use1.usw2.orders` came from `usw2` by way of `use1`. As in MirrorMaker 2, a topic that
    /// merely looks so counts as one.
    pub fn is_cycle(&self, topic: &str, target: &str) -> bool {
        match self {
            Self::Identity => false,
            Self::Prefixed { separator, .. } => {
                if separator.is_empty() {
                    return false;
                }
                let mut hops: Vec<&str> = topic.split(separator.as_str()).collect();
                // The last part is the topic's own name.
                hops.pop();
                hops.contains(&target)
            }
        }
    }
}

impl fmt::Display for ReplicationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Prefixed { .. } => "prefixed",
        })
    }
}
