//! Copies that this worker may not write any more: set aside, so that the slot's other partitions go on.
//!
//! One refused topic fails the whole transaction, and librdkafka does not always say which it was. So the brokers are
//! asked what is allowed (KIP-430), and again every few seconds until it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::TopicPartition;
use understudy_domain::acl::AclOperation;
use understudy_kafka::plane::DataPlane;
use understudy_kafka::{Cluster, Fault, Operation};

use crate::board::PartitionState;
use crate::config::Flow;
use crate::explain::explain;
use crate::holding::{HoldError, Holding};

/// Time limit of one question.
const WITHIN: Duration = Duration::from_secs(10);
/// How long until the brokers are asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Topics of the target that may not be written, and when to ask again.
#[derive(Debug, Default)]
pub struct Denied {
    topics: BTreeSet<Arc<str>>,
    again: Option<Instant>,
}

impl Denied {
    /// Asks about `copies`; what cannot be told counts as allowed, and is then met again.
    pub fn ask(flow: &Flow, copies: &BTreeSet<Arc<str>>) -> Result<Self, Fault> {
        let names: Vec<String> = copies.iter().map(ToString::to_string).collect();
        let told = Cluster::open(&flow.target)?.describe_topics(&names, WITHIN)?;
        let may_not = |copy: &&Arc<str>| match told.get(&***copy) {
            Some(Ok(topic)) => topic
                .authorized
                .as_ref()
                .is_some_and(|may| !may.iter().any(|held| held.includes(AclOperation::Write))),
            Some(Err(code)) => *code == Code::TopicAuthorizationFailed,
            None => false,
        };
        let topics: BTreeSet<_> = copies.iter().filter(may_not).cloned().collect();
        Ok(Self {
            again: (!topics.is_empty()).then(|| Instant::now() + AGAIN),
            topics,
        })
    }

    /// Whether all of it was known before.
    pub fn is_within(&self, other: &Self) -> bool {
        self.topics.is_subset(&other.topics)
    }

    /// Whether the brokers are to be asked again.
    pub const fn is_pending(&self) -> bool {
        self.again.is_some()
    }

    /// Whether every topic may be written, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}

impl Holding {
    /// Why a partition must wait, if its copy may not be written.
    pub(crate) fn denial(&self, copy: &TopicPartition) -> Option<String> {
        let fault = Fault::Denied {
            operation: Operation::Produce,
            subject: copy.topic.to_string(),
            code: Code::TopicAuthorizationFailed,
        };
        let target = &self.context.flow.target;
        self.denied
            .topics
            .contains(&copy.topic)
            .then(|| explain(target, &fault))
    }

    /// Lets partitions go on whose copies may be written again. Not while a transaction is open.
    ///
    /// # Errors
    /// None of its own: a target that does not answer is met by the copies themselves.
    pub(crate) fn look_at_denied(&mut self) -> Result<(), HoldError> {
        if self.denied.again.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let Ok(now) = Denied::ask(&self.context.flow, &self.denied.topics) else {
            self.denied.again = Some(Instant::now() + AGAIN);
            return Ok(());
        };
        let waiting: Vec<_> = self
            .active
            .iter()
            .filter(|(_, state)| **state == PartitionState::Waiting)
            .map(|(partition, _)| partition.clone())
            .filter(|partition| {
                let copy = self.target_of(partition).topic;
                self.denied.topics.contains(&copy) && !now.topics.contains(&copy)
            })
            .collect();
        self.denied = now;
        for partition in waiting {
            self.plane.stop(&partition);
            self.active.remove(&partition);
            self.seen = None;
        }
        Ok(())
    }
}
