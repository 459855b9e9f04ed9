//! Where another mirror's copies end, told from contents alone.
//!
//! ```text
//! source        … N │ P  P+1 P+2 P+3 …        N: the last record that the mirror stored as copied; P: the next one
//! target, clean … N │
//! target, crash … N │ P  P+1                  copied, and not stored as copied any more
//! crash twice   … N │ P  P+1 │ P  P+1 P+2     began again at P
//! ```
//! A mirror that copies at least once begins at P whenever it starts, and goes on without a hole. So the target's tail
//! is read as a sequence of such beginnings, by an automaton whose state is how many records from P on its last run has
//! copied. It may be in several states where records are alike; only a single last state is an answer.

use std::collections::BTreeSet;

/// How many states are followed at once; more are of records so much alike that nothing can be told.
const STATES_MAX: usize = 64;

/// Why it cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeamDoubt {
    /// The target's last records are not the source's.
    #[error("the last records on the target are not those of the source at the stored position")]
    NoMatch,
    /// Several places fit.
    #[error("records around the stored position are alike, and more than one place fits")]
    Several,
    /// The target holds nothing to compare with.
    #[error("the target holds no copy to compare with")]
    NothingLeft,
}

/// What is compared: contents of records, as hashes.
#[derive(Clone, Copy, Debug)]
pub struct SeamLook<'a> {
    /// The record before the stored position, if the source still holds it.
    pub anchor: Option<u64>,
    /// The source's records from the stored position on, in order.
    pub after: &'a [u64],
    /// Whether `after` goes to the source's end.
    pub after_is_whole: bool,
    /// Whether the source's log begins at the stored position or behind it: retention took what lay before, and nothing
    /// was compacted away in between.
    pub begins_there: bool,
    /// The target's last records, in order.
    pub tail: &'a [u64],
}

/// How many of the records from the stored position on have a copy already.
///
/// # Errors
/// It cannot be told from these records; with more of them it may be.
pub fn seam(look: &SeamLook<'_>) -> Result<usize, SeamDoubt> {
    let SeamLook {
        anchor,
        after,
        after_is_whole,
        begins_there,
        tail,
    } = *look;
    // Nothing came after the stored position, so nothing can have been copied beyond it.
    if after.is_empty() && after_is_whole {
        return Ok(0);
    }
    let Some(last) = tail.last() else {
        return Err(SeamDoubt::NothingLeft);
    };
    if anchor.is_none() && begins_there && after_is_whole && !after.contains(last) {
        return Ok(0);
    }
    let first = after.first();
    let mut states = BTreeSet::new();
    for copy in tail {
        let begun = !states.is_empty() || anchor.is_none();
        let mut next: BTreeSet<usize> = states
            .iter()
            .filter(|copied: &&usize| after.get(**copied) == Some(copy))
            .map(|copied| copied + 1)
            .collect();
        if begun && first == Some(copy) {
            next.insert(1);
        }
        if anchor == Some(*copy) {
            next.insert(0);
        }
        if next.len() > STATES_MAX {
            return Err(SeamDoubt::Several);
        }
        states = next;
    }
    let mut ends = states.into_iter();
    match (ends.next(), ends.next()) {
        (Some(copied), None) => Ok(copied),
        (Some(_), Some(_)) => Err(SeamDoubt::Several),
        (None, _) => Err(SeamDoubt::NoMatch),
    }
}
