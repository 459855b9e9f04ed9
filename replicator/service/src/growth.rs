//! When partitions join that a topic got while it was being mirrored.
//!
//! Growing a topic moves keys to new partitions. So that a reader of the target meets no later record of a key before
//! an earlier one, a new partition is copied only once the older ones were copied up to where they stood when the
//! growth was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{FlowRecord, Position, Slot, SourceOffset, TopicPartition, slot_of};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::config::Flow;
use crate::gap_book::GapBook;
use crate::stored_state::{StateError, read_positions};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// How long new partitions wait for older ones that are halted: these must not hold them up for good. For others they wait
/// as long as it takes.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Growths that have not been waited for to their end.
#[derive(Debug, Default)]
pub struct Growth {
    /// By topic on the source: how many partitions take part. Begins as what the flow's positions tell.
    admitted: BTreeMap<Arc<str>, i32>,
    waiting: BTreeMap<Arc<str>, Waiting>,
}

/// Why it cannot be told how many partitions take part: which cluster does not answer.
#[derive(Debug)]
pub enum Unadmitted {
    /// The source.
    Source(Fault),
    /// The target.
    Target(Fault),
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// The topic's id when the growth was seen, where it is told.
    id: Option<String>,
    /// What the older partitions must have been copied up to.
    ends: BTreeMap<TopicPartition, SourceOffset>,
}

impl Growth {
    /// Takes in which partitions were mirrored before.
    pub fn learn<'a>(&mut self, mirrored: impl IntoIterator<Item = &'a TopicPartition>) {
        for partition in mirrored {
            let count = self.admitted.entry(partition.topic.clone()).or_insert(0);
            *count = partition.partition.saturating_add(1).max(*count);
        }
    }

    /// How many of a topic's partitions take part while nothing new may: those that were `copied`, where that is known, of
    /// a topic that was made again. What was waited for meant the former one.
    pub fn hold(&mut self, topic: &Arc<str>, partitions: i32, copied: Option<i32>) -> i32 {
        let admitted = self.admitted.get(topic).copied().unwrap_or(0);
        let held = copied.unwrap_or(admitted).min(partitions);
        if copied.is_some() {
            self.waiting.remove(topic);
            self.admitted.insert(topic.clone(), held);
        }
        held
    }

    /// Topics whose new partitions have been waiting for long, and why.
    pub fn waiting(&self) -> Vec<String> {
        let long = self.waiting.iter();
        let long = long.filter(|(_, waiting)| waiting.since.elapsed() > WAIT_MAX);
        long.map(|(topic, _)| {
            format!(
                "new partitions of {topic} wait until the older ones were copied up to where they stood at the growth"
            )
        })
        .collect()
    }

    /// How many of a topic's partitions may be copied now.
    ///
    /// # Errors
    /// A cluster does not answer: which one, and how.
    pub fn admit(
        &mut self,
        topic: &Arc<str>,
        (partitions, id): (i32, Option<&str>),
        flow: &Flow,
        (source, target): (&Cluster, &Cluster),
        record: &FlowRecord,
    ) -> Result<i32, Unadmitted> {
        let known = self.admitted.get(topic).copied().unwrap_or(0);
        // A topic that was never mirrored has no older partitions; one that shrank is another topic by now.
        if known == 0 || known >= partitions {
            self.admitted.insert(topic.clone(), partitions);
            self.waiting.remove(topic);
            return Ok(partitions);
        }
        let older: Vec<_> = (0..known)
            .map(|number| TopicPartition::new(topic.clone(), number))
            .collect();
        // Ends of a former life mean nothing in this one.
        self.waiting
            .retain(|name, waiting| name != topic || waiting.id.as_deref() == id);
        if !self.waiting.contains_key(topic) {
            let ends: Option<BTreeMap<_, _>> = source
                .edges(&older, Edge::LastStable, WITHIN)
                .map_err(Unadmitted::Source)?
                .into_iter()
                .map(|(name, end)| Some((name, SourceOffset::new(end.ok()?))))
                .collect();
            // One without a leader just now: it is looked at again.
            let Some(ends) = ends else {
                return Ok(known);
            };
            let since = Instant::now();
            let id = id.map(str::to_owned);
            self.waiting
                .insert(topic.clone(), Waiting { since, id, ends });
        }
        let Some(waiting) = self.waiting.get(topic) else {
            return Ok(known);
        };
        let positions = positions(&older, flow, target, record)
            .map_err(Unadmitted::Target)?
            .positions;
        let behind = waiting.ends.iter().filter(|(name, end)| {
            positions
                .get(*name)
                .is_none_or(|position| position.source_offset < **end)
        });
        let behind: Vec<_> = behind.map(|(name, _)| name.clone()).collect();
        if !behind.is_empty() {
            let late = waiting.since.elapsed() > WAIT_MAX;
            if !late || !all_halted(&behind, flow, target, record).map_err(Unadmitted::Target)? {
                return Ok(known);
            }
            tracing::warn!(
                %topic,
                waited_seconds = WAIT_MAX.as_secs(),
                "older partitions are halted by gaps; new ones are copied without waiting for them"
            );
        }
        tracing::info!(%topic, from = known, to = partitions, "new partitions of a topic take part");
        self.waiting.remove(topic);
        self.admitted.insert(topic.clone(), partitions);
        Ok(partitions)
    }
}

