//! One round: fresh topics and workers under load, some disturbances, and a judgement.
//!
//! Each round is a flow of its own, so that what it used can be deleted when it has been judged.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::change::Change;
use super::credentials::Credentials;
use super::disturbance::{Disturbance, Kind};
use super::error::{ChaosError, Result};
use super::fleet::Fleet;
use super::growing::Growing;
use super::interrupt::Interrupt;
use super::load::{Load, LoadPlan};
use super::outcome::Outcome;
use super::places::Groups;
use super::plan::Plan;
use super::replicas::{self, out_of_sync};
use super::tail::{Place, Tail};
use crate::check::Judge;
use crate::cluster::Cluster;
use crate::error::Doing;
use crate::flow_file::FlowFile;
use crate::listener::Listener;

const READY_LIMIT: Duration = Duration::from_secs(180);
/// A system that has not come back by then hangs.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);
const JUDGE_LIMIT: Duration = Duration::from_secs(120);
const VALUE_BYTES: usize = 300;

/// Where rounds take place.
pub(super) struct Ground<'a> {
    pub(super) source: &'a Cluster,
    pub(super) target: &'a Cluster,
    pub(super) dir: &'a Path,
    pub(super) interrupt: &'a Interrupt,
    /// Written by whoever rotates.
    pub(super) credentials: &'a RefCell<Credentials>,
}

/// A round that is under way.
pub(super) struct Round<'a> {
    ground: &'a Ground<'a>,
    flow: String,
    topics: LoadPlan,
    load: Load,
    tail: Tail,
    fleet: Fleet,
    growing: Growing,
    groups: Groups,
}

impl<'a> Round<'a> {
    /// Starts workers and load; returns when every partition flows.
    pub(super) fn start(ground: &'a Ground<'a>, plan: &Plan, number: usize) -> Result<Self> {
        let topics = LoadPlan::new(&format!("-r{number}"), plan.rate, VALUE_BYTES);
        topics.create_topics(ground.source)?;
        let dir = ground.dir.join(format!("round-{number}"));
        fs::create_dir_all(&dir).doing(format!("create {}", dir.display()))?;
        let alias = format!("{}r{number}", ground.source.alias());
        let (late, of_groups) = (format!("late-r{number}"), format!("chaos-r{number}"));
        let credentials = ground.credentials.borrow();
        let flow = FlowFile::with_clients(
            (
                &alias,
                credentials.properties(ground.source, Listener::Link),
            ),
            (
                ground.target.alias(),
                credentials.properties(ground.target, Listener::SaslSsl),
            ),
            &dir,
        );
        drop(credentials);
        let later = format!("{late}-.*");
        let flow = flow
            .topics(topics.topics().into_iter().chain([later.as_str()]))
            .groups([format!("{of_groups}-.*")])
            .mirror("topic_discovery_interval", "1s")
            .mirror("config_sync_interval", "1s")
            .section("secrets", "refresh_interval", "500ms");
        let fleet = Fleet::start(&flow, Plan::WORKERS, Plan::SLOTS)?;
        let interrupt = ground.interrupt;
        interrupt.wait_for("every slot to be held", READY_LIMIT, || {
            fleet.settled()?;
            match fleet.partitions() == topics.partitions() as usize {
                true => Ok(()),
                false => Err(format!("{} partitions are mirrored", fleet.partitions())),
            }
        })?;
        let tail = Tail::start(ground.target, &topics.topics())?;
        let growing = Growing::new(late, topics.orders.clone());
        let read = [topics.orders.as_str(), topics.payments.as_str()];
        let groups = Groups::new(of_groups, ground.source, ground.target, &read);
        let mut round = Self {
            ground,
            flow: format!("{alias}-{}", ground.target.alias()),
            load: topics.start(ground.source)?,
            topics,
            tail,
            fleet,
            growing,
            groups,
        };
        round.tail.mark();
        round.wait_resumed(&round.tail.places())?;
        round.groups.commit(ground.source, plan.seed)?;
        Ok(round)
    }

