//! What can go wrong in the lab, and what to do about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::error::KafkaError;

/// The lab could not do what a test asked of it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program that the lab starts is not installed.
    #[error("{tool} cannot be started; install it with: {how}")]
    ToolMissing {
        /// The program.
        tool: String,
        /// The command that installs it.
        how: String,
        /// Why it did not start.
        #[source]
        source: std::io::Error,
    },
    /// A file, socket or process could not be used.
    #[error("cannot {action}")]
    Io {
        /// What was tried, as a verb and its object.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed:\n{output}")]
    ToolFailed {
        /// The program or Java class.
        program: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something did not come to be in time.
    #[error("waited {waited:?} for {what}, in vain{hint}")]
    TooLate {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last thing seen, or where to look.
        hint: String,
    },
    /// A broker or worker ended although nobody asked it to.
    #[error("{name} ended ({status}); the end of {log}:\n{tail}", log = .log.display())]
    Exited {
        /// Which process.
        name: String,
        /// Its exit status.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A process that is needed for this is not running.
    #[error("{name} is not running; start it first")]
    NotRunning {
        /// Which process.
        name: String,
    },
    /// A process that should start is running already.
    #[error("{name} is running already; kill or terminate it first")]
    AlreadyRunning {
        /// Which process.
        name: String,
    },
    /// A Kafka client call failed.
    #[error("cannot {action}")]
    Kafka {
        /// What was tried, as a verb and its object.
        action: String,
        /// Why it failed.
        #[source]
        source: KafkaError,
    },
    /// The cluster has no broker of this node id.
    #[error("cluster {cluster} has no broker {node}; its brokers are 1 to {brokers}")]
    NoSuchBroker {
        /// The cluster's alias.
        cluster: String,
        /// The node id asked for.
        node: usize,
        /// How many brokers there are.
        brokers: usize,
    },
    /// No free port was found below the ephemeral range.
    #[error("no free port found between {first} and {last}; stop other labs on this machine")]
    NoFreePort {
        /// Start of the range searched.
        first: u16,
        /// End of the range searched.
        last: u16,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A worker's or daemon's answer was not understood.
    #[error("cannot understand the answer of {who}: {why}")]
    BadAnswer {
        /// Who answered.
        who: String,
        /// What was wrong with it.
        why: String,
    },
    /// A setting or argument is not valid.
    #[error("{0}")]
    Usage(String),
}

/// The lab's result.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Says what was being done when an I/O or Kafka call failed.
pub(crate) trait Doing<T> {
    /// Turns the error into a [`LabError`] that names `action`.
    fn doing(self, action: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, action: impl Into<String>) -> Result<T> {
        self.map_err(|source| LabError::Io {
            action: action.into(),
            source,
        })
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, action: impl Into<String>) -> Result<T> {
        self.map_err(std::io::Error::from).doing(action)
    }
}

impl<T> Doing<T> for std::result::Result<T, KafkaError> {
    fn doing(self, action: impl Into<String>) -> Result<T> {
        self.map_err(|source| LabError::Kafka {
            action: action.into(),
            source,
        })
    }
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// The last `lines` lines of a file; empty if it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let skipped = text.lines().count().saturating_sub(lines);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
