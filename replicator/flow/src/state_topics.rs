//! The topics of a flow's own on the target: made when it first runs, grown when it gets more slots.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_kafka::{Cluster, Fault, Operation};

use crate::config::Flow;
use crate::replication::Replicas;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// What is compacted, and seldom written.
const COMPACTED: &[(&str, &str)] = &[("cleanup.policy", "compact")];
/// What is written with each commit and read from its beginning: positions by whoever takes a slot over, the map by tools.
/// What is not compacted yet is up to two segments, by default of 1 GiB; and the markers of commits stay for
/// `delete.retention.ms`, by default a day. No reader takes an hour. A replica that was away for longer may tell of what
/// has a tombstone no more; who reads positions passes over those of other slots.
const OFTEN: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("delete.retention.ms", "3600000"),
];
/// How long until a new topic is looked at again that has no leaders yet.
const LEADER_WAIT: Duration = Duration::from_millis(20);

/// Makes what is missing, for the configured number of slots.
///
/// # Errors
/// The target refuses, or does not answer in time.
pub fn make(flow: &Flow, target: &Cluster) -> Result<(), Fault> {
    let slots = i32::try_from(flow.slots.get()).unwrap_or(i32::MAX);
    let topics = [
        (flow.state.flow(), 1, COMPACTED),
        (flow.state.settings(), 1, COMPACTED),
        (flow.state.positions(), slots, OFTEN),
        (flow.state.offset_map(), slots, OFTEN),
        (flow.state.gaps(), slots, COMPACTED),
        (flow.state.slots(), slots, &[]),
    ];
    let mut replicas = None;
    for (name, partitions, configs) in topics {
        if target.topic(&name, WITHIN)?.is_none() {
            let replicas = match replicas {
                Some(known) => known,
                None => *replicas.insert(Replicas::on(target, flow.replication_factor)?),
            };
            let made = replicas.create_own(target, &name, partitions, configs);
            match made {
                // Not every cluster lets a topic have its own.
                Err(Fault::Kafka {
                    code: Some(RDKafkaErrorCode::InvalidConfig | RDKafkaErrorCode::PolicyViolation),
                    reason,
                    ..
                }) if configs.len() > COMPACTED.len() => {
                    tracing::warn!(
                        topic = name,
                        reason,
                        "made with the cluster's own segments: taking slots over will take longer the more was copied"
                    );
                    replicas.create_own(target, &name, partitions, COMPACTED)?;
                }
                made => made?,
            }
        }
    }
    for name in [
        flow.state.flow(),
        flow.state.settings(),
        flow.state.positions(),
        flow.state.offset_map(),
        flow.state.gaps(),
        flow.state.slots(),
    ] {
        wait_led(target, &name, 1)?;
    }
    Ok(())
}

/// Makes the topic of how far tails were put aside, if it is not there.
///
/// # Errors
/// The target refuses, or does not answer in time.
pub fn make_salvage(flow: &Flow, target: &Cluster) -> Result<(), Fault> {
    let name = flow.state.salvage();
    if target.topic(&name, WITHIN)?.is_none() {
        let replicas = Replicas::on(target, flow.replication_factor)?;
        replicas.create_own(target, &name, 1, COMPACTED)?;
    }
    wait_led(target, &name, 1)
}

/// Gives every topic with one partition a slot at least `slots` of them; none is ever taken away.
///
/// # Errors
/// The target refuses, or does not answer in time.
pub fn grow(flow: &Flow, target: &Cluster, slots: NonZeroU32) -> Result<(), Fault> {
    let slots = i32::try_from(slots.get()).unwrap_or(i32::MAX);
    let state = &flow.state;
    for name in [
        state.positions(),
        state.offset_map(),
        state.gaps(),
        state.slots(),
    ] {
        let known = target.topic(&name, WITHIN)?;
        if known.is_some_and(|topic| topic.partitions < slots) {
            target.grow_topic(&name, slots, WITHIN)?;
        }
        wait_led(target, &name, slots)?;
    }
    Ok(())
}

/// Waits until so many partitions have leaders: clients that meet a topic without look again after seconds, this looks
/// after milliseconds.
///
/// # Errors
/// The target does not answer, or not all of them have one in time.
pub fn wait_led(target: &Cluster, name: &str, partitions: i32) -> Result<(), Fault> {
    let limit = Instant::now() + WITHIN;
    while !target
        .topic(name, WITHIN)?
        .is_some_and(|topic| topic.led && topic.partitions >= partitions)
    {
        if Instant::now() > limit {
            return Err(Fault::TimedOut {
                operation: Operation::CreateTopic,
                subject: name.to_owned(),
                within: WITHIN,
            });
        }
        std::thread::sleep(LEADER_WAIT);
    }
    Ok(())
}
