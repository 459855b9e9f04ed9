//! What a step may reach. Adapters to Kafka and AWS implement these traits, and so does a fake that can be told to fail.
//!
//! Every call is bounded in time by the adapter, and may be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{
    Acl, FlowRecord, Position, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_recovery::client::{Adapter, Pointer};
use understudy_recovery::contract::Start;
use understudy_recovery::health::{Layer, Signal};
use understudy_recovery::pair::{FlowOfPair, Pair};
use understudy_recovery::tail::{Carried, TailSurvey};
use understudy_recovery::{Alias, Epoch, ExecutionName, Ledger, PairName};

use crate::PortError;

/// Everything outside.
#[derive(Clone)]
pub struct World {
    /// The pair, as configured.
    pub pair: Arc<Pair>,
    /// The cluster in whose Region this runs; nothing outside of both, such as on a laptop.
    pub here: Option<Alias>,
    /// Who is active, at which epoch.
    pub ledger: Arc<dyn LedgerStore>,
    /// Plans, cuts, places, evidence.
    pub store: Arc<dyn Store>,
    /// The clusters.
    pub clusters: Arc<dyn Clusters>,
    /// Flows and their workers.
    pub flows: Arc<dyn Flows>,
    /// Applications.
    pub clients: Arc<dyn Clients>,
    /// People, and questions to them.
    pub people: Arc<dyn People>,
    /// Signals of probers, and where ours go.
    pub signals: Arc<dyn Signals>,
    /// State machines.
    pub machines: Arc<dyn Machines>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// The ledger's store. Strongly consistent in every Region that it is in.
pub trait LedgerStore: Send + Sync {
    /// The pair's item; nothing before the first recovery.
    ///
    /// # Errors
    /// The ledger did not answer.
    fn read(&self, pair: &PairName) -> Result<Option<Ledger>, PortError>;

    /// Stores `next`, if what is stored still has version `before`; nothing stored counts as version 0 where `before` is
    /// 0.
    ///
    /// # Errors
    /// [`crate::PortErrorKind::Conflict`] if it has another one; or the ledger did not answer.
    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError>;

    /// Brings copies that are behind to what the newest says, where there is more than one. Changes nothing that the
    /// ledger says. Answers the clusters whose copies are still behind, or did not answer.
    ///
    /// # Errors
    /// The ledger did not answer.
    fn level(&self, pair: &PairName) -> Result<Vec<Alias>, PortError> {
        let _one_copy = pair;
        Ok(Vec::new())
    }
}

/// A store for what is too large to travel. In the Region of the cluster that becomes active.
pub trait Store: Send + Sync {
    /// Keeps bytes under a key, in place of what was there.
    ///
    /// # Errors
    /// The store did not take it.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError>;

    /// What is kept under a key.
    ///
    /// # Errors
    /// The store did not answer.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError>;

    /// Every key that begins so, in order.
    ///
    /// # Errors
    /// The store did not answer.
    fn list(&self, prefix: &str) -> Result<Vec<String>, PortError>;
}

/// The clusters of a pair.
pub trait Clusters: Send + Sync {
    /// The cluster of this alias. Does not connect.
    ///
    /// # Errors
    /// There is none, or its configuration cannot be used.
    fn get(&self, alias: &Alias) -> Result<Arc<dyn Cluster>, PortError>;
}

/// One Kafka cluster.
pub trait Cluster: Send + Sync {
    /// What Understudy itself bootstraps from.
    fn bootstrap(&self) -> Option<String> {
        None
    }

    /// One look, layer by layer, within `within`.
    fn probe(&self, within: Duration) -> Probe;

    /// Its id.
    ///
    /// # Errors
    /// It did not answer.
    fn id(&self, within: Duration) -> Result<String, PortError>;

    /// Ends of partitions: the last stable offset and the high watermark. Partitions that it does not have are missing.
    ///
    /// # Errors
    /// It did not answer.
    fn ends(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        within: Duration,
    ) -> Result<BTreeMap<TopicPartition, Ends>, PortError>;

    /// The first record of each partition that has this timestamp or a later one, in milliseconds since 1970. Partitions
    /// without one, and those that it does not have, are missing.
    ///
    /// # Errors
    /// It did not answer.
    fn first_since(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        at_ms: i64,
        within: Duration,
    ) -> Result<BTreeMap<TopicPartition, i64>, PortError>;

    /// Its groups, and whether anybody is in them.
    ///
    /// # Errors
    /// It did not answer.
    fn groups(&self, within: Duration) -> Result<BTreeMap<String, Presence>, PortError>;

    /// Where groups stand.
    ///
    /// # Errors
    /// It did not answer.
    fn places(
        &self,
        groups: &BTreeSet<String>,
        within: Duration,
    ) -> Result<BTreeMap<(String, TopicPartition), i64>, PortError>;

