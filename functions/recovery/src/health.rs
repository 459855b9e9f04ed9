//! Whether a cluster is healthy, unhealthy, or cannot be told: from what lookers on different paths saw.

mod judge;

use serde::{Deserialize, Serialize};

pub use judge::judge;

/// What is said of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It serves.
    Healthy,
    /// The lookers' own paths are unproven, or they disagree.
    Unknown,
    /// Two signals that share no path say that it does not serve.
    Unhealthy,
}

/// A layer of a probe; each stands on the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The names of brokers resolve.
    Resolve,
    /// A broker takes a connection.
    Connect,
    /// TLS and login succeed. A refusal here is our fault, not the cluster's: it is never a signal that it is gone.
    Authenticate,
    /// A broker tells topics and brokers.
    Metadata,
    /// There is a controller.
    Controller,
    /// No partition is below its `min.insync.replicas` or without a leader.
    InSync,
    /// A canary record is taken by all replicas.
    Produce,
    /// And read back.
    Consume,
}

impl Layer {
    /// Every layer, in order.
    pub const ALL: [Self; 8] = [
        Self::Resolve,
        Self::Connect,
        Self::Authenticate,
        Self::Metadata,
        Self::Controller,
        Self::InSync,
        Self::Produce,
        Self::Consume,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Authenticate => "authenticate",
            Self::Metadata => "metadata",
            Self::Controller => "controller",
            Self::InSync => "in-sync",
            Self::Produce => "produce",
            Self::Consume => "consume",
        }
    }
}

/// From where a signal comes. Two that differ share no network path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// The prober in the standby Region, over the peering.
    Standby,
    /// The prober in the active Region, publishing not through the peering.
    Active,
    /// AWS's own word on the cluster's state (`kafka:DescribeCluster`), over the public API.
    ControlPlane,
}

impl Vantage {
    /// Every vantage.
    pub const ALL: [Self; 3] = [Self::Standby, Self::Active, Self::ControlPlane];

    /// As a person says it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Standby => "from the standby Region",
            Self::Active => "from its own Region",
            Self::ControlPlane => "from AWS's control plane",
        }
    }
}

/// One look from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// From where.
    pub vantage: Vantage,
    /// What it saw.
    pub saw: Saw,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whether something else answered the looker on the same path at the same time: its own path is proven.
    pub path_proven: bool,
}

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "kebab-case")]
pub enum Saw {
    /// Every layer held.
    Serves,
    /// A layer failed, in words.
    Fails {
        /// The first layer that did not hold.
        layer: Layer,
        /// What was answered.
        reason: String,
    },
    /// Nothing came from this looker. Whoever reads the signals says so, once for each look that is overdue, and proves
    /// the path if something else that comes the same way did come.
    Silence,
}

/// How signals are held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Damping {
    /// A signal older than this, in seconds, is silence.
    pub fresh_seconds: u32,
    /// Of how many looks in a row of one vantage …
    pub of: u32,
    /// … so many must be bad for it to be one bad signal.
    pub bad: u32,
}

impl Default for Damping {
    fn default() -> Self {
        Self {
            fresh_seconds: 60,
            of: 3,
            bad: 2,
        }
    }
}

/// The verdict, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthVerdict {
    /// What is said.
    pub health: Health,
    /// In an operator's words.
    pub reasons: Vec<String>,
}
