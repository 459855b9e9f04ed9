//! The gaps of one slot's partitions, as stored.

use std::collections::BTreeMap;

use understudy_domain::{GapKey, GapRecord, Slot, StateTopics, TopicPartition};
use understudy_kafka::Cluster;
use understudy_kafka::plane::StateWrite;

use crate::slot_state::GAPS;
use crate::stored_state::{StateError, place_of, read_gaps};

/// How many settled gaps are remembered, for the page.
const SETTLED_MAX: usize = 100;

/// What is known of a slot's gaps: every open one, and the last settled ones.
#[derive(Debug)]
pub struct GapBook {
    place: TopicPartition,
    records: BTreeMap<GapKey, GapRecord>,
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
            if let Some(oldest) = oldest {
                self.records.remove(&oldest);
            }
        }
    }
}
