//! A group's place in one partition, on both sides, in `<source>.checkpoints.internal` on the target.

use super::wire::{Struct, TooLong, put_text, put_version};
use crate::{DecodeError, Format, SourceOffset, TargetOffset, TopicPartition};

/// Whose place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointKey {
    /// The consumer group.
    pub group: String,
    /// Topic and partition as they are called on the target.
    pub partition: TopicPartition,
}

/// A group's place on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The next record the group reads on the source.
    pub source: SourceOffset,
    /// The same on the target.
    pub target: TargetOffset,
    /// What the group committed with it; empty if nothing.
    pub metadata: String,
}

impl CheckpointKey {
    /// The key's bytes.
    ///
    /// # Errors
    /// A name that the format cannot carry.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut bytes = Vec::new();
        put_text(&mut bytes, "the group's name", &self.group)?;
        put_text(&mut bytes, "the topic's name", &self.partition.topic)?;
        bytes.extend(self.partition.partition.to_be_bytes());
        Ok(bytes)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Bytes that are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Struct::new(Format::CheckpointKey, bytes);
        let (group, topic, partition) = (read.text()?, read.text()?, read.partition()?);
        read.finish()?;
        Ok(Self {
            group,
            partition: TopicPartition::checked(Format::CheckpointKey, topic, partition)?,
        })
    }
}

impl Checkpoint {
    /// The value's bytes.
    ///
    /// # Errors
    /// Metadata that the format cannot carry.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut bytes = Vec::new();
        put_version(&mut bytes);
        bytes.extend(self.source.get().to_be_bytes());
        bytes.extend(self.target.get().to_be_bytes());
        put_text(&mut bytes, "the group's metadata", &self.metadata)?;
        Ok(bytes)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Bytes that are not one, or a version that this code does not read.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Struct::new(Format::Checkpoint, bytes);
        read.version()?;
        let (source, target, metadata) = (read.long()?, read.long()?, read.text()?);
        read.finish()?;
        Ok(Self {
            source: SourceOffset::new(source),
            target: TargetOffset::new(target),
            metadata,
        })
    }
}
