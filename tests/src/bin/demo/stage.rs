//! Everything that runs: two clusters, three workers, applications on both sides.

use std::thread;
use std::time::{Duration, Instant};

use understudy_tests::chaos::{Fleet, Interrupt, Load, LoadPlan, Place, Result, Tail};
use understudy_tests::{Cluster, FlowFile, LabError};

use crate::groups::{GROUPS, HISTORY, PARTITIONS};
use crate::sales::{self, AUDITOR, CHECKOUT, SALES, SHOP};
use crate::voice::{Voice, grouped, seconds};
use crate::warehouse::WAREHOUSE;

/// How many workers.
pub const WORKERS: usize = 3;
const SLOTS: u32 = 6;
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Longer, and it has not come back.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
/// New JVMs are slow at first.
const WARM_UP: Duration = Duration::from_secs(15);
const SMALL_LAG: Duration = Duration::from_millis(400);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What one says of a rate is an average over this time.
const RATE_OVER: Duration = Duration::from_secs(2);

/// The two clusters. Declared apart, so that they end last.
pub struct Clusters {
    /// The Region to fear for.
    pub source: Cluster,
    /// Its understudy.
    pub target: Cluster,
}

impl Clusters {
    /// Starts both at the same time.
    pub fn start(source_brokers: usize) -> Result<Self> {
        let (user, password) = SHOP;
        let cluster = |alias: &str, brokers| {
            let cluster = Cluster::builder(alias).brokers(brokers);
            cluster.user(user, password).own_processes()
        };
        let (source, target) = (cluster("use1", source_brokers), cluster("usw2", 3));
        let (source, target) = thread::scope(|scope| {
            let source = scope.spawn(|| source.start());
            (source.join(), target.start())
        });
        let panicked = |_| LabError::Usage("the thread that starts use1 panicked".to_owned());
        Ok(Self {
            source: source.map_err(panicked)??,
            target: target?,
        })
    }
}

/// The flow from the one to the other.
pub fn flow(clusters: &Clusters, plan: &LoadPlan) -> FlowFile {
    between(&clusters.source, &clusters.target, plan)
}

/// The flow back, which runs once the first Region has been lost and has returned.
pub fn flow_back(clusters: &Clusters, plan: &LoadPlan) -> FlowFile {
    between(&clusters.target, &clusters.source, plan)
}

fn between(source: &Cluster, target: &Cluster, plan: &LoadPlan) -> FlowFile {
    let groups = [CHECKOUT, WAREHOUSE, AUDITOR];
    FlowFile::new(source, target)
        .topics(plan.topics().into_iter().chain([HISTORY, SALES]))
        .groups(GROUPS.into_iter().chain(groups))
        .slots(SLOTS)
}

/// Workers and applications.
pub struct Stage<'a> {
    /// The workers; dropped before the clusters.
    pub fleet: Fleet,
    /// What the applications write.
    pub load: Option<Load>,
    /// The application that reads on the target.
    pub tail: Tail,
    clusters: &'a Clusters,
    interrupt: Interrupt,
    samples: Vec<(Instant, u64)>,
}

impl<'a> Stage<'a> {
    /// Starts workers; returns when every slot is held and every topic is on the target.
    pub fn set(clusters: &'a Clusters, plan: &LoadPlan, interrupt: Interrupt) -> Result<Self> {
        plan.create_topics(&clusters.source)?;
        clusters
            .source
            .create_topic(SALES, sales::PARTITIONS, &[])?;
        let fleet = Fleet::start(&flow(clusters, plan), WORKERS, SLOTS)?;
        interrupt.wait_for("every slot to be held", READY_LIMIT, || {
            fleet.expect_well().map_err(|error| error.to_string())?;
            fleet.settled()?;
            match fleet.partitions()
                == (plan.partitions() + PARTITIONS + sales::PARTITIONS) as usize
            {
                true => Ok(()),
                false => Err(format!("{} partitions are mirrored", fleet.partitions())),
            }
        })?;
        let tail = Tail::start(&clusters.target, &plan.topics())?;
        Ok(Self {
            fleet,
            load: None,
            tail,
            clusters,
            interrupt,
            samples: Vec::new(),
        })
    }

