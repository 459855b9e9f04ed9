//! What a slot does about places of groups: it translates them by its own map and commits them in transactions of its
//! own producer, so that a seal fences them too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{
    OffsetMap, Origin, PlaceState, Position, Replicated, TargetOffset, TopicPartition, Translation,
};
use understudy_kafka::plane::DataPlane;

use crate::config::Start;
use crate::holding::{HoldError, Holding};
use crate::places::{Place, PlaceKey, Wanted};

/// How many groups one transaction commits: each takes the brokers some requests, and records wait meanwhile.
const GROUPS_AT_ONCE: usize = 20;
/// After which time a place is committed again although it stands: brokers forget places of groups without members
/// after `offsets.retention.minutes`, 7 days unless told otherwise.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// Places as a slot knows them.
#[derive(Default)]
pub struct PlaceBook {
    /// The round of the last look at the source.
    round: u64,
    wanted: Arc<BTreeMap<PlaceKey, Wanted>>,
    /// What was committed last, and when.
    committed: BTreeMap<PlaceKey, (TargetOffset, Instant)>,
    /// Whether some of what is wanted is not settled: ahead of replication, or asked for.
    waiting: bool,
    looked_at: Option<Instant>,
}

/// How often places are looked at that wait for records or answers.
const WAITING_LOOK: Duration = Duration::from_millis(200);

impl Holding {
    /// Brings groups to their places, as far as these changed. Not while a transaction is open.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn bring_groups(&mut self) -> Result<(), HoldError> {
        let now = Instant::now();
        if let Some((round, wanted)) = self.context.places.wanted(self.slot, self.places.round) {
            self.places.round = round;
            self.places.wanted = wanted;
        } else {
            let due = self
                .places
                .looked_at
                .is_none_or(|at| now.duration_since(at) >= WAITING_LOOK);
            if !self.places.waiting || !due {
                return Ok(());
            }
        }
        self.places.looked_at = Some(now);
        let wanted = self.places.wanted.clone();
        let mut shown = BTreeMap::new();
        let mut due: BTreeMap<Arc<str>, Vec<(PlaceKey, TargetOffset)>> = BTreeMap::new();
        let mut left = false;
        for (key, wanted) in wanted.iter() {
            let place = self.place_of(key, wanted);
            left |= place.target_offset.is_none();
            if let Some(target) = place.target_offset.filter(|_| !wanted.live) {
                let stands = self.places.committed.get(key).is_some_and(|(at, when)| {
                    *at == target && now.duration_since(*when) < AGAIN_AFTER
                });
                if !stands {
                    due.entry(key.0.clone())
                        .or_default()
                        .push((key.clone(), target));
                }
            }
            shown.insert(key.clone(), place);
        }
        self.places.waiting = left;
        if !due.is_empty() {
            self.places.waiting |= due.len() > GROUPS_AT_ONCE;
            self.commit_places(due.into_iter().take(GROUPS_AT_ONCE), now)?;
        }
        let known = &self.places.wanted;
        self.places
            .committed
            .retain(|key, _| known.contains_key(key));
        let mut board = self.context.board.hold();
        board.places.insert(self.slot, shown);
        Ok(())
    }

    fn commit_places(
        &mut self,
        due: impl Iterator<Item = (Arc<str>, Vec<(PlaceKey, TargetOffset)>)>,
        now: Instant,
    ) -> Result<(), HoldError> {
        let mut done = Vec::new();
        for (group, places) in due {
            let list: Vec<_> = places
                .iter()
                .map(|((_, partition), target)| (self.target_of(partition), target.get()))
                .collect();
            self.plane.send_places(&group, &list)?;
            done.extend(places);
        }
        self.plane.commit()?;
        self.context
            .metrics
            .places
            .inc_by(u64::try_from(done.len()).unwrap_or(u64::MAX));
        for (key, target) in done {
            self.places.committed.insert(key, (target, now));
        }
        Ok(())
    }

    fn place_of(&self, key: &PlaceKey, wanted: &Wanted) -> Place {
        let (_, partition) = key;
        let (translation, reason) = self.translate(key, wanted);
        let (target_offset, state) = match translation {
            Translation::Exact(target) => (Some(target), PlaceState::Exact),
            Translation::AtLeast(target) => (Some(target), PlaceState::AtLeast),
            Translation::Ahead => (None, PlaceState::Ahead),
            Translation::BeforeHistory | Translation::NoSync | Translation::NotReady => {
                (None, PlaceState::Unknown)
            }
        };
        let reason = if wanted.live {
            Some("somebody is in the group on the target; its place there is its own".to_owned())
        } else {
            reason.map(str::to_owned)
        };
        Place {
            source_offset: wanted.source_offset,
            target_offset,
            copy: self.target_of(partition),
            state,
            reason,
        }
    }

    fn translate(
        &self,
        (group, partition): &PlaceKey,
        wanted: &Wanted,
    ) -> (Translation<TargetOffset>, Option<&'static str>) {
        let Some(entry) = self.state.get(partition) else {
            return (
                Translation::NoSync,
                Some("the partition is not mirrored yet"),
            );
        };
        let position = &entry.position;
        let replicated = Replicated {
            source: position.source_offset,
            target_end: position.target_offset,
        };
        if wanted.source_offset > position.source_offset {
            let reason = "replication has not reached it yet";
            return (Translation::Ahead, Some(reason));
        }
        if wanted.source_offset < position.started_at.source {
            if self.context.flow.start == Start::Mm2 && position.incarnation == 0 {
                return self.before_us(group, partition, position, wanted);
            }
            let reason = "it lies before where replication began";
            return (Translation::BeforeHistory, Some(reason));
        }
        let mut tail = OffsetMap::new(Origin {
            source: position.source_offset,
            target: position.target_offset,
        });
        let runs = entry.runs();
        let from = runs.first().map(|run| run.source);
        let whole = entry.is_first_chunk();
        if whole || from.is_some_and(|from| from <= wanted.source_offset) {
            tail = match whole {
                true => OffsetMap::new(position.started_at),
                false => OffsetMap::without_origin(),
            };
            // Runs of a chunk that was checked when it was built.
            let _in_order = tail.extend(runs);
            return (tail.forward(wanted.source_offset, replicated), None);
        }
        if wanted.source_offset == position.source_offset {
            return (tail.forward(wanted.source_offset, replicated), None);
        }
        match self.context.places.history(partition, wanted.source_offset) {
            Some(Translation::BeforeHistory) => {
                let reason = "it lies before what the offset map still holds";
                (Translation::BeforeHistory, Some(reason))
            }
            Some(found) => (found, None),
            None => (Translation::NotReady, Some("it is being looked up")),
        }
    }

    /// A place in what MirrorMaker 2 copied: what it left behind tells it, if anything does.
    fn before_us(
        &self,
        group: &str,
        partition: &TopicPartition,
        position: &Position,
        wanted: &Wanted,
    ) -> (Translation<TargetOffset>, Option<&'static str>) {
        let copy = self.context.flow.copies_of(partition, position);
        let names = (partition, &copy);
        match self
            .context
            .places
            .before_us(group, names, wanted.source_offset)
        {
            None => (Translation::NotReady, Some("it is being looked up")),
            Some(None) => {
                let reason = "MirrorMaker 2 copied it and left no trace of where";
                (Translation::BeforeHistory, Some(reason))
            }
            Some(Some(target)) => {
                let reason =
                    "MirrorMaker 2 copied it; its checkpoints and offset syncs tell no better";
                (
                    Translation::AtLeast(target.min(position.started_at.target)),
                    Some(reason),
                )
            }
        }
    }
}
