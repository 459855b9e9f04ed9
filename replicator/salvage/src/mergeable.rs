//! What may be merged of a tail into the topic of the copies.

use std::time::{SystemTime, UNIX_EPOCH};

use understudy_domain::tail::{Loss, Tail};
use understudy_domain::{CLEANUP_POLICY, Position, SourceOffset, TopicPartition};
use understudy_kafka::Fault;
use understudy_kafka::ffi::admin::Edge;

use crate::SalvageError;
use crate::carrier::Rule;
use crate::ground::{Ground, WITHIN};
use crate::guard::{Guard, keys_of};

/// How long a tombstone stays at least, where the target does not tell: not at all.
const TOMBSTONES_MS: i64 = 0;

/// For how many milliseconds tombstones stay in a topic of copies, if it is compacted.
fn is_compacted(ground: &Ground<'_>, copies: &str) -> Result<Option<i64>, SalvageError> {
    let config = |name| {
        let told = ground.target.topic_config(copies, name, WITHIN);
        told.map_err(|fault| SalvageError::target(ground.flow, &fault))
    };
    let policy = config(CLEANUP_POLICY)?;
    if !policy.is_some_and(|policy| policy.contains("compact")) {
        return Ok(None);
    }
    let stays = config("delete.retention.ms")?;
    let stays = stays.and_then(|it| it.parse().ok());
    Ok(Some(stays.unwrap_or(TOMBSTONES_MS)))
}

/// What becomes of a partition's tail, of which everything before the offset beside it was merged.
///
/// # Errors
/// A cluster does not answer, or the tail has too many keys.
pub fn rule(
    ground: &Ground<'_>,
    name: &TopicPartition,
    position: Option<&Position>,
    (tail, from): (&Tail, SourceOffset),
) -> Result<Rule, SalvageError> {
    // A log that is another one than what was copied is no continuation of the copies.
    let (Some(position), None | Some(Loss::Deleted { .. })) = (position, &tail.loss) else {
        return Ok(Rule::LeaveOut);
    };
    let copies = ground.copies_of(name, Some(position));
    let at_target = |fault: Fault| SalvageError::target(ground.flow, &fault);
    let there = ground.target.topic(&copies.topic, WITHIN);
    let there = there.map_err(at_target)?.map_or(0, |it| it.partitions);
    if there <= copies.partition {
        return Ok(Rule::LeaveOut);
    }
    let Some(stays_ms) = is_compacted(ground, &copies.topic)? else {
        return Ok(Rule::Merge(copies));
    };
    let edge = |edge| -> Result<Option<i64>, SalvageError> {
        let told = ground.target.edges([&copies], edge, WITHIN);
        Ok(told
            .map_err(at_target)?
            .remove(&copies)
            .and_then(Result::ok))
    };
    let cut = position.target_offset.get();
    // Otherwise what was written since the cut may be gone, and with it what it was newer than.
    let holds_all = || -> Result<bool, SalvageError> {
        let start = edge(Edge::Earliest)?;
        Ok(start.is_some_and(|start| start <= cut) && remembers(ground, stays_ms))
    };
    // A log that ends before the cut was made again or cut: it is not the one that was copied to.
    let end = edge(Edge::HighWatermark)?.filter(|end| *end >= cut);
    let Some(end) = end else {
        return Ok(Rule::LeaveOut);
    };
    if !holds_all()? {
        return Ok(Rule::LeaveOut);
    }
    let keys = keys_of(ground, name, (from, tail.end))?;
    let mut guard = Guard::new(keys, name, copies.clone(), cut);
    guard.look(ground, end)?;
    // Looking took its time.
    if !holds_all()? {
        return Ok(Rule::LeaveOut);
    }
    Ok(Rule::MergeGuarded(copies, guard))
}

/// Whether the target still holds every tombstone that was written since the cut: none stays for less than `stays_ms`, and
/// the cut is later than the flow's making and than the last sign of life of its workers.
fn remembers(ground: &Ground<'_>, stays_ms: i64) -> bool {
    let seen = ground.cut.values().flatten();
    let seen = seen.filter_map(|position| position.source_end_seen_at_ms);
    let seen = seen.chain(ground.record.created_at_ms).max();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    seen.is_some_and(|seen_ms| now_ms.saturating_sub(seen_ms) < stays_ms)
}
