//! Where a partition's replication stands; one record a commit, in `understudy.<flow>.positions`.

use serde::{Deserialize, Serialize};

use crate::{
    DELTA_RING, DecodeError, Format, FormerHome, MapKey, MapRecord, Origin, PAGE_CHUNKS, Pending,
    Slot, SourceOffset, TargetOffset, TopicPartition, json,
};

/// The newest version of the value that this code reads.
const VERSION: u64 = 2;
/// The version of a value without former homes, which older readers understand as well.
const VERSION_AT_HOME: u64 = 1;

/// Where replication of one partition stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The next source offset to be read.
    pub source_offset: SourceOffset,
    /// The leader epoch of the last record read, to notice a truncation.
    pub source_leader_epoch: Option<i32>,
    /// The source topic's id, to notice a topic deleted and made again.
    pub source_topic_id: Option<String>,
    /// One past the last copy; the commit marker behind it is not counted.
    /// Before the first copy, the target's end when replication began.
    pub target_offset: TargetOffset,
    /// The source's end when it was last seen.
    pub source_end_offset: Option<SourceOffset>,
    /// When that was, in milliseconds since 1970.
    pub source_end_seen_at_ms: Option<i64>,
    /// Where replication of this partition began; of this life of it, see `incarnation`.
    pub started_at: Origin,
    /// Which life of the source partition this is: rises when its log was replaced by another one, and replication
    /// began anew behind the old copies. Offsets of an earlier life mean other records.
    #[serde(default)]
    pub incarnation: u32,
    /// What the topic is called on the target, where it is not what the policy says.
    #[serde(default)]
    pub target_topic: Option<String>,
    /// The flow's recovery epoch when this was written.
    pub flow_epoch: u64,
    /// Where the offset map stands.
    pub map: MapCursor,
    /// How many records were copied since replication began.
    pub records: u64,
    /// Where older chunks of the offset map lie, oldest first: the slots that this partition belonged to while the flow
    /// had other numbers of slots. What is not named here lies in the partition of the slot that it belongs to now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerHome>,
}

/// Where the offset map of a partition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapCursor {
    /// The first chunk of this incarnation; older ones are of an earlier life.
    #[serde(default)]
    pub first: u64,
    /// The open chunk.
    pub chunk: u64,
    /// The sequence number of the next delta in it.
    pub delta: u32,
    /// An offset in the slot's partition of the offset-map topic, at or before
    /// the first delta of the open chunk: a worker that takes over reads from here.
    pub from: i64,
}

impl Position {
    /// The position from which the source's new log is copied, behind what the target holds.
    #[must_use]
    pub fn reborn(&self, origin: Origin, target_topic: Option<String>) -> Self {
        let chunk = self.map.chunk.saturating_add(1);
        Self {
            source_offset: origin.source,
            source_leader_epoch: None,
            source_topic_id: None,
            target_offset: origin.target,
            source_end_offset: None,
            source_end_seen_at_ms: None,
            started_at: origin,
            incarnation: self.incarnation.saturating_add(1),
            target_topic,
            flow_epoch: self.flow_epoch,
            map: MapCursor {
                first: chunk,
                chunk,
                delta: 0,
                from: self.map.from,
            },
            records: 0,
            // Chunks of an earlier life are not read again.
            former: Vec::new(),
        }
    }

    /// The position in the state of another slot, which takes the partition over from `old` and begins with what
    /// `plan` writes: the open chunk sealed there, and the newest page. `from` is an offset in the new slot's partition
    /// of the offset-map topic at or before which nothing of that stands.
    #[must_use]
    pub fn moved(&self, old: Slot, plan: &Pending, from: i64) -> Self {
        let mut position = self.clone();
        position.map = plan.cursor(self.map, from);
        let chunk = self.map.chunk;
        let page = plan
            .writes()
            .iter()
            .filter_map(|record| match record {
                MapRecord::Directory(page) => Some(page.page),
                MapRecord::Chunk { .. } | MapRecord::Delta { .. } => None,
            })
            .min()
            .unwrap_or(chunk / PAGE_CHUNKS);
        let known = self.former.last().map_or(self.map.first, |last| last.chunk);
        // Nothing was sealed there: nothing lies there.
        if chunk > known {
            let slot = old.get();
            position.former.push(FormerHome { slot, chunk, page });
        }
        position
    }

    /// The slot in whose partition of the offset-map topic a sealed chunk lies; `own` is the partition's slot now.
    pub fn home_of_chunk(&self, chunk: u64, own: Slot) -> Slot {
        let former = self.former.iter().find(|home| chunk < home.chunk);
        former.map_or(own, |home| Slot::new(home.slot))
    }

    /// The slot in whose partition of the offset-map topic a page of the directory lies.
    pub fn home_of_page(&self, page: u64, own: Slot) -> Slot {
        let former = self.former.iter().find(|home| page < home.page);
        former.map_or(own, |home| Slot::new(home.slot))
    }

    /// The slot in whose partition of the offset-map topic a record of the map lies.
    pub fn home_of(&self, key: &MapKey, own: Slot) -> Slot {
        match key {
            MapKey::Chunk { chunk, .. } => self.home_of_chunk(*chunk, own),
            MapKey::Directory { page, .. } => self.home_of_page(*page, own),
            MapKey::Delta { .. } => own,
        }
    }

    /// The compaction key of a partition's position.
    pub fn key(partition: &TopicPartition) -> Vec<u8> {
        json::encode(&PositionKey {
            topic: &partition.topic,
            partition: partition.partition,
        })
    }

    /// The partition that a key names.
    pub fn decode_key(bytes: &[u8]) -> Result<TopicPartition, DecodeError> {
        let OwnedPositionKey { topic, partition } = json::decode(Format::PositionKey, bytes)?;
        TopicPartition::checked(Format::PositionKey, topic, partition)
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        let version = if self.former.is_empty() {
            VERSION_AT_HOME
        } else {
            VERSION
        };
        json::encode_versioned(version, self)
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let position: Self = json::decode_versioned(Format::Position, VERSION, bytes)?;
        position.check()?;
        Ok(position)
    }

    /// Refuses what no replication can have reached.
    fn check(&self) -> Result<(), DecodeError> {
        let malformed = |reason| Err(DecodeError::malformed(Format::Position, reason));
        if self.started_at.source < SourceOffset::ZERO
            || self.started_at.target < TargetOffset::ZERO
        {
            return malformed("started_at is negative");
        }
        if self.source_offset < self.started_at.source {
            return malformed("source_offset lies before started_at");
        }
        if self.target_offset < self.started_at.target {
            return malformed("target_offset lies before started_at");
        }
        if self.map.first > self.map.chunk {
            return malformed("map.first lies behind map.chunk");
        }
        if self.map.delta > DELTA_RING {
            return malformed("map.delta is larger than a chunk");
        }
        let pairs = || self.former.iter().zip(self.former.iter().skip(1));
        if pairs().any(|(old, new)| old.chunk >= new.chunk || old.page > new.page)
            || self
                .former
                .last()
                .is_some_and(|last| last.chunk > self.map.chunk)
        {
            return malformed("former homes are out of order");
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct PositionKey<'a> {
    topic: &'a str,
    partition: i32,
}

#[derive(Deserialize)]
struct OwnedPositionKey {
    topic: String,
    partition: i32,
}
