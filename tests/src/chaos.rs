//! Running the product while things are killed, paused and cut off, and judging what it did.
//!
//! [`run`] carries out a [`Plan`]. Its parts serve the demo as well: applications on both sides
//! ([`Load`], [`Tail`]), workers and what they are meant to be doing ([`Fleet`]), and Ctrl-C
//! ([`Interrupt`]).

mod change;
mod credentials;
mod disturbance;
mod error;
mod fleet;
mod growing;
mod interrupt;
mod latency;
mod load;
mod outcome;
mod places;
mod plan;
mod replicas;
mod round;
mod tail;

use std::cell::RefCell;
use std::path::Path;
use std::time::Instant;

pub use change::Change;
pub use disturbance::{Disturbance, Kind};
pub use error::{ChaosError, Result};
pub use fleet::{Fleet, Verified};
pub use interrupt::Interrupt;
pub use latency::Latency;
pub use load::{ABORT_EVERY, Load, LoadPlan, Stopped};
pub use outcome::Outcome;
pub use plan::Plan;
pub use tail::{Place, Tail};

use crate::cluster::Cluster;
use crate::cluster_builder::ClusterBuilder;
use crate::error::{LabError, chain};
use crate::scratch::Scratch;
use credentials::Credentials;
use round::{Ground, Round};

/// Carries out a plan; `tell` is given a line for each thing that happens.
///
/// What the product does wrong is in the outcome, and the folder is kept then. An error means that
/// nothing can be said: the lab failed to start, or somebody stopped it.
pub fn run(plan: &Plan, interrupt: &Interrupt, tell: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let begun = Instant::now();
    let scratch = Scratch::create(&format!("chaos-{}", plan.seed))?;
    let mut outcome = Outcome {
        seed: plan.seed,
        planned: plan.kills,
        ..Outcome::default()
    };
    let credentials = Credentials::create(scratch.path())?;
    let source = builder("use1", plan.source_brokers, scratch.path());
    let target = builder("usw2", plan.target_brokers, scratch.path());
    tell(&format!(
        "seed {}: starting use1 ({} brokers) and usw2 ({})",
        plan.seed, plan.source_brokers, plan.target_brokers
    ));
    let (source, target) = start(source, target)?;
    let ground = Ground {
        source: &source,
        target: &target,
        dir: scratch.path(),
        interrupt,
        credentials: &RefCell::new(credentials),
    };
    match rounds(plan, &ground, &mut outcome, tell) {
        Ok(()) => {}
        Err(ChaosError::Interrupted) => return Err(ChaosError::Interrupted),
        // Once the system ran, that it stands still or ends is a finding.
        Err(error) => outcome.violations.push(chain(&error)),
    }
    outcome.duration = begun.elapsed();
    drop((source, target));
    if !outcome.holds() {
        outcome.kept = Some(scratch.keep());
    }
    Ok(outcome)
}

fn rounds(
    plan: &Plan,
    ground: &Ground<'_>,
    outcome: &mut Outcome,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let all: Vec<Disturbance> = plan.disturbances().collect();
    let mut done = 0;
    for (index, part) in all.chunks(plan.round.max(1)).enumerate() {
        let mut round = Round::start(ground, plan, index + 1)?;
        tell(&format!(
            "round {}: every slot is held, every partition flows",
            index + 1
        ));
        match disturb(plan, &mut round, part, done, outcome, tell) {
            Ok(()) => {}
            Err(ChaosError::Interrupted) => return Err(ChaosError::Interrupted),
            // What was copied until then is judged all the same.
            Err(error) => outcome.violations.push(chain(&error)),
        }
        done += part.len();
        round.finish(outcome)?;
        tell(&format!("round {}: {}", index + 1, outcome.found));
        if !outcome.violations.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

fn disturb(
    plan: &Plan,
    round: &mut Round<'_>,
    part: &[Disturbance],
    before: usize,
    outcome: &mut Outcome,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    for (index, what) in part.iter().enumerate() {
        let number = before + index + 1;
        *outcome.disturbances.entry(what.kind).or_default() += 1;
        let recovery = round.disturb(what, outcome).inspect_err(|_| {
            tell(&format!(
                "{number:>4}/{}  {what}: NOT RECOVERED",
                plan.kills
            ));
        })?;
        let slowest = outcome.slowest.entry(what.kind).or_default();
        *slowest = recovery.max(*slowest);
        let seconds = recovery.as_secs_f64();
        tell(&format!(
            "{number:>4}/{}  {what}; flows again after {seconds:.1} s",
            plan.kills
        ));
    }
    Ok(())
}

fn builder(alias: &str, brokers: usize, dir: &Path) -> ClusterBuilder {
    // Small segments, so that what was deleted leaves the disk; deleted soon, for the same reason.
    let dir = dir.join(alias);
    Credentials::known(
        Cluster::builder(alias).brokers(brokers).own_processes(),
        &dir,
    )
    .dir(&dir)
    .property("log.segment.delete.delay.ms", "1000")
    .property("log.index.size.max.bytes", "1048576")
}

fn start(source: ClusterBuilder, target: ClusterBuilder) -> Result<(Cluster, Cluster)> {
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| source.start());
        let target = target.start();
        (source.join(), target)
    });
    let panicked = |_| LabError::Usage("the thread that starts the source panicked".to_owned());
    Ok((source.map_err(panicked)??, target?))
}
