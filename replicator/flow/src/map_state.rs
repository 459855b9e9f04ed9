//! Reads as much of the flow's state as some questions need.
//!
//! Slots are read side by side. Of a slot: its positions, the tail of its map from where the asked partitions' open
//! chunks begin, and then single records of older chunks, found through the directory.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use understudy_domain::{
    MapKey, MapReader, MapRecord, MapSearch, Position, Slot, SourceOffset, StateTopics, Step,
    TargetOffset, TopicPartition, Translation, slot_of,
};
use understudy_kafka::picking::{Wanted, pick};
use understudy_kafka::{Cluster, Endpoint, Fault};

use crate::before_cut::look_back;
use crate::chain::chain;
use crate::config::Flow;
use crate::stored_state::{StateError, place_of, read_former, read_map, read_positions};

/// Time limit for single records.
const WITHIN: Duration = Duration::from_secs(20);
/// How many slots are read at once; each takes a client of its own.
const AT_ONCE: usize = 8;
/// An old chunk is two reads away, and a directory that began late sends to the whole log: more rounds do not come.
const ROUNDS: usize = 5;

/// A question to the map, partitions named as on the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Where this place on the source lies on the target.
    Forward(TopicPartition, SourceOffset),
    /// Where this place on the target lies on the source.
    Reverse(TopicPartition, TargetOffset),
}

/// What the map answered.
#[derive(Clone)]
pub enum Known {
    /// Where on the target, and the position that was held against.
    Target(Position, Translation<TargetOffset>),
    /// Where on the source, and the position that was held against.
    Source(Position, Translation<SourceOffset>),
    /// There is no position of this partition.
    Nothing,
    /// The state could not be read.
    Unreadable(String),
}

impl Known {
    /// Where on the target, if that was the question and there is an answer.
    pub fn target_offset(&self) -> Option<TargetOffset> {
        match self {
            Self::Target(_, translation) => translation.offset(),
            Self::Source(..) | Self::Nothing | Self::Unreadable(_) => None,
        }
    }

    /// Where on the source, if that was the question and there is an answer.
    pub fn source_offset(&self) -> Option<SourceOffset> {
        match self {
            Self::Source(_, translation) => translation.offset(),
            Self::Target(..) | Self::Nothing | Self::Unreadable(_) => None,
        }
    }
}

impl Question {
    pub(crate) const fn partition(&self) -> &TopicPartition {
        match self {
            Self::Forward(partition, _) | Self::Reverse(partition, _) => partition,
        }
    }

    /// The same place, asked of a flow the other way round.
    pub(crate) fn turned(&self) -> Self {
        match self {
            Self::Forward(partition, offset) => {
                Self::Reverse(partition.clone(), TargetOffset::new(offset.get()))
            }
            Self::Reverse(partition, offset) => {
                Self::Forward(partition.clone(), SourceOffset::new(offset.get()))
            }
        }
    }

    fn ask(&self, search: &MapSearch) -> Result<Known, Need> {
        let position = || search.position().clone();
        let need = |step: Step<()>| match step {
            Step::Chunk { chunk, at } => Need::Chunk(chunk, at),
            Step::Page { page, at } => Need::Page(page, at),
            Step::Everything | Step::Known(_) => Need::Everything,
        };
        match self {
            Self::Forward(_, offset) => match search.forward(*offset) {
                Step::Known(found) => Ok(Known::Target(position(), found)),
                other => Err(need(other.without_answer())),
            },
            Self::Reverse(_, offset) => match search.reverse(*offset) {
                Step::Known(found) => Ok(Known::Source(position(), found)),
                other => Err(need(other.without_answer())),
            },
        }
    }
}

/// What a search lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Chunk(u64, i64),
    Page(u64, i64),
    Everything,
}

/// Where a flow's state lies.
#[derive(Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) cluster: &'a Endpoint,
    pub(crate) state: &'a StateTopics,
    pub(crate) foreign: Foreign,
}

/// What a record does that something else wrote into a slot's state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// That slot's questions stay unanswered.
    LeavesItsSlotOut,
    /// There are no answers: for recoveries, whose plans must not lack a part.
    EndsIt,
}

