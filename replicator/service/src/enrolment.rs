//! Which of a slot's partitions are copied: those that the catalog lists, from where they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{Origin, SourceOffset, TargetOffset, TopicPartition};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::plane::{Course, DataPlane};

use crate::board::{Part, Partition, PartitionState};
use crate::catalog::Listing;
use crate::config::Start;
use crate::holding::{HoldError, Holding};
use crate::mm2::{Beginning, NotYet, beginnings};
use crate::slot_state::Planned;

/// Time limit of one look at a cluster.
const WITHIN: Duration = Duration::from_secs(10);
/// How long until a MirrorMaker 2 is looked at again that has not stopped.
const MM2_WAIT: Duration = Duration::from_secs(1);
/// How long until partitions are looked at again that had no leader.
const LEADERLESS_WAIT: Duration = Duration::from_millis(500);

impl Holding {
    /// Starts partitions that are new in the catalog, and stops those that left it or that wait. Not while a
    /// transaction is open.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn enrol(&mut self) -> Result<(), HoldError> {
        let listing = self.context.catalog.listing();
        let is_due = self.look_again.is_some_and(|at| Instant::now() >= at);
        if let (Some(seen), false) = (&self.seen, is_due) {
            if Arc::ptr_eq(seen, &listing) {
                return Ok(());
            }
            if self.is_no_news(seen, &listing) {
                self.must_be_the_same(&listing)?;
                self.seen = Some(listing);
                return Ok(());
            }
        }
        let slots = self.context.slots;
        let mut wanted: BTreeSet<_> = listing.of_slot(self.slot, slots).collect();
        // What was never copied of a topic waits while it is not decided what becomes of its copies.
        wanted.retain(|partition| {
            !listing.life_of(&partition.topic).undecided || self.state.get(partition).is_some()
        });
        wanted.extend(self.vanished(&listing));
        self.must_be_the_same(&listing)?;
        self.leave(&wanted, &listing)?;
        self.doubt_copies(&listing)?;
        let look = listing.look;
        self.absent.retain(|_, seen| *seen >= look);
        let new: Vec<_> = wanted
            .iter()
            .filter(|partition| {
                !self.active.contains_key(*partition) && !self.absent.contains_key(*partition)
            })
            .cloned()
            .collect();
        self.enrol_unknown(&new, &listing)?;
        self.seen = Some(listing.clone());
        for partition in self.with_their_copies(new)? {
            self.begin(&partition, &listing)?;
        }
        self.say_who_waits(&wanted);
        self.say_what_is_gone(&listing);
        Ok(())
    }

    /// Whether a newer look found what the one before did, and no partition waits for just that. So it is nearly always,
    /// and going through all partitions for it was two fifths of what an idle slot with 125 of them does.
    fn is_no_news(&self, seen: &Listing, listing: &Listing) -> bool {
        self.absent.is_empty() && listing.short.partitions.is_empty() && !listing.differs_from(seen)
    }

    /// Puts on the board which topics are on the target only: what was selected, has copies, and is not on the source.
    fn say_what_is_gone(&self, listing: &Listing) {
        let flow = &self.context.flow;
        let gone: BTreeSet<_> = self
            .state
            .partitions()
            .map(|partition| &partition.topic)
            .filter(|topic| !listing.on_source.contains(*topic) && flow.selects(topic))
            .cloned()
            .collect();
        // Before the source was looked at, nothing is known.
        if listing.look > 0 {
            self.context.board.hold().gone.insert(self.slot, gone);
        }
    }

    /// What is being read must be the topic that was read so far.
    fn must_be_the_same(&self, listing: &Listing) -> Result<(), HoldError> {
        for (partition, state) in &self.active {
            let reading = match state {
                PartitionState::Copying | PartitionState::Waiting => true,
                PartitionState::Halted | PartitionState::Paused => false,
            };
            let known = self
                .state
                .get(partition)
                .and_then(|entry| entry.position.source_topic_id.as_deref());
            if let (true, Some(known), Some(now)) =
                (reading, known, listing.id_of(&partition.topic))
                && known != now
            {
                return Err(HoldError::Replaced {
                    topic: partition.topic.clone(),
                });
            }
        }
        Ok(())
    }

    /// Stops what left the catalog or waits; lets go what waited and need not any more.
    fn leave(
        &mut self,
        wanted: &BTreeSet<TopicPartition>,
        listing: &Listing,
    ) -> Result<(), HoldError> {
        let gone: Vec<_> = self
            .active
            .iter()
            .filter(|(partition, state)| {
                let paused = **state == PartitionState::Paused;
                !wanted.contains(*partition) || paused != listing.is_paused(&partition.topic)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        if !gone.is_empty() {
            self.commit()?;
        }
        for partition in gone {
            self.plane.stop(&partition);
            self.active.remove(&partition);
            self.context.board.hold().partitions.remove(&partition);
        }
        Ok(())
    }

    /// Starts one partition from where it stands, unless something keeps it from going on.
    pub(crate) fn begin(
        &mut self,
        partition: &TopicPartition,
        listing: &Listing,
    ) -> Result<(), HoldError> {
        let Some(entry) = self.state.get(partition) else {
            return Ok(());
        };
        if listing.is_paused(&partition.topic) {
            self.active
                .insert(partition.clone(), PartitionState::Paused);
            self.show_partition(partition, PartitionState::Paused, None);
            return Ok(());
        }
        let (position, witness) = (entry.position.clone(), entry.witness());
        let replaced = match (&position.source_topic_id, listing.id_of(&partition.topic)) {
            (Some(known), Some(now)) if known != now => match self.id_now(&partition.topic)? {
                Some(now) => (now != *known).then_some(now),
                // Deleted meanwhile.
                None => {
                    self.set_aside(partition);
                    return Ok(());
                }
            },
            (Some(_) | None, _) => None,
        };
        self.active
            .insert(partition.clone(), PartitionState::Copying);
        if !self.retrying.remove(partition) {
            self.show_partition(partition, PartitionState::Copying, None);
        }
        if let Some(now) = replaced {
            return self.meet_replaced(partition, &now);
        }
        if let Some((key, record)) = self.gaps.open(partition) {
            let (key, record) = (key.clone(), record.clone());
            return self.meet(key, record);
        }
        let target = self.target_of(partition);
        if let Some(reason) = self.denial(&target) {
            self.active
                .insert(partition.clone(), PartitionState::Waiting);
            self.show_partition(partition, PartitionState::Waiting, Some(&reason));
            return Ok(());
        }
        let course = Course {
            target,
            from: position.source_offset,
            until: self.refused.get(partition).map(|refused| refused.offset),
            witness,
        };
        self.plane.start(partition, &course)?;
        Ok(())
    }

    /// A topic's id as the source has it now. The listing's may be older than a position: when a topic was made again,
    /// the position can learn its id from a reader, and go on in its new life, between two looks.
    fn id_now(&self, topic: &str) -> Result<Option<String>, HoldError> {
        self.context.catalog.doubt();
        let source = Cluster::open(&self.context.flow.source)?;
        Ok(source.topic_ids([topic], WITHIN)?.remove(topic))
    }

    /// Where a partition's copies go.
    pub(crate) fn target_of(&self, partition: &TopicPartition) -> TopicPartition {
        match self.state.get(partition) {
            Some(entry) => self.context.flow.copies_of(partition, &entry.position),
            None => self.context.flow.target_of(partition),
        }
    }

    fn say_who_waits(&mut self, wanted: &BTreeSet<TopicPartition>) {
        let part = Part::Slot(self.slot);
        // Those whose copies are missing say themselves why they wait.
        let leaderless: Vec<_> = wanted
            .iter()
            .filter(|partition| !self.active.contains_key(*partition))
            .filter(|partition| !self.short.is_suspected(partition))
            .map(TopicPartition::to_string)
            .collect();
        if let (Some(reason), false) = (&self.mm2_wait, leaderless.is_empty()) {
            self.look_again = Some(Instant::now() + MM2_WAIT);
            self.context.board.not_ready(part, reason);
        } else if leaderless.is_empty() {
            self.look_again = self.short.look_again(Instant::now());
            self.context.board.ready(&part);
        } else {
            self.look_again = Some(Instant::now() + LEADERLESS_WAIT);
            let reason = format!(
                "waiting for a leader, on the source or the target, of {}",
                leaderless.join(", ")
            );
            self.context.board.not_ready(part, &reason);
        }
    }

    /// Stores where partitions begin that were never mirrored, before their first record: a restart must not choose
    /// another beginning.
    fn enrol_unknown(
        &mut self,
        new: &[TopicPartition],
        listing: &Listing,
    ) -> Result<(), HoldError> {
        let unknown: Vec<_> = new
            .iter()
            .filter(|partition| self.state.get(partition).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let flow = self.context.flow.clone();
        let source = Cluster::open(&flow.source)?;
        let edge = match (flow.start, self.created_at_ms) {
            (Start::Earliest | Start::Mm2, _) => Edge::Earliest,
            // What came since the flow began, also where the partition was found later.
            (Start::Latest, Some(created_at_ms)) => Edge::Since(created_at_ms),
            (Start::Latest, None) => Edge::LastStable,
        };
        let mut starts = source.edges(unknown.iter().copied(), edge, WITHIN)?;
        if matches!(edge, Edge::Since(_)) {
            let none_since: Vec<_> = starts
                .iter()
                .filter(|(_, start)| start.as_ref().is_ok_and(|start| *start < 0))
                .map(|(name, _)| name.clone())
                .collect();
            starts.extend(source.edges(&none_since, Edge::LastStable, WITHIN)?);
        }
        let opened;
        let target = match &self.target {
            Some(target) => target,
            None => {
                opened = Cluster::open(&flow.target)?;
                &opened
            }
        };
        let copies: Vec<_> = unknown
            .iter()
            .map(|partition| {
                let life = listing.life_of(&partition.topic);
                let copy = life.copy(&partition.topic, &flow.policy);
                TopicPartition::new(copy, partition.partition)
            })
            .collect();
        let ends = target.edges(&copies, Edge::HighWatermark, WITHIN)?;
        let beginnings = match flow.start {
            Start::Earliest | Start::Latest => BTreeMap::new(),
            Start::Mm2 => {
                let wanted: Vec<_> = unknown
                    .iter()
                    .zip(&copies)
                    .map(|(partition, copy)| ((*partition).clone(), copy.clone()))
                    .collect();
                let found = beginnings(&flow, &source, target, &wanted);
                self.mm2_wait = None;
                match found {
                    Ok(found) => found,
                    Err(NotYet::Fault(fault)) => return Err(fault.into()),
                    Err(NotYet::Wait(reason)) => {
                        self.mm2_wait = Some(reason);
                        return Ok(());
                    }
                }
            }
        };
        let mut all = Planned::default();
        let mut unclear = Vec::new();
        for (partition, copy) in unknown.into_iter().zip(&copies) {
            // A partition without a leader, or one that the target does not show yet, waits for the next look.
            let (Some(Ok(source)), Some(Ok(target))) = (starts.get(partition), ends.get(copy))
            else {
                continue;
            };
            let source = match (flow.start, beginnings.get(partition)) {
                (Start::Earliest | Start::Latest, _) => SourceOffset::new(*source),
                (Start::Mm2, Some(Beginning::At(first))) => *first,
                (Start::Mm2, Some(Beginning::Unclear { at, reason })) => {
                    unclear.push((partition.clone(), *at, *target, reason.clone()));
                    continue;
                }
                (Start::Mm2, None) => continue,
            };
            let origin = Origin {
                source,
                target: TargetOffset::new(*target),
            };
            let id = listing.id_of(&partition.topic).map(str::to_owned);
            let life = listing.life_of(&partition.topic);
            all.add(self.state.enrol(partition, origin, id, &life, self.epoch));
        }
        for (partition, at, end, reason) in unclear {
            self.halt_unknown(&partition, at, TargetOffset::new(end), &reason);
        }
        if all.writes.is_empty() {
            return Ok(());
        }
        self.plane.put(&all.writes)?;
        self.finish(all)
    }

    /// Stops in front of a partition of which nobody can tell where it begins. It has no position yet: the next
    /// take-over looks again.
    fn halt_unknown(
        &mut self,
        partition: &TopicPartition,
        at: SourceOffset,
        end: TargetOffset,
        reason: &str,
    ) {
        let shown = Partition {
            slot: self.slot,
            copies: self.context.flow.target_of(partition),
            incarnation: 0,
            source_offset: at,
            target_offset: end,
            source_end_offset: None,
            end_seen_at: None,
            caught_up_at: None,
            last_timestamp_ms: None,
            last_copy: None,
            state: PartitionState::Halted,
            reason: None,
        };
        self.active
            .insert(partition.clone(), PartitionState::Halted);
        self.context
            .board
            .hold()
            .partitions
            .insert(partition.clone(), shown);
        self.show_state(partition, PartitionState::Halted, reason);
    }
}
