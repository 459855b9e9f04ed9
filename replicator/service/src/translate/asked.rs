//! The places that a question is about.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::{ReplicationPolicy, SourceOffset, TargetOffset, TopicPartition};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::groups::GroupPlaces;

use super::{Direction, Question, WITHIN};
use crate::config::Flow;
use crate::explain::explain;
use crate::map_state::{Known, Question as MapQuestion};
use crate::tool::ToolError;
use crate::unread::Unread;

/// How long the source is waited for. It may be gone.
const SOURCE_WITHIN: Duration = Duration::from_secs(5);

/// One place.
pub struct Place {
    /// As called on the source.
    pub partition: TopicPartition,
    /// As called on the target.
    pub copy: TopicPartition,
    /// Where, on the side that is asked about.
    pub offset: i64,
    /// Which side that is.
    pub side: Direction,
    /// The question to the map; or why there is none.
    pub asked: Result<MapQuestion, String>,
    /// What else there is to say.
    pub remark: Option<String>,
    /// The policy calls no copy so.
    misnamed: bool,
}

/// Every place, and what is being asked in words.
pub struct Asked {
    /// What is asked.
    pub title: String,
    /// What there is to know about the question as a whole.
    pub remark: Option<String>,
    /// The places.
    pub places: Vec<Place>,
}

impl Place {
    /// The question to the map, if there is one.
    pub fn question(&self) -> Option<MapQuestion> {
        self.asked.as_ref().ok().cloned()
    }

    /// Whether the name that was asked by leads to no partition that is mirrored.
    pub fn is_lost(&self, known: &BTreeMap<MapQuestion, Known>) -> bool {
        self.side == Direction::Reverse
            && match &self.asked {
                Ok(question) => matches!(known.get(question), Some(Known::Nothing) | None),
                Err(_) => self.misnamed,
            }
    }

    /// The place is on the copy of this partition, whatever its name says.
    pub fn is_copy_of(&mut self, partition: &TopicPartition) {
        self.partition = partition.clone();
        let offset = TargetOffset::new(self.offset);
        self.asked = Ok(MapQuestion::Reverse(partition.clone(), offset));
    }

    /// No partition is known whose copies are called so, and a slot that may have one cannot be read.
    pub fn unknown_by_name(&mut self, unread: &Unread) {
        let known = match &self.asked {
            Ok(_) => format!("the flow holds no position of {}", self.partition),
            Err(reason) => reason.clone(),
        };
        self.asked = Err(format!(
            "{known}, as far as can be read of its state; not known: {unread}"
        ));
    }

    /// A topic that was made again may be copied to a topic of its own: only the position knows.
    pub fn learn(&mut self, flow: &Flow, known: &BTreeMap<MapQuestion, Known>) {
        let question = self.question();
        let position = match question.and_then(|question| known.get(&question)) {
            Some(Known::Target(position, _) | Known::Source(position, _)) => position,
            Some(Known::Nothing | Known::Unreadable(_)) | None => return,
        };
        let copy = flow.copies_of(&self.partition, position);
        if copy == self.copy {
            return;
        }
        match self.side {
            Direction::Forward => self.copy = copy,
            Direction::Reverse => {
                self.asked = Err(format!(
                    "{} holds copies of an earlier topic of that name; flow {} goes to {copy} now",
                    self.copy, flow.name
                ));
            }
        }
    }

    /// A place on the source.
    fn on_source(flow: &Flow, partition: TopicPartition, offset: i64) -> Self {
        Self {
            copy: flow.target_of(&partition),
            asked: Ok(MapQuestion::Forward(
                partition.clone(),
                SourceOffset::new(offset),
            )),
            partition,
            offset,
            side: Direction::Forward,
            remark: None,
            misnamed: false,
        }
    }

