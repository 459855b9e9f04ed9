//! `understudy pause` and `understudy resume`: a flow, or topics of it, wait and go on.

use std::fmt;

use serde::Serialize;
use understudy_domain::{FlowRecord, FlowState, ReplicationPolicy};

use crate::Report;
use crate::config::Flow;
use crate::flow_record::{self, FlowError};
use crate::tool::{ToolError, open_target};

/// What holds for the flow now.
#[derive(Serialize)]
pub struct Control {
    flow: String,
    state: &'static str,
    paused_topics: Vec<String>,
    #[serde(skip)]
    sealed_since: Option<u64>,
    /// Whether copies have topics of their own, to which nobody else writes.
    #[serde(skip)]
    own_topics: bool,
}

/// Lets the flow wait, or these topics of it.
///
/// # Errors
/// The target does not answer, or holds no such flow.
pub fn pause(flow: &Flow, topics: &[String]) -> Result<Control, ToolError> {
    change(flow, |record| {
        if topics.is_empty() && record.state == FlowState::Running {
            record.state = FlowState::Paused;
        }
        record.paused_topics.extend(topics.iter().cloned());
    })
}

/// Lets the flow go on, or these topics of it. A sealed one only for whoever names the epoch that sealed it: what others
/// wrote to the target since would stand between the copies.
///
/// # Errors
/// As [`pause`].
pub fn resume(flow: &Flow, topics: &[String], epoch: Option<u64>) -> Result<Control, ToolError> {
    change(flow, |record| {
        let may = match record.state {
            FlowState::Running => false,
            FlowState::Paused => true,
            FlowState::Sealed => epoch == Some(record.epoch),
        };
        if topics.is_empty() && may {
            record.state = FlowState::Running;
        }
        for topic in topics {
            record.paused_topics.remove(topic);
        }
    })
}

fn change(flow: &Flow, how: impl FnOnce(&mut FlowRecord)) -> Result<Control, ToolError> {
    let target = open_target(flow)?;
    let record = flow_record::change(&target, flow, how).map_err(|error| match error {
        FlowError::NoFlow(name) => ToolError::NoFlow(name),
        other => ToolError::Flow(other),
    })?;
    Ok(Control {
        flow: flow.name.to_string(),
        state: record.state.name(),
        sealed_since: (record.state == FlowState::Sealed).then_some(record.epoch),
        own_topics: matches!(flow.policy, ReplicationPolicy::Prefixed { .. }),
        paused_topics: record.paused_topics.into_iter().collect(),
    })
}

impl Report for Control {
    /// A sealed flow neither waits nor goes on.
    fn holds(&self) -> bool {
        self.sealed_since.is_none()
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flow {}: {}", self.flow, self.state)?;
        if let Some(epoch) = self.sealed_since {
            let may = if self.own_topics {
                "its copies have topics of their own: once nobody writes to its source who was moved away from there"
            } else {
                "its target may have become the active cluster, and then the flow back runs in its place\nif nobody uses \
                 the target"
            };
            writeln!(
                f,
                "it is sealed since recovery epoch {epoch}: {may}, start it again with `understudy resume FLOW.toml --epoch \
                 {epoch}`"
            )?;
        }
        if !self.paused_topics.is_empty() {
            writeln!(f, "paused topics: {}", self.paused_topics.join(", "))?;
        }
        Ok(())
    }
}
