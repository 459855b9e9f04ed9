//! `understudy status`: where a flow stands, from its state on the target and the source's ends.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use serde::Serialize;
use understudy_domain::{
    Condition, FlowState, GapLook, Look, Objectives, PartitionLook, Position, Readiness, Reason,
    Slot, SourceOffset, Verdict,
};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::admin::{Edge, Edges};

use crate::Report;
use crate::clock::now_ms;
use crate::config::Flow;
use crate::explain::explain;
use crate::flow_record;
use crate::gaps::GapLine;
use crate::group_survey::{Atlas, GroupSurvey, survey};
use crate::map_state::answer_all;
use crate::stored_state::{read_gaps, read_positions};
use crate::tool::{ToolError, open_target};
use crate::unread::Unread;
use crate::words;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// A flow's status.
#[derive(Serialize)]
pub struct Status {
    flow: String,
    source: String,
    target: String,
    state: &'static str,
    epoch: u64,
    slots: u32,
    /// Why the source's ends are not known, if they are not.
    source_unreachable: Option<String>,
    /// Null while something keeps it from being known.
    lag_records: Option<u64>,
    /// Could we fail over now. Workers know more: how old what lags is, what halted, and why.
    readiness: Readiness,
    partitions: Vec<Line>,
    /// Slots of which nothing, or not everything, is known.
    unread: Vec<Unread>,
    /// Ranges of the source without copies.
    gaps: Vec<GapLine>,
    /// Where groups stand; null while the source does not answer.
    groups: Option<GroupSurvey>,
    #[serde(skip)]
    running: bool,
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    source_offset: i64,
    target_offset: i64,
    source_end_offset: Option<i64>,
    /// When the target's state has last told the source's end, in milliseconds since 1970.
    stored_end_seen_at_ms: Option<i64>,
    lag_records: Option<u64>,
    /// Whether the source has it, as far as it told.
    on_source: Option<bool>,
    records: u64,
}

/// Reads it.
///
/// # Errors
/// The target does not answer, or holds no such flow.
pub fn read(flow: &Flow) -> Result<Status, ToolError> {
    let target = open_target(flow)?;
    let (record, mut all, mut unread) = flow_record::steady(&target, flow, |record| {
        let (mut all, mut unread) = (Vec::new(), Vec::new());
        for slot in record.homes() {
            let read = read_positions(&target, &flow.state, slot);
            all.extend(
                Unread::leave_out(slot, read, &mut unread)?
                    .into_iter()
                    .flatten(),
            );
        }
        Ok::<_, ToolError>((record.clone(), all, unread))
    })?;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut gaps = Vec::new();
    for slot in (0..record.slots.get()).map(Slot::new) {
        let read = read_gaps(&target, &flow.state, slot);
        gaps.extend(
            Unread::leave_out(slot, read, &mut unread)?
                .into_iter()
                .flatten(),
        );
    }
    let mut groups = None;
    let ends = Cluster::open(&flow.source)
        .and_then(|source| {
            let names = all.iter().map(|(name, _)| name);
            Ok((source.edges(names, Edge::LastStable, WITHIN)?, source))
        })
        .map(|(ends, source)| {
            groups = look_at_groups(flow, &source, &target, record.slots);
            ends
        })
        .map_err(|fault| explain(&flow.source, &fault));
    let (ends, source_unreachable) = match ends {
        Ok(ends) => (ends, None),
        Err(reason) => (Edges::new(), Some(reason)),
    };
    let partitions: Vec<Line> = all
        .iter()
        .map(|(name, position)| {
            let end = ends
                .get(name)
                .and_then(|end| end.as_ref().ok())
                .map(|end| SourceOffset::new(*end));
            Line {
                topic: name.topic.to_string(),
                partition: name.partition,
                source_offset: position.source_offset.get(),
                target_offset: position.target_offset.get(),
                source_end_offset: end.or(position.source_end_offset).map(SourceOffset::get),
                stored_end_seen_at_ms: position.source_end_seen_at_ms,
                lag_records: end.map(|end| {
                    u64::try_from(end.get() - position.source_offset.get()).unwrap_or_default()
                }),
                on_source: match ends.get(name) {
                    Some(Ok(_)) => Some(true),
                    Some(Err(
                        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                    )) => Some(false),
                    Some(Err(_)) | None => None,
                },
                records: position.records,
            }
        })
        .collect();
    let looks = all.iter().zip(&partitions).map(|((_, position), line)| {
        let lag = line.lag_records;
        look(position, lag, now_ms())
    });
    // Nothing bounds what lags in them.
    let unseen = unread.iter().map(|_| PartitionLook {
        lag_records: 0,
        lag_seconds: None,
        seen_seconds: None,
        condition: Condition::Copying,
    });
    let readiness = Readiness::of(
        &Look {
            slots: record.slots.get(),
            flow: Some(record.state),
            partitions: looks.chain(unseen).collect(),
            reasons: unread
                .iter()
                .map(|slot| Reason {
                    verdict: Verdict::Unknown,
                    text: slot.to_string(),
                })
                .collect(),
            groups: groups.as_ref().map(GroupSurvey::looks).unwrap_or_default(),
            gaps: gaps
                .iter()
                .map(|(key, gap)| GapLook {
                    records: gap.end.map_or(0, |end| {
                        u64::try_from(end.get() - key.start.get()).unwrap_or_default()
                    }),
                    resolved: !gap.is_open(),
                })
                .collect(),
            ..Look::default()
        },
        &Objectives::default(),
    );
    Ok(Status {
        readiness,
        flow: flow.name.to_string(),
        source: flow.source.alias.clone(),
        target: flow.target.alias.clone(),
        state: record.state.name(),
        epoch: record.epoch,
        slots: record.slots.get(),
        lag_records: (source_unreachable.is_none() && unread.is_empty())
            .then(|| partitions.iter().filter_map(|line| line.lag_records).sum()),
        source_unreachable,
        partitions,
        unread,
        gaps: gaps
            .iter()
            .map(|(key, gap)| GapLine::new(key, gap))
            .collect(),
        groups,
        running: record.state == FlowState::Running,
    })
}

