//! What a cluster's metadata says of its topics and replicas.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::cluster::Cluster;
use crate::error::{Doing, Result};

const LIMIT: Duration = Duration::from_secs(10);

/// How many partitions lack a replica that should be in sync.
pub(super) fn out_of_sync(cluster: &Cluster) -> Result<usize> {
    let client: BaseConsumer = cluster.client().create().doing("create a client")?;
    let metadata = client
        .fetch_metadata(None, LIMIT)
        .doing("look at the replicas")?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    let lacking = partitions.filter(|partition| partition.isr().len() < partition.replicas().len());
    Ok(lacking.count())
}

/// The names of all topics that begin so.
pub(super) fn topics(cluster: &Cluster, prefix: &str) -> Result<Vec<String>> {
    let client: BaseConsumer = cluster.client().create().doing("create a client")?;
    let metadata = client
        .fetch_metadata(None, LIMIT)
        .doing("list the topics")?;
    let names = metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}
