//! What a worker shows: `/status.json`, and what the page, the metrics and CloudWatch are made of.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use understudy_domain::{
    Condition, GapLook, GroupLook, Look, Objectives, PartitionLook, PlaceState, Readiness,
};

use crate::board::{GroupLine, Inner, PartitionState, SettingsCounts};
use crate::clock::now_ms;
use crate::config::Flow;
use crate::events::EventLine;
use crate::gaps::GapLine;
use crate::history::{EVERY, History, Throughput};

/// `/status.json`.
#[derive(Serialize)]
pub struct View {
    /// The flow's name.
    pub flow: String,
    /// The cluster that is read.
    pub source: End,
    /// The cluster that is written.
    pub target: End,
    /// Whether nothing keeps this worker from copying.
    pub ready: bool,
    /// What does.
    pub reasons: Vec<String>,
    /// What somebody should look at although records flow.
    pub warnings: Vec<String>,
    /// What the keeper of settings counts.
    #[serde(skip)]
    pub settings: SettingsCounts,
    /// Slots that this worker holds.
    pub slots: Vec<SlotLine>,
    /// Their partitions.
    pub partitions: Vec<PartitionLine>,
    /// Places of consumer groups.
    pub groups: Vec<GroupLine>,
    /// Groups of the source that commit no offsets, such as share groups (KIP-932): nothing of them can be moved.
    pub groups_not_movable: Vec<String>,
    /// Whether the flow may write; null before its record was read.
    pub flow_state: Option<&'static str>,
    /// When this was true, in milliseconds since 1970.
    pub at_ms: i64,
    /// This program's version.
    pub version: &'static str,
    /// How many slots the flow has, over all workers.
    pub slots_total: u32,
    /// Could we fail over now, as far as this worker's partitions go.
    pub readiness: Readiness,
    /// Lag of all of this worker's partitions.
    pub lag_records: u64,
    /// The longest that an open transaction on the source has held copies back, in seconds.
    pub open_transaction_seconds: f64,
    /// Topics, those that need somebody and those that lag most first.
    pub topics: Vec<TopicLine>,
    /// Ranges of the source without copies.
    pub gaps: Vec<GapLine>,
    /// What was copied lately.
    pub throughput: Throughput,
    /// Lag over the last minutes.
    pub history: HistoryLine,
    /// The last warnings and errors, newest first.
    pub errors: Vec<EventLine>,
}

/// One cluster.
#[derive(Serialize)]
pub struct End {
    /// Its alias.
    pub alias: String,
    /// Its id, once known.
    pub cluster_id: Option<String>,
}

/// One slot.
#[derive(Serialize)]
pub struct SlotLine {
    /// Its number.
    pub slot: u32,
    /// What it is doing.
    pub state: &'static str,
    /// For how long, in seconds.
    pub since_seconds: f64,
    /// How long the last take-over took, in seconds.
    pub take_over_seconds: Option<f64>,
}

/// One partition.
#[derive(Serialize)]
pub struct PartitionLine {
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The slot that copies it.
    pub slot: u32,
    /// Next to be read on the source.
    pub source_offset: i64,
    /// One past the last copy on the target.
    pub target_offset: i64,
    /// The source's end, when last seen.
    pub source_end_offset: Option<i64>,
    /// How long ago that was, in seconds.
    pub source_end_seen_seconds: Option<f64>,
    /// Offsets not yet copied.
    pub lag_records: u64,
    /// An upper bound for the age of the oldest of them.
    pub lag_seconds: f64,
    /// For how long an open transaction on the source has held copies back, in seconds.
    pub open_transaction_seconds: f64,
    /// What it is doing.
    pub state: PartitionState,
    /// Why it is not copying.
    pub reason: Option<String>,
}

/// One topic, as far as this worker copies it.
#[derive(Serialize)]
pub struct TopicLine {
    /// The topic on the source.
    pub topic: String,
    /// How many of its partitions this worker copies.
    pub partitions: usize,
    /// How many of these are halted.
    pub halted: usize,
    /// How many of these are not served just now.
    pub waiting: usize,
    /// Their lag together.
    pub lag_records: u64,
    /// The oldest record not yet copied may be this old.
    pub lag_seconds: f64,
    /// Its lag over the last minutes, oldest first; null for topics that never lagged much.
    pub history: Option<Vec<u64>>,
}

/// Lag over the last minutes.
#[derive(Serialize)]
pub struct HistoryLine {
    /// Time between samples, in seconds.
    pub every_seconds: u64,
    /// Lag of all of this worker's partitions, oldest first.
    pub lag_records: Vec<u64>,
}

