//! What happened, write by write: what a test holds promises against that are about every moment and not only the end.

use understudy_domain::{Acl, TopicPartition};
use understudy_recovery::Ledger;

/// A change.
#[derive(Clone, Debug)]
pub enum Happened {
    /// The ledger was written.
    Ledger(Box<Ledger>),
    /// Something was stored under this key.
    Stored(String),
    /// A flow's record says that it is sealed.
    Sealed {
        /// The flow's file.
        flow: String,
        /// Since which epoch.
        epoch: u64,
    },
    /// A flow's transactional ids were taken over.
    Fenced {
        /// The flow's file.
        flow: String,
    },
    /// A sealed flow was told where to begin.
    Begun {
        /// The flow's file.
        flow: String,
    },
    /// A flow may run again.
    Reopened {
        /// The flow's file.
        flow: String,
    },
    /// A flow's workers were told how many they are.
    Workers {
        /// The flow's file.
        flow: String,
        /// How many.
        wanted: u32,
    },
    /// Records that only a cluster that came back holds were put aside on the active one.
    PutAside {
        /// Which.
        records: Vec<u64>,
    },
    /// Records that only a cluster that came back holds were written to the topics of the active one.
    Merged {
        /// The active cluster.
        cluster: String,
        /// The partition.
        partition: TopicPartition,
        /// Which.
        record: u64,
    },
    /// ACLs were added to a cluster, or removed.
    Acls {
        /// The cluster.
        cluster: String,
        /// Whether they were added.
        added: bool,
        /// Which.
        acls: Vec<Acl>,
    },
    /// A group was brought to a place.
    Placed {
        /// The cluster.
        cluster: String,
        /// Whether a worker did, in what it copied.
        by_worker: bool,
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
        /// The offset of what it reads next.
        offset: i64,
    },
    /// An application was told something.
    Told {
        /// The application, as its adapter tells.
        application: String,
        /// Whether it was told to stop; otherwise to use a cluster.
        stop: bool,
        /// Which is the active cluster.
        active: String,
    },
    /// People were told something.
    Notice(String),
    /// An execution was started.
    Started(String),
    /// A task that waits was answered.
    Answered(String),
    /// An application wrote a record.
    Wrote {
        /// The cluster.
        cluster: String,
        /// The partition.
        partition: TopicPartition,
        /// Which record.
        record: u64,
    },
    /// A worker copied a record, or ended a transaction.
    Copied {
        /// The flow's file.
        flow: String,
        /// The cluster that it writes to.
        cluster: String,
        /// The partition.
        partition: TopicPartition,
        /// Which record; nothing: the mark of a transaction's end.
        record: Option<u64>,
    },
    /// An application read a record.
    Read {
        /// The group.
        group: String,
        /// The cluster.
        cluster: String,
        /// The partition.
        partition: TopicPartition,
        /// Where.
        offset: i64,
        /// Which record; nothing: the mark of a transaction's end.
        record: Option<u64>,
    },
}

impl Happened {
    /// Whether it happens by itself: no step of a recovery does it.
    pub const fn is_life(&self) -> bool {
        match self {
            Self::Wrote { .. } | Self::Copied { .. } | Self::Read { .. } => true,
            Self::Placed { by_worker, .. } => *by_worker,
            Self::Ledger(_)
            | Self::Stored(_)
            | Self::Sealed { .. }
            | Self::Fenced { .. }
            | Self::Begun { .. }
            | Self::Reopened { .. }
            | Self::Workers { .. }
            | Self::PutAside { .. }
            | Self::Merged { .. }
            | Self::Acls { .. }
            | Self::Told { .. }
            | Self::Notice(_)
            | Self::Started(_)
            | Self::Answered(_) => false,
        }
    }
}
