//! What a recovery leaves behind: one JSON, and a page made from it.

use serde::{Deserialize, Serialize};

use crate::assessment::Assessment;
use crate::cut::Cut;
use crate::places::Places;
use crate::plan::{Plan, Wish};
use crate::tail::TailSurvey;
use crate::{Alias, Epoch, ExecutionName, Leash, LossBound, Mode, Step};

/// The version of the evidence's format.
pub const SCHEMA: u32 = 1;

/// Everything that is known of a recovery. `statemachines/contracts/evidence.schema.json` describes it for machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The version of this format.
    pub schema: u32,
    /// The execution.
    pub execution: ExecutionName,
    /// What kind of recovery it was.
    pub mode: Mode,
    /// Whether it acted.
    pub leash: Leash,
    /// Its epoch.
    pub epoch: Epoch,
    /// The cluster that was left.
    pub source: Alias,
    /// The cluster that was to become active.
    pub target: Alias,
    /// Who wanted it.
    pub wish: Wish,
    /// Where it ended: the name of the state machine's end.
    pub ended: String,
    /// Why, if it did not end well.
    pub error: Option<String>,
    /// When it was wanted, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// When the evidence was written.
    pub ended_at_ms: i64,
    /// Each step, in order.
    pub steps: Vec<StepRecord>,
    /// What was found before.
    pub assessment: Option<Assessment>,
    /// What was planned.
    pub plan: Option<Plan>,
    /// Who approved, or did not.
    pub approval: Option<ApprovalRecord>,
    /// What the cluster that came back held beyond an earlier cut, of a failback.
    #[serde(default)]
    pub tail: Option<TailSurvey>,
    /// Where the flow ended.
    pub cut: Option<Cut>,
    /// What was lost, as far as it can be known.
    pub loss: Option<LossBound>,
    /// Where groups went on.
    pub places: Option<Places>,
    /// From the wish until writers were let in, in milliseconds: the achieved RTO.
    pub opened_after_ms: Option<i64>,
    /// Since when the fence on the cluster that was left was wanted, in milliseconds since 1970: it may be an earlier
    /// recovery's, which ended half-way.
    #[serde(default)]
    pub fenced_since_ms: Option<i64>,
    /// From the wish until every application was seen at work.
    pub clients_back_after_ms: Option<i64>,
    /// What could not be known.
    pub unknown: Vec<String>,
    /// What somebody should do next.
    pub next: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub step: Step,
    /// Set apart where a step is done more than once: the wave.
    pub part: Option<u32>,
    /// Whether it was done for the cluster that came back, before any application moved: a failback fences twice and starts
    /// two flows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// When it began, in milliseconds since 1970; the first time, if it was repeated.
    pub began_at_ms: i64,
    /// When it ended, the last time.
    pub ended_at_ms: i64,
    /// How often it was tried.
    pub tries: u32,
    /// What it did, or would have done, in words.
    pub did: Vec<String>,
    /// Its error, if it failed the last time: name and text.
    pub error: Option<(String, String)>,
}

impl Evidence {
    /// For how long nobody could write, where a fence came first: from the first fence until writers were let in. That
    /// fence may be the one of a move that ended half-way and was finished by this recovery. Until then applications were
    /// at work where they were. Nothing where it was not come to, or was a drill.
    pub fn write_pause_ms(&self) -> Option<i64> {
        if self.leash.is_leashed() {
            return None;
        }
        let opened = self.started_at_ms.checked_add(self.opened_after_ms?)?;
        let fenced = |it: &&StepRecord| it.step == Step::FenceSource && !it.returned;
        let first = if self.mode == Mode::Failover {
            // Its own fence comes beside it: writers were at work until they were lost.
            self.fenced_since_ms
                .filter(|since| *since < self.started_at_ms)?
        } else {
            let own = self.steps.iter().find(fenced).map(|it| it.began_at_ms);
            own.into_iter().chain(self.fenced_since_ms).min()?
        };
        Some(opened.saturating_sub(first).max(0))
    }
}

impl StepRecord {
    /// Which part of its step it is, where there are several, in words.
    pub fn part_in_words(&self) -> Option<String> {
        if self.returned {
            return Some("on return".to_owned());
        }
        self.part.map(|wave| format!("wave {wave}"))
    }
}

/// Who approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// Whether it was approved.
    pub approved: bool,
    /// Who; `nobody` where the deadline decided.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The digest of the plan that was approved.
    pub digest: String,
    /// What was said.
    pub note: Option<String>,
}
