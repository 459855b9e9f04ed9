//! The flow's own record on the target: made once, read before anything is written.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use understudy_domain::{DecodeError, FlowRecord, FlowState, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster, Fault};

use crate::board::now_ms;
use crate::config::Flow;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);
/// How often the record is looked at while the number of slots is being changed.
const CHANGE_LOOK: Duration = Duration::from_millis(200);
/// How often state is read again because the number of slots was changed meanwhile.
const STEADY_TRIES: usize = 3;

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

/// The transactional id under which operators' answers about gaps are written.
pub fn answers_id(flow: &Flow) -> String {
    format!("understudy-{}-answers", flow.name)
}

/// The flow's record, once its number of slots is not being changed; waits for that, for a while.
///
/// # Errors
/// There is no such flow, a change of its slots stands still, the cluster's answer, or a record that this version cannot
/// read.
pub fn settled(cluster: &Cluster, flow: &Flow) -> Result<FlowRecord, FlowError> {
    let limit = Instant::now() + WITHIN;
    loop {
        let record =
            read(cluster, flow)?.ok_or_else(|| FlowError::NoFlow(flow.name.to_string()))?;
        match must_be_settled(flow, &record) {
            Ok(()) => return Ok(record),
            Err(changing) if Instant::now() >= limit => return Err(changing),
            Err(_changing) => std::thread::sleep(CHANGE_LOOK),
        }
    }
}

/// Looks at a flow's state while its number of slots stays what it is: state on its way from slot to slot could be
/// missed. Looks again where it changed meanwhile.
///
/// # Errors
/// As [`settled`], and those of `look`.
pub fn steady<T, E: From<FlowError>>(
    cluster: &Cluster,
    flow: &Flow,
    mut look: impl FnMut(&FlowRecord) -> Result<T, E>,
) -> Result<T, E> {
    let mut record = settled(cluster, flow)?;
    for _ in 0..STEADY_TRIES {
        let found = look(&record)?;
        let now = settled(cluster, flow)?;
        if now.generation == record.generation {
            return Ok(found);
        }
        record = now;
    }
    let generation = record.generation;
    Err(E::from(FlowError::OtherGeneration {
        flow: flow.name.to_string(),
        generation,
    }))
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
    if record.source_cluster_id != source_id {
        return Err(other("source", &record.source_cluster_id, source_id));
    }
    if record.target_cluster_id != target_id {
        return Err(other("target", &record.target_cluster_id, target_id));
    }
    must_be_settled(flow, &record)?;
    if record.slots != flow.slots {
        return Err(FlowError::OtherSlots {
            flow: flow.name.to_string(),
            stored: record.slots.get(),
            configured: flow.slots.get(),
        });
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

/// The number of slots must not be on its way to another one.
///
/// # Errors
/// It is.
pub fn must_be_settled(flow: &Flow, record: &FlowRecord) -> Result<(), FlowError> {
    match record.changing_to {
        None => Ok(()),
        Some(to) => Err(FlowError::Changing {
            flow: flow.name.to_string(),
            stored: record.slots.get(),
            to: to.get(),
            configured: flow.slots.get(),
        }),
    }
}

/// Slots of this generation must be the flow's, and stay so.
///
/// # Errors
/// They are not.
pub fn must_be_of(flow: &Flow, record: &FlowRecord, generation: u64) -> Result<(), FlowError> {
    must_be_settled(flow, record)?;
    if record.is_of(generation) {
        return Ok(());
    }
    Err(FlowError::OtherGeneration {
        flow: flow.name.to_string(),
        generation: record.generation,
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
        changing_to: None,
    };
    write(&mut writer, flow, &record)?;
    tracing::info!(flow = %flow.name, slots = record.slots.get(), "flow created");
    Ok(record)
}
