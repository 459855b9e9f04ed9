//! The contenders, started alike: one process, from one topic to its copy.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_tests::{FlowFile, LabError, Listener, Process, Worker};

use crate::clients::Ends;
use crate::codec::Codec;
use crate::error::Result;
use crate::lab::{Aliases, Lab};
use crate::mm2;

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Who copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// MirrorMaker 2 as it comes.
    Mm2Default,
    /// MirrorMaker 2 with larger batches and fetches.
    Mm2Tuned,
    /// The same, exactly once.
    Mm2TunedExactlyOnce,
    /// Understudy, exactly once, one worker, 4 slots.
    Understudy,
}

impl Contender {
    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mm2Default => "MM2 default",
            Self::Mm2Tuned => "MM2 tuned",
            Self::Mm2TunedExactlyOnce => "MM2 tuned exactly-once",
            Self::Understudy => "Understudy exactly-once",
        }
    }
}

/// What is to be copied, and by whom.
pub struct Job<'a> {
    /// By whom.
    pub contender: Contender,
    /// Which topic of the source.
    pub topic: &'a str,
    /// How many partitions it has.
    pub partitions: i32,
    /// What the mirror compresses with.
    pub codec: Codec,
    /// How it reaches the source.
    pub source: Listener,
}

/// A mirror at work. Ends when dropped.
pub struct Mirror {
    /// The copy's name on the target.
    pub topic: String,
    /// When its process was started.
    pub started: Instant,
    running: Running,
}

enum Running {
    MirrorMaker(Process),
    Understudy(Worker),
}

impl Mirror {
    /// Creates the empty copy and starts the process.
    pub fn start(lab: &Lab, job: &Job<'_>) -> Result<Self> {
        Self::start_with(lab, job, None)
    }

    /// The same, and it follows the groups that match, as quickly as its settings allow.
    pub fn start_following(lab: &Lab, job: &Job<'_>, groups: &str) -> Result<Self> {
        Self::start_with(lab, job, Some(groups))
    }

    fn start_with(lab: &Lab, job: &Job<'_>, groups: Option<&str>) -> Result<Self> {
        let (dir, aliases) = lab.next_run()?;
        let topic = match job.contender {
            Contender::Understudy => job.topic.to_owned(),
            Contender::Mm2Default | Contender::Mm2Tuned | Contender::Mm2TunedExactlyOnce => {
                format!("{}.{}", aliases.source, job.topic)
            }
        };
        lab.target.create_topic(&topic, job.partitions, &[])?;
        let started = Instant::now();
        let running = if job.contender == Contender::Understudy {
            let mut file = flow(lab, job, &aliases, &dir);
            if let Some(groups) = groups {
                file = file.groups([groups]);
            }
            Running::Understudy(Worker::start(&file, "worker")?)
        } else {
            Running::MirrorMaker(mm2::start(lab, job, groups, &aliases, &dir)?)
        };
        Ok(Self {
            topic,
            started,
            running,
        })
    }

    /// User and system time of the process so far.
    pub fn cpu_seconds(&mut self) -> f64 {
        match &mut self.running {
            Running::MirrorMaker(process) => process.cpu_seconds(),
            Running::Understudy(worker) => worker.cpu_seconds(),
        }
    }

    /// The most memory it has had resident, in MB.
    pub fn peak_mb(&self) -> f64 {
        let bytes = match &self.running {
            Running::MirrorMaker(process) => process.peak_rss_bytes(),
            Running::Understudy(worker) => worker.peak_rss_bytes(),
        };
        bytes.unwrap_or_default() as f64 / 1e6
    }

    /// An error with the end of its log if it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match &mut self.running {
            Running::MirrorMaker(process) => process.expect_running()?,
            Running::Understudy(worker) => worker.expect_running()?,
        }
        Ok(())
    }

    /// Waits until the copy's committed end is at least `records`.
    pub fn wait_copied(&mut self, ends: &Ends, records: u64, limit: Duration) -> Result<()> {
        let wanted = i64::try_from(records).unwrap_or(i64::MAX);
        loop {
            self.expect_running()?;
            let end = ends.committed()?;
            if end >= wanted {
                return Ok(());
            }
            if self.started.elapsed() > limit {
                return Err(LabError::TooLate {
                    what: format!("{records} records in {}", self.topic),
                    waited: limit,
                    hint: format!("; last seen: {end}"),
                }
                .into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGTERM, and waits; SIGKILL if it takes long.
    pub fn stop(self) -> Result<()> {
        match self.running {
            Running::MirrorMaker(mut process) => {
                process.terminate()?;
                // A JVM that does not end is killed; nothing of it is used any more.
                drop(process.wait(STOP_LIMIT));
                process.kill()?;
            }
            Running::Understudy(worker) => {
                worker.terminate()?;
                worker.wait(STOP_LIMIT)?;
            }
        }
        Ok(())
    }
}

/// The flow of a run: everything as it comes, but for the codec.
pub fn flow(lab: &Lab, job: &Job<'_>, aliases: &Aliases, dir: &Path) -> FlowFile {
    FlowFile::with_clients(
        (&aliases.source, lab.source.client_properties(job.source)),
        (
            &aliases.target,
            lab.target.client_properties(Listener::Plaintext),
        ),
        dir,
    )
    .topics([job.topic])
    .slots(lab.plan.slots)
    .target("compression.type", job.codec.name())
}
