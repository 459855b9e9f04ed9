//! What a function reaches of Kafka: the pair's clusters, and its flows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use understudy_domain::{Acl, FlowRecord, SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::pair::{FlowOfPair, Pair};
use understudy_recovery::{Alias, Epoch, StepError};
use understudy_shell::world::{Cluster, Clusters, Flows, Mirrored};
use understudy_shell::{PortError, PortErrorKind};

/// Kafka, as a step sees it.
pub struct Kafka {
    /// The pair's clusters.
    pub clusters: Arc<dyn Clusters>,
    /// The flows between them; their workers are somebody else's.
    pub flows: Arc<dyn Flows>,
}

/// Makes them from the texts of the pair's flow files. Connects to nothing.
///
/// # Errors
/// A flow file cannot be used.
pub fn reach(_pair: &Arc<Pair>, _flows: BTreeMap<String, String>) -> Result<Kafka, StepError> {
    Ok(Kafka {
        clusters: Arc::new(Unconnected),
        flows: Arc::new(Unconnected),
    })
}

/// Kafka before its adapters are part of this program: every step that needs it says so.
struct Unconnected;

fn refused<T>() -> Result<T, PortError> {
    Err(PortError::new(
        PortErrorKind::Refused,
        "this build has no adapter for Kafka",
    ))
}

impl Clusters for Unconnected {
    fn get(&self, _alias: &Alias) -> Result<Arc<dyn Cluster>, PortError> {
        refused()
    }
}

impl Flows for Unconnected {
    fn name(&self, _: &FlowOfPair) -> Result<String, PortError> {
        refused()
    }

    fn record(&self, _: &FlowOfPair) -> Result<Option<FlowRecord>, PortError> {
        refused()
    }

    fn write_seal(&self, _: &FlowOfPair, _: Epoch) -> Result<FlowRecord, PortError> {
        refused()
    }

    fn fence_workers(&self, _: &FlowOfPair, _: &FlowRecord) -> Result<(), PortError> {
        refused()
    }

    fn positions(&self, _: &FlowOfPair, _: &FlowRecord) -> Result<Vec<Mirrored>, PortError> {
        refused()
    }

    fn halted(&self, _: &FlowOfPair, _: &FlowRecord) -> Result<u32, PortError> {
        refused()
    }

    fn translate(
        &self,
        _: &FlowOfPair,
        _: &FlowRecord,
        _: &BTreeSet<(TopicPartition, SourceOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>, PortError>
    {
        refused()
    }

    fn selects_group(&self, _: &FlowOfPair, _: &str) -> Result<bool, PortError> {
        refused()
    }

    fn withheld_acls(&self, _: &FlowOfPair) -> Result<Vec<Acl>, PortError> {
        refused()
    }

    fn want_workers(&self, _: &FlowOfPair, _: u32) -> Result<(), PortError> {
        refused()
    }

    fn reopen(&self, _: &FlowOfPair, _: Epoch) -> Result<(), PortError> {
        refused()
    }
}
