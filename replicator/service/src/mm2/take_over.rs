//! Where a flow begins that goes on where MirrorMaker 2 stopped (`mirror.start = "mm2"`).
//!
//! In this order, and again from the beginning if any of it does not hold yet:
//! a. *It has stopped.* The group of its workers is empty, no transaction is open in the copies, and they stand still.
//! b. *Its places*, from Connect's offsets topic on the target, committed records only.
//! c. *Contents decide.* A place that was stored is a lower bound: what was copied after it is found by comparing
//!    records, and not copied again. What cannot be told halts the partition, and is never guessed.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::mm2::{ConnectOffsetKey, decode_connect_offset};
use understudy_domain::{DecodeError, SourceOffset, TopicPartition};
use understudy_flow::mm2::Seam;
use understudy_kafka::ffi::admin::{Edge, Edges};
use understudy_kafka::{Cluster, Fault};

use super::seam::{Ends, first_without_copy};
use crate::config::Flow;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// Time limit for reading one partition of the offsets topic.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// For how long the copies must stand still: time for what was under way when a process was killed.
const STILL: Duration = Duration::from_secs(1);

/// Where a partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Here.
    At(SourceOffset),
    /// Nobody can tell; somebody must decide.
    Unclear {
        /// Where MirrorMaker 2 stood, as it stored it.
        at: SourceOffset,
        /// Why, and what to do.
        reason: String,
    },
}

/// Why nothing can begin yet.
#[derive(Debug)]
pub enum NotYet {
    /// A cluster.
    Fault(Fault),
    /// Something that somebody has to do, or that comes by itself.
    Wait(String),
}

