//! Proof that a flow is alive, in `heartbeats` on the flow's target.

use super::wire::{Struct, TooLong, put_text, put_version};
use crate::{DecodeError, Format};

/// The flow that a heartbeat proves alive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeartbeatKey {
    /// Alias of the cluster that the flow reads.
    pub source: String,
    /// Alias of the cluster that it writes.
    pub target: String,
}

/// When a flow was alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// In milliseconds since 1970; the record's own timestamp is the same.
    pub timestamp_ms: i64,
}

impl HeartbeatKey {
    /// The key's bytes.
    ///
    /// # Errors
    /// An alias that the format cannot carry.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut bytes = Vec::new();
        put_text(&mut bytes, "the source's alias", &self.source)?;
        put_text(&mut bytes, "the target's alias", &self.target)?;
        Ok(bytes)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Bytes that are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Struct::new(Format::HeartbeatKey, bytes);
        let (source, target) = (read.text()?, read.text()?);
        read.finish()?;
        Ok(Self { source, target })
    }
}

impl Heartbeat {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_version(&mut bytes);
        bytes.extend(self.timestamp_ms.to_be_bytes());
        bytes
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Bytes that are not one, or a version that this code does not read.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Struct::new(Format::Heartbeat, bytes);
        read.version()?;
        let timestamp_ms = read.long()?;
        read.finish()?;
        Ok(Self { timestamp_ms })
    }
}
