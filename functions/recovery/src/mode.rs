//! What kind of recovery it is, and whether it acts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of recovery it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Unplanned: the active cluster may be gone; loss is bounded and reported.
    Failover,
    /// Planned: nothing is lost; needs both clusters.
    Switchover,
    /// Home again after a failover.
    Failback,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Failover, Self::Switchover, Self::Failback];

    /// As names of executions spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Switchover => "switchover",
            Self::Failback => "failback",
        }
    }

    /// Whether both clusters are needed, so that the one that is left is there to be asked.
    pub const fn is_planned(self) -> bool {
        match self {
            Self::Failover => false,
            Self::Switchover | Self::Failback => true,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a recovery acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leash {
    /// Every write is carried out.
    #[default]
    Acting,
    /// A drill: every read is real, every write is replaced by the plan that it would have carried out.
    Leashed,
}

impl Leash {
    /// Whether writes are only planned.
    pub const fn is_leashed(self) -> bool {
        matches!(self, Self::Leashed)
    }
}
