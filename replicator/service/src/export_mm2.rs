//! `understudy export-mm2`: the way back. Stores where the flow stands where MirrorMaker 2 keeps that, so that one that
//! is started again goes on behind the last copy.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use understudy_domain::mm2::{ConnectOffsetKey, encode_connect_offset};
use understudy_domain::{Slot, TopicPartition};
use understudy_kafka::ffi::reader::OwnedRecord;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::plane::Parked;
use understudy_kafka::{Cluster, Fault};

use crate::Report;
use crate::clock::now_ms;
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record;
use crate::replication::Replicas;
use crate::stored_state::read_positions;
use crate::tool::{ToolError, open_target};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);
/// How many partitions Kafka Connect gives an offsets topic.
const PARTITIONS: i32 = 25;

/// What was stored.
#[derive(Serialize)]
pub struct Export {
    flow: String,
    /// Connect's offsets topic on the target.
    topic: String,
    connector: String,
    partitions: Vec<Stored>,
    /// What MirrorMaker 2 will not do as the flow did.
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct Stored {
    topic: String,
    partition: i32,
    /// The next record, on the source.
    source_offset: i64,
}

/// Stores every position of the flow for MirrorMaker 2.
///
/// # Errors
/// The target does not answer, the flow is not there, or somebody still works on its copies.
pub fn run(flow: &Flow) -> Result<Export, ToolError> {
    let target = open_target(flow)?;
    let at_target = |fault: Fault| ToolError::Target(explain(&flow.target, &fault));
    nobody_works(flow, &target)?;
    let record = flow_record::read(&target, flow)?
        .ok_or_else(|| ToolError::NoFlow(flow.name.to_string()))?;
    let (topic, connector) = (&flow.mm2.offsets_topic, &flow.mm2.connector);
    let is_there = target.topic(topic, WITHIN).map_err(at_target)?.is_some();
    if !is_there {
        // As Connect makes it.
        let compacted = [("cleanup.policy", "compact")];
        Replicas::on(&target, flow.replication_factor)
            .and_then(|replicas| replicas.create_own(&target, topic, PARTITIONS, &compacted))
            .map_err(at_target)?;
    }
    let mut config = flow.target.plain_writer();
    // A key lies where Java's producers put it, so that the newest value of each is the only one.
    config.set("partitioner", "murmur2_random");
    let mut writer =
        Writer::new(&config, flow.target.watch.clone(), usize::MAX).map_err(at_target)?;
    let (mut partitions, mut remarks) = (Vec::new(), Vec::new());
    for slot in (0..record.slots.get()).map(Slot::new) {
        for (partition, position) in read_positions(&target, &flow.state, slot)? {
            if let Some(copies) = &position.target_topic {
                remarks.push(format!(
                    "{partition} went to {copies} since its topic was made again; MirrorMaker 2 will write to {}",
                    flow.target_of(&partition).topic
                ));
            }
            writer
                .park(&record_of(
                    flow,
                    connector,
                    &partition,
                    position.source_offset.get(),
                ))
                .map_err(at_target)?;
            partitions.push(Stored {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                source_offset: position.source_offset.get(),
            });
        }
    }
    writer.flush(WITHIN).map_err(at_target)?;
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(Export {
        flow: flow.name.to_string(),
        topic: topic.clone(),
        connector: connector.clone(),
        partitions,
        remarks,
    })
}

/// Neither workers of the flow nor a MirrorMaker 2: what either does meanwhile would be stored too early or too late.
fn nobody_works(flow: &Flow, target: &Cluster) -> Result<(), ToolError> {
    let own = flow.state.group_id();
    let groups = [
        (Some(&own), "workers of the flow"),
        (flow.mm2.group.as_ref(), "a MirrorMaker 2"),
    ];
    for (group, whose) in groups {
        let Some(group) = group else { continue };
        let live = target
            .group_has_members(group, WITHIN)
            .map_err(|fault| ToolError::Target(explain(&flow.target, &fault)))?;
        if live {
            return Err(ToolError::Target(format!(
                "{whose} still runs: group {group} on {} has members; stop it, wait until its session has ended, and try again",
                flow.target.alias
            )));
        }
    }
    Ok(())
}

fn record_of(flow: &Flow, connector: &str, partition: &TopicPartition, next: i64) -> Parked {
    let key = ConnectOffsetKey {
        connector: connector.to_owned(),
        place: Some((flow.source.alias.clone(), partition.clone())),
    };
    Parked {
        record: OwnedRecord {
            key: Some(key.encode()),
            payload: encode_connect_offset(next),
            headers: Vec::new(),
            timestamp_ms: Some(now_ms()),
        },
        topic: flow.mm2.offsets_topic.as_str().into(),
    }
}

impl Report for Export {
    fn holds(&self) -> bool {
        true
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Stored {
            topic,
            partition,
            source_offset,
        } in &self.partitions
        {
            writeln!(f, "{topic}-{partition}: next is {source_offset}")?;
        }
        for remark in &self.remarks {
            writeln!(f, "note: {remark}")?;
        }
        write!(
            f,
            "{} partitions of flow {} stored in {} under {}; a MirrorMaker 2 that is started now goes on there",
            self.partitions.len(),
            self.flow,
            self.topic,
            self.connector
        )
    }
}
