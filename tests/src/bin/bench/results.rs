//! Everything that was measured.

use serde::Serialize;

use crate::codec::Codec;
use crate::copy::{self, CopyRun};
use crate::error::Result;
use crate::failback::{self, FailbackRun};
use crate::groups::{self, GroupsSection};
use crate::idle::{self, IdleRun};
use crate::lab::Lab;
use crate::latency::{self, LatencyRun};
use crate::machine::Machine;
use crate::partitions::{self, PartitionsRun};
use crate::plan::Plan;
use crate::recovery::{self, RecoveryRun};
use crate::row::Row;
use crate::section::Section;
use crate::takeover::{self, TakeoverRun};
use crate::translate::{self, TranslateRun};

/// What `--json` holds.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// How much.
    pub plan: Plan,
    /// How long it all took.
    pub seconds: f64,
    /// What it comes to.
    pub rows: Vec<Row>,
    /// Copies beside the source.
    pub copies: Vec<CopyRun>,
    /// Copies by ours over the link.
    pub link: Vec<CopyRun>,
    /// Latency under load.
    pub latency: Vec<LatencyRun>,
    /// Idle processes.
    pub idle: Vec<IdleRun>,
    /// Few partitions and many.
    pub partitions: Vec<PartitionsRun>,
    /// Workers gone and come.
    pub takeover: Vec<TakeoverRun>,
    /// Places of consumer groups.
    pub groups: GroupsSection,
    /// Places found by a tool that knows nothing yet.
    pub translate: Vec<TranslateRun>,
    /// Recoveries.
    pub recovery: Vec<RecoveryRun>,
    /// Ways home.
    pub failback: Vec<FailbackRun>,
}

impl Results {
    /// None yet.
    pub fn new(machine: Machine, plan: Plan) -> Self {
        Self {
            machine,
            plan,
            seconds: 0.0,
            rows: Vec::new(),
            copies: Vec::new(),
            link: Vec::new(),
            latency: Vec::new(),
            idle: Vec::new(),
            partitions: Vec::new(),
            takeover: Vec::new(),
            groups: GroupsSection::default(),
            translate: Vec::new(),
            recovery: Vec::new(),
            failback: Vec::new(),
        }
    }

    /// Measures one part.
    pub fn measure(&mut self, lab: &Lab, section: Section) -> Result<()> {
        match section {
            Section::Lz4 => self.copies.extend(copy::section(lab, Codec::Lz4)?),
            Section::Zstd => self.copies.extend(copy::section(lab, Codec::Zstd)?),
            Section::None => self.copies.extend(copy::section(lab, Codec::None)?),
            Section::Latency => self.latency.extend(latency::section(lab)?),
            Section::Idle => self.idle.extend(idle::section(lab)?),
            Section::Partitions => self.partitions.extend(partitions::section(lab)?),
            Section::Link => self.link.extend(copy::over_link(lab)?),
            Section::Takeover => self.takeover.extend(takeover::section(lab)?),
            Section::Groups => self.groups = groups::section(lab)?,
            Section::Translate => self.translate.extend(translate::section(lab)?),
            Section::Failback => self.failback.extend(failback::section(lab)?),
            Section::Recovery => self.recovery.extend(recovery::section(lab)?),
        }
        self.rows = crate::summary::rows(self);
        self.seconds = lab.progress.seconds();
        Ok(())
    }
}
