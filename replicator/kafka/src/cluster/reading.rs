//! Reading logs of a cluster to their ends, or a record of one.

use std::time::{Duration, Instant};

use understudy_domain::TopicPartition;

use super::Cluster;
use crate::fault::{Fault, Operation};
use crate::ffi::admin::Edge;
use crate::ffi::reader::{Fetched, OwnedRecord, Reader, Record};

/// How long a log's edges are waited for before it is read.
const EDGES_WITHIN: Duration = Duration::from_secs(20);
/// How long one look for records lasts.
const POLL: Duration = Duration::from_millis(200);

/// A record of a state topic: key, value (`None` is a tombstone) and offset.
pub type StateRecord = (Vec<u8>, Option<Vec<u8>>, i64);

impl Cluster {
    /// Reads the committed record at exactly this offset; `None` if the log holds none there.
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn read_one(
        &self,
        partition: &TopicPartition,
        offset: i64,
        within: Duration,
    ) -> Result<Option<OwnedRecord>, Fault> {
        let found = self.look_at_next(partition, offset, within, |record| {
            (record.offset() == offset).then(|| record.to_owned())
        });
        found.map(Option::flatten)
    }

    /// The first offset below `until` from which on records were written under a higher leader epoch than `epoch`, or the
    /// log's end if that comes first; `until` if neither does. `None` while the partition cannot be read.
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn first_after_epoch(
        &self,
        partition: &TopicPartition,
        epoch: i32,
        until: i64,
        within: Duration,
    ) -> Result<Option<i64>, Fault> {
        let edge = |edge| -> Result<Option<i64>, Fault> {
            let found = self.edges([partition], edge, within)?.remove(partition);
            Ok(found.and_then(Result::ok))
        };
        let (Some(start), Some(end)) = (edge(Edge::Earliest)?, edge(Edge::HighWatermark)?) else {
            return Ok(None);
        };
        let (mut low, mut high) = (start, until.min(end).max(start));
        // Leader epochs never fall along a log: halves the range each time.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.epoch_at(partition, middle, within)? {
                Some((offset, found)) if found <= epoch => low = offset.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        Ok(Some(low.min(until.min(end).max(start))))
    }

    /// The first committed record at `offset` or behind it, and the leader epoch under which it was written; −1 for a
    /// record from before brokers had them. None if there is no such record.
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn epoch_at(
        &self,
        partition: &TopicPartition,
        offset: i64,
        within: Duration,
    ) -> Result<Option<(i64, i32)>, Fault> {
        self.look_at_next(partition, offset, within, |record| {
            (record.offset(), record.leader_epoch().unwrap_or(-1))
        })
    }

    /// What is seen of the first committed record at `offset` or behind it; nothing at the log's end.
    fn look_at_next<T>(
        &self,
        partition: &TopicPartition,
        offset: i64,
        within: Duration,
        look: impl FnOnce(&Record) -> T,
    ) -> Result<Option<T>, Fault> {
        let deadline = Instant::now() + within;
        let mut reader = Reader::new(&self.endpoint.reader_to_end(), self.endpoint.watch.clone())?;
        reader.start(partition, offset)?;
        let mut fetched = Vec::new();
        while Instant::now() < deadline {
            reader.poll(POLL, &mut fetched);
            match fetched.drain(..).next() {
                Some(Fetched::Record(_, record)) => return Ok(Some(look(&record))),
                Some(Fetched::End(..)) => return Ok(None),
                Some(Fetched::Fault(_, code, reason)) => {
                    return Err(Fault::code(
                        Operation::Fetch,
                        &partition.to_string(),
                        code,
                        reason,
                    ));
                }
                None => {}
            }
        }
        Err(Fault::TimedOut {
            operation: Operation::Fetch,
            subject: partition.to_string(),
            within,
        })
    }

    /// Reads the committed records of `partition` from `from` to the high watermark as of now, or to the last stable
    /// offset ([`Cluster::committed_by_now`]).
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn read_to_end(
        &self,
        partition: &TopicPartition,
        from: i64,
        within: Duration,
        mut take: impl FnMut(StateRecord),
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + within;
        // A leader that is silent for so long has to be looked for anew; whoever is told to stop waits no longer.
        let within_edges = within.min(EDGES_WITHIN);
        let edge = |edge| -> Result<i64, Fault> {
            match self
                .edges_of_led([partition], edge, within_edges)?
                .remove(partition)
            {
                Some(Ok(offset)) => Ok(offset),
                Some(Err(code)) => Err(Fault::code(
                    Operation::ListOffsets,
                    &partition.to_string(),
                    code,
                    code.to_string(),
                )),
                None => Err(Fault::TimedOut {
                    operation: Operation::ListOffsets,
                    subject: partition.to_string(),
                    within,
                }),
            }
        };
        let end = edge(self.reads_to)?;
        let start = from.max(edge(Edge::Earliest)?);
        if start >= end {
            return Ok(());
        }
        let mut reader = Reader::new(&self.endpoint.reader_to_end(), self.endpoint.watch.clone())?;
        reader.start(partition, start)?;
        let mut fetched = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::TimedOut {
                    operation: Operation::Fetch,
                    subject: partition.to_string(),
                    within,
                });
            }
            reader.poll(left.min(POLL), &mut fetched);
            for item in fetched.drain(..) {
                match item {
                    Fetched::Record(_, record) => take((
                        record.key().unwrap_or_default().to_vec(),
                        record.payload().map(<[u8]>::to_vec),
                        record.offset(),
                    )),
                    Fetched::End(_, at) if at.get() >= end => return Ok(()),
                    Fetched::End(..) => {}
                    Fetched::Fault(_, code, reason) => {
                        return Err(Fault::code(
                            Operation::Fetch,
                            &partition.to_string(),
                            code,
                            reason,
                        ));
                    }
                }
            }
        }
    }
}
