//! What a slot does about copies that are not on the target any more: it says which they were, as a gap, and writes
//! nothing behind the loss until somebody has decided.
//!
//! A log that ends before where copies went has lost what lay from its end on. It is looked for before a partition is
//! copied; while it is copied, discovery points to it, and acknowledgements tell: no copy may land where others were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{
    GapCause, Position, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::plane::{Copied, DataPlane};

use crate::board::PartitionState;
use crate::catalog::Listing;
use crate::gap_hold::{WITHIN, found};
use crate::holding::{HoldError, Holding};
use crate::map_state::{Known, Question, answer_all_from};

/// Time limit of the look at the logs of copies: nothing is copied meanwhile.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// How long a log must be seen to end too early: a broker that has just started may tell less than there is.
const SURELY: Duration = Duration::from_secs(1);
/// How soon a log is looked at again that was found to end too early just now, and one that stays so.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const LOOK_AGAIN_LATER: Duration = Duration::from_secs(5);

/// What a slot knows of logs that end too early. Written by the slot alone; outlives a holding.
#[derive(Debug, Default)]
pub struct ShortCopies {
    /// Since when, by partition of the source; until it is sure.
    suspected: BTreeMap<TopicPartition, Instant>,
    /// Where a copy landed although others had gone further: what lay from there on is gone, whatever is there by now.
    landed: BTreeMap<TopicPartition, TargetOffset>,
    /// The last of discovery's looks that was followed.
    followed: Option<Instant>,
}

impl ShortCopies {
    /// A copy landed there, where others were before.
    pub fn note_landed(&mut self, partition: &TopicPartition, at: TargetOffset) {
        let known = self.landed.entry(partition.clone()).or_insert(at);
        *known = at.min(*known);
    }

    /// When to look again at what is suspected; never if nothing is.
    pub fn look_again(&self, now: Instant) -> Option<Instant> {
        let latest = self.suspected.values().max()?;
        let is_fresh = now.saturating_duration_since(*latest) < LOOK_AGAIN_LATER;
        Some(
            now + if is_fresh {
                LOOK_AGAIN
            } else {
                LOOK_AGAIN_LATER
            },
        )
    }

    /// Whether a partition waits until it is sure that its copies are lost.
    pub fn is_suspected(&self, partition: &TopicPartition) -> bool {
        self.suspected.contains_key(partition)
    }
}

/// How a log of copies ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    /// Here.
    EndsAt(TargetOffset),
    /// A copy landed here.
    LandedAt(TargetOffset),
    /// There is none.
    Gone,
}

impl Short {
    /// The first place of which the copy is lost.
    const fn end(self) -> TargetOffset {
        match self {
            Self::EndsAt(end) | Self::LandedAt(end) => end,
            Self::Gone => TargetOffset::new(0),
        }
    }

    fn words(self, copies: &TopicPartition, to: TargetOffset) -> String {
        match self {
            Self::EndsAt(end) => {
                format!("the target's log of {copies} ends at {end}, though copies went up to {to}")
            }
            Self::LandedAt(end) => format!(
                "a copy landed at {end} of {copies} on the target, though copies had gone up to {to} before"
            ),
            Self::Gone => format!("{copies} is gone from the target, copies went up to {to}"),
        }
    }
}

