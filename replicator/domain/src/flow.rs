//! A flow's own record, in `understudy.<flow>.flow`: what every worker reads before it may write.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{DecodeError, FlowName, Format, json};

/// The newest version of the value that this code reads and the one it writes.
const VERSION: u64 = 1;

/// What holds for a whole flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// Rises when the number of slots changes; part of every transactional id.
    pub generation: u64,
    /// How many slots this generation has.
    pub slots: NonZeroU32,
    /// The recovery epoch that last changed the flow.
    pub epoch: u64,
    /// Whether the flow may write.
    pub state: FlowState,
    /// The source cluster's id, to notice a flow pointed at another cluster.
    pub source_cluster_id: String,
    /// The target cluster's id.
    pub target_cluster_id: String,
    /// When the flow was first started, in milliseconds since 1970: with `start = "latest"` partitions begin at what
    /// was produced since then.
    #[serde(default)]
    pub created_at_ms: Option<i64>,
    /// Topics of the source that wait until they are resumed; the others go on.
    #[serde(default)]
    pub paused_topics: BTreeSet<String>,
}

/// Whether a flow may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowState {
    /// Workers copy.
    Running,
    /// Workers wait; the flow goes on when it is resumed.
    Paused,
    /// Workers stop; a recovery has taken the cut.
    Sealed,
}

impl FlowState {
    /// The state as the record spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Sealed => "sealed",
        }
    }
}

impl FlowRecord {
    /// The record's key: the flow's name.
    pub fn key(flow: &FlowName) -> Vec<u8> {
        flow.as_str().as_bytes().to_vec()
    }

    /// The flow that a key names.
    pub fn decode_key(bytes: &[u8]) -> Result<FlowName, DecodeError> {
        let malformed = |reason: String| DecodeError::Malformed {
            format: Format::FlowKey,
            reason,
        };
        let name = std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        FlowName::new(name).map_err(|error| malformed(error.to_string()))
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        json::encode_versioned(VERSION, self)
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_versioned(Format::Flow, VERSION, bytes)
    }
}
