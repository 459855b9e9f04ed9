//! Telling what is wrong with a copy.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use super::Seen;

/// A topic's copy against its source, over all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Records that `read_committed` readers of the source see.
    pub produced: u64,
    /// Records that `read_committed` readers of the target see.
    pub copied: u64,
    /// On the source, not on the target.
    pub lost: u64,
    /// On the target more often than on the source.
    pub doubled: u64,
    /// On the target after a record that follows it on the source.
    pub out_of_order: u64,
    /// On both, but key, value, headers or timestamp differ.
    pub altered: u64,
    /// On the target, never on the source's partition.
    pub foreign: u64,
    /// Seen on the target by `read_uncommitted` readers only: copies that a crash aborted, or that
    /// are not committed yet.
    pub aborted_copies: u64,
}

impl Comparison {
    /// Nothing is lost, doubled, out of order, altered or foreign. Aborted copies do not count.
    pub fn is_exact(&self) -> bool {
        self.lost == 0 && !self.is_beyond_repair()
    }

    /// Something is wrong that waiting will not mend.
    pub fn is_beyond_repair(&self) -> bool {
        self.doubled + self.out_of_order + self.altered + self.foreign > 0
    }

    /// Compares partition by partition.
    pub(crate) fn of(source: &BTreeMap<i32, Vec<Seen>>, target: &BTreeMap<i32, Vec<Seen>>) -> Self {
        let mut whole = Self::default();
        for (partition, seen) in source {
            whole.partition(seen, target.get(partition).map_or(&[], Vec::as_slice));
        }
        for (_, copies) in target
            .iter()
            .filter(|(partition, _)| !source.contains_key(partition))
        {
            whole.partition(&[], copies);
        }
        whole
    }

    fn partition(&mut self, source: &[Seen], target: &[Seen]) {
        self.produced += source.len() as u64;
        self.copied += target.len() as u64;
        let same = |(a, b): &(&Seen, &Seen)| a.identity == b.identity && a.content == b.content;
        let equal = source.iter().zip(target).take_while(same).count();

        // Where on the source each identity stands; one that stands there twice has two places.
        let mut places: HashMap<u64, VecDeque<usize>> = HashMap::new();
        for (index, seen) in source.iter().enumerate().skip(equal) {
            places.entry(seen.identity).or_default().push_back(index);
        }
        let known: HashMap<u64, ()> = match target.len() > equal {
            true => source.iter().map(|seen| (seen.identity, ())).collect(),
            false => HashMap::new(),
        };
        let mut furthest = None;
        for copy in target.iter().skip(equal) {
            let Some(index) = places.get_mut(&copy.identity).and_then(VecDeque::pop_front) else {
                match known.contains_key(&copy.identity) {
                    true => self.doubled += 1,
                    false => self.foreign += 1,
                }
                continue;
            };
            if source
                .get(index)
                .is_some_and(|seen| seen.content != copy.content)
            {
                self.altered += 1;
            }
            if Some(index) < furthest {
                self.out_of_order += 1;
            }
            furthest = furthest.max(Some(index));
        }
        self.lost += places.values().map(|left| left.len() as u64).sum::<u64>();
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            produced,
            copied,
            lost,
            doubled,
            out_of_order,
            altered,
            foreign,
            aborted_copies,
        } = self;
        write!(
            f,
            "{produced} produced, {copied} copied, {lost} lost, {doubled} doubled, {out_of_order} out of order, \
             {altered} altered, {foreign} foreign, {aborted_copies} aborted copies"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(numbers: &[u64]) -> BTreeMap<i32, Vec<Seen>> {
        let seen = numbers.iter().enumerate();
        let seen = seen.map(|(at, number)| Seen {
            offset: at as i64,
            identity: number / 10,
            content: *number,
        });
        BTreeMap::from([(0, seen.collect())])
    }

    fn judge(source: &[u64], target: &[u64]) -> Comparison {
        Comparison::of(&records(source), &records(target))
    }

    #[test]
    fn an_exact_copy_is_exact_and_repeated_content_is_no_fault() {
        assert!(judge(&[10, 20, 30], &[10, 20, 30]).is_exact());
        assert!(judge(&[10, 10, 30], &[10, 10, 30]).is_exact());
        assert!(judge(&[], &[]).is_exact());
    }

    #[test]
    fn each_fault_is_found_and_named() {
        assert_eq!(judge(&[10, 20, 30], &[10, 30]).lost, 1);
        assert_eq!(judge(&[10, 20, 30], &[10, 20]).lost, 1);
        assert_eq!(judge(&[10, 20, 30], &[10, 20, 20, 30]).doubled, 1);
        assert_eq!(judge(&[10, 20, 30], &[10, 20, 30, 10]).doubled, 1);
        assert_eq!(judge(&[10, 20, 30], &[10, 30, 20]).out_of_order, 1);
        assert_eq!(judge(&[10, 20, 30], &[10, 21, 30]).altered, 1);
        assert_eq!(judge(&[10, 20, 30], &[10, 20, 30, 40]).foreign, 1);
        assert_eq!(judge(&[10, 10], &[10]).lost, 1);
    }
}
