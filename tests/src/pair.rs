//! A source and a target, started side by side.

use std::sync::OnceLock;
use std::thread;

use crate::cluster::Cluster;
use crate::cluster_builder::ClusterBuilder;
use crate::error::{LabError, Result};

/// Where a flow comes from and where it goes to.
#[derive(Debug)]
pub struct Pair {
    /// `use1`.
    pub source: Cluster,
    /// `usw2`.
    pub target: Cluster,
}

impl Pair {
    /// Two clusters as built: what is given, changed at will.
    pub fn start(
        source: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
        target: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    ) -> Result<Self> {
        let (source, target) = (
            source(Cluster::builder("use1")),
            target(Cluster::builder("usw2")),
        );
        thread::scope(|scope| {
            let starting = scope.spawn(|| source.start());
            let target = target.start();
            let source = starting
                .join()
                .map_err(|_panic| LabError::Usage("starting use1 panicked".to_owned()))??;
            Ok(Self {
                source,
                target: target?,
            })
        })
    }

    /// The pair that all tests of a program share, each with topics and a flow of its own. Started by whoever comes
    /// first; its brokers end with the program.
    pub fn shared() -> Result<&'static Self, &'static LabError> {
        static SHARED: OnceLock<Result<Pair>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start(|source| source, |target| target))
            .as_ref()
    }
}
