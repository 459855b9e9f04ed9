//! What every recovery function shares.
//!
//! - [`world`]: what a step may reach, as traits: the ledger, the store, clusters, flows, applications, people, time.
//! - [`bounded`]: calls that take no longer than they may.
//! - [`copies`]: what copies tell of a source that is silent.
//! - [`keys`]: where the store keeps what steps hand to each other.
//! - [`rate`]: how fast a source's ends have been moving.
//! - [`reach`]: the two ends of an order, and the flow between them.
//! - [`verdict`]: a cluster judged from its signals.
//! - [`step`]: how a step is carried out: its epoch checked, its record kept, its errors named.
//! - [`turn`]: a turn of carrying a tail.
//! - [`typed`]: what people are told to type.
//!
//! Handlers block. Whoever runs them gives them a thread, and bounds it.

pub mod bounded;
pub mod copies;
pub mod keys;
pub mod port_error;
pub mod rate;
pub mod reach;
pub mod step;
pub mod turn;
pub mod typed;
pub mod verdict;
pub mod world;

pub use port_error::{PortError, PortErrorKind};
pub use step::Done;
pub use world::World;
