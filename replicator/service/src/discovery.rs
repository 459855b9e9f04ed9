//! Looks again and again at what is to be mirrored, and makes the target ready for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{FlowRecord, FlowState, Slot, TopicPartition};
use understudy_kafka::cluster::Topic;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::answers::Answers;
use crate::bell::Bell;
use crate::board::{Board, Part};
use crate::catalog::{Catalog, Listed, Listing};
use crate::config::Flow;
use crate::creation::{create, grow};
use crate::explain::explain;
use crate::flow_record::FlowWatch;
use crate::growth::{Growth, Unadmitted, all_positions, positions};
use crate::lives::Lives;
use crate::log_starts::LogStarts;
use crate::lost_copies::LostCopies;
use crate::opposite::{self, Ends};
use crate::replication::Replicas;
use crate::slot::Context;
use crate::source_ends::look_at_ends;
use crate::stamps::Stamps;
use crate::stop::Stop;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// How often the starts of logs are looked at: brokers move them every five minutes or so.
const STARTS_INTERVAL: Duration = Duration::from_secs(10);
/// How often the flow's own record and operators' answers are looked at.
const CONTROL_INTERVAL: Duration = Duration::from_millis(500);
/// At every how many looks all topics' ids are asked for.
const IDS_EVERY: u64 = 3;
/// Time limit of the question whether the source is there.
const PULSE_WITHIN: Duration = Duration::from_secs(3);
/// How often flows the other way round are looked for.
const OPPOSITE_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps a [`Catalog`] true.
pub struct Discovery {
    flow: Arc<Flow>,
    source: Cluster,
    target: Cluster,
    catalog: Catalog,
    board: Board,
    answers: Answers,
    bell: Bell,
    watch: FlowWatch,
    /// The generation that the worker's slots were taken over under.
    generation: u64,
    /// Partition counts of target topics, as last seen.
    on_target: BTreeMap<String, i32>,
    /// How many replicas a new copy gets, as last asked.
    replicas: Option<Replicas>,
    stamps: Stamps,
    lost: LostCopies,
    growth: Growth,
    lives: Lives,
    /// Whether the stored positions were read, which tell what was mirrored before.
    has_learnt: bool,
    listing: Listing,
    /// Why nothing may be copied because of a flow the other way round, and when to look again.
    opposite: (Option<String>, Instant),
    starts: LogStarts,
    /// When to look at the logs' starts again.
    starts_again: Instant,
    /// Whether the source answered when it was asked last.
    answers_now: bool,
}

/// Why a discovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// The flow has another generation now, or is being given one: slots and transactional ids are others.
    OtherGeneration,
}

