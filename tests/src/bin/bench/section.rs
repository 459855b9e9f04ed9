//! The parts of the benchmark that can be chosen.

use clap::ValueEnum;
use serde::Serialize;

/// A part that can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Copies of an lz4 topic by every contender.
    Lz4,
    /// Copies of a zstd topic.
    Zstd,
    /// Copies of an uncompressed topic.
    None,
    /// Latency at 5 MB/s.
    Latency,
    /// CPU with nothing to do.
    Idle,
    /// What 10, 100 and 1,000 partitions cost.
    Partitions,
    /// Copies over a link of 60 ms.
    Link,
    /// A worker lost, handed over, joined.
    Takeover,
    /// Places of consumer groups.
    Groups,
    /// Places found by a tool that knows nothing yet.
    Translate,
    /// Failover, switchover, and a look at a large pair.
    Recovery,
    /// Copying home what was written since the cut, and the survey of a large pair.
    Failback,
}
