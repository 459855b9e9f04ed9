//! A record of a tail: where it came from, in headers, and what it is on a line of a file.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::{SourceOffset, TopicPartition, json};

/// What stands for the timestamp of a record that has none, as on the wire.
pub const NO_TIMESTAMP: i64 = -1;

const TOPIC: &[u8] = b"understudy.source.topic";
const PARTITION: &[u8] = b"understudy.source.partition";
const OFFSET: &[u8] = b"understudy.source.offset";
const TIMESTAMP: &[u8] = b"understudy.source.timestamp";
const RENEWED: &[u8] = b"understudy.renewed";
/// How many headers say where a record came from.
const HEADERS: usize = 4;

/// A header's name and value; a null value is not an empty one.
pub type TailHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record as it was on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailRecord<'a> {
    /// Where it stands.
    pub offset: SourceOffset,
    /// Milliseconds since 1970, or [`NO_TIMESTAMP`].
    pub timestamp_ms: i64,
    /// The key; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a null value.
    pub value: Option<&'a [u8]>,
    /// In order, duplicates included.
    pub headers: &'a [TailHeader],
}

/// Where a record of a tail came from. It travels in the last headers of its copy, where whoever looks a header up by
/// its name finds it before any of the record's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailOrigin {
    /// Topic and partition, on the source.
    pub partition: TopicPartition,
    /// The offset there.
    pub offset: SourceOffset,
    /// The timestamp there, or [`NO_TIMESTAMP`].
    pub timestamp_ms: i64,
}

impl TailOrigin {
    /// The headers that say so, as text.
    pub fn headers(&self) -> [TailHeader; HEADERS] {
        let header = |name: &[u8], value: String| (name.to_vec(), Some(value.into_bytes()));
        [
            header(TOPIC, self.partition.topic.to_string()),
            header(PARTITION, self.partition.partition.to_string()),
            header(OFFSET, self.offset.to_string()),
            header(TIMESTAMP, self.timestamp_ms.to_string()),
        ]
    }

    /// Takes a copy's headers apart: where it came from, and the record's own headers. None if the last ones do not say.
    pub fn split(headers: &[TailHeader]) -> Option<(Self, &[TailHeader])> {
        let (own, last) = headers.split_at_checked(headers.len().checked_sub(HEADERS)?)?;
        let [topic, partition, offset, timestamp] = last else {
            return None;
        };
        let text = |header: &'_ TailHeader, name: &[u8]| -> Option<String> {
            let value = (header.0 == name).then_some(header.1.as_deref()?)?;
            Some(std::str::from_utf8(value).ok()?.to_owned())
        };
        let origin = Self {
            partition: TopicPartition {
                topic: Arc::from(text(topic, TOPIC)?),
                partition: text(partition, PARTITION)?.parse().ok()?,
            },
            offset: SourceOffset::new(text(offset, OFFSET)?.parse().ok()?),
            timestamp_ms: text(timestamp, TIMESTAMP)?.parse().ok()?,
        };
        Some((origin, own))
    }

    /// Whether a record with these headers and this timestamp, where the copies of `name` are, was merged there of its tail.
    /// Whoever forwards headers may have others, and writes at another time; of records without a timestamp it cannot be
    /// told, and they are taken for somebody's.
    pub fn is_merged(headers: &[TailHeader], timestamp_ms: i64, name: &TopicPartition) -> bool {
        let origin = Self::split(headers).map(|(origin, _)| origin);
        origin.is_some_and(|it| it.partition == *name && it.timestamp_ms == timestamp_ms)
    }
}

/// The header of what puts a key right behind the tail of a recovery: last of all, and no part of any tail.
pub fn renewed_note(epoch: u64) -> TailHeader {
    (RENEWED.to_vec(), Some(epoch.to_string().into_bytes()))
}

/// Whether a record with these headers puts a key right behind the tail of a flow that began under one epoch and was sealed
/// at another. One of an earlier recovery is an application's: it forwarded the headers of what it read.
pub fn is_renewed(headers: &[TailHeader], began: u64, sealed: u64) -> bool {
    let note = headers.last().filter(|(name, _)| name == RENEWED);
    let epoch = note
        .and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok())
        .and_then(|epoch| epoch.parse().ok());
    epoch.is_some_and(|epoch: u64| began < epoch && epoch <= sealed)
}

impl TailRecord<'_> {
    /// The record as one line of JSON, without the line's end; bytes are base64.
    pub fn line(&self, partition: &TopicPartition) -> Vec<u8> {
        json::encode(&Line {
            topic: &partition.topic,
            partition: partition.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(base64),
            value: self.value.map(base64),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (base64(name), value.as_deref().map(base64)))
                .collect(),
        })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: i32,
    offset: SourceOffset,
    timestamp_ms: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
