//! Why a run under disturbances could not be carried to its end.

use std::time::Duration;

use crate::error::LabError;

/// A run under disturbances ended before its verdict.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The lab itself failed, or a worker ended that nobody had asked to.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The system did not come back: a hang, as far as anyone watching can tell.
    #[error("waited {waited:.1?} for {what}, in vain; last seen: {seen}")]
    Stuck {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// What was there instead.
        seen: String,
    },
    /// Somebody pressed Ctrl-C, or sent SIGTERM.
    #[error("stopped on request")]
    Interrupted,
}

/// The result of a step that may be disturbed.
pub type Result<T, E = ChaosError> = std::result::Result<T, E>;
