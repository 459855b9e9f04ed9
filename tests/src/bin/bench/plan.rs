//! How much is done: whole, or quick.

use std::time::Duration;

use serde::Serialize;

use crate::mirror::Contender;

/// Sizes and repetitions.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Whether this is the short version.
    pub quick: bool,
    /// Whether MirrorMaker 2 is left out: quicker, for finding out.
    pub ours_only: bool,
    /// Slots of our flows, but for those of `translate`, `recovery` and `failback`.
    pub slots: u32,
    /// Records of a copy run.
    pub records: u64,
    /// Rounds of the copy runs with lz4, on which most requirements stand.
    pub rounds: usize,
    /// Rounds of the copy runs with the other codecs.
    pub rounds_other: usize,
    /// Rounds of the latency runs.
    pub rounds_latency: usize,
    /// Load before a latency window: brokers compile the path of small transactions only when they have met thousands.
    pub latency_warm_up: Duration,
    /// A latency window.
    pub latency_window: Duration,
    /// A look at an idle process.
    pub idle_window: Duration,
    /// Rounds over the link.
    pub rounds_link: usize,
    /// Workers killed, and workers told to stop.
    pub rounds_takeover: usize,
}

impl Plan {
    /// The whole benchmark, or the quick one.
    pub fn new(quick: bool, ours_only: bool, slots: u32) -> Self {
        if quick {
            return Self {
                quick,
                ours_only,
                slots,
                records: 150_000,
                rounds: 2,
                rounds_other: 1,
                rounds_latency: 1,
                latency_warm_up: Duration::from_secs(8),
                latency_window: Duration::from_secs(12),
                idle_window: Duration::from_secs(12),
                rounds_link: 2,
                rounds_takeover: 2,
            };
        }
        Self {
            quick,
            ours_only,
            slots,
            records: 1_000_000,
            rounds: 3,
            rounds_other: 2,
            rounds_latency: 2,
            latency_warm_up: Duration::from_secs(30),
            latency_window: Duration::from_secs(25),
            idle_window: Duration::from_secs(20),
            rounds_link: 3,
            rounds_takeover: 3,
        }
    }

    /// Those of these contenders that take part.
    pub fn taking_part(&self, contenders: Vec<Contender>) -> Vec<Contender> {
        let takes_part =
            |contender: &Contender| !self.ours_only || *contender == Contender::Understudy;
        contenders.into_iter().filter(takes_part).collect()
    }
}
