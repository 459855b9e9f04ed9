//! What can be asked of `understudy failover`, `switchover`, `drill`, `evidence`, `watch`, `approve` and `fence`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use understudy_recovery::{Consent, Leash, Mode};

use super::canaries;
use super::carry_out::{self, Asked};
use super::home::{Home, LocalError, Place};
use super::world::Reach;
use super::{approve as answering, deployed, fence as fencing, reading, watch as following};
use crate::{DOES_NOT_HOLD, UNUSABLE};

/// What can be asked about a pair.
#[derive(Subcommand)]
pub enum Command {
    /// Move the applications to the standby cluster, without the active one.
    Failover(Recover),
    /// Move the applications to the standby cluster with nothing lost; needs both clusters.
    Switchover(Recover),
    /// Let the cluster that came back stand by again, and move the applications home; needs both clusters.
    Failback(Failback),
    /// Rehearse a recovery: every look is real, every act is only planned.
    Drill(Drill),
    /// Follow a recovery step by step.
    Watch(Watch),
    /// Answer what a recovery asks.
    Approve(Approve),
    /// Show what a recovery did, what was lost, and what is next.
    Evidence(Evidence),
    /// Shut writers out of a cluster that a recovery left, once it answers again.
    Fence(Fence),
}

/// Whose recovery, and where it is kept.
#[derive(Args)]
pub struct Of {
    /// The pair: two clusters and the flows between them.
    pair: PathBuf,
    /// Carry it out in this process, without AWS.
    #[arg(long)]
    local: bool,
    /// The Region in whose deployment it is carried out, that of the cluster that is to be active; of the environment or
    /// the profile unless told otherwise.
    #[arg(long, conflicts_with = "local")]
    region: Option<String>,
    /// Where plans and evidence lie, and the ledger unless the pair has it on its clusters; `.understudy` beside the pair
    /// file unless told otherwise.
    #[arg(long, value_name = "DIR", requires = "local")]
    state: Option<PathBuf>,
}

/// A recovery.
#[derive(Args)]
pub struct Recover {
    #[command(flatten)]
    of: Of,
    /// Approve whatever is asked, with the numbers as they are.
    #[arg(long, conflicts_with = "wait")]
    yes: bool,
    /// Without a terminal, wait for `understudy approve` instead of giving up.
    #[arg(long)]
    wait: bool,
    /// Why, for the evidence.
    #[arg(long, default_value = "no reason was given")]
    reason: String,
    /// Lose up to so many records without asking, beyond what the pair consents to.
    #[arg(long, value_name = "N", requires = "max_age")]
    max_lost_records: Option<u64>,
    /// Lose records up to so old without asking, such as 10m.
    #[arg(long, value_name = "AGE", requires = "max_lost_records", value_parser = humantime::parse_duration)]
    max_age: Option<Duration>,
    /// Take over from a recovery that is under way.
    #[arg(long)]
    supersede: bool,
    /// For machines; states are told on standard error.
    #[arg(long)]
    json: bool,
}

/// A recovery of which every look is real and every act is only planned; unless it is unleashed.
#[derive(Args)]
pub struct Drill {
    /// What is rehearsed.
    #[arg(long, value_enum, default_value_t = Rehearsed::Failover)]
    mode: Rehearsed,
    /// Carry it out, on a pair whose flows mirror only topics whose names begin with `canary`.
    #[arg(long, requires = "local")]
    unleashed: bool,
    #[command(flatten)]
    recover: Recover,
}

/// What is rehearsed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rehearsed {
    Failover,
    Switchover,
    Failback,
}

/// What a recovery left.
#[derive(Args)]
pub struct Evidence {
    /// The pair.
    pair: PathBuf,
    /// Which execution; the newest one unless told.
    execution: Option<String>,
    /// Where the evidence lies; `.understudy` beside the pair file unless told otherwise.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The Region in whose deployment it lies, where the pair is deployed to AWS.
    #[arg(long, conflicts_with = "state")]
    region: Option<String>,
    /// The evidence itself, for machines.
    #[arg(long)]
    json: bool,
}

/// Follows a recovery that another process carries out.
#[derive(Args)]
pub struct Watch {
    #[command(flatten)]
    of: Of,
    /// Which execution; the one under way unless told, or else the newest.
    execution: Option<String>,
}

