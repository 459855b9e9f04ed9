//! Where a cluster's logs begin and end, and who leads them.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::TopicPartition;

use super::{Cluster, MOVING_LOOK};
use crate::fault::Fault;
use crate::ffi::admin::{Edge, Edges, list_offsets};

/// For how long a leader that was seen is taken for one that is there.
const LEADERS_KNOWN: Duration = Duration::from_secs(1);
/// Up to how many topics are asked for one by one; more are asked for all at once.
const ASKED_SINGLY: usize = 3;
/// How long it is waited for a leader that has just moved, or that a new topic is about to have.
const MOVED_WITHIN: Duration = Duration::from_secs(5);

/// Whether the broker that was asked leads the partition no more, or does not know yet that it does.
const fn has_moved(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::OffsetNotAvailable
    )
}

impl Cluster {
    /// Which partitions of these topics have a leader, known for less than [`LEADERS_KNOWN`], or why none can be asked.
    fn leaders(
        &self,
        topics: &BTreeSet<&str>,
        within: Duration,
    ) -> Result<BTreeMap<String, Result<Vec<bool>, RDKafkaErrorCode>>, Fault> {
        let unknown: Vec<&str> = {
            let clients = self.clients()?;
            let mut leaders = clients.leaders.borrow_mut();
            leaders.retain(|_, (seen, _)| seen.elapsed() < LEADERS_KNOWN);
            let known = |topic: &&&str| !leaders.contains_key(**topic);
            topics.iter().filter(known).copied().collect()
        };
        let mut refused = BTreeMap::new();
        if unknown.len() > ASKED_SINGLY {
            self.metadata(None, within)?;
        } else {
            for topic in unknown {
                match self.metadata(Some(topic), within) {
                    Ok(_) => {}
                    Err(
                        Fault::Denied { code, .. }
                        | Fault::Kafka {
                            code: Some(code), ..
                        },
                    ) => {
                        refused.insert(topic, code);
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        let clients = self.clients()?;
        let leaders = clients.leaders.borrow();
        let of = |topic: &&str| match (leaders.get(*topic), refused.get(*topic)) {
            (Some((_, led)), _) => Ok(led.clone()),
            (None, Some(code)) => Err(*code),
            (None, None) => Err(RDKafkaErrorCode::UnknownTopicOrPartition),
        };
        Ok(topics
            .iter()
            .map(|topic| ((*topic).to_owned(), of(topic)))
            .collect())
    }

    /// One edge of each partition. Where its leader has just moved, the next one is asked.
    ///
    /// # Errors
    /// As [`list_offsets`].
    pub fn edges<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        edge: Edge,
        within: Duration,
    ) -> Result<Edges, Fault> {
        self.edges_settled(partitions, edge, within, has_moved)
    }

    /// As [`Cluster::edges`]; a partition that has no leader is waited for as well, as that of a topic just made, whose
    /// leader the brokers are still being told.
    pub(super) fn edges_of_led<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        edge: Edge,
        within: Duration,
    ) -> Result<Edges, Fault> {
        self.edges_settled(partitions, edge, within, |code| {
            has_moved(code) || code == RDKafkaErrorCode::LeaderNotAvailable
        })
    }

    /// One edge of each partition, asked for again for up to [`MOVED_WITHIN`] where the answer is one that passes.
    fn edges_settled<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        edge: Edge,
        within: Duration,
        passes: impl Fn(RDKafkaErrorCode) -> bool,
    ) -> Result<Edges, Fault> {
        let began = Instant::now();
        let mut asked: Vec<&TopicPartition> = partitions.into_iter().collect();
        let mut told = Edges::new();
        loop {
            let left = within.saturating_sub(began.elapsed());
            told.append(&mut self.edges_now(&asked, edge, left)?);
            asked.retain(
                |partition| matches!(told.get(partition), Some(Err(code)) if passes(*code)),
            );
            if asked.is_empty() || began.elapsed() + MOVING_LOOK >= within.min(MOVED_WITHIN) {
                return Ok(told);
            }
            thread::sleep(MOVING_LOOK);
            let clients = self.clients()?;
            let mut leaders = clients.leaders.borrow_mut();
            for partition in &asked {
                leaders.remove(&*partition.topic);
            }
        }
    }

    fn edges_now(
        &self,
        asked: &[&TopicPartition],
        edge: Edge,
        within: Duration,
    ) -> Result<Edges, Fault> {
        let topics = asked.iter().map(|partition| &*partition.topic).collect();
        // librdkafka looks for leaders first. What it does not find in what it has cached it waits for: three seconds
        // when no broker was connected yet, and with a race between its threads for the answer.
        let leaders = self.leaders(&topics, within)?;
        let (mut led, mut refused) = (Vec::new(), Edges::new());
        for partition in asked.iter().copied() {
            let number = usize::try_from(partition.partition).ok();
            let code = match leaders.get(&*partition.topic) {
                Some(Ok(leaders)) => {
                    if number.and_then(|number| leaders.get(number)) == Some(&true) {
                        led.push(partition);
                        continue;
                    }
                    RDKafkaErrorCode::LeaderNotAvailable
                }
                Some(Err(code)) => *code,
                None => RDKafkaErrorCode::UnknownTopicOrPartition,
            };
            refused.insert(partition.clone(), Err(code));
        }
        let reader = self.reader()?;
        let edges = list_offsets(&reader, led, edge, within).map(|mut edges| {
            edges.append(&mut refused);
            edges
        });
        reader.serve();
        if edges.is_ok() {
            self.endpoint.watch.settled();
        }
        edges
    }
}
