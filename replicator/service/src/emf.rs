//! CloudWatch's embedded metric format: one line a minute on standard output, where the log driver picks it up.
//!
//! Few metrics, for the whole worker, because each is paid for; the dimension is the flow, so that alarms add up its
//! workers, and the pair before it if the worker was told which. What is not known is left out rather than written as 0: an alarm treats missing data as it is told to.

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};
use understudy_domain::{PlaceState, Verdict};

use crate::board::PartitionState;
use crate::history::Totals;
use crate::observer::Observer;
use crate::stop::Stop;
use crate::view::View;

/// How often.
const EVERY: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "Understudy";

/// Name, unit as CloudWatch spells it, and a sentence.
pub const METRICS: &[(&str, &str, &str)] = &[
    ("LagRecords", "Count", "Offsets not copied yet"),
    (
        "RecoveryPointSeconds",
        "Seconds",
        "Nothing written longer ago than this would be lost now; missing when nothing bounds it",
    ),
    (
        "SourceSeenSeconds",
        "Seconds",
        "How long ago the source showed its ends; missing while it never did",
    ),
    (
        "OpenTransactionSeconds",
        "Seconds",
        "How long an open transaction on the source has held copies back",
    ),
    (
        "FailoverPossible",
        "None",
        "1 when the readiness verdict is ready or degraded, 0 when it is not-ready; missing when it is unknown",
    ),
    ("SlotsHeld", "Count", "Slots held by this worker"),
    (
        "PartitionsHalted",
        "Count",
        "Partitions that need somebody to look",
    ),
    ("GapsOpen", "Count", "Gaps that nobody has dealt with"),
    (
        "GroupPlacesUnknown",
        "Count",
        "Places of consumer groups that are not known",
    ),
    (
        "RecordsCopied",
        "Count",
        "Records copied and committed within the minute",
    ),
    (
        "BytesCopied",
        "Bytes",
        "Key and value bytes copied and committed within the minute",
    ),
];

/// Writes until `stop`.
pub fn run(observer: &Observer, pair: Option<&str>, stop: &Stop) {
    let mut before = observer.totals();
    while !stop.is_set() {
        stop.wait(EVERY);
        let (view, totals) = (observer.view(), observer.totals());
        let line = line(&view, pair, before, totals);
        before = totals;
        // Nobody may be reading it any more; mirroring does not depend on it.
        let mut out = std::io::stdout().lock();
        drop(writeln!(out, "{line}").and_then(|()| out.flush()));
    }
}

/// One document.
pub fn line(view: &View, pair: Option<&str>, before: Totals, now: Totals) -> Value {
    let mut root = Map::new();
    let mut named = Vec::new();
    for (name, unit, _) in METRICS {
        let Some(value) = value(name, view, before, now) else {
            continue;
        };
        named.push(json!({ "Name": name, "Unit": unit }));
        root.insert((*name).to_owned(), value);
    }
    root.insert("flow".to_owned(), json!(view.flow));
    let dimensions = match pair {
        Some(pair) => {
            root.insert("pair".to_owned(), json!(pair));
            json!([["pair", "flow"]])
        }
        None => json!([["flow"]]),
    };
    root.insert("verdict".to_owned(), json!(view.readiness.verdict.name()));
    let directive = json!({
        "Namespace": NAMESPACE,
        "Dimensions": dimensions,
        "Metrics": named,
    });
    root.insert(
        "_aws".to_owned(),
        json!({ "Timestamp": view.at_ms, "CloudWatchMetrics": [directive] }),
    );
    Value::Object(root)
}

fn value(name: &str, view: &View, before: Totals, now: Totals) -> Option<Value> {
    let readiness = &view.readiness;
    match name {
        "LagRecords" => Some(json!(view.lag_records)),
        "RecoveryPointSeconds" => readiness.lost_seconds_at_most.map(|it| json!(it)),
        "SourceSeenSeconds" => readiness.source_seen_seconds.map(|it| json!(it)),
        "OpenTransactionSeconds" => Some(json!(view.open_transaction_seconds)),
        "FailoverPossible" => match readiness.verdict {
            Verdict::Ready | Verdict::Degraded => Some(json!(1)),
            Verdict::NotReady => Some(json!(0)),
            Verdict::Unknown => None,
        },
        "SlotsHeld" => Some(json!(view.slots.len())),
        "PartitionsHalted" => Some(json!(view.partitions_in(PartitionState::Halted))),
        "GapsOpen" => Some(json!(view.open_gaps())),
        "GroupPlacesUnknown" => Some(json!(view.places_in(PlaceState::Unknown))),
        "RecordsCopied" => Some(json!(now.records.saturating_sub(before.records))),
        "BytesCopied" => Some(json!(now.bytes.saturating_sub(before.bytes))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::{caught_up, silent};

    #[test]
    fn a_line_is_what_the_specification_asks_for() -> Result<(), Box<dyn std::error::Error>> {
        const UNITS: &[&str] = &["Seconds", "Bytes", "Count", "None"];
        for (view, pair) in [(caught_up(), None), (silent(), Some("orders"))] {
            let totals = |records| Totals { records, bytes: 7 };
            let text = line(&view, pair, totals(100), totals(340)).to_string();
            assert!(!text.contains('\n') && text.len() < 256 * 1024);
            let root: Value = serde_json::from_str(&text)?;
            let aws = root.get("_aws").ok_or("no metadata")?;
            assert!(
                aws["Timestamp"]
                    .as_i64()
                    .is_some_and(|at| at > 1_600_000_000_000)
            );
            let directives = aws["CloudWatchMetrics"].as_array().ok_or("no directives")?;
            assert_eq!(directives.len(), 1);
            for directive in directives {
                assert_eq!(directive["Namespace"], "Understudy");
                for set in directive["Dimensions"].as_array().ok_or("no dimensions")? {
                    let set = set.as_array().ok_or("a dimension set is an array")?;
                    assert!(set.len() <= 30);
                    for dimension in set {
                        // Each dimension's target is a string member of the root.
                        let target = root.get(dimension.as_str().ok_or("a name")?);
                        assert!(target.is_some_and(Value::is_string));
                    }
                }
                let metrics = directive["Metrics"].as_array().ok_or("no metrics")?;
                assert!(!metrics.is_empty() && metrics.len() <= 100);
                for metric in metrics {
                    let name = metric["Name"].as_str().ok_or("a name")?;
                    assert!(root.get(name).is_some_and(Value::is_number), "{name}");
                    assert!(UNITS.contains(&metric["Unit"].as_str().unwrap_or_default()));
                    let members = metric.as_object().map_or(0, Map::len);
                    assert_eq!(members, 2, "the specification allows no others");
                }
            }
            assert_eq!(root.get("RecordsCopied"), Some(&json!(240)));
            assert_eq!(root.get("pair").and_then(Value::as_str), pair);
        }
        let line = line(&silent(), None, Totals::default(), Totals::default());
        assert_eq!(line.get("FailoverPossible"), None, "unknown is not 0");
        let all = crate::emf::line(&caught_up(), None, Totals::default(), Totals::default());
        for (name, _, _) in METRICS {
            assert!(
                all.get(*name).is_some(),
                "{name} is declared but never written"
            );
        }
        Ok(())
    }
}
