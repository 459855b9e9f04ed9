//! A look at every partition of the cut on the cluster that came back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::tail::{HeldLog, ReturnedLog, Tail};
use understudy_domain::{Position, SourceOffset, TopicPartition};
use understudy_kafka::ffi::admin::{Edge, Edges};
use understudy_kafka::{Cluster, Fault};

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};
use understudy_flow::config::Start;
use understudy_flow::explain::explain;

/// How long a topic must be unknown before it is taken to be gone: a broker that has just started knows of none.
const SURELY: Duration = Duration::from_secs(4);
/// Between two looks at such a topic.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What each partition came to, or why that cannot be told.
pub type Tails = BTreeMap<TopicPartition, Result<Tail, String>>;

/// What a look found.
pub struct Found {
    /// What the partition came to, or why that cannot be told.
    pub tails: Tails,
    /// The ids of topics that are there, where the cluster tells them.
    pub topic_ids: BTreeMap<String, String>,
}

impl Found {
    /// The id of a partition's topic, where the cluster tells it.
    pub fn topic_id(&self, name: &TopicPartition) -> Option<&str> {
        self.topic_ids.get(&*name.topic).map(String::as_str)
    }
}

/// Looks at every partition of the cut.
///
/// # Errors
/// The source does not answer.
pub fn look(ground: &Ground<'_>) -> Result<Found, SalvageError> {
    let at_source = |fault: Fault| SalvageError::source(ground.flow, &fault);
    let mut logs = ends(ground)?;
    let topic_ids = ground.source.topic_ids(ground.topics(), WITHIN);
    let topic_ids = topic_ids.map_err(at_source)?;
    let mut tails = Tails::new();
    let since = since(ground)?;
    for (name, position) in &ground.cut {
        let Some(position) = position else {
            let tail = match logs.remove(name) {
                Some(Ok(ReturnedLog::Held(log))) => {
                    let from = match since.get(name) {
                        Some(Some(from)) => *from,
                        // No record is young enough.
                        Some(None) => log.last_stable,
                        None => SourceOffset::ZERO,
                    };
                    Ok(Tail::never_copied(from, &log))
                }
                Some(Ok(_)) | None => Err("the source does not tell of it any more".to_owned()),
                Some(Err(reason)) => Err(reason),
            };
            tails.insert(name.clone(), tail);
            continue;
        };
        let tail = match logs.remove(name) {
            Some(Ok(ReturnedLog::Held(mut log))) => {
                log.topic_id = topic_ids.get(&*name.topic).cloned();
                let forked_at = forked_at(&ground.source, name, position, &log);
                forked_at
                    .map(|at| {
                        log.forked_at = at;
                        Tail::of(position, &ReturnedLog::Held(log))
                    })
                    .map_err(|fault| explain(&ground.flow.source, &fault))
            }
            Some(Ok(gone)) => Ok(Tail::of(position, &gone)),
            Some(Err(reason)) => Err(reason),
            None => Err("the source did not tell of it".to_owned()),
        };
        tails.insert(name.clone(), tail);
    }
    Ok(Found { tails, topic_ids })
}

/// By partition that was never copied: the first offset that was to be, if there is one.
type Since = BTreeMap<TopicPartition, Option<SourceOffset>>;

/// Where partitions that were never copied would have begun, where that is not their beginning.
fn since(ground: &Ground<'_>) -> Result<Since, SalvageError> {
    let never = ground.cut.iter().filter(|(_, position)| position.is_none());
    let never: Vec<&TopicPartition> = never.map(|(name, _)| name).collect();
    let edge = match (ground.flow.start, ground.record.created_at_ms) {
        (Start::Latest, Some(created_at_ms)) => Edge::Since(created_at_ms),
        (Start::Latest, None) | (Start::Earliest | Start::Mm2, _) => return Ok(Since::new()),
    };
    let at_source = |fault: Fault| SalvageError::source(ground.flow, &fault);
    let told = ground
        .source
        .edges(never, edge, WITHIN)
        .map_err(at_source)?;
    let offset = |offset: i64| (offset >= 0).then(|| SourceOffset::new(offset));
    let told = told.into_iter();
    Ok(told
        .filter_map(|(name, answer)| Some((name, offset(answer.ok()?))))
        .collect())
}

