//! Where consumer groups stand: read on the source by a thread of the worker, translated and committed by slots.
//!
//! ```text
//! source: groups, their places ─▶ Looker ─ what changed ─▶ slot: translate, commit in a transaction of its own ─▶ target
//! target: which groups are live ─┘    ▲ questions about history │
//!                                     └────────────────────────┘ answered from the stored offset map
//! ```
//! A slot answers from memory what lies in the open chunk of its map, which is where groups stand that keep up. Older
//! places are looked up by the thread, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use understudy_domain::mm2::Mm2Past;
use understudy_domain::{
    PlaceState, Position, Slot, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_kafka::ffi::groups::Author;

use crate::mm2::at_least;

/// How many places of history are looked up in a round.
const QUESTIONS_MAX: usize = 10_000;
/// How long what was found of history is kept for whoever asked.
const FOUND_KEPT: Duration = Duration::from_secs(60);
/// How long it is waited until what could not be told is asked again.
const UNTOLD_KEPT: Duration = Duration::from_secs(10);
/// How long a group is left alone whose places the brokers refused.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// After which time a place is committed again although it stands, unless the target forgets sooner.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How often it is committed again within the time that the target keeps it.
const AGAIN_WITHIN: u32 = 4;

/// A group's place on one partition.
pub type PlaceKey = (Arc<str>, TopicPartition);

/// How long it holds what a look at the target's groups told: whoever came since must not be overwritten.
const SEEN_HOLDS: Duration = Duration::from_secs(30);
/// The same of where a group stands there.
const STANDS_HOLDS: Duration = Duration::from_secs(10);

/// Where a group stands on the target, by the partition's name there, and who brought it there.
pub type Stands = BTreeMap<TopicPartition, (TargetOffset, Author)>;

/// Why there is no place at `target` any more: the target's log starts behind it, at `start`.
pub fn copy_is_deleted(target: TargetOffset, start: TargetOffset) -> String {
    format!(
        "its copy was at {target}; the target has deleted everything below {start}, and to go on there skips what was between"
    )
}

/// What a slot is to do about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The group's committed offset on the source.
    pub source_offset: SourceOffset,
    /// Whether that is done.
    pub on_target: OnTarget,
}

/// Whether a group's places on the target may be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTarget {
    /// There is no group of that name.
    #[default]
    Absent,
    /// Nobody is in the group.
    Free,
    /// Somebody is in it, or may be: its places are not touched.
    Live,
    /// A group of another kind has its name, and no places: a share group, or a streams group that has just begun.
    Taken,
}

impl OnTarget {
    /// Why a place is not set.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Absent | Self::Free => None,
            Self::Live => Some(
                "somebody is in the group on the target, or may be; its place there is its own",
            ),
            Self::Taken => Some(
                "a group of another kind has this name on the target, a share group or a streams group without places; it is not touched",
            ),
        }
    }
}

/// What became of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The group's committed offset on the source.
    pub source_offset: SourceOffset,
    /// Where it stands on the target; none while that is not known.
    pub target_offset: Option<TargetOffset>,
    /// The partition, as it is called on the target.
    pub copy: TopicPartition,
    /// How good that is.
    pub state: PlaceState,
    /// Why it is not exact, or not committed.
    pub reason: Option<Arc<str>>,
}

/// What a slot hears of a place: where it is wanted, or that the group has it no more.
pub type News = BTreeMap<PlaceKey, Option<Wanted>>;

