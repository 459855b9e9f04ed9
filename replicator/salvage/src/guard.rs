//! What keeps a value of the tail from rising over a newer one on the active cluster, where the topic is compacted.
//!
//! a. A key that was written there since the cut is left out: its value in the tail is the older one.
//! b. Others go on writing meanwhile. So the records of a transaction get their offsets first, and are committed only if
//!    nobody has written one of their keys before them since the last look: whoever writes behind them is newer. Otherwise
//!    the transaction is aborted, and made again without those keys. So each time there are fewer keys that may be late.
//! c. Writes of open transactions count: they may be committed.

use std::collections::HashSet;

use understudy_domain::tail::{NO_TIMESTAMP, TailHeader, TailOrigin};
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_kafka::Fault;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::log_range::LogRange;

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};

/// How many bytes of keys of one partition's tail are remembered.
const KEY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a key takes beside its own bytes.
const KEY_BYTES_MORE: usize = 64;

/// The keys of a partition's tail that the active cluster was not seen to write since the cut.
pub struct Guard {
    keys: HashSet<Vec<u8>>,
    /// Those that the open transaction holds.
    let_in: HashSet<Vec<u8>>,
    /// Whose tail it is.
    name: TopicPartition,
    copies: TopicPartition,
    /// The first offset of the copies that was not looked at.
    seen: i64,
}

impl Guard {
    /// The keys are those of what is to be merged. Nothing was looked at yet of what stands behind the cut.
    pub fn new(
        keys: HashSet<Vec<u8>>,
        name: &TopicPartition,
        copies: TopicPartition,
        cut: i64,
    ) -> Self {
        Self {
            keys,
            let_in: HashSet::new(),
            name: name.clone(),
            copies,
            seen: cut,
        }
    }

    /// Whether the value of this key in the tail may be the newest: then the open transaction holds it.
    pub fn lets_in(&mut self, key: Option<&[u8]>) -> bool {
        let Some(key) = key.filter(|key| self.keys.contains(*key)) else {
            return false;
        };
        if !self.let_in.contains(key) {
            self.let_in.insert(key.to_vec());
        }
        true
    }

    /// The transaction has ended.
    pub fn begin_anew(&mut self) {
        self.let_in.clear();
    }

    /// Looks at what others have written by now, while no transaction is open: it stands in nobody's way then.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn catch_up(&mut self, ground: &Ground<'_>) -> Result<(), SalvageError> {
        let edges = ground
            .target
            .edges([&self.copies], Edge::HighWatermark, WITHIN);
        let mut edges = edges.map_err(|fault| SalvageError::target(ground.flow, &fault))?;
        // Where it is not told, the look that every commit takes finds it.
        if let Some(Ok(end)) = edges.remove(&self.copies)
            && end > self.seen
        {
            self.look(ground, end)?;
        }
        Ok(())
    }

    /// Looks at what others wrote up to `end`. Whether the open transaction must not be committed.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn look(&mut self, ground: &Ground<'_>, end: i64) -> Result<bool, SalvageError> {
        let target = &ground.flow.target;
        let trouble = |fault: Fault| SalvageError::target(ground.flow, &fault);
        let config = target.reader_of_everything();
        let range = LogRange::open(config, target, &self.copies, self.seen, end);
        let mut range = range.map_err(trouble)?;
        let mut is_late = false;
        while let Some(record) = range.next_record().map_err(trouble)? {
            if let Some(key) = record.key() {
                let timestamp_ms = record.timestamp_ms().unwrap_or(NO_TIMESTAMP);
                is_late |= self.meet(key, timestamp_ms, || record.headers());
            }
        }
        self.seen = self.seen.max(end);
        Ok(is_late)
    }

    /// A record stands among the copies, before those of the open transaction. Whether that holds an older one of its key.
    fn meet(
        &mut self,
        key: &[u8],
        timestamp_ms: i64,
        headers: impl FnOnce() -> Vec<TailHeader>,
    ) -> bool {
        // What this or an earlier run merged is of the tail itself.
        if !self.keys.contains(key) || TailOrigin::is_merged(&headers(), timestamp_ms, &self.name) {
            return false;
        }
        self.keys.remove(key);
        self.let_in.contains(key)
    }
}

