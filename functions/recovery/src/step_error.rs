//! The errors of steps: a closed set of names that state machines match.

use serde::{Deserialize, Serialize};

/// An error's name, as `ErrorEquals` matches it. A renamed one is a breaking change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorName {
    /// The request or the event cannot be understood.
    BadRequest,
    /// There is no such pair.
    UnknownPair,
    /// A newer epoch has been claimed, or this execution does not hold its own: nothing more may be done.
    StaleEpoch,
    /// Another recovery of this pair is under way.
    RecoveryInProgress,
    /// Somebody changed the ledger at the same time; try again.
    LedgerConflict,
    /// The ledger did not answer.
    LedgerUnreachable,
    /// Plans, cuts or evidence could not be stored or read.
    StoreUnreachable,
    /// The cluster to be activated did not answer.
    TargetUnreachable,
    /// The cluster to be left did not answer.
    SourceUnreachable,
    /// A cluster, or AWS, does not permit it.
    NotPermitted,
    /// The plan that was approved is not the plan that would be carried out.
    PlanChanged,
    /// The target has no such flow, or its state cannot be read.
    FlowUnreadable,
    /// Records still come in, or have not been copied.
    NotDrained,
    /// Writers could not be shut out, or it could not be proved.
    FenceUnproven,
    /// Groups do not stand where they must.
    PlacesUnverified,
    /// An application's adapter did not do it.
    ClientFailed,
    /// It took longer than it may.
    DeadlineExceeded,
    /// A defect of ours.
    Internal,
}

impl ErrorName {
    /// Every name.
    pub const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::UnknownPair,
        Self::StaleEpoch,
        Self::RecoveryInProgress,
        Self::LedgerConflict,
        Self::LedgerUnreachable,
        Self::StoreUnreachable,
        Self::TargetUnreachable,
        Self::SourceUnreachable,
        Self::NotPermitted,
        Self::PlanChanged,
        Self::FlowUnreadable,
        Self::NotDrained,
        Self::FenceUnproven,
        Self::PlacesUnverified,
        Self::ClientFailed,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::UnknownPair => "UnknownPair",
            Self::StaleEpoch => "StaleEpoch",
            Self::RecoveryInProgress => "RecoveryInProgress",
            Self::LedgerConflict => "LedgerConflict",
            Self::LedgerUnreachable => "LedgerUnreachable",
            Self::StoreUnreachable => "StoreUnreachable",
            Self::TargetUnreachable => "TargetUnreachable",
            Self::SourceUnreachable => "SourceUnreachable",
            Self::NotPermitted => "NotPermitted",
            Self::PlanChanged => "PlanChanged",
            Self::FlowUnreadable => "FlowUnreadable",
            Self::NotDrained => "NotDrained",
            Self::FenceUnproven => "FenceUnproven",
            Self::PlacesUnverified => "PlacesUnverified",
            Self::ClientFailed => "ClientFailed",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same call may succeed a little later without anybody doing anything.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::LedgerConflict
            | Self::LedgerUnreachable
            | Self::StoreUnreachable
            | Self::TargetUnreachable
            | Self::SourceUnreachable
            | Self::DeadlineExceeded => true,
            Self::BadRequest
            | Self::UnknownPair
            | Self::StaleEpoch
            | Self::RecoveryInProgress
            | Self::NotPermitted
            | Self::PlanChanged
            | Self::FlowUnreadable
            | Self::NotDrained
            | Self::FenceUnproven
            | Self::PlacesUnverified
            | Self::ClientFailed
            | Self::Internal => false,
        }
    }
}

/// Why a step did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct StepError {
    /// What state machines match.
    pub name: ErrorName,
    /// What an operator reads: what happened, to what, and what to do.
    pub text: String,
}

impl StepError {
    /// An error.
    pub fn new(name: ErrorName, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
        }
    }
}
