//! What a slot saw of the source's ends where nothing was copied; one record a slot, in `understudy.<flow>.positions`.
//!
//! A position tells the end that was seen when it was written, with copies. Of a partition that nobody writes to that is long
//! ago, and what a failover loses is bounded by how long ago the ends were seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Format, Position, SourceOffset, TopicPartition, json};

const VERSION: u64 = 1;
/// Beside the keys of positions, which have a topic.
const KEY: &[u8] = br#"{"look":"ends"}"#;

/// Ends of the source, all seen at one time or later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndLook {
    /// When, in milliseconds since 1970.
    pub seen_at_ms: i64,
    /// By topic and partition.
    pub ends: BTreeMap<Arc<str>, BTreeMap<i32, SourceOffset>>,
}

impl EndLook {
    /// The compaction key.
    pub fn key() -> Vec<u8> {
        KEY.to_vec()
    }

    /// Whether a record of the positions topic is a look, by its key.
    pub fn is_key(key: &[u8]) -> bool {
        key == KEY
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        json::encode_versioned(VERSION, self)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// The bytes are none, or those of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_versioned(Format::EndLook, VERSION, bytes)
    }

    /// Brings a position up to date that was written before.
    pub fn apply(&self, partition: &TopicPartition, position: &mut Position) {
        let ends = self.ends.get(&*partition.topic);
        let Some(end) = ends.and_then(|ends| ends.get(&partition.partition)) else {
            return;
        };
        let known = position.source_end_seen_at_ms;
        if known.is_none_or(|at| at < self.seen_at_ms) {
            // It may have been written since; what was copied was there.
            position.source_end_offset = Some(*end.max(&position.source_offset));
            position.source_end_seen_at_ms = Some(self.seen_at_ms);
        }
    }
}
