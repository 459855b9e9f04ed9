//! Whoever asks how this worker does is answered from here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::board::Board;
use crate::config::Flow;
use crate::events::Events;
use crate::history::{History, Totals};
use crate::metrics::Metrics;
use crate::view::View;

/// The board, the log's warnings and a short history, put together when somebody asks.
#[derive(Clone, Debug)]
pub struct Observer {
    flow: Arc<Flow>,
    board: Board,
    metrics: Metrics,
    events: Events,
    /// Written by the sampler, read by whoever asks; each for a moment.
    history: Arc<Mutex<History>>,
}

impl Observer {
    /// An observer without a history yet.
    pub fn new(flow: Arc<Flow>, board: Board, metrics: Metrics, events: Events) -> Self {
        Self {
            flow,
            board,
            metrics,
            events,
            history: Arc::default(),
        }
    }

    /// What is known now.
    pub fn view(&self) -> View {
        let inner = self.board.snapshot();
        let history = self
            .history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        View::of(
            &self.flow,
            &inner,
            &history,
            self.events.newest_first(),
            Instant::now(),
        )
    }

    /// What was copied since this worker started.
    pub fn totals(&self) -> Totals {
        Totals {
            records: self.metrics.records.get(),
            bytes: self.metrics.bytes.get(),
        }
    }

    /// Why the worker is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        self.board.reasons()
    }

    /// Takes one sample for the history.
    pub fn sample(&self) {
        // Only what the history is made of: groups may have a hundred thousand places.
        let partitions = self.board.hold().partitions.clone();
        let mut lags = BTreeMap::<&str, u64>::new();
        for (name, partition) in &partitions {
            let lag = lags.entry(&name.topic).or_default();
            *lag = lag.saturating_add(partition.lag_records());
        }
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sample(Instant::now(), self.totals(), &lags);
    }
}
