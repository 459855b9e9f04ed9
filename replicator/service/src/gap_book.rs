//! The gaps of one slot's partitions, as stored.

use std::collections::BTreeMap;

use understudy_domain::{
    GapCause, GapKey, GapRecord, Slot, SourceOffset, StateTopics, TopicPartition,
};
use understudy_kafka::Cluster;
use understudy_kafka::plane::StateWrite;

use crate::slot_state::GAPS;
use crate::stored_state::{StateError, place_of, read_gaps};

/// How many settled gaps are remembered, for the page.
const SETTLED_MAX: usize = 100;
/// How long a settled gap is kept at least, in milliseconds: 30 days.
pub const SETTLED_KEPT_MS: i64 = 30 * 24 * 3_600_000;
/// How many gaps one transaction tombstones: records wait meanwhile.
const FORGET_AT_ONCE: usize = 1000;

/// What is known of a slot's gaps: every open one, and the last settled ones.
#[derive(Debug)]
pub struct GapBook {
    place: TopicPartition,
    records: BTreeMap<GapKey, GapRecord>,
    /// Settled ones before those: what tells whether they may be forgotten.
    older: BTreeMap<GapKey, Older>,
}

/// A partition as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// Which life of it.
    pub incarnation: u32,
    /// Where its log starts on the source, where that is known.
    pub source_start: Option<SourceOffset>,
}

#[derive(Debug)]
struct Older {
    cause: GapCause,
    end: Option<SourceOffset>,
    found_at_ms: i64,
}

impl Older {
    const fn of(record: &GapRecord) -> Self {
        Self {
            cause: record.cause,
            end: record.end,
            found_at_ms: record.found_at_ms,
        }
    }

    /// Whether nobody can ask for what it tells any more: it was settled long ago, and lies in an earlier life of the
    /// partition or below the start of the source's log.
    fn is_past(&self, key: &GapKey, now_ms: i64, present: Present) -> bool {
        let below = |start: SourceOffset| key.start.max(self.end.unwrap_or(key.start)) <= start;
        self.found_at_ms.saturating_add(SETTLED_KEPT_MS) < now_ms
            && (key.incarnation < present.incarnation || present.source_start.is_some_and(below))
    }
}

impl GapBook {
    /// Reads the slot's gaps to the high watermark, committed records only.
    ///
    /// # Errors
    /// The cluster's answer, or a record that this version cannot read.
    pub fn load(cluster: &Cluster, topics: &StateTopics, slot: Slot) -> Result<Self, StateError> {
        let mut book = Self {
            place: place_of(topics.gaps(), slot),
            records: BTreeMap::new(),
            older: BTreeMap::new(),
        };
        for (key, record) in read_gaps(cluster, topics, slot)? {
            book.note(key, record);
        }
        Ok(book)
    }

    /// The open gap in front of which a partition stands.
    pub fn open(&self, partition: &TopicPartition) -> Option<(&GapKey, &GapRecord)> {
        self.records
            .iter()
            .find(|(key, record)| key.partition == *partition && record.is_open())
    }

    /// One gap.
    pub fn get(&self, key: &GapKey) -> Option<&GapRecord> {
        self.records.get(key)
    }

    /// Whether this gap was found with this cause, and settled.
    pub fn is_settled(&self, key: &GapKey, cause: GapCause) -> bool {
        match (self.records.get(key), self.older.get(key)) {
            (Some(record), _) => !record.is_open() && record.cause == cause,
            (None, Some(older)) => older.cause == cause,
            (None, None) => false,
        }
    }

    /// Settled gaps that nobody can ask for any more at `now_ms`, milliseconds since 1970, some of them if there are many.
    pub fn past(
        &self,
        now_ms: i64,
        present: &dyn Fn(&TopicPartition) -> Option<Present>,
    ) -> Vec<GapKey> {
        let is_past = |key: &GapKey, gap: &Older| {
            present(&key.partition).is_some_and(|present| gap.is_past(key, now_ms, present))
        };
        let settled = self.records.iter().filter(|(_, record)| !record.is_open());
        let settled = settled.filter(|(key, record)| is_past(key, &Older::of(record)));
        let older = self.older.iter().filter(|(key, gap)| is_past(key, gap));
        let past = settled.map(|(key, _)| key).chain(older.map(|(key, _)| key));
        past.take(FORGET_AT_ONCE).cloned().collect()
    }

    /// What to write so that a gap is forgotten.
    pub fn tombstone(&self, key: &GapKey) -> StateWrite {
        StateWrite {
            kind: GAPS,
            place: self.place.clone(),
            key: key.encode(),
            value: None,
        }
    }

    /// A tombstone was written.
    pub fn forget(&mut self, key: &GapKey) {
        self.records.remove(key);
        self.older.remove(key);
    }

    /// Every open one, and the last settled ones.
    pub fn all(&self) -> &BTreeMap<GapKey, GapRecord> {
        &self.records
    }

    /// What to write for a gap.
    pub fn write(&self, key: &GapKey, record: &GapRecord) -> StateWrite {
        StateWrite {
            kind: GAPS,
            place: self.place.clone(),
            key: key.encode(),
            value: Some(record.encode()),
        }
    }

    /// Takes in what was written or read.
    pub fn note(&mut self, key: GapKey, record: GapRecord) {
        self.older.remove(&key);
        self.records.insert(key, record);
        let settled = self
            .records
            .values()
            .filter(|record| !record.is_open())
            .count();
        if settled > SETTLED_MAX {
            let oldest = self
                .records
                .iter()
                .filter(|(_, record)| !record.is_open())
                .min_by_key(|(_, record)| record.found_at_ms)
                .map(|(key, _)| key.clone());
            if let Some((key, record)) = oldest.and_then(|key| self.records.remove_entry(&key)) {
                self.older.insert(key, Older::of(&record));
            }
        }
    }
}