/// Shared between the thread and the slots of a worker. One mutex, held for look-ups and inserts.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// For how long the target keeps places of groups without members, as far as it tells.
    kept: Option<Duration>,
    /// By slot that is held.
    feeds: BTreeMap<Slot, Feed>,
    /// Places of history that slots asked for.
    questions: BTreeSet<(TopicPartition, SourceOffset)>,
    /// What was found of them, and when.
    history: BTreeMap<(TopicPartition, SourceOffset), (Translation<TargetOffset>, Instant)>,
    /// Groups whose places the brokers refused: why, and when.
    refused: BTreeMap<Arc<str>, (Arc<str>, Instant)>,
    /// What MirrorMaker 2 left behind, in flows that took over from it.
    past: Past,
    /// When the target last told which groups somebody is in.
    target_seen: Option<Instant>,
    /// Groups of which slots asked where they stand on the target.
    asked: BTreeSet<Arc<str>>,
    /// What was found, and when.
    stands: BTreeMap<Arc<str>, (Arc<Stands>, Instant)>,
}

/// What MirrorMaker 2 left behind about places.
#[derive(Debug, Default)]
enum Past {
    /// Nobody asked.
    #[default]
    Unasked,
    /// Somebody did.
    Asked,
    /// As it was read.
    Known(Mm2Past),
}

/// What one slot has still to hear. By place, so that it never holds more than there are places.
#[derive(Debug, Default)]
struct Feed {
    /// It has to hear of everything.
    is_new: bool,
    news: News,
}

