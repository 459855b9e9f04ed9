//! AWS's own word on an MSK cluster: a look that shares no path with a prober's, over the public API.

use understudy_recovery::Alias;
use understudy_recovery::health::{Layer, Saw, Signal, Vantage};
use understudy_recovery::pair::Pair;

use aws_sdk_kafka::types::ClusterState;

use crate::regions::Regions;

/// What AWS says of a cluster; nothing if it is not an MSK cluster. That AWS does not answer says nothing of the
/// cluster: the path is unproven then.
pub fn look(regions: &Regions, pair: &Pair, about: &Alias, now_ms: i64) -> Option<Signal> {
    let cluster = pair.clusters.get(about)?;
    let arn = cluster.msk_arn.as_ref()?;
    let client = aws_sdk_kafka::Client::new(&regions.config(&cluster.region));
    let call = client.describe_cluster().cluster_arn(arn).send();
    let answer = regions
        .session()
        .call(&format!("asking AWS about cluster {about}"), call);
    let (saw, path_proven) = match answer {
        Ok(answer) => {
            let state = answer.cluster_info.and_then(|cluster| cluster.state);
            (saw(state.as_ref()), true)
        }
        Err(error) => (
            Saw::Fails {
                layer: Layer::Connect,
                reason: error.text,
            },
            false,
        ),
    };
    Some(Signal {
        vantage: Vantage::ControlPlane,
        saw,
        at_ms: now_ms,
        path_proven,
    })
}

/// A cluster that AWS is at work on serves meanwhile, broker by broker; only what is gone or lost is a bad sign.
fn saw(state: Option<&ClusterState>) -> Saw {
    let gone = |reason: &str| Saw::Fails {
        layer: Layer::Controller,
        reason: format!("AWS says that the cluster is {reason}"),
    };
    match state {
        Some(ClusterState::Failed) => gone("FAILED"),
        Some(ClusterState::Deleting) => gone("DELETING"),
        Some(ClusterState::Creating) => gone("CREATING"),
        Some(
            ClusterState::Active
            | ClusterState::Healing
            | ClusterState::Maintenance
            | ClusterState::RebootingBroker
            | ClusterState::Updating,
        ) => Saw::Serves,
        // A state that this version does not know says nothing.
        Some(_) | None => Saw::Silence,
    }
}
