//! What is there, and what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{Acl, FlowRecord, SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::Ledger;
use understudy_recovery::contract::Start;
use understudy_recovery::health::Signal;
use understudy_shell::world::{Begin, Ends, Mirrored, Presence};
use understudy_shell::{PortError, PortErrorKind};

use crate::history::Happened;
use crate::life::Life;

/// Everything, behind one lock.
#[derive(Clone, Default)]
pub struct Scene {
    /// The clusters, by alias.
    pub clusters: BTreeMap<String, FakeCluster>,
    /// The flows, by file.
    pub flows: BTreeMap<String, FakeFlow>,
    /// What is stored.
    pub store: BTreeMap<String, Vec<u8>>,
    /// The ledger, once written.
    pub ledger: Option<Ledger>,
    /// Calls that fail, as `<alias or file>.<call>`, `<alias or file>.*` or `<call>`, and how.
    pub failing: BTreeMap<String, PortErrorKind>,
    /// Every call that changes something, in order.
    pub log: Vec<String>,
    /// The same, in a form that can be held against promises, and with what happened by itself.
    pub history: Vec<Arc<Happened>>,
    /// Who is at work besides; nobody, if nothing is said.
    pub life: Option<Life>,
    /// Executions that were started, and whether each runs.
    pub executions: BTreeMap<String, bool>,
    /// What they were started with.
    pub starts: Vec<Start>,
    /// What lookers published of clusters, newest last.
    pub signals: BTreeMap<String, Vec<Signal>>,
    /// Answers to tasks that wait, by token; the first one stays.
    pub answers: BTreeMap<String, serde_json::Value>,
    /// Records that were merged, and into which cluster's topics.
    pub merged: BTreeSet<(String, u64)>,
    /// Records that were put aside, and on which cluster.
    pub put_aside: BTreeSet<(String, u64)>,
    /// How many records of a tail are carried in one turn, and of how many partitions keys are put right at most; nothing:
    /// all.
    pub tail_turn: Option<usize>,
    /// How long each turn of carrying a tail was given.
    pub turns: Vec<Duration>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// A cluster.
#[derive(Clone, Default)]
pub struct FakeCluster {
    /// Where partitions end.
    pub ends: BTreeMap<TopicPartition, Ends>,
    /// Groups.
    pub groups: BTreeMap<String, Presence>,
    /// Where they stand.
    pub places: BTreeMap<(String, TopicPartition), i64>,
    /// ACLs; nothing without an authorizer.
    pub acls: Option<BTreeSet<Acl>>,
    /// Whether everybody is admitted to what has no ACL.
    pub admits_everyone: Option<bool>,
    /// Topics that take what a fenced principal writes; nothing without a login.
    pub open_to_writer: Option<BTreeSet<String>>,
    /// Partitions that grow by one record with each look.
    pub growing: BTreeSet<TopicPartition>,
    /// The offsets of records by their timestamps, where that is asked.
    pub written: BTreeMap<TopicPartition, BTreeMap<i64, i64>>,
    /// When the first certificate ends that it shows, in seconds since 1970.
    pub certificate_ends: Option<i64>,
    /// Whether it answers nobody.
    pub silent: bool,
    /// What partitions hold, while there is life: records, and the marks of transactions' ends.
    pub log: BTreeMap<TopicPartition, Vec<Option<u64>>>,
}

/// A flow's state on its target.
#[derive(Clone, Default)]
pub struct FakeFlow {
    /// Its name.
    pub name: String,
    /// Its record.
    pub record: Option<FlowRecord>,
    /// Its positions.
    pub positions: Vec<Mirrored>,
    /// The offset map, as far as it is asked.
    pub map: BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>,
    /// The same, from copies to the source.
    pub back: BTreeMap<(TopicPartition, TargetOffset), Translation<SourceOffset>>,
    /// What lies before the cut at which it began, as the flow the other way tells it while the source answers.
    pub before: BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>,
    /// What mirroring withheld.
    pub withheld: Vec<Acl>,
    /// How many workers are wanted.
    pub workers: Option<u32>,
    /// Groups and topics that it does not mirror.
    pub leaves_out: BTreeSet<String>,
    /// Where it was told to begin.
    pub begins: Vec<Begin>,
    /// Whether workers hold its transactional ids, so that brokers take what they write.
    pub holds: bool,
}

impl Scene {
    /// Fails if it was told to.
    ///
    /// # Errors
    /// It was.
    pub fn may(&self, of: &str, call: &str) -> Result<(), PortError> {
        let full = format!("{of}.{call}");
        let told = self.failing.get(&full).or_else(|| self.failing.get(call));
        match told.or_else(|| self.failing.get(&format!("{of}.*"))) {
            Some(kind) => Err(PortError::new(*kind, format!("{full} was told to fail"))),
            None if self.clusters.get(of).is_some_and(|it| it.silent) => {
                let text = format!("{of} does not answer");
                Err(PortError::new(PortErrorKind::Unreachable, text))
            }
            None => Ok(()),
        }
    }

    /// Notes what happened.
    pub fn happens(&mut self, happened: Happened) {
        self.history.push(Arc::new(happened));
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.now_ms = self.now_ms.saturating_add(millis);
        self.go_on();
    }

    /// The cluster of this alias, made if it is missing.
    pub fn cluster(&mut self, alias: &str) -> &mut FakeCluster {
        self.clusters.entry(alias.to_owned()).or_default()
    }

    /// The flow of this file, made if it is missing.
    pub fn flow(&mut self, file: &str) -> &mut FakeFlow {
        self.flows.entry(file.to_owned()).or_default()
    }
}
