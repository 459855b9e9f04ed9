//! The ledger in both clusters of a pair. Which copy has the last word is decided by [`LedgerCopies`]; here it is asked
//! and changed.
//!
//! A cluster that is lost is asked within a limit, and then let be for a while: every step reads the ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use understudy_recovery::pair::Pair;
use understudy_recovery::{Alias, Ledger, LedgerCopies, PairName};
use understudy_shell::world::LedgerStore;
use understudy_shell::{PortError, PortErrorKind, bounded};

/// How long a copy has to say what it holds.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// How long one that did not is let be while the other answers.
const REST: Duration = Duration::from_secs(30);

/// One cluster's copy. Its calls are bounded.
pub trait LedgerCopy: Send + Sync {
    /// What it holds.
    ///
    /// # Errors
    /// The cluster did not answer, or holds something else.
    fn read(&self, within: Duration) -> Result<Option<Ledger>, PortError>;

    /// Holds `next` from now on, if `may` says so of what it holds. Of two who do so at once one fails.
    ///
    /// # Errors
    /// Why it may not; or the cluster did not answer.
    fn change(
        &self,
        may: &dyn Fn(Option<&Ledger>) -> Result<(), PortError>,
        next: &Ledger,
    ) -> Result<(), PortError>;
}

/// The ledger of a pair, a copy on each of its clusters.
pub struct LedgerOnBoth {
    pair: Arc<Pair>,
    copies: BTreeMap<Alias, Kept>,
}

struct Kept {
    copy: Arc<dyn LedgerCopy>,
    /// Since when it is let be. Held for a look at it.
    silent_since: Mutex<Option<Instant>>,
}

impl LedgerOnBoth {
    /// Of these copies.
    pub fn new(pair: Arc<Pair>, copies: BTreeMap<Alias, Arc<dyn LedgerCopy>>) -> Self {
        let kept = |copy| Kept {
            copy,
            silent_since: Mutex::new(None),
        };
        let copies = copies.into_iter().map(|(alias, copy)| (alias, kept(copy)));
        Self {
            pair,
            copies: copies.collect(),
        }
    }

    /// What every copy that answers holds; both are asked at once.
    fn look(&self) -> Result<LedgerCopies<'_>, PortError> {
        let awake = |kept: &Kept| !kept.rests();
        let any_awake = self.copies.values().any(awake);
        let asked: Vec<_> = self
            .copies
            .iter()
            .filter(|(_, kept)| awake(kept) || !any_awake)
            .map(|(alias, kept)| {
                let copy = Arc::clone(&kept.copy);
                (alias, kept, bounded::start(move || copy.read(LOOK_WITHIN)))
            })
            .collect();
        let until = Instant::now() + LOOK_WITHIN;
        let (mut held, mut silent) = (BTreeMap::new(), None);
        for (alias, kept, pending) in asked {
            let left = until.saturating_duration_since(Instant::now());
            let answer = pending.wait(left.max(Duration::from_millis(1)));
            match answer.unwrap_or_else(|| Err(no_answer(alias))) {
                Ok(ledger) => {
                    kept.rest(false);
                    held.insert(alias.clone(), ledger);
                }
                // What it holds may be newer, and it is there: nobody goes on past it.
                Err(error)
                    if matches!(
                        error.kind,
                        PortErrorKind::Malformed | PortErrorKind::NotPermitted
                    ) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    kept.rest(true);
                    silent.get_or_insert(error);
                }
            }
        }
        match silent {
            Some(error) if held.is_empty() => Err(error),
            Some(_) | None => Ok(LedgerCopies::new(&self.pair, held)),
        }
    }

    /// Lets copies that are behind follow, but for `but`. What they miss they get with the next change.
    fn follow(&self, copies: &LedgerCopies<'_>, next: &Ledger, but: Option<&Alias>) {
        for (alias, held) in copies.held() {
            let behind = held.is_none_or(|held| held.version < next.version);
            let Some(kept) = self.copies.get(alias).filter(|_| behind) else {
                continue;
            };
            if Some(alias) == but {
                continue;
            }
            let may = |held: Option<&Ledger>| match held {
                Some(held) if held.version >= next.version => Err(changed(next.version, held)),
                Some(_) | None => Ok(()),
            };
            if let Err(error) = kept.copy.change(&may, next) {
                tracing::info!(cluster = %alias, %error, "the ledger's other copy does not follow yet");
                kept.rest(error.kind != PortErrorKind::Conflict);
            }
        }
    }
}

impl LedgerStore for LedgerOnBoth {
    fn read(&self, _pair: &PairName) -> Result<Option<Ledger>, PortError> {
        let copies = self.look()?;
        let newest = copies.newest().map_err(contradict)?;
        Ok(newest.cloned())
    }

    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError> {
        let copies = self.look()?;
        let newest = copies.newest().map_err(contradict)?;
        let stored = match newest {
            Some(newest) => newest.clone(),
            None => Ledger::new(self.pair.name.clone(), self.pair.home.clone()),
        };
        if stored.version != before {
            return Err(changed(before, &stored));
        }
        let last = copies.last_word(&stored);
        let Some((last, kept)) = last.and_then(|last| self.copies.get_key_value(last)) else {
            let text = format!(
                "no flow of pair {} leads to the cluster that keeps its ledger",
                next.pair
            );
            return Err(PortError::new(PortErrorKind::Missing, text));
        };
        let may = |held: Option<&Ledger>| match held {
            Some(held) if held.version > before || (held.version == before && held != &stored) => {
                Err(changed(before, held))
            }
            Some(_) | None => Ok(()),
        };
        kept.copy.change(&may, next).map_err(|error| {
            let text = match error.kind {
                PortErrorKind::Unreachable | PortErrorKind::TimedOut => format!(
                    "{last} has the last word on the ledger, and it cannot be changed there: {error}"
                ),
                _ => return error,
            };
            PortError::new(error.kind, text)
        })?;
        self.follow(&copies, next, Some(last));
        Ok(())
    }

    fn level(&self, _pair: &PairName) -> Result<Vec<Alias>, PortError> {
        for kept in self.copies.values() {
            kept.rest(false);
        }
        let copies = self.look()?;
        let Some(newest) = copies.newest().map_err(contradict)? else {
            return Ok(Vec::new());
        };
        self.follow(&copies, newest, None);
        let after = self.look()?;
        let is_level = |alias: &Alias| {
            let mut held = after.held();
            held.any(|(at, held)| {
                at == alias && held.is_some_and(|it| it.version >= newest.version)
            })
        };
        let behind = self.copies.keys().filter(|alias| !is_level(alias));
        Ok(behind.cloned().collect())
    }
}

impl Kept {
    fn rests(&self) -> bool {
        let since = self.silent_since.lock();
        let since = *since.unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < REST)
    }

    fn rest(&self, silent: bool) {
        let mut since = self
            .silent_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *since = silent.then(Instant::now);
    }
}

fn no_answer(alias: &Alias) -> PortError {
    let text = format!(
        "{alias} did not tell what its copy of the ledger holds within {}",
        understudy_domain::words::limit(LOOK_WITHIN)
    );
    PortError::new(PortErrorKind::TimedOut, text)
}

fn changed(before: u64, held: &Ledger) -> PortError {
    let text = format!(
        "the ledger of {} is at version {} and no longer at {before}",
        held.pair, held.version
    );
    PortError::new(PortErrorKind::Conflict, text)
}

fn contradict(error: understudy_recovery::Contradiction) -> PortError {
    PortError::new(PortErrorKind::Malformed, error.to_string())
}

#[cfg(test)]
mod tests;
