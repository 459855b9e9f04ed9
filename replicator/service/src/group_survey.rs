//! Where groups stand on both sides, for the tools: compared through the offset map, without a worker.
//!
//! A place is exact if nothing would be read again and nothing skipped; a commit marker between two places is neither.
//! Where the map has lost a part, or MirrorMaker 2 copied, a place is at-least: never called exact.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_domain::mm2::Mm2Past;
use understudy_domain::{
    GroupLook, PlaceState, Position, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_kafka::ffi::admin::{Edge, Edges};
use understudy_kafka::ffi::groups::{GroupState, OtherGroup, Patience, Told};
use understudy_kafka::{Cluster, Fault};

use crate::config::Flow;
use crate::explain::explain;
use crate::looker::{unlisted_on, with_places};
use crate::map_state::{Known, Question};
use crate::mm2::{NO_BETTER, NO_TRACE, at_least, is_before_us, load_past};
use crate::places::{OnTarget, copy_is_deleted};
use crate::tool::ToolError;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at groups that move.
const PAUSE: Duration = Duration::from_millis(300);
/// Why a place in a lost part of the map is no better.
const LOST: &str = "part of the offset map is lost";
/// How many places a text names.
const NAMED: usize = 50;

/// One group's place on one partition.
#[derive(Clone, Debug, Serialize)]
pub struct GroupPlace {
    group: String,
    topic: String,
    partition: i32,
    /// As committed on the source.
    source_offset: i64,
    /// Where it should stand on the target; null while that is not known.
    target_offset: Option<i64>,
    /// Where it stands there.
    stands: Option<i64>,
    /// `exact`; `at-least`, at the nearest known place before it; `behind`, it would read again; `beyond`, it would
    /// skip; `live` on the target; `missing` there; `ahead` of replication; `unknown`.
    state: &'static str,
    /// How many records it would read again; at most so many where it is `at-least`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reread_records: Option<u64>,
    /// How many records it would skip.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What was found of all groups.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GroupSurvey {
    places: Vec<GroupPlace>,
    /// Groups of newer protocols that have committed no offsets, as share groups never do (KIP-932).
    not_movable: Vec<String>,
    /// Groups that a cluster does not tell of, and why.
    unreadable: BTreeMap<String, String>,
    /// Topics that groups have places on and that the flow does not mirror, by group.
    not_mirrored: BTreeMap<String, BTreeSet<String>>,
}

/// What the offset map has to say; a tool asks the whole map or as little of it as it needs.
pub struct Atlas<'a> {
    /// Answers questions.
    pub ask: &'a dyn Fn(&[Question]) -> Result<Answers, ToolError>,
    /// How many records of a source range were copied; none if that is not known exactly.
    pub copied: &'a dyn Fn(&TopicPartition, Range<SourceOffset>) -> Option<u64>,
    /// How long groups are watched that are not exact: places follow within the flow's interval.
    pub patience: Duration,
}

/// What the map answered, by question.
pub type Answers = BTreeMap<Question, Known>;

type Key = (String, TopicPartition);

/// Everything that one round looked at.
struct Round<'a> {
    flow: &'a Flow,
    /// What MirrorMaker 2 left behind, read when it is asked for.
    past: &'a dyn Fn() -> Result<&'a Mm2Past, ToolError>,
    starts: &'a Edges,
    /// Where the logs of copies start.
    starts_of_copies: &'a Edges,
    on_source: BTreeMap<Key, i64>,
    places_on_target: BTreeMap<Key, i64>,
    on_target: BTreeMap<String, OnTarget>,
}

/// What one cluster has of some groups.
#[derive(Default)]
struct Side {
    places: BTreeMap<Key, i64>,
    not_mirrored: BTreeMap<String, BTreeSet<String>>,
    unreadable: BTreeMap<String, String>,
}

