//! What a run has shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::disturbance::Kind;
use crate::check::Comparison;

/// The verdict on a run, and what it went through.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// What the disturbances were drawn from.
    pub seed: u64,
    /// How many there were to be.
    pub planned: usize,
    /// How many of each kind were survived or at least begun.
    pub disturbances: BTreeMap<Kind, usize>,
    /// What the judge found, over all rounds.
    pub found: Comparison,
    /// Records acknowledged to producers as committed.
    pub acknowledged: u64,
    /// Records that `understudy verify --deep` compared.
    pub verified: u64,
    /// Places of groups on the target that were compared with the judge's truth.
    pub places_checked: u64,
    /// Places that `understudy translate` told and that were compared.
    pub places_translated: u64,
    /// Those of both that were not the copy of the very record that the group would read next.
    pub places_wrong: u64,
    /// Topics created while something was broken.
    pub topics_created: u64,
    /// Partitions added while something was broken.
    pub partitions_grown: u64,
    /// How often a topic's configs were changed.
    pub configs_changed: u64,
    /// How often the mirror's password was changed on both clusters.
    pub rotations: u64,
    /// How often the groups committed other places.
    pub groups_moved: u64,
    /// How often a worker was refused because its slot had a newer owner.
    pub fenced: u64,
    /// How often a slot was taken over.
    pub take_overs: u64,
    /// The longest time from a disturbance until everything flowed, less the time it lasted.
    pub slowest: BTreeMap<Kind, Duration>,
    /// How long it took.
    pub duration: Duration,
    /// What the load's own producers had to say; no fault of the mirror's.
    pub notes: Vec<String>,
    /// What is wrong; empty when all promises were kept.
    pub violations: Vec<String>,
    /// Where logs and data are, kept because something is wrong.
    pub kept: Option<PathBuf>,
}

impl Outcome {
    /// Whether every promise was kept through every disturbance.
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.found.is_exact() && self.done() == self.planned
    }

    /// Disturbances begun.
    pub fn done(&self) -> usize {
        self.disturbances.values().sum()
    }

    pub(super) fn add(&mut self, found: &Comparison) {
        let whole = &mut self.found;
        whole.produced += found.produced;
        whole.copied += found.copied;
        whole.lost += found.lost;
        whole.doubled += found.doubled;
        whole.out_of_order += found.out_of_order;
        whole.altered += found.altered;
        whole.foreign += found.foreign;
        whole.aborted_copies += found.aborted_copies;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed            {}", self.seed)?;
        writeln!(f, "disturbances    {} of {}", self.done(), self.planned)?;
        for (kind, count) in &self.disturbances {
            let slowest = self.slowest.get(kind).copied().unwrap_or_default();
            let (kind, slowest) = (kind.to_string(), slowest.as_secs_f64());
            writeln!(
                f,
                "  {kind:<36} {count:>4}   slowest recovery {slowest:>5.1} s"
            )?;
        }
        let Comparison {
            produced,
            copied,
            lost,
            doubled,
            out_of_order,
            altered,
            foreign,
            aborted_copies,
        } = self.found;
        writeln!(f, "acknowledged    {}", self.acknowledged)?;
        writeln!(f, "produced        {produced}")?;
        writeln!(f, "copied          {copied}")?;
        writeln!(f, "lost            {lost}")?;
        writeln!(f, "doubled         {doubled}")?;
        writeln!(f, "out of order    {out_of_order}")?;
        writeln!(f, "altered         {altered}")?;
        writeln!(f, "foreign         {foreign}")?;
        writeln!(
            f,
            "aborted copies  {aborted_copies} (read_uncommitted readers only)"
        )?;
        writeln!(f, "verify --deep   {} compared", self.verified)?;
        writeln!(
            f,
            "places          {} on the target, {} by translate; {} wrong",
            self.places_checked, self.places_translated, self.places_wrong
        )?;
        writeln!(
            f,
            "changes         {} topics created, {} partitions added, {} times configs, {} passwords, {} times groups moved",
            self.topics_created,
            self.partitions_grown,
            self.configs_changed,
            self.rotations,
            self.groups_moved
        )?;
        writeln!(f, "take-overs      {}", self.take_overs)?;
        writeln!(
            f,
            "fenced          {} times a worker was refused",
            self.fenced
        )?;
        writeln!(f, "duration        {:.0} s", self.duration.as_secs_f64())?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION: {violation}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "logs and data are kept for a day: {}", kept.display())?;
        }
        match self.holds() {
            true => write!(f, "EXACT"),
            false => write!(f, "NOT EXACT"),
        }
    }
}
