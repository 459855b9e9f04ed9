//! A world in memory: two clusters, the flow between them, applications; and each call can be told to fail.
//!
//! What a test changes and looks at is [`Scene`]; what a step reaches is made of it by [`Stage::world`].

mod ports;
mod scene;
mod stage;

pub use scene::{FakeCluster, FakeFlow, Scene};
pub use stage::Stage;
