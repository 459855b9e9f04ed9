//! `understudy translate`: where does a place on one side lie on the other?
//!
//! From the flow's state on the target alone; the source is asked only for the places of a group, and only if it
//! answers. Never a guess: where there is no exact answer it says what is known and why there is no more.

mod answers;
mod asked;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use understudy_domain::mm2::Mm2Past;
use understudy_domain::{Position, Slot, SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_kafka::ffi::admin::{Edge, Edges};
use understudy_kafka::picking::{Wanted, pick};
use understudy_kafka::{Cluster, Fault};

pub use self::answers::Answers;
use self::answers::Line;
use self::asked::{Asked, Place, Renamed};
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record;
use crate::map_state::{Known, Question as MapQuestion, answer_all};
use crate::mm2::{NO_BETTER, NO_TRACE, at_least, is_before_us, load_past};
use crate::stored_state::read_positions;
use crate::tool::{ToolError, open_target};
use crate::unread::Unread;

/// Time limit of one call to the target.
const WITHIN: Duration = Duration::from_secs(10);

/// What is asked about: a group, one place, or a time.
#[derive(clap::Args, Debug)]
pub struct Question {
    /// Every place that this consumer group has committed.
    #[arg(long, conflicts_with = "topic", required_unless_present = "topic")]
    group: Option<String>,
    /// A topic: of the source, with --reverse of the target.
    #[arg(long)]
    topic: Option<String>,
    /// One of its partitions.
    #[arg(long, requires = "topic", value_parser = clap::value_parser!(i32).range(0..), allow_negative_numbers = true)]
    partition: Option<i32>,
    /// The next record to be read there.
    #[arg(long, requires = "partition", conflicts_with = "timestamp", value_parser = clap::value_parser!(i64).range(0..), allow_negative_numbers = true)]
    offset: Option<i64>,
    /// The first record with this timestamp or a later one, in milliseconds since 1970.
    #[arg(long, requires = "topic", value_parser = clap::value_parser!(i64).range(0..), allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// From the target to the source.
    #[arg(long)]
    reverse: bool,
}

impl Question {
    /// The way it is asked.
    const fn direction(&self) -> Direction {
        if self.reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        }
    }
}

/// Which side the answers lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// On the target.
    Forward,
    /// On the source.
    Reverse,
}

/// Answers a question about a flow.
///
/// # Errors
/// The target does not answer, holds no such flow, or holds state that this version cannot read.
pub fn run(flow: &Flow, question: &Question) -> Result<Answers, ToolError> {
    let target = open_target(flow)?;
    let at_target = |fault| ToolError::Target(explain(&flow.target, &fault));
    let renamed =
        || flow_record::steady(&target, flow, |record| renamed(flow, &target, record.slots));
    let mut asked = asked::places(flow, &target, question, &renamed)?;
    let copies =
        existing(&target, asked.places.iter().map(|place| &place.copy)).map_err(at_target)?;
    // Before the positions: below this end everything is decided, and the positions know of it.
    let ends = target
        .edges(&copies, Edge::LastStable, WITHIN)
        .map_err(at_target)?;
    let questions: Vec<MapQuestion> = asked.places.iter().filter_map(Place::question).collect();
    let answer = |questions: &[MapQuestion]| {
        flow_record::steady(&target, flow, |record| {
            Ok::<_, ToolError>(answer_all(flow, record.slots, questions)?)
        })
    };
    let mut known = answer(&questions)?;
    if asked.places.iter().any(|place| place.is_lost(&known)) {
        let renamed = renamed()?;
        let lost = asked
            .places
            .iter_mut()
            .filter(|place| place.is_lost(&known));
        let mut questions = Vec::new();
        for place in lost {
            if let Some(partition) = renamed.copies.get(&place.copy) {
                place.is_copy_of(partition);
                questions.extend(place.question());
            } else if let Some(unread) = renamed.unread.first() {
                place.unknown_by_name(unread);
            }
        }
        known.extend(answer(&questions)?);
    }
    for place in &mut asked.places {
        place.learn(flow, &known);
    }
    let copies =
        existing(&target, asked.places.iter().map(|place| &place.copy)).map_err(at_target)?;
    let starts = target
        .edges(&copies, Edge::Earliest, WITHIN)
        .map_err(at_target)?;
    let mut ends = ends;
    let others = copies.iter().filter(|copy| !ends.contains_key(*copy));
    let later = target
        .edges(others, Edge::LastStable, WITHIN)
        .map_err(at_target)?;
    ends.extend(later);
    // After the positions: a copy that they tell of is in the log by now, or has been lost. A commit's marker may
    // still be on its way, so this is the end of what was acknowledged.
    let tops = target
        .edges(&copies, Edge::HighWatermark, WITHIN)
        .map_err(at_target)?;
    let past = past(flow, &target, &asked.places, &known).map_err(at_target)?;
    let log = Log {
        flow,
        past: past.as_ref(),
        group: question.group.as_deref().unwrap_or_default(),
        target: &target,
        starts: &starts,
        ends: &ends,
        tops: &tops,
    };
    let lines = asked
        .places
        .iter()
        .map(|place| log.line(place, &known))
        .collect::<Result<Vec<_>, _>>()
        .map_err(at_target)?;
    let Asked { title, remark, .. } = asked;
    Ok(Answers::new(
        flow,
        question.direction(),
        title,
        remark,
        lines,
    ))
}

