//! Every sale that was acknowledged, held against where it is: counted from the shop's own log.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use understudy_tests::chaos::Result;
use understudy_tests::{Cluster, Heard, LoggedProducer};

use crate::sales::Sale;

/// Offsets and numbers of each partition, in the topic's order.
pub type Shelf = BTreeMap<i32, Vec<(i64, u64)>>;

/// What a topic holds, as a `read_committed` reader sees it.
pub fn shelf(cluster: &Cluster, topic: &str) -> Result<Shelf> {
    let mut shelf = Shelf::new();
    for record in cluster.read_all(topic)? {
        if let Some(number) = LoggedProducer::number(Some(&record.key)) {
            let here = shelf.entry(record.partition).or_default();
            here.push((record.offset, number));
        }
    }
    Ok(shelf)
}

/// How many sales a shelf holds.
pub fn count(shelf: &Shelf) -> u64 {
    shelf.values().map(|here| here.len() as u64).sum()
}

/// Where acknowledged sales are.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// Acknowledged to the shop, in all of its lives.
    pub acknowledged: u64,
    /// Of these: in the topic.
    pub in_topic: u64,
    /// Of these: put aside.
    pub in_tail: u64,
    /// Of these: in neither.
    pub missing: u64,
    /// Of these: in both, or in one of them more than once.
    pub twice: u64,
    /// Behind one with a higher number.
    pub out_of_order: u64,
    /// Of these nobody was told anything: written, and the answer lost.
    pub unheard: u64,
}

impl Audit {
    /// Holds the shop's logs against a topic and what was put aside of it.
    pub fn of(logs: &[&Heard], topic: &Shelf, tail: &Shelf) -> Self {
        let mut sold = BTreeMap::<Sale, (u64, u64)>::new();
        for log in logs {
            let places = log.acknowledged.iter();
            sold.extend(places.map(|((partition, _), number)| ((*partition, *number), (0, 0))));
        }
        let mut audit = Self {
            acknowledged: sold.len() as u64,
            ..Self::default()
        };
        for (shelf, is_tail) in [(topic, false), (tail, true)] {
            for (partition, here) in shelf {
                let mut highest = None;
                for (_, number) in here {
                    if highest.is_some_and(|highest| *number < highest) {
                        audit.out_of_order += 1;
                    }
                    highest = highest.max(Some(*number));
                    match sold.get_mut(&(*partition, *number)) {
                        Some((_, in_tail)) if is_tail => *in_tail += 1,
                        Some((in_topic, _)) => *in_topic += 1,
                        None => audit.unheard += 1,
                    }
                }
            }
        }
        for found in sold.values() {
            match found {
                (0, 0) => audit.missing += 1,
                (1, 0) => audit.in_topic += 1,
                (0, 1) => audit.in_tail += 1,
                _ => audit.twice += 1,
            }
        }
        audit
    }

    /// Whether each is in exactly one of the two, in order, and nothing is there that nobody sent.
    pub fn holds(&self, logs_unheard: u64) -> bool {
        self.missing + self.twice + self.out_of_order == 0 && self.unheard <= logs_unheard
    }
}

/// How a group went on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WentOn {
    /// Read a second time, or read although it was never in the group's way.
    pub re_read: u64,
    /// Never read.
    pub skipped: u64,
}

impl WentOn {
    /// A group had read `before`, in the order of `order`, and read `after` elsewhere.
    pub fn reading(before: &[Sale], after: &[Sale], order: &Shelf) -> Self {
        let mut went = Self::default();
        for (partition, here) in order {
            let of = |sales: &[Sale]| -> Vec<u64> {
                let own = sales.iter().filter(|(it, _)| it == partition);
                own.map(|(_, number)| *number).collect()
            };
            let (before, after) = (of(before), of(after));
            let known: BTreeSet<u64> = before.into_iter().collect();
            let last = here.iter().rposition(|(_, number)| known.contains(number));
            let left = here.get(last.map_or(0, |last| last + 1)..);
            went.add(left.unwrap_or_default(), &after);
        }
        went
    }

