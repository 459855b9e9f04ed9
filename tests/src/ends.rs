//! Where a topic's partitions end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::cluster::Cluster;
use crate::error::{Doing, Result, chain};
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
        let partitions = self.partitions(topic)?.unwrap_or_default();
        ends(&self.client(), topic, 0..partitions, LIMIT)
    }

    /// Waits until a topic is known and no transaction on it is open. For whoever was told that something is committed: a
    /// coordinator says so before it has written the markers, and until then no `read_committed` reader sees the records.
    pub fn wait_settled(&self, topic: &str, limit: Duration) -> Result<()> {
        wait_settled(&self.client(), topic, limit)
    }
}

/// Waits until a topic is known and no transaction on it is open, at most for `limit`.
pub(crate) fn wait_settled(client: &ClientConfig, topic: &str, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    wait_for(&format!("transactions on {topic} to end"), limit, || {
        let found = count_partitions(client, topic).and_then(|partitions| {
            let left = deadline.saturating_duration_since(Instant::now());
            ends(client, topic, 0..partitions, left)
        });
        let found = found.map_err(|error| chain(&error))?;
        // Of a topic that is not known yet nothing is settled.
        match !found.is_empty() && found.values().all(Ends::is_settled) {
            true => Ok(()),
            false => Err(format!("{found:?}")),
        }
    })
}

/// How many partitions a topic has, as a client sees it; 0 where it is not known.
fn count_partitions(client: &ClientConfig, topic: &str) -> Result<i32> {
    let client: BaseConsumer = client.create().doing("create a client")?;
    let metadata = client
        .fetch_metadata(Some(topic), ONCE)
        .doing(format!("look up {topic}"))?;
    let found = metadata.topics().first();
    Ok(found.map_or(0, |found| found.partitions().len() as i32))
}

/// The ends of some partitions, as a client sees them; each question at most for `limit`.
fn ends(
    client: &ClientConfig,
    topic: &str,
    partitions: Range<i32>,
    limit: Duration,
) -> Result<BTreeMap<i32, Ends>> {
    let [committed, uncommitted] = ["read_committed", "read_uncommitted"].map(|level| {
        let mut client = client.clone();
        client
            .set("isolation.level", level)
            .create::<BaseConsumer>()
    });
    let (committed, uncommitted) = (
        committed.doing("create a client")?,
        uncommitted.doing("create a client")?,
    );
    let mut ends = BTreeMap::new();
    for partition in partitions {
        // A leader that moves is no answer.
        let of = |client: &BaseConsumer| -> Result<i64> {
            wait_for(&format!("the end of {topic}-{partition}"), limit, || {
                let edges = client.fetch_watermarks(topic, partition, ONCE);
                edges.map(|(_, end)| end).map_err(|error| {
                    // A client that was told that there is no leader would not ask again by itself.
                    let _asked = client.fetch_metadata(Some(topic), ONCE);
                    error.to_string()
                })
            })
        };
        // In this order a transaction that ends meanwhile cannot make the one overtake the other.
        let last_stable = of(&committed)?;
        let high_watermark = of(&uncommitted)?;
        let found = Ends {
            last_stable,
            high_watermark,
        };
        ends.insert(partition, found);
    }
    Ok(ends)
}
