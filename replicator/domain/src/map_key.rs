//! Keys of the offset-map topic.

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Format, TopicPartition, json};

/// What an offset-map key names. Compaction keeps the newest record of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MapKey {
    /// A sealed chunk; written once.
    Chunk {
        /// The partition it maps.
        partition: TopicPartition,
        /// Its number.
        chunk: u64,
    },
    /// A place in the ring of deltas; every chunk writes over the ones before.
    Delta {
        /// The partition it maps.
        partition: TopicPartition,
        /// The place in the ring.
        delta: u32,
    },
}

impl MapKey {
    /// The partition that the record maps.
    pub const fn partition(&self) -> &TopicPartition {
        match self {
            Self::Chunk { partition, .. } | Self::Delta { partition, .. } => partition,
        }
    }

    /// The key's canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let TopicPartition { topic, partition } = self.partition();
        let (chunk, delta) = match self {
            Self::Chunk { chunk, .. } => (Some(*chunk), None),
            Self::Delta { delta, .. } => (None, Some(*delta)),
        };
        json::encode(&Written {
            topic,
            partition: *partition,
            chunk,
            delta,
        })
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Read {
            topic,
            partition,
            chunk,
            delta,
        } = json::decode(Format::MapKey, bytes)?;
        let partition = TopicPartition::checked(Format::MapKey, topic, partition)?;
        match (chunk, delta) {
            (Some(chunk), None) => Ok(Self::Chunk { partition, chunk }),
            (None, Some(delta)) => Ok(Self::Delta { partition, delta }),
            (Some(_), Some(_)) | (None, None) => Err(DecodeError::malformed(
                Format::MapKey,
                "it must name either a chunk or a delta",
            )),
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    topic: &'a str,
    partition: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<u32>,
}

#[derive(Deserialize)]
struct Read {
    topic: String,
    partition: i32,
    chunk: Option<u64>,
    delta: Option<u32>,
}