/// Looks at both clusters. A group that moves is exact if it stands where any of its places since the first look is.
///
/// # Errors
/// A cluster or the flow's state did not answer.
pub fn survey(
    flow: &Flow,
    source: &Cluster,
    target: &Cluster,
    atlas: &Atlas<'_>,
) -> Result<GroupSurvey, ToolError> {
    let at_source = |fault| ToolError::Source(explain(&flow.source, &fault));
    let at_target = |fault| ToolError::Target(explain(&flow.target, &fault));
    let deadline = Instant::now() + atlas.patience;
    let mut settled: BTreeMap<Key, GroupPlace> = BTreeMap::new();
    let mut seen: BTreeMap<Key, BTreeSet<i64>> = BTreeMap::new();
    let mut found = GroupSurvey::default();
    let past = OnceCell::new();
    // What is none of consumers costs the brokers a description of every group: once.
    let others = other_groups(flow, source)
        .inspect_err(|fault| tracing::debug!(%fault, "could not look for groups of other kinds"))
        .ok();
    loop {
        let consumers = source.group_states(WITHIN).map_err(at_source)?;
        let others = others
            .as_ref()
            .into_iter()
            .flat_map(|(_, with_places)| with_places);
        let names: BTreeSet<&String> = consumers
            .keys()
            .filter(|group| flow.groups.selects(group))
            .chain(others)
            .collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let here = Side::read(source, &names, |topic| flow.selects(topic)).map_err(at_source)?;
        let on_source = here.places;
        let partitions: BTreeSet<_> = on_source.keys().map(|(_, name)| name.clone()).collect();
        let starts = source
            .edges(&partitions, Edge::Earliest, WITHIN)
            .map_err(at_source)?;
        let on_target = look_at_target(target, &names).map_err(at_target)?;
        let there = Side::read(target, &names, |_| true).map_err(at_target)?;
        let copies: BTreeSet<_> = there.places.keys().map(|(_, name)| name.clone()).collect();
        let starts_of_copies = target
            .edges(&copies, Edge::Earliest, WITHIN)
            .map_err(at_target)?;
        for (key, offset) in &on_source {
            seen.entry(key.clone()).or_default().insert(*offset);
        }
        let round = Round {
            flow,
            past: &|| match past.get() {
                Some(known) => Ok(known),
                None => {
                    let loaded =
                        load_past(flow, Some(source), target).map_err(|(is_source, fault)| {
                            if is_source {
                                at_source(fault)
                            } else {
                                at_target(fault)
                            }
                        })?;
                    Ok(past.get_or_init(|| loaded))
                }
            },
            starts: &starts,
            starts_of_copies: &starts_of_copies,
            on_source,
            places_on_target: there.places,
            on_target,
        };
        let looked = round.judge(&seen, atlas)?;
        let all_settled = looked
            .iter()
            .all(|(key, place)| place.is_settled() || settled.contains_key(key));
        for (key, place) in looked {
            let known = settled
                .get(&key)
                .is_some_and(|known| known.is_as_it_should_be());
            if !known {
                settled.insert(key, place);
            }
        }
        settled
            .retain(|key, place| round.on_source.contains_key(key) || place.is_as_it_should_be());
        found.not_mirrored = here.not_mirrored;
        found.unreadable = here
            .unreadable
            .into_iter()
            .chain(there.unreadable)
            .collect();
        let pending = settled.values().any(|place| !place.is_settled());
        if (all_settled && !pending) || Instant::now() + PAUSE >= deadline {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    // One that was made between two looks is a consumers' group after all.
    let consumers = source.group_states(WITHIN).map_err(at_source)?;
    let not_movable = others.into_iter().flat_map(|(not_movable, _)| not_movable);
    found.not_movable = not_movable
        .filter(|group| !consumers.contains_key(group))
        .collect();
    found.places = settled.into_values().collect();
    Ok(found)
}

/// Groups of the source that are none of consumers: those that cannot be moved, and those with places.
fn other_groups(
    flow: &Flow,
    source: &Cluster,
) -> Result<(BTreeSet<String>, BTreeSet<String>), Fault> {
    let consumers = source.group_states(WITHIN)?;
    let is_known = |group: &str| consumers.contains_key(group) || !flow.groups.selects(group);
    let others = source.other_groups(&is_known, WITHIN)?;
    let names: Vec<String> = others.keys().cloned().collect();
    let with_places = with_places(source, &names)?;
    let not_movable = others
        .into_iter()
        .filter(|(group, kind)| *kind == OtherGroup::Newer && !with_places.contains(group));
    let not_movable = not_movable.map(|(group, _)| group).collect();
    Ok((not_movable, with_places))
}

/// What groups are on the target.
fn look_at_target(target: &Cluster, names: &[String]) -> Result<BTreeMap<String, OnTarget>, Fault> {
    let listed = target.group_states(WITHIN)?;
    let mut on_target = unlisted_on(target, names, &listed)?;
    on_target.extend(listed.into_iter().map(|(name, state)| match state {
        GroupState::Empty => (name, OnTarget::Free),
        GroupState::Live => (name, OnTarget::Live),
    }));
    Ok(on_target)
}

impl Side {
    /// Reads the places of groups on topics that `selects` takes; the other topics are named.
    fn read(
        cluster: &Cluster,
        groups: &[String],
        selects: impl Fn(&str) -> bool,
    ) -> Result<Self, Fault> {
        let mut side = Self::default();
        let mut silent: BTreeSet<usize> = (0..groups.len()).collect();
        cluster.tell_group_places(groups, Patience::FOR_ALL, &mut |number, told| {
            let Some(group) = groups.get(number) else {
                return;
            };
            match told {
                Told::Place(topic, partition, Ok(offset), _) if selects(topic) => {
                    let name = TopicPartition::new(topic, partition);
                    side.places.insert((group.clone(), name), offset);
                }
                Told::Place(topic, _, Ok(_), _) => {
                    let others = side.not_mirrored.entry(group.clone()).or_default();
                    others.insert(topic.to_owned());
                }
                Told::Place(topic, partition, Err(code), _) => {
                    let reason = format!("its place on {topic}-{partition} is not told: {code}");
                    side.unreadable.insert(group.clone(), reason);
                }
                Told::End(answer) => {
                    silent.remove(&number);
                    if let Err(fault) = answer {
                        let reason = explain(cluster.endpoint(), &fault);
                        side.unreadable.insert(group.clone(), reason);
                    }
                }
            }
        })?;
        for group in silent.iter().filter_map(|number| groups.get(*number)) {
            let reason = format!(
                "cluster {} did not tell its places",
                cluster.endpoint().alias
            );
            side.unreadable.insert(group.clone(), reason);
        }
        Ok(side)
    }
}

impl Round<'_> {
    fn judge(
        &self,
        seen: &BTreeMap<Key, BTreeSet<i64>>,
        atlas: &Atlas<'_>,
    ) -> Result<BTreeMap<Key, GroupPlace>, ToolError> {
        let offsets = |key: &Key| seen.get(key).into_iter().flatten().copied();
        let start = |name: &TopicPartition| {
            let start = self.starts.get(name).and_then(|start| start.as_ref().ok());
            start.map(|start| SourceOffset::new(*start))
        };
        // Asked only where a place lies below it.
        let first_left = |key: &Key| {
            start(&key.1).filter(|start| offsets(key).any(|offset| offset < start.get()))
        };
        // Where each place is on the target, and where the record is that would be read from there.
        let mut first = BTreeSet::new();
        for key in self.on_source.keys() {
            first.extend(offsets(key).map(|at| forward(&key.1, SourceOffset::new(at))));
            first.extend(first_left(key).map(|start| forward(&key.1, start)));
        }
        let mut known = (atlas.ask)(&first.into_iter().collect::<Vec<_>>())?;
        let mut second = BTreeSet::new();
        for key in self.on_source.keys() {
            let name = &key.1;
            let should = offsets(key)
                .chain(first_left(key).map(SourceOffset::get))
                .filter_map(|at| {
                    known
                        .get(&forward(name, SourceOffset::new(at)))?
                        .target_offset()
                });
            second.extend(should.map(|at| Question::Reverse(name.clone(), at)));
            if let Some(stands) = self.stands(key, known_position(&known, key, seen)) {
                second.insert(Question::Reverse(name.clone(), TargetOffset::new(stands)));
            }
        }
        known.extend((atlas.ask)(&second.into_iter().collect::<Vec<_>>())?);
        let judged = self.on_source.iter().map(|(key, offset)| {
            let mut best: Option<GroupPlace> = None;
            // The newest first: it is the one that is shown unless an older one is exact.
            let older = offsets(key).filter(|older| older != offset);
            for at in std::iter::once(*offset).chain(older) {
                let place = self.place(key, at, start(&key.1), &known, atlas)?;
                let exact = place.is_as_it_should_be();
                if best.is_none() || exact {
                    best = Some(place);
                }
                if exact {
                    break;
                }
            }
            Ok(best.map(|place| (key.clone(), place)))
        });
        let judged: Vec<_> = judged.collect::<Result<_, ToolError>>()?;
        Ok(judged.into_iter().flatten().collect())
    }

    /// Where a group stands on the target.
    fn stands(&self, key: &Key, position: Option<&Position>) -> Option<i64> {
        let (group, name) = key;
        let copies = match position {
            Some(position) => self.flow.copies_of(name, position),
            None => self.flow.target_of(name),
        };
        let places = &self.places_on_target;
        places.get(&(group.clone(), copies)).copied()
    }

    fn place(
        &self,
        key: &Key,
        offset: i64,
        start: Option<SourceOffset>,
        known: &BTreeMap<Question, Known>,
        atlas: &Atlas<'_>,
    ) -> Result<GroupPlace, ToolError> {
        let (group, name) = key;
        let mut place = GroupPlace {
            group: group.clone(),
            topic: name.topic.to_string(),
            partition: name.partition,
            source_offset: offset,
            target_offset: None,
            stands: None,
            state: "unknown",
            reread_records: None,
            skipped_records: None,
            reason: None,
        };
        let at = SourceOffset::new(offset);
        let mut answer = known.get(&forward(name, at));
        // Where nothing is left of it, the record to be read next is the first one that is.
        if let (Some(Known::Target(_, Translation::BeforeHistory)), Some(start)) =
            (answer, start.filter(|start| *start > at))
        {
            answer = known.get(&forward(name, start));
        }
        let (position, mut translation) = match answer {
            Some(Known::Target(position, translation)) => (position, *translation),
            Some(Known::Unreadable(reason)) => {
                place.reason = Some(reason.clone());
                return Ok(place);
            }
            Some(Known::Nothing | Known::Source(..)) | None => {
                place.reason = Some("the partition is not mirrored yet".to_owned());
                return Ok(place);
            }
        };
        place.stands = self.stands(key, Some(position));
        let mut why = LOST;
        if translation == Translation::BeforeHistory && is_before_us(self.flow, position, at) {
            let copies = self.flow.copies_of(name, position);
            let target = at_least((self.past)()?, group, (name, &copies), position, at);
            (translation, why) = match target {
                Some(target) => (Translation::AtLeast(target), NO_BETTER),
                None => (Translation::BeforeHistory, NO_TRACE),
            };
        }
        let on_target = self.on_target.get(group).copied().unwrap_or_default();
        if let Some(reason) = on_target.reason() {
            if on_target == OnTarget::Live {
                place.state = "live";
            }
            place.target_offset = translation.offset().map(TargetOffset::get);
            place.reason = Some(reason.to_owned());
            return Ok(place);
        }
        let Some(target) = translation.offset() else {
            (place.state, place.reason) = match translation {
                Translation::Ahead => (
                    "ahead",
                    Some(format!(
                        "replication has reached source offset {}",
                        position.source_offset
                    )),
                ),
                Translation::BeforeHistory if why == NO_TRACE => ("unknown", Some(why.to_owned())),
                Translation::BeforeHistory => (
                    "unknown",
                    Some("it lies before everything that the offset map holds".to_owned()),
                ),
                Translation::Exact(_)
                | Translation::AtLeast(_)
                | Translation::NoSync
                | Translation::NotReady => ("unknown", Some("nothing is known of it".to_owned())),
            };
            return Ok(place);
        };
        place.target_offset = Some(target.get());
        let Some(stands) = place.stands.map(TargetOffset::new) else {
            place.state = "missing";
            place.reason = Some(
                "it has no place on the target: it would start where its auto.offset.reset says"
                    .to_owned(),
            );
            return Ok(place);
        };
        let copies = self.flow.copies_of(name, position);
        if let Some(Ok(start)) = self.starts_of_copies.get(&copies)
            && target.get() < *start
            && target != position.target_offset
        {
            place.reason = Some(copy_is_deleted(target, TargetOffset::new(*start)));
            return Ok(place);
        }
        let read_from = |at: TargetOffset| {
            let question = Question::Reverse(name.clone(), at);
            known.get(&question)
        };
        if matches!(translation, Translation::AtLeast(_)) {
            place.beside_unknown(
                at,
                (target, read_from(target)),
                (stands, read_from(stands)),
                why,
            );
            return Ok(place);
        }
        if stands == target {
            place.state = "exact";
            return Ok(place);
        }
        let read_from = |at| read_from(at).and_then(Known::source_offset);
        let Some((from, to)) = read_from(stands).zip(read_from(target)) else {
            (place.state, place.reason) = match stands < target {
                true => (
                    "behind",
                    Some("how much it would read again is not known".to_owned()),
                ),
                false => (
                    "beyond",
                    Some("it stands behind everything that was copied".to_owned()),
                ),
            };
            return Ok(place);
        };
        let records = |range: Range<SourceOffset>| {
            let most = range.end.get().abs_diff(range.start.get());
            (atlas.copied)(name, range).unwrap_or(most)
        };
        let (again, skipped) = (
            if from < to { records(from..to) } else { 0 },
            if from > to { records(to..from) } else { 0 },
        );
        match (again, skipped) {
            (0, 0) => place.state = "exact",
            (again, 0) => {
                (place.state, place.reread_records) = ("behind", Some(again));
                place.reason = Some(format!("it would read {again} records again"));
            }
            (_, skipped) => {
                (place.state, place.skipped_records) = ("beyond", Some(skipped));
                place.reason = Some(format!(
                    "it would skip {skipped} records: it went on on the target, or back on the source and no worker followed"
                ));
            }
        }
        Ok(place)
    }
}

fn forward(name: &TopicPartition, at: SourceOffset) -> Question {
    Question::Forward(name.clone(), at)
}

/// The position that answers about a place were held against.
fn known_position<'a>(
    known: &'a BTreeMap<Question, Known>,
    key: &Key,
    seen: &BTreeMap<Key, BTreeSet<i64>>,
) -> Option<&'a Position> {
    let mut offsets = seen.get(key)?.iter();
    offsets.find_map(
        |at| match known.get(&forward(&key.1, SourceOffset::new(*at)))? {
            Known::Target(position, _) | Known::Source(position, _) => Some(position),
            Known::Nothing | Known::Unreadable(_) => None,
        },
    )
}

