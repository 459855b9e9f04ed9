//! The thread that looks where groups stand on the source, and tells slots what changed.
//!
//! A thousand groups on a hundred partitions are a hundred thousand places, of which few change between two looks: they
//! are compared as they are decoded, and only a difference costs more than that.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{
    FlowState, Slot, SourceOffset, TargetOffset, TopicPartition, Translation, slot_of,
};
use understudy_kafka::ffi::groups::{GroupState, OtherGroup, Patience, Told};
use understudy_kafka::{Cluster, Fault, Operation};

use crate::config::GroupDeletes;
use crate::explain::explain;
use crate::flow_record;
use crate::map_state::{Known, Question, answer_all};
use crate::mm2::load_past;
use crate::places::{News, OnTarget, PlaceKey, Stands, Wanted};
use crate::slot::Context;
use crate::stop::Stop;

/// Time limit of one round of calls; after it coordinators are looked for again.
const WITHIN: Duration = Duration::from_secs(5);
/// How often groups that are none of consumers are looked for; it costs the brokers a description of every group.
const OTHERS_INTERVAL: Duration = Duration::from_secs(30);
/// How often the target is asked for how long it keeps places.
const KEPT_INTERVAL: Duration = Duration::from_secs(3600);
/// How many looks in a row a place must be missing from until the group is taken to have it no more: a coordinator
/// that moves may not know for a moment.
const MISSED_MAX: u8 = 3;

/// What warnings of this part are about.
const ABOUT: &str = "groups";

/// One group as last seen on the source.
#[derive(Default)]
struct Standing {
    on_target: OnTarget,
    /// In order.
    places: Vec<Stand>,
}

#[derive(Clone)]
struct Stand {
    partition: TopicPartition,
    slot: Slot,
    offset: i64,
    /// In how many looks in a row it was missing.
    missed: u8,
}

/// What one look told of one group.
struct Seen {
    /// In order, once they were sorted.
    places: Vec<(TopicPartition, i64)>,
    /// Partitions that the broker answered with an error; nothing is known of these.
    unclear: BTreeSet<TopicPartition>,
}

/// Keeps [`Places`](crate::places::Places) true.
pub struct Looker {
    context: Context,
    source: Cluster,
    target: Cluster,
    standing: BTreeMap<Arc<str>, Standing>,
    /// The group that a look begins with: those that the last one did not come to are not the last again.
    begin_with: Option<Arc<str>>,
    /// Topics by name, so that a name is kept once; none for topics that are not mirrored.
    topics: HashMap<Box<str>, Option<Arc<str>>>,
    /// Groups of the source that are none of consumers and have places all the same: followed as any other.
    more: BTreeSet<Arc<str>>,
    others_again: Instant,
    /// Groups that the target does not list among those of consumers, and what they are there; looked at again when
    /// another one is missing from the list, and now and then.
    unlisted: BTreeMap<Arc<str>, OnTarget>,
    unlisted_again: Instant,
    kept_again: Instant,
}

