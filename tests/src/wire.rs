//! Produce and fetch requests made by hand: for records that no client library lets through, and for looking at what a
//! broker holds byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Doing, LabError, Result};

const LIMIT: Duration = Duration::from_secs(30);
/// The most that a fetch asks for.
const FETCH_BYTES: i32 = 50 << 20;

/// A header: any bytes for a name, and a value or none.
pub type RawHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record as it lies on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<RawHeader>,
}

impl RawRecord {
    /// Key, value and headers as every copy of it must have them, whatever its offset and timestamp.
    pub fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        nullable(self.key.as_deref(), &mut content);
        nullable(self.value.as_deref(), &mut content);
        varint(self.headers.len() as i64, &mut content);
        for (name, value) in &self.headers {
            nullable(Some(name), &mut content);
            nullable(value.as_deref(), &mut content);
        }
        content
    }
}

/// Writes one record with a timestamp to partition 0 of a topic.
pub fn produce(broker: SocketAddr, topic: &str, timestamp_ms: i64, value: &[u8]) -> Result<()> {
    let record = RawRecord {
        value: Some(value.to_vec()),
        ..RawRecord::default()
    };
    produce_records(broker, topic, timestamp_ms, &[record])
}

/// Writes records with one timestamp, in one uncompressed batch, to partition 0 of a topic.
pub fn produce_records(
    broker: SocketAddr,
    topic: &str,
    timestamp_ms: i64,
    records: &[RawRecord],
) -> Result<()> {
    let batch = batch(timestamp_ms, records);
    // Produce, version 3.
    let mut request = header(0, 3);
    // No transactional id, acks from all, a time limit.
    request.extend([255, 255, 255, 255]);
    request.extend(30_000_i32.to_be_bytes());
    one_topic(topic, &mut request);
    request.extend((batch.len() as i32).to_be_bytes());
    request.extend(batch);
    let answer = ask(broker, &request)?;
    // Correlation, one topic, its name, one partition, its number; then the code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    match answer.get(at..at + 2) {
        Some([0, 0]) => Ok(()),
        code => Err(LabError::BadAnswer {
            who: format!("the broker at {broker}"),
            why: format!("{code:?} for a produce request"),
        }),
    }
}

/// What a broker answers to a fetch of partition 0 of a topic from its beginning, as it comes.
pub fn fetch(broker: SocketAddr, topic: &str) -> Result<Vec<u8>> {
    // Fetch, version 4: of a client, without waiting, at least nothing, as much as there is, read_committed.
    let mut request = header(1, 4);
    request.extend((-1_i32).to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(FETCH_BYTES.to_be_bytes());
    request.push(1);
    one_topic(topic, &mut request);
    request.extend(0_i64.to_be_bytes());
    request.extend(FETCH_BYTES.to_be_bytes());
    ask(broker, &request)
}

/// How each batch of partition 0 of a topic is compressed, as it lies in the broker's log, those of markers aside: 0 not at
/// all, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
pub fn codecs(broker: SocketAddr, topic: &str) -> Result<Vec<u8>> {
    let answer = fetch(broker, topic)?;
    let bad = || LabError::BadAnswer {
        who: format!("the broker at {broker}"),
        why: "a fetch answer of another form".to_owned(),
    };
    let number = |at: usize| -> Result<usize> {
        let bytes = answer.get(at..at + 4).ok_or_else(bad)?;
        let bytes = bytes.try_into().map_err(|_size| bad())?;
        Ok(usize::try_from(i32::from_be_bytes(bytes)).unwrap_or_default())
    };
    // Correlation, time, one topic, its name, one partition: number, code, high watermark, last stable offset.
    let aborted = 4 + 4 + 4 + 2 + topic.len() + 4 + 4 + 2 + 8 + 8;
    let mut at = aborted + 4 + 16 * number(aborted)? + 4;
    let mut codecs = Vec::new();
    // First offset, length, leader epoch, format, checksum; then the attributes.
    while let Some([high, low]) = answer.get(at + 21..at + 23) {
        let attributes = u16::from_be_bytes([*high, *low]);
        if attributes & 0x20 == 0 {
            codecs.push(u8::try_from(attributes & 7).unwrap_or_default());
        }
        at += 8 + 4 + number(at + 8)?;
    }
    Ok(codecs)
}

/// API and version, correlation 1, no client id.
fn header(api: u8, version: u8) -> Vec<u8> {
    vec![0, api, 0, version, 0, 0, 0, 1, 255, 255]
}

/// One topic with one partition, number 0.
fn one_topic(topic: &str, out: &mut Vec<u8>) {
    out.extend(1_i32.to_be_bytes());
    out.extend((topic.len() as i16).to_be_bytes());
    out.extend(topic.as_bytes());
    out.extend(1_i32.to_be_bytes());
    out.extend(0_i32.to_be_bytes());
}

fn ask(broker: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let doing = || format!("ask the broker at {broker}");
    let mut stream = TcpStream::connect_timeout(&broker, LIMIT).doing(doing())?;
    stream.set_read_timeout(Some(LIMIT)).doing(doing())?;
    let size = (request.len() as i32).to_be_bytes();
    stream.write_all(&size).doing(doing())?;
    stream.write_all(request).doing(doing())?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).doing(doing())?;
    let size = u64::try_from(i32::from_be_bytes(size)).unwrap_or_default();
    let mut answer = Vec::new();
    stream.take(size).read_to_end(&mut answer).doing(doing())?;
    Ok(answer)
}

/// A batch of format 2, uncompressed.
fn batch(timestamp_ms: i64, records: &[RawRecord]) -> Vec<u8> {
    let mut checked = Vec::new();
    checked.extend([0; 2]);
    checked.extend((records.len() as i32 - 1).to_be_bytes());
    checked.extend(timestamp_ms.to_be_bytes());
    checked.extend(timestamp_ms.to_be_bytes());
    // No producer id, epoch or sequence.
    checked.extend([255; 8 + 2 + 4]);
    checked.extend((records.len() as i32).to_be_bytes());
    for (at, record) in records.iter().enumerate() {
        // No attributes, the batch's timestamp, the place in the batch.
        let mut bytes = vec![0, 0];
        varint(at as i64, &mut bytes);
        bytes.extend(record.content());
        varint(bytes.len() as i64, &mut checked);
        checked.extend(bytes);
    }

    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    batch.extend((checked.len() as i32 + 4 + 1 + 4).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn nullable(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    varint(bytes.map_or(-1, |bytes| bytes.len() as i64), out);
    out.extend(bytes.unwrap_or_default());
}

fn varint(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Castagnoli's, reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}
