//! The flow's own record on the target: made once, read before anything is written.

use std::collections::BTreeSet;
use std::time::Duration;

use understudy_domain::{DecodeError, FlowRecord, FlowState, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster, Fault};

use crate::board::now_ms;
use crate::config::Flow;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);

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
        "flow {flow} has {stored} slots, the configuration says {configured}; set mirror.slots = {stored}"
    )]
    OtherSlots {
        /// The flow.
        flow: String,
        /// As stored on the target.
        stored: u32,
        /// As configured.
        configured: u32,
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
        // A sealed flow may be opened again by a recovery.
        matches!(self, Self::Fault(_) | Self::NotRunning { .. })
    }
}

/// Reads the flow's record, committed and to the end of its topic.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn read(cluster: &Cluster, flow: &Flow) -> Result<Option<FlowRecord>, FlowError> {
    let place = TopicPartition::new(flow.state.flow(), 0);
    let own = FlowRecord::key(&flow.name);
    let mut last = None;
    cluster.read_to_end(&place, 0, WITHIN, |(key, value, _)| {
        if key == own {
            last = value;
        }
    })?;
    Ok(last.map(|bytes| FlowRecord::decode(&bytes)).transpose()?)
}

/// Notices changes of the flow's record.
pub struct FlowWatch {
    record: FlowRecord,
    /// One past the last record of the flow's topic that was read.
    seen: i64,
}

impl FlowWatch {
    /// A watch that knows `record`.
    pub const fn new(record: FlowRecord) -> Self {
        Self { record, seen: 0 }
    }

    /// The record as last seen.
    pub const fn record(&self) -> &FlowRecord {
        &self.record
    }

    /// Looks; true if the record is another one now.
    ///
    /// # Errors
    /// The cluster's answer, or a record that this version cannot read.
    pub fn look(&mut self, cluster: &Cluster, flow: &Flow) -> Result<bool, FlowError> {
        let place = TopicPartition::new(flow.state.flow(), 0);
        let end = cluster
            .edges([&place], Edge::HighWatermark, WITHIN)?
            .remove(&place);
        let Some(Ok(end)) = end else { return Ok(false) };
        if end == self.seen {
            return Ok(false);
        }
        let Some(record) = read(cluster, flow)? else {
            return Ok(false);
        };
        self.seen = end;
        let changed = record != self.record;
        self.record = record;
        Ok(changed)
    }
}

/// Changes the flow's record, unless somebody else does so at the same time: the brokers let one of the two write.
///
/// # Errors
/// There is no such flow, the cluster's answer, or a record that this version cannot read.
pub fn change(
    cluster: &Cluster,
    flow: &Flow,
    how: impl FnOnce(&mut FlowRecord),
) -> Result<FlowRecord, FlowError> {
    let mut writer = writer(flow)?;
    writer.init(WITHIN)?;
    let mut record =
        read(cluster, flow)?.ok_or_else(|| FlowError::NoFlow(flow.name.to_string()))?;
    how(&mut record);
    write(&mut writer, flow, &record)?;
    Ok(record)
}

fn writer(flow: &Flow) -> Result<Writer, Fault> {
    let transactional_id = format!("understudy-{}-flow", flow.name);
    Writer::new(
        &flow.target.writer(&transactional_id),
        flow.target.watch.clone(),
        usize::MAX,
    )
}

fn write(writer: &mut Writer, flow: &Flow, record: &FlowRecord) -> Result<(), Fault> {
    writer.begin()?;
    let place = TopicPartition::new(flow.state.flow(), 0);
    let key = FlowRecord::key(&flow.name);
    writer.put(0, &place, &key, Some(&record.encode()))?;
    writer.commit(WITHIN)
}

/// Reads the flow's record, or makes it. Two workers that both find none cannot both make one: the second to take the
/// transactional id over fences the first, and reads again before it writes.
///
/// # Errors
/// The cluster's answer, or a record that does not fit the configuration.
pub fn read_or_create(
    cluster: &Cluster,
    flow: &Flow,
    source_id: &str,
    target_id: &str,
) -> Result<FlowRecord, FlowError> {
    let record = match read(cluster, flow)? {
        Some(record) => record,
        None => create(cluster, flow, source_id, target_id)?,
    };
    let other = |end, stored: &str, found: &str| FlowError::OtherCluster {
        flow: flow.name.to_string(),
        end,
        stored: stored.to_owned(),
        found: found.to_owned(),
    };
    if record.slots != flow.slots {
        return Err(FlowError::OtherSlots {
            flow: flow.name.to_string(),
            stored: record.slots.get(),
            configured: flow.slots.get(),
        });
    }
    if record.source_cluster_id != source_id {
        return Err(other("source", &record.source_cluster_id, source_id));
    }
    if record.target_cluster_id != target_id {
        return Err(other("target", &record.target_cluster_id, target_id));
    }
    must_run(flow, &record)?;
    Ok(record)
}

/// Source and target must be two clusters.
///
/// # Errors
/// They are one.
pub fn must_differ(flow: &Flow, source_id: &str, target_id: &str) -> Result<(), FlowError> {
    if source_id != target_id {
        return Ok(());
    }
    Err(FlowError::SameCluster {
        source_alias: flow.source.alias.clone(),
        target_alias: flow.target.alias.clone(),
        id: source_id.to_owned(),
    })
}

/// Whether workers of this record may write.
///
/// # Errors
/// They may not.
pub fn must_run(flow: &Flow, record: &FlowRecord) -> Result<(), FlowError> {
    match record.state {
        // A paused flow may still say where it stands; its partitions wait.
        FlowState::Running | FlowState::Paused => Ok(()),
        FlowState::Sealed => Err(FlowError::NotRunning {
            flow: flow.name.to_string(),
            state: record.state.name(),
            epoch: record.epoch,
        }),
    }
}

fn create(
    cluster: &Cluster,
    flow: &Flow,
    source_id: &str,
    target_id: &str,
) -> Result<FlowRecord, FlowError> {
    let mut writer = writer(flow)?;
    writer.init(WITHIN)?;
    if let Some(record) = read(cluster, flow)? {
        return Ok(record);
    }
    let record = FlowRecord {
        generation: 1,
        slots: flow.slots,
        epoch: 0,
        state: FlowState::Running,
        source_cluster_id: source_id.to_owned(),
        target_cluster_id: target_id.to_owned(),
        created_at_ms: Some(now_ms()),
        paused_topics: BTreeSet::new(),
    };
    write(&mut writer, flow, &record)?;
    tracing::info!(flow = %flow.name, slots = record.slots.get(), "flow created");
    Ok(record)
}