impl Discovery {
    /// A discovery with clients of its own, for the flow as in `record`.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(context: &Context, record: &FlowRecord) -> Result<Self, Fault> {
        let flow = context.flow.clone();
        let (source, target) = (Cluster::kept(&flow.source)?, Cluster::kept(&flow.target)?);
        Ok(Self {
            flow,
            source,
            target,
            catalog: context.catalog.clone(),
            board: context.board.clone(),
            answers: context.answers.clone(),
            bell: context.bell.clone(),
            watch: FlowWatch::new(record.clone()),
            generation: record.generation,
            on_target: BTreeMap::new(),
            replicas: None,
            stamps: Stamps::default(),
            lost: LostCopies::default(),
            growth: Growth::default(),
            lives: Lives::default(),
            has_learnt: false,
            listing: Listing::default(),
            // The worker looked before it came here.
            opposite: (None, Instant::now() + OPPOSITE_INTERVAL),
            starts: context.starts.clone(),
            starts_again: Instant::now(),
            answers_now: false,
        })
    }

    /// Looks until `stop`, or until the flow has another generation.
    pub fn run(mut self, stop: &Stop) -> Ended {
        let mut next_look = Instant::now();
        while !stop.is_set() {
            let control = self.look_at_control();
            if !self.watch.record().is_of(self.generation) {
                return Ended::OtherGeneration;
            }
            // Slots whose topics are others wait for it, however seldom looks are.
            let doubted = self.answers_now && self.catalog.is_doubted();
            if doubted || Instant::now() >= next_look {
                next_look = Instant::now() + self.flow.topic_discovery_interval;
                let looked = self.look();
                self.answers_now = looked.is_ok();
                match looked {
                    Ok(()) => self.board.ready(&Part::Source),
                    Err(fault) => self
                        .board
                        .not_ready(Part::Source, &explain(&self.flow.source, &fault)),
                }
            } else {
                if control {
                    self.publish();
                }
                self.feel_pulse();
            }
            let next = next_look.min(Instant::now() + CONTROL_INTERVAL);
            stop.wait(next.saturating_duration_since(Instant::now()));
        }
        Ended::Stopped
    }

    /// Looks whether somebody paused, resumed, sealed or re-cut the flow, or answered for a gap; true if so.
    fn look_at_control(&mut self) -> bool {
        let changed = match self.watch.look(&self.target, &self.flow) {
            Ok(changed) => changed,
            Err(error) => {
                tracing::debug!(%error, "could not look at the flow's record");
                false
            }
        };
        let record = self.watch.record();
        self.board.hold().flow_state = Some(record.state);
        let part = Part::Flow;
        match record.state {
            FlowState::Running => match &self.opposite.0 {
                None => self.board.ready(&part),
                Some(reason) => self.board.not_ready(part, reason),
            },
            FlowState::Paused => self.board.not_ready(
                part,
                "the flow is paused; `understudy resume` lets it go on",
            ),
            FlowState::Sealed => self.board.not_ready(
                part,
                &format!(
                    "the flow is sealed since recovery epoch {}; its workers may not write",
                    record.epoch
                ),
            ),
        }
        match self.answers.look(&self.target, &self.flow.state) {
            Ok(answered) => self.bell.ring_for(&answered),
            Err(error) => tracing::debug!(%error, "could not look for answers about gaps"),
        }
        changed
    }

    fn look(&mut self) -> Result<(), Fault> {
        let all = self.source.topics(WITHIN)?;
        self.look_the_other_way(&all);
        let selected: Vec<_> = all
            .into_iter()
            .filter(|topic| self.flow.selects(&topic.name))
            .collect();
        if let Err(fault) = self.look_at_copies() {
            let reason = explain(&self.flow.target, &fault);
            tracing::debug!(reason, "could not look whether copies are there");
            // Before that is known no topic is made: it might be one whose copies were lost.
            if self.lost.short().looked_at.is_none() {
                self.board.not_ready(Part::Target, &reason);
                return Ok(());
            }
        }
        let mut ids = self.ids(&selected)?;
        self.look_at_lives(&selected, &ids);
        let wanted: Vec<i32> = selected.iter().map(|topic| self.wanted(topic)).collect();
        let missing = selected.iter().zip(&wanted).any(|(topic, wanted)| {
            self.on_target
                .get(&self.copy_of(&topic.name))
                .is_none_or(|have| have < wanted)
        });
        if missing {
            match self.look_at_target() {
                Ok(()) => self.board.ready(&Part::Target),
                Err(fault) => self
                    .board
                    .not_ready(Part::Target, &explain(&self.flow.target, &fault)),
            }
        }
        let mut topics = BTreeMap::new();
        let mut not_admitted = None;
        let mut refused = BTreeMap::new();
        let mut held = Vec::new();
        for (topic, wanted) in selected.iter().zip(&wanted) {
            // What is lost there is first said; who decides about it has it made. Of what is undecided, perhaps nothing.
            if self.lost.concerns(&topic.name) || *wanted == 0 {
                continue;
            }
            if let Err(reason) = self.prepare(&topic.name, *wanted) {
                refused.insert(topic.name.clone(), reason);
            }
        }
        self.look_at_stamps(&selected);
        for (topic, wanted) in selected.iter().zip(wanted) {
            let name: Arc<str> = topic.name.as_str().into();
            let part = Part::Topic(topic.name.clone());
            if let Some(reason) = refused.get(&topic.name) {
                self.board.not_ready(part, reason);
                // What is being copied goes on while a growth, say, is refused.
                let id = ids.remove(&topic.name);
                topics.extend(self.as_listed(name, id));
                continue;
            }
            let copy = self.copy_of(&topic.name);
            if let Some(reason) = self.stamps.objection(&copy) {
                // Not one more record, not even of what is being copied.
                self.board.not_ready(part, &reason);
                continue;
            }
            self.board.ready(&part);
            let life = self.lives.of(&name);
            let admitted = match life.undecided {
                true => Ok(wanted),
                false => self.growth.admit(
                    &name,
                    (topic.partitions, ids.get(&topic.name).map(String::as_str)),
                    &self.flow,
                    (&self.source, &self.target),
                    self.watch.record(),
                ),
            };
            let partitions = match admitted {
                Ok(partitions) => partitions,
                Err(error) => {
                    // What is being copied goes on as it is.
                    let id = ids.remove(&topic.name);
                    topics.extend(self.as_listed(name, id));
                    not_admitted.get_or_insert(error);
                    continue;
                }
            };
            if life.undecided && partitions < topic.partitions {
                let why = match life.copied {
                    Some(_) => {
                        "it was made again on the source, and what is to become of the others is not decided (`understudy gaps`)"
                    }
                    None => "what was copied of it cannot be looked at just now",
                };
                held.push(format!("new partitions of {name} wait: {why}"));
            }
            topics.insert(
                name,
                Listed {
                    partitions,
                    on_source: topic.partitions,
                    id: ids.remove(&topic.name),
                    paused: false,
                    life,
                },
            );
        }
        held.extend(self.growth.waiting());
        self.board.warn("growth", held);
        self.listing.topics = topics;
        let on_source = selected.iter().map(|topic| topic.name.as_str().into());
        self.listing.on_source = on_source.collect();
        self.listing.look += 1;
        self.publish();
        match not_admitted {
            Some(Unadmitted::Source(fault)) => return Err(fault),
            Some(Unadmitted::Target(fault)) => self
                .board
                .not_ready(Part::Target, &explain(&self.flow.target, &fault)),
            None if !missing => self.board.ready(&Part::Target),
            None => {}
        }
        look_at_ends(&self.source, &self.board, WITHIN)?;
        {
            let now = Some(Instant::now());
            let mut board = self.board.hold();
            (board.source_seen_at, board.source_answered_at) = (now, now);
        }
        if Instant::now() >= self.starts_again {
            self.starts_again = Instant::now() + STARTS_INTERVAL;
            // What is not known of them is not forgotten; nothing else waits for it.
            if let Err(fault) = self.starts.look(&self.source, &self.target, WITHIN) {
                tracing::debug!(%fault, "could not look at the starts of logs");
            }
        }
        Ok(())
    }

    /// Looks which topics were made again. What cannot be read of the stored positions leaves them undecided.
    fn look_at_lives(&mut self, topics: &[Topic], ids: &BTreeMap<String, String>) {
        let (flow, target, record) = (&self.flow, &self.target, self.watch.record());
        let read = |partitions: &[TopicPartition]| positions(partitions, flow, target, record);
        if let Err(fault) = self.lives.look(topics, ids, Instant::now(), read) {
            tracing::debug!(%fault, "could not look in which life topics are copied");
        }
    }

    /// How many partitions of a topic its copy is to have by now.
    fn wanted(&mut self, topic: &Topic) -> i32 {
        let (life, name) = (self.lives.of(&topic.name), topic.name.as_str().into());
        match life.undecided {
            true => self.growth.hold(&name, topic.partitions, life.copied),
            false => topic.partitions,
        }
    }

    /// The topic that partitions of this one are copied to which the flow has not met yet.
    fn copy_of(&self, topic: &str) -> String {
        self.lives.of(topic).copy(topic, &self.flow.policy)
    }

    /// A topic as it is listed, but under the id that it has now; nothing if it is not listed.
    fn as_listed(&self, name: Arc<str>, id: Option<String>) -> Option<(Arc<str>, Listed)> {
        let known = self.listing.topics.get(&name)?;
        let id = id.or_else(|| known.id.clone());
        let listed = Listed {
            id,
            life: self.lives.of(&name),
            ..known.clone()
        };
        Some((name, listed))
    }

    /// Looks whether copies are where they were left; learns from the stored positions where that is, the first time and
    /// while something is missing that another worker knows more of.
    fn look_at_copies(&mut self) -> Result<(), Fault> {
        if !self.has_learnt {
            let stored = all_positions(&self.flow, &self.target, self.watch.record())?;
            self.growth.learn(stored.positions.keys());
            self.lives.learn(&stored);
            self.lost.learn(&self.flow, &stored.positions);
            self.has_learnt = true;
        }
        let looked_at = self.lost.short().looked_at;
        self.lost.look(&self.target, &self.board, WITHIN)?;
        let is_new = self.lost.short().looked_at != looked_at;
        if is_new && self.lost.is_anybody_elses(&self.board) {
            self.has_learnt = false;
        }
        self.listing.short = self.lost.short().clone();
        Ok(())
    }

    /// Asks the source for one offset where heartbeats are told and neither a look nor a fetch would have shown by the
    /// next time that it answers. A source that was silent last time is left to the next look, which waits longer.
    fn feel_pulse(&mut self) {
        let mm2 = &self.flow.mm2;
        if !(mm2.heartbeats || mm2.source_heartbeats) || !self.answers_now {
            return;
        }
        let name = {
            let board = self.board.hold();
            let is_recent = board
                .source_answered_at
                .is_some_and(|at| at.elapsed() + CONTROL_INTERVAL < mm2.heartbeat_interval);
            // Only the holder of slot 0 tells.
            match board.slots.contains_key(&Slot::new(0)) && !is_recent {
                true => board.partitions.keys().next().cloned(),
                false => None,
            }
        };
        let Some(name) = name else { return };
        let edges = self
            .source
            .edges([&name], Edge::HighWatermark, PULSE_WITHIN);
        self.answers_now = edges.is_ok_and(|edges| edges.get(&name).is_some_and(Result::is_ok));
        if self.answers_now {
            self.board.hold().source_answered_at = Some(Instant::now());
        }
    }

    /// The ids of these topics: asked for when a topic is new, and now and then for all. What is read meanwhile under
    /// another id is found by its reader.
    fn ids(&mut self, topics: &[Topic]) -> Result<BTreeMap<String, String>, Fault> {
        let all = self.catalog.take_doubt() || self.listing.look.is_multiple_of(IDS_EVERY);
        let known = |topic: &Topic| {
            let listed = self.listing.topics.get(topic.name.as_str())?;
            // One that has others than before may be another one.
            let is_as_before = listed.on_source == topic.partitions;
            Some((
                topic.name.clone(),
                listed.id.clone().filter(|_| is_as_before)?,
            ))
        };
        let mut ids: BTreeMap<String, String> = if all {
            BTreeMap::new()
        } else {
            topics.iter().filter_map(known).collect()
        };
        let unknown: Vec<&str> = topics
            .iter()
            .map(|topic| topic.name.as_str())
            .filter(|name| !ids.contains_key(*name))
            .collect();
        ids.extend(self.source.topic_ids(unknown, WITHIN)?);
        Ok(ids)
    }

    /// Looks now and then whether a flow the other way round was started or resumed. Both wait then, until somebody decides
    /// which is to go on.
    fn look_the_other_way(&mut self, topics: &[Topic]) {
        if Instant::now() < self.opposite.1 {
            return;
        }
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let record = self.watch.record();
        let ends = Ends {
            source: &record.source_cluster_id,
            target: &record.target_cluster_id,
        };
        let found = opposite::in_the_way(&self.flow, &self.source, &names, ends, WITHIN);
        self.opposite = (found, Instant::now() + OPPOSITE_INTERVAL);
    }

    /// Shows slots what was found, with what the flow's record says of it.
    fn publish(&mut self) {
        let record = self.watch.record();
        self.listing.paused = match record.state {
            FlowState::Running => self.opposite.0.is_some(),
            FlowState::Paused | FlowState::Sealed => true,
        };
        for (name, topic) in &mut self.listing.topics {
            topic.paused = record.paused_topics.contains(&**name);
        }
        let is_news = self.listing.differs_from(&self.catalog.listing());
        self.catalog.put(self.listing.clone());
        if is_news {
            self.bell.ring();
        }
    }

    /// Looks whether copies keep timestamps: those of topics that are not being copied, and now and then all. A copy that
    /// may not be described is taken at its word, which its acknowledgements are.
    fn look_at_stamps(&mut self, selected: &[Topic]) {
        let now = Instant::now();
        self.stamps.note(self.catalog.take_altering(), now);
        let all = self.stamps.is_due(now);
        let copies: Vec<String> = selected
            .iter()
            .filter(|topic| all || !self.listing.topics.contains_key(topic.name.as_str()))
            .map(|topic| self.copy_of(&topic.name))
            .filter(|copy| self.on_target.contains_key(copy))
            .collect();
        match self.target.describe_configs(&copies, WITHIN) {
            Ok(told) => self.stamps.saw(&copies, &told, now),
            Err(fault) => tracing::debug!(%fault, "could not look at the configs of copies"),
        }
    }

    fn look_at_target(&mut self) -> Result<(), Fault> {
        self.replicas = Some(Replicas::on(&self.target, self.flow.replication_factor)?);
        self.on_target = self
            .target
            .topics(WITHIN)?
            .into_iter()
            .map(|topic| (topic.name, topic.partitions))
            .collect();
        Ok(())
    }

    /// Makes the target's topic ready, or says why it is not.
    fn prepare(&mut self, topic: &str, partitions: i32) -> Result<(), String> {
        let copy = self.copy_of(topic);
        match self.on_target.get(&copy) {
            Some(have) if *have >= partitions => {}
            Some(have) => grow(&self.flow, &self.target, &copy, *have, partitions)?,
            None => {
                let Some(replicas) = self.replicas else {
                    return Err(format!(
                        "the target's topic {copy} is not made yet: cluster {} does not answer",
                        self.flow.target.alias
                    ));
                };
                let size = (partitions, replicas);
                create(&self.flow, &self.source, &self.target, topic, &copy, size)?;
            }
        }
        self.on_target
            .entry(copy)
            .and_modify(|have| *have = partitions.max(*have))
            .or_insert(partitions);
        Ok(())
    }
}
