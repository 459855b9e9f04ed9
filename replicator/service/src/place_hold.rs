//! What a slot does about places of groups: it translates them by its own map and commits them in transactions of its
//! own producer, so that a seal fences them too.
//!
//! Invariants:
//! a. a place is committed only where the record to be read next has its copy, or before that, never beyond;
//! b. what does not change costs nothing: only news, and what waits for records or answers, is looked at;
//! c. a group that the brokers refuse holds up neither records nor other groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{
    OffsetMap, PlaceState, Position, Replicated, Slot, SourceOffset, TargetOffset, TopicPartition,
    Translation,
};
use understudy_kafka::plane::DataPlane;

use crate::holding::{HoldError, Holding};
use crate::mm2::{NO_BETTER, NO_TRACE, is_before_us};
use crate::places::{OnTarget, Place, PlaceKey, Places, Wanted};

/// How many groups one transaction commits: each takes the brokers some requests, and records wait meanwhile.
const GROUPS_AT_ONCE: usize = 20;
/// How often places are looked at that wait for records or answers, for each thousand of them.
const WAITING_LOOK: Duration = Duration::from_millis(200);
/// How often all places are looked over for what became possible meanwhile; more often where the target forgets soon.
const LOOK_OVER: Duration = Duration::from_secs(15);

/// Places as a slot knows them.
pub struct PlaceBook {
    held: BTreeMap<PlaceKey, Held>,
    /// Those that are not settled: not translated yet, ahead of replication, asked for, or not committed.
    waiting: BTreeSet<PlaceKey>,
    looked_at: Instant,
    looked_over: Instant,
    /// How often a partition of the slot has begun anew, when places were last looked over.
    lives: u64,
}

/// One place.
struct Held {
    wanted: Wanted,
    /// What became of it; none before the first look.
    place: Option<Place>,
    /// What was committed last, and when.
    committed: Option<(TargetOffset, Instant)>,
    /// Where the source's log started when it was last translated.
    start: Option<SourceOffset>,
}

/// What is to be committed, by group.
type Due = BTreeMap<Arc<str>, Vec<(PlaceKey, TargetOffset)>>;

/// What a translation found, and why it is no better.
type Found = (Translation<TargetOffset>, Option<Arc<str>>);

impl PlaceBook {
    /// Nothing known yet; the slot hears of everything in the next round.
    pub fn new(places: &Places, slot: Slot) -> Self {
        places.join(slot);
        let now = Instant::now();
        Self {
            held: BTreeMap::new(),
            waiting: BTreeSet::new(),
            looked_at: now,
            looked_over: now,
            lives: 0,
        }
    }
}