    /// A place on the target.
    fn on_target(flow: &Flow, copy: TopicPartition, offset: i64) -> Self {
        let partition = source_of(flow, &copy);
        let asked = match &partition {
            Some(partition) => Ok(MapQuestion::Reverse(
                partition.clone(),
                TargetOffset::new(offset),
            )),
            None => Err(no_copy(flow, &copy.topic)),
        };
        Self {
            partition: partition.unwrap_or_else(|| copy.clone()),
            copy,
            offset,
            side: Direction::Reverse,
            misnamed: asked.is_err(),
            asked,
            remark: None,
        }
    }
}

/// Copies that are called otherwise than the policy says.
#[derive(Default)]
pub struct Renamed {
    /// The copies, and the partitions that they are of.
    pub copies: BTreeMap<TopicPartition, TopicPartition>,
    /// Slots of whose copies nothing is known.
    pub unread: Vec<Unread>,
}

/// Finds the places of a question; `renamed` is asked for only where names may not tell enough.
///
/// # Errors
/// The target does not answer.
pub fn places(
    flow: &Flow,
    target: &Cluster,
    question: &Question,
    renamed: &dyn Fn() -> Result<Renamed, ToolError>,
) -> Result<Asked, ToolError> {
    let direction = question.direction();
    if let Some(group) = &question.group {
        return of_group(flow, target, group, direction);
    }
    let topic = question.topic.as_deref().unwrap_or_default();
    let place = |partition: i32, offset: i64| {
        let named = TopicPartition::new(topic, partition);
        match direction {
            Direction::Forward => Place::on_source(flow, named, offset),
            Direction::Reverse => Place::on_target(flow, named, offset),
        }
    };
    match (question.partition, question.offset, question.timestamp) {
        (Some(partition), Some(offset), _) => Ok(Asked {
            title: format!("{topic}-{partition} at {offset}"),
            remark: None,
            places: vec![place(partition, offset)],
        }),
        (partition, None, Some(timestamp)) => {
            let copy = match direction {
                Direction::Forward => {
                    let first = TopicPartition::new(topic, partition.unwrap_or_default());
                    let copies = renamed()?.copies;
                    let copy = copies.iter().find(|(_, source)| **source == first);
                    copy.map_or_else(|| flow.target_of(&first), |(copy, _)| copy.clone())
                        .topic
                }
                Direction::Reverse => topic.into(),
            };
            of_time(flow, target, &copy, partition, timestamp)
        }
        (_, _, None) | (None, Some(_), Some(_)) => Err(ToolError::Usage(
            "give --partition and --offset, or --timestamp, with --topic",
        )),
    }
}

/// Records since a time, found on the copies: timestamps are mirrored.
fn of_time(
    flow: &Flow,
    target: &Cluster,
    copy: &str,
    partition: Option<i32>,
    timestamp: i64,
) -> Result<Asked, ToolError> {
    let at_target = |fault| ToolError::Target(explain(&flow.target, &fault));
    let count = target
        .topic(copy, WITHIN)
        .map_err(at_target)?
        .map_or(0, |topic| topic.partitions);
    let named: Vec<TopicPartition> = match partition {
        Some(partition) if partition < count => vec![TopicPartition::new(copy, partition)],
        Some(partition) => {
            let named = TopicPartition::new(copy, partition);
            let reason = format!("target {} has no partition {named}", flow.target.alias);
            return Ok(Asked {
                title: format!("{copy} since timestamp {timestamp}"),
                remark: None,
                places: vec![unknown(flow, named, reason)],
            });
        }
        None => (0..count)
            .map(|partition| TopicPartition::new(copy, partition))
            .collect(),
    };
    let found = target
        .edges(&named, Edge::Since(timestamp), WITHIN)
        .map_err(at_target)?;
    let ends = target
        .edges(&named, Edge::LastStable, WITHIN)
        .map_err(at_target)?;
    let places = named.into_iter().map(|named| {
        let end = ends.get(&named).and_then(|end| end.as_ref().ok());
        match (found.get(&named), end) {
            (Some(Ok(offset)), _) if *offset >= 0 => Place::on_target(flow, named, *offset),
            (Some(Ok(_)), Some(end)) => Place {
                remark: Some(
                    "no copy has that timestamp or a later one; this is the end of what is there"
                        .to_owned(),
                ),
                ..Place::on_target(flow, named, *end)
            },
            (Some(Err(code)), _) => unknown(flow, named, format!("the target answered: {code}")),
            (Some(Ok(_)), None) | (None, _) => unknown(
                flow,
                named,
                "the target does not know this partition".to_owned(),
            ),
        }
    });
    let places: Vec<Place> = places.collect();
    Ok(Asked {
        title: format!("{copy} since timestamp {timestamp}"),
        remark: places
            .is_empty()
            .then(|| format!("target {} has no topic {copy}", flow.target.alias)),
        places,
    })
}

