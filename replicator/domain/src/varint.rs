//! Unsigned LEB128: seven bits a byte, low bits first, the high bit set on all but the last.

use crate::{DecodeError, Format};

/// Appends a number.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low_bits(number));
}

const fn low_bits(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// Reads bytes from the front and remembers what they are meant to be.
pub(crate) struct Reader<'a> {
    format: Format,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of some bytes.
    pub(crate) const fn new(format: Format, bytes: &'a [u8]) -> Self {
        Self {
            format,
            rest: bytes,
        }
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated {
            format: self.format,
        })?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next number. One number has one spelling, so overlong ones are refused.
    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.malformed("a number is longer than it needs to be"));
                }
                return Ok(number);
            }
        }
        Err(self.malformed("a number does not fit 64 bits"))
    }

    /// How many bytes are left.
    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses bytes after the value.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("bytes follow its end"))
        }
    }

    /// An error about what is being read.
    pub(crate) fn malformed(&self, reason: &str) -> DecodeError {
        DecodeError::malformed(self.format, reason)
    }

    /// The error for bytes that end too soon.
    pub(crate) const fn truncated(&self) -> DecodeError {
        DecodeError::Truncated {
            format: self.format,
        }
    }
}