impl View {
    /// Puts together what is known at `now`.
    pub fn of(
        flow: &Flow,
        inner: &Inner,
        history: &History,
        errors: Vec<EventLine>,
        now: Instant,
    ) -> Self {
        let reasons = inner.reasons();
        let groups = inner.groups();
        let readiness = Readiness::of(
            &look(inner, &groups, history.throughput(), now),
            &objectives(flow),
        );
        let stalled = |name| {
            inner
                .stable_ends
                .get(name)
                .map_or(0.0, |end| end.stalled_seconds(now))
        };
        let partitions: Vec<PartitionLine> = inner
            .partitions
            .iter()
            .map(|(name, partition)| PartitionLine {
                topic: name.topic.to_string(),
                partition: name.partition,
                slot: partition.slot.get(),
                source_offset: partition.source_offset.get(),
                target_offset: partition.target_offset.get(),
                source_end_offset: partition.source_end_offset.map(|end| end.get()),
                source_end_seen_seconds: partition
                    .end_seen_at
                    .map(|at| now.saturating_duration_since(at).as_secs_f64()),
                lag_records: partition.lag_records(),
                lag_seconds: partition.lag_seconds(now),
                open_transaction_seconds: stalled(name),
                state: partition.state,
                reason: partition.reason.clone(),
            })
            .collect();
        Self {
            flow: flow.name.to_string(),
            source: End {
                alias: flow.source.alias.clone(),
                cluster_id: inner.source_cluster_id.clone(),
            },
            target: End {
                alias: flow.target.alias.clone(),
                cluster_id: inner.target_cluster_id.clone(),
            },
            ready: reasons.is_empty(),
            reasons,
            slots: inner
                .slots
                .iter()
                .map(|(slot, entry)| SlotLine {
                    slot: slot.get(),
                    state: entry.state,
                    since_seconds: now.saturating_duration_since(entry.since).as_secs_f64(),
                    take_over_seconds: entry.take_over_seconds,
                })
                .collect(),
            warnings: inner.warnings(),
            settings: inner.settings,
            groups_not_movable: inner.not_movable.iter().cloned().collect(),
            groups,
            flow_state: inner.flow_state.map(understudy_domain::FlowState::name),
            at_ms: now_ms(),
            version: understudy_domain::VERSION,
            slots_total: flow.slots.get(),
            lag_records: readiness.lost_records_at_least,
            open_transaction_seconds: partitions
                .iter()
                .map(|line| line.open_transaction_seconds)
                .fold(0.0, f64::max),
            readiness,
            topics: topics(&partitions, history),
            partitions,
            gaps: inner
                .gaps
                .iter()
                .map(|(key, (_, record))| GapLine::new(key, record))
                .collect(),
            throughput: history.throughput(),
            history: HistoryLine {
                every_seconds: EVERY.as_secs(),
                lag_records: history.all(),
            },
            errors,
        }
    }

    /// How many partitions are doing this.
    pub fn partitions_in(&self, state: PartitionState) -> usize {
        let of = |line: &&PartitionLine| line.state == state;
        self.partitions.iter().filter(of).count()
    }

    /// How many places of groups stand so.
    pub fn places_in(&self, state: PlaceState) -> usize {
        let of = |line: &&GroupLine| line.state == state;
        self.groups.iter().filter(of).count()
    }

    /// How many gaps nobody has dealt with.
    pub fn open_gaps(&self) -> usize {
        self.gaps.iter().filter(|gap| gap.is_open()).count()
    }
}

/// Sight ends after three missed looks.
fn objectives(flow: &Flow) -> Objectives {
    let defaults = Objectives::default();
    Objectives {
        sight_seconds: defaults
            .sight_seconds
            .max(flow.topic_discovery_interval.as_secs_f64() * 3.0),
        ..defaults
    }
}

fn look(inner: &Inner, groups: &[GroupLine], throughput: Throughput, now: Instant) -> Look {
    let partitions = inner.partitions.values().map(|partition| PartitionLook {
        lag_records: partition.lag_records(),
        lag_seconds: partition.lag_age_seconds(now),
        seen_seconds: partition
            .end_seen_at
            .map(|at| now.saturating_duration_since(at).as_secs_f64()),
        condition: match partition.state {
            PartitionState::Copying => Condition::Copying,
            PartitionState::Waiting => Condition::Waiting,
            PartitionState::Paused => Condition::Paused,
            PartitionState::Halted => Condition::Halted,
        },
    });
    let stalls = inner
        .stable_ends
        .values()
        .map(|end| end.stalled_seconds(now));
    Look {
        slots: u32::try_from(inner.slots.len()).unwrap_or(u32::MAX),
        flow: inner.flow_state,
        partitions: partitions.collect(),
        groups: groups
            .iter()
            .map(|line| GroupLook {
                group: line.group.clone(),
                state: line.state,
                reread_records: None,
            })
            .collect(),
        gaps: inner
            .gaps
            .iter()
            .map(|(key, (_, record))| GapLook {
                // Nobody can know how far a lost log went.
                records: record.end.map_or(0, |end| {
                    u64::try_from(end.get() - key.start.get()).unwrap_or_default()
                }),
                resolved: !record.is_open(),
            })
            .collect(),
        reasons: inner.part_reasons(),
        records_per_second: throughput.records_per_second,
        open_transaction_seconds: stalls.fold(0.0, f64::max),
    }
}

/// Those that need somebody first, then by lag, then by name.
fn topics(partitions: &[PartitionLine], history: &History) -> Vec<TopicLine> {
    let mut topics = BTreeMap::<&str, TopicLine>::new();
    for line in partitions {
        let topic = topics.entry(&line.topic).or_insert_with(|| TopicLine {
            topic: line.topic.clone(),
            partitions: 0,
            halted: 0,
            waiting: 0,
            lag_records: 0,
            lag_seconds: 0.0,
            history: history.topic(&line.topic),
        });
        topic.partitions += 1;
        match line.state {
            PartitionState::Halted => topic.halted += 1,
            PartitionState::Waiting => topic.waiting += 1,
            PartitionState::Copying | PartitionState::Paused => {}
        }
        topic.lag_records = topic.lag_records.saturating_add(line.lag_records);
        topic.lag_seconds = topic.lag_seconds.max(line.lag_seconds);
    }
    let mut topics: Vec<TopicLine> = topics.into_values().collect();
    topics.sort_by_key(|topic| {
        std::cmp::Reverse((topic.halted > 0, topic.waiting > 0, topic.lag_records))
    });
    topics
}
