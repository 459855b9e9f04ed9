//! What each step is asked and what it answers: the JSON between state machines and functions.
//!
//! Payloads stay small: plans, cuts and places travel as keys of the store. A request's unknown fields are refused, a
//! response's fields are only ever added to. `statemachines/contracts/` holds an example of each, which is tested here,
//! against the state machines, and against the deployment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::health::{Health, Saw, Vantage};
use crate::places::PlacesSummary;
use crate::plan::{Decision, Wave, Wish};
use crate::{Alias, Consent, Epoch, ExecutionName, Leash, LossBound, Mode, PairName};

/// A key under which the store keeps something larger.
pub type StoreKey = String;

/// What an execution is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The pair.
    pub pair: PairName,
    /// The execution's own name.
    pub execution: ExecutionName,
    /// What kind of recovery it is.
    pub mode: Mode,
    /// Whether it acts.
    #[serde(default)]
    pub leash: Leash,
    /// Who wants it.
    pub wish: Wish,
    /// When, in milliseconds since 1970.
    pub wished_at_ms: i64,
    /// What this person consents to lose, beyond the pair's own consent.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// Take over from a recovery that is under way.
    #[serde(default)]
    pub supersede: bool,
    /// Of a failback: only let the cluster that came back stand by again; applications stay where they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby_only: bool,
}

/// What every step after the claim is told, whatever it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The pair.
    pub pair: PairName,
    /// The execution.
    pub execution: ExecutionName,
    /// Its epoch; a stale one is refused.
    pub epoch: Epoch,
    /// What kind of recovery it is.
    pub mode: Mode,
    /// Whether it acts.
    pub leash: Leash,
    /// The cluster that is left.
    pub source: Alias,
    /// The cluster that becomes active.
    pub target: Alias,
    /// Whether a fence was on the cluster that is left before this recovery began: one that ended in the middle left it,
    /// and may have stopped consumers behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found_fenced: bool,
    /// Whether an earlier recovery has sealed the flow on this very way: it is finished, and nothing before its seal is
    /// done again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
}

/// A request that holds an order and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JustOrder {
    /// The order.
    pub order: Order,
}

/// `claim-epoch` is asked with what the execution was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The execution's input.
    pub start: Start,
}

/// The claim's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// What every later step is told.
    pub order: Order,
}

/// `assess` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessed {
    /// The [`crate::assessment::Assessment`].
    pub assessment: StoreKey,
    /// The cluster to be left.
    pub source_health: Health,
    /// The cluster to be activated.
    pub target_health: Health,
    /// Whether the target can take over.
    pub target_is_fit: bool,
    /// What a recovery now would lose.
    pub loss: LossBound,
    /// What could not be found out, and what is in the way.
    pub reasons: Vec<String>,
}

/// `plan-recovery` is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The order.
    pub order: Order,
    /// What was assessed.
    pub assessment: StoreKey,
    /// Who wants it.
    pub wish: Wish,
    /// What that person consents to lose.
    #[serde(default)]
    pub consent: Option<Consent>,
}

/// `plan-recovery` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The [`crate::plan::Plan`].
    pub plan: StoreKey,
    /// Its digest.
    pub digest: String,
    /// Proceed, ask, or refuse.
    #[serde(flatten)]
    pub decision: Decision,
    /// Applications, in the order in which they move.
    pub waves: Vec<Wave>,
    /// How long a person has to answer, in seconds.
    pub deadline_seconds: u32,
}

/// `request-approval` is asked; it answers at once, and the task waits for its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The order.
    pub order: Order,
    /// The task's token: a credential, kept in the store and told to nobody.
    pub token: String,
    /// What is asked.
    pub question: String,
    /// The plan's digest.
    pub digest: String,
    /// How long a person has, in seconds.
    pub deadline_seconds: u32,
}

/// `request-approval` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// How many people were told.
    pub told: u32,
    /// Set where the very same plan was answered before, so that nobody is asked again.
    pub answered: Option<Approved>,
}

