//! Could we fail over now, what would be lost, what would be read again, and what is in the way.
//!
//! Pure: the caller looked, this adds up. What could not be seen makes the verdict *unknown*, never unhealthy, and never
//! better than it would be with sight.

use serde::Serialize;

use crate::FlowState;

/// How many groups that would read again are named one by one.
const NAMED_GROUPS: usize = 20;

/// Whether a failover could be started now. From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes, within the objectives.
    Ready,
    /// Yes, but something is not as it should be.
    Degraded,
    /// It cannot be told what a failover would lose.
    Unknown,
    /// No: something must be put right, or knowingly accepted, first.
    NotReady,
}

impl Verdict {
    /// Every verdict, from best to worst.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Degraded, Self::Unknown, Self::NotReady];

    /// Its name, as machines read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::NotReady => "not-ready",
        }
    }
}

/// What a flow is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objectives {
    /// The oldest record not yet copied may be this old, in seconds.
    pub recovery_point_seconds: f64,
    /// A look at the source older than this, in seconds, no longer says what is there.
    pub sight_seconds: f64,
    /// An open transaction may hold readers back this long, in seconds.
    pub open_transaction_seconds: f64,
}

impl Default for Objectives {
    fn default() -> Self {
        Self {
            recovery_point_seconds: 60.0,
            sight_seconds: 10.0,
            open_transaction_seconds: 300.0,
        }
    }
}

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Records are being copied, or there is nothing to copy.
    Copying,
    /// The source does not serve it just now.
    Waiting,
    /// Stopped by an operator until it is resumed.
    Paused,
    /// Stopped until somebody looks at it.
    Halted,
}

/// One partition, as last seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionLook {
    /// Offsets below the end last seen that are not copied.
    pub lag_records: u64,
    /// An upper bound for the age of the oldest of them, in seconds; `None` when nothing bounds it.
    pub lag_seconds: Option<f64>,
    /// How long ago the source's end was seen, in seconds; `None` when it never was.
    pub seen_seconds: Option<f64>,
    /// What it is doing.
    pub condition: Condition,
}

/// Where a group's place on the target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceState {
    /// On the copy of the very record that the group would read next.
    Exact,
    /// Before it: some records would be read again, none skipped.
    AtLeast,
    /// Replication has not reached the group's place yet.
    Ahead,
    /// No place is known.
    Unknown,
}

impl PlaceState {
    /// Every state, from best to worst.
    pub const ALL: [Self; 4] = [Self::Exact, Self::AtLeast, Self::Ahead, Self::Unknown];

    /// Its name, as machines read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::AtLeast => "at-least",
            Self::Ahead => "ahead",
            Self::Unknown => "unknown",
        }
    }
}

/// One group's place in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLook {
    /// The group.
    pub group: String,
    /// How its place stands.
    pub state: PlaceState,
    /// How many records it would read again; `None` when that is not known.
    pub reread_records: Option<u64>,
}

/// A range of the source that has no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapLook {
    /// How many offsets it spans.
    pub records: u64,
    /// Whether somebody has dealt with it.
    pub resolved: bool,
}

/// What a part of the worker has to say, and how much it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it makes of the verdict at best.
    pub verdict: Verdict,
    /// In an operator's words.
    pub text: String,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Slots that this look speaks for; 0 is a worker that waits in reserve.
    pub slots: u32,
    /// Whether the flow may write; `None` before its record was read.
    pub flow: Option<FlowState>,
    /// Partitions of those slots.
    pub partitions: Vec<PartitionLook>,
    /// Places of groups.
    pub groups: Vec<GroupLook>,
    /// Ranges without copies.
    pub gaps: Vec<GapLook>,
    /// What parts of the worker have to say.
    pub reasons: Vec<Reason>,
    /// How many records a second were copied lately: what the source may have taken since it was seen is reckoned by it.
    pub records_per_second: f64,
    /// How long an open transaction has held the source's stable end back, in seconds; the longest of any partition.
    pub open_transaction_seconds: f64,
}

/// What stands between now and a failover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// What it makes of the verdict at best.
    pub verdict: Verdict,
    /// In an operator's words.
    pub reason: String,
}

/// A group that would read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reread {
    /// The group.
    pub group: String,
    /// How many records at most; `None` when that is not known.
    pub records_at_most: Option<u64>,
}

