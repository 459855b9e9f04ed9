//! A range of a source partition that has no copy, and what is to be done about it; in `understudy.<flow>.gaps`.
//!
//! Nothing is lost in silence: whatever a flow could not copy is one of these, written by the slot's producer, in the
//! transaction that passes it. An operator's answer is written by a tool into the same record.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Format, SourceOffset, TopicPartition, json};

/// The newest version of the value that this code reads.
const VERSION: u64 = 2;
/// The version of a value with a cause that older readers know as well.
const VERSION_OF_SOURCE: u64 = 1;

/// Which gap: at most one begins at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GapKey {
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
    /// Which life of the source partition; see [`Position::incarnation`](crate::Position).
    pub incarnation: u32,
    /// The first source offset without a copy.
    pub start: SourceOffset,
}

/// What is known of a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRecord {
    /// The first source offset behind the gap; `None` where nobody can know how far the lost log went.
    pub end: Option<SourceOffset>,
    /// Why there is no copy.
    pub cause: GapCause,
    /// The same in words, with what is known beyond the cause.
    pub reason: String,
    /// When it was found, in milliseconds since 1970.
    pub found_at_ms: i64,
    /// What was done about it.
    pub state: GapState,
    /// What an operator asked for.
    pub resolution: Option<Resolution>,
}

/// Why a range has no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapCause {
    /// The source deleted records before they were copied: retention, or `DeleteRecords`.
    Deleted,
    /// The source's log is shorter than what was copied: an unclean leader election, or a restored disk.
    Truncated,
    /// The topic was deleted and made again.
    Recreated,
    /// The target does not take the record.
    Refused,
    /// There was a copy, and it is not on the target any more: the topic was deleted, made again or cut there.
    CopiesLost,
}

/// What was done about a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapState {
    /// The partition is halted in front of it.
    Halted,
    /// Copying went on behind it; what it held is not on the target.
    Skipped,
    /// Copying went on behind it; the record is on the parking topic.
    Parked,
    /// Copying went on in the same target topic: with the source's new log from its start, or again with what was lost
    /// on the target.
    Continued,
    /// Copying went on in another target topic, with the source's new log from its start.
    Moved,
    /// It was tried again and went well: there is no gap any more.
    Closed,
}

/// What to do with a halted partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// Go on behind the gap.
    Skip,
    /// Put the refused record on the parking topic and go on behind it.
    Park,
    /// Try once more: the cause may be gone.
    Retry,
    /// Copy the source's new log from its start behind what the target holds; or what was lost there, once more.
    ContinueInSame,
    /// Copy the source's new log from its start to a new topic.
    NewTopic,
}

impl GapCause {
    /// The cause as the record spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Truncated => "truncated",
            Self::Recreated => "recreated",
            Self::Refused => "refused",
            Self::CopiesLost => "copies-lost",
        }
    }

    /// What can be done about a gap with this cause.
    pub const fn resolutions(self) -> &'static [Resolution] {
        match self {
            Self::Deleted => &[Resolution::Skip],
            Self::Refused => &[Resolution::Skip, Resolution::Park, Resolution::Retry],
            Self::Truncated => &[Resolution::ContinueInSame],
            Self::Recreated => &[Resolution::ContinueInSame, Resolution::NewTopic],
            Self::CopiesLost => &[
                Resolution::ContinueInSame,
                Resolution::Skip,
                Resolution::Retry,
            ],
        }
    }
}

impl GapState {
    /// The state as the record spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::Skipped => "skipped",
            Self::Parked => "parked",
            Self::Continued => "continued",
            Self::Moved => "moved",
            Self::Closed => "closed",
        }
    }
}

