//! What a tool about tails stands on: a sealed flow, its cut, and both clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::tail::{TailHeader, TailKey, TailProgress, is_renewed};
use understudy_domain::{
    FlowName, FlowRecord, FlowState, Origin, Position, SourceOffset, StateTopics, TargetOffset,
    TopicPartition,
};
use understudy_kafka::cluster::Topic;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::SalvageError;
use understudy_flow::config::Flow;
use understudy_flow::flow_record;
use understudy_flow::opposite::{Ends, flows_onto, record_of, topics_copied};
use understudy_flow::stored_state::{read_positions, read_salvage};
use understudy_flow::tool::{ToolError, open_target};

/// Time limit of one call.
pub const WITHIN: Duration = Duration::from_secs(10);

/// A sealed flow, its cut, and both clusters.
pub struct Ground<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// The cluster that is active since.
    pub target: Cluster,
    /// The cluster that came back.
    pub source: Cluster,
    /// The flow's record: sealed.
    pub record: FlowRecord,
    /// Where each partition ended; none where the flow had not begun with one that it mirrors.
    pub cut: BTreeMap<TopicPartition, Option<Position>>,
    /// The id of the cluster behind the source's address.
    pub source_id: String,
    /// The newest epoch under which a partition began: what an earlier recovery wrote lies before its cut.
    began: u64,
}

impl<'a> Ground<'a> {
    /// Opens both clusters and reads the cut.
    ///
    /// # Errors
    /// The flow is not sealed, another one copies the other way, or a cluster does not answer.
    pub fn open(flow: &'a Flow) -> Result<Self, SalvageError> {
        let target = open_target(flow)?;
        let record = flow_record::read(&target, flow)?
            .ok_or_else(|| ToolError::NoFlow(flow.name.to_string()))?;
        if record.state != FlowState::Sealed {
            return Err(SalvageError::NotSealed {
                flow: flow.name.to_string(),
                state: record.state.name(),
            });
        }
        let mut cut = BTreeMap::new();
        for slot in record.homes() {
            let positions = read_positions(&target, &flow.state, slot)?;
            cut.extend(positions.into_iter().map(|(name, it)| (name, Some(it))));
        }
        let at_source = |fault: Fault| SalvageError::source(flow, &fault);
        let source = Cluster::open(&flow.source).map_err(at_source)?;
        let source_id = source.id(WITHIN).map_err(at_source)?;
        let mut ground = Self {
            flow,
            target,
            source,
            record,
            cut,
            source_id,
            began: 0,
        };
        if ground.is_own_source() {
            let listed = ground.source.topics(WITHIN).map_err(at_source)?;
            ground.add_never_copied(&listed);
            let ended = ground.nothing_flows_back(&listed)?;
            for (back, record) in ended {
                ground.part_where_it_ended(&back, &record)?;
            }
        }
        let began = ground.cut.values().flatten().map(|it| it.flow_epoch);
        ground.began = began.max().unwrap_or_default();
        Ok(ground)
    }

    /// Whether the cluster behind the source's address is the one that was mirrored.
    pub fn is_own_source(&self) -> bool {
        self.source_id == self.record.source_cluster_id
    }

    /// Leaves only these topics of the source; without any, all of them.
    ///
    /// # Errors
    /// One that was never mirrored.
    pub fn keep(&mut self, topics: &[String]) -> Result<(), SalvageError> {
        for topic in topics {
            if !self.cut.keys().any(|name| *name.topic == **topic) {
                return Err(SalvageError::NoTopic {
                    flow: self.flow.name.to_string(),
                    topic: topic.clone(),
                });
            }
        }
        if !topics.is_empty() {
            let named = |name: &TopicPartition| topics.iter().any(|topic| **topic == *name.topic);
            self.cut.retain(|name, _| named(name));
        }
        Ok(())
    }

    /// The topics of the cut, as on the source.
    pub fn topics(&self) -> BTreeSet<&str> {
        self.cut.keys().map(|name| &*name.topic).collect()
    }

    /// Where the copies of a partition are, or would be.
    pub fn copies_of(&self, name: &TopicPartition, position: Option<&Position>) -> TopicPartition {
        match position {
            Some(position) => self.flow.copies_of(name, position),
            None => self.flow.target_of(name),
        }
    }

