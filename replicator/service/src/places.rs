//! Where consumer groups stand: read on the source by a thread of the worker, translated and committed by slots.
//!
//! ```text
//! source: groups, their places ─▶ Places ─▶ slot: translate, commit in a transaction of its own ─▶ target
//! target: which groups are live ─┘   ▲ │ questions about history
//!                                    └─┘ answered from the stored offset map
//! ```
//! A slot answers from memory what lies in the open chunk of its map, which is where groups stand that keep up. Older
//! places are looked up by the thread, once, and remembered while the group stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use understudy_domain::mm2::Mm2Past;
use understudy_domain::{
    PlaceState, Slot, SourceOffset, TargetOffset, TopicPartition, Translation, slot_of,
};
use understudy_kafka::ffi::groups::GroupState;
use understudy_kafka::{Cluster, Fault};

use crate::catalog::explain;
use crate::mm2::load_past;
use crate::slot::Context;
use crate::stop::Stop;
use crate::translate::map_state::{Known, Question, answer_all};

/// Time limit of one round of calls; after it coordinators are looked for again.
const WITHIN: Duration = Duration::from_secs(5);
/// How many places of history are looked up in a round.
const QUESTIONS_MAX: usize = 10_000;

/// What warnings of this part are about.
const ABOUT: &str = "groups";

/// A group's place on one partition.
pub type PlaceKey = (Arc<str>, TopicPartition);

/// What a slot is to do about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The group's committed offset on the source.
    pub source_offset: SourceOffset,
    /// Somebody is in the group on the target: its places are not touched.
    pub live: bool,
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
    /// Why it is not exact.
    pub reason: Option<String>,
}

/// Shared between the thread and the slots of a worker. One mutex, held for look-ups and inserts.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// By slot: what its groups want, and how often that was looked up.
    wanted: BTreeMap<Slot, (u64, Arc<BTreeMap<PlaceKey, Wanted>>)>,
    /// Places of history that slots asked for.
    questions: BTreeSet<(TopicPartition, SourceOffset)>,
    /// What was found of them.
    history: BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>,
    /// What MirrorMaker 2 left behind, in flows that took over from it.
    past: Past,
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

impl Places {
    fn hold(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a slot's groups want, if that was looked up since round `seen`.
    pub fn wanted(&self, slot: Slot, seen: u64) -> Option<(u64, Arc<BTreeMap<PlaceKey, Wanted>>)> {
        let inner = self.hold();
        inner
            .wanted
            .get(&slot)
            .filter(|(round, _)| *round > seen)
            .cloned()
    }

    /// Where a place lies among the copies of MirrorMaker 2, if anything is known of it; `None` until that was read.
    pub fn before_us(
        &self,
        group: &str,
        names: (&TopicPartition, &TopicPartition),
        offset: SourceOffset,
    ) -> Option<Option<TargetOffset>> {
        let mut inner = self.hold();
        match &inner.past {
            Past::Known(past) => Some(past.at_least(group, names, offset)),
            Past::Asked => None,
            Past::Unasked => {
                inner.past = Past::Asked;
                None
            }
        }
    }

    /// Where a place of history lies, if that was found; asked for otherwise.
    pub fn history(
        &self,
        partition: &TopicPartition,
        offset: SourceOffset,
    ) -> Option<Translation<TargetOffset>> {
        let key = (partition.clone(), offset);
        let mut inner = self.hold();
        if let Some(found) = inner.history.get(&key) {
            return Some(*found);
        }
        if inner.questions.len() < QUESTIONS_MAX {
            inner.questions.insert(key);
        }
        None
    }
}

/// Keeps [`Places`] true.
pub struct Looker {
    context: Context,
    source: Cluster,
    target: Cluster,
    round: u64,
}

impl Looker {
    /// A looker with clients of its own.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(context: Context) -> Result<Self, Fault> {
        let flow = &context.flow;
        let (source, target) = (Cluster::open(&flow.source)?, Cluster::open(&flow.target)?);
        Ok(Self {
            context,
            source,
            target,
            round: 0,
        })
    }

