//! What a step may reach. Adapters to Kafka and AWS implement these traits, and so does a fake that can be told to fail.
//!
//! Every call is bounded in time by the adapter, and may be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{Acl, TopicPartition};
use understudy_recovery::client::{Adapter, Pointer};
use understudy_recovery::contract::Start;
use understudy_recovery::health::{Layer, Signal};
use understudy_recovery::pair::{FlowOfPair, Pair};
use understudy_recovery::{Alias, ExecutionName, Ledger, PairName};

use crate::PortError;

mod flows;

pub use flows::{Begin, Flows, Mirrored};

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
    /// What flows keep on their targets.
    pub flows: Arc<dyn Flows>,
    /// Who carries flows out.
    pub workers: Arc<dyn Workers>,
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

    /// When the first certificate ends of those that it shows and of the one that we show there, in seconds since 1970;
    /// nothing where there are none, or none is shown in time.
    fn certificate_ends(&self, within: Duration) -> Option<i64> {
        let _without_tls = within;
        None
    }

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

    /// Tries a write to each of these topics as one of the fenced principals, if the pair holds such a login: the proof
    /// of a fence. Those that would take it; nothing where the pair holds no login.
    ///
    /// # Errors
    /// It did not answer.
    fn open_to_writer(
        &self,
        topics: &BTreeSet<String>,
        within: Duration,
    ) -> Result<Option<BTreeSet<String>>, PortError>;
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

/// Workers of flows.
pub trait Workers: Send + Sync {
    /// How many are wanted for a flow; 0 stops them.
    ///
    /// # Errors
    /// It could not be asked for.
    fn want(&self, flow: &FlowOfPair, workers: u32) -> Result<(), PortError>;
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

    /// Publishes what a prober in the Region that stands by measured beside its look. Alarms stand on it, and no recovery
    /// does.
    ///
    /// # Errors
    /// It could not be published.
    fn measure(&self, about: &Alias, measured: &Measured) -> Result<(), PortError> {
        let _nowhere = (about, measured);
        Ok(())
    }

    /// The newest signals about a cluster, newest last: ours and those of other vantages.
    ///
    /// # Errors
    /// They could not be read.
    fn recent(&self, about: &Alias) -> Result<Vec<Signal>, PortError>;
}

/// What a prober measures beside its look; nothing where it could not be found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many days are left until the first certificate ends, rounded down; below 0 behind that.
    pub certificate_days: Option<i64>,
    /// By how many seconds the pair's recovery is overdue.
    pub recovery_overdue_seconds: Option<i64>,
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
