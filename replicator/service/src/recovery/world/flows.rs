//! Flows: their state on their target. Their workers are somebody else's to start and stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{
    Acl, FlowRecord, FlowState, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_kafka::Cluster;
use understudy_recovery::Epoch;
use understudy_recovery::pair::FlowOfPair;
use understudy_shell::world::{Flows, Mirrored};
use understudy_shell::{PortError, PortErrorKind};

use super::kafka::trouble;
use crate::config::Flow;
use crate::flow_record::{self, FlowError};
use crate::map_state::{Known, Question, answer_all};
use crate::stored_state::{StateError, read_gaps, read_positions};

type Answer<T> = Result<T, PortError>;

/// How long taking over one id may take.
const FENCE_WITHIN: Duration = Duration::from_secs(10);

/// Flows by their files.
pub struct KafkaFlows {
    known: BTreeMap<String, Arc<Flow>>,
}

impl KafkaFlows {
    /// These.
    pub const fn new(known: BTreeMap<String, Arc<Flow>>) -> Self {
        Self { known }
    }

    fn flow(&self, flow: &FlowOfPair) -> Answer<&Flow> {
        self.known
            .get(&flow.file)
            .map(AsRef::as_ref)
            .ok_or_else(|| {
                PortError::new(
                    PortErrorKind::Missing,
                    format!("{} was not read with the pair", flow.file),
                )
            })
    }

    /// The flow, and its target.
    fn open(&self, flow: &FlowOfPair) -> Answer<(&Flow, Cluster)> {
        let flow = self.flow(flow)?;
        let target = Cluster::open(&flow.target).map_err(|fault| trouble(&fault))?;
        Ok((flow, target))
    }

    fn change(&self, flow: &FlowOfPair, how: impl FnOnce(&mut FlowRecord)) -> Answer<FlowRecord> {
        let (flow, target) = self.open(flow)?;
        flow_record::change(&target, flow, how).map_err(|error| of_flow(&error))
    }
}

fn of_flow(error: &FlowError) -> PortError {
    match error {
        FlowError::Fault(fault) => trouble(fault),
        FlowError::NoFlow(_) => PortError::new(PortErrorKind::Missing, error.to_string()),
        FlowError::Decode(_) => PortError::new(PortErrorKind::Malformed, error.to_string()),
        other => PortError::new(PortErrorKind::Refused, other.to_string()),
    }
}

fn of_state(error: &StateError) -> PortError {
    match error {
        StateError::Fault(fault) => trouble(fault),
        StateError::Decode { .. } | StateError::Fold { .. } => {
            PortError::new(PortErrorKind::Malformed, crate::chain::chain(error))
        }
    }
}

fn newer(record: &FlowRecord, epoch: Epoch) -> PortError {
    PortError::new(
        PortErrorKind::Conflict,
        format!(
            "the flow is {} since e{}, which is newer than {epoch}",
            record.state.name(),
            record.epoch
        ),
    )
}

impl Flows for KafkaFlows {
    fn name(&self, flow: &FlowOfPair) -> Answer<String> {
        Ok(self.flow(flow)?.name.to_string())
    }

    fn record(&self, flow: &FlowOfPair) -> Answer<Option<FlowRecord>> {
        let (flow, target) = self.open(flow)?;
        // A flow that never ran has no topic to read.
        let topic = target.topic(&flow.state.flow(), FENCE_WITHIN);
        if topic.map_err(|fault| trouble(&fault))?.is_none() {
            return Ok(None);
        }
        flow_record::read(&target, flow).map_err(|error| of_flow(&error))
    }

    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Answer<FlowRecord> {
        let record = self.change(flow, |record| {
            if record.epoch <= epoch.get() {
                record.epoch = epoch.get();
                record.state = FlowState::Sealed;
            }
        })?;
        if record.epoch > epoch.get() {
            return Err(newer(&record, epoch));
        }
        Ok(record)
    }

    fn fence_workers(&self, flow: &FlowOfPair, record: &FlowRecord) -> Answer<()> {
        let flow = self.flow(flow)?;
        flow_record::fence_slots(flow, record, FENCE_WITHIN).map_err(|error| of_flow(&error))
    }

    fn positions(&self, flow: &FlowOfPair, record: &FlowRecord) -> Answer<Vec<Mirrored>> {
        let (flow, target) = self.open(flow)?;
        let mut all = Vec::new();
        for slot in record.homes() {
            let positions = read_positions(&target, &flow.state, slot);
            for (source, position) in positions.map_err(|error| of_state(&error))? {
                all.push(Mirrored {
                    target: flow.copies_of(&source, &position),
                    source,
                    position,
                });
            }
        }
        all.sort_by(|one, other| one.source.cmp(&other.source));
        Ok(all)
    }

    fn halted(&self, flow: &FlowOfPair, record: &FlowRecord) -> Answer<u32> {
        let (flow, target) = self.open(flow)?;
        let mut halted = BTreeSet::new();
        for slot in record.homes() {
            let gaps = read_gaps(&target, &flow.state, slot).map_err(|error| of_state(&error))?;
            let open = gaps.into_iter().filter(|(_, gap)| gap.is_open());
            halted.extend(open.map(|(key, _)| key.partition));
        }
        Ok(u32::try_from(halted.len()).unwrap_or(u32::MAX))
    }

    fn translate(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
    ) -> Answer<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>> {
        let flow = self.flow(flow)?;
        let questions: Vec<Question> = places
            .iter()
            .map(|(place, offset)| Question::Forward(place.clone(), *offset))
            .collect();
        let mut found = BTreeMap::new();
        let known = answer_all(flow, record.slots, &questions).map_err(|error| of_state(&error))?;
        for (question, known) in known {
            let Question::Forward(place, offset) = question else {
                continue;
            };
            let translation = match known {
                Known::Target(_, translation) => translation,
                Known::Unreadable(reason) => {
                    return Err(PortError::new(PortErrorKind::Unreachable, reason));
                }
                Known::Source(..) | Known::Nothing => Translation::NoSync,
            };
            found.insert((place, offset), translation);
        }
        Ok(found)
    }

    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Answer<bool> {
        Ok(self.flow(flow)?.groups.selects(group))
    }

    fn withheld_acls(&self, _flow: &FlowOfPair) -> Answer<Vec<Acl>> {
        // What was withheld stands on the source only; who asks while it is gone gets nothing to grant.
        Ok(Vec::new())
    }

    fn want_workers(&self, _flow: &FlowOfPair, _workers: u32) -> Answer<()> {
        // Whoever started them stops them; a sealed flow's workers write nothing, and go on when it runs again.
        Ok(())
    }

    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Answer<()> {
        let record = self.change(flow, |record| {
            if record.epoch <= epoch.get() {
                record.epoch = epoch.get();
                record.state = FlowState::Running;
            }
        })?;
        if record.epoch > epoch.get() {
            return Err(newer(&record, epoch));
        }
        Ok(())
    }
}