/// The keys in a part of a tail.
///
/// # Errors
/// The source does not answer, or there are too many.
pub fn keys_of(
    ground: &Ground<'_>,
    name: &TopicPartition,
    (from, end): (SourceOffset, SourceOffset),
) -> Result<HashSet<Vec<u8>>, SalvageError> {
    let flow = ground.flow;
    let at_source = |fault: Fault| SalvageError::source(flow, &fault);
    let config = flow.source.reader_to_end();
    let range = LogRange::open(config, &flow.source, name, from.get(), end.get());
    let mut range = range.map_err(at_source)?;
    let (mut keys, mut bytes) = (HashSet::new(), 0_usize);
    while let Some(record) = range.next_record().map_err(at_source)? {
        let Some(key) = record.key().filter(|key| !keys.contains(*key)) else {
            continue;
        };
        if ground.is_renewed(name, &record.headers()) {
            continue;
        }
        bytes = bytes.saturating_add(key.len() + KEY_BYTES_MORE);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(keys: &[&str]) -> Guard {
        Guard {
            keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
            let_in: HashSet::new(),
            name: TopicPartition::new("prices", 1),
            copies: TopicPartition::new("use1.prices", 1),
            seen: 0,
        }
    }

    #[test]
    fn a_transaction_is_not_committed_behind_a_newer_value_of_a_key_it_holds() {
        let mut guard = guard(&["raced", "later", "quiet"]);
        assert!(guard.lets_in(Some(b"raced")) && guard.lets_in(Some(b"quiet")));
        assert!(!guard.lets_in(Some(b"unknown")) && !guard.lets_in(None));
        assert!(
            !guard.meet(b"other", 5, Vec::new),
            "a key that is not of the tail"
        );
        assert!(
            !guard.meet(b"later", 5, Vec::new),
            "one that the transaction does not hold"
        );
        assert!(guard.meet(b"raced", 5, Vec::new));
        // It is made again without them.
        guard.begin_anew();
        assert!(!guard.lets_in(Some(b"raced")) && !guard.lets_in(Some(b"later")));
        assert!(guard.lets_in(Some(b"quiet")));
        assert!(!guard.meet(b"raced", 6, Vec::new), "it is left out already");
        // What others write behind a commit is newer, and keeps the rest of the tail out.
        guard.begin_anew();
        assert!(!guard.meet(b"quiet", 7, Vec::new));
        assert!(!guard.lets_in(Some(b"quiet")));
    }

    #[test]
    fn what_was_merged_is_told_from_what_forwards_its_headers() {
        let origin = |topic: &str, partition| TailOrigin {
            partition: TopicPartition::new(topic, partition),
            offset: SourceOffset::new(70),
            timestamp_ms: 5,
        };
        let own = || origin("prices", 1).headers().to_vec();
        let mut own_guard = guard(&["apple"]);
        assert!(own_guard.lets_in(Some(b"apple")));
        assert!(!own_guard.meet(b"apple", 5, own));
        assert!(own_guard.lets_in(Some(b"apple")));
        let other = |topic, partition| move || origin(topic, partition).headers().to_vec();
        for is_late in [
            guard_with_apple().meet(b"apple", 6, own),
            guard_with_apple().meet(b"apple", 5, other("prices", 2)),
            guard_with_apple().meet(b"apple", 5, other("use1.prices", 1)),
        ] {
            assert!(is_late);
        }
    }

    fn guard_with_apple() -> Guard {
        let mut guard = guard(&["apple"]);
        assert!(guard.lets_in(Some(b"apple")));
        guard
    }
}
