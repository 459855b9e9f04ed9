//! The gaps of one slot's partitions, as stored.

use std::collections::BTreeMap;

use understudy_domain::{
    GapCause, GapKey, GapRecord, GapState, Slot, SourceOffset, StateTopics, TopicPartition,
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
    state: GapState,
    end: Option<SourceOffset>,
    found_at_ms: i64,
}

impl Older {
    const fn of(record: &GapRecord) -> Self {
        Self {
            cause: record.cause,
            state: record.state,
            end: record.end,
            found_at_ms: record.found_at_ms,
        }
    }

    /// Where copying went on behind it, if that was without a copy of it.
    const fn passed_to(&self) -> Option<SourceOffset> {
        match self.state {
            GapState::Skipped | GapState::Parked => self.end,
            GapState::Halted | GapState::Continued | GapState::Moved | GapState::Closed => None,
        }
    }

    /// Whether nobody can ask for what it tells any more: it was settled long ago, and lies in an earlier life of the
    /// partition or below the start of the source's log. Where nothing follows a topic that was made again without the
    /// partition, its settled gap is what says so, and its life the present one for good.
    fn is_past(&self, key: &GapKey, now_ms: i64, present: Present) -> bool {
        let is_the_end = self.cause == GapCause::Recreated;
        let end = self.end.unwrap_or(key.start);
        let below = |start: SourceOffset| !is_the_end && key.start.max(end) <= start;
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

    /// Where the first copy may stand at `start` or behind it, in this life of the partition: gaps that begin there and were
    /// passed have none.
    pub fn first_behind_passed(
        &self,
        partition: &TopicPartition,
        incarnation: u32,
        start: SourceOffset,
    ) -> SourceOffset {
        let mut key = GapKey {
            partition: partition.clone(),
            incarnation,
            start,
        };
        let end = |key: &GapKey| match (self.records.get(key), self.older.get(key)) {
            (Some(record), _) => Older::of(record).passed_to(),
            (None, older) => older.and_then(Older::passed_to),
        };
        // Each end lies behind its start, so that comes to one.
        while let Some(end) = end(&key).filter(|end| *end > key.start) {
            key.start = end;
        }
        key.start
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 100 * SETTLED_KEPT_MS;

    fn book() -> GapBook {
        GapBook {
            place: TopicPartition::new("understudy.use1-usw2.gaps", 0),
            records: BTreeMap::new(),
            older: BTreeMap::new(),
        }
    }

    fn key(number: i32, incarnation: u32, start: i64) -> GapKey {
        GapKey {
            partition: TopicPartition::new("orders", number),
            incarnation,
            start: SourceOffset::new(start),
        }
    }

    fn settled(cause: GapCause, state: GapState, end: Option<i64>) -> GapRecord {
        GapRecord {
            end: end.map(SourceOffset::new),
            cause,
            reason: String::new(),
            found_at_ms: 0,
            state,
            resolution: None,
        }
    }

    #[test]
    fn what_was_passed_before_the_first_copy_is_not_said_to_be_lost_with_the_copies() {
        use GapState as State;
        let mut book = book();
        book.note(
            key(0, 1, 0),
            settled(GapCause::Deleted, State::Skipped, Some(40)),
        );
        book.note(
            key(0, 1, 40),
            settled(GapCause::Refused, State::Parked, Some(41)),
        );
        // Copied after all, another life's, another partition's, one without an end.
        book.note(
            key(0, 1, 41),
            settled(GapCause::Refused, State::Closed, Some(42)),
        );
        book.note(
            key(0, 0, 41),
            settled(GapCause::Deleted, State::Skipped, Some(50)),
        );
        book.note(
            key(1, 1, 41),
            settled(GapCause::Deleted, State::Skipped, Some(50)),
        );
        book.note(
            key(2, 0, 7),
            settled(GapCause::Recreated, State::Continued, None),
        );
        let first = |number, incarnation, start| {
            let partition = TopicPartition::new("orders", number);
            book.first_behind_passed(&partition, incarnation, SourceOffset::new(start))
                .get()
        };
        assert_eq!(first(0, 1, 0), 41);
        assert_eq!(first(0, 1, 5), 5, "no gap begins there");
        assert_eq!(first(0, 0, 0), 0);
        assert_eq!(first(2, 0, 7), 7);
    }

    #[test]
    fn what_was_passed_is_known_however_many_gaps_came_since() {
        let mut book = book();
        for start in 0..400_i64 {
            let mut record = settled(GapCause::Refused, GapState::Skipped, Some(start + 1));
            record.found_at_ms = start;
            book.note(key(0, 0, start), record);
        }
        assert!(book.all().len() < 400);
        let partition = TopicPartition::new("orders", 0);
        let first = book.first_behind_passed(&partition, 0, SourceOffset::ZERO);
        assert_eq!(first.get(), 400);
    }

    #[test]
    fn a_settled_gap_is_forgotten_unless_it_says_that_nothing_follows() {
        let mut book = book();
        let deleted = key(0, 0, 10);
        let vanished = key(1, 0, 10);
        let before = key(2, 0, 10);
        book.note(
            deleted.clone(),
            settled(GapCause::Deleted, GapState::Skipped, Some(20)),
        );
        let recreated = || settled(GapCause::Recreated, GapState::Continued, None);
        book.note(vanished.clone(), recreated());
        book.note(before.clone(), recreated());
        // The source's log began, when last seen, behind all that was copied.
        let present = |partition: &TopicPartition| {
            Some(Present {
                incarnation: u32::from(partition.partition == 2),
                source_start: Some(SourceOffset::new(30)),
            })
        };
        assert_eq!(book.past(NOW_MS, &present), [deleted, before]);
        assert!(book.is_settled(&vanished, GapCause::Recreated));
        assert!(book.past(SETTLED_KEPT_MS, &present).is_empty(), "too early");
    }
}
