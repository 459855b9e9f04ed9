//! The data plane: what moves records, told in ranges.
//!
//! An engine copies records from source partitions into one transaction on the target and says which source ranges
//! became which target ranges. It knows nothing of positions, maps or slots. Formats never depend on the engine, so
//! another one (passing compressed batches through untouched, say) can take its place.

use std::time::Duration;

use understudy_domain::{Run, SourceOffset, TopicPartition};

use crate::fault::Fault;

/// What one transaction copied of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
    /// Source ranges and the target ranges they became, in order.
    pub runs: Vec<Run>,
    /// The next source offset to be read: behind everything seen, control records included.
    pub source_offset: SourceOffset,
    /// The leader epoch of the last record, where the source tells.
    pub leader_epoch: Option<i32>,
    /// Whether the source had nothing more when this was read.
    pub at_end: bool,
    /// The timestamp of the last record, ms since 1970, where it has one.
    pub last_timestamp_ms: Option<i64>,
    /// Key and value bytes.
    pub bytes: u64,
}

/// What happened while the engine was moving records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Records went into the open transaction.
    Moved,
    /// Nothing was waiting; positions may have passed control records.
    Idle,
}

/// A partition that the source stopped serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
    /// What the source answered, and what that means.
    pub reason: String,
    /// Whether reading goes on by itself once the cause goes; otherwise the partition was stopped.
    pub heals: bool,
}

/// A record of a state topic, written with the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// Numbers the state topic, for [`DataPlane::state_offset`].
    pub kind: u8,
    /// Where to.
    pub place: TopicPartition,
    /// The compaction key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Moves records of one slot. Calls come from one thread.
pub trait DataPlane {
    /// Takes the slot's transactional id over; afterwards no predecessor can write.
    ///
    /// # Errors
    /// As the brokers answer.
    fn take_over(&mut self) -> Result<(), Fault>;

    /// Starts copying `partition` of the source from `offset` to `target`.
    ///
    /// # Errors
    /// The client refuses.
    fn start(
        &mut self,
        partition: &TopicPartition,
        target: &TopicPartition,
        offset: SourceOffset,
    ) -> Result<(), Fault>;

    /// Stops copying `partition`. Not while a transaction is open.
    fn stop(&mut self, partition: &TopicPartition);

    /// Moves what is ready into the transaction, opening one if none is; waits at most `wait` for the first record.
    ///
    /// # Errors
    /// The transaction cannot go on: the slot must be taken over again.
    fn advance(&mut self, wait: Duration) -> Result<Advance, Fault>;

    /// Whether a transaction is open.
    fn in_transaction(&self) -> bool;

    /// What `settle` should say, before the target has acknowledged it; `None` while that cannot be told. State may be
    /// put by it, to travel with the data, but only `settle` says whether it came true.
    fn forecast(&self) -> Option<Vec<Copied>>;

    /// Waits until the target has acknowledged everything; what was copied or passed since the last call.
    ///
    /// # Errors
    /// The transaction cannot be committed.
    fn settle(&mut self) -> Result<Vec<Copied>, Fault>;

    /// Adds state to the transaction, opening one if none is.
    ///
    /// # Errors
    /// The transaction cannot go on.
    fn put(&mut self, state: &[StateWrite]) -> Result<(), Fault>;

    /// Commits the open transaction.
    ///
    /// # Errors
    /// The outcome is unknown: the slot must be taken over again.
    fn commit(&mut self) -> Result<(), Fault>;

    /// Ends the open transaction without effect.
    ///
    /// # Errors
    /// The brokers refused, which is what a fenced worker should hear.
    fn abort(&mut self) -> Result<(), Fault>;

    /// The offset of the last state record written of `kind`.
    fn state_offset(&self, kind: u8) -> Option<i64>;

    /// Partitions that the source stopped serving since the last call.
    fn stalls(&mut self) -> Vec<Stall>;
}
