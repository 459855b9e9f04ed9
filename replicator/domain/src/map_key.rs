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
    /// A page of the directory of chunks; written again whenever a chunk is sealed.
    Directory {
        /// The partition it maps.
        partition: TopicPartition,
        /// The page's number.
        page: u64,
    },
}

impl MapKey {
    /// The partition that the record maps.
    pub const fn partition(&self) -> &TopicPartition {
        match self {
            Self::Chunk { partition, .. }
            | Self::Delta { partition, .. }
            | Self::Directory { partition, .. } => partition,
        }
    }

    /// The key's canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let TopicPartition { topic, partition } = self.partition();
        let (chunk, delta, directory) = match self {
            Self::Chunk { chunk, .. } => (Some(*chunk), None, None),
            Self::Delta { delta, .. } => (None, Some(*delta), None),
            Self::Directory { page, .. } => (None, None, Some(*page)),
        };
        json::encode(&Written {
            topic,
            partition: *partition,
            chunk,
            delta,
            directory,
        })
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Read {
            topic,
            partition,
            chunk,
            delta,
            directory,
        } = json::decode(Format::MapKey, bytes)?;
        let partition = TopicPartition::checked(Format::MapKey, topic, partition)?;
        match (chunk, delta, directory) {
            (Some(chunk), None, None) => Ok(Self::Chunk { partition, chunk }),
            (None, Some(delta), None) => Ok(Self::Delta { partition, delta }),
            (None, None, Some(page)) => Ok(Self::Directory { partition, page }),
            _ => Err(DecodeError::malformed(
                Format::MapKey,
                "it must name either a chunk, a delta or a page of the directory",
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
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<u64>,
}

#[derive(Deserialize)]
struct Read {
    topic: String,
    partition: i32,
    chunk: Option<u64>,
    delta: Option<u32>,
    directory: Option<u64>,
}
