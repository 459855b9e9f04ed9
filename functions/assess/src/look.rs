//! One look of ours at a cluster, held against what other lookers saw.

use std::time::Duration;

use understudy_recovery::Alias;
use understudy_recovery::health::{HealthVerdict, Layer, Saw, Signal, Vantage};
use understudy_shell::verdict::verdict;
use understudy_shell::world::Probe;
use understudy_shell::{World, bounded};

use crate::{BOUND, WAIT};

/// How long signals are waited for. They come from the surviving side.
const SIGNALS_WAIT: Duration = Duration::from_secs(2);

/// A look under way.
pub struct Looking(bounded::Pending<Result<Probe, String>>);

/// What a look saw.
pub struct Look {
    /// Its result.
    pub saw: Saw,
    /// The cluster's id, where it told.
    pub cluster_id: Option<String>,
    /// Its live brokers, where it told.
    pub brokers: Option<u32>,
}

/// Begins to look.
pub fn start(world: &World, alias: &Alias) -> Looking {
    let (clusters, alias) = (world.clusters.clone(), alias.clone());
    Looking(bounded::start(move || {
        let cluster = clusters.get(&alias).map_err(|error| error.text)?;
        Ok(cluster.probe(BOUND))
    }))
}

impl Looking {
    /// What it saw, within the bound.
    pub fn ended(self) -> Look {
        let failed = |layer: Layer, reason: String| Look {
            saw: Saw::Fails { layer, reason },
            cluster_id: None,
            brokers: None,
        };
        match self.0.wait(WAIT) {
            Some(Ok(probe)) => Look {
                saw: match probe.failed {
                    None => Saw::Serves,
                    Some((layer, reason)) => Saw::Fails { layer, reason },
                },
                cluster_id: probe.cluster_id,
                brokers: probe.brokers,
            },
            // A configuration that cannot be used is our fault, as a login that is refused.
            Some(Err(text)) => failed(Layer::Authenticate, text),
            None => failed(
                Layer::Connect,
                format!("no answer within {:.1} s", WAIT.as_secs_f64()),
            ),
        }
    }
}

impl Look {
    /// Whether the cluster answered at all: then the looker's own path is proven.
    pub const fn answers(&self) -> bool {
        match &self.saw {
            Saw::Serves => true,
            Saw::Fails { layer, .. } => match layer {
                Layer::Resolve | Layer::Connect => false,
                Layer::Authenticate
                | Layer::Metadata
                | Layer::Controller
                | Layer::InSync
                | Layer::Produce
                | Layer::Consume => self.cluster_id.is_some(),
            },
            Saw::Silence => false,
        }
    }

    /// The verdict: this look beside the newest signals of others.
    pub fn verdict(
        self,
        world: &World,
        alias: &Alias,
        path_proven: bool,
        reasons: &mut Vec<String>,
    ) -> HealthVerdict {
        let asked = (world.signals.clone(), alias.clone());
        let recent = bounded::within(SIGNALS_WAIT, move || asked.0.recent(&asked.1));
        let mut signals = match recent {
            Some(Ok(signals)) => signals,
            Some(Err(error)) => {
                reasons.push(format!("signals about {alias} could not be read: {error}"));
                Vec::new()
            }
            None => {
                reasons.push(format!("signals about {alias} did not come in time"));
                Vec::new()
            }
        };
        let now = world.clock.now_ms();
        signals.push(Signal {
            vantage: Vantage::Standby,
            saw: self.saw,
            at_ms: now,
            path_proven,
        });
        verdict(signals, now)
    }
}
