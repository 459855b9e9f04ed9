//! The tail: what a cluster that came back holds beyond the place at which its flow was cut, and nobody else holds.
//!
//! - What a partition came to: [`Tail`], from its position at the cut and a look at the log that came back.
//! - How it is put aside: [`TailOrigin`] in headers, [`TailProgress`] in the transaction of the copies, and
//!   [`TailDigest`] over what was put aside, so that it can be read back and compared.
//! - How far it has come where that takes several turns: [`TailMarks`].
//! - Which keys were written on both sides since: [`KeyCensus`].
//!
//! Nothing here decides what becomes of a tail: that is for whoever answers for the records.

mod census;
mod digest;
mod fate;
mod marks;
mod progress;
mod record;

pub use census::{KeyCensus, KeyCount};
pub use digest::TailDigest;
pub use fate::{HeldLog, Loss, ReturnedLog, Tail};
pub use marks::{ReadMark, TailMarks};
pub use progress::{Merged, Missing, TailKey, TailProgress};
pub use record::{NO_TIMESTAMP, TailHeader, TailOrigin, TailRecord, is_renewed, renewed_note};

/// The topic of the target that takes the tail of a topic; `copies` is what the topic is called there.
pub fn tail_topic(copies: &str, epoch: u64) -> String {
    format!("{copies}{TAIL}e{epoch}")
}

/// What stands between the name of a copy and the epoch in the name of a tail.
pub const TAIL: &str = ".tail.";
