//! Kafka's `Struct` encoding, as far as MirrorMaker 2 uses it.

use crate::{DecodeError, Format};

/// The version of records that have one.
const VERSION: i16 = 0;

/// A string longer than the 32767 bytes that the format can carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {bytes} bytes long; MirrorMaker 2's records carry up to 32767")]
pub struct TooLong {
    /// Which string.
    pub what: &'static str,
    /// Its length.
    pub bytes: usize,
}

/// Appends a string with its length.
pub(super) fn put_text(bytes: &mut Vec<u8>, what: &'static str, text: &str) -> Result<(), TooLong> {
    let length = i16::try_from(text.len()).map_err(|_large| TooLong {
        what,
        bytes: text.len(),
    })?;
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}

/// Appends the version.
pub(super) fn put_version(bytes: &mut Vec<u8>) {
    bytes.extend(VERSION.to_be_bytes());
}

/// Reads a struct from its front.
pub(super) struct Struct<'a> {
    format: Format,
    rest: &'a [u8],
}

impl<'a> Struct<'a> {
    pub(super) const fn new(format: Format, bytes: &'a [u8]) -> Self {
        Self {
            format,
            rest: bytes,
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated {
                format: self.format,
            })?;
        self.rest = rest;
        Ok(*first)
    }

    /// Refuses a version that this code does not read.
    pub(super) fn version(&mut self) -> Result<(), DecodeError> {
        match i16::from_be_bytes(self.take()?) {
            VERSION => Ok(()),
            version if version > VERSION => Err(DecodeError::NewerVersion {
                format: self.format,
                version: u64::from(version.unsigned_abs()),
                supported: 0,
            }),
            _ => Err(self.malformed("its version is negative")),
        }
    }

    pub(super) fn long(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    /// A partition's number.
    pub(super) fn partition(&mut self) -> Result<i32, DecodeError> {
        let partition = i32::from_be_bytes(self.take()?);
        match partition {
            0.. => Ok(partition),
            _ => Err(self.malformed("its partition is negative")),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, DecodeError> {
        let length = i16::from_be_bytes(self.take()?);
        let length = usize::try_from(length)
            .map_err(|_negative| self.malformed("a string's length is negative"))?;
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated {
                format: self.format,
            })?;
        self.rest = rest;
        let text = std::str::from_utf8(text)
            .map_err(|_invalid| self.malformed("a string is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Refuses bytes after the value.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("bytes follow its end"))
        }
    }

    fn malformed(&self, reason: &str) -> DecodeError {
        DecodeError::malformed(self.format, reason)
    }
}
