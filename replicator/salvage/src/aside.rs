//! The topic that takes a tail: made, or found as one that will keep it.

use understudy_domain::{CLEANUP_POLICY, CREATE_TIME, TIMESTAMP_TYPE, TopicPartition};
use understudy_flow::replication::Replicas;
use understudy_flow::state_topics;
use understudy_kafka::Fault;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::log_range::LogRange;

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};

/// Kafka's default of `max.message.bytes`.
const MESSAGE_BYTES: i64 = 1_048_588;
/// With what a topic keeps all that is put into it.
const KEEPS: [(&str, &str); 3] = [
    (CLEANUP_POLICY, "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
];

/// Makes the topic that takes the tail of `topic`, or adds the partitions that it lacks. Nothing in it goes by itself.
/// `is_ours`: something was put aside there before.
///
/// # Errors
/// One of that name is there that would not keep a tail, or holds something else; or the target does not answer.
pub fn make(
    ground: &Ground<'_>,
    topic: &str,
    taker: &str,
    is_ours: bool,
) -> Result<(), SalvageError> {
    let target = &ground.target;
    let fail = |fault| SalvageError::unfinished(ground.flow, taker, fault);
    let own = ground.cut.keys().filter(|name| *name.topic == *topic);
    let partitions = own.map(|name| name.partition).max().unwrap_or_default() + 1;
    let known = target.topic(taker, WITHIN).map_err(fail)?;
    if let Some(known) = &known
        && !is_ours
        && let Some(found) = in_the_way(ground, taker, known.partitions).map_err(fail)?
    {
        return Err(SalvageError::InTheWay {
            tail: taker.to_owned(),
            target_alias: ground.flow.target.alias.clone(),
            found,
        });
    }
    let made = match known {
        Some(known) if known.partitions >= partitions => Ok(()),
        Some(_) => target.grow_topic(taker, partitions, WITHIN),
        None => Replicas::on(target, ground.flow.replication_factor).and_then(|replicas| {
            let bytes = message_bytes(ground, topic).to_string();
            let mut configs = KEEPS.to_vec();
            configs.push((TIMESTAMP_TYPE, CREATE_TIME));
            configs.push(("max.message.bytes", &bytes));
            replicas.create_own(target, taker, partitions, &configs)
        }),
    };
    made.and_then(|()| state_topics::wait_led(target, taker, partitions))
        .map_err(fail)
}

/// Why a topic that somebody else made is none that a tail can be put aside in, if it is not.
fn in_the_way(ground: &Ground<'_>, taker: &str, partitions: i32) -> Result<Option<String>, Fault> {
    let target = &ground.target;
    for (name, keeps) in KEEPS {
        match target.topic_config(taker, name, WITHIN) {
            Ok(Some(value)) if value != keeps => {
                return Ok(Some(format!(
                    "has {name} = {value}, and would not keep what is put into it: set {name} = {keeps} there"
                )));
            }
            // Whoever may not ask finds out by reading back.
            Ok(_) | Err(Fault::Denied { .. }) => {}
            Err(fault) => return Err(fault),
        }
    }
    let places: Vec<_> = (0..partitions)
        .map(|partition| TopicPartition::new(taker, partition))
        .collect();
    let edges = |edge| target.edges(&places, edge, WITHIN);
    let (starts, ends) = (edges(Edge::Earliest)?, edges(Edge::LastStable)?);
    for place in &places {
        let (Some(Ok(start)), Some(Ok(end))) = (starts.get(place), ends.get(place)) else {
            continue;
        };
        let endpoint = &ground.flow.target;
        let config = endpoint.reader_to_end();
        let mut range = LogRange::open(config, endpoint, place, *start, *end)?;
        if let Some(record) = range.next_record()? {
            return Ok(Some(format!(
                "holds records that nobody put aside there ({place} at offset {}): keep them under another name",
                record.offset()
            )));
        }
    }
    Ok(None)
}

/// How large a batch of the tail may be: records get headers, and may be compressed otherwise than on the source.
fn message_bytes(ground: &Ground<'_>, topic: &str) -> i64 {
    let told = ground
        .source
        .topic_config(topic, "max.message.bytes", WITHIN);
    let told = told
        .ok()
        .flatten()
        .and_then(|bytes| bytes.parse::<i64>().ok());
    let bytes = told.unwrap_or(MESSAGE_BYTES).max(MESSAGE_BYTES);
    bytes.saturating_mul(2).min(i64::from(i32::MAX))
}
