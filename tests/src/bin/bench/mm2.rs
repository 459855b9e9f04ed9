//! MirrorMaker 2 in dedicated mode: its properties and its process.

use std::path::Path;

use understudy_tests::{Listener, Process};

use crate::error::{Doing, Result};
use crate::lab::{Aliases, Lab};
use crate::mirror::{Contender, Job};

/// What Kafka's own start script gives MirrorMaker 2.
const JVM: [&str; 8] = [
    "-Xms256M",
    "-Xmx2G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// Starts it with a config and a log of its own in `dir`.
pub fn start(
    lab: &Lab,
    job: &Job<'_>,
    groups: Option<&str>,
    aliases: &Aliases,
    dir: &Path,
) -> Result<Process> {
    let path = dir.join("mm2.properties");
    std::fs::write(&path, properties(lab, job, groups, aliases))
        .doing(format!("write {}", path.display()))?;
    let kafka = lab.source.kafka();
    let mut arguments: Vec<String> = JVM.map(str::to_owned).to_vec();
    arguments.extend([
        "-cp".to_owned(),
        kafka.class_path()?,
        format!(
            "-Dlog4j2.configurationFile={}/log4j2.properties",
            kafka.dir().display()
        ),
        "org.apache.kafka.connect.mirror.MirrorMaker".to_owned(),
        path.display().to_string(),
    ]);
    let log = dir.join("mm2.log");
    Ok(Process::start(
        "MirrorMaker 2",
        "java",
        arguments,
        &[],
        log,
    )?)
}

fn properties(lab: &Lab, job: &Job<'_>, groups: Option<&str>, aliases: &Aliases) -> String {
    let Aliases { source, target } = aliases;
    let mut lines = vec![
        format!("clusters = {source}, {target}"),
        format!(
            "{source}.bootstrap.servers = {}",
            lab.source.bootstrap_of(job.source)
        ),
        format!(
            "{target}.bootstrap.servers = {}",
            lab.target.bootstrap_of(Listener::Plaintext)
        ),
        format!("{source}->{target}.enabled = true"),
        format!("{source}->{target}.topics = {}", job.topic),
        format!("{target}->{source}.enabled = false"),
        // The same work for everyone: the codec is not what is compared.
        format!("{target}.producer.compression.type = {}", job.codec.name()),
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
    if job.contender != Contender::Mm2Default {
        lines.extend([
            format!("{target}.producer.batch.size = 524288"),
            format!("{target}.producer.linger.ms = 20"),
            format!("{source}.consumer.max.poll.records = 5000"),
            format!("{source}->{target}.consumer.fetch.min.bytes = 100000"),
        ]);
    }
    if let Some(groups) = groups {
        lines.extend([
            format!("{source}->{target}.groups = {groups}"),
            format!("{source}->{target}.sync.group.offsets.enabled = true"),
            format!("{source}->{target}.sync.group.offsets.interval.seconds = 1"),
            format!("{source}->{target}.emit.checkpoints.interval.seconds = 1"),
            format!("{source}->{target}.refresh.groups.interval.seconds = 1"),
            format!("{source}->{target}.offset.lag.max = 0"),
        ]);
    }
    if job.contender == Contender::Mm2TunedExactlyOnce {
        lines.extend([
            "dedicated.mode.enable.internal.rest = true".to_owned(),
            "listeners = http://localhost:0".to_owned(),
            format!("{target}.exactly.once.source.support = enabled"),
            format!("{source}.consumer.isolation.level = read_committed"),
        ]);
    }
    lines.join("\n") + "\n"
}
