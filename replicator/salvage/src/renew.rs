//! Compacted topics of a cluster that came back: a key that was last written in the tail would keep that value there,
//! although the active cluster never had it. Behind the tail each such key gets the value that the active cluster had at
//! the cut, or a tombstone; what was written since comes behind that by the flow back.
//!
//! Why it may be done again, and be killed anywhere: it is done behind a fence and before the flow back begins, so these
//! records are the last of their keys until then, and the same ones come out each time. A header says what they are, so
//! that they are no part of the tail.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use understudy_domain::tail::{Tail, renewed_note};
use understudy_domain::{CLEANUP_POLICY, Position, SourceOffset, TopicPartition};
use understudy_flow::config::Flow;
use understudy_kafka::Fault;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::reader::Index;
use understudy_kafka::log_range::LogRange;

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};
use crate::guard::keys_of;
use crate::look::look;
use crate::transactions::{COMMIT_WITHIN, Transactions};
use crate::turn::Turn;

/// Between two looks at ends that are to stand.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Puts right what compaction would keep of these topics' tails, on the source of `flow`, as whoever `back` writes there.
/// Answers where each partition that was written to ends now; nothing if the turn was over before all were. Copies under
/// another name are left alone.
///
/// Somebody else may write meanwhile whom the fence does not keep out: everything between what is known of each partition and
/// the end that is answered was read then, and puts keys right.
///
/// # Errors
/// Somebody else did ([`SalvageError::WrittenSince`]), or whoever asked may not go on.
/// The flow is not sealed, a cluster does not answer, or the cluster that came back does not take it.
pub fn renew(
    flow: &Flow,
    back: &Flow,
    topics: &[String],
    turn: &mut Turn<'_>,
) -> Result<Option<BTreeMap<TopicPartition, i64>>, SalvageError> {
    let mut ground = Ground::open(flow)?;
    ground.keep(topics)?;
    let at_source = |fault: Fault| SalvageError::source(flow, &fault);
    let compacted = compacted(&ground).map_err(at_source)?;
    let found = look(&ground)?;
    let mut left: Vec<(&TopicPartition, &Tail, &Position)> = Vec::new();
    for (name, position) in &ground.cut {
        let (Some(position), Some(Ok(tail))) = (position, found.tails.get(name)) else {
            continue;
        };
        let same_name = ground.copies_of(name, Some(position)) == *name;
        if compacted.contains(&*name.topic) && same_name && !tail.is_empty() {
            left.push((name, tail, position));
        }
    }
    if left.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let id = back.state.salvage_transactional_id();
    let writer = Transactions::take_over(&back.target, &id, back.max_bytes_per_second);
    let mut writer = writer.map_err(at_source)?;
    ground.still_stands()?;
    let begins = ground.copies_begin()?;
    for (name, tail, _) in &left {
        // Before anything is written behind it.
        turn.marks.known(name, tail.end);
    }
    let mut numbers = 0..;
    for (name, tail, position) in &left {
        if turn.marks.is_renewed(name) {
            continue;
        }
        if !turn.may_begin() {
            return Ok(None);
        }
        turn.go_on()?;
        let keys = keys_of(&ground, name, (tail.first, tail.end))?;
        let number = Index(numbers.next().unwrap_or(u32::MAX));
        let begin = begins.get(*name).copied().unwrap_or(0);
        let held = begin..position.target_offset.get();
        let renewed = renew_partition(&ground, (&mut writer, &*turn), number, (name, held), keys);
        if let Err(error) = renewed {
            // The brokers do it themselves in a while; until then readers wait.
            let _aborted = writer.abort();
            return Err(error);
        }
        turn.marks.renewed(name);
        turn.go_on()?;
    }
    let names: Vec<&TopicPartition> = left.iter().map(|(name, _, _)| *name).collect();
    let ends = standing_ends(&ground, &names)?;
    let all = nobody_wrote(&ground, &ends, turn)?;
    Ok(all.then_some(ends))
}