/// Which of these tails end elsewhere by now, and those that the source does not tell of any more.
///
/// # Errors
/// The source does not answer.
pub fn moved(ground: &Ground<'_>, tails: &Tails) -> Result<Vec<TopicPartition>, SalvageError> {
    let at_source = |fault: Fault| SalvageError::source(ground.flow, &fault);
    let there = tails.iter().filter_map(|(name, tail)| match tail {
        Ok(tail) if !tail.is_gone() => Some((name, tail)),
        Ok(_) | Err(_) => None,
    });
    let there: Vec<_> = there.collect();
    let names = || there.iter().map(|(name, _)| *name);
    let stable = ground.source.edges(names(), Edge::LastStable, WITHIN);
    let stable = stable.map_err(at_source)?;
    let all = ground.source.edges(names(), Edge::HighWatermark, WITHIN);
    let all = all.map_err(at_source)?;
    let offset = |edges: &Edges, name| match edges.get(name) {
        Some(Ok(offset)) => Some(*offset),
        Some(Err(_)) | None => None,
    };
    let moved = there.iter().filter(|(name, tail)| {
        let stable = offset(&stable, name).map(|end| end.max(tail.first.get()));
        let end = offset(&all, name).map(|end| end.max(tail.end.get()));
        let held_back = i64::try_from(tail.held_back).unwrap_or(i64::MAX);
        stable != Some(tail.end.get()) || end != Some(tail.end.get().saturating_add(held_back))
    });
    Ok(moved.map(|(name, _)| (*name).clone()).collect())
}

type Logs = BTreeMap<TopicPartition, Result<ReturnedLog, String>>;

/// The edges of every log. What the source does not know is looked at again for a while.
fn ends(ground: &Ground<'_>) -> Result<Logs, SalvageError> {
    let at_source = |fault: Fault| SalvageError::source(ground.flow, &fault);
    let deadline = Instant::now() + SURELY;
    let mut logs = Logs::new();
    let mut asked: Vec<&TopicPartition> = ground.cut.keys().collect();
    loop {
        let edges = |edge| {
            let edges = ground.source.edges(asked.iter().copied(), edge, WITHIN);
            edges.map_err(at_source)
        };
        // In this order a transaction that ends meanwhile cannot make one overtake the other.
        let (starts, stable) = (edges(Edge::Earliest)?, edges(Edge::LastStable)?);
        let all = edges(Edge::HighWatermark)?;
        let mut unsure = Vec::new();
        for name in asked {
            let of = |edges: &Edges| match edges.get(name) {
                Some(Ok(offset)) => Ok(SourceOffset::new(*offset)),
                Some(Err(code)) => Err(*code),
                None => Err(RDKafkaErrorCode::OperationTimedOut),
            };
            let found = of(&starts).and_then(|start| Ok((start, of(&stable)?, of(&all)?)));
            match found {
                Ok((start, last_stable, high_watermark)) => {
                    let log = HeldLog {
                        topic_id: None,
                        start,
                        last_stable,
                        high_watermark,
                        forked_at: None,
                    };
                    logs.insert(name.clone(), Ok(ReturnedLog::Held(log)));
                }
                Err(code) if may_be_gone(code) => unsure.push(name),
                Err(code) => {
                    let reason = format!("the source answered: {code}");
                    logs.insert(name.clone(), Err(reason));
                }
            }
        }
        asked = unsure;
        if asked.is_empty() || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    for name in asked {
        logs.insert(name.clone(), absent(ground, name));
    }
    Ok(logs)
}

const fn may_be_gone(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::LeaderNotAvailable
    )
}

/// What is gone of a partition that cannot be asked for its ends.
fn absent(ground: &Ground<'_>, name: &TopicPartition) -> Result<ReturnedLog, String> {
    match ground.source.topic(&name.topic, WITHIN) {
        Ok(None) => Ok(ReturnedLog::NoTopic),
        Ok(Some(topic)) if topic.partitions <= name.partition => Ok(ReturnedLog::NoPartition),
        Ok(Some(_)) => Err("it has no leader; look again once its brokers are back".to_owned()),
        Err(fault) => Err(explain(&ground.flow.source, &fault)),
    }
}

/// Where the log begins to hold other records than those that were copied, as leader epochs tell: none of the records
/// before the cut can have a higher one than the last that was copied.
fn forked_at(
    source: &Cluster,
    name: &TopicPartition,
    position: &Position,
    log: &HeldLog,
) -> Result<Option<SourceOffset>, Fault> {
    let is_other_topic = match (&position.source_topic_id, &log.topic_id) {
        (Some(known), Some(now)) => known != now,
        (None, _) | (_, None) => false,
    };
    let until = position.source_offset.min(log.last_stable).get();
    let Some(epoch) = position.source_leader_epoch else {
        return Ok(None);
    };
    if is_other_topic || until <= log.start.get() {
        return Ok(None);
    }
    match source.epoch_at(name, until - 1, WITHIN)? {
        // Epochs never fall along a log.
        Some((_, found)) if found <= epoch => return Ok(None),
        Some(_) | None => {}
    }
    let Some(first) = source.first_after_epoch(name, epoch, until, WITHIN)? else {
        return Ok(None);
    };
    // Behind the last record that was copied may lie nothing but control records.
    Ok(source
        .epoch_at(name, first, WITHIN)?
        .filter(|(offset, found)| *offset < until && *found > epoch)
        .map(|_| SourceOffset::new(first)))
}
