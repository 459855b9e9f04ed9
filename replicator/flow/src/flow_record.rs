//! The flow's own record on the target: made once, read before anything is written; and the ids of all who write.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use understudy_domain::{FlowRecord, FlowState, Slot, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster, Fault, Operation};

use crate::clock::now_ms;
use crate::config::Flow;
pub use crate::flow_error::FlowError;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);
/// How often the record is looked at while the number of slots is being changed.
const CHANGE_LOOK: Duration = Duration::from_millis(200);
/// How often state is read again because the number of slots was changed meanwhile.
const STEADY_TRIES: usize = 3;
/// How many ids are taken over at once; each takes a client of its own.
const AT_ONCE: usize = 8;

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

/// The transactional id under which state moves when a flow gets another number of slots.
pub fn reslot_id(flow: &Flow) -> String {
    format!("understudy-{}-reslot", flow.name)
}

/// Every transactional id under which a flow with this record writes to the target, but for that of the record itself,
/// which [`change`] takes over:
/// - its slots, of its generation; and of the next one too while the number of slots is being changed, because that may
///   come to its end at any moment;
/// - the mover of state from slot to slot;
/// - operators' answers about gaps;
/// - configs and ACLs, and the memory of them. These themselves are written by no transaction.
///
/// Written without any are groups' places and MirrorMaker 2's topics: of them a worker that was fenced may still write
/// what it had begun.
pub fn writer_ids(flow: &Flow, record: &FlowRecord) -> Vec<String> {
    let next = record.generation.saturating_add(1);
    let generations = [
        Some((record.generation, record.slots)),
        record.changing_to.map(|to| (next, to)),
    ];
    let slots = generations.into_iter().flatten();
    let mut ids: Vec<String> = slots
        .flat_map(|(generation, slots)| {
            let slots = (0..slots.get()).map(Slot::new);
            slots.map(move |slot| flow.state.transactional_id(generation, slot))
        })
        .collect();
    ids.extend([
        reslot_id(flow),
        answers_id(flow),
        flow.state.settings_transactional_id(),
    ]);
    ids
}

/// Fences everybody who writes for the flow, as it stands in `record`: all of [`writer_ids`]. Afterwards their open
/// transactions have ended, and whoever held one of these ids can write nothing under it any more. Who starts anew can,
/// so the record comes first: a flow that is to stay silent is sealed before ([`change`]), and its record read after.
///
/// Each id is given `within`, and eight are taken over at once. After an error some are fenced and some may not be; to
/// do it again is no harm.
///
/// # Errors
/// The target does not answer in time, or refuses.
pub fn fence_slots(flow: &Flow, record: &FlowRecord, within: Duration) -> Result<(), FlowError> {
    Ok(fence(flow, &writer_ids(flow, record), within)?)
}

/// Takes transactional ids on the target over and lets go of them: who held one is fenced, and its open transaction has
/// ended. Each is given `within`, and eight are taken over at once.
///
/// # Errors
/// The target does not answer in time, or refuses; the first of these.
pub fn fence(flow: &Flow, ids: &[String], within: Duration) -> Result<(), Fault> {
    let take_over = |id: &str| writer(flow, id)?.init(within);
    for some in ids.chunks(AT_ONCE) {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|id| scope.spawn(|| take_over(id)))
                .collect();
            running.into_iter().map(|thread| thread.join()).collect()
        });
        for (answer, id) in answers.into_iter().zip(some) {
            // A panic was reported already; without an answer nothing is known to be fenced.
            answer.map_err(|_panic| Fault::TimedOut {
                operation: Operation::InitTransactions,
                subject: id.clone(),
                within,
            })??;
        }
    }
    Ok(())
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
    let mut writer = writer(flow, &record_id(flow))?;
    writer.init(WITHIN)?;
    let mut record =
        read(cluster, flow)?.ok_or_else(|| FlowError::NoFlow(flow.name.to_string()))?;
    how(&mut record);
    write(&mut writer, flow, &record)?;
    Ok(record)
}

/// The transactional id under which the flow's record is written.
fn record_id(flow: &Flow) -> String {
    format!("understudy-{}-flow", flow.name)
}

fn writer(flow: &Flow, id: &str) -> Result<Writer, Fault> {
    let watch = flow.target.watch.clone();
    Writer::new(&flow.target.writer(id), watch, usize::MAX)
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
        None => create(cluster, flow, (source_id, target_id), FlowState::Running, 0)?,
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

/// Makes the record of a flow that is not to run yet, sealed at `epoch`; one that is there already stays as it is.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn create_sealed(
    cluster: &Cluster,
    flow: &Flow,
    source_id: &str,
    target_id: &str,
    epoch: u64,
) -> Result<FlowRecord, FlowError> {
    let ids = (source_id, target_id);
    create(cluster, flow, ids, FlowState::Sealed, epoch)
}

fn create(
    cluster: &Cluster,
    flow: &Flow,
    (source_id, target_id): (&str, &str),
    state: FlowState,
    epoch: u64,
) -> Result<FlowRecord, FlowError> {
    let mut writer = writer(flow, &record_id(flow))?;
    writer.init(WITHIN)?;
    if let Some(record) = read(cluster, flow)? {
        return Ok(record);
    }
    let record = FlowRecord {
        generation: 1,
        slots: flow.slots,
        epoch,
        state,
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;

    use super::*;
    use crate::secrets::FirstRead;

    #[test]
    fn whoever_may_write_is_fenced_also_when_the_slots_are_changed_meanwhile()
    -> Result<(), Box<dyn std::error::Error>> {
        let text = "[source]\nalias = \"a\"\n\"bootstrap.servers\" = \"a:1\"\n\
                    [target]\nalias = \"b\"\n\"bootstrap.servers\" = \"b:1\"\n";
        let flow = Flow::parse(
            text,
            Path::new("flow.toml"),
            &|_| None,
            FirstRead::WithTheFile,
        )?;
        let mut record = FlowRecord {
            generation: 3,
            slots: NonZeroU32::MIN.saturating_add(1),
            epoch: 0,
            state: FlowState::Running,
            source_cluster_id: "A".to_owned(),
            target_cluster_id: "B".to_owned(),
            created_at_ms: None,
            paused_topics: BTreeSet::new(),
            changing_to: None,
        };
        let others = [
            "understudy-a-b-reslot",
            "understudy-a-b-answers",
            "understudy-a-b-settings",
        ];
        let slots = ["understudy-a-b-3-0", "understudy-a-b-3-1"];
        let settled = [&slots[..], &others[..]].concat();
        assert_eq!(writer_ids(&flow, &record), settled);
        record.changing_to = Some(NonZeroU32::MIN);
        let changing = [&slots[..], &["understudy-a-b-4-0"], &others[..]].concat();
        assert_eq!(writer_ids(&flow, &record), changing);
        let next = record.changed();
        for id in writer_ids(&flow, &next) {
            assert!(changing.contains(&id.as_str()), "{id}");
        }
        Ok(())
    }
}
