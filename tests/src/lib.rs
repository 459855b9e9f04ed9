//! The lab: real Kafka clusters, the distance between them, and workers, as a vocabulary for the
//! integration tests, the demo, chaos, the benchmark and `scripts/clusters`.
//!
//! Everything started here ends with the value that stands for it, and with this process.
//! Every call blocks, and every wait has a deadline.
//! `tests/shared/both_ways.rs` reads as an example of it.

mod archive;
pub mod aws;
mod broker;
mod broker_config;
mod certs;
pub mod chaos;
mod check;
mod cluster;
mod cluster_builder;
mod dark;
mod deaf;
mod disk;
mod ends;
mod error;
mod flow_file;
mod format;
mod group_member;
mod groups;
mod host;
mod http;
mod jars;
mod java;
mod link;
mod listener;
mod logged_producer;
mod login;
mod minimal_root;
mod mm2;
mod package;
mod pair;
mod pair_file;
mod ports;
mod process;
mod reading_on;
mod records;
mod scratch;
mod serve;
mod tool;
mod topics;
mod wait;
pub mod wire;
mod worker;
mod workload;

pub use broker::Broker;
pub use check::{Comparison, Judge};
pub use cluster::Cluster;
pub use cluster_builder::ClusterBuilder;
pub use dark::Dark;
pub use deaf::Deaf;
pub use disk::copy_folder;
pub use ends::Ends;
pub use error::{LabError, Result, chain};
pub use flow_file::FlowFile;
pub use group_member::GroupMember;
pub use host::become_host;
pub use http::{Answer, get};
pub use jars::{DEFAULT_VERSION, Kafka, OLDER_VERSION, cache_dir};
pub use link::{Answers, Link, LinkState};
pub use listener::{ADMIN, ADMIN_PASSWORD, ClientProperties, Listener, client_config};
pub use logged_producer::{Heard, LoggedProducer};
pub use login::{ClientCertificate, Login, PLAIN_PASSWORD, PLAIN_USER, unsecured_token};
pub use minimal_root::MinimalRoot;
pub use mm2::{ConnectWorker, MirrorMaker};
pub use package::package_file;
pub use pair::Pair;
pub use pair_file::{deployed_pair, fencing_proof, local_pair};
pub use ports::Port;
pub use process::{Process, Stat, Wakes};
pub use reading_on::ReadOn;
pub use records::PlainRecord;
pub use topics::Resource;
pub use wait::wait_for;
pub use worker::{Worker, understudy, understudy_binary, understudy_in};
pub use workload::{Produced, RunningWorkload, Workload};
