//! The data plane: what moves records, told in ranges.
//!
//! An engine copies records from source partitions into one transaction on the target and says which source ranges
//! became which target ranges. It knows nothing of positions, maps or slots. Formats never depend on the engine, so
//! another one (passing compressed batches through untouched, say) can take its place.

use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{Run, SourceOffset, TopicPartition};

use crate::fault::Fault;
use crate::ffi::reader::OwnedRecord;

/// What one transaction copied of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
    /// Source ranges and the target ranges they became, in order.
    pub runs: Vec<Run>,
    /// The id of the topic that this was fetched from, where the source tells.
    pub topic_id: Option<String>,
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

impl Copied {
    /// Whether a forecast came true. It knows nothing of topic ids.
    pub fn is_as_forecast(&self, forecast: &Self) -> bool {
        self.partition == forecast.partition
            && self.runs == forecast.runs
            && self.source_offset == forecast.source_offset
    }
}

/// What happened while the engine was moving records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Records went into the open transaction.
    Moved,
    /// Nothing was waiting; positions may have passed control records.
    Idle,
}

/// A partition that does not go on as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
    /// The next offset to be read.
    pub offset: SourceOffset,
    /// What kind of stall it is.
    pub kind: StallKind,
    /// What the source answered, and what that means.
    pub reason: String,
}

/// What became of a stalled partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallKind {
    /// Reading goes on by itself once the cause goes.
    Waiting,
    /// The source's log does not hold the offset: reading was stopped.
    OutOfRange,
    /// The source's log is another one than what was copied, though it is long enough: reading was stopped.
    Diverged,
    /// The source does not know the partition any more: reading was stopped.
    Gone,
    /// The offset up to which it was to be read: reading was stopped.
    Reached,
    /// Reading was stopped, and is to begin again where it stands. What came cannot be used, such as a batch whose
    /// checksum is wrong: librdkafka would go on behind it. Or it was refused: librdkafka says that only once, and not
    /// when it ends.
    Again,
}

/// A record that was copied before: by it the source's log is known to be the one that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Where it stands on the source.
    pub offset: SourceOffset,
    /// The leader epoch under which it was written: a record written there later has another one.
    pub leader_epoch: i32,
}

/// Where a copy of a partition begins, and where it must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Topic and partition, on the target.
    pub target: TopicPartition,
    /// The first source offset to be copied.
    pub from: SourceOffset,
    /// A source offset that must not be copied; what lies before it is.
    pub until: Option<SourceOffset>,
    /// A record before `from` to be looked at first. Where it is not there any more nothing is known by it.
    pub witness: Option<Witness>,
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
    /// The value; none is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A record that goes to another topic than its partition's.
pub struct Parked {
    /// The record.
    pub record: OwnedRecord,
    /// The topic that takes it.
    pub topic: Arc<str>,
}

/// Moves records of one slot. Calls come from one thread.
pub trait DataPlane {
    /// Takes the slot's transactional id over; afterwards no predecessor can write.
    ///
    /// # Errors
    /// As the brokers answer.
    fn take_over(&mut self) -> Result<(), Fault>;

    /// Starts copying `partition` of the source.
    ///
    /// # Errors
    /// The client refuses.
    fn start(&mut self, partition: &TopicPartition, course: &Course) -> Result<(), Fault>;

    /// Stops copying `partition`. Not while a transaction is open.
    fn stop(&mut self, partition: &TopicPartition);

    /// Moves what is ready into the transaction, opening one if none is; waits at most `wait` for the first record.
    ///
    /// # Errors
    /// The transaction cannot go on: the slot must be taken over again.
    fn advance(&mut self, wait: Duration) -> Result<Advance, Fault>;

    /// Whether a transaction is open.
    fn in_transaction(&self) -> bool;

    /// Key and value bytes of what was moved since the last `settle`.
    fn taken_bytes(&self) -> u64;

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

    /// Adds a copy of one record to the transaction, opening one if none is; it counts for no position.
    ///
    /// # Errors
    /// The transaction cannot go on.
    fn park(&mut self, parked: &Parked) -> Result<(), Fault>;

    /// Adds a consumer group's places on the target to the transaction, opening one if none is.
    ///
    /// # Errors
    /// The brokers refuse: the transaction cannot be committed.
    fn send_places(&mut self, group: &str, places: &[(TopicPartition, i64)]) -> Result<(), Fault>;

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

    /// Partitions that stopped going on as they should since the last call.
    fn stalls(&mut self) -> Vec<Stall>;
}
