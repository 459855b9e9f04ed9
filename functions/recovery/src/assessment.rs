//! What a recovery finds before it acts: both clusters, the flow between them, groups.

use serde::{Deserialize, Serialize};
use understudy_domain::FlowState;

use crate::contract::Order;
use crate::health::HealthVerdict;
use crate::places::PlacesSummary;
use crate::{Alias, Epoch, LossBound};

/// Everything that was looked at. What did not answer is missing, and said so in `reasons`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The cluster to be left.
    pub source: ClusterSeen,
    /// The cluster to be activated.
    pub target: ClusterSeen,
    /// The flow from the one to the other.
    pub flow: Option<FlowSeen>,
    /// Groups, as they stand on the target.
    pub places: PlacesSummary,
    /// Groups that somebody is in on the target.
    pub live_groups: Vec<String>,
    /// What could not be found out, and what is in the way.
    pub reasons: Vec<String>,
}

/// A cluster, as seen from where the recovery runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSeen {
    /// Its alias.
    pub alias: Alias,
    /// Its health.
    pub verdict: HealthVerdict,
    /// Its id, where it answered.
    pub cluster_id: Option<String>,
    /// Its live brokers, where it answered.
    pub brokers: Option<u32>,
}

/// The flow, from its state on the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowSeen {
    /// Its name.
    pub flow: String,
    /// `running`, `paused` or `sealed`.
    pub state: String,
    /// The epoch that last changed it.
    pub epoch: Epoch,
    /// Partitions that have a position.
    pub partitions: u32,
    /// Partitions that are halted by gaps nobody dealt with.
    pub gaps: u32,
    /// What a failover now would lose.
    pub loss: LossBound,
    /// The fastest that the source was written to lately, in records a second, all partitions together; nothing where that
    /// is not known.
    #[serde(default)]
    pub records_per_second: Option<f64>,
}

impl FlowSeen {
    /// Whether an earlier recovery ended it and nothing was copied since: its target does not stand by. What the source
    /// took meanwhile is not there, and nothing tells how much that is.
    pub fn ended_before(&self, order: &Order) -> bool {
        self.state == FlowState::Sealed.name() && self.epoch < order.epoch && !order.begun
    }
}

impl Assessment {
    /// Whether the target can take over: it answers, and holds the flow.
    pub fn target_is_fit(&self) -> bool {
        self.target.verdict.health == crate::health::Health::Healthy && self.flow.is_some()
    }
}
