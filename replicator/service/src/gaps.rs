//! `understudy gaps`: what could not be copied, and what is to be done about it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use understudy_domain::{GapKey, GapRecord, Resolution, SourceOffset, TopicPartition, slot_of};
use understudy_kafka::Fault;
use understudy_kafka::ffi::writer::Writer;

use crate::Report;
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record;
use crate::stored_state::{place_of, read_gaps};
use crate::tool::{ToolError, open_target};
use crate::unread::Unread;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(20);

/// One gap, for people and for machines.
#[derive(Clone, Debug, Serialize)]
pub struct GapLine {
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Which life of the partition.
    pub incarnation: u32,
    /// The first source offset without a copy.
    pub start: i64,
    /// The first one behind the gap, where that is known.
    pub end: Option<i64>,
    /// Why there is no copy.
    pub cause: &'static str,
    /// What was done about it.
    pub state: &'static str,
    /// The cause in words.
    pub reason: String,
    /// When it was found, in milliseconds since 1970.
    pub found_at_ms: i64,
    /// What can be done, while nothing was.
    pub resolutions: Vec<&'static str>,
}

impl GapLine {
    /// The gap as stored.
    pub fn new(key: &GapKey, record: &GapRecord) -> Self {
        let open = record.is_open();
        Self {
            topic: key.partition.topic.to_string(),
            partition: key.partition.partition,
            incarnation: key.incarnation,
            start: key.start.get(),
            end: record.end.map(SourceOffset::get),
            cause: record.cause.name(),
            state: record.state.name(),
            reason: record.reason.clone(),
            found_at_ms: record.found_at_ms,
            resolutions: record
                .cause
                .resolutions()
                .iter()
                .filter(|_| open)
                .map(|resolution| resolution.name())
                .collect(),
        }
    }

    /// Whether its partition is halted.
    pub fn is_open(&self) -> bool {
        !self.resolutions.is_empty()
    }
}

impl fmt::Display for GapLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}: offsets {}",
            self.topic, self.partition, self.start
        )?;
        match self.end {
            Some(end) if end > self.start => write!(f, " to {}", end - 1)?,
            Some(_) | None => f.write_str(" on")?,
        }
        write!(f, ", {}, {}: {}", self.cause, self.state, self.reason)
    }
}

/// A flow's gaps.
#[derive(Serialize)]
pub struct Gaps {
    flow: String,
    open: usize,
    gaps: Vec<GapLine>,
    /// Slots of whose gaps nothing is known.
    unread: Vec<Unread>,
}

/// Reads them.
///
/// # Errors
/// The target does not answer, holds no such flow, or state that this version cannot read.
pub fn list(flow: &Flow) -> Result<Gaps, ToolError> {
    let target = open_target(flow)?;
    let (mut gaps, unread) = flow_record::steady(&target, flow, |record| {
        let (mut gaps, mut unread) = (Vec::new(), Vec::new());
        for slot in record.homes() {
            let read = read_gaps(&target, &flow.state, slot);
            let found = Unread::leave_out(slot, read, &mut unread)?;
            let found = found.iter().flatten();
            gaps.extend(found.map(|(key, record)| GapLine::new(key, record)));
        }
        Ok::<_, ToolError>((gaps, unread))
    })?;
    gaps.sort_by(|a, b| (&a.topic, a.partition, a.start).cmp(&(&b.topic, b.partition, b.start)));
    Ok(Gaps {
        flow: flow.name.to_string(),
        open: gaps.iter().filter(|gap| gap.is_open()).count(),
        gaps,
        unread,
    })
}

/// Which gaps are to be resolved: those that match everything given.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this partition.
    pub partition: Option<i32>,
    /// That begins there.
    pub start: Option<i64>,
}

impl Which {
    fn matches(&self, key: &GapKey) -> bool {
        let topic = self.topic.as_ref();
        topic.is_none_or(|topic| **topic == *key.partition.topic)
            && self
                .partition
                .is_none_or(|partition| partition == key.partition.partition)
            && self.start.is_none_or(|start| start == key.start.get())
    }
}

