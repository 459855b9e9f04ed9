//! The lab: real Kafka clusters, the distance between them, and workers, as a vocabulary for the
//! integration tests, the demo, chaos, the benchmark and `scripts/clusters`.
//!
//! Everything started here ends with the value that stands for it, and with this process.
//! Every call blocks, and every wait has a deadline.
//!
//! ```no_run
//! use std::time::Duration;
//! use understudy_tests::{Cluster, FlowFile, Judge, Result, Worker, Workload};
//!
//! fn a_killed_worker_loses_nothing() -> Result<()> {
//!     let source = Cluster::builder("use1").start()?;
//!     let target = Cluster::builder("usw2").brokers(3).start()?;
//!     source.create_topic("orders", 8, &[])?;
//!     source.link().set_round_trip(Duration::from_millis(60));
//!
//!     let worker = Worker::start(&FlowFile::new(&source, &target).topics(["orders"]), "worker-1")?;
//!     let orders = Workload::orders(source.client(), "orders").rate(1_000).records(10_000).start()?;
//!     worker.kill()?;
//!     worker.restart()?;
//!     orders.finish()?;
//!
//!     let verdict = Judge::new(&source, &target, "orders").wait_exact(Duration::from_secs(60))?;
//!     assert!(verdict.is_exact(), "{verdict}");
//!     Ok(())
//! }
//! ```

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
mod http;
mod jars;
mod java;
mod link;
mod listener;
mod logged_producer;
mod login;
mod mm2;
mod pair;
mod pair_file;
mod ports;
mod process;
mod records;
mod scratch;
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
pub use http::{Answer, get};
pub use jars::{DEFAULT_VERSION, Kafka, OLDER_VERSION, cache_dir};
pub use link::{Answers, Link, LinkState};
pub use listener::{ADMIN, ADMIN_PASSWORD, ClientProperties, Listener, client_config};
pub use logged_producer::{Heard, LoggedProducer};
pub use login::{ClientCertificate, Login, PLAIN_PASSWORD, PLAIN_USER, unsecured_token};
pub use mm2::{ConnectWorker, MirrorMaker};
pub use pair::Pair;
pub use pair_file::{deployed_pair, fencing_proof, local_pair};
pub use ports::Port;
pub use process::{Process, Stat};
pub use records::PlainRecord;
pub use topics::Resource;
pub use wait::wait_for;
pub use worker::{Worker, understudy, understudy_binary, understudy_in};
pub use workload::{Produced, RunningWorkload, Workload};
