//! A slot's state on the target: positions and offset map of its partitions, and what to write at each commit.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use understudy_domain::{
    DELTA_RING, EndLook, MapCursor, MapKey, MapRecord, OpenChunk, Origin, Pending, Position, Run,
    RunError, Slot, SourceOffset, StalePlan, StateTopics, TargetOffset, TopicPartition, slot_of,
};
use understudy_kafka::Cluster;
use understudy_kafka::plane::{Copied, StateWrite, Witness};

use crate::lives::Life;
use crate::stored_state::{StateError, place_of, read_map, read_positions};

/// Numbers the positions topic for the engine.
pub const POSITIONS: u8 = 0;
/// Numbers the offset-map topic for the engine.
pub const OFFSET_MAP: u8 = 1;
/// Numbers the gaps topic for the engine.
pub const GAPS: u8 = 2;
/// How far behind the last copy a partition may stand so that it is read from there again: control records and a gap
/// that was passed lie between.
const WITNESS_PASSED_MAX: i64 = 1_000;
/// How many chunks of the map one transaction tombstones: records wait meanwhile.
const FORGET_AT_ONCE: u64 = 1000;

/// Why state cannot be written for what was copied.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Copies whose places go backwards.
    #[error("the copies of {partition} do not follow those before them")]
    Run {
        /// Whose copies.
        partition: TopicPartition,
        /// How.
        #[source]
        source: RunError,
    },
    /// A bookkeeping fault of ours.
    #[error(transparent)]
    Stale(#[from] StalePlan),
}

/// One partition's state as stored, and its open chunk.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As last committed.
    pub position: Position,
    chunk: OpenChunk,
}

impl Entry {
    /// The runs of the map's open chunk.
    pub fn runs(&self) -> &[Run] {
        self.chunk.runs()
    }

    /// The last record copied, where it is known and close: the record by which the source's log is known again.
    pub fn witness(&self) -> Option<Witness> {
        let last = self.runs().last()?.source_end().get().checked_sub(1)?;
        let passed = self.position.source_offset.get().checked_sub(last)?;
        (passed <= WITNESS_PASSED_MAX).then_some(Witness {
            offset: SourceOffset::new(last),
            leader_epoch: self.position.source_leader_epoch?,
        })
    }

    /// Whether the open chunk is the first one: its runs are the whole map.
    pub fn is_first_chunk(&self) -> bool {
        self.chunk.chunk() == self.position.map.first
    }
}

/// The state of one slot.
pub struct SlotState {
    topics: StateTopics,
    slot: Slot,
    entries: BTreeMap<TopicPartition, Entry>,
    /// One past the last offset-map record known: where the next one lies, or after.
    map_floor: i64,
    /// How often a partition has begun anew since the state was read.
    lives: u64,
}

/// State that is being written, to be [`SlotState::committed`] once it is.
#[derive(Default)]
pub struct Planned {
    /// What to write in the data's transaction.
    pub writes: Vec<StateWrite>,
    changes: Vec<(TopicPartition, Position, Option<Pending>)>,
}

impl Planned {
    /// How many records it deletes.
    pub fn tombstones(&self) -> u64 {
        let tombstone = |write: &&StateWrite| write.value.is_none();
        self.writes.iter().filter(tombstone).count() as u64
    }

    /// Adds what another plan writes.
    pub fn add(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.changes.extend(other.changes);
    }
}

impl SlotState {
    /// Reads the slot's state to the high watermarks, committed records only.
    ///
    /// # Errors
    /// The cluster's answer, or state that this version cannot use.
    pub fn load(
        cluster: &Cluster,
        topics: &StateTopics,
        (slot, slots): (Slot, NonZeroU32),
    ) -> Result<Self, StateError> {
        let mut positions = read_positions(cluster, topics, slot)?;
        // A replica that was away for longer than tombstones are kept may tell of what moved to another slot.
        positions.retain(|partition, _| slot_of(partition, slots) == slot);
        let from = positions.values().map(|position| position.map.from).min();
        let mut readers = BTreeMap::new();
        // Without positions there is nothing in the map either.
        let mut map_floor = 0;
        if let Some(from) = from {
            map_floor = from;
            map_floor = map_floor.max(read_map(cluster, topics, slot, from, &mut readers)?);
        }
        let mut entries = BTreeMap::new();
        for (partition, position) in positions {
            let reader = readers.remove(&partition).unwrap_or_default();
            let chunk = reader
                .open_chunk(&position)
                .map_err(|source| StateError::Fold {
                    partition: partition.clone(),
                    source,
                })?;
            entries.insert(partition, Entry { position, chunk });
        }
        Ok(Self {
            topics: topics.clone(),
            slot,
            entries,
            map_floor,
            lives: 0,
        })
    }