/// Where groups stand just now. A status without them is better than none.
fn look_at_groups(
    flow: &Flow,
    source: &Cluster,
    target: &Cluster,
    slots: NonZeroU32,
) -> Option<GroupSurvey> {
    let atlas = Atlas {
        ask: &|questions| Ok(answer_all(flow, slots, questions)?),
        // Offsets are counted then, which are at least as many.
        copied: &|_, _| None,
        patience: Duration::ZERO,
    };
    survey(flow, source, target, &atlas)
        .inspect_err(|error| tracing::warn!(%error, "where groups stand is not known"))
        .ok()
}

/// One partition, from its position and, if the source answered, its lag; `now` in milliseconds since 1970.
fn look(position: &Position, lag: Option<u64>, now: i64) -> PartitionLook {
    let stored = position
        .source_end_offset
        .map(|end| u64::try_from(end.get() - position.source_offset.get()).unwrap_or_default());
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit a double's 53 bits"
    )]
    let stored_seconds = position
        .source_end_seen_at_ms
        .map(|at| ((now - at) as f64 / 1000.0).max(0.0));
    let lag_records = lag.or(stored).unwrap_or_default();
    PartitionLook {
        lag_records,
        lag_seconds: match (lag_records, stored) {
            (0, _) => Some(0.0),
            // Everything was copied when the end was last stored.
            (_, Some(0)) => stored_seconds,
            (_, Some(_) | None) => None,
        },
        seen_seconds: match lag {
            Some(_) => Some(0.0),
            None => stored_seconds,
        },
        condition: Condition::Copying,
    }
}

impl Report for Status {
    fn holds(&self) -> bool {
        self.running && self.source_unreachable.is_none() && self.unread.is_empty()
    }
}

impl Status {
    /// Everything in one line.
    pub fn line(&self) -> String {
        format!(
            "{} {} {}, {}: lost now {}, recovery point {}, {} slots",
            words::moment(now_ms()),
            self.flow,
            self.state,
            words::verdict(self.readiness.verdict),
            words::lost(&self.readiness),
            words::recovery_point(&self.readiness),
            self.slots,
        )
    }

