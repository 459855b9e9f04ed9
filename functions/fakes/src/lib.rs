//! A world in memory: two clusters, the flow between them, applications; and each call can be told to fail.
//!
//! What a test changes and looks at is [`Scene`]; what a step reaches is made of it by [`Stage::world`]. What happened is
//! kept write by write ([`Happened`]), so that promises can be held against every moment. A world stands still but for
//! what steps do, unless it is given a [`Life`]; and a step can be killed at each of its writes ([`Fuse`]).

mod fuse;
mod history;
mod life;
mod ports;
mod scene;
mod stage;

pub use fuse::Fuse;
pub use history::Happened;
pub use life::Life;
pub use scene::{FakeCluster, FakeFlow, Scene};
pub use stage::{Stage, position};
