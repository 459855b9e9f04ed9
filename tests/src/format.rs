//! Formatting a broker's log folder without a JVM per broker.
//!
//! Kafka's own tool writes the metadata a cluster begins with (feature levels, SCRAM users) once per
//! version and set of users, into the cache. A new broker gets a copy, with ids of its own beside it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;

use crate::error::{Doing, Result};
use crate::jars::{Kafka, lock};
use crate::listener::{ADMIN, ADMIN_PASSWORD};

const CHECKPOINT: &str = "bootstrap.checkpoint";
/// How users' passwords are kept.
const HASHES: [&str; 2] = ["SCRAM-SHA-512", "SCRAM-SHA-256"];

/// A user and its password.
pub(crate) type User = (String, String);

/// A random id in Kafka's form: 16 bytes in URL-safe base64.
pub(crate) fn random_id() -> String {
    let mut random = rand::rng();
    let mut id: String = (0..21)
        .map(|_| char::from(random.sample(Alphanumeric)))
        .collect();
    // The last digit holds two bits only.
    id.push(
        ['A', 'Q', 'g', 'w']
            .get(random.random_range(0..4))
            .copied()
            .unwrap_or('A'),
    );
    id
}

/// Makes `log_dir` ready for a broker's first start.
pub(crate) fn format_log_dir(
    kafka: &Kafka,
    users: &[User],
    log_dir: &Path,
    cluster_id: &str,
    node: usize,
) -> Result<()> {
    fs::create_dir_all(log_dir).doing(format!("create {}", log_dir.display()))?;
    let template = template(kafka, users)?;
    fs::copy(template.join(CHECKPOINT), log_dir.join(CHECKPOINT))
        .doing("copy the formatted metadata")?;
    let meta = format!(
        "version=1\ncluster.id={cluster_id}\nnode.id={node}\ndirectory.id={}\n",
        random_id()
    );
    fs::write(log_dir.join("meta.properties"), meta).doing("write meta.properties")
}

fn template(kafka: &Kafka, users: &[User]) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (users, HASHES).hash(&mut hasher);
    let dir = kafka
        .dir()
        .join(format!("formatted-{:016x}", hasher.finish()));
    let _lock = lock(&kafka.dir().join("formatted.lock"))?;
    if dir.join(CHECKPOINT).is_file() {
        return Ok(dir);
    }
    fs::create_dir_all(&dir).doing(format!("create {}", dir.display()))?;
    let config = tempfile::Builder::new()
        .prefix("format-")
        .tempdir()
        .doing("create a temporary folder")?;
    let (properties, made) = (
        config.path().join("server.properties"),
        config.path().join("data"),
    );
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n\
         listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n",
        made.display()
    );
    fs::write(&properties, text).doing("write server.properties")?;
    let properties = properties.display().to_string();
    let mut arguments = [
        "format",
        "-t",
        "MkU3OEVBNTcwNTJENDM2Qk",
        "-c",
        properties.as_str(),
    ]
    .map(str::to_owned)
    .to_vec();
    let admin = (ADMIN.to_owned(), ADMIN_PASSWORD.to_owned());
    for (name, password) in std::iter::once(&admin).chain(users) {
        for hash in HASHES {
            arguments.extend([
                "--add-scram".to_owned(),
                format!("{hash}=[name={name},password={password}]"),
            ]);
        }
    }
    kafka.run_tool("kafka.tools.StorageTool", &arguments)?;
    // Copied aside and renamed: a reader never sees half a file.
    let aside = dir.join("unfinished");
    fs::copy(made.join(CHECKPOINT), &aside).doing("keep the formatted metadata")?;
    fs::rename(&aside, dir.join(CHECKPOINT)).doing("keep the formatted metadata")?;
    Ok(dir)
}