/// The answer. Records are counted by offsets, as lag is: commit markers and compacted offsets count as records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Readiness {
    /// Could we fail over now.
    pub verdict: Verdict,
    /// Records on the source, when it was last seen, that have no copy yet.
    pub lost_records_at_least: u64,
    /// The same, and what the source may have taken since at the rate of late; `None` when not every partition was seen
    /// lately.
    pub lost_records_at_most: Option<u64>,
    /// Nothing written longer ago than this, in seconds, would be lost; `None` when nothing bounds it.
    pub lost_seconds_at_most: Option<f64>,
    /// How long ago the partition seen longest ago was seen, in seconds; `None` when one never was.
    pub source_seen_seconds: Option<f64>,
    /// Records in gaps that nobody has dealt with.
    pub missing_records: u64,
    /// How many groups would read something again.
    pub groups_rereading: usize,
    /// How many records they would read again together; `None` when that is not known.
    pub reread_records_at_most: Option<u64>,
    /// The first of them, those that would read most.
    pub rereading: Vec<Reread>,
    /// What is in the way, worst first.
    pub in_the_way: Vec<Obstacle>,
}

impl Readiness {
    /// Adds a look up.
    pub fn of(look: &Look, objectives: &Objectives) -> Self {
        let at_least = sum(look
            .partitions
            .iter()
            .map(|partition| partition.lag_records));
        let in_sight = look.slots > 0
            && !look.partitions.is_empty()
            && look
                .partitions
                .iter()
                .all(|partition| seen_lately(partition, objectives));
        let seconds = worst(look.partitions.iter().map(loss_seconds));
        let seen = worst(
            look.partitions
                .iter()
                .map(|partition| partition.seen_seconds),
        );
        let rereading = rereading(&look.groups);
        let mut in_the_way = obstacles(look, objectives, seconds);
        in_the_way.sort_by_key(|obstacle| std::cmp::Reverse(obstacle.verdict));
        Self {
            verdict: in_the_way
                .iter()
                .map(|obstacle| obstacle.verdict)
                .max()
                .unwrap_or(Verdict::Ready),
            lost_records_at_least: at_least,
            lost_records_at_most: in_sight
                .then(|| at_least.saturating_add(since(look.records_per_second, seen))),
            lost_seconds_at_most: seconds,
            source_seen_seconds: seen,
            missing_records: sum(open_gaps(look).map(|gap| gap.records)),
            groups_rereading: rereading.len(),
            reread_records_at_most: rereading.iter().try_fold(0_u64, |sum, group| {
                Some(sum.saturating_add(group.records_at_most?))
            }),
            rereading: rereading.into_iter().take(NAMED_GROUPS).collect(),
            in_the_way,
        }
    }
}

fn open_gaps(look: &Look) -> impl Iterator<Item = &GapLook> {
    look.gaps.iter().filter(|gap| !gap.resolved)
}

fn seen_lately(partition: &PartitionLook, objectives: &Objectives) -> bool {
    partition
        .seen_seconds
        .is_some_and(|seconds| seconds <= objectives.sight_seconds)
}

/// What was written longer ago than this is on the target.
fn loss_seconds(partition: &PartitionLook) -> Option<f64> {
    match partition.lag_records {
        0 => partition.seen_seconds,
        _ => partition.lag_seconds,
    }
}

/// The largest; `None` if one of them is not known or there is none.
fn worst(mut seconds: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let first = seconds.next()??;
    seconds.try_fold(first, |worst, next| Some(worst.max(next?)))
}

/// How many records came within `seconds`.
fn since(records_per_second: f64, seconds: Option<f64>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a double saturates"
    )]
    let records = (records_per_second * seconds.unwrap_or_default()).ceil() as u64;
    records
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// One entry a group, those that would read most first; what is not known counts as most.
fn rereading(groups: &[GroupLook]) -> Vec<Reread> {
    let mut by_group = std::collections::BTreeMap::<&str, Option<u64>>::new();
    for place in groups {
        let records = match place.state {
            PlaceState::AtLeast => place.reread_records,
            PlaceState::Unknown => None,
            // A group that is ahead goes on behind the last copy: it reads nothing again.
            PlaceState::Exact | PlaceState::Ahead => continue,
        };
        let known = by_group.entry(&place.group).or_insert(Some(0));
        *known = known.zip(records).map(|(a, b)| a.saturating_add(b));
    }
    let mut groups: Vec<Reread> = by_group
        .into_iter()
        .filter(|(_, records)| *records != Some(0))
        .map(|(group, records)| Reread {
            group: group.to_owned(),
            records_at_most: records,
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.records_at_most.unwrap_or(u64::MAX)));
    groups
}