    /// The partition's stored state.
    pub fn get(&self, partition: &TopicPartition) -> Option<&Entry> {
        self.entries.get(partition)
    }

    /// Every partition that has copies, or is to have them.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.entries.keys()
    }

    /// How often a partition has begun anew since the state was read: what was translated before means nothing then.
    pub const fn lives(&self) -> u64 {
        self.lives
    }

    /// State for a partition that moved without a copy: past a gap, or to a new life. What was last seen of the source's
    /// ends is forgotten with it: in a new life it means other records.
    pub fn moved(&self, partition: &TopicPartition, position: Position) -> Planned {
        Planned {
            writes: vec![
                self.position_write(partition, &position),
                self.look_write(None),
            ],
            changes: vec![(partition.clone(), position, None)],
        }
    }

    /// What to write of the source's ends as `seen`, each with its time in milliseconds since 1970: of those partitions whose
    /// positions tell of a time before `since_ms`, where it was seen after that. Nothing where there is none.
    pub fn look(
        &self,
        since_ms: i64,
        seen: &dyn Fn(&TopicPartition) -> Option<(SourceOffset, i64)>,
    ) -> Planned {
        let mut look = EndLook {
            seen_at_ms: i64::MAX,
            ends: BTreeMap::new(),
        };
        for (partition, entry) in &self.entries {
            let told = entry.position.source_end_seen_at_ms;
            if told.is_some_and(|at| at >= since_ms) {
                continue;
            }
            let Some((end, at_ms)) = seen(partition).filter(|(_, at_ms)| *at_ms >= since_ms) else {
                continue;
            };
            look.seen_at_ms = look.seen_at_ms.min(at_ms);
            let ends = look.ends.entry(partition.topic.clone()).or_default();
            ends.insert(partition.partition, end);
        }
        let write = (!look.ends.is_empty()).then(|| self.look_write(Some(look.encode())));
        Planned {
            writes: write.into_iter().collect(),
            changes: Vec::new(),
        }
    }

    /// State for a partition never mirrored before, beginning at `origin`, as the others of its topic in `life`.
    pub fn enrol(
        &self,
        partition: &TopicPartition,
        origin: Origin,
        topic_id: Option<String>,
        life: &Life,
        flow_epoch: u64,
    ) -> Planned {
        let position = Position {
            source_offset: origin.source,
            source_leader_epoch: None,
            source_topic_id: topic_id,
            target_offset: origin.target,
            source_end_offset: None,
            source_end_seen_at_ms: None,
            started_at: origin,
            incarnation: life.incarnation,
            target_topic: life.moved_to.as_deref().map(str::to_owned),
            flow_epoch,
            map: MapCursor {
                first: 0,
                chunk: 0,
                delta: 0,
                from: self.map_floor,
            },
            records: 0,
            former: Vec::new(),
        };
        Planned {
            writes: vec![self.position_write(partition, &position)],
            changes: vec![(partition.clone(), position, None)],
        }
    }

    /// What to write for what was copied; `ends` tells the source's ends, and when they were seen, in milliseconds since
    /// 1970.
    ///
    /// # Errors
    /// Copies that do not follow those before them.
    pub fn plan(
        &self,
        copied: Vec<Copied>,
        ends: &dyn Fn(&Copied) -> Option<(SourceOffset, i64)>,
        id_of: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Planned, PlanError> {
        let mut planned = Planned::default();
        for copied in copied {
            let Some(entry) = self.entries.get(&copied.partition) else {
                continue;
            };
            let seen = ends(&copied);
            let partition = copied.partition;
            let mut position = entry.position.clone();
            position.source_offset = position.source_offset.max(copied.source_offset);
            if position.source_topic_id.is_none() {
                position.source_topic_id = id_of(&partition.topic);
            }
            position.source_leader_epoch = copied.leader_epoch.or(position.source_leader_epoch);
            position.records += copied.runs.iter().map(|run| run.length).sum::<u64>();
            if let Some(last) = copied.runs.last() {
                position.target_offset = last.target_end();
            }
            if let Some((end, at_ms)) = seen {
                // What was copied since was there.
                position.source_end_offset = Some(end.max(position.source_offset));
                position.source_end_seen_at_ms = Some(at_ms);
            }
            let mut pending = None;
            if !copied.runs.is_empty() {
                let plan = entry
                    .chunk
                    .plan(copied.runs, self.map_floor)
                    .map_err(|source| PlanError::Run {
                        partition: partition.clone(),
                        source,
                    })?;
                for record in plan.writes() {
                    planned.writes.push(self.map_write(&partition, record));
                }
                let from = if plan.moves_from() {
                    self.map_floor
                } else {
                    position.map.from
                };
                position.map = plan.cursor(position.map, from);
                pending = Some(plan);
            }
            planned
                .writes
                .push(self.position_write(&partition, &position));
            planned.changes.push((partition, position, pending));
        }
        self.renew_one(&mut planned);
        Ok(planned)
    }

    /// Moves the beginning of the open chunk that lies furthest back, once far more was written since than it takes
    /// to seal a chunk of every partition: a take-over and the tools read the map from there on. One a commit.
    fn renew_one(&self, planned: &mut Planned) {
        let Some((partition, entry)) = self
            .entries
            .iter()
            .min_by_key(|(_, entry)| entry.position.map.from)
        else {
            return;
        };
        let behind = self.map_floor.saturating_sub(entry.position.map.from);
        let partitions = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        let allowed = partitions
            .saturating_add(16)
            .saturating_mul(2 * i64::from(DELTA_RING));
        let is_moving = planned
            .changes
            .iter()
            .any(|(moving, ..)| moving == partition);
        if behind <= allowed || is_moving {
            return;
        }
        let plan = entry.chunk.renew(self.map_floor);
        let mut position = entry.position.clone();
        position.map = plan.cursor(position.map, self.map_floor);
        for record in plan.writes() {
            planned.writes.push(self.map_write(partition, record));
        }
        planned
            .writes
            .push(self.position_write(partition, &position));
        planned
            .changes
            .push((partition.clone(), position, Some(plan)));
    }

    /// What to write so that chunks of the map are forgotten which no question can need any more: those below the start
    /// of both logs, as `starts` tells them, and those of earlier lives. At most [`FORGET_AT_ONCE`] chunks.
    pub fn forget(
        &self,
        starts: &dyn Fn(&TopicPartition) -> Option<(SourceOffset, TargetOffset)>,
    ) -> Planned {
        let (mut planned, mut left) = (Planned::default(), FORGET_AT_ONCE);
        for (partition, entry) in &self.entries {
            let Some((source, target)) = starts(partition).filter(|_| left > 0) else {
                continue;
            };
            let range = entry
                .chunk
                .forgettable(&entry.position, source, target, left);
            if range.is_empty() {
                continue;
            }
            left = left.saturating_sub(range.end.saturating_sub(range.start));
            let (plan, tombstones) = entry.chunk.forget(partition, range.end, self.map_floor);
            for record in plan.writes() {
                planned.writes.push(self.map_write(partition, record));
            }
            // What lies in a slot that the partition belonged to before stays there: only its own slot writes there.
            let here = |key: &MapKey| entry.position.home_of(key, self.slot) == self.slot;
            let tombstones = tombstones.into_iter().filter(here);
            planned.writes.extend(tombstones.map(|key| StateWrite {
                kind: OFFSET_MAP,
                place: place_of(self.topics.offset_map(), self.slot),
                key: key.encode(),
                value: None,
            }));
            let change = (partition.clone(), entry.position.clone(), Some(plan));
            planned.changes.push(change);
        }
        planned
    }

    /// The transaction with `planned` was committed; `map_offset` is the last offset-map record's place.
    ///
    /// # Errors
    /// The plan was made on other state: a fault of ours.
    pub fn committed(
        &mut self,
        planned: Planned,
        map_offset: Option<i64>,
    ) -> Result<(), PlanError> {
        for (partition, position, pending) in planned.changes {
            let entry = self.entries.entry(partition).or_insert_with(|| Entry {
                position: position.clone(),
                chunk: OpenChunk::new(),
            });
            if position.incarnation != entry.position.incarnation {
                entry.chunk = entry.chunk.reborn(&position);
                self.lives += 1;
            }
            entry.position = position;
            if let Some(pending) = pending {
                entry.chunk.commit(pending)?;
            }
        }
        if let Some(offset) = map_offset {
            self.map_floor = self.map_floor.max(offset + 1);
        }
        Ok(())
    }

    fn map_write(&self, partition: &TopicPartition, record: &MapRecord) -> StateWrite {
        StateWrite {
            kind: OFFSET_MAP,
            place: place_of(self.topics.offset_map(), self.slot),
            key: record.key(partition).encode(),
            value: Some(record.encode()),
        }
    }

    fn look_write(&self, value: Option<Vec<u8>>) -> StateWrite {
        StateWrite {
            kind: POSITIONS,
            place: place_of(self.topics.positions(), self.slot),
            key: EndLook::key(),
            value,
        }
    }

    fn position_write(&self, partition: &TopicPartition, position: &Position) -> StateWrite {
        StateWrite {
            kind: POSITIONS,
            place: place_of(self.topics.positions(), self.slot),
            key: Position::key(partition),
            value: Some(position.encode()),
        }
    }
}

