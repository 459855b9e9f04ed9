//! A record and its copy, in `mm2-offset-syncs.<other>.internal`.

use super::wire::{Struct, TooLong, put_text};
use crate::{DecodeError, Format, SourceOffset, TargetOffset, TopicPartition};

/// A record's offset and its copy's; both of the same record, not the next. The format has no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetSync {
    /// The record.
    pub source: SourceOffset,
    /// Its copy.
    pub target: TargetOffset,
}

impl OffsetSync {
    /// The bytes of the key for a partition, named as on the source.
    ///
    /// # Errors
    /// A name that the format cannot carry.
    pub fn key(partition: &TopicPartition) -> Result<Vec<u8>, TooLong> {
        let mut bytes = Vec::new();
        put_text(&mut bytes, "the topic's name", &partition.topic)?;
        bytes.extend(partition.partition.to_be_bytes());
        Ok(bytes)
    }

    /// The partition that a key names.
    ///
    /// # Errors
    /// Bytes that are not a key.
    pub fn decode_key(bytes: &[u8]) -> Result<TopicPartition, DecodeError> {
        let mut read = Struct::new(Format::OffsetSyncKey, bytes);
        let (topic, partition) = (read.text()?, read.partition()?);
        read.finish()?;
        TopicPartition::checked(Format::OffsetSyncKey, topic, partition)
    }

    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source.get().to_be_bytes());
        bytes.extend(self.target.get().to_be_bytes());
        bytes
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Bytes that are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Struct::new(Format::OffsetSync, bytes);
        let (source, target) = (read.long()?, read.long()?);
        read.finish()?;
        Ok(Self {
            source: SourceOffset::new(source),
            target: TargetOffset::new(target),
        })
    }
}