impl From<Fault> for NotYet {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Where each of `wanted`, pairs of a partition and its copy, begins. Partitions without a leader are left out.
///
/// # Errors
/// Nothing can be told yet.
pub fn beginnings(
    flow: &Flow,
    source: &Cluster,
    target: &Cluster,
    wanted: &[(TopicPartition, TopicPartition)],
) -> Result<BTreeMap<TopicPartition, Beginning>, NotYet> {
    // a
    if let Some(group) = &flow.mm2.group
        && target.group_has_members(group, WITHIN)?
    {
        return Err(NotYet::Wait(format!(
            "MirrorMaker 2 still runs, or ended less than its session ago: group {group} on {} has members; stop it, and the flow goes on where it stopped",
            flow.target.alias
        )));
    }
    let copies = || wanted.iter().map(|(_, copy)| copy);
    let target_ends = target.edges(copies(), Edge::HighWatermark, WITHIN)?;
    let stored = stored(flow, target)?;
    std::thread::sleep(STILL);
    let stable = target.edges(copies(), Edge::LastStable, WITHIN)?;
    if let Some((name, _)) = target_ends
        .iter()
        .find(|(name, end)| end.is_ok() && stable.get(*name) != Some(*end))
    {
        return Err(NotYet::Wait(format!(
            "somebody writes to {name} on {}, or a transaction is open there; once MirrorMaker 2 has stopped, the flow goes on",
            flow.target.alias
        )));
    }
    let partitions = || wanted.iter().map(|(partition, _)| partition);
    let looks = Looks {
        target_ends,
        target_starts: target.edges(copies(), Edge::Earliest, WITHIN)?,
        source_starts: source.edges(partitions(), Edge::Earliest, WITHIN)?,
        // The stable end first: a record that comes in between is one of both.
        source_stable: source.edges(partitions(), Edge::LastStable, WITHIN)?,
        source_tops: source.edges(partitions(), Edge::HighWatermark, WITHIN)?,
    };
    let mut found = BTreeMap::new();
    for (partition, copy) in wanted {
        let Some(ends) = looks.of(partition, copy, stored.get(partition).copied()) else {
            continue;
        };
        found.insert(partition.clone(), begin(flow, &ends)?);
    }
    Ok(found)
}

/// c
fn begin(flow: &Flow, ends: &Ends) -> Result<Beginning, Fault> {
    let start = SourceOffset::new(ends.source_start);
    let at = ends.stored.unwrap_or(start);
    if flow.mm2.seam == Seam::Trust || (ends.stored.is_none() && ends.target_end == 0) {
        return Ok(Beginning::At(at));
    }
    let partition = &ends.partition;
    Ok(match first_without_copy(flow, ends)? {
        Ok(first) => {
            tracing::info!(
                %partition, stored = ends.stored.map(SourceOffset::get), first = first.get(),
                "goes on where MirrorMaker 2 stopped"
            );
            Beginning::At(first)
        }
        Err(doubt) => Beginning::Unclear {
            at,
            reason: format!(
                "where MirrorMaker 2's copies end cannot be told: {doubt} ({}); compare both sides, then set mirror.mm2.seam = \"trust\" to go on at {at} and restart the workers",
                match ends.stored {
                    Some(stored) => format!("it stored {stored} as next"),
                    None => "it stored no place".to_owned(),
                }
            ),
        },
    })
}

struct Looks {
    target_ends: Edges,
    target_starts: Edges,
    source_starts: Edges,
    source_stable: Edges,
    source_tops: Edges,
}

impl Looks {
    fn of(
        &self,
        partition: &TopicPartition,
        copy: &TopicPartition,
        stored: Option<SourceOffset>,
    ) -> Option<Ends> {
        let edge = |edges: &Edges, name| edges.get(name)?.as_ref().ok().copied();
        Some(Ends {
            partition: partition.clone(),
            copy: copy.clone(),
            stored,
            source_start: edge(&self.source_starts, partition)?,
            source_ends: (
                edge(&self.source_tops, partition)?,
                edge(&self.source_stable, partition)?,
            ),
            target_start: edge(&self.target_starts, copy)?,
            target_end: edge(&self.target_ends, copy)?,
        })
    }
}

/// b. By partition: the next record, as the connector stored it.
fn stored(flow: &Flow, target: &Cluster) -> Result<BTreeMap<TopicPartition, SourceOffset>, NotYet> {
    let (topic, connector) = (&flow.mm2.offsets_topic, &flow.mm2.connector);
    let Some(described) = target.topic(topic, WITHIN)? else {
        return Err(NotYet::Wait(format!(
            "{} has no topic {topic}, in which MirrorMaker 2 stored where it stood; name it in mirror.mm2.offsets_topic, or choose another mirror.start",
            flow.target.alias
        )));
    };
    let mut stored = BTreeMap::new();
    let mut connectors = std::collections::BTreeSet::new();
    let mut broken: Option<DecodeError> = None;
    for number in 0..described.partitions {
        let place = TopicPartition::new(topic.as_str(), number);
        target.read_to_end(&place, 0, READ_WITHIN, |(key, value, _)| {
            // Others keep places of any shape in the same topic.
            let Ok(key) = ConnectOffsetKey::decode(&key) else {
                return;
            };
            let Some((cluster, partition)) = key.place else {
                return;
            };
            if cluster != flow.source.alias {
                return;
            }
            let is_ours = key.connector == *connector;
            connectors.insert(key.connector);
            if !is_ours {
                return;
            }
            match value.as_deref().map(decode_connect_offset) {
                Some(Ok(next)) => {
                    stored.insert(partition, next);
                }
                Some(Err(error)) => {
                    broken.get_or_insert(error);
                }
                None => {
                    stored.remove(&partition);
                }
            }
        })?;
    }
    if let Some(error) = broken {
        return Err(NotYet::Wait(format!(
            "a place that MirrorMaker 2 stored in {topic} cannot be read: {error}"
        )));
    }
    // Its name is part of the key: with a wrong one everything would be copied once more.
    if stored.is_empty() && !connectors.is_empty() {
        let names: Vec<String> = connectors.into_iter().collect();
        return Err(NotYet::Wait(format!(
            "{topic} holds no place of the connector {connector}, but of {}; name it in mirror.mm2.connector",
            names.join(", ")
        )));
    }
    Ok(stored)
}
