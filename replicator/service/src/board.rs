//! What a worker knows of itself, for the page, the probes and the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use understudy_domain::{
    FlowState, GapKey, GapRecord, PlaceState, Reason, Slot, SourceOffset, TargetOffset,
    TopicPartition, Verdict,
};

use crate::clock::now_ms;
use crate::places::{Place, PlaceKey};
use crate::rotation::Notice;
use crate::stable_end::StableEnd;

/// How many partitions are named one by one.
const NAMED: usize = 20;

/// What keeps a worker from being ready: one reason for each part, present while it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Connecting and preparing, before any slot is asked for.
    Start,
    /// Reaching the source.
    Source,
    /// Reaching the target.
    Target,
    /// Reading what the clients of the cluster with this alias log in with.
    Credentials(String),
    /// Being a member of the group that shares out slots.
    Membership,
    /// One slot.
    Slot(Slot),
    /// The flow as a whole.
    Flow,
    /// One topic that cannot be mirrored as it is.
    Topic(String),
}

impl Part {
    fn name(&self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Source => "source".to_owned(),
            Self::Target => "target".to_owned(),
            Self::Credentials(alias) => format!("credentials of {alias}"),
            Self::Membership => "membership".to_owned(),
            Self::Slot(slot) => format!("slot {slot}"),
            Self::Flow => "flow".to_owned(),
            Self::Topic(topic) => format!("topic {topic}"),
        }
    }

    /// What it makes of a failover's readiness while it holds.
    fn verdict(&self) -> Verdict {
        match self {
            // Without the target there is nothing to fail over to; a topic that is not mirrored would be lost whole.
            Self::Target | Self::Topic(_) => Verdict::NotReady,
            // Nothing can be seen from here.
            Self::Start | Self::Source => Verdict::Unknown,
            // What was copied stays; lag tells the rest.
            Self::Credentials(_) | Self::Membership | Self::Slot(_) => Verdict::Degraded,
            // The flow's own state says it already.
            Self::Flow => Verdict::Ready,
        }
    }
}

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionState {
    /// Records are being copied, or there is nothing to copy.
    Copying,
    /// The source does not serve it just now; it goes on by itself.
    Waiting,
    /// Stopped for a reason that somebody must look at.
    Halted,
    /// Stopped by somebody, until it is resumed.
    Paused,
}

impl PartitionState {
    /// Every state, from best to worst.
    pub const ALL: [Self; 4] = [Self::Copying, Self::Waiting, Self::Paused, Self::Halted];

    /// Its name, as machines read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Waiting => "waiting",
            Self::Halted => "halted",
            Self::Paused => "paused",
        }
    }
}

/// One partition that this worker copies.
#[derive(Clone, Debug)]
pub struct Partition {
    /// The slot that owns it.
    pub slot: Slot,
    /// Topic and partition of its copies, on the target.
    pub copies: TopicPartition,
    /// Which life of the partition this is, as in its position.
    pub incarnation: u32,
    /// Next to be read on the source.
    pub source_offset: SourceOffset,
    /// One past the last copy on the target.
    pub target_offset: TargetOffset,
    /// The source's end for `read_committed` readers, when last seen.
    pub source_end_offset: Option<SourceOffset>,
    /// When the source last showed its end.
    pub end_seen_at: Option<Instant>,
    /// When the partition was last seen without lag.
    pub caught_up_at: Option<Instant>,
    /// The timestamp of the last copied record, ms since 1970.
    pub last_timestamp_ms: Option<i64>,
    /// The last record that was copied, and its copy.
    pub last_copy: Option<(SourceOffset, TargetOffset)>,
    /// What it is doing.
    pub state: PartitionState,
    /// Why it is not copying.
    pub reason: Option<String>,
}

impl Partition {
    /// Offsets that a `read_committed` reader of the source could still get.
    pub fn lag_records(&self) -> u64 {
        let end = self.source_end_offset.unwrap_or(self.source_offset);
        u64::try_from(end.get().saturating_sub(self.source_offset.get())).unwrap_or(0)
    }

    /// An upper bound for the age of the oldest record not yet copied, in seconds; 0 when nothing bounds it.
    pub fn lag_seconds(&self, now: Instant) -> f64 {
        self.lag_age_seconds(now).unwrap_or_default()
    }

    /// An upper bound for the age of the oldest record not yet copied, in seconds; `None` when nothing bounds it.
    pub fn lag_age_seconds(&self, now: Instant) -> Option<f64> {
        if self.lag_records() == 0 {
            return Some(0.0);
        }
        let since_caught_up = self
            .caught_up_at
            .map(|at| now.saturating_duration_since(at).as_secs_f64());
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 fit a double's 53 bits"
        )]
        let since_last = self
            .last_timestamp_ms
            .map(|at| ((now_ms() - at) as f64 / 1000.0).max(0.0));
        match (since_caught_up, since_last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (Some(only), None) | (None, Some(only)) => Some(only),
            (None, None) => None,
        }
    }
}

/// How far a partition is copied, in which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopiedTo {
    /// Next to be read on the source.
    pub offset: SourceOffset,
    /// As in its position.
    pub incarnation: u32,
}

