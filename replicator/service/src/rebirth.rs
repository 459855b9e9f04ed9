//! Where a partition goes on whose copies cannot be followed by what comes next: in a new life, behind what its target
//! holds.

use understudy_domain::{
    GapCause, GapKey, GapRecord, Origin, Position, Resolution, Slot, SourceOffset, TargetOffset,
    TopicPartition,
};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster, Fault};

use crate::creation::make;
use crate::gap_hold::WITHIN;
use crate::holding::{HoldError, Holding};
use crate::replication::Replicas;
use crate::stored_state::read_positions;

impl Holding {
    /// Whose a topic is in which a partition was to go on, if it is not this flow's.
    fn whose(&self, target: &Cluster, topic: &str) -> Result<Option<&'static str>, HoldError> {
        let flow = &self.context.flow;
        let listing = self.context.catalog.listing();
        let mut copies = listing
            .topics
            .keys()
            .map(|name| flow.policy.target_topic(name));
        if copies.any(|copy| copy == topic) {
            return Ok(Some("a topic of the source is copied to that name"));
        }
        let Some(found) = target.topic(topic, WITHIN)? else {
            return Ok(None);
        };
        let partitions: Vec<_> = (0..found.partitions)
            .map(|number| TopicPartition::new(topic, number))
            .collect();
        let ends = target.edges(&partitions, Edge::HighWatermark, WITHIN)?;
        if ends.values().all(|end| matches!(end, Ok(0))) {
            return Ok(None);
        }
        for slot in (0..self.context.slots.get()).map(Slot::new) {
            let positions = read_positions(target, &flow.state, slot)?;
            let names = |position: &Position| position.target_topic.as_deref() == Some(topic);
            if positions.values().any(names) {
                return Ok(None);
            }
        }
        Ok(Some("it holds records that this flow has not copied"))
    }

    /// Where the source's new log begins, and where its copies will; `None` while that cannot be told.
    pub(crate) fn reborn(
        &self,
        key: &GapKey,
        record: &GapRecord,
        resolution: Resolution,
        position: &Position,
    ) -> Result<Option<Position>, HoldError> {
        let flow = self.context.flow.clone();
        let partition = &key.partition;
        let (source, target) = (Cluster::open(&flow.source)?, Cluster::open(&flow.target)?);
        let id = source
            .topic_ids([&*partition.topic], WITHIN)?
            .remove(&*partition.topic);
        if id.is_none() && position.source_topic_id.is_some() {
            // It is away just now: which one it is when it comes back is not known yet.
            return Ok(None);
        }
        let begin = match record.cause {
            GapCause::Truncated => record.end,
            GapCause::Recreated | GapCause::Deleted | GapCause::Refused | GapCause::CopiesLost => {
                log_start(&source, partition)?
            }
        };
        let topic = match resolution {
            Resolution::NewTopic => Some(format!(
                "{}.{}",
                flow.policy.target_topic(&partition.topic),
                position.incarnation.saturating_add(1)
            )),
            Resolution::ContinueInSame
            | Resolution::Skip
            | Resolution::Park
            | Resolution::Retry => position.target_topic.clone(),
        };
        if let (Resolution::NewTopic, Some(topic)) = (resolution, &topic)
            && let Some(whose) = self.whose(&target, topic)?
        {
            tracing::warn!(slot = %self.slot, %partition, "not going on in {topic}: {whose}; delete or rename it, or answer otherwise");
            return Ok(None);
        }
        let copies = match &topic {
            Some(topic) => TopicPartition::new(topic.as_str(), partition.partition),
            None => flow.target_of(partition),
        };
        let end = self.end_of_copies(&source, &target, partition, &copies)?;
        let (Some(begin), Some(end)) = (begin, end) else {
            return Ok(None);
        };
        let origin = Origin {
            source: begin,
            target: end,
        };
        Ok(Some(Position {
            source_topic_id: id,
            flow_epoch: self.epoch,
            ..position.reborn(origin, topic)
        }))
    }

    /// Where a partition goes on that lost copies on the target: in a new life, behind what its log holds now, at the gap's
    /// end or, to be copied again, at its start. Nothing while that cannot be done.
    pub(crate) fn behind_the_loss(
        &self,
        key: &GapKey,
        resolution: Resolution,
        position: &Position,
    ) -> Result<Option<Position>, HoldError> {
        let flow = self.context.flow.clone();
        let partition = &key.partition;
        let (source, target) = (Cluster::open(&flow.source)?, Cluster::open(&flow.target)?);
        let begin = match resolution {
            Resolution::Skip => position.source_offset,
            Resolution::ContinueInSame => {
                let Some(start) = log_start(&source, partition)? else {
                    return Ok(None);
                };
                key.start.max(start)
            }
            Resolution::Park | Resolution::Retry | Resolution::NewTopic => return Ok(None),
        };
        let copies = self.target_of(partition);
        let end = self.end_of_copies(&source, &target, partition, &copies)?;
        let Some(end) = end else {
            return Ok(None);
        };
        let origin = Origin {
            source: begin,
            target: end,
        };
        Ok(Some(Position {
            // The same source: if it has become another one meanwhile, that is a gap of its own.
            source_topic_id: position.source_topic_id.clone(),
            source_leader_epoch: match resolution {
                Resolution::Skip => position.source_leader_epoch,
                Resolution::ContinueInSame
                | Resolution::Park
                | Resolution::Retry
                | Resolution::NewTopic => None,
            },
            flow_epoch: self.epoch,
            ..position.reborn(origin, position.target_topic.clone())
        }))
    }

    /// Where the log of these copies ends, made ready if it is not there; nothing while that is not told.
    fn end_of_copies(
        &self,
        source: &Cluster,
        target: &Cluster,
        partition: &TopicPartition,
        copies: &TopicPartition,
    ) -> Result<Option<TargetOffset>, HoldError> {
        let flow = &self.context.flow;
        let there = target.topic(&copies.topic, WITHIN)?;
        let have = there.map(|topic| topic.partitions);
        if have.is_none_or(|have| have <= copies.partition) {
            let partitions = source
                .topic(&partition.topic, WITHIN)?
                .map_or(1, |topic| topic.partitions)
                .max(copies.partition.saturating_add(1));
            match have {
                Some(_) => target.grow_topic(&copies.topic, partitions, WITHIN)?,
                None => {
                    let size = (partitions, Replicas::on(target, flow.replication_factor)?);
                    let (topic, copy) = (&*partition.topic, &*copies.topic);
                    make(flow, source, target, topic, copy, size).map_err(Fault::from)?;
                }
            }
        }
        let end = target
            .edges([copies], Edge::HighWatermark, WITHIN)?
            .remove(copies);
        Ok(end.and_then(Result::ok).map(TargetOffset::new))
    }
}

/// Where the source's log begins; nothing while that is not told.
fn log_start(source: &Cluster, partition: &TopicPartition) -> Result<Option<SourceOffset>, Fault> {
    let start = source
        .edges([partition], Edge::Earliest, WITHIN)?
        .remove(partition);
    Ok(start.and_then(Result::ok).map(SourceOffset::new))
}

/// What else there is to say of a gap once copying goes on at `moved`, in words that go on behind others.
pub fn what_else(key: &GapKey, record: &GapRecord, old: &Position, moved: &Position) -> String {
    let begins = moved.started_at;
    let mut words = String::new();
    if record.cause == GapCause::CopiesLost {
        if begins.source > key.start && begins.source < old.source_offset {
            words = format!(
                ". Copied again from {} on, where the source's log began by then",
                begins.source
            );
        }
    } else if moved.target_topic == old.target_topic && begins.target < old.target_offset {
        words = format!(
            ". Copies were lost on the target as well: its log ended at {}, though they went up to {}",
            begins.target, old.target_offset
        );
    }
    words
}