    /// Looks until `stop`.
    pub fn run(mut self, stop: &Stop) {
        let interval = self.context.flow.group_sync_interval;
        while !stop.is_set() {
            let next = Instant::now() + interval;
            // Also without groups: what slots asked is answered first.
            self.answer();
            // Both, whatever becomes of the other.
            let (past, looked) = (self.look_at_past(), self.look());
            match looked.and(past) {
                Ok(()) => self.context.board.warn(ABOUT, Vec::new()),
                Err((on_source, fault)) => {
                    let end = if on_source {
                        &self.context.flow.source
                    } else {
                        &self.context.flow.target
                    };
                    // Places wait; records go on.
                    let reason =
                        format!("places of groups are not current: {}", explain(end, &fault));
                    self.context.board.warn(ABOUT, vec![reason]);
                }
            }
            stop.wait(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Reads what MirrorMaker 2 left behind, once somebody asked for it.
    fn look_at_past(&self) -> Result<(), (bool, Fault)> {
        if !matches!(self.context.places.hold().past, Past::Asked) {
            return Ok(());
        }
        let past = load_past(&self.context.flow, &self.source, &self.target)?;
        self.context.places.hold().past = Past::Known(past);
        Ok(())
    }

    fn look(&mut self) -> Result<(), (bool, Fault)> {
        let flow = self.context.flow.clone();
        let at_source = |fault| (true, fault);
        let names: Vec<String> = self
            .source
            .group_states(WITHIN)
            .map_err(at_source)?
            .into_keys()
            .filter(|group| flow.groups.selects(group))
            .collect();
        let found = self
            .source
            .many_group_places(&names, WITHIN)
            .map_err(at_source)?;
        let on_target = match names.is_empty() {
            true => BTreeMap::new(),
            false => self
                .target
                .group_states(WITHIN)
                .map_err(|fault| (false, fault))?,
        };
        self.round += 1;
        let mut by_slot: BTreeMap<Slot, BTreeMap<PlaceKey, Wanted>> = BTreeMap::new();
        for (group, places) in found {
            // A group that went away meanwhile, or that we may not see: it keeps what it has.
            let Ok(places) = places else { continue };
            let live = on_target.get(&group) == Some(&GroupState::Live);
            let name: Arc<str> = group.as_str().into();
            for (partition, offset) in places {
                let Ok(offset) = offset else { continue };
                if !flow.selects(&partition.topic) {
                    continue;
                }
                let slot = slot_of(&partition, self.context.slots);
                let wanted = Wanted {
                    source_offset: SourceOffset::new(offset),
                    live,
                };
                by_slot
                    .entry(slot)
                    .or_default()
                    .insert((name.clone(), partition), wanted);
            }
        }
        let held: Vec<Slot> = self.context.board.hold().slots.keys().copied().collect();
        let mut inner = self.context.places.hold();
        inner.wanted = held
            .into_iter()
            .map(|slot| {
                let wanted = by_slot.remove(&slot).unwrap_or_default();
                (slot, (self.round, Arc::new(wanted)))
            })
            .collect();
        // What no group stands at any more is forgotten.
        let standing: BTreeSet<_> = inner
            .wanted
            .values()
            .flat_map(|(_, wanted)| wanted.iter())
            .map(|((_, partition), wanted)| (partition.clone(), wanted.source_offset))
            .collect();
        inner.history.retain(|place, _| standing.contains(place));
        inner.questions.retain(|place| standing.contains(place));
        Ok(())
    }

    /// Looks places of history up in the stored map.
    fn answer(&self) {
        let asked = std::mem::take(&mut self.context.places.hold().questions);
        if asked.is_empty() {
            return;
        }
        let questions: Vec<_> = asked
            .iter()
            .map(|(partition, offset)| Question::Forward(partition.clone(), *offset))
            .collect();
        let answers = match answer_all(&self.context.flow, self.context.slots, &questions) {
            Ok(answers) => answers,
            Err(error) => {
                tracing::debug!(%error, "places of history cannot be looked up");
                return;
            }
        };
        let mut inner = self.context.places.hold();
        for (question, known) in answers {
            if let (Question::Forward(partition, offset), Known::Target(_, translation)) =
                (question, known)
            {
                // "Ahead" and "not ready" are of the moment; they are asked again.
                match translation {
                    Translation::Exact(_)
                    | Translation::AtLeast(_)
                    | Translation::BeforeHistory
                    | Translation::NoSync => {
                        inner.history.insert((partition, offset), translation);
                    }
                    Translation::Ahead | Translation::NotReady => {}
                }
            }
        }
    }
}
