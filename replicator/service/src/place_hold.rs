//! What a slot does about places of groups: it translates them by its own map and commits them in transactions of its
//! own producer, so that a seal fences them too.
//!
//! Invariants:
//! a. a place is committed only where the record to be read next has its copy, or before that, never beyond;
//! b. what does not change costs nothing: only news, and what waits for records or answers, is looked at;
//! c. a group that the brokers refuse holds up neither records nor other groups;
//! d. a place that a group reached by itself on the target is left alone until the group moves on the source.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{
    OffsetMap, PlaceState, Position, Replicated, Slot, SourceOffset, TargetOffset, TopicPartition,
    Translation,
};
use understudy_kafka::Fault;
use understudy_kafka::ffi::groups::Author;
use understudy_kafka::plane::DataPlane;

use crate::before_cut::may_have_begun_at_a_cut;
use crate::holding::{HoldError, Holding};
use crate::mm2::{NO_BETTER, NO_TRACE, is_before_us};
use crate::places::{OnTarget, Place, PlaceKey, Places, Wanted, copy_is_deleted};

/// How many groups one transaction commits: each takes the brokers some requests.
const GROUPS_AT_ONCE: usize = 20;
/// How long transactions of places follow each other while records wait.
const COMMITS_FOR: Duration = Duration::from_millis(100);
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
    /// The group that was committed last: those behind it have their turn next.
    last: Option<Arc<str>>,
}

/// One place.
struct Held {
    wanted: Wanted,
    /// What became of it; none before the first look.
    place: Option<Place>,
    /// What was committed last, and when; or what would have been, where the group was left alone.
    committed: Option<(TargetOffset, Instant)>,
    /// Where it stands by itself, if it was left alone for that.
    own: Option<TargetOffset>,
    /// Somebody was in the group on the target since.
    was_live: bool,
    /// Where the source's log started when it was last translated.
    start: Option<SourceOffset>,
}

/// What is to be committed, by group.
type Due = BTreeMap<Arc<str>, Vec<(PlaceKey, TargetOffset)>>;

