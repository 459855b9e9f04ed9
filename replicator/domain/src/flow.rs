//! A flow's own record, in `understudy.<flow>.flow`: what every worker reads before it may write.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{DecodeError, FlowName, Format, Slot, json};

/// The newest version of the value that this code reads.
const VERSION: u64 = 2;
/// The version of a flow whose number of slots is not being changed, which older readers understand as well.
const VERSION_SETTLED: u64 = 1;

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
    /// The number of slots that the flow is being given. While this is set nobody may copy, and a partition's state lies
    /// in its slot by the old number or in the one by the new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changing_to: Option<NonZeroU32>,
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

    /// Every slot in which state of the flow's partitions may lie now.
    pub fn homes(&self) -> impl Iterator<Item = Slot> + use<> {
        let slots = self.changing_to.map_or(self.slots, |to| to.max(self.slots));
        (0..slots.get()).map(Slot::new)
    }

    /// Whether slots of this generation may be held: it is the flow's, and it stays so.
    pub fn is_of(&self, generation: u64) -> bool {
        self.generation == generation && self.changing_to.is_none()
    }

    /// The flow once its number of slots has been changed: the next generation.
    #[must_use]
    pub fn changed(mut self) -> Self {
        if let Some(slots) = self.changing_to.take() {
            self.slots = slots;
            self.generation = self.generation.saturating_add(1);
        }
        self
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        let version = if self.changing_to.is_none() {
            VERSION_SETTLED
        } else {
            VERSION
        };
        json::encode_versioned(version, self)
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_versioned(Format::Flow, VERSION, bytes)
    }
}