/// What was asked for, gap by gap.
#[derive(Serialize)]
pub struct Resolved {
    flow: String,
    resolution: &'static str,
    asked: Vec<GapLine>,
    /// Open gaps that were meant, but to which it cannot be done.
    unfit: Vec<GapLine>,
    /// Slots of whose gaps nothing is known: none of theirs was answered.
    unread: Vec<Unread>,
}

/// Asks the workers to settle open gaps; they do it within seconds, once they run.
///
/// # Errors
/// The target does not answer, or refuses the answer.
pub fn resolve(flow: &Flow, which: &Which, resolution: Resolution) -> Result<Resolved, ToolError> {
    let target = open_target(flow)?;
    let at_target = |fault: Fault| ToolError::Target(explain(&flow.target, &fault));
    // Before the flow's record is read: whoever changes its slots fences us before a gap moves to another one.
    let mut writer = writer(flow).map_err(at_target)?;
    let stored = flow_record::settled(&target, flow)?;
    let (mut asked, mut unfit, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    let mut unread = Vec::new();
    for slot in stored.homes() {
        let read = read_gaps(&target, &flow.state, slot);
        let found = Unread::leave_out(slot, read, &mut unread)?;
        for (key, mut record) in found.into_iter().flatten() {
            if !record.is_open() || !which.matches(&key) {
                continue;
            }
            let park_nowhere = resolution == Resolution::Park && flow.parking_topic.is_none();
            if !record.cause.resolutions().contains(&resolution) || park_nowhere {
                unfit.push(GapLine::new(&key, &record));
                continue;
            }
            record.resolution = Some(resolution);
            asked.push(GapLine::new(&key, &record));
            let to = place_of(flow.state.gaps(), slot_of(&key.partition, stored.slots));
            answers.push((to, key.encode(), record.encode()));
        }
    }
    answer(&mut writer, &answers).map_err(at_target)?;
    Ok(Resolved {
        flow: flow.name.to_string(),
        resolution: resolution.name(),
        asked,
        unfit,
        unread,
    })
}

/// The right to answer, taken from whoever had it.
fn writer(flow: &Flow) -> Result<Writer, Fault> {
    let id = flow_record::answers_id(flow);
    let (properties, watch) = (flow.target.writer(&id), flow.target.watch.clone());
    let mut writer = Writer::new(&properties, watch, usize::MAX)?;
    writer.init(WITHIN)?;
    Ok(writer)
}

/// Writes answers, all or none.
fn answer(
    writer: &mut Writer,
    answers: &[(TopicPartition, Vec<u8>, Vec<u8>)],
) -> Result<(), Fault> {
    if answers.is_empty() {
        return Ok(());
    }
    writer.begin()?;
    for (place, key, value) in answers {
        writer.put(0, place, key, Some(value))?;
    }
    writer.commit(WITHIN)
}

impl Report for Gaps {
    fn holds(&self) -> bool {
        self.open == 0 && self.unread.is_empty()
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "flow {}: {} gaps, {} of them open",
            self.flow,
            self.gaps.len(),
            self.open
        )?;
        for gap in &self.gaps {
            writeln!(f, "  {gap}")?;
            if gap.is_open() {
                writeln!(
                    f,
                    "    halted; it can be settled as {}",
                    gap.resolutions.join(" or ")
                )?;
            }
        }
        for slot in &self.unread {
            writeln!(f, "gaps not known: {slot}")?;
        }
        Ok(())
    }
}

impl Report for Resolved {
    fn holds(&self) -> bool {
        !self.asked.is_empty() && self.unfit.is_empty() && self.unread.is_empty()
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.asked.is_empty() && self.unfit.is_empty() {
            writeln!(f, "flow {}: no open gap is meant by that", self.flow)?;
        }
        for gap in &self.asked {
            writeln!(f, "to be settled as {}: {gap}", self.resolution)?;
        }
        for gap in &self.unfit {
            writeln!(
                f,
                "cannot be settled as {}, only as {}: {gap}",
                self.resolution,
                gap.resolutions.join(" or ")
            )?;
            if self.resolution == Resolution::Park.name() {
                writeln!(f, "    to park a record, set mirror.parking_topic")?;
            }
        }
        for slot in &self.unread {
            writeln!(f, "gaps not known, and not answered: {slot}")?;
        }
        Ok(())
    }
}