impl GroupPlace {
    /// Judges a place of which no more is known than that its copy is at `target` or behind that, because of `why`: `at`
    /// is the record to be read next, and what `target` and `stands` lie on is beside them as far as that is known.
    fn beside_unknown(
        &mut self,
        at: SourceOffset,
        (target, least): (TargetOffset, Option<&Known>),
        (stands, from): (TargetOffset, Option<&Known>),
        why: &str,
    ) {
        let most = |from: Option<&Known>| {
            let from = from.and_then(Known::source_offset)?;
            u64::try_from(at.get().checked_sub(from.get())?).ok()
        };
        let again = |most: Option<u64>| match most {
            Some(most) => format!("it would read at most {most} records again, and skip none"),
            None => "it may read records again, and skips none".to_owned(),
        };
        // Where it stands the map may know more than where it should.
        let exactly = match from {
            Some(Known::Source(_, Translation::Exact(from))) => Some(*from),
            Some(Known::Source(..) | Known::Target(..) | Known::Nothing | Known::Unreadable(_))
            | None => None,
        };
        (self.state, self.reason) = match exactly {
            Some(from) if from == at => ("exact", None),
            Some(from) if from > at => (
                "beyond",
                Some(format!(
                    "it would skip records: it stands on the copy of source offset {from}"
                )),
            ),
            _ if stands == target => {
                self.reread_records = most(least);
                ("at-least", Some(format!("{why}: {}", again(most(least)))))
            }
            Some(_) => {
                self.reread_records = most(from);
                ("behind", Some(format!("{why}: {}", again(most(from)))))
            }
            None if stands < target => ("behind", Some(format!("{why}: {}", again(None)))),
            None => (
                "unknown",
                Some(format!(
                    "{why}: it stands behind the nearest known place, and whether it would skip records cannot be told"
                )),
            ),
        };
    }