/// What the waiting task is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// Whether it may go on.
    pub approved: bool,
    /// Who said so.
    pub by: String,
    /// What else was said.
    #[serde(default)]
    pub note: Option<String>,
}

/// `answer-approval` is asked by a person's tool, or with `by = "nobody"` by the machine when the deadline has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The execution that waits.
    pub execution: ExecutionName,
    /// The digest of the plan that the person saw; nothing where the deadline decides by the pair's rule.
    #[serde(default)]
    pub digest: Option<String>,
    /// The answer; nothing where the deadline decides.
    #[serde(default)]
    pub approve: Option<bool>,
    /// Who.
    pub by: String,
    /// What else is said.
    #[serde(default)]
    pub note: Option<String>,
}

/// `fence-source` is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FenceRequest {
    /// The order.
    pub order: Order,
    /// Whether a fence that cannot be set or proved is an error (`FenceUnproven`, `SourceUnreachable`), or an answer and
    /// something to be tried again.
    pub required: bool,
    /// Whether it is the order's target that is fenced: a cluster that came back, onto which nobody but the flow may write
    /// until it is active again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
}

/// `fence-source` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Whether its ACLs are set.
    pub set: bool,
    /// Whether a write was refused and every end stands.
    pub proven: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// `keep-fences` is asked, by a schedule: about whatever the ledger wants fenced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepFencesRequest {
    /// The pair, to be sure.
    pub pair: PairName,
}

/// `keep-fences` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencesKept {
    /// The clusters that were left and whose fence was not proven before, and how it stands now.
    pub fences: BTreeMap<Alias, Fenced>,
}

/// `survey-tail` answers; asked again where it has to be waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailSurveyed {
    /// The [`crate::tail::TailSurvey`].
    pub survey: StoreKey,
    /// Committed records that only the cluster that came back holds; at least so many, where not all could be counted.
    pub records: u64,
    /// Offsets that there was no time to read: at most so many records come on top.
    #[serde(default)]
    pub uncounted: u64,
    /// What follows.
    pub decision: TailDecision,
    /// Why, where it is not to go on.
    pub reason: Option<String>,
}

/// What follows from a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TailDecision {
    /// What is to be put aside is, and the flow back begins.
    Proceed,
    /// The flow back runs already: there is no tail that nobody saw.
    Runs,
    /// It settles by itself.
    Wait,
    /// A person has to choose.
    Refuse,
}

/// `put-aside-tail` answers; asked again until it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailPutAside {
    /// Topics of the cluster that came back whose tail was put aside, or merged.
    pub topics: u32,
    /// Records that are put aside, by this call and those before.
    pub records: u64,
    /// Records that are merged into the topics themselves.
    #[serde(default)]
    pub merged: u64,
    /// Whether that is all of them, and what was put aside was read back. Otherwise the next call goes on.
    pub done: bool,
}

/// `unfence-source` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfenced {
    /// How many ACLs were removed.
    pub removed: u32,
}

/// `await-drain` answers; asked again until it is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Whether everything that the source holds has been copied, and nothing more comes.
    pub drained: bool,
    /// Partitions that are not there yet.
    pub partitions_left: u32,
    /// Records that are not copied yet.
    pub lag_records: u64,
    /// A partition that holds something and that the flow has not begun with, if there is one: it may never do.
    pub not_begun: Option<String>,
}

/// `quiesce-clients` and `reconfigure-clients` and `verify-clients` are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveRequest {
    /// The order.
    pub order: Order,
    /// The plan.
    pub plan: StoreKey,
    /// Which wave; nothing: all consumers (quiesce).
    #[serde(default)]
    pub wave: Option<u32>,
}

/// `quiesce-clients` answers; asked again until it is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiesced {
    /// Whether nobody is in the applications' groups on the source any more.
    pub quiesced: bool,
    /// Groups that somebody is in.
    pub live_groups: Vec<String>,
}

