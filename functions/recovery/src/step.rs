//! The steps: one function each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A step of a recovery, or a function beside it. Its name is the function's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Looks at a cluster and publishes what it saw.
    ProbeHealth,
    /// Turns an alarm, a schedule or a person's wish into at most one execution.
    TriggerRecovery,
    /// Takes the epoch.
    ClaimEpoch,
    /// Looks at both sides.
    Assess,
    /// Decides what will be done, or refuses.
    PlanRecovery,
    /// Asks a person.
    RequestApproval,
    /// A person's answer.
    AnswerApproval,
    /// Shuts writers out of the cluster that is left.
    FenceSource,
    /// Undoes that.
    UnfenceSource,
    /// Fences clusters that were left once they answer again.
    KeepFences,
    /// Whether everything that the source holds has been copied.
    AwaitDrain,
    /// Stops applications.
    QuiesceClients,
    /// Ends the flow and reads the exact cut.
    SealFlow,
    /// Brings every group to its place.
    CommitGroupOffsets,
    /// Checks every group's place.
    VerifyOffsets,
    /// Lets writers in.
    OpenTarget,
    /// Moves a wave of applications.
    ReconfigureClients,
    /// Whether a wave of applications is at work.
    VerifyClients,
    /// Looks at what a cluster that came back holds beyond the cut.
    SurveyTail,
    /// Puts that aside.
    PutAsideTail,
    /// Starts a flow.
    StartFlow,
    /// Writes what happened.
    RecordEvidence,
    /// Tells people.
    Notify,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 23] = [
        Self::ProbeHealth,
        Self::TriggerRecovery,
        Self::ClaimEpoch,
        Self::Assess,
        Self::PlanRecovery,
        Self::RequestApproval,
        Self::AnswerApproval,
        Self::FenceSource,
        Self::UnfenceSource,
        Self::KeepFences,
        Self::AwaitDrain,
        Self::QuiesceClients,
        Self::SealFlow,
        Self::CommitGroupOffsets,
        Self::VerifyOffsets,
        Self::OpenTarget,
        Self::ReconfigureClients,
        Self::VerifyClients,
        Self::SurveyTail,
        Self::PutAsideTail,
        Self::StartFlow,
        Self::RecordEvidence,
        Self::Notify,
    ];

    /// The function's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProbeHealth => "probe-health",
            Self::TriggerRecovery => "trigger-recovery",
            Self::ClaimEpoch => "claim-epoch",
            Self::Assess => "assess",
            Self::PlanRecovery => "plan-recovery",
            Self::RequestApproval => "request-approval",
            Self::AnswerApproval => "answer-approval",
            Self::FenceSource => "fence-source",
            Self::UnfenceSource => "unfence-source",
            Self::KeepFences => "keep-fences",
            Self::AwaitDrain => "await-drain",
            Self::QuiesceClients => "quiesce-clients",
            Self::SealFlow => "seal-flow",
            Self::CommitGroupOffsets => "commit-group-offsets",
            Self::VerifyOffsets => "verify-offsets",
            Self::OpenTarget => "open-target",
            Self::ReconfigureClients => "reconfigure-clients",
            Self::VerifyClients => "verify-clients",
            Self::SurveyTail => "survey-tail",
            Self::PutAsideTail => "put-aside-tail",
            Self::StartFlow => "start-flow",
            Self::RecordEvidence => "record-evidence",
            Self::Notify => "notify",
        }
    }

    /// The step of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