    /// What the page shows first, in words.
    pub fn head(&self) -> String {
        let readiness = &self.readiness;
        let mut text = format!(
            "flow {}: {} -> {}, {}, epoch {}, {} slots\n{}: {}\n\n",
            self.flow,
            self.source,
            self.target,
            self.state,
            self.epoch,
            self.slots,
            words::verdict(readiness.verdict),
            words::answer(readiness),
        );
        for (what, value) in [
            (
                "would be lost now",
                format!(
                    "{} ({})",
                    words::lost(readiness),
                    words::lost_detail(readiness)
                ),
            ),
            ("recovery point", words::recovery_point(readiness)),
            (
                "groups re-read",
                words::reread(readiness, self.groups.as_ref().map_or(0, GroupSurvey::len)),
            ),
            (
                "lag",
                match (&self.source_unreachable, self.lag_records) {
                    (Some(reason), _) => format!("lag unknown: {reason}"),
                    (None, None) => "lag unknown: the state of slots cannot be read".to_owned(),
                    (None, lag) => words::counted(lag.unwrap_or_default(), "record"),
                },
            ),
        ] {
            text.push_str(&format!("  {what:<18} {value}\n"));
        }
        for obstacle in &readiness.in_the_way {
            text.push_str(&format!(
                "  in the way         {}: {}\n",
                obstacle.verdict.name(),
                obstacle.reason
            ));
        }
        text
    }

    /// Topics, those that lag most first, at most `rows` of them.
    pub fn topics(&self, rows: usize) -> String {
        let mut topics = std::collections::BTreeMap::<&str, (usize, Option<u64>)>::new();
        for line in &self.partitions {
            let topic = topics.entry(&line.topic).or_insert((0, Some(0)));
            topic.0 += 1;
            topic.1 = topic.1.zip(line.lag_records).map(|(sum, lag)| sum + lag);
        }
        let mut topics: Vec<_> = topics.into_iter().collect();
        topics.sort_by_key(|(_, (_, lag))| std::cmp::Reverse(lag.unwrap_or(u64::MAX)));
        let mut text = format!("\n{:>16}  {:>10}  topic\n", "records behind", "partitions");
        for (topic, (partitions, lag)) in topics.iter().take(rows) {
            let lag = lag.map_or_else(|| "?".to_owned(), words::count);
            text.push_str(&format!("{lag:>16}  {partitions:>10}  {topic}\n"));
        }
        match topics.len().saturating_sub(rows) {
            0 => {}
            more => text.push_str(&format!(
                "and {}\n",
                words::counted(more as u64, "more topic")
            )),
        }
        text
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head())?;
        let width = self
            .partitions
            .iter()
            .map(|line| line.topic.len())
            .max()
            .unwrap_or(5)
            .max(5);
        writeln!(
            f,
            "\n{:width$}  partition  source offset     source end            lag  target offset",
            "topic"
        )?;
        let unknown = || "?".to_owned();
        for line in &self.partitions {
            writeln!(
                f,
                "{:width$}  {:>9}  {:>13}  {:>13}  {:>13}  {:>13}",
                line.topic,
                line.partition,
                line.source_offset,
                line.source_end_offset
                    .map_or_else(unknown, |end| end.to_string()),
                line.lag_records.map_or_else(unknown, |lag| lag.to_string()),
                line.target_offset,
            )?;
        }
        let gone: BTreeSet<&str> = self
            .partitions
            .iter()
            .filter(|line| line.on_source == Some(false))
            .map(|line| line.topic.as_str())
            .collect();
        if !gone.is_empty() {
            let gone: Vec<&str> = gone.into_iter().collect();
            writeln!(
                f,
                "\nnot on the source any more, the copies stay: {}",
                gone.join(", ")
            )?;
        }
        if !self.gaps.is_empty() {
            writeln!(f, "\ngaps")?;
        }
        for gap in &self.gaps {
            writeln!(
                f,
                "  {}-{}  from {} to {}  {}: {}, {}",
                gap.topic,
                gap.partition,
                gap.start,
                gap.end.map_or_else(unknown, |end| end.to_string()),
                gap.cause,
                gap.state,
                gap.reason,
            )?;
        }
        match &self.groups {
            Some(groups) => f.write_str(&groups.text()),
            None => writeln!(
                f,
                "\nplaces of groups: not known, for the source does not answer"
            ),
        }
    }
}
