//! Signals: kept in the ledger's table, where recoveries in both Regions read them, and published as metrics in the other
//! cluster's Region, where the alarms about a cluster live.
//!
//! Each vantage writes an item of its own, so lookers never stand in each other's way. Along with a prober's look goes
//! AWS's own word on the cluster.

use std::sync::Arc;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_sdk_dynamodb::types::AttributeValue;
use understudy_recovery::Alias;
use understudy_recovery::health::{Layer, Saw, Signal, Vantage};
use understudy_recovery::pair::Pair;
use understudy_shell::world::{Measured, Signals};
use understudy_shell::{PortError, PortErrorKind};

use crate::control_plane;
use crate::ledger::{self, DOCUMENT, KEY};
use crate::regions::Regions;

/// The namespace of our metrics.
pub const NAMESPACE: &str = "Understudy";
/// How many looks of one vantage are kept.
const KEPT: usize = 12;

/// Signals of a pair.
#[derive(Clone, Debug)]
pub struct AwsSignals {
    regions: Regions,
    pair: Arc<Pair>,
    table: String,
    ledger: aws_sdk_dynamodb::Client,
}

impl AwsSignals {
    /// Signals of a pair, kept in the ledger's table.
    pub fn new(regions: &Regions, pair: &Arc<Pair>, table: &str, region: Option<&str>) -> Self {
        Self {
            regions: regions.clone(),
            pair: Arc::clone(pair),
            table: table.to_owned(),
            ledger: ledger::client(regions.session(), region),
        }
    }

    fn key(&self, about: &Alias, vantage: Vantage) -> AttributeValue {
        let vantage = name(vantage);
        AttributeValue::S(format!("signals#{}#{about}#{vantage}", self.pair.name))
    }

    fn kept(&self, about: &Alias, vantage: Vantage) -> Result<Vec<Signal>, PortError> {
        let call = self
            .ledger
            .get_item()
            .table_name(&self.table)
            .key(KEY, self.key(about, vantage))
            .consistent_read(true)
            .send();
        let did = format!("reading signals about {about}");
        let answer = self.regions.session().call(&did, call)?;
        let document = answer
            .item()
            .and_then(|item| item.get(DOCUMENT))
            .and_then(|value| value.as_s().ok());
        document.map_or_else(
            || Ok(Vec::new()),
            |document| {
                serde_json::from_str(document).map_err(|error| {
                    PortError::new(PortErrorKind::Malformed, format!("{did}: {error}"))
                })
            },
        )
    }

