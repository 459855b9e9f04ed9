//! Every metric, declared once: what is registered, what `docs/metrics.md` says, what the dashboard may use.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises; exposed with `_total`.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Exposed with `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// As the encoder knows it.
    pub const fn exposed(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }

    /// As the exposition spells it.
    #[cfg(test)]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A quantity that is part of a metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Quantity {
    /// As the registry knows it.
    pub const fn unit(self) -> &'static Unit {
        match self {
            Self::Bytes => &Unit::Bytes,
            Self::Seconds => &Unit::Seconds,
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, without unit and suffix.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The unit that ends its name.
    pub unit: Option<Quantity>,
    /// Its labels.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "for the document; labels are written where values are"
        )
    )]
    pub labels: &'static [&'static str],
    /// What it says, in a sentence without its full stop.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal $(in $unit:ident)? $(by $($label:literal),+)? => $help:literal;)+) => {
        $(#[doc = $help]
        pub const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            unit: metrics!(@unit $($unit)?),
            labels: &[$($($label),+)?],
            help: $help,
        };)+
        /// All of them, in the document's order.
        #[cfg(test)]
        pub const ALL: &[Metric] = &[$($constant),+];
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Quantity::$unit) };
}

metrics! {
    READY: Gauge "understudy_ready" =>
        "1 when nothing keeps this worker from copying";
    READINESS: Gauge "understudy_readiness" by "verdict" =>
        "Could we fail over now, as far as this worker's partitions go: 1 for the verdict that holds, 0 for the others (ready, degraded, unknown, not-ready)";
    RECOVERY_POINT: Gauge "understudy_recovery_point" in Seconds =>
        "Nothing written longer ago than this would be lost now; absent when nothing bounds it";
    WORKER_LAG: Gauge "understudy_worker_lag_records" =>
        "Offsets of all of this worker's partitions that are not copied yet";
    SOURCE_SEEN: Gauge "understudy_source_seen" in Seconds =>
        "How long ago the source showed the end of the partition that it showed longest ago; absent while one was never seen";
    OPEN_TRANSACTION: Gauge "understudy_open_transaction" in Seconds =>
        "The longest that an open transaction on the source has held back readers of committed records, and so copies, while the log went on (LSO stall)";
    GAPS_OPEN: Gauge "understudy_gaps_open" =>
        "Gaps in front of which a partition of this worker is halted";
    MISSING: Gauge "understudy_missing_records" =>
        "Offsets in gaps that nobody has dealt with";
    GROUP_PLACES: Gauge "understudy_group_places" by "state" =>
        "Places of consumer groups on the target (exact, at-least, ahead, unknown)";
    PLACES_COMMITTED: Counter "understudy_places_committed" =>
        "Places of consumer groups committed on the target";
    WARNINGS: Gauge "understudy_warnings" =>
        "What somebody should look at although records flow; /status.json names each";
    CONFIG_CHANGES: Counter "understudy_config_changes" =>
        "Config keys set or deleted on the target's topics";
    CONFIGS_REFUSED: Gauge "understudy_configs_refused" =>
        "Config keys of source topics that the target refuses or does not know";
    ACL_CHANGES: Counter "understudy_acl_changes" =>
        "ACLs added to or removed from the target";
    ACLS_WITHHELD: Gauge "understudy_acls_withheld" =>
        "ACLs about writing to topics that stay away until the target is opened";
    ACLS_REFUSED: Gauge "understudy_acls_refused" =>
        "ACLs not mirrored because of what that would do to a resource; /status.json names them";
    SLOTS: Gauge "understudy_slots" =>
        "Slots held by this worker";
    SLOTS_CONFIGURED: Gauge "understudy_slots_configured" =>
        "Slots of the flow, over all workers: the sum of understudy_slots should be this";
    PARTITIONS: Gauge "understudy_partitions" by "state" =>
        "Partitions of this worker (copying, waiting, paused, halted)";
    PARTITIONS_HALTED: Gauge "understudy_partitions_halted" =>
        "Partitions that need somebody to look";
    LAG_RECORDS: Gauge "understudy_lag_records" by "topic", "partition" =>
        "Offsets that read_committed readers of the source could get and that are not copied yet";
    LAG: Gauge "understudy_lag" in Seconds by "topic", "partition" =>
        "Upper bound for the age of the oldest record not copied yet";
    PARTITION_OPEN_TRANSACTION: Gauge "understudy_partition_open_transaction" in Seconds by "topic", "partition" =>
        "As understudy_open_transaction, for the partitions that are held back";
    PARTITIONS_UNLISTED: Gauge "understudy_partitions_unlisted" =>
        "Partitions without lines of their own: beyond the 2000 that lag most, or all with http.partition_metrics = false";
    COPIED_RECORDS: Counter "understudy_copied_records" =>
        "Records copied and committed";
    COPIED: Counter "understudy_copied" in Bytes =>
        "Key and value bytes copied and committed";
    COMMITTED: Counter "understudy_transactions_committed" =>
        "Transactions committed";
    ABORTED: Counter "understudy_transactions_aborted" =>
        "Transactions ended without effect; read_uncommitted readers may meet their copies";
    TAKE_OVERS: Counter "understudy_take_overs" =>
        "Slots taken over";
    FENCED: Counter "understudy_fenced" =>
        "Writes that the brokers refused because the slot has a newer owner";
    GAPS_FOUND: Counter "understudy_gaps_found" =>
        "Ranges found that cannot be copied, each recorded in the gaps topic";
    COMMIT: Histogram "understudy_commit" in Seconds =>
        "From the wait for acknowledgements to the commit's answer";
    TAKE_OVER: Histogram "understudy_take_over" in Seconds =>
        "From opening a slot's clients to copying its partitions";
    BUILD: Gauge "understudy_build_info" by "version" =>
        "1, with this program's version";
}
