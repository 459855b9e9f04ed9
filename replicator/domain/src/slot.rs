//! Which slot owns a partition.

use std::fmt;
use std::num::NonZeroU32;

use crate::TopicPartition;

/// A share of a flow's partitions: one producer, one partition of every state topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The slot with this number, which is also its partition in the state topics.
    pub const fn new(slot: u32) -> Self {
        Self(slot)
    }

    /// The slot's number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The slot that owns a partition, out of `slots`.
///
/// This is a format: it decides in which state partition a position lives, so
/// it never changes. The hash picks where a topic starts and its partitions
/// follow one by one, so each topic spreads evenly:
/// `(fold(fnv1a64(topic)) + partition) mod slots`.
pub fn slot_of(partition: &TopicPartition, slots: NonZeroU32) -> Slot {
    let start = i64::from(fold(fnv1a64(partition.topic.as_bytes())));
    let slot = (start + i64::from(partition.partition)).rem_euclid(i64::from(slots.get()));
    // The remainder is below `slots`, which is a u32.
    Slot(u32::try_from(slot).unwrap_or_default())
}

/// FNV-1a over bytes, 64 bits.
fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The two halves of a 64-bit hash, xored.
const fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}