impl Looker {
    /// A looker with clients of its own.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(context: Context) -> Result<Self, Fault> {
        let flow = &context.flow;
        let (source, target) = (Cluster::kept(&flow.source)?, Cluster::kept(&flow.target)?);
        Ok(Self {
            context,
            source,
            target,
            standing: BTreeMap::new(),
            begin_with: None,
            topics: HashMap::new(),
            more: BTreeSet::new(),
            others_again: Instant::now(),
            unlisted: BTreeMap::new(),
            unlisted_again: Instant::now(),
            kept_again: Instant::now(),
        })
    }

    /// Looks until `stop`.
    pub fn run(mut self, stop: &Stop) {
        let interval = self.context.flow.group_sync_interval;
        while !stop.is_set() {
            let next = Instant::now() + interval;
            // Also without groups: what slots asked is answered first.
            self.answer();
            // Each, whatever becomes of the others.
            let (past, stands) = (self.look_at_past(), self.look_where_they_stand());
            let looked = self.look();
            match looked.and(past).and(stands) {
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
        if self.context.places.asks_for_past() {
            let past = load_past(&self.context.flow, Some(&self.source), &self.target)?;
            self.context.places.found_past(past);
        }
        Ok(())
    }

    /// Reads where groups stand on the target of which slots asked.
    fn look_where_they_stand(&self) -> Result<(), (bool, Fault)> {
        let asked = self.context.places.asked();
        if asked.is_empty() {
            return Ok(());
        }
        let (at, mut stands) = (Instant::now(), Stands::new());
        let mut tell = |number: usize, told: Told<'_>| match told {
            Told::Place(topic, partition, Ok(offset), author) => {
                let partition = TopicPartition::new(topic, partition);
                stands.insert(partition, (TargetOffset::new(offset), author));
            }
            Told::Place(_, _, Err(_), _) => {}
            Told::End(answer) => {
                let stands = std::mem::take(&mut stands);
                // Those that were not told of are asked for again.
                if let (Ok(()), Some(group)) = (answer, asked.get(number)) {
                    self.context.places.stood(group.clone(), stands, at);
                }
            }
        };
        let told = self
            .target
            .tell_group_places(&asked, Patience::FOR_ALL, &mut tell);
        told.map(drop).map_err(|fault| (false, fault))
    }

    /// The source is silent: the target is looked at all the same, because people may have started their consumers there.
    fn look_at_target_alone(&mut self) -> Result<(), Fault> {
        let names: Vec<Arc<str>> = self.standing.keys().cloned().collect();
        let on_target = self.look_at_target(&names)?;
        let mut news: BTreeMap<Slot, News> = BTreeMap::new();
        for (group, standing) in &mut self.standing {
            let now = on_target.get(group).copied().unwrap_or_default();
            if now == standing.on_target {
                continue;
            }
            standing.on_target = now;
            for stand in &standing.places {
                let key = (group.clone(), stand.partition.clone());
                let news = news.entry(stand.slot).or_default();
                news.insert(key, Some(stand.wanted(now)));
            }
        }
        self.tell(news);
        Ok(())
    }

    fn look(&mut self) -> Result<(), (bool, Fault)> {
        let at_source = |fault| (true, fault);
        let flow = self.context.flow.clone();
        let states = match self.source.group_states(WITHIN) {
            Ok(states) => states,
            Err(fault) => {
                if let Err(fault) = self.look_at_target_alone() {
                    tracing::debug!(%fault, "groups of the target are not known either");
                }
                return Err((true, fault));
            }
        };
        let listed: BTreeSet<Arc<str>> = states
            .into_keys()
            .filter(|group| flow.groups.selects(group))
            .map(Arc::from)
            .collect();
        self.look_at_others(&listed);
        // Groups that are listed no more are asked for once more: a list may lack what a coordinator is loading.
        let mut names = listed;
        names.extend(self.more.iter().cloned());
        names.extend(self.standing.keys().cloned());
        let mut names: Vec<Arc<str>> = names.into_iter().collect();
        if let Some(first) = &self.begin_with {
            let at = names.partition_point(|name| name < first);
            names.rotate_left(at);
        }
        let on_target = self
            .look_at_target(&names)
            .map_err(|fault| (false, fault))?;
        let (mut news, mut gone) = (BTreeMap::new(), Vec::new());
        let (topics, standing) = (&mut self.topics, &mut self.standing);
        let slots = self.context.slots;
        let mut scratch = Seen {
            places: Vec::new(),
            unclear: BTreeSet::new(),
        };
        let mut unheard = names.len();
        let asked = self
            .source
            .tell_group_places(&names, Patience::FOR_ALL, &mut |number, told| match told {
                Told::Place(topic, partition, offset, _) => {
                    let Some(topic) = topic_of(topics, topic, &flow) else {
                        return;
                    };
                    let partition = TopicPartition { topic, partition };
                    match offset {
                        Ok(offset) => scratch.places.push((partition, offset)),
                        Err(_) => {
                            scratch.unclear.insert(partition);
                        }
                    }
                }
                Told::End(answer) => {
                    unheard -= 1;
                    // A group that we may not see, or whose coordinator does not answer: it keeps what it has.
                    if let (Ok(()), Some(group)) = (answer, names.get(number)) {
                        let on_target = on_target.get(group).copied().unwrap_or_default();
                        scratch.places.sort_unstable();
                        let known = standing.entry(group.clone()).or_default();
                        known.see(group, on_target, &scratch, slots, &mut news, &mut gone);
                    }
                    scratch.places.clear();
                    scratch.unclear.clear();
                }
            })
            .map_err(at_source)?;
        self.begin_with = names.get(asked).cloned();
        self.standing.retain(|_, group| !group.places.is_empty());
        self.tell(news);
        self.follow_deletes(gone, &on_target);
        if unheard > 0 {
            return Err((
                true,
                Fault::TimedOut {
                    operation: Operation::GroupOffsets,
                    subject: format!("{unheard} of {} groups", names.len()),
                    within: Patience::FOR_ALL.silence,
                },
            ));
        }
        Ok(())
    }

    /// Tells slots what changed, and those that know nothing yet everything.
    fn tell(&self, mut news: BTreeMap<Slot, News>) {
        let held = self.context.places.held();
        news.retain(|slot, _| held.contains_key(slot));
        if held.values().any(|is_new| *is_new) {
            for (group, standing) in &self.standing {
                for stand in &standing.places {
                    if held.get(&stand.slot) == Some(&true) {
                        let key = (group.clone(), stand.partition.clone());
                        let wanted = stand.wanted(standing.on_target);
                        news.entry(stand.slot)
                            .or_default()
                            .insert(key, Some(wanted));
                    }
                }
            }
        }
        let slots: Vec<Slot> = news.keys().copied().collect();
        self.context.places.tell(news);
        self.context.bell.ring_for(&slots);
    }

    /// What these groups are on the target; those that it does not know are left out.
    fn look_at_target(
        &mut self,
        names: &[Arc<str>],
    ) -> Result<BTreeMap<Arc<str>, OnTarget>, Fault> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.look_how_long_kept();
        let seen_at = Instant::now();
        let listed = self.target.group_states(WITHIN)?;
        let mut missing = names.iter().filter(|name| !listed.contains_key(&***name));
        // A group is listed no more when a streams application has taken it up.
        let is_news = missing.any(|name| !self.unlisted.contains_key(name));
        if is_news || Instant::now() >= self.unlisted_again {
            self.unlisted = unlisted_on(&self.target, names, &listed)?;
            self.unlisted_again = Instant::now() + OTHERS_INTERVAL;
        }
        self.unlisted
            .retain(|name, _| !listed.contains_key(&**name));
        let listed = names.iter().filter_map(|name| {
            let on_target = match listed.get(&**name)? {
                GroupState::Empty => OnTarget::Free,
                GroupState::Live => OnTarget::Live,
            };
            Some((name.clone(), on_target))
        });
        self.context.places.target_seen(seen_at);
        let unlisted = self.unlisted.iter();
        Ok(listed
            .chain(unlisted.map(|(name, on_target)| (name.clone(), *on_target)))
            .collect())
    }

    /// Asks now and then for how long the target keeps places. Where it does not tell, or may not be asked, it is taken to
    /// keep them for long.
    fn look_how_long_kept(&mut self) {
        if Instant::now() < self.kept_again {
            return;
        }
        self.kept_again = Instant::now() + KEPT_INTERVAL;
        match self.target.places_kept(WITHIN) {
            Ok(kept) => self.context.places.kept_for(kept),
            Err(fault @ Fault::Denied { .. }) => {
                tracing::debug!(%fault, "for how long the target keeps places of groups is not known");
            }
            Err(fault) => {
                tracing::debug!(%fault, "for how long the target keeps places of groups is not known yet");
                self.kept_again = Instant::now() + OTHERS_INTERVAL;
            }
        }
    }

    /// Looks for groups of the source that are none of consumers: those with places are followed, those of newer
    /// protocols without any cannot be moved.
    fn look_at_others(&mut self, consumers: &BTreeSet<Arc<str>>) {
        if Instant::now() < self.others_again {
            return;
        }
        self.others_again = Instant::now() + OTHERS_INTERVAL;
        let is_known =
            |group: &str| consumers.contains(group) || !self.context.flow.groups.selects(group);
        let found = self
            .source
            .other_groups(&is_known, WITHIN)
            .and_then(|others| {
                let names: Vec<String> = others.keys().cloned().collect();
                Ok((with_places(&self.source, &names)?, others))
            });
        match found {
            Ok((with_places, others)) => {
                // A group that was made between the two looks is a consumers' group after all.
                let consumers = self.source.group_states(WITHIN).unwrap_or_default();
                let not_movable = others.iter().filter(|(group, kind)| {
                    **kind == OtherGroup::Newer
                        && !with_places.contains(*group)
                        && !consumers.contains_key(*group)
                });
                self.context.board.hold().not_movable =
                    not_movable.map(|(group, _)| group.clone()).collect();
                self.more = with_places.into_iter().map(Arc::from).collect();
            }
            Err(fault) => {
                tracing::debug!(%fault, "could not look for groups that are none of consumers");
            }
        }
    }

    /// Deletes on the target what groups have no more on the source, if it is to be so. No transaction fences this, so
    /// the flow's state is looked at first; and what somebody uses on the target is left alone.
    fn follow_deletes(&self, gone: Vec<PlaceKey>, on_target: &BTreeMap<Arc<str>, OnTarget>) {
        let flow = &self.context.flow;
        if gone.is_empty() || flow.group_deletes == GroupDeletes::Keep {
            return;
        }
        let runs = matches!(
            flow_record::read(&self.target, flow),
            Ok(Some(record)) if record.state == FlowState::Running
        );
        let held = self
            .context
            .board
            .hold()
            .slots
            .keys()
            .copied()
            .collect::<BTreeSet<_>>();
        let mut by_group: BTreeMap<Arc<str>, Vec<TopicPartition>> = BTreeMap::new();
        for (group, partition) in gone {
            let is_ours = held.contains(&slot_of(&partition, self.context.slots));
            let is_idle = on_target.get(&group) == Some(&OnTarget::Free);
            if runs && is_ours && is_idle {
                let copies = flow.target_of(&partition);
                by_group.entry(group).or_default().push(copies);
            }
        }
        for (group, places) in by_group {
            match self.target.delete_group_places(&group, &places, WITHIN) {
                Ok(()) => {
                    tracing::info!(%group, places = places.len(), "places deleted, as on the source");
                }
                Err(fault) => {
                    tracing::warn!(%group, reason = %explain(&flow.target, &fault), "places not deleted");
                }
            }
        }
    }

    /// Looks places of history up in the stored map.
    fn answer(&self) {
        let asked = self.context.places.questions();
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
        for (question, known) in answers {
            let Question::Forward(partition, offset) = question else {
                continue;
            };
            let places = &self.context.places;
            match known {
                Known::Target(_, translation) => match translation {
                    Translation::Exact(_)
                    | Translation::AtLeast(_)
                    | Translation::BeforeHistory
                    | Translation::NoSync => places.found(partition, offset, translation),
                    // These are of the moment; they are asked again.
                    Translation::Ahead | Translation::NotReady => {}
                },
                Known::Unreadable(reason) => {
                    tracing::info!(%partition, %offset, reason, "a place of history is not told yet");
                    places.found(partition, offset, Translation::NotReady);
                }
                Known::Source(..) | Known::Nothing => {}
            }
        }
    }
}

