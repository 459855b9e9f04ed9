//! `understudy verify`: is what was copied really there?
//!
//! By counts: the map must hold as many records as the position says were copied, end where the position ends, and lie
//! within the target's log. Every group must stand on the copy of the record that it would read next. With `--deep`, both sides are read and compared record by record.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use understudy_domain::{GapKey, OffsetMap, Position, TopicPartition, slot_of};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::admin::{Edge, Edges};

use crate::Report;
use crate::compare::{Comparison, compare};
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record;
use crate::group_survey::{Atlas, GroupSurvey, survey};
use crate::map_state::answer_all;
use crate::stored_state::{read_all, read_gaps};
use crate::tool::{ToolError, open_target};
use crate::unread::Unread;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// How long groups are watched beyond what their sync takes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long they are watched at most.
const PATIENCE_MAX: Duration = Duration::from_secs(15);

/// What was found.
#[derive(Serialize)]
pub struct Verification {
    flow: String,
    deep: bool,
    holds: bool,
    partitions: Vec<Line>,
    /// Slots of which nothing is known.
    unread: Vec<Unread>,
    groups: GroupSurvey,
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    copied: u64,
    /// Not copied yet.
    behind: u64,
    #[serde(flatten)]
    comparison: Option<Comparison>,
    /// What is wrong, in words.
    faults: Vec<String>,
}

/// Verifies a flow.
///
/// # Errors
/// A cluster that does not answer, or state that cannot be read: nothing is known then.
pub fn run(flow: &Flow, deep: bool) -> Result<Verification, ToolError> {
    let target = open_target(flow)?;
    let (slots, all, gaps, mut unread) = flow_record::steady(&target, flow, |record| {
        let all = read_all(&target, &flow.state, record.homes())?;
        let foreign = all.foreign.iter();
        let mut unread: Vec<_> = foreign
            .map(|(slot, error)| Unread::new(*slot, error))
            .collect();
        let mut all = all.partitions;
        let mut gaps = BTreeMap::new();
        for slot in record.homes() {
            let read = read_gaps(&target, &flow.state, slot);
            match Unread::leave_out(slot, read, &mut unread)? {
                Some(found) => gaps.extend(found),
                // What of it may be missing is not known.
                None => all.retain(|name, _| slot_of(name, record.slots) != slot),
            }
        }
        Ok::<_, ToolError>((record.slots, all, gaps, unread))
    })?;
    let at_source = |fault| ToolError::Source(explain(&flow.source, &fault));
    let at_target = |fault| ToolError::Target(explain(&flow.target, &fault));
    let source = Cluster::open(&flow.source).map_err(at_source)?;
    if !unread.is_empty() {
        let topics = source.topics(WITHIN).map_err(at_source)?;
        let selected = topics.iter().filter(|topic| flow.selects(&topic.name));
        let named = selected.flat_map(|topic| {
            (0..topic.partitions).map(|number| TopicPartition::new(topic.name.as_str(), number))
        });
        let named: Vec<_> = named.collect();
        for slot in &mut unread {
            slot.name(&named, slots);
        }
    }
    let source_starts = source
        .edges(all.keys(), Edge::Earliest, WITHIN)
        .map_err(at_source)?;
    let source_ends = source
        .edges(all.keys(), Edge::LastStable, WITHIN)
        .map_err(at_source)?;
    let copies: Vec<_> = all
        .iter()
        .map(|(name, (position, _))| flow.copies_of(name, position))
        .collect();
    let target_starts = target
        .edges(&copies, Edge::Earliest, WITHIN)
        .map_err(at_target)?;
    let target_ends = target
        .edges(&copies, Edge::HighWatermark, WITHIN)
        .map_err(at_target)?;
    let mut partitions = Vec::new();
    for (name, (position, map)) in &all {
        let copy = flow.copies_of(name, position);
        let mut faults = match map {
            Ok(map) => counts(position, map),
            Err(reason) => vec![format!(
                "{reason}: what was copied there cannot be compared, and places in it are answered at-least"
            )],
        };
        faults.extend(of_target(&copy, position, &target_ends));
        let own = |key: &GapKey| key.partition == *name && key.incarnation == position.incarnation;
        let (open, settled): (Vec<_>, Vec<_>) = gaps
            .iter()
            .filter(|(key, _)| own(key))
            .partition(|(_, gap)| gap.is_open());
        for (key, gap) in open {
            faults.push(format!(
                "halted at source offset {}: {}; see `understudy gaps list`",
                key.start, gap.reason
            ));
        }
        let settled: Vec<_> = settled
            .into_iter()
            .filter_map(|(key, gap)| Some(key.start.get()..gap.end?.get()))
            .collect();
        let end = offset(&source_ends, name).unwrap_or(position.source_offset.get());
        let mut comparison = None;
        if let (true, Ok(map)) = (deep, map) {
            let compacted = source
                .topic_config(&name.topic, "cleanup.policy", WITHIN)
                .ok()
                .flatten();
            let found = compare(
                flow,
                name,
                position,
                map,
                offset(&source_starts, name).unwrap_or_default(),
                offset(&target_starts, &copy).unwrap_or_default(),
                compacted.is_some_and(|policy| policy.contains("compact")),
                &settled,
            )
            .map_err(|fault| ToolError::Target(fault.to_string()))?;
            faults.extend(found.faults());
            comparison = Some(found);
        }
        partitions.push(Line {
            topic: name.topic.to_string(),
            partition: name.partition,
            copied: match map {
                Ok(map) => map.copied_between(position.started_at.source..position.source_offset),
                Err(_) => position.records,
            },
            behind: u64::try_from(end - position.source_offset.get()).unwrap_or_default(),
            comparison,
            faults,
        });
    }
    let atlas = Atlas {
        ask: &|questions| {
            flow_record::steady(&target, flow, |record| {
                Ok::<_, ToolError>(answer_all(flow, record.slots, questions)?)
            })
        },
        copied: &|name, range| {
            let (position, Ok(map)) = all.get(name)? else {
                return None;
            };
            // What was copied since the map was read is not in it, nor what another flow copied before this one began.
            let is_ours = range.start >= position.started_at.source;
            (is_ours && range.end <= position.source_offset).then(|| map.copied_between(range))
        },
        patience: (flow.group_sync_interval * 3 + PATIENCE).min(PATIENCE_MAX),
    };
    let groups = survey(flow, &source, &target, &atlas)?;
    let holds =
        partitions.iter().all(|line| line.faults.is_empty()) && unread.is_empty() && groups.holds();
    Ok(Verification {
        flow: flow.name.to_string(),
        deep,
        holds,
        partitions,
        unread,
        groups,
    })
}

