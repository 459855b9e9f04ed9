//! Two clusters, one broker each, and what must be gone between two runs.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use understudy_tests::Cluster;

use crate::error::{Doing, Result};
use crate::plan::Plan;
use crate::progress::Progress;

/// The clusters of the benchmark.
pub struct Lab {
    /// Where the load is.
    pub source: Cluster,
    /// Where it goes.
    pub target: Cluster,
    /// How much is done.
    pub plan: Plan,
    /// Where to say what is being done.
    pub progress: Progress,
    dir: PathBuf,
    runs: Cell<u32>,
}

/// Aliases that no earlier run has used, so that nothing of it is found again.
pub struct Aliases {
    /// The source's.
    pub source: String,
    /// The target's.
    pub target: String,
}

impl Lab {
    /// Starts both clusters with their data below `dir`.
    pub fn start(dir: &Path, plan: Plan) -> Result<Self> {
        let progress = Progress::default();
        progress.say("starting two clusters");
        let cluster = |alias: &str| {
            Cluster::builder(alias)
                .dir(dir.join(alias))
                .quick_jit(false)
                .jvm(["-Xms512M", "-Xmx1G"])
                // Deleted topics leave the disk soon.
                .property("log.segment.delete.delay.ms", "1000")
                .start()
        };
        Ok(Self {
            source: cluster("a")?,
            target: cluster("b")?,
            plan,
            progress,
            dir: dir.to_owned(),
            runs: Cell::new(0),
        })
    }

    /// A folder for the configs and logs of the next run, and aliases for it.
    pub fn next_run(&self) -> Result<(PathBuf, Aliases)> {
        let run = self.runs.get() + 1;
        self.runs.set(run);
        let dir = self.dir.join(format!("run-{run}"));
        std::fs::create_dir_all(&dir).doing(format!("create {}", dir.display()))?;
        let aliases = Aliases {
            source: format!("a{run}"),
            target: format!("b{run}"),
        };
        Ok((dir, aliases))
    }

    /// Deletes every topic on both sides, except those of `keep` on the source.
    pub fn clear(&self, keep: &[&str]) -> Result<()> {
        for (cluster, keep) in [(&self.source, keep), (&self.target, &[][..])] {
            let client: BaseConsumer = cluster.client().create().doing("create a client")?;
            let metadata = client
                .fetch_metadata(None, Duration::from_secs(10))
                .doing("list topics")?;
            for topic in metadata.topics() {
                let name = topic.name();
                if !name.starts_with("__") && !keep.contains(&name) {
                    cluster.delete_topic(name)?;
                }
            }
        }
        Ok(())
    }
}
