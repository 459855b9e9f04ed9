//! The names a flow uses on the target, and the topics that no flow mirrors.

use crate::{FlowName, Slot};

/// The state topics of a flow, and its other names on the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateTopics {
    flow: FlowName,
}

impl StateTopics {
    /// The names of this flow.
    pub const fn new(flow: FlowName) -> Self {
        Self { flow }
    }

    /// The flow.
    pub const fn flow_name(&self) -> &FlowName {
        &self.flow
    }

    /// The topic without records whose partitions are the slots.
    pub fn slots(&self) -> String {
        self.topic("slots")
    }

    /// The topic of positions; one partition a slot.
    pub fn positions(&self) -> String {
        self.topic("positions")
    }

    /// The topic of offset-map records; one partition a slot.
    pub fn offset_map(&self) -> String {
        self.topic("offset-map")
    }

    /// The topic of the flow's own record; one partition.
    pub fn flow(&self) -> String {
        self.topic("flow")
    }

    /// The topic of gaps; one partition a slot.
    pub fn gaps(&self) -> String {
        self.topic("gaps")
    }

    /// The topic of what was set beside records: configs and ACLs; one partition.
    pub fn settings(&self) -> String {
        self.topic("settings")
    }

    /// The transactional id under which the settings topic is written.
    pub fn settings_transactional_id(&self) -> String {
        format!("understudy-{}-settings", self.flow)
    }

    /// The topic of how far tails were put aside; one partition, made when that is first done.
    pub fn salvage(&self) -> String {
        self.topic("salvage")
    }

    /// The transactional id under which tails are put aside.
    pub fn salvage_transactional_id(&self) -> String {
        format!("understudy-{}-salvage", self.flow)
    }

    /// The transactional id of a slot's producer.
    pub fn transactional_id(&self, generation: u64, slot: Slot) -> String {
        format!("understudy-{}-{generation}-{slot}", self.flow)
    }

    /// The consumer group in which workers share out the slots.
    pub fn group_id(&self) -> String {
        format!("understudy-{}", self.flow)
    }

    /// What the names of the flow's topics begin with.
    pub fn prefix(&self) -> String {
        self.topic("")
    }

    fn topic(&self, suffix: &str) -> String {
        format!("understudy.{}.{suffix}", self.flow)
    }
}

/// True for topics that no flow mirrors: Understudy's state, Kafka's own
/// topics, and MirrorMaker 2's internal ones. Heartbeats are not among them.
///
/// MirrorMaker's default excluded every `*.internal` and `*-internal` topic
/// until KIP-1074 narrowed it, because that left out topics of applications in
/// silence; this follows the narrow rule.
pub fn is_internal(topic: &str) -> bool {
    topic.starts_with("understudy.")
        || topic.starts_with("__")
        || topic.ends_with(".replica")
        || (topic.starts_with("mm2") && topic.ends_with(".internal"))
        || topic.ends_with(".checkpoints.internal")
}
