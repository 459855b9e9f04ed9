//! The two ends of an order, and the flow between them.

use std::sync::Arc;

use understudy_recovery::client::Pointer;
use understudy_recovery::contract::Order;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::{Alias, ErrorName, StepError};

use crate::step::{at_source, at_target};
use crate::world::{Cluster, World};

/// The cluster that is left. Does not connect.
///
/// # Errors
/// The pair has no such cluster, or its configuration cannot be used.
pub fn source(world: &World, order: &Order) -> Result<Arc<dyn Cluster>, StepError> {
    let found = world.clusters.get(&order.source);
    found.map_err(|error| at_source(&error))
}

/// The cluster that becomes active. Does not connect.
///
/// # Errors
/// The pair has no such cluster, or its configuration cannot be used.
pub fn target(world: &World, order: &Order) -> Result<Arc<dyn Cluster>, StepError> {
    let found = world.clusters.get(&order.target);
    found.map_err(|error| at_target(&error))
}

/// The flow from the cluster that is left to the one that becomes active.
///
/// # Errors
/// The pair has none.
pub fn forward<'a>(world: &'a World, order: &Order) -> Result<&'a FlowOfPair, StepError> {
    flow_between(world, &order.source, &order.target)
}

/// The flow back.
///
/// # Errors
/// The pair has none.
pub fn reverse<'a>(world: &'a World, order: &Order) -> Result<&'a FlowOfPair, StepError> {
    flow_between(world, &order.target, &order.source)
}

fn flow_between<'a>(
    world: &'a World,
    source: &Alias,
    target: &Alias,
) -> Result<&'a FlowOfPair, StepError> {
    let leaves = world.pair.flow_from(source);
    leaves.filter(|flow| &flow.target == target).ok_or_else(|| {
        StepError::new(
            ErrorName::BadRequest,
            format!(
                "pair {} has no flow from {source} to {target}",
                world.pair.name
            ),
        )
    })
}

/// What clients that follow a pointer are told: the cluster that becomes active, from this order's epoch on.
///
/// # Errors
/// Nobody knows where clients are to bootstrap from.
pub fn pointer(world: &World, order: &Order) -> Result<Pointer, StepError> {
    let cluster = world.pair.clusters.get(&order.target);
    let told = cluster.and_then(|cluster| cluster.client_bootstrap.clone());
    let bootstrap = match told {
        Some(bootstrap) => Some(bootstrap),
        None => target(world, order)?.bootstrap(),
    };
    let bootstrap = bootstrap.ok_or_else(|| {
        StepError::new(
            ErrorName::BadRequest,
            format!(
                "nothing says where clients of {} bootstrap from; set client_bootstrap of that cluster in the pair",
                order.target
            ),
        )
    })?;
    Ok(Pointer {
        schema: 1,
        pair: world.pair.name.to_string(),
        epoch: order.epoch.get(),
        active: order.target.to_string(),
        bootstrap,
    })
}
