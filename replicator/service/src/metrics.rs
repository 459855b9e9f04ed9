//! Every metric, declared once.

use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::board::{Board, PartitionState};

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
    /// Registers everything; `board` answers for the gauges.
    pub fn register(registry: &mut Registry, board: Board) -> Self {
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
        registry.register(
            "understudy_copied_records",
            "Records copied and committed",
            metrics.records.clone(),
        );
        registry.register_with_unit(
            "understudy_copied",
            "Key and value bytes copied and committed",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        registry.register(
            "understudy_transactions_committed",
            "Transactions committed",
            metrics.commits.clone(),
        );
        registry.register(
            "understudy_transactions_aborted",
            "Transactions ended without effect; read_uncommitted readers may meet their copies",
            metrics.aborts.clone(),
        );
        registry.register(
            "understudy_take_overs",
            "Slots taken over",
            metrics.take_overs.clone(),
        );
        registry.register(
            "understudy_fenced",
            "Writes that the brokers refused because the slot has a newer owner",
            metrics.fenced.clone(),
        );
        registry.register(
            "understudy_gaps_found",
            "Ranges found that cannot be copied, each recorded in the gaps topic",
            metrics.gaps.clone(),
        );
        registry.register(
            "understudy_places_committed",
            "Places of consumer groups committed on the target",
            metrics.places.clone(),
        );
        registry.register(
            "understudy_config_changes",
            "Config keys set or deleted on the target's topics",
            metrics.config_changes.clone(),
        );
        registry.register(
            "understudy_acl_changes",
            "ACLs added to or removed from the target",
            metrics.acl_changes.clone(),
        );
        registry.register_with_unit(
            "understudy_commit",
            "From the wait for acknowledgements to the commit's answer",
            Unit::Seconds,
            metrics.commit_seconds.clone(),
        );
        registry.register_with_unit(
            "understudy_take_over",
            "From opening a slot's clients to copying its partitions",
            Unit::Seconds,
            metrics.take_over_seconds.clone(),
        );
        registry.register_collector(Box::new(Gauges(board)));
        metrics
    }
}

/// Gauges read off the board when somebody asks.
#[derive(Debug)]
struct Gauges(Board);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let ready = i64::from(self.0.reasons().is_empty());
        one(
            &mut encoder,
            "understudy_ready",
            "1 when nothing keeps this worker from copying",
            None,
            ready,
        )?;
        let warnings = self.0.warnings().len();
        let board = self.0.hold();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        one(
            &mut encoder,
            "understudy_slots",
            "Slots held by this worker",
            None,
            count(board.slots.len()),
        )?;
        for (name, help, number) in [
            (
                "understudy_warnings",
                "What somebody should look at although records flow; /status.json names each",
                warnings,
            ),
            (
                "understudy_configs_refused",
                "Config keys of source topics that the target refuses or does not know",
                board.settings.configs_refused,
            ),
            (
                "understudy_acls_withheld",
                "ACLs about writing to topics that stay away until the target is opened",
                board.settings.acls_withheld,
            ),
            (
                "understudy_acls_refused",
                "ACLs not mirrored because of what that would do to a resource; /status.json names them",
                board.settings.acls_refused,
            ),
        ] {
            one(&mut encoder, name, help, None, count(number))?;
        }
        let halted = board
            .partitions
            .values()
            .filter(|partition| partition.state == PartitionState::Halted)
            .count();
        one(
            &mut encoder,
            "understudy_partitions_halted",
            "Partitions that need somebody to look",
            None,
            count(halted),
        )?;
        let open = board
            .gaps
            .values()
            .filter(|(_, record)| record.is_open())
            .count();
        one(
            &mut encoder,
            "understudy_gaps_open",
            "Gaps in front of which a partition of this worker is halted",
            None,
            count(open),
        )?;
        let now = Instant::now();
        let mut lag = encoder.encode_descriptor(
            "understudy_lag_records",
            "Offsets that read_committed readers of the source could get and that are not copied yet",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (name, partition) in &board.partitions {
            let labels = [
                ("topic", name.topic.to_string()),
                ("partition", name.partition.to_string()),
            ];
            let value = i64::try_from(partition.lag_records()).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(lag.encode_family(&labels)?)?;
        }
        let mut age = encoder.encode_descriptor(
            "understudy_lag",
            "Upper bound for the age of the oldest record not copied yet",
            Some(&Unit::Seconds),
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (name, partition) in &board.partitions {
            let labels = [
                ("topic", name.topic.to_string()),
                ("partition", name.partition.to_string()),
            ];
            ConstGauge::new(partition.lag_seconds(now)).encode(age.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: i64,
) -> Result<(), std::fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(
        name,
        help,
        unit,
        prometheus_client::metrics::MetricType::Gauge,
    )?)
}
