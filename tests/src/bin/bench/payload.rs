//! Records that look like what applications write: JSON-like, compressible.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Bytes of a value; with its key a record has 1,024 bytes.
pub const VALUE_BYTES: usize = 1_012;
/// Bytes of a key.
pub const KEY_BYTES: usize = 12;
/// Where a value holds the moment it was sent, as 20 digits.
const STAMP: std::ops::Range<usize> = 7..27;
/// Different enough that no codec's window holds a record twice.
const DIFFERENT: usize = 20_000;

const WORDS: [&str; 24] = [
    "deliver",
    "between",
    "parcel",
    "morning",
    "warehouse",
    "customer",
    "invoice",
    "express",
    "fragile",
    "return",
    "evening",
    "signature",
    "discount",
    "reorder",
    "blue",
    "medium",
    "large",
    "neighbour",
    "gift",
    "pending",
    "paid",
    "shipped",
    "standard",
    "voucher",
];

/// Values to choose from, always the same ones.
pub struct Payloads {
    values: Vec<Vec<u8>>,
}

impl Payloads {
    /// Values of `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let mut random = StdRng::seed_from_u64(7);
        let values = (0..DIFFERENT).map(|_| value(&mut random, bytes)).collect();
        Self { values }
    }

    /// The value for the record with this number.
    pub fn value(&self, number: u64) -> &[u8] {
        let index = usize::try_from(number).unwrap_or_default() % self.values.len().max(1);
        self.values.get(index).map_or(&[], Vec::as_slice)
    }
}

/// A key for the record with this number.
pub fn key(number: u64) -> String {
    format!("c-{:010}", number.wrapping_mul(2_654_435_761) % 1_000_000)
}

/// Writes the moment of sending into a value.
pub fn stamp(value: &mut [u8], micros: u64) {
    if let Some(place) = value.get_mut(STAMP) {
        place.copy_from_slice(format!("{micros:020}").as_bytes());
    }
}

/// The moment of sending that a value holds.
pub fn stamped(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.get(STAMP)?).ok()?.parse().ok()
}

fn value(random: &mut StdRng, bytes: usize) -> Vec<u8> {
    let mut text = format!(
        "{{\"at\":\"{:020}\",\"order\":\"{:016x}\",\"lines\":[",
        0,
        random.random::<u64>()
    );
    while text.len() < bytes {
        let word = |random: &mut StdRng| WORDS.choose(random).copied().unwrap_or_default();
        let line = format!(
            "{{\"sku\":\"{:08x}\",\"quantity\":{},\"price\":{}.{:02},\"note\":\"{} {} {}\"}},",
            random.random::<u32>(),
            random.random_range(1..20),
            random.random_range(1..500),
            random.random_range(0..100),
            word(random),
            word(random),
            word(random),
        );
        text.push_str(&line);
    }
    text.truncate(bytes.saturating_sub(2));
    text.push_str("]}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_from_a_value_of_the_size_asked_for() {
        let mut value = Payloads::new(VALUE_BYTES).value(3).to_vec();
        stamp(&mut value, 123_456);
        assert_eq!(stamped(&value), Some(123_456));
        assert_eq!(value.len() + key(3).len(), 1_024);
    }
}
