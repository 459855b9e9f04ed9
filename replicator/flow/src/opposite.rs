//! Flows the other way round that read what this one writes: with both going, each record would go round for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use understudy_domain::{
    DecodeError, FlowName, FlowRecord, FlowState, Position, StateTopics, TopicPartition,
};
use understudy_kafka::{Cluster, Fault};

use crate::config::Flow;
use crate::stored_state::{StateError, place_of, read_positions};

/// Why the state of another flow is not known.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// The cluster did not answer, or refused.
    #[error("its {what} cannot be read: {fault}")]
    Fault {
        /// What was to be read.
        what: &'static str,
        /// The answer.
        #[source]
        fault: Fault,
    },
    /// A record that this version cannot read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// The two clusters of a flow, by their ids.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The source's.
    pub source: &'a str,
    /// The target's.
    pub target: &'a str,
}

impl Ends<'_> {
    /// Whether a flow with this record goes the other way.
    pub fn is_opposite(&self, record: &FlowRecord) -> bool {
        record.source_cluster_id == self.target && record.target_cluster_id == self.source
    }
}

/// The flows whose state lies on a cluster with these topics: those that write to it.
pub fn flows_onto<'a>(topics: impl Iterator<Item = &'a str>) -> Vec<FlowName> {
    topics
        .filter_map(|topic| {
            let name = topic.strip_prefix("understudy.")?.strip_suffix(".flow")?;
            FlowName::new(name).ok()
        })
        .collect()
}

/// The topics among `copies` that flow `name` mirrors back, if it runs the other way.
///
/// # Errors
/// Why that cannot be told.
pub fn mirrored_back(
    name: &FlowName,
    source: &Cluster,
    ends: Ends<'_>,
    copies: &BTreeSet<String>,
    within: Duration,
) -> Result<Vec<String>, Untold> {
    let Some(record) = record_of(name, source, within)? else {
        return Ok(Vec::new());
    };
    let runs = match record.state {
        FlowState::Running => true,
        FlowState::Paused | FlowState::Sealed => false,
    };
    if !ends.is_opposite(&record) || !runs {
        return Ok(Vec::new());
    }
    let read = topics_read(name, &record, source, within)?;
    Ok(read.intersection(copies).cloned().collect())
}

/// The record of flow `name`, whose state lies on `cluster`.
///
/// # Errors
/// Why it cannot be told.
pub fn record_of(
    name: &FlowName,
    cluster: &Cluster,
    within: Duration,
) -> Result<Option<FlowRecord>, Untold> {
    let place = TopicPartition::new(StateTopics::new(name.clone()).flow(), 0);
    let mut value = None;
    cluster
        .read_to_end(&place, 0, within, |(key, found, _)| {
            if key == FlowRecord::key(name) {
                value = found;
            }
        })
        .map_err(|fault| Untold::Fault {
            what: "record",
            fault,
        })?;
    Ok(value.map(|value| FlowRecord::decode(&value)).transpose()?)
}

/// The topics that flow `name`, whose state lies on `cluster`, has ever mirrored, as its source calls them.
///
/// # Errors
/// Why they cannot be told.
pub fn topics_read(
    name: &FlowName,
    record: &FlowRecord,
    cluster: &Cluster,
    within: Duration,
) -> Result<BTreeSet<String>, Untold> {
    let state = StateTopics::new(name.clone());
    let mut read = BTreeSet::new();
    for slot in record.homes() {
        let place = place_of(state.positions(), slot);
        cluster
            .read_to_end(&place, 0, within, |(key, _, _)| {
                if let Ok(partition) = Position::decode_key(&key) {
                    read.insert(partition.topic.to_string());
                }
            })
            .map_err(|fault| Untold::Fault {
                what: "positions",
                fault,
            })?;
    }
    Ok(read)
}

/// The topics that flow `name`, whose state lies on `cluster`, has copied anything of since it began. One that was only told
/// where to begin has not.
///
/// # Errors
/// They cannot be read.
pub fn topics_copied(
    name: &FlowName,
    record: &FlowRecord,
    cluster: &Cluster,
) -> Result<BTreeSet<String>, StateError> {
    let state = StateTopics::new(name.clone());
    let mut copied = BTreeSet::new();
    for slot in record.homes() {
        let positions = read_positions(cluster, &state, slot)?;
        let begun = (positions.into_iter())
            .filter(|(_, position)| position.target_offset > position.started_at.target);
        copied.extend(begun.map(|(partition, _)| partition.topic.to_string()));
    }
    Ok(copied)
}

/// Why the flow may not copy now because of another one, if so; `topics` are the source's. What cannot be told is no
/// reason, as where nothing but the mirrored topics may be read; `understudy check` says that it cannot.
pub fn in_the_way(
    flow: &Flow,
    source: &Cluster,
    topics: &[String],
    ends: Ends<'_>,
    within: Duration,
) -> Option<String> {
    find(flow, topics, |name, copies| {
        let topics = mirrored_back(name, source, ends, copies, within)?;
        Ok((!topics.is_empty()).then(|| {
            format!(
                "flow {name} runs the other way and mirrors {} back: each record would go round for ever; seal or pause that flow, exclude those topics, or use mirror.policy = \"prefixed\" on both",
                topics.join(", ")
            )
        }))
    })
}

/// Why a flow that has never run may not begin by itself, if so: a recovery has ended one the other way, which copied what
/// this one would copy back. What cannot be told is no reason, as above.
pub fn left_by_a_recovery(
    flow: &Flow,
    source: &Cluster,
    topics: &[String],
    ends: Ends<'_>,
    within: Duration,
) -> Option<String> {
    find(flow, topics, |name, copies| {
        let ended = record_of(name, source, within)?.filter(|record| {
            ends.is_opposite(record) && record.state == FlowState::Sealed && record.epoch > 0
        });
        let Some(record) = ended else {
            return Ok(None);
        };
        let read = topics_read(name, &record, source, within)?;
        let copied: Vec<&str> = read.intersection(copies).map(String::as_str).collect();
        Ok((!copied.is_empty()).then(|| {
            format!(
                "flow {name} copied {} the other way until recovery e{} sealed it, so this flow begins at its cut: `understudy failback PAIR.toml`, or its option --standby-only, says where that is",
                copied.join(", "),
                record.epoch
            )
        }))
    })
}

/// The first reason that a flow onto the source gives.
fn find(
    flow: &Flow,
    topics: &[String],
    reason: impl Fn(&FlowName, &BTreeSet<String>) -> Result<Option<String>, Untold>,
) -> Option<String> {
    let flows = flows_onto(topics.iter().map(String::as_str));
    if flows.is_empty() {
        return None;
    }
    let copies: BTreeSet<String> = topics
        .iter()
        .filter(|topic| flow.selects(topic))
        .map(|topic| flow.policy.target_topic(topic))
        .collect();
    for name in flows {
        match reason(&name, &copies) {
            Ok(None) => {}
            Ok(found) => return found,
            Err(reason) => {
                tracing::debug!(flow = %name, %reason, "cannot tell whether it runs the other way")
            }
        }
    }
    None
}
