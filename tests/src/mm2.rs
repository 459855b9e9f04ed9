//! MirrorMaker 2, the real one, between two clusters: in dedicated mode, or as a connector on a Connect cluster.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Doing, Result};
use crate::http::request;
use crate::listener::Listener;
use crate::ports::Port;
use crate::process::Process;
use crate::wait::wait_for;

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

/// A Connect cluster of one worker, on the cluster that it writes to. Ends when dropped.
#[derive(Debug)]
pub struct ConnectWorker {
    process: Process,
    port: Port,
}

impl ConnectWorker {
    /// Starts one that keeps places in `offsets`. Returns at once.
    pub fn start(target: &Cluster, group: &str, offsets: &str) -> Result<Self> {
        const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
        let port = Port::reserve()?;
        let lines = [
            format!(
                "bootstrap.servers = {}",
                target.bootstrap_of(Listener::Plaintext)
            ),
            format!("group.id = {group}"),
            format!("listeners = http://127.0.0.1:{}", port.number()),
            format!("offset.storage.topic = {offsets}"),
            format!("config.storage.topic = {group}-configs"),
            format!("status.storage.topic = {group}-status"),
            "offset.storage.partitions = 3".to_owned(),
            // It copies on meanwhile: whoever kills it leaves copies behind what it stored.
            "offset.flush.interval.ms = 5000".to_owned(),
            "status.storage.partitions = 1".to_owned(),
            "offset.storage.replication.factor = 1".to_owned(),
            "config.storage.replication.factor = 1".to_owned(),
            "status.storage.replication.factor = 1".to_owned(),
            format!("key.converter = {BYTES}"),
            format!("value.converter = {BYTES}"),
            format!("header.converter = {BYTES}"),
            // Without looking through every class there is.
            "plugin.discovery = service_load".to_owned(),
        ];
        let file = target.dir().join(format!("{group}.properties"));
        fs::write(&file, lines.join("\n") + "\n").doing(format!("write {}", file.display()))?;
        let process = target.kafka().start_class(
            "a Connect worker",
            &JVM.map(str::to_owned),
            "org.apache.kafka.connect.cli.ConnectDistributed",
            [file.display().to_string()],
            &target.dir().join(format!("{group}.log")),
        )?;
        Ok(Self { process, port })
    }

    /// Starts MirrorMaker 2's source connector under a name, once the worker answers.
    pub fn mirror(
        &mut self,
        name: &str,
        (source_alias, source): (&str, &Cluster),
        (target_alias, target): (&str, &Cluster),
        topics: &str,
    ) -> Result<()> {
        let config = serde_json::json!({
            "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            "source.cluster.alias": source_alias,
            "target.cluster.alias": target_alias,
            "source.cluster.bootstrap.servers": source.bootstrap_of(Listener::Plaintext),
            "target.cluster.bootstrap.servers": target.bootstrap_of(Listener::Plaintext),
            "topics": topics,
            "tasks.max": "2",
            "replication.factor": "1",
            "offset-syncs.topic.replication.factor": "1",
        });
        let (path, body) = (format!("/connectors/{name}/config"), config.to_string());
        self.ask("PUT", &path, Some(&body), &[200, 201])
    }

    /// Deletes a connector: its tasks end, and where they stood stays stored.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        self.ask("DELETE", &format!("/connectors/{name}"), None, &[204])
    }

    /// An error with the end of its log if it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        self.process.expect_running()
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks until it answers as expected: it serves before it has joined its group, and refuses while that changes.
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        expected: &[u16],
    ) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()));
        let process = &mut self.process;
        wait_for(&format!("{method} {path}"), STOP_LIMIT, || {
            process
                .expect_running()
                .map_err(|error| error.to_string())?;
            let answer = request(method, address, path, body).map_err(|error| error.to_string())?;
            match expected.contains(&answer.code) {
                true => Ok(()),
                false => Err(format!("{} {}", answer.code, answer.body)),
            }
        })
    }
}
