//! Where a topic's partitions end.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::cluster::Cluster;
use crate::error::{Doing, Result};
use crate::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(90);
/// How long one question may take.
const ONCE: Duration = Duration::from_secs(10);

/// The ends of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that a `read_committed` reader may not have yet.
    pub last_stable: i64,
    /// The first offset that no reader may have yet. Beyond the last stable one while a transaction is open.
    pub high_watermark: i64,
}

impl Ends {
    /// Whether no transaction is open.
    pub fn is_settled(&self) -> bool {
        self.last_stable == self.high_watermark
    }
}

impl Cluster {
    /// The ends of every partition of a topic; empty if there is no such topic.
    pub fn ends(&self, topic: &str) -> Result<BTreeMap<i32, Ends>> {
        let [committed, uncommitted] = ["read_committed", "read_uncommitted"].map(|level| {
            self.client()
                .set("isolation.level", level)
                .create::<BaseConsumer>()
        });
        let (committed, uncommitted) = (
            committed.doing("create a client")?,
            uncommitted.doing("create a client")?,
        );
        let mut ends = BTreeMap::new();
        for partition in 0..self.partitions(topic)?.unwrap_or_default() {
            // A leader that moves is no answer.
            let of = |client: &BaseConsumer| -> Result<i64> {
                wait_for(&format!("the end of {topic}-{partition}"), LIMIT, || {
                    let edges = client.fetch_watermarks(topic, partition, ONCE);
                    edges.map(|(_, end)| end).map_err(|error| error.to_string())
                })
            };
            // In this order a transaction that ends meanwhile cannot make the one overtake the other.
            let last_stable = of(&committed)?;
            let high_watermark = of(&uncommitted)?;
            ends.insert(
                partition,
                Ends {
                    last_stable,
                    high_watermark,
                },
            );
        }
        Ok(ends)
    }
}
