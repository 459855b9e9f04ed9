//! Making topics with as many replicas as they should have.

use std::num::NonZeroU16;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{MIN_INSYNC_REPLICAS, min_insync_replicas, replicas};
use understudy_kafka::{Cluster, Fault};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// How many replicas topics get that are made on one cluster, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// How many.
    pub count: i32,
    /// What the flow file says.
    pub chosen: Option<NonZeroU16>,
    /// What the cluster would make of itself, where it may be read.
    pub cluster_default: Option<i32>,
    /// How many brokers are there.
    pub brokers: usize,
}

impl Replicas {
    /// Asks the cluster what the number depends on; `chosen` is what the flow file says.
    ///
    /// # Errors
    /// The cluster does not answer in time.
    pub fn on(cluster: &Cluster, chosen: Option<NonZeroU16>) -> Result<Self, Fault> {
        let brokers = cluster.brokers(WITHIN)?;
        let cluster_default = match chosen {
            Some(_) => None,
            None => cluster.default_replicas(&brokers, WITHIN)?,
        };
        Ok(Self {
            count: replicas(brokers.len(), cluster_default, chosen),
            chosen,
            cluster_default,
            brokers: brokers.len(),
        })
    }

    /// How many replicas must have a record, where the source's topic asks for so many.
    pub fn min_insync(self, source: Option<i32>) -> i32 {
        min_insync_replicas(self.count, source)
    }

    /// Makes a topic. A cluster that does not take a number that nobody chose makes as many as it does by itself.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer in time.
    pub fn create(
        self,
        cluster: &Cluster,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), Fault> {
        let made = cluster.create_topic(name, partitions, self.count, configs, WITHIN);
        match made {
            Err(Fault::Kafka {
                code: Some(RDKafkaErrorCode::InvalidReplicationFactor),
                ..
            }) if self.chosen.is_none() => {
                let configs: Vec<_> = configs
                    .iter()
                    .filter(|(key, _)| *key != MIN_INSYNC_REPLICAS)
                    .copied()
                    .collect();
                cluster.create_topic(name, partitions, CLUSTERS_OWN, &configs, WITHIN)
            }
            made => made,
        }
    }

    /// Makes a topic of a flow's own: all replicas but one must have a record.
    ///
    /// # Errors
    /// As [`Replicas::create`].
    pub fn create_own(
        self,
        cluster: &Cluster,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), Fault> {
        let insync = self.min_insync(None).to_string();
        let mut configs = configs.to_vec();
        configs.push((MIN_INSYNC_REPLICAS, &insync));
        self.create(cluster, name, partitions, &configs)
    }
}

/// What leaves the number to the cluster.
const CLUSTERS_OWN: i32 = -1;
