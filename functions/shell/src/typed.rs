//! What people are told to type: whole commands, with the option that leads to where a recovery is carried out. Only the
//! name of the pair's file is theirs to fill in.

use std::collections::BTreeMap;

use understudy_recovery::Alias;

use crate::World;

/// Where commands about a pair lead.
#[derive(Clone, Debug)]
pub struct Typing {
    /// The Region of each cluster, where the pair is deployed.
    regions: Option<BTreeMap<Alias, String>>,
}

impl Typing {
    /// For commands about the pair of this world.
    pub fn of(world: &World) -> Self {
        let regions = world.pair.clusters.iter();
        let regions = regions.map(|(alias, it)| (alias.clone(), it.region.clone()));
        Self {
            // A function knows on which side it runs; a process that carries a recovery out itself is on none.
            regions: world.here.as_ref().map(|_here| regions.collect()),
        }
    }

    /// `understudy failover PAIR.toml --region us-west-2`, to be carried out on the side of `active`: the cluster that is
    /// or becomes active.
    pub fn command(&self, verb: &str, active: &Alias) -> String {
        format!("understudy {verb} PAIR.toml {}", self.option(active))
    }

    fn option(&self, active: &Alias) -> String {
        let regions = self.regions.as_ref();
        let region = regions.and_then(|regions| regions.get(active));
        region.map_or_else(
            || "--local".to_owned(),
            |region| format!("--region {region}"),
        )
    }
}
