//! What keeps a value of the tail from rising over a newer one on the active cluster, where the topic is compacted.
//!
//! a. A key that was written there since the cut is left out: its value in the tail is the older one.
//! b. Others go on writing meanwhile. So the records of a transaction get their offsets first, and are committed only if
//!    nobody has written one of the keys before them since the last look: whoever writes behind them is newer. Otherwise
//!    the transaction is aborted, and made again without those keys.
//! c. Writes of open transactions count: they may be committed.

use std::collections::HashSet;

use understudy_domain::TopicPartition;
use understudy_domain::tail::{Tail, TailOrigin, is_renewed};
use understudy_kafka::Fault;
use understudy_kafka::log_range::LogRange;

use crate::SalvageError;
use crate::ground::Ground;

/// How many bytes of keys of one partition's tail are remembered.
const KEY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The keys of a partition's tail, and which of them the active cluster has written since the cut.
pub struct Guard {
    keys: HashSet<Vec<u8>>,
    written: HashSet<Vec<u8>>,
    copies: TopicPartition,
    /// The first offset of the copies that was not looked at.
    seen: i64,
}

impl Guard {
    /// Nothing was looked at yet of what stands behind the cut.
    ///
    /// # Errors
    /// The source does not answer, or the tail has too many keys.
    pub fn new(
        ground: &Ground<'_>,
        name: &TopicPartition,
        tail: &Tail,
        copies: TopicPartition,
        cut: i64,
    ) -> Result<Self, SalvageError> {
        Ok(Self {
            keys: keys_of(ground, name, tail)?,
            written: HashSet::new(),
            copies,
            seen: cut,
        })
    }

    /// Whether the value of this key in the tail may be the newest.
    pub fn lets_in(&self, key: Option<&[u8]>) -> bool {
        key.is_some_and(|key| !self.written.contains(key))
    }

    /// Looks at what others wrote up to `end`. Whether a key was among it that was not known.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn look(&mut self, ground: &Ground<'_>, end: i64) -> Result<bool, SalvageError> {
        let target = &ground.flow.target;
        let trouble = |fault: Fault| SalvageError::target(ground.flow, &fault);
        let config = target.reader_of_everything();
        let range = LogRange::open(config, target, &self.copies, self.seen, end);
        let mut range = range.map_err(trouble)?;
        let mut is_new = false;
        while let Some(record) = range.next_record().map_err(trouble)? {
            let known = |key: &&[u8]| self.keys.contains(*key) && !self.written.contains(*key);
            let Some(key) = record.key().filter(known) else {
                continue;
            };
            // What an earlier run or transaction merged is of the tail itself.
            let headers = record.headers();
            let merged = TailOrigin::split(&headers);
            if merged.is_some_and(|(origin, _)| origin.partition.topic == self.copies.topic) {
                continue;
            }
            is_new |= self.written.insert(key.to_vec());
        }
        self.seen = self.seen.max(end);
        Ok(is_new)
    }
}

/// The keys in a tail.
///
/// # Errors
/// The source does not answer, or there are too many.
pub fn keys_of(
    ground: &Ground<'_>,
    name: &TopicPartition,
    tail: &Tail,
) -> Result<HashSet<Vec<u8>>, SalvageError> {
    let flow = ground.flow;
    let at_source = |fault: Fault| SalvageError::source(flow, &fault);
    let (from, end) = (tail.first.get(), tail.end.get());
    let config = flow.source.reader_to_end();
    let mut range = LogRange::open(config, &flow.source, name, from, end).map_err(at_source)?;
    let (mut keys, mut bytes) = (HashSet::new(), 0_usize);
    while let Some(record) = range.next_record().map_err(at_source)? {
        let Some(key) = record.key().filter(|key| !keys.contains(*key)) else {
            continue;
        };
        if is_renewed(&record.headers()) {
            continue;
        }
        bytes = bytes.saturating_add(key.len());
        if bytes > KEY_BYTES_MAX {
            return Err(SalvageError::TooManyKeys {
                partition: name.clone(),
                bytes: KEY_BYTES_MAX,
            });
        }
        keys.insert(key.to_vec());
    }
    Ok(keys)
}
