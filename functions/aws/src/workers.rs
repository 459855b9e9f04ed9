//! A pair's flows, with workers that are ECS services: everything else about a flow is Kafka's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use understudy_domain::{Acl, FlowRecord, SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::Epoch;
use understudy_recovery::pair::{FlowOfPair, Pair};
use understudy_recovery::tail::{Carried, TailSurvey};
use understudy_shell::world::{Begin, Flows, Mirrored};
use understudy_shell::{PortError, PortErrorKind};

use crate::ecs::EcsServices;
use crate::regions::Regions;

/// Flows whose workers are ECS services beside their targets.
#[derive(Clone)]
pub struct EcsWorkers {
    flows: Arc<dyn Flows>,
    services: EcsServices,
    regions: Regions,
    pair: Arc<Pair>,
}

impl EcsWorkers {
    /// `flows`, with their workers in ECS.
    pub fn new(flows: Arc<dyn Flows>, regions: &Regions, pair: &Arc<Pair>) -> Self {
        Self {
            flows,
            services: EcsServices::new(regions),
            regions: regions.clone(),
            pair: Arc::clone(pair),
        }
    }
}

impl Flows for EcsWorkers {
    fn want_workers(&self, flow: &FlowOfPair, workers: u32) -> Result<(), PortError> {
        let service = flow.service.as_deref().ok_or_else(|| {
            PortError::new(
                PortErrorKind::Missing,
                format!(
                    "flow {} has no service; somebody else runs its workers, and must start or stop them",
                    flow.file
                ),
            )
        })?;
        let region = self.regions.of_cluster(&self.pair, &flow.target);
        self.services.want(&region, service, workers)
    }

    fn name(&self, flow: &FlowOfPair) -> Result<String, PortError> {
        self.flows.name(flow)
    }

    fn record(&self, flow: &FlowOfPair) -> Result<Option<FlowRecord>, PortError> {
        self.flows.record(flow)
    }

    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<FlowRecord, PortError> {
        self.flows.write_seal(flow, epoch)
    }

    fn fence_workers(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<(), PortError> {
        self.flows.fence_workers(flow, record)
    }

    fn positions(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
    ) -> Result<Vec<Mirrored>, PortError> {
        self.flows.positions(flow, record)
    }

    fn selected(&self, flow: &FlowOfPair) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
        self.flows.selected(flow)
    }

    fn halted(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<u32, PortError> {
        self.flows.halted(flow, record)
    }

    fn translate(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>, PortError>
    {
        self.flows.translate(flow, record, places)
    }

    fn translate_back(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, TargetOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, TargetOffset), Translation<SourceOffset>>, PortError>
    {
        self.flows.translate_back(flow, record, places)
    }

    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Result<bool, PortError> {
        self.flows.selects_group(flow, group)
    }

    fn withheld_acls(
        &self,
        flow: &FlowOfPair,
        ask_source: bool,
        fence: &[Acl],
    ) -> Result<Vec<Acl>, PortError> {
        self.flows.withheld_acls(flow, ask_source, fence)
    }

    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<(), PortError> {
        self.flows.reopen(flow, epoch)
    }

    fn survey_tail(&self, flow: &FlowOfPair) -> Result<TailSurvey, PortError> {
        self.flows.survey_tail(flow)
    }

    fn merge_tail(&self, flow: &FlowOfPair, topics: &[String]) -> Result<Carried, PortError> {
        self.flows.merge_tail(flow, topics)
    }

    fn put_tail_aside(&self, flow: &FlowOfPair, topics: &[String]) -> Result<u64, PortError> {
        self.flows.put_tail_aside(flow, topics)
    }

    fn renew_keys(
        &self,
        flow: &FlowOfPair,
        back: &FlowOfPair,
        topics: &[String],
    ) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
        self.flows.renew_keys(flow, back, topics)
    }

    fn begin_at(
        &self,
        flow: &FlowOfPair,
        epoch: Epoch,
        begins: &[Begin],
    ) -> Result<u32, PortError> {
        self.flows.begin_at(flow, epoch, begins)
    }
}