/// Answers questions. A slot whose state cannot be read leaves its own questions unanswered, also where something else
/// wrote into it. What lies before the cut at which the flow began is asked of the flow the other way, whose state lies
/// on the source.
///
/// # Errors
/// State of a newer version: an answer beside it would be a guess.
pub fn answer_all(
    flow: &Flow,
    slots: NonZeroU32,
    questions: &[Question],
) -> Result<BTreeMap<Question, Known>, StateError> {
    let home = Home {
        cluster: &flow.target,
        state: &flow.state,
        foreign: Foreign::LeavesItsSlotOut,
    };
    let mut known = answer_at(home, slots, questions, Cluster::open)?;
    look_back(flow, &mut known);
    Ok(known)
}

/// As [`answer_all`], of the flow's own map alone, from the state as `open` reads it. [`Cluster::committed_by_now`] waits for nobody's transaction;
/// what it tells may be older than what is committed in the copies.
///
/// # Errors
/// State that this version cannot read, in any slot that is asked.
pub fn answer_all_from(
    flow: &Flow,
    slots: NonZeroU32,
    questions: &[Question],
    open: impl Fn(&Endpoint) -> Result<Cluster, Fault> + Sync,
) -> Result<BTreeMap<Question, Known>, StateError> {
    let home = Home {
        cluster: &flow.target,
        state: &flow.state,
        foreign: Foreign::EndsIt,
    };
    answer_at(home, slots, questions, open)
}

pub(crate) fn answer_at(
    home: Home<'_>,
    slots: NonZeroU32,
    questions: &[Question],
    open: impl Fn(&Endpoint) -> Result<Cluster, Fault> + Sync,
) -> Result<BTreeMap<Question, Known>, StateError> {
    let open = &open;
    let mut by_slot: BTreeMap<Slot, Vec<&Question>> = BTreeMap::new();
    for question in questions {
        let slot = slot_of(question.partition(), slots);
        by_slot.entry(slot).or_default().push(question);
    }
    let by_slot: Vec<_> = by_slot.into_iter().collect();
    let mut known = BTreeMap::new();
    for some in by_slot.chunks(AT_ONCE) {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|(slot, questions)| scope.spawn(move || answer(home, *slot, questions, open)))
                .collect();
            running.into_iter().map(|thread| thread.join()).collect()
        });
        for (answer, (slot, questions)) in answers.into_iter().zip(some) {
            match answer {
                Ok(Ok(answers)) => known.extend(answers),
                Ok(Err(StateError::Fault(fault))) => {
                    known.extend(unreadable(questions, &fault.to_string()));
                }
                Ok(Err(error))
                    if error.is_foreign() && home.foreign == Foreign::LeavesItsSlotOut =>
                {
                    known.extend(unreadable(questions, &chain(&error)));
                }
                Ok(Err(error)) => return Err(error),
                Err(_panic) => {
                    let reason = format!("reading slot {slot} failed");
                    known.extend(unreadable(questions, &reason));
                }
            }
        }
    }
    Ok(known)
}

/// The same reason for each of these.
fn unreadable<'a>(
    questions: &'a [&Question],
    reason: &'a str,
) -> impl Iterator<Item = (Question, Known)> + 'a {
    let answer = |question: &&Question| (*question).clone();
    questions
        .iter()
        .map(move |question| (answer(question), Known::Unreadable(reason.to_owned())))
}

/// Answers the questions about one slot's partitions.
fn answer(
    home: Home<'_>,
    slot: Slot,
    questions: &[&Question],
    open: impl Fn(&Endpoint) -> Result<Cluster, Fault>,
) -> Result<BTreeMap<Question, Known>, StateError> {
    let began = Instant::now();
    let cluster = open(home.cluster)?;
    let mut positions = read_positions(&cluster, home.state, slot)?;
    let asked: BTreeSet<&TopicPartition> = questions
        .iter()
        .map(|question| question.partition())
        .collect();
    positions.retain(|partition, _| asked.contains(partition));
    let mut searches = tail(&cluster, home.state, slot, positions)?;
    let mut known = BTreeMap::new();
    let mut open: Vec<&Question> = questions.to_vec();
    for _ in 0..ROUNDS {
        let mut needs: BTreeSet<(TopicPartition, Need)> = BTreeSet::new();
        open.retain(|question| {
            let partition = question.partition();
            match searches.get(partition).map(|search| question.ask(search)) {
                None => known.insert((*question).clone(), Known::Nothing).is_some(),
                Some(Ok(answer)) => known.insert((*question).clone(), answer).is_some(),
                Some(Err(need)) => {
                    needs.insert((partition.clone(), need));
                    true
                }
            }
        });
        if open.is_empty() {
            break;
        }
        fetch(&cluster, home.state, slot, needs, &mut searches)?;
    }
    for question in open {
        let reason = "its offset map does not lead to an answer".to_owned();
        known.insert(question.clone(), Known::Unreadable(reason));
    }
    tracing::info!(%slot, questions = questions.len(), millis = began.elapsed().as_millis(), "slot answered");
    Ok(known)
}