    /// It does not become better by waiting.
    fn is_settled(&self) -> bool {
        self.is_as_it_should_be() || self.state == "at-least"
    }

    /// Exact, or somebody's own on the target.
    pub fn is_as_it_should_be(&self) -> bool {
        matches!(self.state, "exact" | "live")
    }
}

impl GroupSurvey {
    /// Whether every place is as it should be.
    pub fn holds(&self) -> bool {
        self.unreadable.is_empty() && self.places.iter().all(GroupPlace::is_as_it_should_be)
    }

    /// How many places were looked at.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// What readiness is made of.
    pub fn looks(&self) -> Vec<GroupLook> {
        let looks = self.places.iter().map(|place| GroupLook {
            group: place.group.clone(),
            state: match place.state {
                "exact" | "live" => PlaceState::Exact,
                "behind" | "at-least" => PlaceState::AtLeast,
                "ahead" => PlaceState::Ahead,
                _ => PlaceState::Unknown,
            },
            reread_records: place.reread_records,
        });
        looks.collect()
    }

    /// In words: the sums, then every place that is not exact, then what cannot be moved.
    pub fn text(&self) -> String {
        let groups: BTreeSet<&str> = self
            .places
            .iter()
            .map(|place| place.group.as_str())
            .collect();
        let exact = self
            .places
            .iter()
            .filter(|place| place.state == "exact")
            .count();
        let mut text = format!(
            "\nplaces of groups: {exact} of {} exact, of {}\n",
            self.places.len(),
            crate::words::counted(groups.len() as u64, "group")
        );
        let others: Vec<_> = self
            .places
            .iter()
            .filter(|place| place.state != "exact")
            .collect();
        let offset =
            |offset: Option<i64>| offset.map_or_else(|| "-".to_owned(), |at| at.to_string());
        for place in others.iter().take(NAMED) {
            // Writing to a string does not fail.
            let _written = writeln!(
                text,
                "  {}  {}-{}  at {} on the source, at {} on the target, should be {}: {}{}",
                place.group,
                place.topic,
                place.partition,
                place.source_offset,
                offset(place.stands),
                offset(place.target_offset),
                place.state,
                place
                    .reason
                    .as_deref()
                    .map_or_else(String::new, |reason| format!(", {reason}")),
            );
        }
        if others.len() > NAMED {
            let _written = writeln!(text, "  and {} more; see --json", others.len() - NAMED);
        }
        for (group, reason) in &self.unreadable {
            let _written = writeln!(text, "  {group}  {reason}");
        }
        for group in &self.not_movable {
            let _written = writeln!(
                text,
                "  {group}  cannot be moved: it has committed no offsets (a share group, KIP-932, or a streams group that has just begun)"
            );
        }
        for (group, topics) in &self.not_mirrored {
            let topics: Vec<_> = topics.iter().map(String::as_str).collect();
            let _written = writeln!(
                text,
                "  {group}  also reads what this flow does not mirror: {}",
                topics.join(", ")
            );
        }
        text
    }
}
