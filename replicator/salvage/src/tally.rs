//! What a reader of committed records meets in a part of a log.

use serde::Serialize;
use understudy_kafka::ffi::reader::Record;

/// Records that were met, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub records: u64,
    /// How many of them have no key.
    pub without_key: u64,
    /// Where the first one stands.
    pub first_offset: Option<i64>,
    /// Where the last one stands.
    pub last_offset: Option<i64>,
    /// The earliest timestamp, in milliseconds since 1970.
    pub first_timestamp_ms: Option<i64>,
    /// The latest timestamp.
    pub last_timestamp_ms: Option<i64>,
}

impl Tally {
    /// Takes the next record in.
    pub fn add(&mut self, record: &Record) {
        self.note(
            record.offset(),
            record.timestamp_ms(),
            record.key().is_some(),
        );
    }

    fn note(&mut self, offset: i64, timestamp_ms: Option<i64>, has_key: bool) {
        self.records += 1;
        self.without_key += u64::from(!has_key);
        self.first_offset.get_or_insert(offset);
        self.last_offset = Some(offset);
        // −1 on the wire is none.
        if let Some(at) = timestamp_ms.filter(|at| *at >= 0) {
            self.first_timestamp_ms = Some(self.first_timestamp_ms.map_or(at, |it| it.min(at)));
            self.last_timestamp_ms = Some(self.last_timestamp_ms.map_or(at, |it| it.max(at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_the_earliest_and_the_latest_and_offsets_the_first_and_the_last() {
        let mut tally = Tally::default();
        for (offset, at, has_key) in [
            (7, Some(30), true),
            (9, Some(-1), false),
            (12, Some(20), true),
            (13, None, true),
        ] {
            tally.note(offset, at, has_key);
        }
        let expected = Tally {
            records: 4,
            without_key: 1,
            first_offset: Some(7),
            last_offset: Some(13),
            first_timestamp_ms: Some(20),
            last_timestamp_ms: Some(30),
        };
        assert_eq!(tally, expected);
    }
}