/// Whether all was read that stands before these ends and was not known: it puts keys right, and nobody else wrote. Not if the
/// turn was over before.
///
/// # Errors
/// Somebody wrote: that is no part of what was put aside, and the flow back would begin behind it. Or the source does not
/// answer.
fn nobody_wrote(
    ground: &Ground<'_>,
    ends: &BTreeMap<TopicPartition, i64>,
    turn: &mut Turn<'_>,
) -> Result<bool, SalvageError> {
    let flow = ground.flow;
    let at_source = |fault: Fault| SalvageError::source(flow, &fault);
    for (name, end) in ends {
        let Some(from) = turn.marks.known_to(name).filter(|from| from.get() < *end) else {
            continue;
        };
        if !turn.may_begin() {
            return Ok(false);
        }
        let config = flow.source.reader_to_end();
        let range = LogRange::open(config, &flow.source, name, from.get(), *end);
        let mut range = range.map_err(at_source)?;
        while let Some(record) = range.next_record().map_err(at_source)? {
            if !ground.is_renewed(name, &record.headers()) {
                return Err(SalvageError::WrittenSince {
                    partition: name.clone(),
                    offset: record.offset(),
                });
            }
        }
        turn.marks.note_known_to(name, SourceOffset::new(*end));
        turn.go_on()?;
    }
    Ok(true)
}

/// Where partitions end once nothing is open in them: the marks of a commit come a moment after its answer.
fn standing_ends(
    ground: &Ground<'_>,
    names: &[&TopicPartition],
) -> Result<BTreeMap<TopicPartition, i64>, SalvageError> {
    let deadline = Instant::now() + COMMIT_WITHIN;
    loop {
        let edges = |edge| {
            let edges = ground.source.edges(names.iter().copied(), edge, WITHIN);
            edges.map_err(|fault| SalvageError::source(ground.flow, &fault))
        };
        // In this order a transaction that ends meanwhile cannot make one overtake the other.
        let (stable, all) = (edges(Edge::LastStable)?, edges(Edge::HighWatermark)?);
        let mut told = BTreeMap::new();
        for (name, end) in all {
            if let (Ok(end), Some(Ok(stable))) = (end, stable.get(&name))
                && *stable == end
            {
                told.insert(name, end);
            }
        }
        if told.len() == names.len() {
            return Ok(told);
        }
        if Instant::now() >= deadline {
            let open = names.iter().find(|name| !told.contains_key(**name));
            let open = open.map(ToString::to_string).unwrap_or_default();
            return Err(SalvageError::Unfinished(format!(
                "a transaction is open in {open} although this one has ended"
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn compacted(ground: &Ground<'_>) -> Result<BTreeSet<String>, Fault> {
    let mut compacted = BTreeSet::new();
    for topic in ground.topics() {
        let policy = ground.source.topic_config(topic, CLEANUP_POLICY, WITHIN)?;
        if policy.is_some_and(|policy| policy.contains("compact")) {
            compacted.insert(topic.to_owned());
        }
    }
    Ok(compacted)
}

/// Writes behind the tail what the active cluster held of these keys at the cut: between these offsets of the copies.
fn renew_partition(
    ground: &Ground<'_>,
    (writer, turn): (&mut Transactions, &Turn<'_>),
    number: Index,
    (name, held): (&TopicPartition, Range<i64>),
    mut keys: HashSet<Vec<u8>>,
) -> Result<(), SalvageError> {
    let flow = ground.flow;
    let at_target = |fault: Fault| SalvageError::target(flow, &fault);
    let at_source = |fault: Fault| SalvageError::source(flow, &fault);
    let open = || {
        let config = flow.target.reader_to_end();
        LogRange::open(config, &flow.target, name, held.start, held.end).map_err(at_target)
    };
    let note = [renewed_note(ground.record.epoch)];
    let mut newest: HashMap<Vec<u8>, i64> = HashMap::new();
    {
        let mut range = open()?;
        while let Some(record) = range.next_record().map_err(at_target)? {
            if let Some(key) = record.key().filter(|key| keys.contains(*key)) {
                newest.insert(key.to_vec(), record.offset());
            }
        }
    }
    // Whoever has taken the pair over since may have opened this cluster to applications.
    let commit = |writer: &mut Transactions| {
        turn.go_on()?;
        writer.commit().map_err(at_source)
    };
    writer.aim(number, name, name).map_err(at_source)?;
    let wanted: BTreeSet<i64> = newest.values().copied().collect();
    if !wanted.is_empty() {
        let mut range = open()?;
        while let Some(record) = range.next_record().map_err(at_target)? {
            if wanted.contains(&record.offset()) {
                writer.forward(number, record, &note).map_err(at_source)?;
                if writer.is_full() {
                    commit(writer)?;
                }
            }
        }
    }
    keys.retain(|key| !newest.contains_key(key));
    for key in keys {
        writer.put(name, &key, None, &note).map_err(at_source)?;
        if writer.is_full() {
            commit(writer)?;
        }
    }
    commit(writer)
}
