//! Transactions under a flow's salvage id: one writer at a time, and none of them open for long.

use std::time::{Duration, Instant};

use understudy_domain::TopicPartition;
use understudy_flow::throttle::Throttle;
use understudy_kafka::ffi::reader::{Header, Index, Record};
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Endpoint, Fault};

/// Time limit of a take-over: the brokers may first have to end the predecessor's transaction.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(20);
/// Time limit of flush, commit and abort. Beyond it the brokers end the transaction by themselves.
pub const COMMIT_WITHIN: Duration = Duration::from_secs(15);
/// What may wait for the cluster's acknowledgement.
const BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;
/// How much goes into one transaction.
const BYTES_MAX: u64 = 1024 * 1024;
const RECORDS_MAX: u64 = 2_000;
/// How long a transaction stays open while what is read is slow.
const OPEN_MAX: Duration = Duration::from_secs(2);
/// Numbers state among what a transaction writes; its offset is not asked for.
const STATE: u8 = 0;

/// A writer, and how full its open transaction is.
pub struct Transactions {
    writer: Writer,
    throttle: Throttle,
    fill: Fill,
    opened: Option<Instant>,
}

/// What is in the open transaction, and how much goes in at most.
struct Fill {
    bytes: u64,
    records: u64,
    records_max: u64,
}

impl Transactions {
    /// Fences whoever wrote under `id` before, and ends their transaction.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    pub fn take_over(
        endpoint: &Endpoint,
        id: &str,
        bytes_per_second_max: u64,
    ) -> Result<Self, Fault> {
        let watch = endpoint.watch.clone();
        let mut writer = Writer::new(&endpoint.writer(id), watch, BYTES_IN_FLIGHT_MAX)?;
        writer.init(TAKE_OVER_WITHIN)?;
        Ok(Self {
            writer,
            throttle: Throttle::new(bytes_per_second_max),
            fill: Fill::new(),
            opened: None,
        })
    }

    /// Names where records numbered so go.
    ///
    /// # Errors
    /// As [`Writer::aim`].
    pub fn aim(
        &mut self,
        number: Index,
        from: &TopicPartition,
        to: &TopicPartition,
    ) -> Result<(), Fault> {
        self.writer.aim(number, from, to)
    }

    /// Adds a record with these headers behind its own; opens a transaction if none is.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn forward(
        &mut self,
        number: Index,
        record: Record,
        notes: &[Header],
    ) -> Result<(), Fault> {
        self.open(record.weight())?;
        self.writer.forward_noted(number, record, notes)
    }

    /// Adds a key with a value or a tombstone.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn put(
        &mut self,
        place: &TopicPartition,
        key: &[u8],
        value: Option<&[u8]>,
        notes: &[Header],
    ) -> Result<(), Fault> {
        self.open(key.len() + value.map_or(0, <[u8]>::len))?;
        self.writer.put_noted(STATE, place, key, value, notes)
    }

    fn open(&mut self, bytes: usize) -> Result<(), Fault> {
        self.writer.begin()?;
        self.opened.get_or_insert_with(Instant::now);
        self.fill.add(bytes as u64);
        Ok(())
    }

    /// Whether enough is in it, or it is open for long.
    pub fn is_full(&self) -> bool {
        self.fill.is_full()
            || self.opened.is_some_and(|at| at.elapsed() >= OPEN_MAX)
            || self.throttle.is_turn_over(self.fill.bytes, 1.0, 1)
    }

    /// Where the last record numbered so stands, of those added since this was asked last; all are acknowledged then.
    ///
    /// # Errors
    /// The cluster refuses a record, or does not answer.
    pub fn last_of(&mut self, number: Index) -> Result<Option<i64>, Fault> {
        let runs = self.writer.settle(COMMIT_WITHIN)?;
        let own = runs.into_iter().filter(|(it, _)| *it == number);
        let ends = own.flat_map(|(_, runs)| runs).map(|run| run.target_end());
        Ok(ends.map(|end| end.get() - 1).max())
    }

    /// Commits, and pays for the bytes. Nothing if nothing was added.
    ///
    /// # Errors
    /// It is unknown then whether it was committed.
    pub fn commit(&mut self) -> Result<(), Fault> {
        if self.opened.is_none() {
            return Ok(());
        }
        self.writer.flush(COMMIT_WITHIN)?;
        self.writer.commit(COMMIT_WITHIN)?;
        self.opened = None;
        let bytes = self.fill.begin_anew();
        self.fill.double();
        std::thread::sleep(self.throttle.spend(bytes, 1.0, Instant::now()));
        Ok(())
    }

    /// Takes back what was added since the last commit.
    ///
    /// # Errors
    /// The brokers do not answer: they do it by themselves in a while, and until then readers wait.
    pub fn abort(&mut self) -> Result<(), Fault> {
        self.opened = None;
        self.fill.begin_anew();
        self.writer.abort(COMMIT_WITHIN)
    }

    /// The next one holds half as many records as this one, and at least one; each commit lets the next hold twice as many
    /// again.
    pub fn halve(&mut self) {
        self.fill.halve();
    }
}

impl Fill {
    const fn new() -> Self {
        Self {
            bytes: 0,
            records: 0,
            records_max: RECORDS_MAX,
        }
    }

    const fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.records += 1;
    }

    const fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX || self.records >= self.records_max
    }

    fn double(&mut self) {
        self.records_max = self.records_max.saturating_mul(2).min(RECORDS_MAX);
    }

    /// It may have been full of bytes, or open for long, well before it held as many as it may.
    fn halve(&mut self) {
        self.records_max = (self.records.min(self.records_max) / 2).max(1);
    }

    /// How many bytes were in it.
    fn begin_anew(&mut self) -> u64 {
        self.records = 0;
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_is_made_again_is_half_as_long_whatever_filled_it() {
        let mut fill = Fill::new();
        for expected in [16, 8, 4, 2, 1, 1] {
            let mut records = 0;
            while !fill.is_full() {
                fill.add(BYTES_MAX / 16);
                records += 1;
            }
            assert_eq!(records, expected);
            fill.halve();
            fill.begin_anew();
        }
        fill.double();
        assert_eq!(fill.records_max, 2);
        for _commit in 0..64 {
            fill.double();
        }
        assert_eq!(fill.records_max, RECORDS_MAX);
    }
}
