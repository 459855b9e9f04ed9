//! Understudy's adapter to Apache Kafka.
//!
//! - [`endpoint`]: how a cluster is reached; the client properties of each role.
//! - [`cluster`]: metadata, offsets, topics, state read to its end.
//! - [`describe`]: what a cluster tells of itself and of our permissions; [`probe`]: one look at one address.
//! - [`settings`]: configs and ACLs.
//! - [`plane`]: the data plane's trait, told in ranges; [`librdkafka`]: its first engine.
//! - [`picking`]: single records out of a log, by offset; [`log_range`]: a part of a partition, in order.
//! - [`ffi`]: the only unsafe code.

pub mod cluster;
pub mod describe;
pub mod endpoint;
pub mod fault;
pub mod ffi;
pub mod librdkafka;
pub mod log_range;
pub mod picking;
pub mod plane;
pub mod probe;
pub mod settings;
pub mod watch;

pub use cluster::Cluster;
pub use endpoint::Endpoint;
pub use fault::{Fault, Operation};
