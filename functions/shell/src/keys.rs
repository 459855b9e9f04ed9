//! Where the store keeps what steps hand to each other. Steps never use each other: these names are what they share.

use serde::{Deserialize, Serialize};

use crate::step::folder_of;

/// The order that the claim made.
pub fn order(execution: &str) -> String {
    format!("{}/order.json", folder_of(execution))
}

/// What was found before: an `Assessment`.
pub fn assessment(execution: &str) -> String {
    format!("{}/assessment.json", folder_of(execution))
}

/// What was planned: a `Plan`.
pub fn plan(execution: &str) -> String {
    format!("{}/plan.json", folder_of(execution))
}

/// What the person who wished it consents to lose, beyond the pair's own: a `Consent`. Kept with the plan; missing where
/// nothing was said.
pub fn consent(execution: &str) -> String {
    format!("{}/consent.json", folder_of(execution))
}

/// Where the flow ended: a `Cut`.
pub fn cut(execution: &str) -> String {
    format!("{}/cut.json", folder_of(execution))
}

/// What a cluster that came back holds beyond an earlier cut: a `TailSurvey`.
pub fn survey(execution: &str) -> String {
    format!("{}/tail-survey.json", folder_of(execution))
}

/// That what a cluster that came back holds is put aside, and keys of its compacted topics are being put right, or are: a
/// [`Renewed`].
pub fn renewed(execution: &str) -> String {
    format!("{}/tail-renewed.json", folder_of(execution))
}

/// Keys of compacted topics on a cluster that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// How many records were put aside.
    pub put_aside: u64,
    /// How many were merged into the topics themselves.
    #[serde(default)]
    pub merged: u64,
    /// Where partitions that were written to end since: topic, partition, offset. Nothing while it is under way.
    pub ends: Option<Vec<(String, i32, i64)>>,
}

/// How far what a cluster that came back holds was read back and put right, while that takes several turns: a `TailMarks`.
pub fn tail_marks(execution: &str) -> String {
    format!("{}/tail-marks.json", folder_of(execution))
}

/// What is lost, once the flow is sealed: a `LossBound`.
pub fn loss(execution: &str) -> String {
    format!("{}/loss.json", folder_of(execution))
}

/// Where groups were brought to: a `Places`.
pub fn places(execution: &str) -> String {
    format!("{}/places.json", folder_of(execution))
}

/// Where groups were seen to stand afterwards: a `Places`.
pub fn places_verified(execution: &str) -> String {
    format!("{}/places-verified.json", folder_of(execution))
}

/// What was last seen of a wave's applications: a `ClientsSeen`.
pub fn clients_seen(execution: &str, wave: u32) -> String {
    format!("{}/clients/{wave}.json", folder_of(execution))
}

/// How the target was opened: an `Opened`.
pub fn opened(execution: &str) -> String {
    format!("{}/opened.json", folder_of(execution))
}

/// Whether a flow was started, or why not: a `FlowStarted`.
pub fn flow_started(execution: &str) -> String {
    format!("{}/flow-started.json", folder_of(execution))
}

/// Whether a flow onto a cluster that came back was started, or why not: a `FlowStarted`.
pub fn flow_returned(execution: &str) -> String {
    format!("{}/flow-returned.json", folder_of(execution))
}

/// The question that waits for a person: a [`Waiting`].
pub fn waiting(execution: &str) -> String {
    format!("{}/approval/token.json", folder_of(execution))
}

/// The answer to the question about the plan of this digest: an `ApprovalRecord`.
pub fn answer(execution: &str, digest: &str) -> String {
    format!("{}{}.json", answers(execution), fingerprint(digest))
}

/// What the keys of all answers begin with.
pub fn answers(execution: &str) -> String {
    format!("{}/approval/answer-", folder_of(execution))
}

/// The evidence, for machines.
pub fn evidence(execution: &str) -> String {
    format!("{}/evidence.json", folder_of(execution))
}

/// The evidence, for people.
pub fn page(execution: &str) -> String {
    format!("{}/page.html", folder_of(execution))
}

/// A short name for a text, whatever letters it holds (FNV-1a).
pub fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// A question that waits for a person. Its token is a credential: it is kept here and told to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The token of the task that waits; the newest one, if it was started again.
    pub token: String,
    /// The digest of the plan that is asked about.
    pub digest: String,
    /// What is asked.
    pub question: String,
    /// When, in milliseconds since 1970.
    pub asked_at_ms: i64,
    /// How long a person has, in seconds.
    pub deadline_seconds: u32,
    /// How many people were told; nothing while nobody was.
    #[serde(default)]
    pub told: Option<u32>,
}