/// Copies of topics that were made again and go to a topic of their own: only the positions know of them.
fn renamed(flow: &Flow, target: &Cluster, slots: NonZeroU32) -> Result<Renamed, ToolError> {
    let mut renamed = Renamed::default();
    for slot in (0..slots.get()).map(Slot::new) {
        let read = read_positions(target, &flow.state, slot);
        let found = Unread::leave_out(slot, read, &mut renamed.unread)?;
        for (partition, position) in found.into_iter().flatten() {
            if position.target_topic.is_some() {
                let copies = flow.copies_of(&partition, &position);
                renamed.copies.insert(copies, partition);
            }
        }
    }
    Ok(renamed)
}

/// What MirrorMaker 2 left behind, if a place is asked about in what it copied. The source may be gone: then what the
/// target holds of it.
fn past(
    flow: &Flow,
    target: &Cluster,
    places: &[Place],
    known: &BTreeMap<MapQuestion, Known>,
) -> Result<Option<Mm2Past>, Fault> {
    let wanted = places.iter().any(|place| {
        let found = place.question().and_then(|question| known.get(&question));
        let at = SourceOffset::new(place.offset);
        matches!(found, Some(Known::Target(position, Translation::BeforeHistory)) if is_before_us(flow, position, at))
    });
    if !wanted {
        return Ok(None);
    }
    let source = Cluster::open(&flow.source)?;
    let loaded = load_past(flow, Some(&source), target).or_else(|(is_source, fault)| {
        if is_source {
            tracing::warn!(%fault, "MirrorMaker 2's offset syncs on the source are left out");
            return load_past(flow, None, target).map_err(|(_, fault)| fault);
        }
        Err(fault)
    });
    loaded.map(Some)
}

/// The target's logs.
struct Log<'a> {
    flow: &'a Flow,
    /// What MirrorMaker 2 left behind, if a place lies in what it copied.
    past: Option<&'a Mm2Past>,
    /// Whose places these are; empty if nobody's.
    group: &'a str,
    target: &'a Cluster,
    /// Where they begin.
    starts: &'a Edges,
    /// Where they ended before the positions were read.
    ends: &'a Edges,
    /// Where they ended after that.
    tops: &'a Edges,
}