    fn keep(&self, about: &Alias, signal: &Signal) -> Result<(), PortError> {
        // What cannot be read is begun anew: a look that is not kept would be worse.
        let mut kept = match self.kept(about, signal.vantage) {
            Ok(kept) => kept,
            Err(error) if error.kind == PortErrorKind::Malformed => Vec::new(),
            Err(error) => return Err(error),
        };
        kept.push(signal.clone());
        kept.sort_by_key(|signal| signal.at_ms);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
        let did = format!("keeping a signal about {about}");
        let document = serde_json::to_string(&kept)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, format!("{did}: {error}")))?;
        let call = self
            .ledger
            .put_item()
            .table_name(&self.table)
            .item(KEY, self.key(about, signal.vantage))
            .item(DOCUMENT, AttributeValue::S(document))
            .send();
        self.regions.session().call(&did, call)?;
        Ok(())
    }

    /// Puts metrics where the alarms about a cluster are: in the other one's Region.
    fn put(&self, about: &Alias, data: Vec<MetricDatum>) -> Result<(), PortError> {
        let other = self.pair.other(about).unwrap_or(about);
        let region = self.regions.of_cluster(&self.pair, other);
        let client = aws_sdk_cloudwatch::Client::new(&self.regions.config(&region));
        let call = client
            .put_metric_data()
            .namespace(NAMESPACE)
            .set_metric_data(Some(data))
            .send();
        let did = format!("publishing metrics about {about} in {region}");
        self.regions.session().call(&did, call)?;
        Ok(())
    }

    /// `CertificateDays` of a cluster, and `RecoveryOverdueSeconds` of the pair.
    fn beside(&self, about: &Alias, measured: &Measured) -> Vec<MetricDatum> {
        let of_pair = ("Pair", self.pair.name.to_string());
        let of_cluster = [
            of_pair.clone(),
            ("Cluster", about.to_string()),
            ("Vantage", name(Vantage::Standby).to_owned()),
        ];
        let datum = |metric: &str, value: i64, dimensions: &[(&str, String)]| {
            let dimensions = dimensions
                .iter()
                .map(|(name, value)| Dimension::builder().name(*name).value(value).build());
            // Days and seconds; more of them than this would be no other alarm.
            let value = i32::try_from(value).unwrap_or(i32::MAX);
            MetricDatum::builder()
                .metric_name(metric)
                .set_dimensions(Some(dimensions.collect()))
                .value(f64::from(value))
                .unit(StandardUnit::None)
                .build()
        };
        let days = measured.certificate_days;
        let overdue = measured.recovery_overdue_seconds;
        let days = days.map(|days| datum("CertificateDays", days, &of_cluster));
        let overdue = overdue.map(|late| datum("RecoveryOverdueSeconds", late, &[of_pair]));
        days.into_iter().chain(overdue).collect()
    }

    /// `ProbeSuccess` as a whole and by layer, and whether the looker's own path was proven.
    fn metrics(&self, about: &Alias, signal: &Signal) -> Vec<MetricDatum> {
        let base = [
            ("Pair", self.pair.name.to_string()),
            ("Cluster", about.to_string()),
            ("Vantage", name(signal.vantage).to_owned()),
        ];
        let datum = |metric: &str, value: bool, layer: Option<Layer>| {
            let layer = layer.map(|layer| ("Layer", layer.name().to_owned()));
            let dimensions = base
                .iter()
                .cloned()
                .chain(layer)
                .map(|(name, value)| Dimension::builder().name(name).value(value).build());
            MetricDatum::builder()
                .metric_name(metric)
                .set_dimensions(Some(dimensions.collect()))
                .timestamp(DateTime::from_millis(signal.at_ms))
                .value(if value { 1.0 } else { 0.0 })
                .unit(StandardUnit::None)
                .build()
        };
        let mut data = vec![datum("PathProven", signal.path_proven, None)];
        match &signal.saw {
            Saw::Serves => {
                data.push(datum("ProbeSuccess", true, None));
                data.extend(Layer::ALL.map(|layer| datum("ProbeSuccess", true, Some(layer))));
            }
            Saw::Fails { layer, .. } => {
                data.push(datum("ProbeSuccess", false, None));
                let reached = Layer::ALL.into_iter().filter(|it| it <= layer);
                data.extend(reached.map(|it| datum("ProbeSuccess", it != *layer, Some(it))));
            }
            // Silence is the absence of a metric.
            Saw::Silence => {}
        }
        data
    }
}

/// As keys and metrics spell it.
pub const fn name(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::Standby => "standby",
        Vantage::Active => "active",
        Vantage::ControlPlane => "control-plane",
    }
}

impl Signals for AwsSignals {
    fn publish(&self, about: &Alias, signal: &Signal) -> Result<(), PortError> {
        let beside = match signal.vantage {
            Vantage::Standby => control_plane::look(&self.regions, &self.pair, about, signal.at_ms),
            Vantage::Active | Vantage::ControlPlane => None,
        };
        // Both are tried whatever becomes of the other: alarms and recoveries read different ones.
        let mut outcome = Ok(());
        for signal in std::iter::once(signal).chain(beside.iter()) {
            let kept = self.keep(about, signal);
            let measured = self.put(about, self.metrics(about, signal));
            outcome = outcome.and(kept).and(measured);
        }
        outcome
    }

    fn measure(&self, about: &Alias, measured: &Measured) -> Result<(), PortError> {
        match self.beside(about, measured) {
            nothing if nothing.is_empty() => Ok(()),
            data => self.put(about, data),
        }
    }

    fn recent(&self, about: &Alias) -> Result<Vec<Signal>, PortError> {
        let mut signals = Vec::new();
        for vantage in Vantage::ALL {
            signals.extend(self.kept(about, vantage)?);
        }
        signals.sort_by_key(|signal| signal.at_ms);
        Ok(signals)
    }
}