fn obstacles(look: &Look, objectives: &Objectives, seconds: Option<f64>) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut add = |verdict, reason: String| {
        if verdict != Verdict::Ready {
            found.push(Obstacle { verdict, reason });
        }
    };
    match look.flow {
        Some(FlowState::Running) => {}
        Some(FlowState::Paused) => add(
            Verdict::Degraded,
            "the flow is paused: nothing is copied until it is resumed".to_owned(),
        ),
        Some(FlowState::Sealed) => add(
            Verdict::NotReady,
            "the flow is sealed: a recovery has taken its cut, and nothing is copied any more"
                .to_owned(),
        ),
        None => add(
            Verdict::Unknown,
            "the flow's record has not been read yet".to_owned(),
        ),
    }
    if look.slots == 0 {
        add(
            Verdict::Unknown,
            "this worker holds no slot; the others know".to_owned(),
        );
    } else if look.partitions.is_empty() {
        add(
            Verdict::Unknown,
            "no partition is copied here yet".to_owned(),
        );
    }
    let count = |condition| {
        let of = |partition: &&PartitionLook| partition.condition == condition;
        look.partitions.iter().filter(of).count()
    };
    match count(Condition::Halted) {
        0 => {}
        halted => add(
            Verdict::NotReady,
            format!(
                "{} halted: nothing of {} is copied until somebody looks",
                partitions(halted),
                if halted == 1 { "it" } else { "them" }
            ),
        ),
    }
    match count(Condition::Waiting) {
        0 => {}
        waiting => add(
            Verdict::Degraded,
            format!("{} not served by the source just now", partitions(waiting)),
        ),
    }
    match count(Condition::Paused) {
        0 => {}
        paused => add(
            Verdict::Degraded,
            format!("{} paused until resumed", partitions(paused)),
        ),
    }
    let unseen = look
        .partitions
        .iter()
        .filter(|partition| !seen_lately(partition, objectives))
        .count();
    if unseen > 0 {
        let longest = worst(
            look.partitions
                .iter()
                .map(|partition| partition.seen_seconds),
        );
        let since = match longest {
            Some(seconds) => format!("for {seconds:.0} s"),
            None => "since this look began".to_owned(),
        };
        add(
            Verdict::Unknown,
            format!(
                "the source has not shown the end of {} {since}: it may hold more",
                partitions(unseen)
            ),
        );
    }
    let late = |seconds: f64| seconds > objectives.recovery_point_seconds;
    if seconds.is_some_and(late) {
        add(
            Verdict::Degraded,
            format!(
                "the oldest record not copied may be {:.0} s old; the objective is {:.0} s",
                seconds.unwrap_or_default(),
                objectives.recovery_point_seconds
            ),
        );
    } else if seconds.is_none() && look.partitions.iter().any(|it| it.lag_records > 0) {
        add(
            Verdict::Degraded,
            "copying the backlog: how old the records not copied are is not known yet".to_owned(),
        );
    }
    if look.open_transaction_seconds > objectives.open_transaction_seconds {
        add(
            Verdict::Degraded,
            format!(
                "a transaction on the source has been open for {:.0} s: nobody who reads committed records, and so no \
                 copy, gets past it; find it with kafka-transactions.sh find-hanging",
                look.open_transaction_seconds
            ),
        );
    }
    match open_gaps(look).count() {
        0 => {}
        gaps => add(
            Verdict::NotReady,
            format!(
                "{gaps} {} that nobody has dealt with",
                if gaps == 1 { "gap" } else { "gaps" }
            ),
        ),
    }
    let unplaced = look
        .groups
        .iter()
        .filter(|place| place.state == PlaceState::Unknown)
        .count();
    if unplaced > 0 {
        add(
            Verdict::Degraded,
            format!("no place is known for consumer groups in {unplaced} of their partitions"),
        );
    }
    for reason in &look.reasons {
        add(reason.verdict, reason.text.clone());
    }
    found
}

fn partitions(count: usize) -> String {
    match count {
        1 => "1 partition".to_owned(),
        more => format!("{more} partitions"),
    }
}
