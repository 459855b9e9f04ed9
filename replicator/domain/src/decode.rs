//! Why bytes are not one of our records.

use std::fmt;

/// A format this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The key of a position.
    PositionKey,
    /// A position.
    Position,
    /// What was seen of the source's ends.
    EndLook,
    /// The key of an offset-map record.
    MapKey,
    /// An offset-map record: a sealed chunk or a delta.
    MapRecord,
    /// The key of a flow record.
    FlowKey,
    /// A flow record.
    Flow,
    /// The key of a gap.
    GapKey,
    /// A gap.
    Gap,
    /// The key of one of MirrorMaker 2's heartbeats.
    HeartbeatKey,
    /// One of MirrorMaker 2's heartbeats.
    Heartbeat,
    /// The key of one of MirrorMaker 2's checkpoints.
    CheckpointKey,
    /// One of MirrorMaker 2's checkpoints.
    Checkpoint,
    /// The key of one of MirrorMaker 2's offset syncs.
    OffsetSyncKey,
    /// One of MirrorMaker 2's offset syncs.
    OffsetSync,
    /// The key of a place that Kafka Connect stored.
    ConnectOffsetKey,
    /// A place that Kafka Connect stored.
    ConnectOffset,
    /// The key of a record of the settings topic.
    SettingKey,
    /// A record of the settings topic.
    Setting,
    /// The key of a tail's progress.
    TailKey,
    /// A tail's progress.
    Tail,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PositionKey => "position key",
            Self::Position => "position",
            Self::EndLook => "look at the source's ends",
            Self::MapKey => "offset-map key",
            Self::MapRecord => "offset-map record",
            Self::FlowKey => "flow key",
            Self::Flow => "flow record",
            Self::GapKey => "gap key",
            Self::Gap => "gap",
            Self::HeartbeatKey => "heartbeat key",
            Self::Heartbeat => "heartbeat",
            Self::CheckpointKey => "checkpoint key",
            Self::Checkpoint => "checkpoint",
            Self::OffsetSyncKey => "offset-sync key",
            Self::OffsetSync => "offset sync",
            Self::ConnectOffsetKey => "Connect offset key",
            Self::ConnectOffset => "Connect offset",
            Self::SettingKey => "setting key",
            Self::Setting => "setting",
            Self::TailKey => "tail key",
            Self::Tail => "tail progress",
        })
    }
}

/// Why bytes could not be read as a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{format} is cut short")]
    Truncated {
        /// What was being read.
        format: Format,
    },
    /// A newer Understudy wrote this; guessing at it could lose records.
    #[error(
        "{format} has version {version}, this worker reads up to {supported}: \
         the state was written by a newer Understudy; upgrade this worker"
    )]
    NewerVersion {
        /// What was being read.
        format: Format,
        /// The version found.
        version: u64,
        /// The newest version that this code reads.
        supported: u64,
    },
    /// The bytes are not this format.
    #[error("{format} is malformed: {reason}")]
    Malformed {
        /// What was being read.
        format: Format,
        /// What is wrong with it.
        reason: String,
    },
}

impl DecodeError {
    /// Bytes that are not this format, and why.
    pub(crate) fn malformed(format: Format, reason: impl fmt::Display) -> Self {
        Self::Malformed {
            format,
            reason: reason.to_string(),
        }
    }
}
