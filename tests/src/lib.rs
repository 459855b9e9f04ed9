//! The lab: real Kafka clusters, the distance between them, and workers, as a vocabulary for the
//! integration tests, the demo, chaos, the benchmark and `scripts/clusters`.
//!
//! Everything started here ends with the value that stands for it, and with this process.

mod broker;
mod broker_config;
mod certs;
mod cluster;
mod error;
mod format;
mod jars;
mod java;
mod link;
mod listener;
mod ports;
mod process;
mod tool;
mod topics;
mod wait;

pub use broker::Broker;
pub use cluster::{Cluster, ClusterBuilder};
pub use error::{LabError, Result, chain};
pub use jars::{DEFAULT_VERSION, Kafka, OLDER_VERSION, cache_dir};
pub use link::{Link, LinkState};
pub use listener::{ADMIN, ADMIN_PASSWORD, ClientProperties, Listener, client_config};
pub use ports::Port;
pub use process::{Process, Stat};
pub use topics::Resource;
pub use wait::wait_for;