    /// Commits places of groups that nobody is in, under a transactional id that a later call with the same id fences.
    ///
    /// # Errors
    /// It did not take them: none is committed, or that is not known.
    fn commit_places(
        &self,
        transactional_id: &str,
        places: &BTreeMap<(String, TopicPartition), i64>,
        within: Duration,
    ) -> Result<(), PortError>;

    /// Its ACLs.
    ///
    /// # Errors
    /// It did not answer, has no authorizer ([`crate::PortErrorKind::Missing`]), or does not tell them.
    fn acls(&self, within: Duration) -> Result<Vec<Acl>, PortError>;

    /// Whether it admits everybody to what has no ACL; nothing where it does not tell.
    ///
    /// # Errors
    /// It did not answer.
    fn admits_everyone(&self, within: Duration) -> Result<Option<bool>, PortError>;

    /// Adds ACLs; one that is there already stays.
    ///
    /// # Errors
    /// It did not add all of them.
    fn add_acls(&self, acls: &[Acl], within: Duration) -> Result<(), PortError>;

    /// Removes exactly these ACLs; one that is not there is no error.
    ///
    /// # Errors
    /// It did not remove all of them.
    fn remove_acls(&self, acls: &[Acl], within: Duration) -> Result<(), PortError>;

    /// Tries a write to a topic as one of the fenced principals, if the pair holds such a login: the proof of a fence.
    /// Nothing where it holds none.
    ///
    /// # Errors
    /// It did not answer.
    fn try_write(&self, topic: &str, within: Duration) -> Result<Option<WriteProof>, PortError>;
}

/// One look at a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its id, where it told.
    pub cluster_id: Option<String>,
    /// Its live brokers, where it told.
    pub brokers: Option<u32>,
    /// The first layer that did not hold, and what was answered.
    pub failed: Option<(Layer, String)>,
}

/// Where a partition ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// For readers of committed records.
    pub last_stable: i64,
    /// For all readers.
    pub high_watermark: i64,
}

/// Whether anybody is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nobody: its places may be set.
    Empty,
    /// Somebody is, or may be.
    Live,
}

/// What a write as a fenced principal led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteProof {
    /// The brokers refused it.
    Refused,
    /// They took it.
    Taken,
}

/// Flows: their state on their target, and their workers.
pub trait Flows: Send + Sync {
    /// The flow's name.
    ///
    /// # Errors
    /// Its file cannot be used.
    fn name(&self, flow: &FlowOfPair) -> Result<String, PortError>;

    /// The flow's record on its target; nothing if it never ran.
    ///
    /// # Errors
    /// The target did not answer, or holds a record that cannot be read.
    fn record(&self, flow: &FlowOfPair) -> Result<Option<FlowRecord>, PortError>;

    /// Writes that the flow is sealed at `epoch`, acknowledged by all replicas. A flow sealed at a newer epoch is
    /// [`crate::PortErrorKind::Conflict`].
    ///
    /// # Errors
    /// The target did not take it, or there is no such flow.
    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<FlowRecord, PortError>;

    /// Takes every transactional id of the flow over, which ends its open transactions and refuses its workers.
    ///
    /// # Errors
    /// The target did not do it for all of them.
    fn fence_workers(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<(), PortError>;

    /// Every position, committed ones only.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn positions(&self, flow: &FlowOfPair, record: &FlowRecord)
    -> Result<Vec<Mirrored>, PortError>;

    /// Every partition of the source that the flow mirrors, whether it has begun with it or not, and where its log
    /// begins.
    ///
    /// # Errors
    /// The source did not answer.
    fn selected(&self, flow: &FlowOfPair) -> Result<BTreeMap<TopicPartition, i64>, PortError>;

    /// How many partitions are halted by gaps that nobody dealt with.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn halted(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<u32, PortError>;

    /// Where places on the source lie on the target.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn translate(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>, PortError>;

    /// Where places in copies lie on the source; partitions named as on the source.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn translate_back(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, TargetOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, TargetOffset), Translation<SourceOffset>>, PortError>;

    /// Whether the flow mirrors a group.
    ///
    /// # Errors
    /// Its file cannot be used.
    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Result<bool, PortError>;

    /// ACLs that mirroring withheld, about writing and as they would be on the target; without those of `fence`, which
    /// stands on the source. The source itself is asked if `ask_source`, and what it told before counts otherwise.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn withheld_acls(
        &self,
        flow: &FlowOfPair,
        ask_source: bool,
        fence: &[Acl],
    ) -> Result<Vec<Acl>, PortError>;

    /// How many workers are wanted; 0 stops them.
    ///
    /// # Errors
    /// It could not be asked for.
    fn want_workers(&self, flow: &FlowOfPair, workers: u32) -> Result<(), PortError>;

    /// Writes that a sealed flow may run again from `epoch` on.
    ///
    /// # Errors
    /// The target did not take it.
    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<(), PortError>;

    /// What the source of a sealed flow, which came back, holds beyond the cut.
    ///
    /// # Errors
    /// [`crate::PortErrorKind::Refused`] where a person has to choose: the flow is not sealed, or another one has copied
    /// back since; or one of its clusters did not answer.
    fn survey_tail(&self, flow: &FlowOfPair) -> Result<TailSurvey, PortError>;

