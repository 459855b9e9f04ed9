//! Where groups go on, and what becomes of those that are already there.

use serde::{Deserialize, Serialize};

/// Every group's places on the target, and how they came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// One a group and partition.
    pub places: Vec<GroupPlace>,
}

/// One group's place in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlace {
    /// The group.
    pub group: String,
    /// The topic on the target.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// As last committed on the source, where that is known.
    pub source_offset: Option<i64>,
    /// Where it stands on the target, or is to stand.
    pub target_offset: Option<i64>,
    /// How it stands.
    pub state: PlaceIs,
    /// How many records it will read again, where that is known and not 0.
    pub reread_records: Option<u64>,
    /// Why it is no better.
    pub reason: Option<String>,
}

/// How a group stands on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceIs {
    /// On the copy of the very record that it would read next.
    Exact,
    /// It had read beyond the cut: it stands at the end of the copies, reads nothing again, and what it had read beyond
    /// is lost with the source.
    AtCut,
    /// Where a worker brought it; exact then. Since then the source, or the offset map, does not tell: what the group
    /// read meanwhile is read again, and nobody can say how much that is.
    LastKnown,
    /// Before it: some records are read again, none is skipped.
    AtLeast,
    /// Somebody is in the group on the target: its place is its own.
    Live,
    /// No place is known; the group will do what its `auto.offset.reset` says.
    Unknown,
    /// Beyond the record to be read next: something would be skipped. A defect, or somebody moved it.
    Beyond,
}

impl PlaceIs {
    /// Every state, from best to worst.
    pub const ALL: [Self; 7] = [
        Self::Exact,
        Self::AtCut,
        Self::LastKnown,
        Self::AtLeast,
        Self::Live,
        Self::Unknown,
        Self::Beyond,
    ];

    /// Its name, as machines read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::AtCut => "at-cut",
            Self::LastKnown => "last-known",
            Self::AtLeast => "at-least",
            Self::Live => "live",
            Self::Unknown => "unknown",
            Self::Beyond => "beyond",
        }
    }
}

/// Counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacesSummary {
    /// Groups.
    pub groups: u64,
    /// Places that are exact or at the cut: nothing is read again.
    pub exact: u64,
    /// Places as the workers left them, because the source or the offset map did not tell.
    #[serde(default)]
    pub last_known: u64,
    /// Places from which records are read again.
    pub at_least: u64,
    /// Places of groups that are live on the target.
    pub live: u64,
    /// Places that are not known.
    pub unknown: u64,
    /// Places that would skip.
    pub beyond: u64,
    /// How many records are read again together, as far as known.
    pub reread_records: u64,
}

impl Places {
    /// Counts.
    pub fn summary(&self) -> PlacesSummary {
        let mut summary = PlacesSummary::default();
        let groups: std::collections::BTreeSet<&str> =
            self.places.iter().map(|it| it.group.as_str()).collect();
        summary.groups = u64::try_from(groups.len()).unwrap_or(u64::MAX);
        for place in &self.places {
            let count = match place.state {
                PlaceIs::Exact | PlaceIs::AtCut => &mut summary.exact,
                PlaceIs::LastKnown => &mut summary.last_known,
                PlaceIs::AtLeast => &mut summary.at_least,
                PlaceIs::Live => &mut summary.live,
                PlaceIs::Unknown => &mut summary.unknown,
                PlaceIs::Beyond => &mut summary.beyond,
            };
            *count = count.saturating_add(1);
            summary.reread_records = summary
                .reread_records
                .saturating_add(place.reread_records.unwrap_or(0));
        }
        summary
    }
}
