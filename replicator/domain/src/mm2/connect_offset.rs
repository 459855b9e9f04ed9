//! Where MirrorMaker 2 stood: the records of Kafka Connect's offsets topic on the target, as JSON without a schema.
//!
//! `mm2-offsets.<source>.internal` in dedicated mode, any `offset.storage.topic` otherwise. The key is
//! `["<connector>", {"cluster": …, "partition": …, "topic": …}]`, the value `{"offset": N}` with the last offset that
//! was replicated; no value means that the place was reset.

use serde::{Deserialize, Serialize};

use crate::{DecodeError, Format, SourceOffset, TopicPartition, json};

/// Whose place, of which partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectOffsetKey {
    /// The connector's name: `MirrorSourceConnector` in dedicated mode.
    pub connector: String,
    /// The source's alias and the partition as it is called there; `None` for connectors that copy no records, like
    /// those of heartbeats and checkpoints.
    pub place: Option<(String, TopicPartition)>,
}

impl ConnectOffsetKey {
    /// The key's bytes, as Connect's converter writes them. Connect looks places up by these bytes, so the order of
    /// members counts: it is that of Java's hash map.
    pub fn encode(&self) -> Vec<u8> {
        let place = self.place.as_ref().map(|(cluster, partition)| Written {
            cluster,
            partition: partition.partition,
            topic: &partition.topic,
        });
        json::encode(&(&self.connector, place))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Bytes that are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (connector, place): (String, Place) = json::decode(Format::ConnectOffsetKey, bytes)?;
        let place = match (place.cluster, place.topic, place.partition) {
            (Some(cluster), Some(topic), Some(partition)) => {
                let partition =
                    TopicPartition::checked(Format::ConnectOffsetKey, topic, partition)?;
                Some((cluster, partition))
            }
            _ => None,
        };
        Ok(Self { connector, place })
    }
}

/// The value for a partition of which `next` is the next record; none, which resets it, if there is nothing before it.
pub fn encode_connect_offset(next: i64) -> Option<Vec<u8>> {
    let offset = next.checked_sub(1).filter(|offset| *offset >= 0)?;
    Some(json::encode(&Stored { offset }))
}

/// The offset after the last one that was replicated: the next to be read.
///
/// # Errors
/// Bytes that are not a value of a source connector.
pub fn decode_connect_offset(bytes: &[u8]) -> Result<SourceOffset, DecodeError> {
    let Stored { offset } = json::decode(Format::ConnectOffset, bytes)?;
    // A fresh task stores −1 before its first record.
    match offset.checked_add(1) {
        Some(next @ 0..) => Ok(SourceOffset::new(next)),
        Some(_) | None => Err(DecodeError::malformed(
            Format::ConnectOffset,
            "its offset is no place in a log",
        )),
    }
}

#[derive(Deserialize)]
struct Place {
    cluster: Option<String>,
    topic: Option<String>,
    partition: Option<i32>,
}

#[derive(Serialize)]
struct Written<'a> {
    cluster: &'a str,
    partition: i32,
    topic: &'a str,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    offset: i64,
}
