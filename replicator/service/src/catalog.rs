//! What there is to mirror: looked up again and again on the source, made ready on the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use understudy_domain::{SourceOffset, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Endpoint, Fault};

use crate::board::{Board, Part};
use crate::config::Flow;
use crate::stop::Stop;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// The partitions to be mirrored, as last seen. Shared: the catalog's thread writes, slots read.
#[derive(Clone, Debug, Default)]
pub struct Catalog(Arc<Mutex<Arc<BTreeSet<TopicPartition>>>>);

impl Catalog {
    /// What is to be mirrored now. Equal pointers mean that nothing changed.
    pub fn partitions(&self) -> Arc<BTreeSet<TopicPartition>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn put(&self, partitions: BTreeSet<TopicPartition>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if **held != partitions {
            *held = Arc::new(partitions);
        }
    }
}

/// Keeps a [`Catalog`] true.
pub struct Discovery {
    flow: Arc<Flow>,
    source: Cluster,
    target: Cluster,
    catalog: Catalog,
    board: Board,
    /// Partition counts of target topics, as last seen.
    on_target: BTreeMap<String, i32>,
}

impl Discovery {
    /// A discovery with clients of its own.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(flow: Arc<Flow>, catalog: Catalog, board: Board) -> Result<Self, Fault> {
        let (source, target) = (Cluster::open(&flow.source)?, Cluster::open(&flow.target)?);
        Ok(Self {
            flow,
            source,
            target,
            catalog,
            board,
            on_target: BTreeMap::new(),
        })
    }

    /// Looks until `stop`.
    pub fn run(mut self, stop: &Stop) {
        while !stop.is_set() {
            let next = Instant::now() + self.flow.topic_discovery_interval;
            match self.look() {
                Ok(()) => self.board.ready(&Part::Source),
                Err(fault) => self
                    .board
                    .not_ready(Part::Source, &explain(&self.flow.source, &fault)),
            }
            stop.wait(next.saturating_duration_since(Instant::now()));
        }
    }

    fn look(&mut self) -> Result<(), Fault> {
        let topics = self.source.topics(WITHIN)?;
        let selected: Vec<_> = topics
            .into_iter()
            .filter(|topic| self.flow.selects(&topic.name))
            .collect();
        let missing = selected.iter().any(|topic| {
            self.on_target
                .get(&self.flow.policy.target_topic(&topic.name))
                .is_none_or(|have| *have < topic.partitions)
        });
        if missing {
            match self.look_at_target() {
                Ok(()) => self.board.ready(&Part::Target),
                Err(fault) => self
                    .board
                    .not_ready(Part::Target, &explain(&self.flow.target, &fault)),
            }
        }
        let mut partitions = BTreeSet::new();
        for topic in &selected {
            if self.prepare(&topic.name, topic.partitions) {
                partitions.extend(
                    (0..topic.partitions)
                        .map(|number| TopicPartition::new(topic.name.as_str(), number)),
                );
            }
        }
        self.catalog.put(partitions);
        self.look_at_ends()
    }

    fn look_at_target(&mut self) -> Result<(), Fault> {
        self.on_target = self
            .target
            .topics(WITHIN)?
            .into_iter()
            .map(|topic| (topic.name, topic.partitions))
            .collect();
        Ok(())
    }

    /// Makes the target's topic ready; false while it is not.
    fn prepare(&mut self, topic: &str, partitions: i32) -> bool {
        let part = Part::Topic(topic.to_owned());
        let copy = self.flow.policy.target_topic(topic);
        match self.on_target.get(&copy) {
            Some(have) if *have >= partitions => {
                self.board.ready(&part);
                true
            }
            Some(have) => {
                let reason = format!(
                    "the target's topic has {have} partitions, the source's {partitions}; \
                     raise it: kafka-topics --alter --topic {copy} --partitions {partitions}"
                );
                self.board.not_ready(part, &reason);
                false
            }
            None => match self.create(topic, &copy, partitions) {
                Ok(()) => {
                    self.on_target.insert(copy, partitions);
                    self.board.ready(&part);
                    true
                }
                Err(reason) => {
                    self.board.not_ready(part, &reason);
                    false
                }
            },
        }
    }

    /// A new topic has the source's cleanup policy from its first record on. What keeps it from being made is said in
    /// an operator's words.
    fn create(&self, topic: &str, copy: &str, partitions: i32) -> Result<(), String> {
        let policy = self
            .source
            .topic_config(topic, "cleanup.policy", WITHIN)
            .map_err(|fault| explain(&self.flow.source, &fault))?;
        let configs: Vec<(&str, &str)> = policy
            .iter()
            .map(|policy| ("cleanup.policy", policy.as_str()))
            .collect();
        self.target
            .create_topic(copy, partitions, &configs, WITHIN)
            .map_err(|fault| explain(&self.flow.target, &fault))?;
        tracing::info!(topic = copy, partitions, "topic created on the target");
        Ok(())
    }

    fn look_at_ends(&self) -> Result<(), Fault> {
        let held: Vec<TopicPartition> = self.board.hold().partitions.keys().cloned().collect();
        let ends = self.source.edges(&held, Edge::LastStable, WITHIN)?;
        let now = Instant::now();
        let mut board = self.board.hold();
        for (name, end) in ends {
            let (Ok(end), Some(partition)) = (end, board.partitions.get_mut(&name)) else {
                continue;
            };
            let end = SourceOffset::new(end);
            partition.source_end_offset = Some(
                partition
                    .source_end_offset
                    .map_or(end, |known| known.max(end)),
            );
            if partition.lag_records() == 0 {
                partition.caught_up_at = Some(now);
            }
        }
        Ok(())
    }
}

/// A fault together with what the cluster's clients complain about, and what to do.
pub fn explain(endpoint: &Endpoint, fault: &Fault) -> String {
    let mut text = format!("cluster {}: {fault}", endpoint.alias);
    match fault {
        Fault::Denied { .. } => {
            text = format!("{text}; grant it to {}", endpoint.principal());
        }
        Fault::TimedOut { .. } | Fault::Kafka { .. } => {
            if let Some(complaint) = endpoint.watch.complaint() {
                text = format!("{text}; {}; {}", complaint.reason, complaint.advice);
            }
        }
        Fault::Fenced { .. }
        | Fault::RecordRefused { .. }
        | Fault::OutOfOrder { .. }
        | Fault::Name(_) => {}
    }
    text
}