/// `seal-flow` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sealed {
    /// The [`crate::cut::Cut`].
    pub cut: StoreKey,
    /// How many partitions it has.
    pub partitions: u32,
    /// What is lost, as far as it can be known.
    pub loss: LossBound,
    /// Whether the loss is within the consent.
    pub within_consent: bool,
    /// What is asked of a person if it is not, with the numbers.
    pub question: Option<String>,
}

/// `commit-group-offsets` and `verify-offsets` are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacesRequest {
    /// The order.
    pub order: Order,
    /// The cut.
    pub cut: StoreKey,
    /// The places that were committed; nothing before that.
    #[serde(default)]
    pub places: Option<StoreKey>,
}

/// `commit-group-offsets` and `verify-offsets` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The [`crate::places::Places`].
    pub places: StoreKey,
    /// Counted.
    pub summary: PlacesSummary,
}

/// `open-target` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// ACLs of an older fence that were removed.
    pub fences_lifted: u32,
    /// Writing that mirroring had withheld and that is granted now.
    pub writes_granted: u32,
    /// Why it is not known what mirroring had withheld: then a person lets writers in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_unknown: Option<String>,
    /// Whether the target was the active cluster already: an earlier recovery, or an earlier try, had opened it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_active: bool,
}

/// `reconfigure-clients` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfigured {
    /// Applications that were moved.
    pub moved: Vec<String>,
    /// Applications that could not be moved, and why; a person must.
    pub failed: Vec<ClientTrouble>,
}

/// `verify-clients` answers; asked again until everybody is back, or for long enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsSeen {
    /// Whether every application of the wave is at work.
    pub all_back: bool,
    /// Applications at work.
    pub back: Vec<String>,
    /// Applications that are not, and what was seen of them.
    pub waiting: Vec<ClientTrouble>,
}

/// An application and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTrouble {
    /// The application.
    pub application: String,
    /// In words.
    pub reason: String,
}

/// `start-flow` is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowRequest {
    /// The order.
    pub order: Order,
    /// Which flow.
    pub direction: Direction,
}

/// Which flow, as a recovery sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the cluster that is left to the one that becomes active.
    Forward,
    /// Back.
    Reverse,
    /// Forward, onto a cluster that came back: it begins at the cut of the flow that once came from there, behind what was
    /// surveyed.
    Return,
}

/// `start-flow` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStarted {
    /// The flow.
    pub flow: String,
    /// Whether its workers were told to run.
    pub started: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// `record-evidence` is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRequest {
    /// The execution's input; the claim may have failed.
    pub start: Start,
    /// The name of the end: `TargetActive`, `StandbyReady`, `SourceStillActive`, `OperatorNeeded`, `Superseded`, `DrillDone`.
    pub ended: String,
    /// The error that led there: Step Functions' own words, `Error` and `Cause`.
    #[serde(default)]
    pub error: Option<serde_json::Value>,
}

/// `record-evidence` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The JSON.
    pub evidence: StoreKey,
    /// The page.
    pub page: StoreKey,
}

/// `notify` is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyRequest {
    /// The pair.
    pub pair: PairName,
    /// The execution.
    pub execution: ExecutionName,
    /// One line.
    pub subject: String,
    /// The rest.
    pub text: String,
}

/// `notify` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// How many were told.
    pub told: u32,
}

/// `probe-health` is asked, by a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// The cluster to be looked at.
    pub about: Alias,
    /// From where this function looks.
    pub vantage: Vantage,
}

/// `probe-health` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The cluster.
    pub about: Alias,
    /// What was seen of it.
    pub saw: Saw,
    /// Whether anything else answered the looker.
    pub path_proven: bool,
}

/// `trigger-recovery` answers. It is asked with any of the events that it understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// What became of it.
    pub outcome: TriggerOutcome,
    /// The execution: the one that was started, or the one that is under way.
    pub execution: Option<ExecutionName>,
    /// Why, in an operator's words.
    pub reason: String,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerOutcome {
    /// It asks for nothing.
    Ignored,
    /// It asks for what may not be done now.
    Refused,
    /// People were told, and nothing was started.
    Told,
    /// A recovery is under way already.
    UnderWay,
    /// A recovery was started.
    Started,
}
