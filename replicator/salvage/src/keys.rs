//! The tail of one topic, counted, and its keys looked for among what was written on the active cluster since the cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::TopicPartition;
use understudy_domain::tail::{KeyCensus, NO_TIMESTAMP, Tail, TailOrigin};
use understudy_kafka::ffi::admin::{Edge, Edges};
use understudy_kafka::{Cluster, Fault};

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};
use crate::tally::Tally;
use understudy_kafka::log_range::LogRange;

/// How many different keys of one topic's tail are remembered: some 50 MB.
const KEYS_MAX: usize = 1_000_000;
/// How many records are read between two looks at the clock.
const RECORDS_A_LOOK: u32 = 1_000;

/// What the tail of one topic came to.
pub struct TopicTail {
    /// By partition, with how many offsets there was no time for.
    pub tallies: BTreeMap<i32, (Tally, u64)>,
    /// Its keys, and which of them were met on the active cluster.
    pub census: KeyCensus,
}

/// Counts the tail of a topic, for as long as there is time, and looks for its keys on the active cluster, for as long as
/// `keys_left` says, which is less then by what that took.
///
/// # Errors
/// The source does not answer.
pub fn count(
    ground: &Ground<'_>,
    topic: &str,
    tails: &[(&TopicPartition, &Tail)],
    until: Option<Instant>,
    keys_left: &mut Duration,
) -> Result<TopicTail, SalvageError> {
    let flow = ground.flow;
    let mut census = KeyCensus::new(KEYS_MAX);
    let mut tallies = BTreeMap::new();
    for (name, tail) in tails {
        let at_source = |fault: Fault| SalvageError::source(flow, &fault);
        let (mut from, end) = (tail.first.get(), tail.end.get());
        let is_over = || until.is_some_and(|until| Instant::now() >= until);
        let mut tally = Tally::default();
        if is_over() {
            // Not even a client is opened.
            census.leave_off();
            tallies.insert(name.partition, (tally, uncounted(from, end)));
            continue;
        }
        let config = flow.source.reader_to_end();
        let mut range = LogRange::open(config, &flow.source, name, from, end).map_err(at_source)?;
        let mut read = 0_u32;
        loop {
            if read.is_multiple_of(RECORDS_A_LOOK) && is_over() {
                census.leave_off();
                break;
            }
            let Some(record) = range.next_record().map_err(at_source)? else {
                from = end;
                break;
            };
            read = read.wrapping_add(1);
            from = record.offset() + 1;
            if ground.is_renewed(name, &record.headers()) {
                continue;
            }
            tally.add(&record);
            if let Some(key) = record.key() {
                census.note(name.partition, key);
            }
        }
        tallies.insert(name.partition, (tally, uncounted(from, end)));
    }
    let began = Instant::now();
    if !census.is_empty()
        && let Err(fault) = meet(ground, topic, &mut census, began + *keys_left)
    {
        tracing::debug!(%fault, topic, "keys on the active cluster are not all known");
        census.leave_off();
    }
    *keys_left = keys_left.saturating_sub(began.elapsed());
    Ok(TopicTail { tallies, census })
}

/// How many offsets lie between.
fn uncounted(from: i64, end: i64) -> u64 {
    u64::try_from(end - from).unwrap_or_default()
}

/// Reads what was written to the topic on the active cluster since the cut.
fn meet(
    ground: &Ground<'_>,
    topic: &str,
    census: &mut KeyCensus,
    limit: Instant,
) -> Result<(), Fault> {
    let flow = ground.flow;
    let own = ground.cut.iter().filter(|(name, _)| *name.topic == *topic);
    let copied = own.filter_map(|(name, position)| Some((name, position.as_ref()?)));
    let mut since: BTreeMap<TopicPartition, i64> = copied
        .map(|(name, position)| {
            let copies = flow.copies_of(name, position);
            (copies, position.target_offset.get())
        })
        .collect();
    let taker = flow.target_of(&TopicPartition::new(topic, 0)).topic;
    add_grown(&ground.target, taker, &mut since)?;
    let edges = |edge| ground.target.edges(since.keys(), edge, WITHIN);
    let (starts, ends) = (edges(Edge::Earliest)?, edges(Edge::LastStable)?);
    for (name, cut) in &since {
        let offset = |edges: &Edges| edges.get(name).and_then(|edge| edge.as_ref().ok()).copied();
        let (Some(start), Some(end)) = (offset(&starts), offset(&ends)) else {
            census.leave_off();
            continue;
        };
        if start > *cut {
            // Retention has taken some of it.
            census.leave_off();
        }
        let from = start.max(*cut);
        let source = TopicPartition::new(topic, name.partition);
        let config = flow.target.reader_to_end();
        let mut range = LogRange::open(config, &flow.target, name, from, end)?;
        let mut read = 0_u32;
        loop {
            if read.is_multiple_of(RECORDS_A_LOOK) && from < end && Instant::now() >= limit {
                census.leave_off();
                return Ok(());
            }
            let Some(record) = range.next_record()? else {
                break;
            };
            let timestamp_ms = record.timestamp_ms().unwrap_or(NO_TIMESTAMP);
            if let Some(key) = record.key()
                && !TailOrigin::is_merged(&record.headers(), timestamp_ms, &source)
            {
                census.meet(key);
            }
            read = read.wrapping_add(1);
        }
    }
    Ok(())
}

/// Adds partitions that nothing was copied to: everything in them was written by others.
fn add_grown(
    target: &Cluster,
    taker: Arc<str>,
    since: &mut BTreeMap<TopicPartition, i64>,
) -> Result<(), Fault> {
    let mut topics: BTreeSet<_> = since.keys().map(|name| name.topic.clone()).collect();
    topics.insert(taker);
    for topic in topics {
        let partitions = target.topic(&topic, WITHIN)?.map_or(0, |it| it.partitions);
        for partition in 0..partitions {
            let name = TopicPartition::new(topic.clone(), partition);
            since.entry(name).or_insert(0);
        }
    }
    Ok(())
}
