//! Why a flow cannot run as it is configured, or may not.

use understudy_domain::DecodeError;
use understudy_kafka::Fault;

/// Why a flow cannot run as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The cluster did not do it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The record cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Source and target are one cluster.
    #[error(
        "source {source_alias} and target {target_alias} are the same cluster (id {id}); a flow would copy its topics onto themselves; check bootstrap.servers"
    )]
    SameCluster {
        /// The source's alias.
        source_alias: String,
        /// The target's alias.
        target_alias: String,
        /// The cluster's id.
        id: String,
    },
    /// There is no record.
    #[error("the target has no flow {0}; it is made when `understudy replicate` first runs")]
    NoFlow(String),
    /// The flow was made for another number of slots.
    #[error(
        "flow {flow} has {stored} slots, the configuration says {configured}; set mirror.slots = {stored}, or give the flow {configured} with `understudy reslot`"
    )]
    OtherSlots {
        /// The flow.
        flow: String,
        /// As stored on the target.
        stored: u32,
        /// As configured.
        configured: u32,
    },
    /// The number of slots is being changed, and nobody may write until that is done.
    #[error(
        "the slots of flow {flow} are being changed from {stored} to {to}; workers and `understudy reslot` with mirror.slots = {to} go on with that, this configuration says {configured}"
    )]
    Changing {
        /// The flow.
        flow: String,
        /// As they were.
        stored: u32,
        /// As they will be.
        to: u32,
        /// As configured.
        configured: u32,
    },
    /// Another flow mirrors back what this one writes.
    #[error("flow {flow} waits: {reason}")]
    RoundTrip {
        /// The flow.
        flow: String,
        /// Which, what, and what to do.
        reason: String,
    },
    /// The slots that were held are not the flow's any more.
    #[error("flow {flow} has other slots since generation {generation}")]
    OtherGeneration {
        /// The flow.
        flow: String,
        /// Which it has, or is being given.
        generation: u64,
    },
    /// The flow was made for another cluster.
    #[error(
        "flow {flow} was made for the {end} cluster {stored}, this one is {found}; use another flow name for another cluster"
    )]
    OtherCluster {
        /// The flow.
        flow: String,
        /// `source` or `target`.
        end: &'static str,
        /// As stored.
        stored: String,
        /// As found.
        found: String,
    },
    /// The flow may not write any more.
    #[error("flow {flow} is {state} since recovery epoch {epoch}; its workers may not write")]
    NotRunning {
        /// The flow.
        flow: String,
        /// Its state.
        state: &'static str,
        /// The epoch.
        epoch: u64,
    },
}

impl FlowError {
    /// Whether trying again may help, without anybody changing the configuration or the flow.
    pub fn may_heal(&self) -> bool {
        match self {
            // A sealed flow may be opened again by a recovery.
            Self::Fault(_)
            | Self::NotRunning { .. }
            | Self::RoundTrip { .. }
            | Self::OtherGeneration { .. } => true,
            Self::Changing { to, configured, .. } => to == configured,
            Self::Decode(_)
            | Self::SameCluster { .. }
            | Self::NoFlow(_)
            | Self::OtherSlots { .. }
            | Self::OtherCluster { .. } => false,
        }
    }
}
