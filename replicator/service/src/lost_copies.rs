//! Copies that are not on the target any more, because somebody deleted or cut them there.
//!
//! What is copied next would not follow what was copied before, and to make the topic anew would hide the loss. So
//! nothing more is written to such a topic, and it is said, until its log reaches again to where copies went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{Position, TargetOffset, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::board::Board;
use crate::config::Flow;

/// How often logs of copies are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// What was copied to where, and what is not there.
#[derive(Debug, Default)]
pub struct LostCopies {
    /// By partition of the source: its copy, and one past the last record of it, as last known.
    copied: BTreeMap<TopicPartition, (TopicPartition, TargetOffset)>,
    looked_at: Option<Instant>,
    /// By topic of the source: why nothing more is copied.
    lost: BTreeMap<Arc<str>, String>,
}

impl LostCopies {
    /// Takes in up to where was copied before.
    pub fn learn(&mut self, flow: &Flow, positions: &BTreeMap<TopicPartition, Position>) {
        for (name, position) in positions {
            if position.target_offset > TargetOffset::new(0) {
                let copies = flow.copies_of(name, position);
                self.copied
                    .insert(name.clone(), (copies, position.target_offset));
            }
        }
    }

    /// Looks now and then whether every log of copies reaches as far as was copied: by what was learnt, and what the
    /// worker's slots did since.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn look(
        &mut self,
        flow: &Flow,
        target: &Cluster,
        board: &Board,
        within: Duration,
    ) -> Result<(), Fault> {
        if self.looked_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(());
        }
        for (name, partition) in &board.hold().partitions {
            if let Some((_, to)) = self.copied.get_mut(name) {
                *to = (*to).max(partition.target_offset);
            } else if partition.target_offset > TargetOffset::new(0) {
                let copies = flow.target_of(name);
                self.copied
                    .insert(name.clone(), (copies, partition.target_offset));
            }
        }
        let copies: Vec<_> = self.copied.values().map(|(copy, _)| copy.clone()).collect();
        let ends = target.edges(&copies, Edge::HighWatermark, within)?;
        self.looked_at = Some(Instant::now());
        self.lost.clear();
        for (name, (copy, to)) in &self.copied {
            let found = match ends.get(copy) {
                Some(Ok(end)) if *end < to.get() => format!("ends at {end}"),
                Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => "is gone".to_owned(),
                // What a broker does not tell just now is not lost.
                Some(Ok(_) | Err(_)) | None => continue,
            };
            self.lost.entry(name.topic.clone()).or_insert_with(|| {
                format!(
                    "its copy {copy} on the target {found}, though copies went up to offset {to}: somebody deleted or cut it. \
                     Nothing more is written there; put back what is missing (`understudy verify` tells), or leave the topic \
                     out (mirror.topics_exclude) and mirror it in a flow of another name to a topic that is empty"
                )
            });
        }
        Ok(())
    }

    /// Whether it was looked at least once.
    pub const fn has_looked(&self) -> bool {
        self.looked_at.is_some()
    }

    /// Why nothing more may be copied of this topic of the source, if its copies are not there any more.
    pub fn objection(&self, topic: &str) -> Option<&str> {
        self.lost.get(topic).map(String::as_str)
    }
}