impl Stand {
    const fn wanted(&self, on_target: OnTarget) -> Wanted {
        Wanted {
            source_offset: SourceOffset::new(self.offset),
            on_target,
        }
    }
}

impl Standing {
    /// Takes in what was seen; adds what changed to `news`, and what the group has no more to `gone` as well.
    fn see(
        &mut self,
        group: &Arc<str>,
        on_target: OnTarget,
        seen: &Seen,
        slots: NonZeroU32,
        news: &mut BTreeMap<Slot, News>,
        gone: &mut Vec<PlaceKey>,
    ) {
        let same = on_target == self.on_target
            && self.places.len() == seen.places.len()
            && self
                .places
                .iter()
                .zip(&seen.places)
                .all(|(known, (partition, offset))| {
                    known.missed == 0 && known.offset == *offset && known.partition == *partition
                });
        if same {
            return;
        }
        let all = on_target != self.on_target;
        self.on_target = on_target;
        let mut say = |slot: Slot, partition: &TopicPartition, wanted: Option<Wanted>| {
            let key = (group.clone(), partition.clone());
            news.entry(slot).or_default().insert(key, wanted);
        };
        let mut merged = Vec::with_capacity(seen.places.len());
        let mut known = std::mem::take(&mut self.places).into_iter().peekable();
        let mut found = seen.places.iter().peekable();
        loop {
            let order = match (known.peek(), found.peek()) {
                (Some(known), Some((partition, _))) => known.partition.cmp(partition),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let mut stand = match (order, known.next_if(|_| order != Ordering::Greater)) {
                (_, Some(stand)) => stand,
                (_, None) => {
                    let Some((partition, offset)) = found.peek() else {
                        break;
                    };
                    Stand {
                        partition: partition.clone(),
                        slot: slot_of(partition, slots),
                        // Other than what was found: it is news.
                        offset: offset.wrapping_sub(1),
                        missed: 0,
                    }
                }
            };
            if order == Ordering::Less {
                if !seen.unclear.contains(&stand.partition) {
                    stand.missed = stand.missed.saturating_add(1);
                }
                if stand.missed >= MISSED_MAX {
                    say(stand.slot, &stand.partition, None);
                    gone.push((group.clone(), stand.partition));
                    continue;
                }
                if all {
                    say(stand.slot, &stand.partition, Some(stand.wanted(on_target)));
                }
            } else if let Some((_, offset)) = found.next() {
                let is_news = all || stand.offset != *offset;
                (stand.offset, stand.missed) = (*offset, 0);
                if is_news {
                    say(stand.slot, &stand.partition, Some(stand.wanted(on_target)));
                }
            }
            merged.push(stand);
        }
        self.places = merged;
    }
}

/// What groups are on the target that it does not list among those of consumers; `Absent` if it knows none of that name.
pub fn unlisted_on<G: AsRef<str> + Ord + Clone>(
    target: &Cluster,
    names: &[G],
    listed: &BTreeMap<String, GroupState>,
) -> Result<BTreeMap<G, OnTarget>, Fault> {
    let missing: BTreeMap<&str, &G> = names
        .iter()
        .filter(|name| !listed.contains_key(name.as_ref()))
        .map(|name| (name.as_ref(), name))
        .collect();
    if missing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let others = target.other_groups(&|group| !missing.contains_key(group), WITHIN)?;
    let newer = others
        .iter()
        .filter(|(_, kind)| **kind == OtherGroup::Newer);
    let newer: Vec<String> = newer.map(|(name, _)| name.clone()).collect();
    let with_places = with_places(target, &newer)?;
    let found = missing.into_iter().map(|(name, key)| {
        let on_target = match others.get(name) {
            None => OnTarget::Absent,
            Some(OtherGroup::Classic(GroupState::Empty)) => OnTarget::Free,
            Some(OtherGroup::Classic(GroupState::Live)) => OnTarget::Live,
            // Brokers would let us set places under the members of a streams group.
            Some(OtherGroup::Newer) if with_places.contains(name) => OnTarget::Live,
            Some(OtherGroup::Newer) => OnTarget::Taken,
        };
        (key.clone(), on_target)
    });
    Ok(found.collect())
}

/// Those of the groups that have places.
pub fn with_places(cluster: &Cluster, groups: &[String]) -> Result<BTreeSet<String>, Fault> {
    let mut found = BTreeSet::new();
    cluster.tell_group_places(groups, Patience::FOR_ALL, &mut |number, told| {
        if let (Told::Place(..), Some(group)) = (told, groups.get(number)) {
            found.insert(group.clone());
        }
    })?;
    Ok(found)
}

/// A topic's name, kept once; none if the flow does not mirror it.
fn topic_of(
    topics: &mut HashMap<Box<str>, Option<Arc<str>>>,
    name: &str,
    flow: &crate::config::Flow,
) -> Option<Arc<str>> {
    if let Some(known) = topics.get(name) {
        return known.clone();
    }
    let topic = flow.selects(name).then(|| Arc::from(name));
    topics.insert(name.into(), topic.clone());
    topic
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What one look tells of three partitions: an offset, nothing, or that it is not clear; and what the group is on the
    /// target.
    fn looks() -> impl Strategy<Value = Vec<([Option<Option<i64>>; 3], OnTarget)>> {
        let told = prop::option::weighted(0.8, prop::option::weighted(0.7, 0..3_i64));
        let on_target = prop::sample::select(vec![
            OnTarget::Absent,
            OnTarget::Free,
            OnTarget::Live,
            OnTarget::Taken,
        ]);
        prop::collection::vec((prop::array::uniform3(told), on_target), 1..40)
    }

    proptest! {
        #[test]
        fn whoever_hears_the_news_knows_what_a_full_look_would_tell(looks in looks()) {
            let slots = NonZeroU32::MIN.saturating_add(2);
            let group: Arc<str> = "team".into();
            let mut standing = Standing::default();
            let mut heard: BTreeMap<TopicPartition, Wanted> = BTreeMap::new();
            // By partition: the last offset, and in how many looks it was missing since.
            let mut model: BTreeMap<TopicPartition, (i64, u8)> = BTreeMap::new();
            for (told, on_target) in looks {
                let mut seen = Seen { places: Vec::new(), unclear: BTreeSet::new() };
                let mut lost = Vec::new();
                for (number, told) in (0..).zip(told) {
                    let partition = TopicPartition::new("orders", number);
                    match told {
                        Some(Some(offset)) => {
                            seen.places.push((partition.clone(), offset));
                            model.insert(partition, (offset, 0));
                        }
                        Some(None) => {
                            if let Some((_, missed)) = model.get_mut(&partition) {
                                *missed += 1;
                                if *missed >= MISSED_MAX {
                                    model.remove(&partition);
                                    lost.push((group.clone(), partition));
                                }
                            }
                        }
                        None => {
                            seen.unclear.insert(partition);
                        }
                    }
                }
                let (mut news, mut gone) = (BTreeMap::new(), Vec::new());
                standing.see(&group, on_target, &seen, slots, &mut news, &mut gone);
                prop_assert_eq!(gone, lost);
                for ((_, partition), wanted) in news.into_values().flatten() {
                    match wanted {
                        Some(wanted) => heard.insert(partition, wanted),
                        None => heard.remove(&partition),
                    };
                }
                let known: Vec<_> = heard.iter().map(|(name, wanted)| (name.clone(), wanted.source_offset.get())).collect();
                let right: Vec<_> = model.iter().map(|(name, (offset, _))| (name.clone(), *offset)).collect();
                prop_assert_eq!(known, right);
                prop_assert!(heard.values().all(|wanted| wanted.on_target == on_target));
            }
        }
    }
}
