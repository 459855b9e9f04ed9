//! What can go wrong in a benchmark.

use rdkafka::error::KafkaError;
use understudy_tests::LabError;

/// A run could not be made, or must not be believed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The lab could not do what was asked of it.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A Kafka client call failed.
    #[error("cannot {action}")]
    Kafka {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: KafkaError,
    },
    /// A file could not be used.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The copy is not the original, so its cost means nothing.
    #[error(
        "{what}: not a valid run: per partition the source holds {expected:?} records, \
         read_committed readers of the target see {found:?}"
    )]
    Miscounted {
        /// Which run.
        what: String,
        /// Records per partition of the source.
        expected: Vec<u64>,
        /// Records per partition of the target.
        found: Vec<u64>,
    },
    /// The load could not be written whole.
    #[error("{failed} of {records} records of the load were not acknowledged")]
    LoadLost {
        /// Not acknowledged.
        failed: u64,
        /// Sent.
        records: u64,
    },
    /// What was to be measured did not take place.
    #[error("{0}")]
    NotMeasured(String),
    /// A thread of the benchmark ended by a panic.
    #[error("a thread of the benchmark panicked: {0}")]
    Panicked(&'static str),
    /// The results cannot be written as JSON.
    #[error("cannot write the results as JSON")]
    Json(#[from] serde_json::Error),
}

/// The benchmark's result.
pub type Result<T, E = BenchError> = std::result::Result<T, E>;

/// Says what was being done when a call failed.
pub trait Doing<T> {
    /// Turns the error into a [`BenchError`] that names `action`.
    fn doing(self, action: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, KafkaError> {
    fn doing(self, action: impl Into<String>) -> Result<T> {
        self.map_err(|source| BenchError::Kafka {
            action: action.into(),
            source,
        })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, action: impl Into<String>) -> Result<T> {
        self.map_err(|source| BenchError::Io {
            action: action.into(),
            source,
        })
    }
}
