//! What is there, and what happened.

use std::collections::{BTreeMap, BTreeSet};

use understudy_domain::{Acl, FlowRecord, SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::Ledger;
use understudy_shell::world::{Begin, Ends, Mirrored, Presence, WriteProof};
use understudy_shell::{PortError, PortErrorKind};

/// Everything, behind one lock.
#[derive(Default)]
pub struct Scene {
    /// The clusters, by alias.
    pub clusters: BTreeMap<String, FakeCluster>,
    /// The flows, by file.
    pub flows: BTreeMap<String, FakeFlow>,
    /// What is stored.
    pub store: BTreeMap<String, Vec<u8>>,
    /// The ledger, once written.
    pub ledger: Option<Ledger>,
    /// Calls that fail, as `<alias or file>.<call>` or `<call>`, and how.
    pub failing: BTreeMap<String, PortErrorKind>,
    /// Every call that changes something, in order.
    pub log: Vec<String>,
    /// Milliseconds since 1970.
    pub now_ms: i64,
}

/// A cluster.
#[derive(Default)]
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
    /// What a write as a fenced principal leads to; nothing without a login.
    pub write: Option<WriteProof>,
    /// Partitions that grow by one record with each look.
    pub growing: BTreeSet<TopicPartition>,
    /// The offsets of records by their timestamps, where that is asked.
    pub written: BTreeMap<TopicPartition, BTreeMap<i64, i64>>,
}

/// A flow's state on its target.
#[derive(Default)]
pub struct FakeFlow {
    /// Its name.
    pub name: String,
    /// Its record.
    pub record: Option<FlowRecord>,
    /// Its positions.
    pub positions: Vec<Mirrored>,
    /// The offset map, as far as it is asked.
    pub map: BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>,
    /// What mirroring withheld.
    pub withheld: Vec<Acl>,
    /// How many workers are wanted.
    pub workers: Option<u32>,
    /// Groups that it does not mirror.
    pub leaves_out: BTreeSet<String>,
    /// Where it was told to begin.
    pub begins: Vec<Begin>,
}

impl Scene {
    /// Fails if it was told to.
    ///
    /// # Errors
    /// It was.
    pub fn may(&self, of: &str, call: &str) -> Result<(), PortError> {
        let full = format!("{of}.{call}");
        match self.failing.get(&full).or_else(|| self.failing.get(call)) {
            Some(kind) => Err(PortError::new(*kind, format!("{full} was told to fail"))),
            None => Ok(()),
        }
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