/// One slot that this worker holds.
#[derive(Clone, Debug)]
pub struct SlotEntry {
    /// `taking-over`, `copying`, `fenced`, `failed`, `stopping`.
    pub state: &'static str,
    /// Since when.
    pub since: Instant,
    /// How long the last take-over took, in seconds.
    pub take_over_seconds: Option<f64>,
}

/// A consumer group's place in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupLine {
    /// The group.
    pub group: String,
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where the group would read next on the source.
    pub source_offset: Option<i64>,
    /// Where it would read next on the target; `None` when there is no answer.
    pub target_offset: Option<i64>,
    /// How good that answer is.
    pub state: PlaceState,
    /// Why it is not exact, or not used.
    pub reason: Option<String>,
}

impl Inner {
    /// What somebody should look at although records flow.
    pub fn warnings(&self) -> Vec<String> {
        let noted = self.warnings.iter().flat_map(|(about, warnings)| {
            warnings
                .iter()
                .map(move |warning| format!("{about}: {warning}"))
        });
        let gone: BTreeSet<&Arc<str>> = self.gone.values().flatten().collect();
        let (named, more) = (gone.iter().take(NAMED), gone.len().saturating_sub(NAMED));
        let gone = named.map(|topic| {
            format!(
                "topics: {topic} is not on the source any more, or may not be seen there; its copies stay as they are"
            )
        });
        let more =
            (more > 0).then(|| format!("topics: {more} more are not on the source any more"));
        noted.chain(gone).chain(more).collect()
    }

    /// Places of consumer groups, as lines.
    pub fn groups(&self) -> Vec<GroupLine> {
        self.places
            .values()
            .flat_map(|places| places.iter())
            .map(|((group, partition), place)| GroupLine {
                group: group.to_string(),
                topic: partition.topic.to_string(),
                partition: partition.partition,
                source_offset: Some(place.source_offset.get()),
                target_offset: place.target_offset.map(TargetOffset::get),
                state: place.state,
                reason: place.reason.as_deref().map(str::to_owned),
            })
            .collect()
    }
}

/// Everything a worker says about itself.
///
/// Written by the slots' threads, the catalog's and the membership's, each its own entries; read by the page's server.
/// One mutex, because each holds it for a few assignments only.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Inner>>);

/// The board's contents, while it is held.
#[derive(Clone, Debug, Default)]
pub struct Inner {
    /// By partition.
    pub partitions: BTreeMap<TopicPartition, Partition>,
    /// By slot.
    pub slots: BTreeMap<Slot, SlotEntry>,
    /// Open gaps, and the last settled ones, each with the slot that keeps it.
    pub gaps: BTreeMap<GapKey, (Slot, GapRecord)>,
    /// Topics that were mirrored and are not on the source any more, by the slot that holds copies of them.
    pub gone: BTreeMap<Slot, BTreeSet<Arc<str>>>,
    /// Places of consumer groups, by the slot that keeps them.
    pub places: BTreeMap<Slot, Arc<BTreeMap<PlaceKey, Place>>>,
    /// Groups of the source that are of newer protocols and have committed no offsets, such as share groups: nothing of
    /// them can be moved. Written by the thread that looks at groups.
    pub not_movable: BTreeSet<String>,
    /// When the source last answered what there is to mirror. Written by discovery.
    pub source_seen_at: Option<Instant>,
    /// When the source last answered anything: a fetch or a question. Written by discovery and by slots.
    pub source_answered_at: Option<Instant>,
    /// Cluster ids, once known.
    pub source_cluster_id: Option<String>,
    /// Cluster ids, once known.
    pub target_cluster_id: Option<String>,
    /// Whether the flow may write, when its record was last read. Written at the start and by slots' take-overs.
    pub flow_state: Option<FlowState>,
    /// Where readers of committed records are held back on the source. Written by discovery.
    pub stable_ends: BTreeMap<TopicPartition, StableEnd>,
    reasons: BTreeMap<Part, String>,
    /// What somebody should look at although records flow, by what it is about.
    warnings: BTreeMap<&'static str, Vec<String>>,
    /// What the keeper of settings counts.
    pub settings: SettingsCounts,
}

/// What the keeper of settings counts at each look; zero on workers that do not keep them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsCounts {
    /// Config keys that the target refuses or does not know.
    pub configs_refused: usize,
    /// ACLs about writing that stay away until the target is opened.
    pub acls_withheld: usize,
    /// ACLs that are not added or removed because of what that would do to a resource.
    pub acls_refused: usize,
}

impl Inner {
    /// How far each partition is copied, as the source is about to be asked for its end.
    pub fn copied_to(&self) -> BTreeMap<TopicPartition, CopiedTo> {
        let copied_to = |(name, partition): (&TopicPartition, &Partition)| {
            let copied_to = CopiedTo {
                offset: partition.source_offset,
                incarnation: partition.incarnation,
            };
            (name.clone(), copied_to)
        };
        self.partitions.iter().map(copied_to).collect()
    }

