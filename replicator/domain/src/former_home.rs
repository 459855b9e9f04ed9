//! Where the older part of a partition's offset map lies, after the number of slots was changed.
//!
//! A partition's state lives in its slot's partition of the state topics, and another number of slots gives it another
//! slot. Its position, its gaps and the newest part of its map move; the sealed chunks are many and stay. So a change
//! of the number of slots costs the same after a day as after a year.

use serde::{Deserialize, Serialize};

/// A slot that a partition belonged to, and what of its offset map stayed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerHome {
    /// The slot, which is the number of a partition of the offset-map topic.
    pub slot: u32,
    /// Chunks below this one stayed there, other than those that stayed in a home before it.
    pub chunk: u64,
    /// Pages of the directory below this one stayed there, other than those that stayed in a home before it.
    pub page: u64,
}
