//! What operators answered for halted partitions, on its way from the gaps topic to the slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use understudy_domain::{GapKey, GapRecord, Resolution, Slot, StateTopics, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// Answers wanted and given. Slots write what they wait for and take answers; discovery's thread reads the topic and
/// writes answers. One mutex, held for look-ups only.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// What halted slots wait for.
    wanted: BTreeMap<GapKey, Wanted>,
    /// By partition of the gaps topic: one past the last record that was read.
    seen: BTreeMap<i32, i64>,
}

#[derive(Debug)]
struct Wanted {
    slot: Slot,
    answer: Option<Resolution>,
}

impl Answers {
    /// `slot` waits for an answer.
    pub fn want(&self, key: &GapKey, slot: Slot) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Read once more from the beginning: the answer may have come before the question was known here.
        inner.seen.remove(&partition_of(slot));
        inner
            .wanted
            .entry(key.clone())
            .or_insert(Wanted { slot, answer: None });
    }

    /// Nobody waits any more.
    pub fn forget(&self, key: &GapKey) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.wanted.remove(key);
    }

    /// The slot was given up: none of its questions is open here.
    pub fn forget_slot(&self, slot: Slot) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.wanted.retain(|_, wanted| wanted.slot != slot);
    }

    /// Answers for a slot, each given once.
    pub fn take(&self, slot: Slot) -> Vec<(GapKey, Resolution)> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_slot = inner
            .wanted
            .iter_mut()
            .filter(|(_, wanted)| wanted.slot == slot);
        of_slot
            .filter_map(|(key, wanted)| Some((key.clone(), wanted.answer.take()?)))
            .collect()
    }

    /// Reads what came, if anything is waited for; whom it is for.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn look(&self, cluster: &Cluster, topics: &StateTopics) -> Result<BTreeSet<Slot>, Fault> {
        let mut answered = BTreeSet::new();
        let slots: Vec<i32> = {
            let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut slots: Vec<_> = inner
                .wanted
                .values()
                .map(|wanted| partition_of(wanted.slot))
                .collect();
            slots.dedup();
            slots
        };
        for slot in slots {
            let place = TopicPartition::new(topics.gaps(), slot);
            let end = cluster
                .edges([&place], Edge::HighWatermark, WITHIN)?
                .remove(&place);
            let Some(Ok(end)) = end else { continue };
            let from = self.seen(slot);
            if from >= end {
                continue;
            }
            let mut found = Vec::new();
            cluster.read_to_end(&place, from, WITHIN, |(key, value, _)| {
                // A record that cannot be read is the slot's to report, at its next take-over.
                if let (Ok(key), Some(Ok(record))) = (
                    GapKey::decode(&key),
                    value.map(|value| GapRecord::decode(&value)),
                ) {
                    found.push((key, record));
                }
            })?;
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.seen.insert(slot, end);
            for (key, record) in found {
                if let Some(wanted) = inner.wanted.get_mut(&key) {
                    wanted.answer = record.resolution.filter(|_| record.is_open());
                    answered.extend(wanted.answer.as_ref().map(|_| wanted.slot));
                }
            }
        }
        Ok(answered)
    }

    fn seen(&self, slot: i32) -> i64 {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seen.get(&slot).copied().unwrap_or(0)
    }
}

fn partition_of(slot: Slot) -> i32 {
    i32::try_from(slot.get()).unwrap_or(i32::MAX)
}