/// Positions as read from several slots.
#[derive(Debug, Default)]
pub struct Stored {
    /// Those that could be read.
    pub positions: BTreeMap<TopicPartition, Position>,
    /// Whether all could. The slot that owns one that cannot be read says so; here it only means that nothing is known.
    pub is_whole: bool,
}

/// The positions of all slots.
///
/// # Errors
/// The target does not answer.
pub fn all_positions(flow: &Flow, target: &Cluster, record: &FlowRecord) -> Result<Stored, Fault> {
    let slots = (0..record.slots.get()).map(Slot::new);
    slots_positions(slots, flow, target, record)
}

/// The positions of these partitions, and of others in their slots.
///
/// # Errors
/// The target does not answer.
pub fn positions(
    partitions: &[TopicPartition],
    flow: &Flow,
    target: &Cluster,
    record: &FlowRecord,
) -> Result<Stored, Fault> {
    let slots = partitions.iter();
    let slots: BTreeSet<Slot> = slots
        .map(|partition| slot_of(partition, record.slots))
        .collect();
    slots_positions(slots, flow, target, record)
}

/// Whether each of these stands in front of an open gap.
fn all_halted(
    partitions: &[TopicPartition],
    flow: &Flow,
    target: &Cluster,
    record: &FlowRecord,
) -> Result<bool, Fault> {
    for partition in partitions {
        let slot = slot_of(partition, record.slots);
        match GapBook::load(target, &flow.state, slot) {
            Ok(gaps) if gaps.open(partition).is_some() => {}
            Err(StateError::Fault(fault)) => return Err(fault),
            Ok(_) | Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

fn slots_positions(
    slots: impl IntoIterator<Item = Slot>,
    flow: &Flow,
    target: &Cluster,
    record: &FlowRecord,
) -> Result<Stored, Fault> {
    let mut stored = Stored {
        is_whole: true,
        ..Stored::default()
    };
    for slot in slots {
        match read_positions(target, &flow.state, slot) {
            Ok(positions) => {
                let is_own = |partition: &TopicPartition| slot_of(partition, record.slots) == slot;
                let own = positions.into_iter().filter(|(name, _)| is_own(name));
                stored.positions.extend(own);
            }
            Err(StateError::Fault(fault)) => return Err(fault),
            Err(error) => {
                tracing::debug!(%error, "positions cannot be read");
                stored.is_whole = false;
            }
        }
    }
    Ok(stored)
}