/// Reads from where the first of these partitions' open chunks begins.
fn tail(
    cluster: &Cluster,
    state: &StateTopics,
    slot: Slot,
    positions: BTreeMap<TopicPartition, Position>,
) -> Result<BTreeMap<TopicPartition, MapSearch>, StateError> {
    let mut readers = BTreeMap::new();
    if let Some(from) = positions.values().map(|position| position.map.from).min() {
        read_map(cluster, state, slot, from, &mut readers)?;
    }
    Ok(positions
        .into_iter()
        .map(|(partition, position)| {
            let reader = readers.remove(&partition).unwrap_or_default();
            (partition, MapSearch::new(position, &reader))
        })
        .collect())
}

/// Gets what searches lack.
fn fetch(
    cluster: &Cluster,
    state: &StateTopics,
    slot: Slot,
    needs: BTreeSet<(TopicPartition, Need)>,
    searches: &mut BTreeMap<TopicPartition, MapSearch>,
) -> Result<(), StateError> {
    let topic = state.offset_map();
    let (everything, single): (Vec<_>, Vec<_>) = needs
        .into_iter()
        .partition(|(_, need)| *need == Need::Everything);
    let wanted: Vec<Wanted> = single
        .iter()
        .filter_map(|(partition, need)| {
            let position = searches.get(partition)?.position();
            let partition = partition.clone();
            let home = match need {
                Need::Chunk(chunk, _) => position.home_of_chunk(*chunk, slot),
                Need::Page(page, _) => position.home_of_page(*page, slot),
                Need::Everything => slot,
            };
            let (key, at) = match need {
                Need::Chunk(chunk, at) => (
                    MapKey::Chunk {
                        partition,
                        chunk: *chunk,
                    },
                    *at,
                ),
                Need::Page(page, at) => (
                    MapKey::Directory {
                        partition,
                        page: *page,
                    },
                    *at,
                ),
                Need::Everything => return None,
            };
            Some(Wanted {
                partition: place_of(topic.clone(), home),
                at,
                key: Some(key.encode()),
            })
        })
        .collect();
    let picked = pick(cluster.endpoint(), &wanted, WITHIN)?;
    let bytes: usize = picked
        .iter()
        .flatten()
        .filter_map(|found| found.1.as_ref())
        .map(Vec::len)
        .sum();
    tracing::info!(%slot, records = picked.len(), bytes, "chunks read");
    for ((partition, need), found) in single.into_iter().zip(picked) {
        let record =
            match found {
                Some((offset, Some(value))) => Some(MapRecord::decode(&value).map_err(
                    |source| StateError::Decode {
                        topic: topic.clone(),
                        slot,
                        offset,
                        source,
                    },
                )?),
                Some((_, None)) | None => None,
            };
        let Some(search) = searches.get_mut(&partition) else {
            continue;
        };
        match (need, record) {
            (Need::Chunk(number, _), Some(MapRecord::Chunk { chunk, runs })) if chunk == number => {
                search.chunk_read(number, Some(runs));
            }
            (Need::Chunk(number, _), _) => search.chunk_read(number, None),
            (Need::Page(number, _), Some(MapRecord::Directory(page))) => {
                search.page_read(number, Some(page));
            }
            (Need::Page(number, _), _) => search.page_read(number, None),
            (Need::Everything, _) => {}
        }
    }
    if everything.is_empty() {
        return Ok(());
    }
    let mut readers: BTreeMap<TopicPartition, MapReader> = BTreeMap::new();
    let positions = everything.iter().filter_map(|(partition, _)| {
        let position = searches.get(partition)?.position();
        Some((partition, position))
    });
    read_former(cluster, state, positions, &mut readers)?;
    read_map(cluster, state, slot, 0, &mut readers)?;
    for (partition, _) in everything {
        let reader = readers.remove(&partition).unwrap_or_default();
        if let Some(search) = searches.get_mut(&partition) {
            *search = MapSearch::whole(search.position().clone(), &reader);
        }
    }
    Ok(())
}
