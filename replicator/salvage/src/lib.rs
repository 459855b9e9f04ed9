//! What a cluster that came back holds beyond the cut of its flow, surveyed and put aside: `understudy salvage`, and the
//! first half of a failback.
//!
//! The flow was sealed by a recovery: its source is the cluster that came back, its target the one that is active since.
//! Records that only the old one holds are counted ([`survey()`]) and copied to topics of their own on the active one
//! ([`export()`]), or, where somebody chose that, into the topics themselves ([`merge()`]). On the old one nothing is
//! written but keys of compacted topics that are put right ([`renew()`]), and nothing is deleted anywhere. What takes
//! longer than whoever asks may run is done in turns ([`Turn`]).

mod aside;
mod carrier;
mod error;
mod export;
mod ground;
mod groups;
mod guard;
mod keys;
mod look;
mod mergeable;
mod read_back;
mod renew;
mod survey;
mod tally;
mod transactions;
mod turn;

pub use error::SalvageError;
pub use export::{Export, Settled, export, export_for, merge, merge_for};
pub use groups::{Groups, PlaceBeyond};
pub use renew::renew;
pub use survey::{Keys, Line, OtherCluster, PutAside, Survey, Within, lost, survey};
pub use tally::Tally;
pub use turn::{GoesOn, Turn};
