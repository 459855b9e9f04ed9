//! Brokers that share one JVM with those of other tests.
//!
//! A JVM for each broker costs two seconds of CPU until it serves, and more until its code is compiled. In one JVM that
//! has run brokers before, the next serves after a fifth of that. Whoever runs many test programs starts `lab host` and
//! names its socket in [`HOST`]; clusters whose brokers need no process of their own then run there. Without it each
//! broker has its own process, and no test notices.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::archive::ensure_class_archive;
use crate::error::{Doing, LabError, Result};
use crate::jars::{DEFAULT_VERSION, Kafka};
use crate::package::package_file;

/// Names the socket of the JVM that takes brokers in.
const HOST: &str = "UNDERSTUDY_BROKER_HOST";

/// The socket of the JVM that takes brokers in, if there is one.
pub(crate) fn host() -> Option<PathBuf> {
    std::env::var_os(HOST)
        .filter(|socket| !socket.is_empty())
        .map(PathBuf::from)
}

/// Becomes the JVM that takes brokers in, at `socket`, until standard input ends. Its heap grows to `heap_bytes`; it
/// unpacks libraries of native code beside the socket.
///
/// # Errors
/// Whatever kept it from doing so: it returns nothing else.
pub fn become_host(socket: &Path, heap_bytes: u64) -> Result<()> {
    let kafka = Kafka::fetch(DEFAULT_VERSION)?;
    ensure_class_archive(&kafka)?;
    let scratch = socket.parent().unwrap_or(Path::new("."));
    let source = package_file("java/BrokerHost.java");
    // Compiling well takes longer than what it would save: tests ask little of their brokers.
    let jvm = [
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
    ]
    .map(str::to_owned);
    let jvm = [&jvm[..], &[format!("-Xmx{heap_bytes}")]].concat();
    let failed = Command::new("java")
        .args(kafka.source_options(&source, &jvm, scratch)?)
        .arg(socket)
        .exec();
    Err(failed).doing("become a JVM")
}

/// A broker in that JVM. It ends with this value, or soon after this process.
#[derive(Debug)]
pub(crate) struct Guest {
    name: String,
    log: PathBuf,
    host: UnixStream,
    /// What the host has answered.
    heard: Vec<u8>,
    ended: bool,
}

impl Guest {
    /// Asks `host` for a broker with these properties; returns at once.
    pub(crate) fn start(name: &str, host: &Path, properties: &Path) -> Result<Self> {
        let mut stream = UnixStream::connect(host)
            .doing(format!("reach the JVM for brokers at {}", host.display()))?;
        writeln!(stream, "{}", properties.display()).doing(format!("ask for {name}"))?;
        stream.set_nonblocking(true).doing("listen to the host")?;
        Ok(Self {
            name: name.to_owned(),
            log: log_of(host),
            host: stream,
            heard: Vec::new(),
            ended: false,
        })
    }

    /// Where the host's output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it runs, or is about to.
    pub(crate) fn is_running(&mut self) -> bool {
        self.listen();
        !self.ended && !self.heard.starts_with(b"failed")
    }

    /// An error with what the host told if it does not run.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        Err(self.gone())
    }

    /// That it is not there any more, with what the host told of it; the log is about others as well.
    fn gone(&self) -> LabError {
        LabError::Exited {
            name: self.name.clone(),
            status: "in the JVM that it shared".to_owned(),
            log: self.log.clone(),
            tail: String::from_utf8_lossy(&self.heard).into_owned(),
        }
    }

    /// A controlled shutdown; returns when it is gone.
    ///
    /// # Errors
    /// It was gone before, or did not end within `limit` or in good order.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<()> {
        self.expect_running()?;
        let doing = || format!("stop {}", self.name);
        self.host.set_nonblocking(false).doing(doing())?;
        self.host.set_read_timeout(Some(limit)).doing(doing())?;
        writeln!(self.host, "stop").doing(doing())?;
        let answered = self.host.read_to_end(&mut self.heard).doing(doing());
        self.ended = true;
        answered?;
        if self.heard.ends_with(b"down\n") {
            Ok(())
        } else {
            Err(self.gone())
        }
    }

    /// Takes in what the host has answered.
    fn listen(&mut self) {
        let mut bytes = [0; 1024];
        while !self.ended {
            match self.host.read(&mut bytes) {
                Ok(0) => self.ended = true,
                Ok(length) => self.heard.extend(bytes.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_lost) => self.ended = true,
            }
        }
    }
}

/// The log beside a host's socket.
fn log_of(socket: &Path) -> PathBuf {
    socket.with_extension("log")
}
