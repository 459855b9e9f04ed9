//! Compact JSON with the version first, so that a console consumer shows it
//! and a reader can refuse it before looking further.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{DecodeError, Format};

/// Compact JSON, fields in the order of the struct: equal values, equal bytes.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of numbers and strings always have a JSON form")
}

/// The same with `"version"` before the other fields.
pub(crate) fn encode_versioned(version: u64, value: &impl Serialize) -> Vec<u8> {
    encode(&Versioned { version, value })
}

/// Reads JSON without a version; unknown fields are ignored.
pub(crate) fn decode<T: DeserializeOwned>(format: Format, bytes: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            DecodeError::Truncated { format }
        } else {
            DecodeError::malformed(format, error)
        }
    })
}

/// Reads JSON of a version up to `supported`; unknown fields are ignored.
pub(crate) fn decode_versioned<T: DeserializeOwned>(
    format: Format,
    supported: u64,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let OnlyVersion { version } = decode(format, bytes)?;
    check_version(format, version, supported)?;
    decode(format, bytes)
}

/// Refuses a version that this code does not read.
pub(crate) fn check_version(
    format: Format,
    version: u64,
    supported: u64,
) -> Result<(), DecodeError> {
    match version {
        0 => Err(DecodeError::malformed(format, "version 0 does not exist")),
        _ if version > supported => Err(DecodeError::NewerVersion {
            format,
            version,
            supported,
        }),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u64,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u64,
}
