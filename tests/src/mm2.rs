//! MirrorMaker 2 in dedicated mode: the real one, between two clusters.

use std::fs;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Doing, Result};
use crate::listener::Listener;
use crate::process::Process;

/// A JVM for a few thousand records; stops early at compiling, because it lives for a minute.
const JVM: [&str; 4] = [
    "-Xms128M",
    "-Xmx512M",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
];
/// A clean stop commits offsets and leaves its groups; a busy machine takes long over it.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// One process of it. Ends when dropped.
#[derive(Debug)]
pub struct MirrorMaker {
    process: Process,
}

impl MirrorMaker {
    /// Starts one that copies `topics` from `source` to `target` under these aliases, with further properties of its
    /// flow. Returns at once.
    pub fn start(
        (source_alias, source): (&str, &Cluster),
        (target_alias, target): (&str, &Cluster),
        topics: &str,
        properties: &[&str],
    ) -> Result<Self> {
        let flow = format!("{source_alias}->{target_alias}");
        let mut lines = vec![
            format!("clusters = {source_alias}, {target_alias}"),
            format!(
                "{source_alias}.bootstrap.servers = {}",
                source.bootstrap_of(Listener::Plaintext)
            ),
            format!(
                "{target_alias}.bootstrap.servers = {}",
                target.bootstrap_of(Listener::Plaintext)
            ),
            format!("{flow}.enabled = true"),
            format!("{flow}.topics = {topics}"),
            format!("{target_alias}->{source_alias}.enabled = false"),
            // A herder less: it would only write heartbeats on the source.
            format!("{target_alias}->{source_alias}.emit.heartbeats.enabled = false"),
            "offset.storage.partitions = 5".to_owned(),
            "status.storage.partitions = 1".to_owned(),
        ];
        // One broker each.
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
        lines.extend(properties.iter().map(|line| (*line).to_owned()));
        let name = format!("mm2-{source_alias}-{target_alias}");
        let file = target.dir().join(format!("{name}.properties"));
        fs::write(&file, lines.join("\n") + "\n").doing(format!("write {}", file.display()))?;
        let log = target.dir().join(format!("{name}.log"));
        let process = target.kafka().start_class(
            "MirrorMaker 2",
            &JVM.map(str::to_owned),
            "org.apache.kafka.connect.mirror.MirrorMaker",
            [file.display().to_string()],
            &log,
        )?;
        Ok(Self { process })
    }

    /// An error with the end of its log if it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        self.process.expect_running()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        self.process.terminate()?;
        self.process.wait(STOP_LIMIT).map(drop)
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}
