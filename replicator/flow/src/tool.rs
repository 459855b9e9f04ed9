//! What tools about a flow have in common: they need its target, and say why they have no answer.

use std::time::{Duration, Instant};

use understudy_kafka::{Cluster, Fault};

use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record::FlowError;
use crate::stored_state::StateError;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a topic must be unknown before it is taken to be missing: a broker that has just started knows of none.
const SURELY: Duration = Duration::from_secs(4);
/// Between two looks at such a topic.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Why a tool has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The target is needed for every answer.
    #[error("{0}")]
    Target(String),
    /// The source is needed for this answer.
    #[error("{0}")]
    Source(String),
    /// The flow's record.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The flow's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The question itself.
    #[error("{0}")]
    Usage(&'static str),
    /// There is no such flow.
    #[error("the target has no flow {0}; it is made when `understudy replicate` first runs")]
    NoFlow(String),
}

/// The target, once it has answered.
///
/// # Errors
/// It does not.
pub fn open_target(flow: &Flow) -> Result<Cluster, ToolError> {
    let unreachable = |fault: Fault| ToolError::Target(explain(&flow.target, &fault));
    let target = Cluster::open(&flow.target).map_err(unreachable)?;
    let deadline = Instant::now() + SURELY;
    while target
        .topic(&flow.state.flow(), WITHIN)
        .map_err(unreachable)?
        .is_none()
    {
        if Instant::now() >= deadline {
            return Err(ToolError::NoFlow(flow.name.to_string()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(target)
}
