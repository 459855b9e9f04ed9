//! The judge: is the target's topic what the source's is? It shares no code with the product.
//!
//! Both topics are read with `read_committed` to their ends; of each record only two hashes and its
//! offset are kept, so millions of records fit. A record is known by its id (see [`crate::Workload`])
//! or, without one, by its whole content.

mod compare;
mod reader;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use crate::cluster::Cluster;
use crate::error::Result;
pub use compare::Comparison;
use reader::{Isolation, Reader};

/// One record, as far as the judge remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    /// Hash of what the record is known by.
    pub(crate) identity: u64,
    /// Hash of key, value, headers in their order, and timestamp.
    pub(crate) content: u64,
}

/// Compares one topic on two clusters; reads on from where it was.
#[derive(Debug)]
pub struct Judge {
    source: Reader,
    target: Reader,
    target_uncommitted: Reader,
}

impl Judge {
    /// Judges a topic that has the same name on both sides.
    pub fn new(source: &Cluster, target: &Cluster, topic: &str) -> Self {
        Self::with_clients((source.client(), topic), (target.client(), topic))
    }

    /// Judges topics of any names, by any clients.
    pub fn with_clients(source: (ClientConfig, &str), target: (ClientConfig, &str)) -> Self {
        Self {
            source: Reader::new(source.0, source.1, Isolation::Committed),
            target: Reader::new(target.0.clone(), target.1, Isolation::Committed),
            target_uncommitted: Reader::new(target.0, target.1, Isolation::Uncommitted),
        }
    }

    /// Reads both sides to their present ends and compares.
    ///
    /// The target first: what is written meanwhile is then seen as not yet copied, never as foreign.
    pub fn compare(&mut self) -> Result<Comparison> {
        self.target.read_to_end()?;
        self.source.read_to_end()?;
        self.target_uncommitted.read_to_end()?;
        let mut whole = Comparison::of(&self.source.partitions, &self.target.partitions);
        let committed = self.target.count();
        whole.aborted_copies = self.target_uncommitted.count().saturating_sub(committed);
        Ok(whole)
    }

    /// Compares once the target's topic is known and no transaction on it is open, for which it waits at most `limit`.
    /// See [`Cluster::wait_settled`].
    pub fn compare_settled(&mut self, limit: Duration) -> Result<Comparison> {
        self.target.wait_settled(limit)?;
        self.compare()
    }

    /// Compares until the copy is exact, at most for `limit`; returns the last comparison, exact or not.
    pub fn wait_exact(&mut self, limit: Duration) -> Result<Comparison> {
        let deadline = Instant::now() + limit;
        loop {
            let comparison = self.compare()?;
            // What was altered or doubled will not mend; what is lost may be on its way.
            if comparison.is_exact() || comparison.is_beyond_repair() || Instant::now() >= deadline
            {
                return Ok(comparison);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Records of the source that `read_committed` readers see, per partition, as last read.
    pub fn produced(&self) -> BTreeMap<i32, u64> {
        self.source
            .partitions
            .iter()
            .map(|(partition, seen)| (*partition, seen.len() as u64))
            .collect()
    }

    /// Where a group that stands at `source_offset` must stand on the target: at the copy of the very
    /// record that it would read next. None if nothing is left to read, or the copy is not there.
    ///
    /// Answers from what was last read.
    pub fn place_on_target(&self, partition: i32, source_offset: i64) -> Option<i64> {
        let source = self.source.partitions.get(&partition)?;
        let target = self.target.partitions.get(&partition)?;
        let index = source.partition_point(|seen| seen.offset < source_offset);
        let next = source.get(index)?;
        // The same place in an exact copy; looked for only when it is not exact.
        let same = target
            .get(index)
            .filter(|copy| copy.identity == next.identity);
        same.or_else(|| target.iter().find(|copy| copy.identity == next.identity))
            .map(|copy| copy.offset)
    }

    /// How many records lie before a place on the source, and how many copies before a place on the target. Where both
    /// are the same, a group reads there what it would have read here, whatever markers lie between.
    ///
    /// Answers from what was last read.
    pub fn passed(&self, partition: i32, source_offset: i64, target_offset: i64) -> (usize, usize) {
        let before = |reader: &Reader, offset: i64| {
            let seen = reader.partitions.get(&partition);
            seen.map_or(0, |seen| seen.partition_point(|seen| seen.offset < offset))
        };
        (
            before(&self.source, source_offset),
            before(&self.target, target_offset),
        )
    }
}
