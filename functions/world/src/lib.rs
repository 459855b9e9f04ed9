//! What recoveries reach without AWS: Kafka itself, and files.
//!
//! - [`PairFile`]: a pair and its flow files, read from a folder or from texts, checked against each other.
//! - [`KafkaClusters`] and [`KafkaFlows`]: the pair's clusters and flows on real brokers; AWS's functions use them too.
//! - [`LedgerOnBoth`]: a pair's ledger, a topic on each of its clusters.
//! - [`FileLedger`], [`FileStore`], [`FileSignals`], [`LocalClients`], [`OthersWorkers`], [`SystemClock`]: the rest, on one machine.
//! - [`Local`]: all of it together, as one [`understudy_shell::World`].
//!
//! Every call is bounded. What a cluster answers becomes a [`understudy_shell::PortError`] in [`trouble`] alone.

mod begin;
mod canary;
mod certificates;
mod clients;
mod clock;
mod clusters;
mod command;
mod connections;
mod files;
mod flows;
mod ledger;
mod ledger_on_both;
mod ledger_topic;
mod local;
mod look;
mod pair_file;
mod proof;
mod signals;
mod store;
mod tails;
pub mod trouble;
mod withheld;
mod workers;

pub use clients::LocalClients;
pub use clock::SystemClock;
pub use clusters::KafkaClusters;
pub use flows::KafkaFlows;
pub use ledger::FileLedger;
pub use ledger_on_both::LedgerOnBoth;
pub use local::Local;
pub use pair_file::{PairFile, PairFileError};
pub use signals::FileSignals;
pub use store::FileStore;
pub use workers::OthersWorkers;
