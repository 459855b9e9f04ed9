//! What slots count, and the registry of it all.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric as Registered, Registry};

use crate::metric_table::{self as table, Metric};

/// Counters that slots add to. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Records copied and committed.
    pub records: Counter,
    /// Key and value bytes copied and committed.
    pub bytes: Counter,
    /// Transactions committed.
    pub commits: Counter,
    /// Transactions ended without effect; their copies are visible to `read_uncommitted` readers only.
    pub aborts: Counter,
    /// Slots taken over.
    pub take_overs: Counter,
    /// Writes that the brokers refused because the slot has a newer owner.
    pub fenced: Counter,
    /// Gaps found.
    pub gaps: Counter,
    /// Places of groups committed.
    pub places: Counter,
    /// Config keys set or deleted on the target.
    pub config_changes: Counter,
    /// ACLs added to or removed from the target.
    pub acl_changes: Counter,
    /// From the first wait for acknowledgement to the commit's answer.
    pub commit_seconds: Histogram,
    /// From losing nothing to copying again: one take-over.
    pub take_over_seconds: Histogram,
}

impl Metrics {
    /// Registers what slots count.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            records: Counter::default(),
            bytes: Counter::default(),
            commits: Counter::default(),
            aborts: Counter::default(),
            take_overs: Counter::default(),
            fenced: Counter::default(),
            gaps: Counter::default(),
            places: Counter::default(),
            config_changes: Counter::default(),
            acl_changes: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            take_over_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 12)),
        };
        put(registry, &table::COPIED_RECORDS, metrics.records.clone());
        put(registry, &table::COPIED, metrics.bytes.clone());
        put(registry, &table::COMMITTED, metrics.commits.clone());
        put(registry, &table::ABORTED, metrics.aborts.clone());
        put(registry, &table::TAKE_OVERS, metrics.take_overs.clone());
        put(registry, &table::FENCED, metrics.fenced.clone());
        put(registry, &table::GAPS_FOUND, metrics.gaps.clone());
        put(registry, &table::PLACES_COMMITTED, metrics.places.clone());
        put(
            registry,
            &table::CONFIG_CHANGES,
            metrics.config_changes.clone(),
        );
        put(registry, &table::ACL_CHANGES, metrics.acl_changes.clone());
        put(registry, &table::COMMIT, metrics.commit_seconds.clone());
        put(
            registry,
            &table::TAKE_OVER,
            metrics.take_over_seconds.clone(),
        );
        metrics
    }
}

fn put(registry: &mut Registry, metric: &Metric, value: impl Registered) {
    match metric.unit {
        None => registry.register(metric.name, metric.help, value),
        Some(unit) => {
            registry.register_with_unit(metric.name, metric.help, unit.unit().clone(), value);
        }
    }
}
