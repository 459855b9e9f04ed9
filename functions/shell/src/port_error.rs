//! Why something outside did not do what it was asked.

use std::fmt;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortErrorKind {
    /// It did not answer.
    Unreachable,
    /// It did not answer within the time that it had; what was asked may or may not have happened.
    TimedOut,
    /// It refuses, for want of a permission.
    NotPermitted,
    /// Somebody else holds or changed it: fenced, or a condition did not hold.
    Conflict,
    /// There is no such thing.
    Missing,
    /// What it answered cannot be understood.
    Malformed,
    /// It refuses for another reason.
    Refused,
}

/// Why something outside did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortError {
    /// What kind of trouble it is.
    pub kind: PortErrorKind,
    /// What happened, to what, in an operator's words.
    pub text: String,
}

impl PortError {
    /// An error.
    pub fn new(kind: PortErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for PortError {}
