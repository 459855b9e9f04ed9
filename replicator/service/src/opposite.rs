//! Flows the other way round that read what this one writes: with both going, each record would go round for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use understudy_domain::{FlowName, FlowRecord, FlowState, Position, StateTopics, TopicPartition};
use understudy_kafka::Cluster;

use crate::config::Flow;
use crate::stored_state::place_of;

/// The two clusters of a flow, by their ids.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The source's.
    pub source: &'a str,
    /// The target's.
    pub target: &'a str,
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
/// In words, why that cannot be told.
pub fn mirrored_back(
    name: &FlowName,
    source: &Cluster,
    ends: Ends<'_>,
    copies: &BTreeSet<String>,
    within: Duration,
) -> Result<Vec<String>, String> {
    let state = StateTopics::new(name.clone());
    let mut value = None;
    let place = TopicPartition::new(state.flow(), 0);
    source
        .read_to_end(&place, 0, within, |(key, found, _)| {
            if key == FlowRecord::key(name) {
                value = found;
            }
        })
        .map_err(|fault| format!("its record cannot be read: {fault}"))?;
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let record = FlowRecord::decode(&value).map_err(|error| error.to_string())?;
    let opposite =
        record.source_cluster_id == ends.target && record.target_cluster_id == ends.source;
    let runs = match record.state {
        FlowState::Running => true,
        FlowState::Paused | FlowState::Sealed => false,
    };
    if !opposite || !runs {
        return Ok(Vec::new());
    }
    let mut read = BTreeSet::new();
    for slot in record.homes() {
        let place = place_of(state.positions(), slot);
        source
            .read_to_end(&place, 0, within, |(key, _, _)| {
                if let Ok(partition) = Position::decode_key(&key) {
                    read.insert(partition.topic.to_string());
                }
            })
            .map_err(|fault| format!("its positions cannot be read: {fault}"))?;
    }
    Ok(read.intersection(copies).cloned().collect())
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
        match mirrored_back(&name, source, ends, &copies, within) {
            Ok(topics) if topics.is_empty() => {}
            Ok(topics) => {
                return Some(format!(
                    "flow {name} runs the other way and mirrors {} back: each record would go round for ever; seal or pause that flow, exclude those topics, or use mirror.policy = \"prefixed\" on both",
                    topics.join(", ")
                ));
            }
            Err(reason) => {
                tracing::debug!(flow = %name, reason, "cannot tell whether it runs the other way")
            }
        }
    }
    None
}