/// A place that the target knows nothing of.
fn unknown(flow: &Flow, copy: TopicPartition, reason: String) -> Place {
    let mut place = Place::on_target(flow, copy, 0);
    place.asked = Err(reason);
    place.misnamed = false;
    place
}

/// Every place of a group: as committed on the source, or, without the source, as the target has it.
fn of_group(
    flow: &Flow,
    target: &Cluster,
    group: &str,
    direction: Direction,
) -> Result<Asked, ToolError> {
    let on_target = || {
        target
            .group_places(group, WITHIN)
            .map_err(|fault| ToolError::Target(explain(&flow.target, &fault)))
    };
    let target_alias = &flow.target.alias;
    if direction == Direction::Reverse {
        let places = on_target()?;
        let none = places
            .is_empty()
            .then(|| format!("group {group} has no committed offsets on target {target_alias}"));
        return Ok(Asked {
            title: format!("places of group {group}, as committed on target {target_alias}"),
            remark: none,
            places: of_target(flow, places),
        });
    }
    let source =
        Cluster::open(&flow.source).and_then(|source| source.group_places(group, SOURCE_WITHIN));
    match source {
        Ok(places) => {
            let alias = &flow.source.alias;
            Ok(Asked {
                title: format!("places of group {group}, as committed on source {alias}"),
                remark: places
                    .is_empty()
                    .then(|| format!("group {group} has no committed offsets on source {alias}")),
                places: places
                    .into_iter()
                    .map(|(partition, offset)| match offset {
                        Ok(offset) => Place::on_source(flow, partition, offset),
                        Err(code) => {
                            let mut place = Place::on_source(flow, partition, 0);
                            place.asked = Err(format!("the source answered: {code}"));
                            place
                        }
                    })
                    .collect(),
            })
        }
        Err(fault) => {
            let reason = explain(&flow.source, &fault);
            let places = on_target()?;
            let known = if places.is_empty() {
                format!("; target {target_alias} knows no place of group {group} either")
            } else {
                format!("; these are the places that target {target_alias} holds for it")
            };
            Ok(Asked {
                title: format!("places of group {group}"),
                remark: Some(format!("{reason}{known}")),
                places: of_target(flow, places),
            })
        }
    }
}

fn of_target(flow: &Flow, places: GroupPlaces) -> Vec<Place> {
    places
        .into_iter()
        .map(|(copy, offset)| match offset {
            Ok(offset) => Place::on_target(flow, copy, offset),
            Err(code) => unknown(flow, copy, format!("the target answered: {code}")),
        })
        .collect()
}

/// What a copy is called on the source.
fn source_of(flow: &Flow, copy: &TopicPartition) -> Option<TopicPartition> {
    let topic = flow.policy.source_topic(&copy.topic)?;
    Some(TopicPartition::new(topic, copy.partition))
}

fn no_copy(flow: &Flow, topic: &str) -> String {
    match &flow.policy {
        ReplicationPolicy::Identity => format!("{topic} is no copy of flow {}", flow.name),
        ReplicationPolicy::Prefixed { alias, separator } => format!(
            "{topic} is no copy of flow {}: copies are called {alias}{separator}<topic>",
            flow.name
        ),
    }
}
