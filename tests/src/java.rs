//! How a JVM is started: class path, logging, class data sharing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result};
use crate::jars::Kafka;

/// Options for a command line tool: quick to start, quiet.
pub(crate) fn tool_options(kafka: &Kafka) -> Result<Vec<String>> {
    tool_options_of(kafka, kafka.class_path()?)
}

/// The same, for a class of ours in `classes`.
pub(crate) fn tool_options_with(kafka: &Kafka, classes: &Path) -> Result<Vec<String>> {
    tool_options_of(kafka, path_with(kafka, classes)?)
}

fn path_with(kafka: &Kafka, classes: &Path) -> Result<String> {
    // Behind the jars: the archive of classes holds for whatever begins with its own path.
    Ok(format!("{}:{}", kafka.class_path()?, classes.display()))
}

fn tool_options_of(kafka: &Kafka, class_path: String) -> Result<Vec<String>> {
    let mut options = common(kafka, class_path, "WARN")?;
    options.extend(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256M"].map(str::to_owned));
    Ok(options)
}

/// Options for a broker or another long-lived class, which unpacks its libraries of native code in `scratch`: killed, it
/// leaves them there.
pub(crate) fn server_options(kafka: &Kafka, jvm: &[String], scratch: &Path) -> Result<Vec<String>> {
    lasting(kafka, kafka.class_path()?, "INFO", jvm, scratch)
}

/// The same for a class of ours in `classes`, which says only what is worth a look.
pub(crate) fn host_options(
    kafka: &Kafka,
    classes: &Path,
    jvm: &[String],
    scratch: &Path,
) -> Result<Vec<String>> {
    lasting(kafka, path_with(kafka, classes)?, "WARN", jvm, scratch)
}

fn lasting(
    kafka: &Kafka,
    class_path: String,
    log_level: &str,
    jvm: &[String],
    scratch: &Path,
) -> Result<Vec<String>> {
    let mut options = common(kafka, class_path, log_level)?;
    options.push(format!("-Djava.io.tmpdir={}", scratch.display()));
    options.extend(jvm.iter().cloned());
    Ok(options)
}

fn common(kafka: &Kafka, class_path: String, log_level: &str) -> Result<Vec<String>> {
    let dir = kafka.dir().display();
    let logging = if kafka.is_before_4() {
        format!("-Dlog4j.configuration=file:{dir}/log4j.properties")
    } else {
        format!("-Dlog4j2.configurationFile={dir}/log4j2.properties")
    };
    let mut options = vec![
        "-cp".to_owned(),
        class_path,
        "-Djava.awt.headless=true".to_owned(),
        format!("-Dlab.log.level={log_level}"),
        logging,
    ];
    let archive = class_archive(kafka)?;
    if archive.is_file() {
        options.extend([
            "-Xshare:auto".to_owned(),
            format!("-XX:SharedArchiveFile={}", archive.display()),
        ]);
    }
    Ok(options)
}

/// Where the archive of loaded classes for this JVM and these jars lies, if it has been made.
pub(crate) fn class_archive(kafka: &Kafka) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&path)
        .map(|dir| dir.join("java"))
        .find(|java| java.is_file());
    if let Some(java) = java {
        let java = java.canonicalize().doing("find java")?;
        let modified = java
            .metadata()
            .and_then(|meta| meta.modified())
            .doing("look at java")?;
        (java, modified).hash(&mut hasher);
    }
    Ok(kafka
        .dir()
        .join(format!("classes-{:016x}.jsa", hasher.finish())))
}