    /// Waits until `done`, showing how it goes. `done` says what is missing.
    pub fn watch(
        &mut self,
        voice: &mut Voice,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Self) -> Result<(), String>,
    ) -> Result<()> {
        let begun = Instant::now();
        while let Err(seen) = done(self) {
            if begun.elapsed() >= limit {
                return Err(understudy_tests::chaos::ChaosError::Stuck {
                    what: what.to_owned(),
                    waited: begun.elapsed(),
                    seen,
                });
            }
            self.fleet.expect_well()?;
            voice.progress(&self.progress());
            self.interrupt.sleep(LOOK_EVERY)?;
        }
        Ok(())
    }

    /// Lets it run for a while.
    pub fn run_for(&mut self, voice: &mut Voice, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        self.watch(voice, "time to pass", time * 2, |_| {
            match Instant::now() >= until {
                true => Ok(()),
                false => Err(String::new()),
            }
        })
    }

    /// Waits until no partition is behind any more, but not for ever: on a busy machine some always is.
    pub fn warm_up(&mut self, voice: &mut Voice) -> Result<()> {
        let until = Instant::now() + WARM_UP;
        self.watch(voice, "the lag to be small", WARM_UP * 2, |stage| {
            match stage.tail.age() < SMALL_LAG || Instant::now() >= until {
                true => Ok(()),
                false => Err(String::new()),
            }
        })
    }

    /// Waits until these partitions bring records produced after the mark; returns how long after.
    pub fn wait_resumed(&mut self, voice: &mut Voice, places: &[Place]) -> Result<Duration> {
        let missing = |waiting| format!("{waiting} partitions bring nothing");
        self.watch(
            voice,
            "every partition to flow again",
            RECOVERY_LIMIT,
            |stage| stage.tail.resumed(places).map(drop).map_err(missing),
        )?;
        Ok(self.tail.resumed(places).unwrap_or(RECOVERY_LIMIT))
    }

    /// Waits until each worker copies its share again and everything flows.
    pub fn wait_settled(&mut self, voice: &mut Voice) -> Result<()> {
        self.watch(
            voice,
            "every slot to be held again",
            RECOVERY_LIMIT,
            |stage| stage.fleet.settled(),
        )?;
        self.tail.mark();
        let all = self.tail.places();
        self.wait_resumed(voice, &all).map(drop)
    }

    /// Waits until every broker of the target serves.
    pub fn wait_target_ready(&mut self, voice: &mut Voice) -> Result<()> {
        let target = self.target();
        thread::scope(|scope| {
            let ready = scope.spawn(|| target.wait_ready());
            self.watch(
                voice,
                "the broker to serve",
                RECOVERY_LIMIT * 3,
                |_| match ready.is_finished() {
                    true => Ok(()),
                    false => Err("it does not yet".to_owned()),
                },
            )?;
            let panicked =
                |_| LabError::Usage("the thread that waits for usw2 panicked".to_owned());
            Ok(ready.join().map_err(panicked)??)
        })
    }

    /// The cluster that is written.
    pub fn target(&self) -> &'a Cluster {
        &self.clusters.target
    }

    fn progress(&mut self) -> String {
        let (now, records) = (Instant::now(), self.tail.records());
        self.samples.push((now, records));
        self.samples
            .retain(|(at, _)| now.duration_since(*at) <= RATE_OVER);
        let rate = self.samples.first().map_or(0.0, |(at, before)| {
            let over = now.duration_since(*at).as_secs_f64();
            (records - before) as f64 / over.max(0.2)
        });
        let written = self.load.as_ref().map_or(String::new(), |load| {
            format!("written {} | ", grouped(load.written()))
        });
        let lag = match self.tail.silent() {
            (0, _) => "every partition flows".to_owned(),
            (1, longest) => format!("1 partition silent for {}", seconds(longest)),
            (some, longest) => format!("{some} partitions silent, {} at most", seconds(longest)),
        };
        format!(
            "{written}arrived {} | {rate:.0} records/s | {lag}",
            grouped(records)
        )
    }
}
