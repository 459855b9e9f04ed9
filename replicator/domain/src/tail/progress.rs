//! How far a partition's tail was put aside, in `understudy.<flow>.salvage`, written in the transaction of the copies.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{TailDigest, TailRecord};
use crate::{DecodeError, Format, SourceOffset, TopicPartition, json};

/// The newest version of the value that this code reads and the one it writes.
const VERSION: u64 = 1;

/// Whose tail: of one partition, beyond the cut of one recovery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TailKey {
    /// The epoch at which the flow was sealed.
    pub epoch: u64,
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
}

/// How far a tail was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailProgress {
    /// The topic of the target that takes the records, in the partition of the same number.
    pub tail_topic: String,
    /// The id of the source topic that they are read from, where the source tells.
    pub source_topic_id: Option<String>,
    /// Where the tail begins on the source.
    pub begins_at: SourceOffset,
    /// The next source offset to be read.
    pub source_offset: SourceOffset,
    /// How many records were put aside.
    pub records: u64,
    /// What they come to.
    pub digest: TailDigest,
    /// What the source deleted before it was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// How far it was merged into the topic of the copies, if that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
}

/// How far a tail was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The next source offset to be read for it.
    pub source_offset: SourceOffset,
    /// How many records went into the topic.
    pub records: u64,
    /// How many were left out of it: these are put aside.
    pub left_out: u64,
}

/// A range of source offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its first offset.
    pub start: SourceOffset,
    /// The first one behind it.
    pub end: SourceOffset,
}

impl TailKey {
    /// The record's key.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(&KeyFields {
            epoch: self.epoch,
            topic: self.partition.topic.to_string(),
            partition: self.partition.partition,
        })
    }

    /// The tail that a key names.
    ///
    /// # Errors
    /// Bytes that are no such key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields: KeyFields = json::decode(Format::TailKey, bytes)?;
        Ok(Self {
            epoch: fields.epoch,
            partition: TopicPartition::checked(Format::TailKey, fields.topic, fields.partition)?,
        })
    }
}

impl TailProgress {
    /// Nothing yet of a tail that begins at `begins_at`.
    pub fn new(tail_topic: String, topic_id: Option<String>, begins_at: SourceOffset) -> Self {
        Self {
            tail_topic,
            source_topic_id: topic_id,
            begins_at,
            source_offset: begins_at,
            records: 0,
            digest: TailDigest::default(),
            missing: Vec::new(),
            merged: None,
        }
    }

    /// How far it was merged; from its beginning on, if that was not begun.
    pub fn merged(&self) -> Merged {
        self.merged.unwrap_or(Merged {
            source_offset: self.begins_at,
            records: 0,
            left_out: 0,
        })
    }

    /// The record at `offset` went into the topic of the copies; so it need not be put aside.
    pub fn merge(&mut self, offset: SourceOffset) {
        let mut merged = self.merged();
        merged.records = merged.records.saturating_add(1);
        merged.source_offset = offset.next();
        self.merged = Some(merged);
        self.pass(offset.next());
    }

    /// The record was left out of that topic, and is put aside, unless it was before. Whether it has to be written.
    pub fn leave_out(&mut self, record: &TailRecord<'_>) -> bool {
        let is_new = record.offset >= self.source_offset;
        if is_new {
            self.add(record);
        }
        let mut merged = self.merged();
        merged.left_out = merged.left_out.saturating_add(1);
        merged.source_offset = record.offset.next();
        self.merged = Some(merged);
        is_new
    }

    /// Everything before `offset` was read to be merged.
    pub fn pass_merged(&mut self, offset: SourceOffset) {
        let mut merged = self.merged();
        merged.source_offset = merged.source_offset.max(offset);
        self.merged = Some(merged);
        self.pass(offset);
    }

    /// The next record was put aside.
    pub fn add(&mut self, record: &TailRecord<'_>) {
        self.digest.add(record);
        self.records = self.records.saturating_add(1);
        self.pass(record.offset.next());
    }

    /// Everything before `offset` was read; what had no record counts for none.
    pub fn pass(&mut self, offset: SourceOffset) {
        self.source_offset = self.source_offset.max(offset);
    }

    /// The source's log begins at `start`: what it deleted since is missing, and passed.
    pub fn meet_start(&mut self, start: SourceOffset) {
        if start > self.source_offset {
            self.missing.push(Missing {
                start: self.source_offset,
                end: start,
            });
            self.pass(start);
        }
    }

    /// Whether a topic of this id is the one that the records are read from, as far as ids are told.
    pub fn is_of(&self, topic_id: Option<&str>) -> bool {
        match (self.source_topic_id.as_deref(), topic_id) {
            (Some(known), Some(now)) => known == now,
            (None, _) | (_, None) => true,
        }
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        json::encode_versioned(VERSION, self)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Bytes that are no such value, or one that no reading of a tail can have come to.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let progress: Self = json::decode_versioned(Format::Tail, VERSION, bytes)?;
        progress.check()?;
        Ok(progress)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let malformed = |reason| Err(DecodeError::malformed(Format::Tail, reason));
        if self.tail_topic.is_empty() {
            return malformed("it names no topic");
        }
        if self.begins_at < SourceOffset::ZERO || self.source_offset < self.begins_at {
            return malformed("source_offset lies before begins_at");
        }
        let mut from = self.begins_at;
        let mut left = length(&(self.begins_at..self.source_offset));
        for range in &self.missing {
            if range.start < from || range.end <= range.start || range.end > self.source_offset {
                return malformed("what is missing is out of order");
            }
            left -= length(&(range.start..range.end));
            from = range.end;
        }
        if self.records > left {
            return malformed("it counts more records than there are offsets");
        }
        if let Some(merged) = &self.merged {
            let read = length(&(self.begins_at..merged.source_offset));
            if merged.source_offset < self.begins_at || merged.source_offset > self.source_offset {
                return malformed("it was merged beyond what was read");
            }
            if merged.records.saturating_add(merged.left_out) > read {
                return malformed("it counts more merged records than there are offsets");
            }
        }
        Ok(())
    }
}

/// How many offsets a range has.
fn length(range: &Range<SourceOffset>) -> u64 {
    let length = range.end.get().saturating_sub(range.start.get());
    u64::try_from(length).unwrap_or_default()
}

#[derive(Serialize, Deserialize)]
struct KeyFields {
    epoch: u64,
    topic: String,
    partition: i32,
}