impl Places {
    fn hold(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After which time a place is committed again although it stands: brokers forget places of groups without members.
    pub fn again_after(&self) -> Duration {
        again_after(self.hold().kept)
    }

    /// Notes for how long the target keeps places.
    pub fn kept_for(&self, kept: Option<Duration>) {
        self.hold().kept = kept;
    }

    /// A slot is held from now on, and knows nothing yet.
    pub fn join(&self, slot: Slot) {
        let feed = Feed {
            is_new: true,
            news: News::new(),
        };
        self.hold().feeds.insert(slot, feed);
    }

    /// A slot is held no more.
    pub fn leave(&self, slot: Slot) {
        self.hold().feeds.remove(&slot);
    }

    /// What a slot has not heard yet.
    pub fn news(&self, slot: Slot) -> News {
        let mut inner = self.hold();
        let feed = inner.feeds.get_mut(&slot);
        feed.map(|feed| std::mem::take(&mut feed.news))
            .unwrap_or_default()
    }

    /// Which slots are held; true for those that have to hear of everything, which they are told of once.
    pub fn held(&self) -> BTreeMap<Slot, bool> {
        let mut inner = self.hold();
        let feeds = inner.feeds.iter_mut();
        feeds
            .map(|(slot, feed)| (*slot, std::mem::take(&mut feed.is_new)))
            .collect()
    }

    /// Tells slots what changed. A slot that came to be held meanwhile hears of everything in the next round.
    pub fn tell(&self, news: BTreeMap<Slot, News>) {
        let mut inner = self.hold();
        for (slot, news) in news {
            if let Some(feed) = inner.feeds.get_mut(&slot) {
                feed.news.extend(news);
            }
        }
    }

    /// Where a place lies among the copies of MirrorMaker 2, if anything is known of it; `None` until that was read.
    pub fn before_us(
        &self,
        group: &str,
        names: (&TopicPartition, &TopicPartition),
        position: &Position,
        offset: SourceOffset,
    ) -> Option<Option<TargetOffset>> {
        let mut inner = self.hold();
        match &inner.past {
            Past::Known(past) => Some(at_least(past, group, names, position, offset)),
            Past::Asked => None,
            Past::Unasked => {
                inner.past = Past::Asked;
                None
            }
        }
    }

    /// Whether somebody waits for what MirrorMaker 2 left behind.
    pub fn asks_for_past(&self) -> bool {
        matches!(self.hold().past, Past::Asked)
    }

    /// Notes what MirrorMaker 2 left behind.
    pub fn found_past(&self, past: Mm2Past) {
        self.hold().past = Past::Known(past);
    }

    /// Where a place of history lies, if that was found; asked for otherwise.
    pub fn history(
        &self,
        partition: &TopicPartition,
        offset: SourceOffset,
    ) -> Option<Translation<TargetOffset>> {
        let key = (partition.clone(), offset);
        let mut inner = self.hold();
        if let Some((found, at)) = inner.history.get(&key) {
            let found = *found;
            if found != Translation::NotReady || at.elapsed() < UNTOLD_KEPT {
                return Some(found);
            }
        }
        if inner.questions.len() < QUESTIONS_MAX {
            inner.questions.insert(key);
        }
        None
    }

    /// What was found of history holds no more.
    pub fn forget_history(&self) {
        self.hold().history.clear();
    }

    /// What slots asked since the last call.
    pub fn questions(&self) -> BTreeSet<(TopicPartition, SourceOffset)> {
        let mut inner = self.hold();
        let now = Instant::now();
        inner
            .history
            .retain(|_, (_, at)| now.duration_since(*at) < FOUND_KEPT);
        std::mem::take(&mut inner.questions)
    }

    /// Notes an answer.
    pub fn found(
        &self,
        partition: TopicPartition,
        offset: SourceOffset,
        translation: Translation<TargetOffset>,
    ) {
        let found = (translation, Instant::now());
        self.hold().history.insert((partition, offset), found);
    }

    /// The target told, as of `at`, which groups somebody is in.
    pub fn target_seen(&self, at: Instant) {
        self.hold().target_seen = Some(at);
    }

    /// Whether that is so fresh that places may be committed by it.
    pub fn is_target_seen(&self, now: Instant) -> bool {
        let seen = self.hold().target_seen;
        seen.is_some_and(|at| now.duration_since(at) < SEEN_HOLDS)
    }

    /// Where a group stands on the target, if that was found lately; asked for otherwise.
    pub fn stands(&self, group: &Arc<str>, now: Instant) -> Option<Arc<Stands>> {
        let mut inner = self.hold();
        let found = inner.stands.get(group);
        let found = found.filter(|(_, at)| now.duration_since(*at) < STANDS_HOLDS);
        let found = found.map(|(stands, _)| Arc::clone(stands));
        if found.is_none() {
            inner.asked.insert(group.clone());
        }
        found
    }

    /// Groups of which slots asked since the last call where they stand; what was found before and holds no more goes.
    pub fn asked(&self) -> Vec<Arc<str>> {
        let mut inner = self.hold();
        let now = Instant::now();
        inner
            .stands
            .retain(|_, (_, at)| now.duration_since(*at) < STANDS_HOLDS);
        std::mem::take(&mut inner.asked).into_iter().collect()
    }

    /// Notes where a group stood on the target.
    pub fn stood(&self, group: Arc<str>, stands: Stands, at: Instant) {
        self.hold().stands.insert(group, (Arc::new(stands), at));
    }

    /// The brokers refused a group's places.
    pub fn refuse(&self, group: Arc<str>, reason: &str) {
        let refused = (reason.into(), Instant::now());
        self.hold().refused.insert(group, refused);
    }

    /// Groups that are left alone for now, and why.
    pub fn refused(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        let mut inner = self.hold();
        let now = Instant::now();
        inner
            .refused
            .retain(|_, (_, at)| now.duration_since(*at) < REFUSED_FOR);
        let refused = inner.refused.iter();
        refused
            .map(|(group, (reason, _))| (group.clone(), reason.clone()))
            .collect()
    }
}

/// The same, by how long the target keeps places: 7 days unless told otherwise (`offsets.retention.minutes`).
fn again_after(kept: Option<Duration>) -> Duration {
    kept.map_or(AGAIN_AFTER, |kept| AGAIN_AFTER.min(kept / AGAIN_WITHIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_committed_again_well_before_the_target_forgets_them() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        for (kept, again) in [
            (None, minutes(60)),
            (Some(minutes(7 * 24 * 60)), minutes(60)),
            (Some(minutes(240)), minutes(60)),
            (Some(minutes(60)), minutes(15)),
            (Some(minutes(1)), Duration::from_secs(15)),
        ] {
            assert_eq!(again_after(kept), again, "{kept:?}");
        }
    }
}
