//! Which keys were written on both sides since the cut, counted within a bound.

use std::collections::{HashMap, HashSet};

use super::TailDigest;

/// The keys of one topic's tail, and which of them were written on the active cluster as well. It remembers digests and
/// not keys, at most as many as it was made for; beyond that its counts are lower bounds.
#[derive(Clone, Debug)]
pub struct KeyCensus {
    max: usize,
    /// By key: the first partition whose tail has it, and whether it was met on the active cluster.
    keys: HashMap<u128, (i32, bool)>,
    /// Further partitions whose tails have a key: few, where producers agree on how keys are spread.
    elsewhere: HashSet<(u128, i32)>,
    /// Whether everything was noted and met.
    whole: bool,
}

/// How many keys of a partition's tail there are, and on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCount {
    /// Different keys in the tail.
    pub distinct: u64,
    /// Those of them that were written on the active cluster since the cut.
    pub on_both: u64,
}

impl KeyCensus {
    /// A census that remembers at most `max` keys.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            keys: HashMap::new(),
            elsewhere: HashSet::new(),
            whole: true,
        }
    }

    /// A key in the tail of a partition.
    pub fn note(&mut self, partition: i32, key: &[u8]) {
        let key = TailDigest::of(key).get();
        let has_room = self.keys.len() + self.elsewhere.len() < self.max;
        match self.keys.get(&key) {
            Some((first, _)) if *first == partition => {}
            Some(_) if self.elsewhere.contains(&(key, partition)) => {}
            Some(_) if has_room => {
                self.elsewhere.insert((key, partition));
            }
            None if has_room => {
                self.keys.insert(key, (partition, false));
            }
            Some(_) | None => self.whole = false,
        }
    }

    /// A key that was written on the active cluster since the cut.
    pub fn meet(&mut self, key: &[u8]) {
        if let Some((_, met)) = self.keys.get_mut(&TailDigest::of(key).get()) {
            *met = true;
        }
    }

    /// Not everything that was written on the active cluster was looked at.
    pub fn leave_off(&mut self) {
        self.whole = false;
    }

    /// Whether no key was noted: then there is nothing to be met.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether counts are exact; otherwise there are at least so many.
    pub const fn is_exact(&self) -> bool {
        self.whole
    }

    /// What it comes to, by partition.
    pub fn counts(&self) -> HashMap<i32, KeyCount> {
        let firsts = self.keys.values().copied();
        let others = self.elsewhere.iter().map(|(key, partition)| {
            let met = self.keys.get(key).is_some_and(|(_, met)| *met);
            (*partition, met)
        });
        let mut counts: HashMap<i32, KeyCount> = HashMap::new();
        for (partition, met) in firsts.chain(others) {
            let count = counts.entry(partition).or_default();
            count.distinct += 1;
            count.on_both += u64::from(met);
        }
        counts
    }
}