    /// The first offset that the target still holds of each topic of copies; those that are not there are missing.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn copies_begin(&self) -> Result<BTreeMap<TopicPartition, i64>, SalvageError> {
        let copies: Vec<TopicPartition> = (self.cut.iter())
            .map(|(name, position)| self.copies_of(name, position.as_ref()))
            .collect();
        let told = self.target.edges(&copies, Edge::Earliest, WITHIN);
        let told = told.map_err(|fault| SalvageError::target(self.flow, &fault))?;
        let told = told.into_iter();
        Ok(told
            .filter_map(|(name, answer)| Some((name, answer.ok()?)))
            .collect())
    }

    /// Whether a record of the source with these headers puts a key right behind the tail of its partition: it is no part of
    /// that.
    pub fn is_renewed(&self, name: &TopicPartition, headers: &[TailHeader]) -> bool {
        let was_copied = matches!(self.cut.get(name), Some(Some(_)));
        was_copied && is_renewed(headers, self.began, self.record.epoch)
    }

    /// Whose tail a partition's is.
    pub fn tail_key(&self, name: &TopicPartition) -> TailKey {
        TailKey {
            epoch: self.record.epoch,
            partition: name.clone(),
        }
    }

    /// What was put aside by now. What somebody puts aside just now is not waited for.
    ///
    /// # Errors
    /// The target does not answer, or holds progress that this version cannot read.
    pub fn put_aside(&self) -> Result<BTreeMap<TailKey, TailProgress>, SalvageError> {
        let by_now = Cluster::open(&self.flow.target).map(Cluster::committed_by_now);
        let by_now = by_now.map_err(|fault| SalvageError::target(self.flow, &fault))?;
        Ok(read_salvage(&by_now, &self.flow.state)?)
    }

    /// Whether the flow is still what it was.
    ///
    /// # Errors
    /// It is not: what was seen since does not count.
    pub fn still_stands(&self) -> Result<(), SalvageError> {
        let now = flow_record::read(&self.target, self.flow)?
            .ok_or_else(|| ToolError::NoFlow(self.flow.name.to_string()))?;
        if (now.state, now.epoch) == (self.record.state, self.record.epoch) {
            return Ok(());
        }
        Err(SalvageError::Changed {
            flow: self.flow.name.to_string(),
            epoch: self.record.epoch,
            state: now.state.name(),
            now: now.epoch,
        })
    }

    /// What is mirrored and was never begun with, such as a topic that was made just before the source was lost.
    fn add_never_copied(&mut self, listed: &[Topic]) {
        for topic in listed.iter().filter(|topic| self.flow.selects(&topic.name)) {
            for partition in 0..topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), partition);
                self.cut.entry(name).or_default();
            }
        }
    }

    /// A flow that goes the other way since puts its copies where the tail would be. It is seen where its own topics on
    /// the source may be read. Answers those that ended before this one was sealed.
    fn nothing_flows_back(
        &self,
        listed: &[Topic],
    ) -> Result<Vec<(FlowName, FlowRecord)>, SalvageError> {
        let ends = Ends {
            source: &self.record.source_cluster_id,
            target: &self.record.target_cluster_id,
        };
        let copies: BTreeSet<String> = (self.cut.iter())
            .map(|(name, position)| self.copies_of(name, position.as_ref()).topic.to_string())
            .collect();
        let mut ended = Vec::new();
        for back in flows_onto(listed.iter().map(|topic| topic.name.as_str())) {
            let record = match record_of(&back, &self.source, WITHIN) {
                Ok(Some(record)) if ends.is_opposite(&record) => record,
                Ok(_) => continue,
                Err(reason) => {
                    tracing::debug!(flow = %back, %reason, "cannot tell whether it runs the other way");
                    continue;
                }
            };
            if record.state == FlowState::Sealed && record.epoch <= self.record.epoch {
                ended.push((back, record));
                continue;
            }
            let read = topics_copied(&back, &record, &self.source)?;
            let copied: Vec<_> = read.intersection(&copies).map(String::as_str).collect();
            if !copied.is_empty() {
                return Err(SalvageError::FlowBack {
                    back: back.to_string(),
                    topics: copied.join(", "),
                    source_alias: self.flow.source.alias.clone(),
                });
            }
        }
        Ok(ended)
    }

    /// Where a flow the other way ended behind this one's last copy, the clusters were alike there last: this one was
    /// sealed again without having run since, by a recovery onto a cluster that nothing was copied to. What lies beyond
    /// this one's own cut is then partly what the other one copied, and no tail.
    ///
    /// # Errors
    /// Its state cannot be read.
    fn part_where_it_ended(
        &mut self,
        back: &FlowName,
        record: &FlowRecord,
    ) -> Result<(), SalvageError> {
        let state = StateTopics::new(back.clone());
        for slot in record.homes() {
            for (active, ended) in read_positions(&self.source, &state, slot)? {
                let topic = ended.target_topic.as_deref().unwrap_or(&active.topic);
                let name = TopicPartition::new(topic, active.partition);
                let Some(own) = self.cut.get(&name) else {
                    continue;
                };
                if self.copies_of(&name, own.as_ref()) != active {
                    continue;
                }
                if let Some(later) = last_alike(own.as_ref(), &ended) {
                    self.cut.insert(name, Some(later));
                }
            }
        }
        Ok(())
    }
}

/// The cut at which a flow the other way ended, if that is later on both clusters than where `own` stands.
fn last_alike(own: Option<&Position>, ended: &Position) -> Option<Position> {
    let (source, target) = (
        SourceOffset::new(ended.target_offset.get()),
        TargetOffset::new(ended.source_offset.get()),
    );
    let is_later = own.is_none_or(|own| {
        let same = (own.source_offset, own.target_offset) == (source, target);
        !same && own.source_offset <= source && own.target_offset <= target
    });
    is_later.then(|| {
        let origin = Origin { source, target };
        // The other one's names are those of its own target.
        Position {
            source_topic_id: own.and_then(|own| own.source_topic_id.clone()),
            flow_epoch: own.map_or(0, |own| own.flow_epoch).max(ended.flow_epoch),
            ..own
                .unwrap_or(ended)
                .reborn(origin, own.and_then(|own| own.target_topic.clone()))
        }
    })
}
