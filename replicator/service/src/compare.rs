//! Reads one partition on both sides, side by side, and compares record by record through the offset map.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use understudy_domain::{
    OffsetMap, Position, Replicated, SourceOffset, TopicPartition, Translation,
};
use understudy_kafka::Fault;
use understudy_kafka::ffi::reader::Record;

use crate::config::Flow;
use understudy_kafka::log_range::LogRange;

/// How many source offsets are named in words.
const NAMED: usize = 3;

/// What a comparison of contents found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparison {
    /// Records compared.
    pub compared: u64,
    /// On the source, but not where the map says on the target.
    pub lost: u64,
    /// On the target within the copied range, but the copy of nothing.
    pub doubled: u64,
    /// Copies that differ from their record.
    pub altered: u64,
    /// On the source within a gap that was settled by going on behind it.
    pub in_gaps: u64,
    /// On one side removed by compaction, with a newer record of the same key on that side.
    pub superseded: u64,
    /// Copies on the target that aborted transactions left; `read_uncommitted` readers (Java's default) meet them.
    pub aborted_copies: u64,
    #[serde(skip)]
    examples: Vec<String>,
}

impl Comparison {
    /// What is wrong, in words.
    pub fn faults(&self) -> Vec<String> {
        self.examples.clone()
    }

    fn fault(&mut self, text: String) {
        if self.examples.len() < NAMED {
            self.examples.push(text);
        }
    }
}

/// A record that stands on one side only; its key decides later whether compaction explains it.
struct Alone {
    key: Option<Vec<u8>>,
    offset: i64,
    text: String,
    lost: bool,
}

/// Compares what `position` says was copied, as far as both logs still hold it.
///
/// # Errors
/// A side stopped answering.
#[expect(
    clippy::too_many_arguments,
    reason = "one for each thing that is known of a partition"
)]
pub fn compare(
    flow: &Flow,
    name: &TopicPartition,
    position: &Position,
    map: &OffsetMap,
    source_start: i64,
    target_start: i64,
    compacted: bool,
    gaps: &[Range<i64>],
) -> Result<Comparison, Fault> {
    let replicated = Replicated {
        source: position.source_offset,
        target_end: position.target_offset,
    };
    let mut found = Comparison::default();
    let copies = flow.copies_of(name, position);
    // Retention may have taken the older part on either side: begin where both still have everything.
    let mut first_source = source_start.max(position.started_at.source.get());
    let mut first_target = target_start.max(position.started_at.target.get());
    if let Translation::Exact(offset) = map.forward(SourceOffset::new(first_source), replicated) {
        first_target = first_target.max(offset.get());
    }
    if let Translation::Exact(offset) = map.reverse(
        understudy_domain::TargetOffset::new(first_target),
        replicated,
    ) {
        first_source = first_source.max(offset.get());
    }
    let mut source = LogRange::open(
        flow.source.reader_to_end(),
        &flow.source,
        name,
        first_source,
        position.source_offset.get(),
    )?;
    let mut target = LogRange::open(
        flow.target.reader_to_end(),
        &flow.target,
        &copies,
        first_target,
        position.target_offset.get(),
    )?;
    let mut alone = Vec::new();
    let mut last = [HashMap::new(), HashMap::new()];
    let mut note = |side: usize, record: &Record| {
        if let (true, Some(keys), Some(key)) = (compacted, last.get_mut(side), record.key()) {
            keys.insert(key.to_vec(), record.offset());
        }
    };
    let mut on_target = 0;
    let mut copy = target.next_record()?;
    while let Some(original) = source.next_record()? {
        note(0, &original);
        let place = match map.forward(SourceOffset::new(original.offset()), replicated) {
            Translation::Exact(place) if is_copied(map, original.offset()) => place.get(),
            _ if gaps.iter().any(|gap| gap.contains(&original.offset())) => {
                found.in_gaps += 1;
                continue;
            }
            _ => {
                alone.push(Alone::new(
                    &original,
                    true,
                    format!("source offset {} was passed over", original.offset()),
                ));
                continue;
            }
        };
        while let Some(extra) = copy.take_if(|copy| copy.offset() < place) {
            note(1, &extra);
            on_target += 1;
            alone.push(Alone::new(
                &extra,
                false,
                format!("target offset {} is the copy of nothing", extra.offset()),
            ));
            copy = target.next_record()?;
        }
        match copy.take_if(|copy| copy.offset() == place) {
            Some(same) => {
                note(1, &same);
                on_target += 1;
                found.compared += 1;
                if !equal(&original, &same) {
                    found.altered += 1;
                    found.fault(format!(
                        "source offset {} and its copy at {place} differ",
                        original.offset()
                    ));
                }
                copy = target.next_record()?;
            }
            None => {
                let text = format!("source offset {} has no copy at {place}", original.offset());
                alone.push(Alone::new(&original, true, text));
            }
        }
    }
    while let Some(extra) = copy.take() {
        note(1, &extra);
        on_target += 1;
        alone.push(Alone::new(
            &extra,
            false,
            format!("target offset {} is the copy of nothing", extra.offset()),
        ));
        copy = target.next_record()?;
    }
    let everything = count(flow, &copies, first_target, position.target_offset.get())?;
    found.aborted_copies = everything.saturating_sub(on_target);
    let [source_keys, target_keys] = last;
    for alone in alone {
        let other = if alone.lost {
            &target_keys
        } else {
            &source_keys
        };
        let own = if alone.lost {
            &source_keys
        } else {
            &target_keys
        };
        // Compaction removes a record only for a newer one of its key, which both sides have then.
        let newer = alone.key.as_ref().is_some_and(|key| {
            other.contains_key(key) && own.get(key).is_some_and(|last| *last > alone.offset)
        });
        match (compacted && newer, alone.lost) {
            (true, _) => found.superseded += 1,
            (false, true) => {
                found.lost += 1;
                found.fault(alone.text);
            }
            (false, false) => {
                found.doubled += 1;
                found.fault(alone.text);
            }
        }
    }
    Ok(found)
}

/// How many records a `read_uncommitted` reader of the target meets.
fn count(flow: &Flow, name: &TopicPartition, from: i64, end: i64) -> Result<u64, Fault> {
    let mut side = LogRange::open(
        flow.target.reader_of_everything(),
        &flow.target,
        name,
        from,
        end,
    )?;
    let mut records = 0;
    while side.next_record()?.is_some() {
        records += 1;
    }
    Ok(records)
}

fn is_copied(map: &OffsetMap, offset: i64) -> bool {
    map.copied_between(SourceOffset::new(offset)..SourceOffset::new(offset).next()) == 1
}

impl Alone {
    fn new(record: &Record, lost: bool, text: String) -> Self {
        Self {
            key: record.key().map(<[u8]>::to_vec),
            offset: record.offset(),
            text,
            lost,
        }
    }
}

fn equal(original: &Record, copy: &Record) -> bool {
    original.key() == copy.key()
        && original.payload() == copy.payload()
        && original.timestamp_ms() == copy.timestamp_ms()
        && original.headers() == copy.headers()
}
