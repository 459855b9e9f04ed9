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
/// How long a change waits for the copy that only follows.
const FOLLOW_WITHIN: Duration = Duration::from_secs(5);
/// How often copies that contradict each other are looked at: they are read at different moments, and a change may have
/// come between.
const LOOKS: u32 = 3;

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

/// What the copies said.
struct Look<'a> {
    copies: LedgerCopies<'a>,
    /// What counts of them.
    newest: Option<Ledger>,
    /// Why those that were asked and said nothing did not.
    silent: BTreeMap<Alias, PortError>,
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

    /// What every copy that answers holds, and what counts of it.
    fn look(&self) -> Result<Look<'_>, PortError> {
        let mut before = None;
        for _look in 0..LOOKS {
            let (copies, silent) = self.ask()?;
            let contradiction = match copies.newest() {
                Ok(newest) => {
                    let newest = newest.cloned();
                    return Ok(Look {
                        copies,
                        newest,
                        silent,
                    });
                }
                Err(contradiction) => contradiction,
            };
            if before.as_ref() == Some(&contradiction) {
                let text = contradiction.to_string();
                return Err(PortError::new(PortErrorKind::Malformed, text));
            }
            before = Some(contradiction);
        }
        let text = format!(
            "the ledger of {} was changed during each of {LOOKS} looks at it; try again",
            self.pair.name
        );
        Err(PortError::new(PortErrorKind::Conflict, text))
    }

    /// What every copy that answers holds, and why others do not; both are asked at once.
    fn ask(&self) -> Result<(LedgerCopies<'_>, BTreeMap<Alias, PortError>), PortError> {
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
        let (mut held, mut silent) = (BTreeMap::new(), BTreeMap::new());
        for (alias, kept, pending) in asked {
            let left = until.saturating_duration_since(Instant::now());
            let answer = pending.wait(left.max(Duration::from_millis(1)));
            match answer.unwrap_or_else(|| Err(no_answer(alias))) {
                Ok(ledger) => {
                    kept.rest(false);
                    held.insert(alias.clone(), ledger);
                }
                Err(error) => {
                    kept.rest(!is_there(&error));
                    silent.insert(alias.clone(), error);
                }
            }
        }
        let nothing = held.is_empty();
        let copies = LedgerCopies::new(&self.pair, held);
        // What a copy that is there holds may be newer than the others', unless one of them says that it cannot be.
        let hidden = silent.values().find(|error| is_there(error));
        let fatal = hidden.filter(|_| !self.is_sure(&copies));
        let fatal = fatal.or_else(|| silent.values().next().filter(|_| nothing));
        match fatal {
            Some(error) => Err(error.clone()),
            None => Ok((copies, silent)),
        }
    }

    /// Whether one of the copies has the last word by what itself says: then none is newer.
    fn is_sure(&self, copies: &LedgerCopies<'_>) -> bool {
        let begin = self.begin();
        let mut held = copies.held();
        held.any(|(alias, held)| copies.last_word(held.unwrap_or(&begin)) == Some(alias))
    }

    fn begin(&self) -> Ledger {
        Ledger::new(self.pair.name.clone(), self.pair.home.clone())
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
            let (copy, next) = (Arc::clone(&kept.copy), next.clone());
            let change = move || {
                let may = |held: Option<&Ledger>| match held {
                    Some(held) if held.version >= next.version => Err(changed(next.version, held)),
                    Some(_) | None => Ok(()),
                };
                copy.change(&may, &next)
            };
            // It may be the side that is lost: a recovery does not wait for it.
            let followed = bounded::within(FOLLOW_WITHIN, change);
            if let Err(error) = followed.unwrap_or_else(|| Err(not_followed(alias))) {
                tracing::info!(cluster = %alias, %error, "the ledger's other copy does not follow yet");
                kept.rest(error.kind != PortErrorKind::Conflict);
            }
        }
    }
}

impl LedgerStore for LedgerOnBoth {
    fn read(&self, _pair: &PairName) -> Result<Option<Ledger>, PortError> {
        let mut look = self.look()?;
        // Whoever holds the pair may have lost it where the last word is: a word from elsewhere is none about that.
        let Some(target) = look.unheard().cloned() else {
            return Ok(look.newest);
        };
        if let Some(kept) = self.copies.get(&target)
            && !look.silent.contains_key(&target)
        {
            kept.rest(false);
            look = self.look()?;
        }
        match look.unheard() {
            None => Ok(look.newest),
            Some(alias) => {
                let error = look.silent.get(alias).cloned();
                Err(error.unwrap_or_else(|| no_answer(alias)))
            }
        }
    }

    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError> {
        let Look { copies, newest, .. } = self.look()?;
        let stored = newest.unwrap_or_else(|| self.begin());
        if stored.version != before {
            return Err(changed(before, &stored));
        }
        let last = copies.last_word(&stored);
        let Some((last, kept)) = last.and_then(|last| self.copies.get_key_value(last)) else {
            let text = format!(
                "no flow of pair {} leads to the cluster that has the last word on its ledger: the pair file needs a flow \
                 each way",
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
        let written = kept.copy.change(&may, next);
        let answered = written
            .as_ref()
            .map_or_else(|error| error.kind == PortErrorKind::Conflict, |()| true);
        if answered {
            kept.rest(false);
        }
        written.map_err(|error| {
            let text = match error.kind {
                PortErrorKind::Unreachable | PortErrorKind::TimedOut => format!(
                    "{last} has the last word on the ledger, and it cannot be changed there: {error}. Start again once it \
                     answers; if it is lost, see \"A ledger on the clusters\" in docs/recovery.md"
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
        let Look {
            copies,
            newest,
            silent,
        } = self.look()?;
        let Some(newest) = newest else {
            return Ok(silent.into_keys().collect());
        };
        self.follow(&copies, &newest, None);
        let after = self.look()?;
        let is_level = |alias: &Alias| {
            let mut held = after.copies.held();
            held.any(|(at, held)| {
                at == alias && held.is_some_and(|it| it.version >= newest.version)
            })
        };
        let behind = self.copies.keys().filter(|alias| !is_level(alias));
        Ok(behind.cloned().collect())
    }
}

impl Look<'_> {
    /// The cluster whose word on the recovery under way is the last, if it gave none.
    fn unheard(&self) -> Option<&Alias> {
        let target = &self.newest.as_ref()?.running()?.target;
        let heard = self.copies.held().any(|(alias, _)| alias == target);
        (!heard).then_some(target)
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

fn not_followed(alias: &Alias) -> PortError {
    let text = format!(
        "{alias} did not take it within {}",
        understudy_domain::words::limit(FOLLOW_WITHIN)
    );
    PortError::new(PortErrorKind::TimedOut, text)
}

/// Whether a copy is there, and cannot be read.
const fn is_there(error: &PortError) -> bool {
    matches!(
        error.kind,
        PortErrorKind::Malformed | PortErrorKind::NotPermitted
    )
}

fn changed(before: u64, held: &Ledger) -> PortError {
    let text = format!(
        "the ledger of {} is at version {} and no longer at {before}: somebody else has changed it; start again from what \
         it says now",
        held.pair, held.version
    );
    PortError::new(PortErrorKind::Conflict, text)
}

#[cfg(test)]
mod tests;
