//! Class data sharing: a broker starts in about half the time when its classes are mapped, not loaded.
//!
//! The archive is written by a JVM as it ends, so one broker is run once per JVM and version for it.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Doing, Result};
use crate::jars::{Kafka, lock};
use crate::java::class_archive;

const DUMP_LIMIT: Duration = Duration::from_secs(120);

/// Makes the archive unless it is there.
pub(crate) fn ensure_class_archive(kafka: &Kafka) -> Result<()> {
    let archive = class_archive(kafka)?;
    if archive.is_file() {
        return Ok(());
    }
    let _lock = lock(&kafka.dir().join("classes.lock"))?;
    if archive.is_file() {
        return Ok(());
    }
    let unfinished = archive.with_extension("unfinished");
    let cluster = Cluster::builder("archive")
        .version(kafka.version())
        .jvm([format!("-XX:ArchiveClassesAtExit={}", unfinished.display())])
        .share_classes(false)
        .start()?;
    // A topic loads what the first topic of every test would.
    cluster.create_topic("archive", 1, &[])?;
    for broker in cluster.brokers() {
        broker.terminate()?;
        broker.wait(DUMP_LIMIT)?;
    }
    // Without an archive brokers only start more slowly.
    if unfinished.is_file() {
        std::fs::rename(&unfinished, &archive).doing("put the class archive in place")?;
    }
    Ok(())
}
