//! The answer to "where does this place lie on the other side?".

/// Where a place on one side lies on the other. `O` is the other side's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Translation<O> {
    /// The first record at or after the place is the one at this offset:
    /// resuming here re-reads nothing and skips nothing.
    Exact(O),
    /// Replication has not reached the place yet; wait.
    Ahead,
    /// The place lies before everything the map holds; no safe answer exists.
    BeforeHistory,
    /// This partition was never replicated.
    NoSync,
}

impl<O> Translation<O> {
    /// The variant's name as the tools print it, in kebab-case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Ahead => "ahead",
            Self::BeforeHistory => "before-history",
            Self::NoSync => "no-sync",
        }
    }

    /// The offset, if there is an answer.
    pub fn offset(self) -> Option<O> {
        match self {
            Self::Exact(offset) => Some(offset),
            Self::Ahead | Self::BeforeHistory | Self::NoSync => None,
        }
    }
}
