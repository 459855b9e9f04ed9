//! One produce request, made by hand: for timestamps that no client library lets through.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Writes one record to partition 0 of a topic.
pub fn produce(
    broker: SocketAddr,
    topic: &str,
    timestamp: i64,
    value: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let batch = batch(timestamp, value);
    let mut request = Vec::new();
    // Header: Produce, version 3, correlation 1, no client id.
    request.extend([0, 0, 0, 3, 0, 0, 0, 1, 255, 255]);
    // No transactional id, acks from all, a time limit.
    request.extend([255, 255, 255, 255]);
    request.extend(30_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(topic.len())?.to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(i32::try_from(batch.len())?.to_be_bytes());
    request.extend(batch);

    let mut stream = TcpStream::connect_timeout(&broker, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(&i32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size))?];
    stream.read_exact(&mut answer)?;
    // Correlation, one topic, its name, one partition, its number; then the code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    match answer.get(at..at + 2) {
        Some([0, 0]) => Ok(()),
        code => Err(format!("the broker answered {code:?}").into()),
    }
}

/// A batch of one record, format 2, uncompressed.
fn batch(timestamp: i64, value: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0, 0];
    varint(-1, &mut record);
    varint(value.len() as i64, &mut record);
    record.extend(value);
    varint(0, &mut record);
    let mut checked = Vec::new();
    checked.extend([0; 2]);
    checked.extend(0_i32.to_be_bytes());
    checked.extend(timestamp.to_be_bytes());
    checked.extend(timestamp.to_be_bytes());
    // No producer id, epoch or sequence.
    checked.extend([255; 8 + 2 + 4]);
    checked.extend(1_i32.to_be_bytes());
    varint(record.len() as i64, &mut checked);
    checked.extend(record);

    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    batch.extend((checked.len() as i32 + 4 + 1 + 4).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
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