    /// Disturbs, mends, waits until all is well; returns how long the recovery took.
    ///
    /// Recovery is counted from the disturbance if something was lost for good, such as a worker's
    /// session, and from the mending if nothing could flow before.
    pub(super) fn disturb(
        &mut self,
        what: &Disturbance,
        outcome: &mut Outcome,
    ) -> Result<Duration> {
        self.ground.interrupt.sleep(what.after)?;
        let places = self.places_hit(what)?;
        let while_broken = can_change(what);
        if !while_broken {
            self.change(what, outcome)?;
        }
        self.tail.mark();
        let begun = Instant::now();
        self.break_it(what)?;
        if while_broken {
            self.change(what, outcome)?;
        }
        let resumed = self.last_through(what, &places)?;
        self.mend(what)?;
        let mended = begun.elapsed();
        self.wait_resumed(&places)?;
        let flowing = self.tail.resumed(&places).unwrap_or(RECOVERY_LIMIT);
        let recovery = match what.kind {
            // Nothing could flow while it lasted.
            Kind::CutLink | Kind::BlackholeLink | Kind::KillSourceBroker => {
                flowing.saturating_sub(mended)
            }
            _ => resumed.unwrap_or(flowing),
        };
        self.wait_settled()?;
        self.fleet.expect_well()?;
        if what.change == Change::MoveGroups {
            let ground = self.ground;
            self.groups
                .check(ground.target, &self.fleet, ground.interrupt, 1, outcome)?;
        }
        Ok(recovery)
    }

    /// Changes something on the source, and counts it.
    fn change(&mut self, what: &Disturbance, outcome: &mut Outcome) -> Result<()> {
        let Ground { source, target, .. } = *self.ground;
        match what.change {
            Change::CreateTopic => {
                self.growing.create(source)?;
                outcome.topics_created += 1;
            }
            Change::GrowTopic => {
                outcome.partitions_grown += self.growing.grow(source, what.draw)?
            }
            Change::ChangeConfig => {
                self.growing.change_config(source, what.draw)?;
                outcome.configs_changed += 1;
            }
            Change::RotateCredentials => {
                self.ground
                    .credentials
                    .borrow_mut()
                    .rotate(source, target)?;
                outcome.rotations += 1;
            }
            Change::MoveGroups => {
                self.groups.commit(source, what.draw)?;
                outcome.groups_moved += 1;
            }
        }
        Ok(())
    }

    /// Stops the load, waits for the last record, judges, and adds what was found.
    pub(super) fn finish(self, outcome: &mut Outcome) -> Result<()> {
        let Self {
            ground,
            flow,
            topics,
            load,
            tail,
            fleet,
            mut growing,
            mut groups,
        } = self;
        let mut stopped = load.stop();
        let acknowledged = stopped.committed;
        outcome.acknowledged += acknowledged;
        let interrupt = ground.interrupt;
        let arrived = interrupt.wait_for("every record to arrive", RECOVERY_LIMIT, || {
            match tail.records() {
                arrived if arrived >= acknowledged => Ok(()),
                arrived => Err(format!("{arrived} of {acknowledged} arrived")),
            }
        });
        match arrived {
            Err(ChaosError::Interrupted) => return Err(ChaosError::Interrupted),
            // The judge tells what is missing.
            Err(error) => outcome.violations.push(error.to_string()),
            Ok(()) => {}
        }
        drop(tail);
        growing.stop(&mut stopped);
        outcome.acknowledged += stopped.committed - acknowledged;
        let acknowledged = stopped.committed;
        groups.check(ground.target, &fleet, interrupt, 4, outcome)?;
        let (mut produced, late) = (0, growing.created().iter().map(String::as_str));
        for topic in topics.topics().into_iter().chain(late) {
            let judge = groups.take_judge(topic);
            let mut judge =
                judge.unwrap_or_else(|| Judge::new(ground.source, ground.target, topic));
            let found = judge.wait_exact(JUDGE_LIMIT)?;
            produced += found.produced;
            outcome.add(&found);
            if !found.is_exact() {
                outcome.violations.push(format!("{topic}: {found}"));
            }
            interrupt.check()?;
        }
        if produced < acknowledged {
            outcome.violations.push(format!(
                "{flow}: producers had {acknowledged} records acknowledged, the source holds {produced}"
            ));
        } else if produced > acknowledged {
            // Written, and the answer lost with a broker or a link: the source holds it, so it must be copied.
            outcome.notes.push(format!(
                "{flow}: {} records of the source were never acknowledged to their producer",
                produced - acknowledged
            ));
        }
        outcome.notes.extend(stopped.refused);
        let differing = growing.differing_configs(ground.source, ground.target, interrupt)?;
        outcome.violations.extend(differing);
        let verified = fleet.verify()?;
        outcome.verified += verified.compared;
        if !verified.holds {
            let path = ground.dir.join(format!("verify-{flow}.json"));
            fs::write(&path, &verified.output).doing(format!("write {}", path.display()))?;
            outcome.violations.push(format!(
                "understudy verify --deep does not hold; see {}",
                path.display()
            ));
        }
        outcome.fenced += fleet.logged("slot fenced");
        outcome.take_overs += fleet.logged("slot taken over");
        match fleet.logged("panicked at") {
            0 => {}
            panics => outcome
                .violations
                .push(format!("{panics} panics in the workers' logs")),
        }
        fleet.expect_well()?;
        drop(fleet);
        if outcome.violations.is_empty() {
            clean(ground, &flow, &topics, growing.created())?;
        }
        Ok(())
    }

