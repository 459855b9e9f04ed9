//! Gauges, read off what is known when somebody asks.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use understudy_domain::{PlaceState, Verdict};

use crate::board::PartitionState;
use crate::metric_table::{self as table, Metric};
use crate::observer::Observer;
use crate::view::{PartitionLine, View};

/// How many partitions have lines of their own: a bound for whoever stores them.
const PARTITIONS: usize = 2000;

/// The gauges of one worker.
#[derive(Debug)]
pub struct Gauges {
    /// What is known.
    pub observer: Observer,
    /// Whether partitions have lines of their own.
    pub by_partition: bool,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let view = self.observer.view();
        let out = &mut encoder;
        whole(out, &view)?;
        states(out, &view)?;
        let mut listed: Vec<&PartitionLine> = Vec::new();
        if self.by_partition {
            listed.extend(&view.partitions);
            if listed.len() > PARTITIONS {
                listed.sort_by_key(|line| std::cmp::Reverse(line.lag_records));
                listed.truncate(PARTITIONS);
            }
        }
        one(
            out,
            &table::PARTITIONS_UNLISTED,
            number(view.partitions.len() - listed.len()),
        )?;
        by_partition(out, &table::LAG_RECORDS, &listed, |line| {
            Some(i64::try_from(line.lag_records).unwrap_or(i64::MAX))
        })?;
        by_partition(out, &table::LAG, &listed, |line| Some(line.lag_seconds))?;
        by_partition(out, &table::PARTITION_OPEN_TRANSACTION, &listed, |line| {
            (line.open_transaction_seconds > 0.0).then_some(line.open_transaction_seconds)
        })
    }
}

/// One value for the whole worker.
fn whole(out: &mut DescriptorEncoder<'_>, view: &View) -> Result<(), Error> {
    let readiness = &view.readiness;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    one(out, &table::READY, i64::from(view.ready))?;
    if let Some(seconds) = readiness.lost_seconds_at_most {
        one(out, &table::RECOVERY_POINT, seconds)?;
    }
    if let Some(seconds) = readiness.source_seen_seconds {
        one(out, &table::SOURCE_SEEN, seconds)?;
    }
    one(out, &table::WORKER_LAG, count(view.lag_records))?;
    one(out, &table::OPEN_TRANSACTION, view.open_transaction_seconds)?;
    one(out, &table::MISSING, count(readiness.missing_records))?;
    one(out, &table::GAPS_OPEN, number(view.open_gaps()))?;
    one(out, &table::WARNINGS, number(view.warnings.len()))?;
    let settings = &view.settings;
    one(
        out,
        &table::CONFIGS_REFUSED,
        number(settings.configs_refused),
    )?;
    one(out, &table::ACLS_WITHHELD, number(settings.acls_withheld))?;
    one(out, &table::ACLS_REFUSED, number(settings.acls_refused))?;
    one(out, &table::SLOTS, number(view.slots.len()))?;
    one(out, &table::SLOTS_CONFIGURED, i64::from(view.slots_total))?;
    let halted = view.partitions_in(PartitionState::Halted);
    one(out, &table::PARTITIONS_HALTED, number(halted))
}

/// One value for each state that something can be in.
fn states(out: &mut DescriptorEncoder<'_>, view: &View) -> Result<(), Error> {
    let verdict = view.readiness.verdict;
    let verdicts = Verdict::ALL.map(|one| (one.name(), i64::from(one == verdict)));
    each(out, &table::READINESS, "verdict", &verdicts)?;
    let places = PlaceState::ALL.map(|state| (state.name(), number(view.places_in(state))));
    each(out, &table::GROUP_PLACES, "state", &places)?;
    let partitions = PartitionState::ALL.map(|state| {
        let count = number(view.partitions_in(state));
        (state.name(), count)
    });
    each(out, &table::PARTITIONS, "state", &partitions)?;
    each(out, &table::BUILD, "version", &[(view.version, 1)])
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn one(
    out: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    value: impl EncodeGaugeValue,
) -> Result<(), Error> {
    let unit = metric.unit.map(|unit| unit.unit());
    ConstGauge::new(value).encode(out.encode_descriptor(
        metric.name,
        metric.help,
        unit,
        metric.kind.exposed(),
    )?)
}

fn each(
    out: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    label: &str,
    values: &[(&str, i64)],
) -> Result<(), Error> {
    let unit = metric.unit.map(|unit| unit.unit());
    let mut family =
        out.encode_descriptor(metric.name, metric.help, unit, metric.kind.exposed())?;
    for (state, value) in values {
        ConstGauge::new(*value).encode(family.encode_family(&[(label, *state)])?)?;
    }
    Ok(())
}

fn by_partition<V: EncodeGaugeValue>(
    out: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    lines: &[&PartitionLine],
    value: impl Fn(&PartitionLine) -> Option<V>,
) -> Result<(), Error> {
    let unit = metric.unit.map(|unit| unit.unit());
    let mut family =
        out.encode_descriptor(metric.name, metric.help, unit, metric.kind.exposed())?;
    for line in lines {
        let labels = [
            ("topic", line.topic.clone()),
            ("partition", line.partition.to_string()),
        ];
        if let Some(value) = value(line) {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
