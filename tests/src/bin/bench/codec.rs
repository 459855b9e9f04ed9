//! The codecs compared.

use serde::Serialize;

/// What source producers and mirrors compress with; always the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// The usual choice for throughput.
    Lz4,
    /// The usual choice for size.
    Zstd,
    /// Nothing.
    None,
}

impl Codec {
    /// As Kafka names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::None => "none",
        }
    }
}