impl Holding {
    /// Stops what discovery saw to have lost copies, so that it is looked at before it goes on. Not while a transaction is
    /// open.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn doubt_copies(&mut self, listing: &Listing) -> Result<(), HoldError> {
        let short = &listing.short;
        if short.looked_at <= self.short.followed {
            return Ok(());
        }
        self.short.followed = short.looked_at;
        let doubted: Vec<_> = self
            .active
            .iter()
            .filter(|(partition, state)| match state {
                PartitionState::Copying | PartitionState::Waiting => {
                    short.partitions.contains(*partition)
                }
                PartitionState::Halted | PartitionState::Paused => false,
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        if !doubted.is_empty() {
            self.commit()?;
        }
        for partition in doubted {
            self.plane.stop(&partition);
            self.active.remove(&partition);
        }
        Ok(())
    }

    /// Looks whether the copies of these partitions are there, all up to the last, before they are copied. Those that are
    /// not wait until that is sure, and are a gap then; they are left out of what is handed back.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn with_their_copies(
        &mut self,
        new: Vec<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, HoldError> {
        let (short, has_looked) = self.short_ones(&new)?;
        if has_looked {
            self.short
                .suspected
                .retain(|partition, _| short.contains_key(partition));
        }
        let mut whole = Vec::new();
        for partition in new {
            match short.get(&partition) {
                Some(short) => self.meet_short(&partition, *short)?,
                // It is looked at again.
                None if self.short.is_suspected(&partition) => {}
                None => whole.push(partition),
            }
        }
        Ok(whole)
    }

    /// Those whose copies are not there, and whether the target told. Where copies landed is known without it.
    fn short_ones(
        &self,
        new: &[TopicPartition],
    ) -> Result<(BTreeMap<TopicPartition, Short>, bool), HoldError> {
        let mut copied = BTreeMap::new();
        for partition in new {
            // One that halts is not written, and looked at once it goes on; one that is read again was looked at.
            let is_held = self.gaps.open(partition).is_some() || self.retrying.contains(partition);
            if let (false, Some(entry)) = (is_held, self.state.get(partition)) {
                let copies = self.target_of(partition);
                copied.insert(copies, (partition.clone(), entry.position.target_offset));
            }
        }
        let mut short = BTreeMap::new();
        copied.retain(|_, (partition, to)| {
            let landed = self
                .short
                .landed
                .get(partition)
                .filter(|landed| *landed < to);
            if let Some(landed) = landed {
                short.insert(partition.clone(), Short::LandedAt(*landed));
            }
            landed.is_none()
        });
        if copied.is_empty() {
            return Ok((short, true));
        }
        let opened;
        let target = match &self.target {
            Some(target) => target,
            None => {
                opened = Cluster::open(&self.context.flow.target)?;
                &opened
            }
        };
        let ends = match target.edges(copied.keys(), Edge::HighWatermark, LOOK_WITHIN) {
            Ok(ends) => ends,
            // Copies wait for the same brokers, if any; acknowledgements tell.
            Err(fault) => {
                tracing::debug!(slot = %self.slot, %fault, "could not look whether copies are there");
                return Ok((short, false));
            }
        };
        for (copies, (partition, to)) in copied {
            let found = match ends.get(&copies) {
                Some(Ok(end)) if *end < to.get() => Short::EndsAt(TargetOffset::new(*end)),
                Some(Err(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::LeaderNotAvailable,
                )) if is_gone(target, &copies) => Short::Gone,
                // What a broker does not tell just now is not lost; acknowledgements tell.
                Some(Ok(_) | Err(_)) | None => continue,
            };
            short.insert(partition, found);
        }
        Ok((short, true))
    }

    fn meet_short(&mut self, partition: &TopicPartition, short: Short) -> Result<(), HoldError> {
        let Some(entry) = self.state.get(partition) else {
            return Ok(());
        };
        let (position, copies) = (entry.position.clone(), self.target_of(partition));
        let to = position.target_offset;
        let what = short.words(&copies, to);
        let now = Instant::now();
        let since = *self.short.suspected.entry(partition.clone()).or_insert(now);
        let is_sure = now.duration_since(since) >= SURELY;
        // Where nothing was copied nothing is lost: it waits until there is a log again.
        let first = match is_sure && to > TargetOffset::new(0) {
            true => self.first_lost(partition, &position, short.end())?,
            false => None,
        };
        let Some((start, exactly)) = first else {
            self.show_partition(partition, PartitionState::Waiting, Some(&what));
            return Ok(());
        };
        let doubt = match exactly {
            true => "",
            false => {
                ". A part of the offset map is lost as well: some at the beginning of this range may still be there"
            }
        };
        let reason = format!(
            "{what}: somebody deleted or cut it, and {}{doubt}",
            what_is_lost(&position, start, short.end())
        );
        self.short.suspected.remove(partition);
        self.active
            .insert(partition.clone(), PartitionState::Copying);
        let record = found(Some(position.source_offset), GapCause::CopiesLost, reason);
        self.meet_new_at(partition, start, record)?;
        self.short.landed.remove(partition);
        Ok(())
    }

    /// The first record of the source whose copy is lost with everything from `end` on, and whether it is exactly that
    /// one; nothing while the map cannot be read.
    fn first_lost(
        &self,
        partition: &TopicPartition,
        position: &Position,
        end: TargetOffset,
    ) -> Result<Option<(SourceOffset, bool)>, HoldError> {
        // What was passed there without a copy is a gap of its own already, and stays one.
        let beginning = self.gaps.first_behind_passed(
            partition,
            position.incarnation,
            position.started_at.source,
        );
        let beginning = beginning.min(position.source_offset);
        if end <= position.started_at.target {
            return Ok(Some((beginning, true)));
        }
        let found = match self.ask_back(partition, end)? {
            Some(Translation::Exact(first)) => Some((first, true)),
            Some(Translation::AtLeast(first)) => Some((first, false)),
            // The map has forgotten what both logs had: everything that it knows of is lost.
            Some(Translation::BeforeHistory) => Some((beginning, false)),
            Some(Translation::Ahead | Translation::NoSync | Translation::NotReady) | None => None,
        };
        Ok(found.map(|(first, exactly)| (first.min(position.source_offset), exactly)))
    }

    /// Where the source's record is whose copy would be at `at`, by the slot's whole map.
    fn ask_back(
        &self,
        partition: &TopicPartition,
        at: TargetOffset,
    ) -> Result<Option<Translation<SourceOffset>>, HoldError> {
        let flow = &self.context.flow;
        let question = Question::Reverse(partition.clone(), at);
        let asked = std::slice::from_ref(&question);
        let mut known = answer_all_from(flow, self.context.slots, asked, Cluster::open)?;
        Ok(match known.remove(&question) {
            Some(Known::Source(_, found)) => Some(found),
            Some(Known::Unreadable(reason)) => {
                tracing::debug!(%partition, reason, "the map does not tell what is lost");
                None
            }
            Some(Known::Target(..) | Known::Nothing) | None => None,
        })
    }

    /// Whether somebody has put the copies back: the last one is where it was, and still the same as its record.
    pub(crate) fn are_back(
        &self,
        partition: &TopicPartition,
        position: &Position,
    ) -> Result<bool, HoldError> {
        let flow = &self.context.flow;
        let Some(last) = position.target_offset.get().checked_sub(1) else {
            return Ok(false);
        };
        let Some(Translation::Exact(original)) =
            self.ask_back(partition, TargetOffset::new(last))?
        else {
            return Ok(false);
        };
        let copies = self.target_of(partition);
        let (source, target) = (Cluster::open(&flow.source)?, Cluster::open(&flow.target)?);
        let end = target
            .edges([&copies], Edge::HighWatermark, WITHIN)?
            .remove(&copies);
        if !matches!(end, Some(Ok(end)) if end > last) {
            return Ok(false);
        }
        let original = source.read_one(partition, original.get(), WITHIN)?;
        let copy = target.read_one(&copies, last, WITHIN)?;
        Ok(original.is_some() && original == copy)
    }

    /// What the target acknowledged must lie behind what it acknowledged before.
    pub(crate) fn must_follow(&self, copied: &[Copied]) -> Result<(), HoldError> {
        for copied in copied {
            let Some(entry) = self.state.get(&copied.partition) else {
                continue;
            };
            if let Some(run) = copied.runs.first()
                && run.target < entry.position.target_offset
            {
                return Err(HoldError::LandedEarly {
                    partition: copied.partition.clone(),
                    at: run.target,
                    to: entry.position.target_offset,
                });
            }
        }
        Ok(())
    }
}

/// Which copies are lost with a log's part from `end` on, where the partition's own begin with that of `start`: also
/// what its earlier lives left there, of which nothing tells any more where it stood on the source.
fn what_is_lost(position: &Position, start: SourceOffset, end: TargetOffset) -> String {
    let to = position.source_offset;
    let mut words = match start < to {
        true => format!(
            "the copies of source offsets {start} to {} are lost there",
            to.get().saturating_sub(1)
        ),
        false => "what lay there is lost".to_owned(),
    };
    let began = position.started_at.target;
    if position.incarnation > 0 && end < began {
        words.push_str(&format!(
            ", and so is what earlier lives of the partition left at offsets {end} to {} of that log, of which the source's offsets are not known any more",
            began.get().saturating_sub(1)
        ));
    }
    words
}

/// Whether there is no such topic, or none with this partition: it may have been made again with fewer. Asked for by
/// name, because in a list of all topics those are missing as well that may not be described.
fn is_gone(target: &Cluster, copies: &TopicPartition) -> bool {
    match target.topic(&copies.topic, WITHIN) {
        Ok(topic) => topic.is_none_or(|topic| topic.partitions <= copies.partition),
        Err(fault) => {
            tracing::debug!(%copies, %fault, "could not look whether it is gone");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use understudy_domain::{MapCursor, Origin};

    use super::*;

    fn position(incarnation: u32) -> Position {
        let origin = Origin {
            source: SourceOffset::new(100),
            target: TargetOffset::new(50),
        };
        Position {
            source_offset: SourceOffset::new(130),
            source_leader_epoch: None,
            source_topic_id: None,
            target_offset: TargetOffset::new(80),
            source_end_offset: None,
            source_end_seen_at_ms: None,
            started_at: origin,
            incarnation,
            target_topic: None,
            flow_epoch: 0,
            map: MapCursor::default(),
            records: 30,
            former: Vec::new(),
        }
    }

    fn lost(incarnation: u32, start: i64, end: i64) -> String {
        let (start, end) = (SourceOffset::new(start), TargetOffset::new(end));
        what_is_lost(&position(incarnation), start, end)
    }

    #[test]
    fn copies_of_earlier_lives_that_are_lost_are_named_by_where_they_lay() {
        let whole = lost(1, 100, 0);
        assert!(whole.contains("source offsets 100 to 129"), "{whole}");
        assert!(whole.contains("earlier lives"), "{whole}");
        assert!(whole.contains("at offsets 0 to 49"), "{whole}");
        // Only copies of this life.
        assert!(!lost(1, 110, 60).contains("earlier lives"));
        assert!(!lost(1, 100, 50).contains("earlier lives"));
        // What was there before the flow is nobody's copy.
        assert!(!lost(0, 100, 0).contains("earlier lives"));
    }

    #[test]
    fn where_this_life_has_no_copy_none_of_its_offsets_is_said_to_be_lost() {
        let nothing = lost(2, 130, 20);
        assert!(!nothing.contains("source offsets 130"), "{nothing}");
        assert!(nothing.contains("at offsets 20 to 49"), "{nothing}");
    }
}
