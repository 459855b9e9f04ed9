//! The lab: real Kafka clusters, the distance between them, and workers, as a vocabulary for the
//! integration tests, the demo, chaos, the benchmark and `scripts/clusters`.
//!
//! Everything started here ends with the value that stands for it, and with this process.

mod archive;
mod broker;
mod broker_config;
mod certs;
mod check;
mod cluster;
mod cluster_builder;
mod error;
mod flow_file;
mod format;
mod groups;
mod http;
mod jars;
mod java;
mod link;
mod listener;
mod ports;
mod process;
mod scratch;
mod tool;
mod topics;
mod wait;
mod worker;
mod workload;

pub use broker::Broker;
pub use check::{Comparison, Judge};
pub use cluster::Cluster;
pub use cluster_builder::ClusterBuilder;
pub use error::{LabError, Result, chain};
pub use flow_file::FlowFile;
pub use http::{Answer, get};
pub use jars::{DEFAULT_VERSION, Kafka, OLDER_VERSION, cache_dir};
pub use link::{Link, LinkState};
pub use listener::{ADMIN, ADMIN_PASSWORD, ClientProperties, Listener, client_config};
pub use ports::Port;
pub use process::{Process, Stat};
pub use topics::Resource;
pub use wait::wait_for;
pub use worker::{Worker, understudy, understudy_binary};
pub use workload::{Produced, RunningWorkload, Workload};
