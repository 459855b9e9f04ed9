//! The worker's page and probes.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::board::{Board, PartitionState};
use crate::config::Flow;
use crate::gaps::GapLine;

/// What the server answers from.
#[derive(Clone)]
pub struct Page {
    /// The configuration.
    pub flow: Arc<Flow>,
    /// What the worker knows.
    pub board: Board,
    /// Every metric.
    pub registry: Arc<Registry>,
}

/// The answers, by path.
pub fn router(page: Page) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .with_state(page)
}

/// `/status.json`.
#[derive(Serialize)]
struct Status {
    flow: String,
    source: End,
    target: End,
    ready: bool,
    reasons: Vec<String>,
    warnings: Vec<String>,
    slots: Vec<SlotLine>,
    partitions: Vec<PartitionLine>,
    groups: Vec<PlaceLine>,
    gaps: Vec<GapLine>,
}

#[derive(Serialize)]
struct End {
    alias: String,
    cluster_id: Option<String>,
}

#[derive(Serialize)]
struct SlotLine {
    slot: u32,
    state: &'static str,
    since_seconds: f64,
    take_over_seconds: Option<f64>,
}

#[derive(Serialize)]
struct PartitionLine {
    topic: String,
    partition: i32,
    slot: u32,
    source_offset: i64,
    target_offset: i64,
    source_end_offset: Option<i64>,
    lag_records: u64,
    lag_seconds: f64,
    state: PartitionState,
    reason: Option<String>,
}

#[derive(Serialize)]
struct PlaceLine {
    group: String,
    topic: String,
    partition: i32,
    source_offset: i64,
    target_offset: Option<i64>,
    state: &'static str,
    reason: Option<String>,
}

impl Page {
    fn status(&self) -> Status {
        let reasons = self.board.reasons();
        let warnings = self.board.warnings();
        let board = self.board.hold();
        let now = Instant::now();
        Status {
            flow: self.flow.name.to_string(),
            source: End {
                alias: self.flow.source.alias.clone(),
                cluster_id: board.source_cluster_id.clone(),
            },
            target: End {
                alias: self.flow.target.alias.clone(),
                cluster_id: board.target_cluster_id.clone(),
            },
            ready: reasons.is_empty(),
            reasons,
            warnings,
            slots: board
                .slots
                .iter()
                .map(|(slot, entry)| SlotLine {
                    slot: slot.get(),
                    state: entry.state,
                    since_seconds: now.saturating_duration_since(entry.since).as_secs_f64(),
                    take_over_seconds: entry.take_over_seconds,
                })
                .collect(),
            partitions: board
                .partitions
                .iter()
                .map(|(name, partition)| PartitionLine {
                    topic: name.topic.to_string(),
                    partition: name.partition,
                    slot: partition.slot.get(),
                    source_offset: partition.source_offset.get(),
                    target_offset: partition.target_offset.get(),
                    source_end_offset: partition.source_end_offset.map(|end| end.get()),
                    lag_records: partition.lag_records(),
                    lag_seconds: partition.lag_seconds(now),
                    state: partition.state,
                    reason: partition.reason.clone(),
                })
                .collect(),
            groups: board
                .places
                .values()
                .flatten()
                .map(|((group, partition), place)| PlaceLine {
                    group: group.to_string(),
                    topic: partition.topic.to_string(),
                    partition: partition.partition,
                    source_offset: place.source_offset.get(),
                    target_offset: place.target_offset.map(|offset| offset.get()),
                    state: place.state,
                    reason: place.reason.clone(),
                })
                .collect(),
            gaps: board
                .gaps
                .iter()
                .map(|(key, (_, record))| GapLine::new(key, record))
                .collect(),
        }
    }
}

async fn index(State(page): State<Page>) -> String {
    let status = page.status();
    let lag: u64 = status
        .partitions
        .iter()
        .map(|partition| partition.lag_records)
        .sum();
    let mut text = format!(
        "understudy {}: {} -> {}\n{}\nslots held: {}\npartitions: {}\nlag: {lag} records\n",
        status.flow,
        status.source.alias,
        status.target.alias,
        if status.ready { "ready" } else { "NOT READY" },
        status.slots.len(),
        status.partitions.len(),
    );
    for reason in &status.reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    for warning in &status.warnings {
        text.push_str(&format!("  needs a look: {warning}\n"));
    }
    text.push_str("\n/status.json  /metrics  /readyz  /healthz\n");
    text
}

async fn readyz(State(page): State<Page>) -> Response {
    let reasons = page.board.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready\n{}\n", reasons.join("\n")),
    )
        .into_response()
}

async fn metrics(State(page): State<Page>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &page.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(page): State<Page>) -> Response {
    match serde_json::to_string_pretty(&page.status()) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
