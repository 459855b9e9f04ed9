//! Workers of a pair's flows as ECS services beside their targets.

use std::sync::Arc;

use understudy_recovery::pair::{FlowOfPair, Pair};
use understudy_shell::world::Workers;
use understudy_shell::{PortError, PortErrorKind};

use crate::ecs::EcsServices;
use crate::regions::Regions;

/// Workers that ECS services run, each flow's in its target's Region.
#[derive(Clone)]
pub struct EcsWorkers {
    services: EcsServices,
    regions: Regions,
    pair: Arc<Pair>,
}

impl EcsWorkers {
    /// Those of the pair's flows.
    pub fn new(regions: &Regions, pair: &Arc<Pair>) -> Self {
        Self {
            services: EcsServices::new(regions),
            regions: regions.clone(),
            pair: Arc::clone(pair),
        }
    }
}

impl Workers for EcsWorkers {
    fn want(&self, flow: &FlowOfPair, workers: u32) -> Result<(), PortError> {
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
}
