//! What a run is to be like.

use super::disturbance::{Disturbance, Disturbances, Members};

/// A reproducible run: the disturbances come from the seed alone.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many disturbances.
    pub kills: usize,
    /// What they are drawn from.
    pub seed: u64,
    /// Brokers of the source: 1 or 3.
    pub source_brokers: usize,
    /// Brokers of the target: 1 or 3.
    pub target_brokers: usize,
    /// Orders a second; payments and customers come on top.
    pub rate: u64,
    /// Disturbances until the topics are judged, deleted and replaced.
    pub round: usize,
}

impl Plan {
    /// How many workers share the slots.
    pub const WORKERS: usize = 3;
    /// How many slots.
    pub const SLOTS: u32 = 6;

    /// So many disturbances from this seed: one source broker, three on the target.
    pub fn new(kills: usize, seed: u64) -> Self {
        Self {
            kills,
            seed,
            source_brokers: 1,
            target_brokers: 3,
            rate: 300,
            round: 25,
        }
    }

    /// What will be done, in order.
    pub fn disturbances(&self) -> impl Iterator<Item = Disturbance> {
        let members = Members {
            workers: Self::WORKERS,
            target_brokers: self.target_brokers,
            source_brokers: self.source_brokers,
        };
        Disturbances::new(self.seed, members).take(self.kills)
    }
}
