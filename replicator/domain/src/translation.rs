//! The answer to "where does this place lie on the other side?".

/// Where a place on one side lies on the other. `O` is the other side's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Translation<O> {
    /// The first record at or after the place is the one at this offset:
    /// resuming here re-reads nothing and skips nothing.
    Exact(O),
    /// Part of the map is lost. Resuming here may read again, but never skips.
    AtLeast(O),
    /// Replication has not reached the place yet; wait.
    Ahead,
    /// The place lies before everything the map holds; no safe answer exists.
    BeforeHistory,
    /// This partition was never replicated.
    NoSync,
    /// The map could not be read to its end; ask again.
    NotReady,
}

impl<O> Translation<O> {
    /// The variant's name as the tools print it, in kebab-case.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::AtLeast(_) => "at-least",
            Self::Ahead => "ahead",
            Self::BeforeHistory => "before-history",
            Self::NoSync => "no-sync",
            Self::NotReady => "not-ready",
        }
    }

    /// The same answer about an offset of another kind.
    pub fn map<P>(self, offset: impl FnOnce(O) -> P) -> Translation<P> {
        match self {
            Self::Exact(place) => Translation::Exact(offset(place)),
            Self::AtLeast(place) => Translation::AtLeast(offset(place)),
            Self::Ahead => Translation::Ahead,
            Self::BeforeHistory => Translation::BeforeHistory,
            Self::NoSync => Translation::NoSync,
            Self::NotReady => Translation::NotReady,
        }
    }

    /// The offset, if there is an answer.
    pub fn offset(self) -> Option<O> {
        match self {
            Self::Exact(offset) | Self::AtLeast(offset) => Some(offset),
            Self::Ahead | Self::BeforeHistory | Self::NoSync | Self::NotReady => None,
        }
    }
}