    /// What cannot flow until the system has recovered by itself.
    fn places_hit(&self, what: &Disturbance) -> Result<Vec<Place>> {
        match what.kind {
            Kind::KillWorker
            | Kind::TerminateWorker
            | Kind::PauseWorker
            | Kind::PauseWorkerLong => {
                // Topics that came later and partitions that were added are for the judge.
                let all = self.tail.places();
                let mut places = self.fleet.places(what.victim)?;
                places.retain(|place| all.contains(place));
                Ok(places)
            }
            Kind::KillTargetBroker
            | Kind::KillSourceBroker
            | Kind::CutLink
            | Kind::BlackholeLink => Ok(self.tail.places()),
        }
    }

    fn break_it(&mut self, what: &Disturbance) -> Result<()> {
        let ground = self.ground;
        match what.kind {
            Kind::KillWorker => self.fleet.kill(what.victim),
            Kind::TerminateWorker => self.fleet.terminate(what.victim),
            Kind::PauseWorker | Kind::PauseWorkerLong => self.fleet.pause(what.victim),
            Kind::KillTargetBroker => Ok(ground.target.broker(what.victim + 1)?.kill()?),
            Kind::KillSourceBroker => Ok(ground.source.broker(what.victim + 1)?.kill()?),
            Kind::CutLink => Ok(ground.source.link().cut()?),
            Kind::BlackholeLink => Ok(ground.source.link().blackhole()?),
        }
    }

    /// Lets it last; returns when everything flowed again meanwhile, if it did.
    fn last_through(&self, what: &Disturbance, places: &[Place]) -> Result<Option<Duration>> {
        self.ground.interrupt.sleep(what.lasts)?;
        Ok(self.tail.resumed(places).ok())
    }

    fn mend(&mut self, what: &Disturbance) -> Result<()> {
        let ground = self.ground;
        match what.kind {
            Kind::KillWorker | Kind::TerminateWorker => self.fleet.restart(what.victim),
            Kind::PauseWorker | Kind::PauseWorkerLong => self.fleet.resume(what.victim),
            Kind::KillTargetBroker => start_broker(ground, ground.target, what.victim + 1),
            Kind::KillSourceBroker => start_broker(ground, ground.source, what.victim + 1),
            Kind::CutLink | Kind::BlackholeLink => Ok(ground.source.link().heal()?),
        }
    }

    fn wait_resumed(&self, places: &[Place]) -> Result<()> {
        let interrupt = self.ground.interrupt;
        interrupt.wait_for("every partition to flow", RECOVERY_LIMIT, || {
            self.fleet
                .expect_well()
                .map_err(|error| error.to_string())?;
            self.load.tend().map_err(|error| error.to_string())?;
            let missing =
                |missing| format!("{missing} of {} partitions bring nothing", places.len());
            self.tail.resumed(places).map_err(missing)
        })?;
        self.fleet.expect_well()
    }

    fn wait_settled(&self) -> Result<()> {
        let interrupt = self.ground.interrupt;
        interrupt.wait_for("every slot to be held", RECOVERY_LIMIT, || {
            self.fleet.settled()
        })?;
        self.tail.mark();
        self.wait_resumed(&self.tail.places())
    }
}

/// Whether the change can be made while it lasts: where a broker is gone that it needs, it is made just before.
fn can_change(what: &Disturbance) -> bool {
    match what.kind {
        Kind::KillSourceBroker => false,
        Kind::KillTargetBroker => what.change != Change::RotateCredentials,
        _ => true,
    }
}

fn start_broker(ground: &Ground<'_>, cluster: &Cluster, node: usize) -> Result<()> {
    cluster.broker(node)?.start()?;
    cluster.wait_ready()?;
    ground.interrupt.wait_for(
        "every replica to be in sync",
        RECOVERY_LIMIT,
        || match out_of_sync(cluster).map_err(|error| crate::error::chain(&error))? {
            0 => Ok(()),
            some => Err(format!("{some} partitions lack a replica")),
        },
    )
}

/// Deletes everything that the round has used on both clusters.
fn clean(ground: &Ground<'_>, flow: &str, topics: &LoadPlan, late: &[String]) -> Result<()> {
    let late = late.iter().map(String::as_str);
    for topic in topics.topics().into_iter().chain(late) {
        ground.source.delete_topic(topic)?;
        ground.target.delete_topic(topic)?;
    }
    let own = format!("understudy.{flow}.");
    for topic in replicas::topics(ground.target, &own)? {
        ground.target.delete_topic(&topic)?;
    }
    Ok(())
}
