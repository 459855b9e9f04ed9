//! What is changed on the source while something is broken, drawn from the same seed.

use std::fmt;

use serde::Serialize;

use super::disturbance::SplitMix;

/// Kept apart from the disturbances' numbers, so that these stay as they are.
const APART: u64 = 0x6368_616e_6765_7321;

/// A change that a living source goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A topic is created, and written to.
    CreateTopic,
    /// A topic gets more partitions, which are written to.
    GrowTopic,
    /// Configs of a topic are set, and others return to their defaults.
    ChangeConfig,
    /// The mirror's password becomes another one on both clusters, and then in its file.
    RotateCredentials,
    /// Groups commit other places: at the end, near it, far behind, back and forth.
    MoveGroups,
}

impl Change {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::CreateTopic,
        Self::GrowTopic,
        Self::ChangeConfig,
        Self::RotateCredentials,
        Self::MoveGroups,
    ];
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTopic => "a topic created",
            Self::GrowTopic => "a topic grown",
            Self::ChangeConfig => "configs changed",
            Self::RotateCredentials => "passwords rotated",
            Self::MoveGroups => "groups moved",
        })
    }
}

/// An endless sequence: every change once in a random order, then again in another.
#[derive(Debug)]
pub(super) struct Changes {
    random: SplitMix,
    bag: Vec<Change>,
}

impl Changes {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: SplitMix::new(seed ^ APART),
            bag: Vec::new(),
        }
    }

    /// The next one, and a number from which its details are drawn.
    pub(super) fn next(&mut self) -> (Change, u64) {
        if self.bag.is_empty() {
            self.bag = Change::ALL.to_vec();
        }
        let drawn = self.random.between([0, self.bag.len() as u64 - 1]) as usize;
        let change = self.bag.swap_remove(drawn);
        (change, self.random.between([0, u64::from(u32::MAX)]))
    }
}