    /// Notes what the source just showed of a partition that was copied to `asked_at` when it was asked: its end for readers
    /// of committed records, and its high watermark. Nothing if another life of the partition has begun since.
    pub fn saw_end(
        &mut self,
        name: &TopicPartition,
        asked_at: CopiedTo,
        last_stable: i64,
        high_watermark: i64,
        now: Instant,
    ) {
        let of_this_life =
            |partition: &&mut Partition| partition.incarnation == asked_at.incarnation;
        let Some(partition) = self.partitions.get_mut(name).filter(of_this_life) else {
            return;
        };
        let end = SourceOffset::new(last_stable);
        partition.source_end_offset = Some(end.max(partition.source_offset));
        if end < asked_at.offset {
            // The source was cut, or is another one: what it holds is not known to be copied, whatever its length.
            return;
        }
        partition.end_seen_at = Some(now);
        if partition.lag_records() == 0 {
            partition.caught_up_at = Some(now);
        }
        self.stable_ends
            .entry(name.clone())
            .or_default()
            .see(last_stable, high_watermark, now);
    }

    /// Forgets what was seen of partitions that are not copied here any more.
    pub fn forget_ends_of_others(&mut self) {
        let partitions = &self.partitions;
        self.stable_ends
            .retain(|name, _| partitions.contains_key(name));
    }

    /// A partition goes on without a copy: past a gap, or in a new life, of which nothing that was seen before tells anything.
    pub fn moved(&mut self, name: &TopicPartition, to: CopiedTo) {
        let Some(partition) = self.partitions.get_mut(name) else {
            return;
        };
        partition.source_offset = to.offset;
        if partition.incarnation != to.incarnation {
            partition.incarnation = to.incarnation;
            partition.source_end_offset = None;
            partition.end_seen_at = None;
            partition.caught_up_at = None;
            partition.last_timestamp_ms = None;
            partition.last_copy = None;
            self.stable_ends.remove(name);
        }
    }

    /// What the parts have to say, with what each makes of a failover's readiness.
    pub fn part_reasons(&self) -> Vec<Reason> {
        let reason = |(part, text): (&Part, &String)| Reason {
            verdict: part.verdict(),
            text: format!("{}: {text}", part.name()),
        };
        self.reasons.iter().map(reason).collect()
    }

    /// Why the worker is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self
            .part_reasons()
            .into_iter()
            .map(|reason| reason.text)
            .collect();
        let not_copying =
            |(_, partition): &(&TopicPartition, &Partition)| partition.reason.is_some();
        for (name, partition) in self.partitions.iter().filter(not_copying).take(NAMED) {
            let reason = partition.reason.as_deref().unwrap_or_default();
            reasons.push(format!(
                "partition {name} {}: {reason}",
                partition.state.name()
            ));
        }
        let more = self
            .partitions
            .iter()
            .filter(not_copying)
            .count()
            .saturating_sub(NAMED);
        if more > 0 {
            reasons.push(format!("and {more} more partitions; see /status.json"));
        }
        reasons
    }
}

impl Board {
    /// Holds the board.
    pub fn hold(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why `part` keeps the worker from being ready. Logged when it is news.
    pub fn not_ready(&self, part: Part, reason: &str) {
        let mut inner = self.hold();
        if inner.reasons.get(&part).is_none_or(|known| known != reason) {
            tracing::warn!(part = %part.name(), reason, "not ready");
            inner.reasons.insert(part, reason.to_owned());
        }
    }

    /// Says that `part` has yet to begin, which is as it should be while a worker starts.
    pub fn not_ready_yet(&self, part: Part, reason: &str) {
        tracing::info!(part = %part.name(), reason, "not ready yet");
        self.hold().reasons.insert(part, reason.to_owned());
    }

    /// `part` no longer keeps the worker from being ready.
    pub fn ready(&self, part: &Part) {
        if self.hold().reasons.remove(part).is_some() {
            tracing::info!(part = %part.name(), "ready again");
        }
    }

    /// Says what somebody should look at about `about`, although records flow; nothing takes back what was said before.
    /// Logged when it is news.
    pub fn warn(&self, about: &'static str, warnings: Vec<String>) {
        let mut inner = self.hold();
        let known = inner.warnings.get(about);
        for reason in &warnings {
            if known.is_none_or(|known| !known.contains(reason)) {
                tracing::warn!(about, reason, "needs a look");
            }
        }
        if warnings.is_empty() {
            if inner.warnings.remove(about).is_some() {
                tracing::info!(about, "settled");
            }
        } else {
            inner.warnings.insert(about, warnings);
        }
    }

    /// Why the worker is not ready; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        self.hold().reasons()
    }

    /// A copy of everything, so that whoever renders or encodes it does not hold up those who write.
    pub fn snapshot(&self) -> Inner {
        self.hold().clone()
    }
}

impl Notice for Board {
    fn fresh(&self, alias: &str) {
        self.ready(&Part::Credentials(alias.to_owned()));
    }

    fn stale(&self, alias: &str, reason: &str) {
        self.not_ready(Part::Credentials(alias.to_owned()), reason);
    }
}