    /// The same of a group that nobody was in: it would read `at_home` from these places on, and `order` from those.
    pub fn standing(
        at_home: (&Shelf, &BTreeMap<i32, i64>),
        order: (&Shelf, &BTreeMap<i32, i64>),
    ) -> Self {
        let mut went = Self::default();
        for partition in order.0.keys() {
            let from = |(shelf, places): (&Shelf, &BTreeMap<i32, i64>)| -> Vec<(i64, u64)> {
                let (here, place) = (shelf.get(partition), places.get(partition));
                let here = here.into_iter().flatten();
                // Without a place a consumer would begin at the beginning.
                here.filter(|(offset, _)| offset >= place.unwrap_or(&0))
                    .copied()
                    .collect()
            };
            let numbers: Vec<u64> = from(at_home).iter().map(|(_, number)| *number).collect();
            went.add(&from(order), &numbers);
        }
        went
    }

    /// One partition: what was left to be read, and what was read.
    fn add(&mut self, left: &[(i64, u64)], read: &[u64]) {
        let mut left = left.iter().map(|(_, number)| *number).peekable();
        if read.is_empty() {
            // Who reads nothing skips what comes next.
            self.skipped += u64::from(left.peek().is_some());
        }
        for number in read {
            while left.next_if(|next| next < number).is_some() {
                self.skipped += 1;
            }
            if left.next_if(|next| next == number).is_none() {
                self.re_read += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(numbers: &[u64]) -> Shelf {
        let here = (0..).zip(numbers.iter().copied()).collect();
        Shelf::from([(0, here)])
    }

    fn log(numbers: &[u64]) -> Heard {
        let places = (0..).map(|offset| (0, offset));
        Heard {
            acknowledged: places.zip(numbers.iter().copied()).collect(),
            refused: 0,
            unheard: 0,
        }
    }

    #[test]
    fn each_sale_is_in_one_place() {
        let audit = |topic: &[u64], tail: &[u64]| {
            Audit::of(
                &[&log(&[1, 2, 3]), &log(&[10])],
                &shelf(topic),
                &shelf(tail),
            )
        };
        let good = audit(&[1, 2, 10], &[3]);
        assert_eq!((good.in_topic, good.in_tail, good.holds(0)), (3, 1, true));
        assert_eq!(audit(&[1, 10], &[3]).missing, 1);
        assert_eq!(audit(&[1, 2, 3, 10], &[3]).twice, 1);
        assert_eq!(audit(&[1, 2, 2, 10], &[3]).twice, 1);
        assert_eq!(audit(&[2, 1, 10], &[3]).out_of_order, 1);
        let unheard = audit(&[1, 2, 4, 10], &[3]);
        assert!(unheard.holds(1) && !unheard.holds(0));
    }

    #[test]
    fn a_group_goes_on_at_the_very_next() {
        let order = shelf(&[1, 2, 3, 4, 5]);
        let sales =
            |numbers: &[u64]| -> Vec<Sale> { numbers.iter().map(|number| (0, *number)).collect() };
        let went = |before: &[u64], after: &[u64]| {
            let went = WentOn::reading(&sales(before), &sales(after), &order);
            (went.re_read, went.skipped)
        };
        assert_eq!(went(&[1, 2], &[3, 4]), (0, 0));
        assert_eq!(went(&[1, 2], &[2, 3]), (1, 0));
        assert_eq!(went(&[1, 2], &[4]), (0, 1));
        assert_eq!(went(&[1, 2], &[]), (0, 1));
        assert_eq!(went(&[1, 2, 3, 4, 5], &[]), (0, 0));
        let places = |place: i64| BTreeMap::from([(0, place)]);
        let stands = |home: i64, there: i64| {
            let went = WentOn::standing((&order, &places(home)), (&order, &places(there)));
            (went.re_read, went.skipped)
        };
        assert_eq!(stands(2, 2), (0, 0));
        assert_eq!(stands(1, 2), (1, 0));
        assert_eq!(stands(3, 2), (0, 1));
    }
}