/// Fences clusters that were left.
#[derive(Args)]
pub struct Fence {
    #[command(flatten)]
    of: Of,
    /// Wait until every cluster that is to be fenced answers and is; looks every five seconds.
    #[arg(long)]
    wait: bool,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// Answers a recovery's question.
#[derive(Args)]
pub struct Approve {
    #[command(flatten)]
    of: Of,
    /// Which execution.
    execution: String,
    /// Yes.
    #[arg(long, conflicts_with = "no")]
    yes: bool,
    /// No.
    #[arg(long, alias = "reject")]
    no: bool,
    /// The digest of the plan that you saw; the one that is asked about now unless told.
    #[arg(long)]
    digest: Option<String>,
    /// What else is said, for the evidence.
    #[arg(long)]
    note: Option<String>,
    /// For machines.
    #[arg(long)]
    json: bool,
}

/// A failback.
#[derive(Args)]
pub struct Failback {
    #[command(flatten)]
    recover: Recover,
    /// Only let the cluster that came back, whichever it is, stand by again: applications stay where they are.
    #[arg(long)]
    standby_only: bool,
}

impl Of {
    fn home(&self, reach: Reach) -> Result<Home, LocalError> {
        if self.local {
            Home::open(&self.pair, self.state.as_deref(), reach)
        } else {
            deployed::home(&self.pair, self.region.as_deref())
        }
    }
}

impl Recover {
    fn asked(&self, mode: Mode, leash: Leash, standby_only: bool) -> Asked {
        let consent = self.max_lost_records.zip(self.max_age);
        Asked {
            mode,
            leash,
            yes: self.yes,
            wait: self.wait,
            reason: self.reason.clone(),
            consent: consent.map(|(records, age)| Consent {
                max_lost_records: records,
                max_age_seconds: age.as_secs(),
            }),
            supersede: self.supersede,
            standby_only,
            json: self.json,
        }
    }

    fn run(&self, mode: Mode, leash: Leash) -> ExitCode {
        self.run_so(mode, leash, false)
    }

    fn run_so(&self, mode: Mode, leash: Leash, standby_only: bool) -> ExitCode {
        let home = self.of.home(Reach::Kafka);
        let asked = self.asked(mode, leash, standby_only);
        status(home.and_then(|home| match home.place {
            Place::Here => carry_out::run(&home, &asked),
            Place::Deployed(_) => deployed::run(&home, &asked),
        }))
    }
}

/// Does what is asked: 0 if it holds, 1 if it does not, 2 for usage or configuration.
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::Failover(recover) => recover.run(Mode::Failover, Leash::Acting),
        Command::Switchover(recover) => recover.run(Mode::Switchover, Leash::Acting),
        Command::Failback(failback) => {
            let leash = Leash::Acting;
            failback
                .recover
                .run_so(Mode::Failback, leash, failback.standby_only)
        }
        Command::Drill(drill) => {
            let mode = match drill.mode {
                Rehearsed::Failover => Mode::Failover,
                Rehearsed::Switchover => Mode::Switchover,
                Rehearsed::Failback => Mode::Failback,
            };
            if !drill.unleashed {
                return drill.recover.run(mode, Leash::Leashed);
            }
            match canaries::must_be_all(&drill.recover.of.pair) {
                Ok(()) => drill.recover.run(mode, Leash::Acting),
                Err(error) => status(Err(error)),
            }
        }
        Command::Watch(watch) => {
            let home = watch.of.home(Reach::Ledger);
            status(home.and_then(|home| following::run(&home, watch.execution.as_deref())))
        }
        Command::Approve(approve) => approve.run(),
        Command::Fence(fence) => {
            let home = fence.of.home(Reach::Kafka);
            status(home.and_then(|home| fencing::run(&home, fence.wait, fence.json)))
        }
        Command::Evidence(evidence) => {
            let home = match &evidence.region {
                Some(region) => deployed::home(&evidence.pair, Some(region)),
                None => Home::open(&evidence.pair, evidence.state.as_deref(), Reach::Folder),
            };
            let execution = evidence.execution.as_deref();
            status(home.and_then(|home| reading::evidence(&home, execution, evidence.json)))
        }
    }
}

impl Approve {
    fn run(&self) -> ExitCode {
        let home = self.of.home(Reach::Folder);
        let answer = answering::Answer {
            execution: self.execution.clone(),
            approve: match (self.yes, self.no) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            },
            digest: self.digest.clone(),
            note: self.note.clone(),
            json: self.json,
        };
        status(home.and_then(|home| answering::run(&home, answer)))
    }
}

fn status(result: Result<bool, LocalError>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DOES_NOT_HOLD),
        Err(error) => {
            eprintln!("understudy: {}", crate::chain::chain(&error));
            ExitCode::from(if error.is_unusable() {
                UNUSABLE
            } else {
                DOES_NOT_HOLD
            })
        }
    }
}