impl Resolution {
    /// The resolution as the record and the command line spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Park => "park",
            Self::Retry => "retry",
            Self::ContinueInSame => "continue-in-same",
            Self::NewTopic => "new-topic",
        }
    }

    /// What the gap becomes once this was done.
    pub const fn outcome(self) -> GapState {
        match self {
            Self::Skip => GapState::Skipped,
            Self::Park => GapState::Parked,
            Self::Retry => GapState::Closed,
            Self::ContinueInSame => GapState::Continued,
            Self::NewTopic => GapState::Moved,
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl GapKey {
    /// The record's key.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(&KeyFields {
            topic: self.partition.topic.to_string(),
            partition: self.partition.partition,
            incarnation: self.incarnation,
            start: self.start,
        })
    }

    /// The gap that a key names.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fields: KeyFields = json::decode(Format::GapKey, bytes)?;
        if fields.start < SourceOffset::ZERO {
            return Err(DecodeError::malformed(Format::GapKey, "start is negative"));
        }
        Ok(Self {
            partition: TopicPartition::checked(Format::GapKey, fields.topic, fields.partition)?,
            incarnation: fields.incarnation,
            start: fields.start,
        })
    }
}

impl GapRecord {
    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        let version = match self.cause {
            GapCause::Deleted | GapCause::Truncated | GapCause::Recreated | GapCause::Refused => {
                VERSION_OF_SOURCE
            }
            GapCause::CopiesLost => VERSION,
        };
        json::encode_versioned(version, self)
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_versioned(Format::Gap, VERSION, bytes)
    }

    /// Whether its partition is stopped.
    pub fn is_open(&self) -> bool {
        self.state == GapState::Halted
    }

    /// What to do now: what an operator asked for, if it fits the cause, or else what the flow's policy says.
    pub fn next(&self, policy: &GapPolicy) -> Option<Resolution> {
        if !self.is_open() {
            return None;
        }
        match self.resolution {
            Some(asked) if self.cause.resolutions().contains(&asked) => Some(asked),
            Some(_) | None => policy.of(self.cause),
        }
    }
}

/// What a flow does about gaps without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapPolicy {
    /// For records that were deleted before they were copied, and records that the target refuses.
    pub lost: LostPolicy,
    /// For a topic that was made again, or lost its end.
    pub recreated: RecreatedPolicy,
}

/// What to do where records cannot be copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LostPolicy {
    /// Stop the partition until somebody decides.
    #[default]
    Halt,
    /// Write the gap down and go on behind it.
    SkipAndRecord,
    /// As skip-and-record, with refused records put whole on the parking topic.
    Park,
}

/// What to do when the source's log is another one than what was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecreatedPolicy {
    /// Stop the partition until somebody decides.
    #[default]
    Halt,
    /// Copy the new log behind the old copies.
    ContinueInSame,
    /// Copy the new log to a topic of its own.
    NewTopic,
}

impl GapPolicy {
    /// What to do about a new gap; `None`: halt.
    pub const fn of(&self, cause: GapCause) -> Option<Resolution> {
        match (cause, self.lost, self.recreated) {
            // Whoever deleted them may put them back, and what to do then nobody can say beforehand.
            (GapCause::CopiesLost, _, _)
            | (GapCause::Deleted | GapCause::Refused, LostPolicy::Halt, _)
            | (GapCause::Recreated | GapCause::Truncated, _, RecreatedPolicy::Halt) => None,
            (GapCause::Refused, LostPolicy::Park, _) => Some(Resolution::Park),
            (GapCause::Deleted, LostPolicy::Park, _)
            | (GapCause::Deleted | GapCause::Refused, LostPolicy::SkipAndRecord, _) => {
                Some(Resolution::Skip)
            }
            (GapCause::Recreated, _, RecreatedPolicy::NewTopic) => Some(Resolution::NewTopic),
            // The log before the cut is the same one, so a topic of its own would split it.
            (GapCause::Truncated, _, RecreatedPolicy::NewTopic)
            | (GapCause::Recreated | GapCause::Truncated, _, RecreatedPolicy::ContinueInSame) => {
                Some(Resolution::ContinueInSame)
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct KeyFields {
    topic: String,
    partition: i32,
    incarnation: u32,
    start: SourceOffset,
}