    /// Puts the tails of these topics of the source aside on the target, and reads them back. Done again it goes on where
    /// it was. Answers how many records are put aside.
    ///
    /// # Errors
    /// [`crate::PortErrorKind::Conflict`] if somebody wrote meanwhile; or one of its clusters did not answer.
    fn put_tail_aside(&self, flow: &FlowOfPair, topics: &[String]) -> Result<u64, PortError>;

    /// Merges the tails of these topics into those of the copies on the target, behind what is there; what must not rise
    /// over something newer is put aside. Done again it goes on where it was. Answers where the records are.
    ///
    /// # Errors
    /// As [`Flows::put_tail_aside`].
    fn merge_tail(&self, flow: &FlowOfPair, topics: &[String]) -> Result<Carried, PortError>;

    /// Puts keys of compacted topics right on the source of a sealed flow, as the flow `back` writes there: where a key
    /// was last written in the tail, it gets the value that the target had at the cut, behind the tail. Done again it comes
    /// to the same. Answers where each partition that was written to ends now.
    ///
    /// # Errors
    /// One of the clusters did not answer, or the source does not take it.
    fn renew_keys(
        &self,
        flow: &FlowOfPair,
        back: &FlowOfPair,
        topics: &[String],
    ) -> Result<BTreeMap<TopicPartition, i64>, PortError>;

    /// Lets a flow that does not run begin at these places, from `epoch` on: behind what it copied before, and behind
    /// what the flow the other way copied. Partitions that are not named stay where they stand. Done again it is no
    /// change. Answers how many partitions begin so.
    ///
    /// # Errors
    /// One of its clusters did not answer, or the target holds state that cannot be read.
    fn begin_at(
        &self,
        flow: &FlowOfPair,
        epoch: Epoch,
        begins: &[Begin],
    ) -> Result<u32, PortError> {
        let _nowhere = begins;
        Err(PortError::new(
            crate::PortErrorKind::Refused,
            format!(
                "flow {} cannot be told where to begin at {epoch}",
                flow.file
            ),
        ))
    }
}

/// Where a flow begins with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The partition on the flow's source.
    pub source: TopicPartition,
    /// The first record that is copied.
    pub source_offset: SourceOffset,
    /// The partition on its target.
    pub target: TopicPartition,
    /// Where the target ends: the copies come behind.
    pub target_offset: TargetOffset,
}

/// A partition that a flow mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The partition on the source.
    pub source: TopicPartition,
    /// Its copy on the target.
    pub target: TopicPartition,
    /// Where it stands.
    pub position: Position,
}

/// Applications.
pub trait Clients: Send + Sync {
    /// Stops what an adapter stands for, on the cluster that is left.
    ///
    /// # Errors
    /// It did not do it.
    fn quiesce(
        &self,
        adapter: &Adapter,
        pointer: &Pointer,
        source: &Alias,
    ) -> Result<String, PortError>;

    /// Moves it to the cluster of the pointer. Answers what was done, in words.
    ///
    /// # Errors
    /// It did not do it.
    fn apply(&self, adapter: &Adapter, pointer: &Pointer) -> Result<String, PortError>;

    /// What [`Clients::apply`] would do, in words.
    fn plan(&self, adapter: &Adapter, pointer: &Pointer) -> String;
}

/// People.
pub trait People: Send + Sync {
    /// Tells them.
    ///
    /// # Errors
    /// Nobody could be told.
    fn tell(&self, subject: &str, text: &str) -> Result<u32, PortError>;
}

/// Signals about clusters.
pub trait Signals: Send + Sync {
    /// Publishes a look at a cluster, so that alarms and recoveries see it.
    ///
    /// # Errors
    /// It could not be published.
    fn publish(&self, about: &Alias, signal: &Signal) -> Result<(), PortError>;

    /// The newest signals about a cluster, newest last: ours and those of other vantages.
    ///
    /// # Errors
    /// They could not be read.
    fn recent(&self, about: &Alias) -> Result<Vec<Signal>, PortError>;
}

/// State machines.
pub trait Machines: Send + Sync {
    /// Starts an execution; false if there is one of this name already.
    ///
    /// # Errors
    /// It could not be started.
    fn start(&self, start: &Start) -> Result<bool, PortError>;

    /// Answers a task that waits. An answer that came before stays.
    ///
    /// # Errors
    /// Nobody waits with this token, or it could not be told.
    fn answer(&self, token: &str, answer: &serde_json::Value) -> Result<(), PortError>;

    /// Whether an execution is under way; nothing where that cannot be told.
    ///
    /// # Errors
    /// It could not be asked for.
    fn is_running(&self, execution: &ExecutionName) -> Result<Option<bool>, PortError>;
}

/// Time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// Lets time pass; a handler waits only where this says so, and never for longer than a second at a time.
    fn sleep(&self, time: Duration);
}
