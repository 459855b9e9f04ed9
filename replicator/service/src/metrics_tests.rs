use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::registry::Registry;

use super::*;
use crate::board::Board;
use crate::events::Events;
use crate::metric_table::ALL;
use crate::metrics::Metrics;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What `/metrics` would say.
fn exposed(by_partition: bool) -> Result<String, Box<dyn std::error::Error>> {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let board = Board::default();
    crate::page::tests::fill(&board);
    let flow = Arc::new(crate::page::tests::flow()?);
    let observer = Observer::new(flow, board, metrics, Events::default());
    registry.register_collector(Box::new(Gauges {
        observer,
        by_partition,
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Name with its unit, without the counter's suffix.
fn name(metric: &Metric) -> String {
    match metric.unit {
        None => metric.name.to_owned(),
        Some(unit) => format!("{}_{}", metric.name, unit.unit().as_str()),
    }
}

#[test]
fn what_is_declared_is_what_is_exposed() -> Outcome {
    let text = exposed(true)?;
    let found: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(str::to_owned)
        .collect();
    let declared: BTreeSet<String> = ALL
        .iter()
        .map(|metric| format!("{} {}", name(metric), metric.kind.name()))
        .collect();
    assert_eq!(found, declared);
    for metric in ALL {
        let full = name(metric);
        for label in metric.labels {
            let has = |line: &str| line.starts_with(&full) && line.contains(&format!("{label}=\""));
            assert!(text.lines().any(has), "{full} has no label {label}\n{text}");
        }
    }
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    Ok(())
}

#[test]
fn partitions_can_be_left_out() -> Outcome {
    let text = exposed(false)?;
    assert!(!text.contains("partition=\""), "{text}");
    assert!(text.contains("understudy_partitions_unlisted 4"), "{text}");
    assert!(exposed(true)?.contains("partition=\""));
    Ok(())
}

fn docs(name: &str) -> PathBuf {
    // From the package's folder, where tests run: a path that is compiled in may be that of another clone.
    Path::new("../../docs").join(name)
}

fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\nMade from the tables in `replicator/service/src/metric_table.rs` and `emf.rs`; a test keeps it true.\n\n\
         ## Prometheus\n\n`/metrics` speaks OpenMetrics. A worker speaks for the slots that it holds: add up over a flow's \
         workers, or take the worst. Lines for each partition are left out with `partition_metrics = false` under `[http]`. \
         Records are counted by offsets.\n\n| name | kind | labels | says |\n|---|---|---|---|\n",
    );
    for metric in ALL {
        let suffix = if metric.kind.name() == "counter" {
            "_total"
        } else {
            ""
        };
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        text.push_str(&format!(
            "| `{}{suffix}` | {} | {} | {} |\n",
            name(metric),
            metric.kind.name(),
            labels.join(", "),
            metric.help
        ));
    }
    text.push_str(
        "\nA dashboard for Grafana lies in [grafana/understudy.json](grafana/understudy.json).\n\n## CloudWatch\n\n\
         With `emf = true` under `[metrics]`, one line a minute goes to standard output in the embedded metric format: \
         namespace `Understudy`, dimension `flow`; with `pair = \"orders\"` beside it, dimensions `pair` and `flow`, for \
         accounts whose pairs have flows of one name. What is not known is left out, so that an alarm can treat it as \
         missing.\n\n| name | unit | says |\n|---|---|---|\n",
    );
    for (name, unit, help) in crate::emf::METRICS {
        text.push_str(&format!("| `{name}` | {unit} | {help} |\n"));
    }
    text
}

#[test]
fn the_document_is_what_is_declared() -> Outcome {
    let path = docs("metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, document())?;
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == document(),
        "docs/metrics.md is not what is declared; make it anew: UPDATE_DOCS=1 cargo test -p understudy the_document"
    );
    Ok(())
}

#[test]
fn the_dashboard_uses_metrics_that_exist() -> Outcome {
    let text = std::fs::read_to_string(docs("grafana/understudy.json"))?;
    let _parsed: serde_json::Value = serde_json::from_str(&text)?;
    let known: BTreeSet<String> = ALL
        .iter()
        .flat_map(|metric| match metric.kind.name() {
            "counter" => vec![format!("{}_total", name(metric))],
            "histogram" => ["bucket", "sum", "count"]
                .map(|part| format!("{}_{part}", name(metric)))
                .to_vec(),
            _ => vec![name(metric)],
        })
        .collect();
    let used: BTreeSet<String> = regex::Regex::new("understudy_[a-z_]+")?
        .find_iter(&text)
        .map(|found| found.as_str().to_owned())
        .collect();
    assert!(used.len() > 10, "{used:?}");
    let strangers: Vec<_> = used.difference(&known).collect();
    assert!(strangers.is_empty(), "no such metrics: {strangers:?}");
    Ok(())
}