#[cfg(test)]
mod tests {
    use understudy_domain::{FlowName, Run, TargetOffset};

    use super::*;

    fn copied(partition: &TopicPartition, source: i64) -> Copied {
        Copied {
            partition: partition.clone(),
            source_offset: SourceOffset::new(source + 1),
            runs: vec![Run {
                source: SourceOffset::new(source),
                target: TargetOffset::new(source * 2),
                length: 1,
            }],
            bytes: 1,
            leader_epoch: None,
            last_timestamp_ms: None,
            at_end: false,
            topic_id: None,
        }
    }

    #[test]
    fn only_ends_that_positions_do_not_tell_are_looked_at() -> Result<(), Box<dyn std::error::Error>>
    {
        let mut state = empty()?;
        let names = [0, 1, 2, 3].map(|partition| TopicPartition::new("orders", partition));
        for name in &names {
            state.committed(state.enrol(name, ORIGIN, None, &Life::default(), 0), None)?;
        }
        let [recent, idle, silent, fresh] = &names;
        for (name, at_ms) in [(recent, 20_000), (idle, 3_000), (silent, 3_000)] {
            let seen = |_: &Copied| Some((SourceOffset::new(9), at_ms));
            let planned = state.plan(vec![copied(name, 5)], &seen, &|_| None)?;
            state.committed(planned, Some(1))?;
        }
        let seen = |name: &TopicPartition| {
            let at_ms = if name == silent { 4_000 } else { 18_000 };
            Some((SourceOffset::new(9), at_ms + i64::from(name.partition)))
        };
        let planned = state.look(15_000, &seen);
        let write = planned.writes.first().ok_or("nothing was written")?;
        assert_eq!((write.kind, &write.key), (POSITIONS, &EndLook::key()));
        let look = EndLook::decode(write.value.as_deref().ok_or("a tombstone")?)?;
        // The idle one, and the one that nothing was copied of ever; the older of their times.
        assert_eq!(look.seen_at_ms, 18_001);
        let ends = look.ends.get("orders").ok_or("no ends")?;
        assert_eq!(
            ends.keys().collect::<Vec<_>>(),
            [&idle.partition, &fresh.partition]
        );
        assert!(state.look(25_000, &seen).writes.is_empty());
        // In another life, ends mean other records.
        let entry = state.get(idle).ok_or("no entry")?;
        let moved = state.moved(idle, entry.position.reborn(ORIGIN, None));
        let forgotten = |write: &StateWrite| write.key == EndLook::key() && write.value.is_none();
        assert!(moved.writes.iter().any(forgotten));
        Ok(())
    }

