//! Where the source's logs end, as discovery's thread asks for it.

use std::time::{Duration, Instant};

use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::board::{Board, CopiedTo};

/// Asks the source for the ends of what is copied here, and notes them on the board.
///
/// # Errors
/// The source does not answer each of two questions within `within`.
pub(crate) fn look_at_ends(source: &Cluster, board: &Board, within: Duration) -> Result<(), Fault> {
    let copied_to = board.hold().copied_to();
    // The high watermark first: without open transactions it is then never beyond the stable end.
    let tops = source.edges(copied_to.keys(), Edge::HighWatermark, within)?;
    let looked: Vec<_> = copied_to
        .iter()
        .filter_map(|(name, copied_to)| Some((name, copied_to, *tops.get(name)?.as_ref().ok()?)))
        .collect();
    // The stable end lies between what was copied before and the high watermark: where these are one, so is it. That
    // is every partition to which nobody writes.
    let is_still = |copied_to: &CopiedTo, top: i64| copied_to.offset.get() == top;
    let moving = looked
        .iter()
        .filter(|(_, copied_to, top)| !is_still(copied_to, *top))
        .map(|(name, ..)| *name);
    let ends = source.edges(moving, Edge::LastStable, within)?;
    let now = Instant::now();
    let mut board = board.hold();
    board.forget_ends_of_others();
    for (name, copied_to, top) in looked {
        let end = match ends.get(name) {
            _ if is_still(copied_to, top) => top,
            Some(Ok(end)) => *end,
            Some(Err(_)) | None => continue,
        };
        board.saw_end(name, *copied_to, end, top, now);
    }
    Ok(())
}