impl Holding {
    /// Brings groups to their places, as far as these changed. Not while a transaction is open.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn bring_groups(&mut self) -> Result<(), HoldError> {
        let now = Instant::now();
        let news = self.context.places.news(self.slot);
        let has_news = !news.is_empty();
        let mut gone = Vec::new();
        for (key, wanted) in news {
            match wanted {
                Some(wanted) => {
                    self.places.waiting.insert(key.clone());
                    let held = self.places.held.entry(key).or_insert(Held {
                        wanted,
                        place: None,
                        committed: None,
                        start: None,
                    });
                    held.wanted = wanted;
                }
                None => {
                    self.places.held.remove(&key);
                    self.places.waiting.remove(&key);
                    gone.push(key);
                }
            }
        }
        self.look_over(now);
        let thousands = u32::try_from(self.places.waiting.len() / 1000).unwrap_or(u32::MAX);
        let wait = WAITING_LOOK.saturating_mul(thousands.saturating_add(1));
        let due = now.duration_since(self.places.looked_at) >= wait;
        if !has_news && (self.places.waiting.is_empty() || !due) {
            return Ok(());
        }
        self.places.looked_at = now;
        let (changed, due) = self.look_at_waiting(now);
        self.show_places(changed, &gone);
        self.commit_places(due, now)
    }

    /// Finds places that wait for nothing but time, or for the source's log to start elsewhere.
    fn look_over(&mut self, now: Instant) {
        let reborn = self.places.lives != self.state.lives();
        let again_after = self.context.places.again_after();
        let interval = LOOK_OVER.min(again_after / 2);
        if !reborn && now.duration_since(self.places.looked_over) < interval {
            return;
        }
        (self.places.looked_over, self.places.lives) = (now, self.state.lives());
        let starts = &self.context.starts;
        let waiting = self.places.held.iter().filter(|((_, partition), held)| {
            let is_old = held
                .committed
                .is_some_and(|(_, when)| now.duration_since(when) >= again_after);
            let is_unknown = held
                .place
                .as_ref()
                .is_none_or(|place| place.state == PlaceState::Unknown);
            reborn || is_old || (is_unknown && starts.source(partition) != held.start)
        });
        let waiting: Vec<_> = waiting.map(|(key, _)| key.clone()).collect();
        self.places.waiting.extend(waiting);
    }

    /// Translates what waits; what is news to the page, and what is to be committed, by group.
    fn look_at_waiting(&mut self, now: Instant) -> (Vec<(PlaceKey, Place)>, Due) {
        let refused = self.context.places.refused();
        let again_after = self.context.places.again_after();
        let mut changed = Vec::new();
        let mut due = Due::new();
        let waiting = std::mem::take(&mut self.places.waiting);
        let mut still = BTreeSet::new();
        for key in waiting {
            let Some(wanted) = self.places.held.get(&key).map(|held| held.wanted) else {
                continue;
            };
            let start = self.context.starts.source(&key.1);
            let (translation, reason) = self.translate(&key, wanted.source_offset, start);
            let mut place = as_place(wanted, self.target_of(&key.1), translation, reason);
            let Some(held) = self.places.held.get_mut(&key) else {
                continue;
            };
            held.start = start;
            if let Some(reason) = wanted.on_target.reason() {
                place.reason = Some(reason.into());
                if wanted.on_target == OnTarget::Taken {
                    place.state = PlaceState::Unknown;
                }
            } else if let Some(target) = place.target_offset {
                let stands = held.committed.is_some_and(|(at, when)| {
                    at == target && now.duration_since(when) < again_after
                });
                match refused.get(&key.0) {
                    Some(reason) if !stands => {
                        place.state = PlaceState::Unknown;
                        place.reason = Some(reason.clone());
                        still.insert(key.clone());
                    }
                    _ if !stands => {
                        due.entry(key.0.clone())
                            .or_default()
                            .push((key.clone(), target));
                        still.insert(key.clone());
                    }
                    _ => {}
                }
            }
            match translation {
                Translation::Ahead | Translation::NotReady | Translation::NoSync => {
                    still.insert(key.clone());
                }
                // Looked at again when the log starts elsewhere.
                Translation::BeforeHistory => {}
                Translation::Exact(_) | Translation::AtLeast(_) => {}
            }
            if held.place.as_ref() != Some(&place) {
                held.place = Some(place.clone());
                changed.push((key, place));
            }
        }
        self.places.waiting = still;
        (changed, due)
    }

    fn show_places(&self, changed: Vec<(PlaceKey, Place)>, gone: &[PlaceKey]) {
        let mut board = self.context.board.hold();
        let shown = board.places.entry(self.slot).or_default();
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        // Not copied unless somebody looks at the board just now.
        let shown = Arc::make_mut(shown);
        for key in gone {
            shown.remove(key);
        }
        shown.extend(changed);
    }

    fn commit_places(&mut self, due: Due, now: Instant) -> Result<(), HoldError> {
        if due.is_empty() {
            return Ok(());
        }
        let mut done = Vec::new();
        for (group, places) in due.into_iter().take(GROUPS_AT_ONCE) {
            let list: Vec<_> = places
                .iter()
                .map(|((_, partition), target)| (self.target_of(partition), target.get()))
                .collect();
            match self.plane.send_places(&group, &list) {
                Ok(()) => done.extend(places),
                Err(fault) if fault.is_fenced() => return Err(fault.into()),
                Err(fault) => {
                    let reason = format!(
                        "the target does not take it: {}",
                        crate::explain::explain(&self.context.flow.target, &fault)
                    );
                    tracing::warn!(slot = %self.slot, %group, reason, "places refused");
                    self.context.places.refuse(group, &reason);
                    // The others are committed in the next transaction.
                    self.plane.abort()?;
                    return Ok(());
                }
            }
        }
        self.plane.commit()?;
        self.context
            .metrics
            .places
            .inc_by(u64::try_from(done.len()).unwrap_or(u64::MAX));
        for (key, target) in done {
            self.places.waiting.remove(&key);
            if let Some(held) = self.places.held.get_mut(&key) {
                held.committed = Some((target, now));
            }
        }
        Ok(())
    }

    /// Where a place on the source lies on the target; `start` is where the source's log starts, as far as known.
    fn translate(
        &self,
        (group, partition): &PlaceKey,
        offset: SourceOffset,
        start: Option<SourceOffset>,
    ) -> Found {
        let Some(entry) = self.state.get(partition) else {
            return (
                Translation::NoSync,
                Some("the partition is not mirrored yet".into()),
            );
        };
        let position = &entry.position;
        if offset > position.source_offset {
            return (Translation::Ahead, Some(self.why_ahead(partition, offset)));
        }
        let begins = position.started_at.source;
        // Where nothing before it is left, the record to be read next is the first one that is.
        let first_left = start.filter(|start| *start > offset);
        let below =
            "it lies below the start of the source's log; this is the first record that is left";
        if offset < begins {
            if is_before_us(&self.context.flow, position, offset) {
                return self.before_us(group, partition, position, offset);
            }
            return match first_left.filter(|start| *start >= begins) {
                Some(start) => (self.at(partition, start), Some(below.into())),
                None => (
                    Translation::BeforeHistory,
                    Some(format!("it lies before offset {begins}, where replication began").into()),
                ),
            };
        }
        match (self.at(partition, offset), first_left) {
            (Translation::BeforeHistory, Some(start)) => {
                (self.at(partition, start), Some(below.into()))
            }
            (Translation::BeforeHistory, None) => (
                Translation::BeforeHistory,
                Some("it lies before what the offset map still holds".into()),
            ),
            (Translation::NotReady, _) => {
                (Translation::NotReady, Some("it is being looked up".into()))
            }
            (Translation::AtLeast(target), _) => (
                Translation::AtLeast(target),
                Some("part of the offset map is lost; what lies between is read again".into()),
            ),
            (found @ (Translation::Exact(_) | Translation::Ahead | Translation::NoSync), _) => {
                (found, None)
            }
        }
    }

    /// A place in what MirrorMaker 2 copied: what it left behind tells it, if anything does.
    fn before_us(
        &self,
        group: &str,
        partition: &TopicPartition,
        position: &Position,
        offset: SourceOffset,
    ) -> Found {
        let copy = self.context.flow.copies_of(partition, position);
        let names = (partition, &copy);
        let places = &self.context.places;
        match places.before_us(group, names, position, offset) {
            None => (Translation::NotReady, Some("it is being looked up".into())),
            Some(None) => (Translation::BeforeHistory, Some(NO_TRACE.into())),
            Some(Some(target)) => (Translation::AtLeast(target), Some(NO_BETTER.into())),
        }
    }

    fn why_ahead(&self, partition: &TopicPartition, offset: SourceOffset) -> Arc<str> {
        let board = self.context.board.hold();
        let end = board
            .partitions
            .get(partition)
            .and_then(|partition| partition.source_end_offset);
        match end {
            Some(end) if offset > end => format!(
                "it lies beyond offset {end}, the end of the source's log for readers of committed records"
            )
            .into(),
            Some(_) | None => "replication has not reached it yet".into(),
        }
    }

    /// What the map says: from memory what lies in its open chunk, from the stored map what is older.
    fn at(&self, partition: &TopicPartition, offset: SourceOffset) -> Translation<TargetOffset> {
        let Some(entry) = self.state.get(partition) else {
            return Translation::NoSync;
        };
        let position = &entry.position;
        let replicated = Replicated {
            source: position.source_offset,
            target_end: position.target_offset,
        };
        if offset > position.source_offset {
            return Translation::Ahead;
        }
        let runs = entry.runs();
        let whole = entry.is_first_chunk();
        let from = runs.first().map(|run| run.source);
        let origin = if whole {
            Some(position.started_at)
        } else if from.is_some_and(|from| from <= offset) {
            None
        } else if offset == position.source_offset {
            return Translation::Exact(position.target_offset);
        } else {
            let found = self.context.places.history(partition, offset);
            return found.unwrap_or(Translation::NotReady);
        };
        // Runs of a chunk that was checked when it was built.
        OffsetMap::forward_among(origin, runs, offset, replicated)
    }
}

fn as_place(
    wanted: Wanted,
    copy: TopicPartition,
    translation: Translation<TargetOffset>,
    reason: Option<Arc<str>>,
) -> Place {
    let (target_offset, state) = match translation {
        Translation::Exact(target) => (Some(target), PlaceState::Exact),
        Translation::AtLeast(target) => (Some(target), PlaceState::AtLeast),
        Translation::Ahead => (None, PlaceState::Ahead),
        Translation::BeforeHistory | Translation::NoSync | Translation::NotReady => {
            (None, PlaceState::Unknown)
        }
    };
    Place {
        source_offset: wanted.source_offset,
        target_offset,
        copy,
        state,
        reason,
    }
}
