//! AWS without AWS: one MiniStack a Region and one more for the ledger's table, the control plane deployed by the real CDK
//! CLI, and an agent that makes ECS's counts true.
//!
//! What MiniStack does otherwise than AWS is said where it matters. Two things matter everywhere: state is in memory, so
//! killing a Region's process is losing that Region's AWS; and nothing happens by the clock, so a test that wants an alarm
//! to fire says so.

mod agent;
mod api;
mod deployment;
mod http;
mod inventory;
mod ministack;
mod packed;
mod region;
mod tools;
mod two_regions;
mod version;

pub use agent::EcsAgent;
pub use api::Api;
pub use deployment::{Deployed, Deployment};
pub use inventory::Inventory;
pub use ministack::Ministack;
pub use region::{AwsRegion, Execution};
pub use two_regions::{Told, TwoRegions};
pub use version::Version;
