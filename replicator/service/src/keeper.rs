//! Keeps configs and ACLs on the target like the source's.
//!
//! No transaction can fence such a change, so others do:
//! a. *One worker.* Only the holder of slot 0 looks, and only while it copies.
//! b. *Fence, flow, state.* Before it changes anything, it takes the transactional id of the settings topic over, then
//!    reads the flow's record, then what was made before ([`claim::Claim`]). A flow that does not run ends it there.
//! c. *Written ahead.* What is to be made is remembered before it is made: a crash in between leaves nothing of ours
//!    that we do not know of, and so nothing of others is ever taken for ours to remove.
//! d. *Late is harmless.* A pass that was held up looks at the flow again before it goes on. What slips through is a
//!    value that the source had a moment ago, and the next pass puts it right.
//!
//! Whatever goes wrong here is a warning. Records flow on.

mod acls;
mod claim;
mod configs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use understudy_domain::{SettingsMade, Slot};
use understudy_kafka::{Cluster, Fault};

use crate::board::{Board, SettingsCounts};
use crate::catalog::{Catalog, Listing};
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record::FlowError;
use crate::metrics::Metrics;
use crate::slot::Context;
use crate::stop::Stop;
use crate::stored_state::{StateError, read_settings};

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// How often a worker looks whether it is the keeper.
const LOOK: Duration = Duration::from_millis(500);
/// The slot whose holder is the keeper.
const KEEPER_SLOT: Slot = Slot::new(0);
/// What warnings are about.
const CONFIGS: &str = "configs";
const ACLS: &str = "acls";
/// How many warnings of one kind are told one by one.
const NAMED: usize = 5;

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    /// The source.
    #[error("source")]
    Source(#[source] Fault),
    /// The target.
    #[error("target")]
    Target(#[source] Fault),
    /// The flow's record.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// What was made before cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no record of the flow.
    #[error("the flow's record is gone; configs and ACLs are left alone")]
    NoFlow,
    /// Another worker kept the settings meanwhile.
    #[error("another worker changed the settings meanwhile; looking again")]
    Stale,
}

/// Keeps the settings while its worker holds slot 0.
pub struct Keeper {
    flow: Arc<Flow>,
    catalog: Catalog,
    board: Board,
    metrics: Metrics,
    /// Whether the group lost this worker; the membership writes it.
    lost: Arc<AtomicBool>,
    source: Cluster,
    target: Cluster,
    /// What we made; `None` until it is read, and after anything went wrong.
    made: Option<SettingsMade>,
    /// Whether the target admits everyone to a resource without ACLs, or does not tell.
    open: Option<bool>,
    refused: configs::Refused,
    /// What there was to mirror at the last look.
    seen: Arc<Listing>,
}

impl Keeper {
    /// A keeper with clients of its own.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(context: &Context) -> Result<Self, Fault> {
        let flow = context.flow.clone();
        let (source, target) = (Cluster::kept(&flow.source)?, Cluster::kept(&flow.target)?);
        Ok(Self {
            flow,
            catalog: context.catalog.clone(),
            board: context.board.clone(),
            metrics: context.metrics.clone(),
            lost: Arc::clone(&context.lost),
            source,
            target,
            made: None,
            open: None,
            refused: BTreeMap::new(),
            seen: Arc::default(),
        })
    }

    /// Looks until `stop`.
    pub fn run(mut self, stop: &Stop) {
        let mut next = Instant::now();
        while !stop.is_set() {
            let left = next.saturating_duration_since(Instant::now());
            if !self.is_keeper() {
                self.resign();
                next = Instant::now();
                stop.wait(LOOK);
            } else if left.is_zero() || self.is_news() {
                next = Instant::now() + self.flow.settings.interval;
                self.look(stop);
            } else {
                stop.wait(LOOK.min(left));
            }
        }
    }

    /// a
    fn is_keeper(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
            && self
                .board
                .hold()
                .slots
                .get(&KEEPER_SLOT)
                .is_some_and(|slot| slot.state == "copying")
    }

    /// Whether there are other topics than at the last look: what a new copy was made with is remembered at once.
    fn is_news(&mut self) -> bool {
        let now = self.catalog.listing();
        let news = !Arc::ptr_eq(&now, &self.seen) && !now.topics.keys().eq(self.seen.topics.keys());
        self.seen = now;
        news
    }

    /// Forgets what only a keeper may claim to know.
    fn resign(&mut self) {
        self.made = None;
        self.open = None;
        self.refused.clear();
        self.board.hold().settings = SettingsCounts::default();
        self.board.warn(CONFIGS, Vec::new());
        self.board.warn(ACLS, Vec::new());
    }

    fn look(&mut self, stop: &Stop) {
        if self.flow.settings.configs {
            let result = self.with_made(Self::keep_configs);
            self.say(CONFIGS, result);
        }
        // Where a cluster is silent, a call takes its time; a worker that is told to stop should not make another.
        if self.flow.settings.acls && !stop.is_set() {
            let result = self.with_made(Self::keep_acls);
            self.say(ACLS, result);
        }
    }

    /// Lends what we made to one part of a look; after an error it is read again.
    fn with_made(
        &mut self,
        keep: impl FnOnce(&mut Self, &mut SettingsMade) -> Result<Vec<String>, KeepError>,
    ) -> Result<Vec<String>, KeepError> {
        let mut made = match self.made.take() {
            Some(made) => made,
            None => read_settings(&self.target, &self.flow.state)?,
        };
        let warnings = keep(self, &mut made)?;
        self.made = Some(made);
        Ok(warnings)
    }

    fn say(&self, about: &'static str, result: Result<Vec<String>, KeepError>) {
        let warnings = match result {
            Ok(warnings) => warnings,
            Err(KeepError::Stale) => {
                tracing::info!(about, "another worker changed the settings meanwhile");
                Vec::new()
            }
            Err(error) => vec![match &error {
                KeepError::Source(fault) => explain(&self.flow.source, fault),
                KeepError::Target(fault)
                | KeepError::State(StateError::Fault(fault))
                | KeepError::Flow(FlowError::Fault(fault)) => explain(&self.flow.target, fault),
                other => other.to_string(),
            }],
        };
        self.board.warn(about, warnings);
    }
}

/// The first few of many warnings, and how many more there are.
fn some_of(warnings: Vec<String>, of: &str) -> Vec<String> {
    let more = warnings.len().saturating_sub(NAMED);
    let mut some: Vec<String> = warnings.into_iter().take(NAMED).collect();
    if more > 0 {
        some.push(format!("and {more} more {of}"));
    }
    some
}
