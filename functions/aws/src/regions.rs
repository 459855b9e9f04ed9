//! Clients of other Regions: made once, with an endpoint of their own where one is set.
//!
//! What a service-specific variable names is meant for this Region. Another Region is reached under AWS's own name for
//! it, or under what `UNDERSTUDY_ENDPOINT_URLS` says: an interface endpoint at the other end of a peering, or a stand-in.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::{Region, SdkConfig};
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
