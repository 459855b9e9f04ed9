//! A ledger of which each cluster of the pair holds a copy, because each of them may be lost.
//!
//! Two copies cannot outvote each other. So which one has *the last word* follows from what the ledger says: that of the
//! cluster which the recovery under way makes active, or, while none is, of the one that stands by, where the next would
//! go. A change is made there first, on condition of what it holds there; the other copy follows if it can.
//!
//! Invariants, whoever reaches whom:
//! a. what the ledger says is changed once: two who change the same meet where it has the last word;
//! b. a copy that has the last word by what itself says is the newest there is, since it could be passed nowhere else;
//! c. a recovery needs the cluster that it makes active, and no other, to be changed at all;
//! d. who reaches only a copy that is behind reads what was, and can change nothing.

use std::collections::BTreeMap;

use crate::pair::Pair;
use crate::{Alias, Ledger};

/// The copies that answered.
#[derive(Clone, Debug)]
pub struct LedgerCopies<'a> {
    pair: &'a Pair,
    /// By cluster; nothing in it where it holds none yet.
    copies: BTreeMap<Alias, Option<Ledger>>,
}

/// Two copies of which each says that it is the newest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ledgers of pair {pair} contradict each other: on {one} {one_active} is active at {one_epoch}, version \
     {one_version}; on {other} {other_active} is active at {other_epoch}, version {other_version}. Find out which cluster \
     applications are at work on, delete the ledger's topic on the cluster whose ledger is wrong, and start again",
    one_active = .ledgers.0.active,
    one_epoch = .ledgers.0.epoch,
    one_version = .ledgers.0.version,
    other_active = .ledgers.1.active,
    other_epoch = .ledgers.1.epoch,
    other_version = .ledgers.1.version,
)]
pub struct Contradiction {
    pair: crate::PairName,
    one: Alias,
    other: Alias,
    ledgers: Box<(Ledger, Ledger)>,
}

impl<'a> LedgerCopies<'a> {
    /// What answered, by cluster.
    pub const fn new(pair: &'a Pair, copies: BTreeMap<Alias, Option<Ledger>>) -> Self {
        Self { pair, copies }
    }

    /// What counts of them; nothing before the first change.
    ///
    /// # Errors
    /// They contradict each other: somebody else wrote one of them, or a cluster has lost what it took.
    pub fn newest(&self) -> Result<Option<&Ledger>, Contradiction> {
        let mut held: Vec<(&Alias, &Ledger)> = self
            .copies
            .iter()
            .filter_map(|(alias, ledger)| Some((alias, ledger.as_ref()?)))
            .collect();
        held.sort_by_key(|(_, ledger)| ledger.version);
        for pair in held.windows(2) {
            let [(older_at, older), (newer_at, newer)] = pair else {
                continue;
            };
            if older == newer {
                continue;
            }
            if older.version == newer.version || self.last_word(older) == Some(*older_at) {
                return Err(Contradiction {
                    pair: self.pair.name.clone(),
                    one: (*older_at).clone(),
                    other: (*newer_at).clone(),
                    ledgers: Box::new(((*older).clone(), (*newer).clone())),
                });
            }
        }
        Ok(held.last().map(|(_, ledger)| *ledger))
    }

    /// What each holds.
    pub fn held(&self) -> impl Iterator<Item = (&Alias, Option<&Ledger>)> {
        self.copies
            .iter()
            .map(|(alias, ledger)| (alias, ledger.as_ref()))
    }

    /// The cluster whose copy is changed first, for a ledger that says this.
    pub fn last_word<'b>(&'b self, ledger: &'b Ledger) -> Option<&'b Alias> {
        match ledger.running() {
            Some(running) => Some(&running.target),
            None => self.pair.other(&ledger.active),
        }
    }
}
