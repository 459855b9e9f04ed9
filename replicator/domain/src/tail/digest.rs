//! A digest over records in their order, which goes on where it was.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::TailRecord;

/// FNV-1a, 128 bits.
const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
/// How many hexadecimal digits it is written with.
const DIGITS: usize = 32;

/// What records come to, each with its place, time, key, value and headers, in their order. It is whole after each
/// record, so it can be stored and gone on with. It tells an accident, not a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailDigest(u128);

impl Default for TailDigest {
    fn default() -> Self {
        Self(BASIS)
    }
}

impl TailDigest {
    /// The digest of some bytes alone.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.bytes(bytes);
        digest
    }

    /// Its number.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Takes the next record in.
    pub fn add(&mut self, record: &TailRecord<'_>) {
        self.bytes(&record.offset.get().to_be_bytes());
        self.bytes(&record.timestamp_ms.to_be_bytes());
        self.field(record.key);
        self.field(record.value);
        self.number(record.headers.len());
        for (name, value) in record.headers {
            self.field(Some(name));
            self.field(value.as_deref());
        }
    }

    /// A field with its length before it, so that no two records are the same bytes; null is not empty.
    fn field(&mut self, field: Option<&[u8]>) {
        match field {
            None => self.bytes(&[0]),
            Some(bytes) => {
                self.bytes(&[1]);
                self.number(bytes.len());
                self.bytes(bytes);
            }
        }
    }

    fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
        });
    }
}

impl fmt::Display for TailDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for TailDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TailDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = plain.then(|| u128::from_str_radix(&text, 16).ok());
        number
            .flatten()
            .map(Self)
            .ok_or_else(|| de::Error::custom("a digest is 32 hexadecimal digits"))
    }
}
