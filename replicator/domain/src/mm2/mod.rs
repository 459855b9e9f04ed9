//! MirrorMaker 2's own records and topic names, byte for byte (KIP-382).
//!
//! So that `RemoteClusterUtils`, `MirrorClient`, dashboards and a way back to MirrorMaker 2 keep working. All records
//! go to partition 0; numbers are big-endian, a string is its length in two bytes and then UTF-8.

mod checkpoint;
mod connect_offset;
mod heartbeat;
mod names;
mod offset_sync;
mod past;
mod seam;
mod wire;

pub use checkpoint::{Checkpoint, CheckpointKey};
pub use connect_offset::{ConnectOffsetKey, decode_connect_offset, encode_connect_offset};
pub use heartbeat::{Heartbeat, HeartbeatKey};
pub use names::Mm2Topics;
pub use offset_sync::OffsetSync;
pub use past::Mm2Past;
pub use seam::{SeamDoubt, SeamLook, seam};
pub use wire::TooLong;