fn offset(edges: &Edges, name: &TopicPartition) -> Option<i64> {
    edges.get(name).and_then(|edge| edge.as_ref().ok()).copied()
}

/// What is wrong between position and map.
fn counts(position: &Position, map: &OffsetMap) -> Vec<String> {
    let mut faults = Vec::new();
    // The map was read after the position, so on a live flow it may go on beyond it.
    let until = position.source_offset;
    let copied = map.copied_between(position.started_at.source..until);
    // Where the map's oldest chunks are gone it holds fewer records than were ever copied.
    let whole = map
        .begins()
        .is_some_and(|origin| origin == position.started_at);
    if whole && copied != position.records {
        faults.push(format!(
            "the map holds {copied} records up to source offset {until}, {} were copied",
            position.records
        ));
    }
    let last = map.runs().iter().rev().find(|run| run.source < until);
    if let Some(last) = last
        .filter(|last| last.source_end() <= until && last.target_end() != position.target_offset)
    {
        faults.push(format!(
            "the map ends at target offset {}, the position at {}",
            last.target_end(),
            position.target_offset
        ));
    }
    faults
}

/// What is wrong with the target's log.
fn of_target(copy: &TopicPartition, position: &Position, ends: &Edges) -> Option<String> {
    match ends.get(copy) {
        Some(Ok(end)) if *end < position.target_offset.get() => Some(format!(
            "the target's log ends at {end}, copies went up to {}: the target lost records",
            position.target_offset
        )),
        Some(Ok(_)) => None,
        Some(Err(code)) => Some(format!("the target answered {code}")),
        None => Some("the target does not know this partition".to_owned()),
    }
}

impl Report for Verification {
    fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.deep { "by content" } else { "by counts" };
        writeln!(
            f,
            "flow {}, verified {how}: {}\n",
            self.flow,
            if self.holds {
                "it holds"
            } else {
                "IT DOES NOT HOLD"
            }
        )?;
        let width = self
            .partitions
            .iter()
            .map(|line| line.topic.len())
            .max()
            .unwrap_or(5)
            .max(5);
        write!(f, "{:width$}  partition         copied  behind", "topic")?;
        if self.deep {
            write!(
                f,
                "       compared     lost  doubled  altered  aborted copies"
            )?;
        }
        writeln!(f)?;
        for line in &self.partitions {
            write!(
                f,
                "{:width$}  {:>9}  {:>13}  {:>6}",
                line.topic, line.partition, line.copied, line.behind
            )?;
            if let Some(found) = &line.comparison {
                write!(
                    f,
                    "  {:>13}  {:>7}  {:>7}  {:>7}  {:>14}",
                    found.compared, found.lost, found.doubled, found.altered, found.aborted_copies
                )?;
            }
            writeln!(f)?;
            for fault in &line.faults {
                writeln!(f, "    {fault}")?;
            }
        }
        for slot in &self.unread {
            writeln!(f, "not verified: {slot}")?;
        }
        f.write_str(&self.groups.text())
    }
}