    const ORIGIN: Origin = Origin {
        source: SourceOffset::ZERO,
        target: TargetOffset::ZERO,
    };

    fn empty() -> Result<SlotState, Box<dyn std::error::Error>> {
        Ok(SlotState {
            topics: StateTopics::new(FlowName::new("a-b")?),
            slot: Slot::new(0),
            entries: BTreeMap::new(),
            map_floor: 0,
            lives: 0,
        })
    }

    #[test]
    fn a_quiet_partition_is_renewed_before_its_neighbours_have_left_it_far_behind()
    -> Result<(), Box<dyn std::error::Error>> {
        let mut state = empty()?;
        let [busy, quiet] = ["busy", "quiet"].map(|topic| TopicPartition::new(topic, 0));
        for partition in [&busy, &quiet] {
            let planned = state.enrol(partition, ORIGIN, None, &Life::default(), 0);
            state.committed(planned, None)?;
        }
        let planned = state.plan(vec![copied(&quiet, 0)], &|_| None, &|_| None)?;
        state.committed(planned, Some(0))?;
        let (mut map_offset, mut furthest) = (0, 0);
        for source in 0..100_000 {
            let planned = state.plan(vec![copied(&busy, source)], &|_| None, &|_| None)?;
            let records = planned
                .writes
                .iter()
                .filter(|write| write.kind == OFFSET_MAP)
                .count();
            // One more for the commit marker.
            map_offset += i64::try_from(records)? + 1;
            state.committed(planned, Some(map_offset - 1))?;
            let from = state.get(&quiet).map_or(0, |entry| entry.position.map.from);
            furthest = furthest.max(map_offset - from);
        }
        let entry = state.get(&quiet).ok_or("it is gone")?;
        assert!(furthest < 50_000, "{furthest}");
        assert_eq!(
            entry.chunk.directory().next_chunk(),
            entry.position.map.chunk
        );
        assert_eq!(
            entry.position.map.chunk, 1,
            "an empty chunk is not sealed again"
        );
        assert_eq!(entry.position.source_offset, SourceOffset::new(1));
        Ok(())
    }
}
