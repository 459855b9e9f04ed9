//! Making orders: the same ones for the same producer name.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng, distr::Alphanumeric};
use rdkafka::message::{Header, OwnedHeaders};

use super::Workload;

/// One record to be written.
pub(super) struct Order {
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Option<OwnedHeaders>,
}

/// The orders of one workload.
pub(super) struct Orders<'a> {
    workload: &'a Workload,
    partitions: i32,
    next: Vec<u64>,
    number: u64,
    random: StdRng,
    /// Text to fill values with: it compresses about as well as real JSON does.
    filling: String,
}

impl<'a> Orders<'a> {
    pub(super) fn new(workload: &'a Workload, partitions: i32) -> Self {
        let seed = workload
            .producer
            .bytes()
            .fold(7u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
        let mut random = StdRng::seed_from_u64(seed);
        let mut filling = String::new();
        while filling.len() < workload.value_bytes + 4_096 {
            let sku: String = (0..8)
                .map(|_| char::from(random.sample(Alphanumeric)))
                .collect();
            let (quantity, cents) = (random.random_range(1..20), random.random_range(100..99_999));
            filling += &format!(
                "{{\\\"sku\\\":\\\"{sku}\\\",\\\"quantity\\\":{quantity},\\\"cents\\\":{cents}}},"
            );
        }
        let next = vec![0; usize::try_from(partitions).unwrap_or_default()];
        Self {
            workload,
            partitions,
            next,
            number: 0,
            random,
            filling,
        }
    }

    pub(super) fn next(&mut self) -> Order {
        let partition = self.random.random_range(0..self.partitions);
        let number = self.next.get_mut(partition as usize).map_or(0, |next| {
            *next += 1;
            *next - 1
        });
        self.number += 1;
        let id = format!("{}-{partition}-{number}", self.workload.producer);
        let key = match self.workload.keys {
            // Spread over the partitions so that a key always lies in the same one.
            Some(keys) => format!("k{}-{partition}", self.random.random_range(0..keys)),
            None => format!("customer-{}", self.random.random_range(0..100_000)),
        };
        let every = self.workload.tombstone_every;
        let tombstone = every > 0 && self.number.is_multiple_of(every);
        let value = (!tombstone).then(|| self.value(&id));
        Order {
            partition,
            key,
            value,
            headers: self.headers(&id, tombstone),
        }
    }

    fn value(&mut self, id: &str) -> Vec<u8> {
        let mut value = format!("{{\"id\":\"{id}\",\"lines\":\"");
        let wanted = self.workload.value_bytes.saturating_sub(value.len() + 2);
        let start = self.random.random_range(0..4_096);
        value += self.filling.get(start..start + wanted).unwrap_or_default();
        value += "\"}";
        value.into_bytes()
    }

    /// None for most; a tombstone always has its id; now and then a null, an empty or a doubled one.
    fn headers(&self, id: &str, tombstone: bool) -> Option<OwnedHeaders> {
        let with_id = || {
            OwnedHeaders::new().insert(Header {
                key: "id",
                value: Some(id),
            })
        };
        match self.number % 20 {
            0 => Some(with_id().insert(Header {
                key: "trace",
                value: None::<&str>,
            })),
            5 => Some(
                with_id()
                    .insert(Header {
                        key: "via",
                        value: Some("a"),
                    })
                    .insert(Header {
                        key: "via",
                        value: Some("b"),
                    })
                    .insert(Header {
                        key: "via",
                        value: Some("a"),
                    }),
            ),
            10 => Some(with_id().insert(Header {
                key: "",
                value: Some(""),
            })),
            15 => Some(with_id().insert(Header {
                key: "blob",
                value: Some(&[0u8, 255, 10, 13][..]),
            })),
            _ if tombstone => Some(with_id()),
            _ => None,
        }
    }
}
