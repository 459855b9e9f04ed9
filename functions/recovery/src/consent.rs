//! How much loss needs nobody's word.

use serde::{Deserialize, Serialize};

/// What may be lost without asking a person. Nothing, unless the pair says so: a loss that is not known is never within.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consent {
    /// Records, at most.
    pub max_lost_records: u64,
    /// The age of the oldest lost record, in seconds, at most.
    pub max_age_seconds: u64,
}

/// What a recovery loses, as far as it can be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossBound {
    /// Records that are known to have no copy.
    pub records_at_least: u64,
    /// No more than this; nothing where nothing bounds it.
    pub records_at_most: Option<u64>,
    /// Nothing written longer ago than this, in seconds, is lost; nothing where nothing bounds it.
    pub seconds_at_most: Option<f64>,
}

impl LossBound {
    /// Nothing is lost.
    pub const NONE: Self = Self {
        records_at_least: 0,
        records_at_most: Some(0),
        seconds_at_most: Some(0.0),
    };
}

impl Consent {
    /// Whether a loss needs nobody's word. Records or age within suffices for a part that is bounded by the other: both
    /// must be known and within, except that no record lost is always within.
    pub fn covers(&self, loss: &LossBound) -> bool {
        if loss.records_at_most == Some(0) {
            return true;
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds, far below 2^53")]
        let age = self.max_age_seconds as f64;
        loss.records_at_most
            .is_some_and(|records| records <= self.max_lost_records)
            && loss.seconds_at_most.is_some_and(|seconds| seconds <= age)
    }
}
