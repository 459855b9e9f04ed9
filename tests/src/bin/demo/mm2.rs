//! MirrorMaker 2 beside the mirror, to see where it puts the same groups.

use std::path::Path;
use std::time::Duration;

use understudy_tests::chaos::Result;
use understudy_tests::{Cluster, Judge, Listener, Process};

use crate::groups::{GROUPS, HISTORY, Standing, standing};
use crate::stage::Clusters;

const ALIAS: &str = "mm2";
/// It looks for new groups, tells of places and commits them each second rather than each minute, so that nobody has
/// to wait. That is to its advantage.
const SETTINGS: &str = "emit.checkpoints.interval.seconds = 1
sync.group.offsets.enabled = true
sync.group.offsets.interval.seconds = 1
refresh.groups.interval.seconds = 5
emit.heartbeats.enabled = false
tasks.max = 1
";

/// A MirrorMaker 2 that copies the history under a prefix. Ends when dropped.
pub struct MirrorMaker {
    _process: Process,
}

impl MirrorMaker {
    /// Starts it, with its files in `dir`.
    pub fn start(clusters: &Clusters, dir: &Path) -> Result<Self> {
        let path = dir.join("mm2.properties");
        std::fs::write(&path, properties(clusters)).map_err(|error| {
            understudy_tests::LabError::Io {
                action: format!("write {}", path.display()),
                source: error,
            }
        })?;
        let process = clusters.source.kafka().start_class(
            "MirrorMaker 2",
            &[
                "-Xms128M".to_owned(),
                "-Xmx512M".to_owned(),
                "-XX:TieredStopAtLevel=1".to_owned(),
            ],
            "org.apache.kafka.connect.mirror.MirrorMaker",
            [path.display().to_string()],
            &dir.join("mm2.log"),
        )?;
        Ok(Self { _process: process })
    }

    /// Whether it has copied everything and put each group somewhere; says what is missing.
    pub fn is_done(target: &Cluster, records: u64) -> Result<(), String> {
        let topic = format!("{ALIAS}.{HISTORY}");
        let partitions = target
            .partitions(&topic)
            .map_err(|error| error.to_string())?;
        if partitions.is_none() {
            return Err("no copy yet".to_owned());
        }
        let ends = target.ends(&topic).map_err(|error| error.to_string())?;
        let copied: i64 = ends.values().map(|ends| ends.last_stable).sum();
        if u64::try_from(copied).unwrap_or_default() < records {
            return Err(format!("{copied} of {records} copied"));
        }
        for group in GROUPS {
            let places = target
                .group_places(group, &topic)
                .map_err(|error| error.to_string())?;
            if places.len() != ends.len() {
                return Err(format!("{group} has {} places", places.len()));
            }
        }
        Ok(())
    }

    /// Where it has put a group.
    pub fn standing(clusters: &Clusters, group: &str) -> Result<Standing> {
        let topic = format!("{ALIAS}.{HISTORY}");
        let (source, target) = (&clusters.source, &clusters.target);
        let judge = Judge::with_clients((source.client(), HISTORY), (target.client(), &topic));
        standing(clusters, judge, group, &topic, Duration::ZERO)
    }
}

fn properties(clusters: &Clusters) -> String {
    let mut lines = vec![
        format!("clusters = {ALIAS}, copy"),
        format!(
            "{ALIAS}.bootstrap.servers = {}",
            clusters.source.bootstrap_of(Listener::Plaintext)
        ),
        format!(
            "copy.bootstrap.servers = {}",
            clusters.target.bootstrap_of(Listener::Plaintext)
        ),
        format!("{ALIAS}->copy.enabled = true"),
        format!("{ALIAS}->copy.topics = {HISTORY}"),
        format!("{ALIAS}->copy.groups = {}", GROUPS.join(",")),
        format!("copy->{ALIAS}.enabled = false"),
    ];
    // The source may have one broker only.
    for name in [
        "replication.factor",
        "checkpoints.topic.replication.factor",
        "heartbeats.topic.replication.factor",
        "offset-syncs.topic.replication.factor",
        "offset.storage.replication.factor",
        "status.storage.replication.factor",
        "config.storage.replication.factor",
    ] {
        lines.push(format!("{name} = 1"));
    }
    lines.join("\n") + "\n" + SETTINGS
}