impl Log<'_> {
    fn line(&self, place: &Place, known: &BTreeMap<MapQuestion, Known>) -> Result<Line, Fault> {
        let mut line = Line::new(place);
        let question = match &place.asked {
            Ok(question) => question,
            Err(reason) => {
                line.unanswered(Translation::NoSync, reason.clone());
                return Ok(line);
            }
        };
        let Some(known) = known.get(question) else {
            line.unanswered(Translation::NoSync, self.never_mirrored(place));
            return Ok(line);
        };
        match known {
            Known::Nothing => {
                line.unanswered(Translation::NoSync, self.never_mirrored(place));
            }
            Known::Unreadable(reason) => {
                line.unanswered(
                    Translation::NotReady,
                    format!("the flow's state could not be read: {reason}"),
                );
            }
            Known::Target(position, translation) => {
                let mut offset = translation.offset();
                line.target(*translation, known_until(position));
                let at = SourceOffset::new(place.offset);
                if let Some(past) = self.past
                    && offset.is_none()
                    && is_before_us(self.flow, position, at)
                {
                    let names = (&place.partition, &place.copy);
                    offset = at_least(past, self.group, names, position, at);
                    match offset {
                        Some(target) => line.at_least(target, NO_BETTER),
                        None => line.unanswered(Translation::BeforeHistory, NO_TRACE.to_owned()),
                    }
                }
                if let Some(offset) = offset {
                    self.check_target(&mut line, place, position, offset);
                }
            }
            Known::Source(position, Translation::Ahead) => {
                self.behind_the_copies(&mut line, place, position)?;
            }
            Known::Source(position, translation) => {
                line.source(*translation, known_until(position));
            }
        }
        place.remark.iter().for_each(|remark| line.remark(remark));
        Ok(line)
    }

    fn never_mirrored(&self, place: &Place) -> String {
        let topic = &place.partition.topic;
        if self.flow.selects(topic) {
            format!(
                "flow {} holds no position of {}: it does not exist on the source, or nothing was mirrored yet",
                self.flow.name, place.partition
            )
        } else {
            format!("flow {} does not mirror topic {topic}", self.flow.name)
        }
    }

    /// The copy must still be in the target's log.
    fn check_target(
        &self,
        line: &mut Line,
        place: &Place,
        position: &Position,
        offset: TargetOffset,
    ) {
        let edge = |edges: &Edges| edges.get(&place.copy).cloned();
        let (start, end) = match (edge(self.starts), edge(self.tops)) {
            (Some(Ok(start)), Some(Ok(end))) => (start, end),
            (Some(Err(code)), _) | (_, Some(Err(code))) => {
                line.unanswered(
                    Translation::BeforeHistory,
                    format!("the copy would be at {offset}, but the target answered: {code}"),
                );
                return;
            }
            (None, _) | (_, None) => {
                line.unanswered(
                    Translation::BeforeHistory,
                    format!(
                        "the copy would be at {offset}, but the target does not know {}",
                        place.copy
                    ),
                );
                return;
            }
        };
        if offset.get() < start && offset == position.target_offset {
            // Behind the last copy nothing of ours is left to be skipped.
            line.target(Translation::Exact(TargetOffset::new(start)), String::new());
        } else if offset.get() < start {
            line.unanswered(
                Translation::BeforeHistory,
                format!(
                    "the copy was at {offset}; the target has deleted everything below {start}, and to resume there skips what was between"
                ),
            );
        } else if end < offset.get().max(position.target_offset.get()) {
            line.unanswered(
                Translation::BeforeHistory,
                format!(
                    "the copy was at {offset}; the target's log ends at {end} though copies went up to {}: it has lost records; see `understudy verify`",
                    position.target_offset
                ),
            );
        }
    }

    /// A place on the target after the last copy: commit markers may lie there, or records that are no copies.
    fn behind_the_copies(
        &self,
        line: &mut Line,
        place: &Place,
        position: &Position,
    ) -> Result<(), Fault> {
        let asked = place.offset;
        let last = position.target_offset.get();
        let end = match self.ends.get(&place.copy) {
            Some(Ok(end)) => *end,
            Some(Err(_)) | None => last,
        };
        if asked > end {
            line.unanswered(
                Translation::Ahead,
                format!("the target's log ends at {end}"),
            );
            return Ok(());
        }
        let wanted = [Wanted {
            partition: place.copy.clone(),
            at: last,
            key: None,
        }];
        let found = pick(self.target.endpoint(), &wanted, WITHIN)?;
        match found.into_iter().flatten().next() {
            Some((offset, _)) if offset < asked => line.unanswered(
                Translation::Ahead,
                format!("copies end at {last}; the record at {offset} was written to the target after them"),
            ),
            Some(_) | None => line.source(
                Translation::Exact(position.source_offset),
                String::new(),
            ),
        }
        Ok(())
    }
}

/// The partitions that the target has; to ask for the ends of others only is an error.
fn existing<'a>(
    target: &Cluster,
    copies: impl Iterator<Item = &'a TopicPartition>,
) -> Result<Vec<TopicPartition>, Fault> {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    let mut found = Vec::new();
    for copy in copies {
        let count = match counts.get(&*copy.topic) {
            Some(count) => *count,
            None => {
                let topic = target.topic(&copy.topic, WITHIN)?;
                let count = topic.map_or(0, |topic| topic.partitions);
                counts.insert(&copy.topic, count);
                count
            }
        };
        if copy.partition < count {
            found.push(copy.clone());
        }
    }
    Ok(found)
}

/// How far replication has come, for answers that have to wait.
fn known_until(position: &Position) -> String {
    format!(
        "replication has reached source offset {}, its last copy ends at {}",
        position.source_offset, position.target_offset
    )
}