/// A group, and what is to be committed of it.
type OfGroup = (Arc<str>, Vec<(PlaceKey, TargetOffset)>);

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
            last: None,
        }
    }

    /// Whether some are not settled.
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
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
                        own: None,
                        was_live: false,
                        start: None,
                    });
                    held.was_live |= wanted.on_target == OnTarget::Live;
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
        let (mut changed, due) = self.look_at_waiting(now);
        let left = self.commit_places(due, now)?;
        self.note_left(&left, &mut changed);
        self.show_places(changed, &gone);
        Ok(())
    }

    /// What could not be committed yet is not where it belongs, whatever its translation says.
    fn note_left(&mut self, left: &[PlaceKey], changed: &mut BTreeMap<PlaceKey, Place>) {
        for key in left {
            let Some(held) = self.places.held.get_mut(key) else {
                continue;
            };
            if let Some(place) = &mut held.place {
                place.state = PlaceState::Unknown;
                place.reason = Some("it is not committed yet: other groups have their turn".into());
                changed.insert(key.clone(), place.clone());
            }
        }
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
        if reborn {
            // The same offsets may mean other records now.
            self.context.places.forget_history();
        }
        let starts = &self.context.starts;
        let waiting = self.places.held.iter().filter(|((_, partition), held)| {
            // Whoever may tell of it may be allowed to by now.
            let may_be_told = self.state.get(partition).is_some_and(|entry| {
                let position = &entry.position;
                held.wanted.source_offset < position.started_at.source
                    && may_have_begun_at_a_cut(position)
            });
            let is_old = held
                .committed
                .is_some_and(|(_, when)| now.duration_since(when) >= again_after);
            let is_unknown = held
                .place
                .as_ref()
                .is_none_or(|place| place.state == PlaceState::Unknown);
            let target = held.place.as_ref().and_then(|place| place.target_offset);
            let is_deleted = target
                .zip(starts.target(partition))
                .is_some_and(|(at, start)| at < start);
            let is_news = may_be_told || starts.source(partition) != held.start;
            reborn || is_old || is_deleted || (is_unknown && is_news)
        });
        let waiting: Vec<_> = waiting.map(|(key, _)| key.clone()).collect();
        self.places.waiting.extend(waiting);
    }

    /// Translates what waits; what is news to the page, and what is to be committed, by group.
    fn look_at_waiting(&mut self, now: Instant) -> (BTreeMap<PlaceKey, Place>, Due) {
        let places = self.context.places.clone();
        let (refused, again_after) = (places.refused(), places.again_after());
        let is_seen = places.is_target_seen(now);
        let mut changed = BTreeMap::new();
        let mut due = Due::new();
        let waiting = std::mem::take(&mut self.places.waiting);
        let mut still = BTreeSet::new();
        for key in waiting {
            let Some(wanted) = self.places.held.get(&key).map(|held| held.wanted) else {
                continue;
            };
            let start = self.context.starts.source(&key.1);
            let found = self.translate(&key, wanted.source_offset, start);
            let (translation, reason) = self.if_still_there(&key.1, found);
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
                let next = match refused.get(&key.0) {
                    _ if held.stands(target, now, again_after) => Next::Nothing,
                    Some(reason) => Next::Wait(reason.clone()),
                    None if !is_seen => Next::Wait(UNSEEN.into()),
                    None => held.next(&key, target, now, &places, &place.copy),
                };
                match next {
                    Next::Nothing => {}
                    Next::Wait(reason) => {
                        (place.state, place.reason) = (PlaceState::Unknown, Some(reason));
                        still.insert(key.clone());
                    }
                    Next::Commit => {
                        let group = due.entry(key.0.clone()).or_default();
                        group.push((key.clone(), target));
                        still.insert(key.clone());
                    }
                }
                if let Some(own) = held.own {
                    place.reason = Some(its_own(own, target));
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
                changed.insert(key, place);
            }
        }
        self.places.waiting = still;
        (changed, due)
    }

    fn show_places(&self, changed: BTreeMap<PlaceKey, Place>, gone: &[PlaceKey]) {
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

    /// Commits groups in turn, for as long as records may wait; answers what is left.
    fn commit_places(&mut self, due: Due, now: Instant) -> Result<Vec<PlaceKey>, HoldError> {
        let begun = Instant::now();
        let mut groups = in_turn(due, self.places.last.as_ref());
        while !groups.is_empty() && begun.elapsed() < COMMITS_FOR {
            let many = groups.len().min(GROUPS_AT_ONCE);
            let batch: Vec<_> = groups.drain(..many).collect();
            self.places.last = batch.last().map(|(group, _)| group.clone());
            self.commit_groups(batch, now)?;
        }
        let left = groups.into_iter().flat_map(|(_, places)| places);
        Ok(left.map(|(key, _)| key).collect())
    }

    /// Commits these groups in one transaction. One that is refused takes the transaction with it: the others are sent
    /// again without it.
    fn commit_groups(&mut self, mut batch: Vec<OfGroup>, now: Instant) -> Result<(), HoldError> {
        while let Some((refused, fault)) = self.send_groups(&batch)? {
            let (group, _) = batch.remove(refused);
            let reason = format!(
                "the target does not take it: {}",
                crate::explain::explain(&self.context.flow.target, &fault)
            );
            tracing::warn!(slot = %self.slot, %group, reason, "places refused");
            self.context.places.refuse(group, &reason);
            self.plane.abort()?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.plane.commit()?;
        let done = batch.into_iter().flat_map(|(_, places)| places);
        for (key, target) in done {
            self.context.metrics.places.inc();
            self.places.waiting.remove(&key);
            if let Some(held) = self.places.held.get_mut(&key) {
                (held.committed, held.own, held.was_live) = (Some((target, now)), None, false);
            }
        }
        Ok(())
    }

    /// Adds these groups to a transaction; which one is refused, if one is.
    fn send_groups(&mut self, batch: &[OfGroup]) -> Result<Option<(usize, Fault)>, HoldError> {
        for (number, (group, places)) in batch.iter().enumerate() {
            let list: Vec<_> = places
                .iter()
                .map(|((_, partition), target)| (self.target_of(partition), target.get()))
                .collect();
            match self.plane.send_places(group, &list) {
                Ok(()) => {}
                Err(fault) if fault.is_fenced() => return Err(fault.into()),
                Err(fault) => return Ok(Some((number, fault))),
            }
        }
        Ok(None)
    }

    /// What was found, unless the target has deleted the copy.
    fn if_still_there(&self, partition: &TopicPartition, found: Found) -> Found {
        let target = found.0.offset().zip(self.context.starts.target(partition));
        let Some((target, start)) = target.filter(|(target, start)| target < start) else {
            return found;
        };
        let position = self.state.get(partition).map(|entry| &entry.position);
        if position.is_some_and(|position| position.target_offset == target) {
            // Behind the last copy nothing of ours is left to be skipped.
            return (Translation::Exact(start), None);
        }
        let reason = copy_is_deleted(target, start);
        (Translation::BeforeHistory, Some(reason.into()))
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
        if offset < begins {
            return self.before_begin((group, partition), position, offset, first_left);
        }
        match (self.at(partition, offset), first_left) {
            (Translation::BeforeHistory, Some(start)) => {
                (self.at(partition, start), Some(BELOW.into()))
            }
            (Translation::BeforeHistory, None) => (
                Translation::BeforeHistory,
                Some("it lies before what the offset map still holds".into()),
            ),
            (Translation::NotReady, _) => (Translation::NotReady, Some(LOOKED_UP.into())),
            (Translation::AtLeast(target), _) => {
                (Translation::AtLeast(target), Some(PART_LOST.into()))
            }
            (found @ (Translation::Exact(_) | Translation::Ahead | Translation::NoSync), _) => {
                (found, None)
            }
        }
    }

    /// A place from before the flow began: what a flow the other way copied tells its map, what MirrorMaker 2 copied tells
    /// what that left behind.
    fn before_begin(
        &self,
        (group, partition): (&str, &TopicPartition),
        position: &Position,
        offset: SourceOffset,
        first_left: Option<SourceOffset>,
    ) -> Found {
        let begins = position.started_at.source;
        let told = |offset| match may_have_begun_at_a_cut(position) {
            true => self.context.places.history(partition, offset),
            false => Some(Translation::BeforeHistory),
        };
        let found = |answer, why: Option<&str>| match answer {
            None | Some(Translation::NotReady) => (Translation::NotReady, Some(LOOKED_UP.into())),
            Some(found @ Translation::Exact(_)) => (found, why.map(Into::into)),
            Some(found @ Translation::AtLeast(_)) => (found, Some(PART_LOST.into())),
            Some(Translation::BeforeHistory | Translation::NoSync | Translation::Ahead) => (
                Translation::BeforeHistory,
                Some(format!("it lies before offset {begins}, where replication began").into()),
            ),
        };
        let own = found(told(offset), None);
        match (own.0, first_left) {
            (Translation::BeforeHistory, _)
                if is_before_us(&self.context.flow, position, offset) =>
            {
                self.before_us(group, partition, position, offset)
            }
            (Translation::BeforeHistory, Some(start)) if start >= begins => {
                (self.at(partition, start), Some(BELOW.into()))
            }
            (Translation::BeforeHistory, Some(start)) => found(told(start), Some(BELOW)),
            _ => own,
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
            None => (Translation::NotReady, Some(LOOKED_UP.into())),
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

/// Groups in the order of their names, those behind the last one first.
fn in_turn<P>(due: BTreeMap<Arc<str>, P>, last: Option<&Arc<str>>) -> VecDeque<(Arc<str>, P)> {
    let mut groups: VecDeque<_> = due.into_iter().collect();
    let at = last.map_or(0, |last| groups.partition_point(|(group, _)| group <= last));
    groups.rotate_left(at);
    groups
}

/// What is to be done about a place whose copy is known.
enum Next {
    /// It is there already, or is left alone.
    Nothing,
    /// It has to wait, for this reason.
    Wait(Arc<str>),
    /// It may be committed.
    Commit,
}

const BELOW: &str =
    "it lies below the start of the source's log; this is the first record that is left";
const LOOKED_UP: &str = "it is being looked up";
const PART_LOST: &str = "part of the offset map is lost; what lies between is read again";
const UNSEEN: &str = "whether somebody is in the group on the target is not known just now";

/// Why a place is left alone that a group has by itself.
fn its_own(own: TargetOffset, target: TargetOffset) -> Arc<str> {
    let place = "its place there is its own until it moves on the source";
    match own > target {
        true => {
            format!("it stands at {own} on the target, further on: it was read on there; {place}")
        }
        false => format!("it was set to {own} on the target; {place}"),
    }
    .into()
}

impl Held {
    /// Whether it was committed there, or left alone, not too long ago.
    fn stands(&self, target: TargetOffset, now: Instant, again_after: Duration) -> bool {
        let is_new = |when| now.duration_since(when) < again_after;
        !self.was_live
            && self
                .committed
                .is_some_and(|(at, when)| at == target && is_new(when))
    }

    /// What comes next, where nobody is in the group and its place does not stand.
    fn next(
        &mut self,
        (group, _): &PlaceKey,
        target: TargetOffset,
        now: Instant,
        places: &Places,
        copy: &TopicPartition,
    ) -> Next {
        let before = self.committed.map(|(at, _)| at);
        let has_moved = before.is_some_and(|at| at != target);
        if has_moved || self.wanted.on_target == OnTarget::Absent {
            return Next::Commit;
        }
        // The first time, or again so that it is not forgotten: whoever read on there since must not be set back.
        let Some(stands) = places.stands(group, now) else {
            return Next::Wait("it is being looked up where the group stands on the target".into());
        };
        let is_its_own = |own: TargetOffset, author: Author| match before {
            Some(_) => own != target,
            // Where another worker brought it, or a tool, it follows the source; also back.
            None => own > target && author == Author::Consumer,
        };
        let own = stands.get(copy).copied();
        let own = own.filter(|(own, author)| is_its_own(*own, *author));
        let Some((own, _)) = own else {
            return Next::Commit;
        };
        (self.own, self.committed, self.was_live) = (Some(own), Some((target, now)), false);
        Next::Nothing
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_its_turn_however_many_are_always_due() {
        let due: BTreeMap<Arc<str>, ()> = ["a", "b", "c", "d", "e"]
            .map(|group| (group.into(), ()))
            .into();
        let (mut last, mut had) = (None, Vec::new());
        for _round in 0..5 {
            let mut groups = in_turn(due.clone(), last.as_ref());
            let turn: Vec<_> = groups.drain(..2).map(|(group, ())| group).collect();
            last = turn.last().cloned();
            had.extend(turn);
        }
        let had: Vec<&str> = had.iter().map(|group| &**group).collect();
        assert_eq!(had, ["a", "b", "c", "d", "e", "a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_place_is_left_alone_only_where_the_group_went_on_or_was_set_by_itself() {
        let now = Instant::now();
        let (group, copy): (Arc<str>, _) = ("team".into(), TopicPartition::new("orders", 0));
        let key = (group.clone(), copy.clone());
        let at = TargetOffset::new;
        // What was committed before, where it stands, and whether 100 is committed.
        let (read, set) = (Author::Consumer, Author::Other);
        for (before, own, commits) in [
            (None, None, true),
            (None, Some((40, read)), true),
            (None, Some((100, read)), true),
            (None, Some((101, read)), false),
            // It went back on the source while no worker ran.
            (None, Some((101, set)), true),
            (Some(100), None, true),
            (Some(100), Some((100, read)), true),
            (Some(100), Some((40, set)), false),
            (Some(100), Some((160, read)), false),
            // It has moved on the source since.
            (Some(90), Some((160, read)), true),
        ] {
            let places = Places::default();
            let stands = own.map(|(own, author)| (copy.clone(), (at(own), author)));
            places.stood(group.clone(), stands.into_iter().collect(), now);
            let mut held = Held {
                wanted: Wanted {
                    source_offset: SourceOffset::new(100),
                    on_target: OnTarget::Free,
                },
                place: None,
                committed: before.map(|before| (at(before), now)),
                own: None,
                was_live: true,
                start: None,
            };
            let next = held.next(&key, at(100), now, &places, &copy);
            assert_eq!(matches!(next, Next::Commit), commits, "{before:?} {own:?}");
            let again = Duration::from_secs(60);
            assert_eq!(held.stands(at(100), now, again), !commits);
        }
    }
}
