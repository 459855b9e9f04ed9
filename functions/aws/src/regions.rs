//! Clients of other Regions: made once, with an endpoint of their own where one is set.
//!
//! What a service-specific variable names is meant for this Region. Another Region is reached under AWS's own name for
//! it, or under what `UNDERSTUDY_ENDPOINT_URLS` says: an interface endpoint at the other end of a peering, or a stand-in.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::{Region, SdkConfig};
use aws_types::origin::Origin;
use understudy_recovery::Alias;
use understudy_recovery::pair::Pair;

use crate::session::Session;

/// Where each Region is reached.
#[derive(Clone, Debug)]
pub struct Regions {
    session: Session,
    endpoints: Arc<BTreeMap<String, String>>,
}

impl Regions {
    /// Regions, with the endpoints of those that have one of their own.
    pub fn new(session: Session, endpoints: BTreeMap<String, String>) -> Self {
        Self {
            session,
            endpoints: Arc::new(endpoints),
        }
    }

    /// The way to AWS.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Whether a Region is the one in which this runs.
    pub fn is_here(&self, region: &str) -> bool {
        region == self.session.region()
    }

    /// What clients of a Region are made from.
    pub fn config(&self, region: &str) -> SdkConfig {
        if self.is_here(region) {
            return self.session.config().clone();
        }
        let mut config = self
            .session
            .config()
            .to_builder()
            .region(Region::new(region.to_owned()));
        config.set_endpoint_url(self.endpoints.get(region).cloned());
        // Otherwise each client looks into the environment again, where this Region's endpoints are.
        config.insert_origin("endpoint_url", Origin::shared_config());
        config.build()
    }

    /// The Region of a cluster of a pair; this one if nobody says.
    pub fn of_cluster(&self, pair: &Pair, alias: &Alias) -> String {
        pair.clusters.get(alias).map_or_else(
            || self.session.region().to_owned(),
            |cluster| cluster.region.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::StandIn;

    #[test]
    fn another_regions_endpoint_is_never_this_ones() -> Result<(), Box<dyn std::error::Error>> {
        let (session, _asked) = StandIn::saying(&[])?;
        let there = ("us-east-1".to_owned(), "http://there".to_owned());
        let regions = Regions::new(session, BTreeMap::from([there]));
        for (region, endpoint) in [("us-east-1", Some("http://there")), ("eu-west-1", None)] {
            let config = regions.config(region);
            assert_eq!(config.endpoint_url(), endpoint);
            // What says this is heard before what the environment says.
            assert!(config.get_origin("endpoint_url").is_client_config());
        }
        Ok(())
    }
}
