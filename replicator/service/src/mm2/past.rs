//! Reads what MirrorMaker 2 left behind about places, from both clusters.

use std::time::Duration;

use understudy_domain::mm2::{Checkpoint, CheckpointKey, Mm2Past, OffsetSync};
use understudy_domain::{Position, SourceOffset, TargetOffset, TopicPartition};
use understudy_kafka::{Cluster, Fault};

use crate::config::{Flow, Start};

/// Time limit for one look at a cluster.
const LOOK: Duration = Duration::from_secs(10);
/// Time limit for reading one topic.
const WITHIN: Duration = Duration::from_secs(120);

/// Why a place that MirrorMaker 2 copied has no better answer.
pub const NO_BETTER: &str =
    "MirrorMaker 2 copied it; its checkpoints and offset syncs tell no better";
/// Why a place that MirrorMaker 2 copied has no answer.
pub const NO_TRACE: &str = "MirrorMaker 2 copied it and left no trace of where";

/// Whether a place lies in what MirrorMaker 2 copied before the flow took over.
pub fn is_before_us(flow: &Flow, position: &Position, offset: SourceOffset) -> bool {
    flow.start == Start::Mm2 && position.incarnation == 0 && offset < position.started_at.source
}

/// Where such a place lies at least, if anything is known of it; without a group, as offset syncs tell.
pub fn at_least(
    past: &Mm2Past,
    group: &str,
    names: (&TopicPartition, &TopicPartition),
    position: &Position,
    offset: SourceOffset,
) -> Option<TargetOffset> {
    let target = past.at_least(group, names, offset)?;
    Some(target.min(position.started_at.target))
}

/// Checkpoints on the target and offset syncs on either side, as far as they are there; without the source, what the
/// target holds.
///
/// # Errors
/// A cluster that does not answer; true for the source. What we may not read is left out.
pub fn load(
    flow: &Flow,
    source: Option<&Cluster>,
    target: &Cluster,
) -> Result<Mm2Past, (bool, Fault)> {
    let mut past = Mm2Past::default();
    let topics = &flow.mm2.topics;
    let mut broken = 0_u64;
    // By default they lie on the source and are named after the target (KIP-716).
    for (is_source, cluster, topic) in [
        (true, source, topics.offset_syncs(&flow.target.alias)),
        (false, Some(target), topics.offset_syncs(&flow.source.alias)),
    ] {
        let Some(cluster) = cluster else { continue };
        read(cluster, &topic, &mut |key, value| match (
            OffsetSync::decode_key(key),
            OffsetSync::decode(value),
        ) {
            (Ok(partition), Ok(sync)) => past.add_sync(partition, sync),
            (Err(_), _) | (_, Err(_)) => broken += 1,
        })
        .map_err(|fault| (is_source, fault))?;
    }
    let checkpoints = topics.checkpoints(&flow.source.alias);
    read(target, &checkpoints, &mut |key, value| match (
        CheckpointKey::decode(key),
        Checkpoint::decode(value),
    ) {
        (Ok(key), Ok(checkpoint)) => past.add_checkpoint(key, &checkpoint),
        (Err(_), _) | (_, Err(_)) => broken += 1,
    })
    .map_err(|fault| (false, fault))?;
    if broken > 0 {
        tracing::warn!(
            records = broken,
            "some of MirrorMaker 2's checkpoints and offset syncs cannot be read; they were left out"
        );
    }
    Ok(past)
}

fn read(cluster: &Cluster, topic: &str, take: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Fault> {
    let place = TopicPartition::new(topic, 0);
    let mut read = || {
        if cluster.topic(topic, LOOK)?.is_none() {
            return Ok(());
        }
        cluster.read_to_end(&place, 0, WITHIN, |(key, value, _)| {
            if let Some(value) = value {
                take(&key, &value);
            }
        })
    };
    match read() {
        // What others left may be out of our reach; what can be read is used.
        Err(fault @ Fault::Denied { .. }) => {
            tracing::warn!(topic, %fault, "MirrorMaker 2's places are known less well");
            Ok(())
        }
        read => read,
    }
}
