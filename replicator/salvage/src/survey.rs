//! `understudy salvage FLOW.toml survey`: what the cluster that came back holds beyond the cut, and what it lost.

mod line;
mod told;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_domain::TopicPartition;
use understudy_domain::tail::{KeyCount, Tail};

use crate::SalvageError;
use crate::ground::Ground;
use crate::groups::{Groups, groups};
use crate::keys::count;
use crate::look::{look, moved};
use crate::tally::Tally;
use understudy_flow::config::Flow;
use understudy_flow::report::Report;

pub use line::{Keys, Line, PutAside, lost};

/// What was found.
#[derive(Serialize)]
pub struct Survey {
    /// The flow.
    pub flow: String,
    /// The epoch at which the flow was sealed.
    pub epoch: u64,
    /// The alias of the cluster that came back.
    pub source: String,
    /// The alias of the active one.
    pub target: String,
    /// Nothing lies beyond the cut, and nothing was lost.
    pub holds: bool,
    /// The cluster behind the source's address, if it is not the one that was mirrored: nothing else was looked at then.
    pub other_cluster: Option<OtherCluster>,
    /// Ends moved while this looked: the source's writers are not fenced, and numbers are lower bounds.
    pub moved: bool,
    /// Committed records beyond the cut, all partitions together.
    pub records: u64,
    /// Each partition.
    pub partitions: Vec<Line>,
    /// What groups have read.
    pub groups: Groups,
}

/// Another cluster than the one that was mirrored.
#[derive(Serialize)]
pub struct OtherCluster {
    /// The id that the flow knows.
    pub expected: String,
    /// The id that was found.
    pub found: String,
}

/// How long a survey may read.
#[derive(Clone, Copy, Debug)]
pub struct Within {
    /// The tails themselves; nothing: as long as it takes.
    pub tails: Option<Duration>,
    /// What was written on the active cluster since, for keys.
    pub keys: Duration,
}

/// Looks at the cluster that came back, and at what was written on the active one since. The shortest tails are read first:
/// what there is no time for is told as offsets.
///
/// # Errors
/// The flow is not sealed, or a cluster does not answer.
pub fn survey(flow: &Flow, within: Within) -> Result<Survey, SalvageError> {
    let ground = Ground::open(flow)?;
    let mut survey = Survey {
        flow: flow.name.to_string(),
        epoch: ground.record.epoch,
        source: flow.source.alias.clone(),
        target: flow.target.alias.clone(),
        holds: false,
        other_cluster: None,
        moved: false,
        records: 0,
        partitions: Vec::new(),
        groups: Groups::default(),
    };
    if !ground.is_own_source() {
        survey.other_cluster = Some(OtherCluster {
            expected: ground.record.source_cluster_id.clone(),
            found: ground.source_id.clone(),
        });
        return Ok(survey);
    }
    let tails = look(&ground)?.tails;
    let known: BTreeMap<&TopicPartition, &Tail> = (tails.iter())
        .filter_map(|(name, tail)| Some((name, tail.as_ref().ok()?)))
        .collect();
    let mut counted = count_all(&ground, &known, within)?;
    survey.groups = groups(&ground, &known);
    let put_aside = ground.put_aside()?;
    let begins = ground.copies_begin()?;
    let moved = moved(&ground, &tails)?;
    ground.still_stands()?;
    for (name, position) in &ground.cut {
        let tail = tails.get(name);
        let copies = ground.copies_of(name, position.as_ref());
        let mut line = Line::of(name, position.as_ref(), tail);
        line.copies_begin = begins.get(&copies).copied();
        line.copies = copies.topic.to_string();
        if let Some(it) = counted.remove(name) {
            (line.tally, line.uncounted_offsets, line.keys) = (it.tally, it.uncounted, it.keys);
        }
        line.moved = moved.contains(name);
        let own = put_aside.get(&ground.tail_key(name));
        line.put_aside = own.map(PutAside::of);
        survey.partitions.push(line);
    }
    survey.moved = !moved.is_empty();
    survey.records = survey.partitions.iter().map(|it| it.tally.records).sum();
    survey.holds = survey.partitions.iter().all(Line::is_nothing);
    Ok(survey)
}

/// What a partition's tail came to.
struct Counted {
    tally: Tally,
    uncounted: u64,
    keys: Option<Keys>,
}

/// Counts the tails, topic by topic.
fn count_all(
    ground: &Ground<'_>,
    tails: &BTreeMap<&TopicPartition, &Tail>,
    within: Within,
) -> Result<BTreeMap<TopicPartition, Counted>, SalvageError> {
    let began = Instant::now();
    let until = within.tails.map(|within| began + within);
    let mut topics: Vec<Vec<(&TopicPartition, &Tail)>> = Vec::new();
    for topic in ground.topics() {
        let own = tails.iter().map(|(name, tail)| (*name, *tail));
        let own = own.filter(|(name, tail)| *name.topic == *topic && !tail.is_empty());
        let mut own: Vec<_> = own.collect();
        own.sort_by_key(|(_, tail)| length(tail));
        if !own.is_empty() {
            topics.push(own);
        }
    }
    topics.sort_by_key(|own| own.iter().map(|(_, tail)| length(tail)).sum::<u64>());
    let mut keys_left = within.keys;
    let mut counted = BTreeMap::new();
    for own in topics {
        let Some((first, _)) = own.first() else {
            continue;
        };
        let topic = first.topic.clone();
        let found = count(ground, &topic, &own, until, &mut keys_left)?;
        let mut keys = found.census.counts();
        for (partition, (tally, uncounted)) in found.tallies {
            let KeyCount { distinct, on_both } = keys.remove(&partition).unwrap_or_default();
            let exact = found.census.is_exact() && uncounted == 0;
            let keys = (tally.records > tally.without_key).then_some(Keys {
                distinct,
                on_both,
                exact,
            });
            let it = Counted {
                tally,
                uncounted,
                keys,
            };
            counted.insert(TopicPartition::new(topic.clone(), partition), it);
        }
    }
    Ok(counted)
}

/// How many offsets a tail has.
fn length(tail: &Tail) -> u64 {
    u64::try_from(tail.end.get() - tail.first.get()).unwrap_or_default()
}

impl Report for Survey {
    fn holds(&self) -> bool {
        self.holds
    }
}
