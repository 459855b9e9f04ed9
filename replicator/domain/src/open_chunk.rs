//! The writing end of the offset map: the chunk that still grows.
//!
//! Each commit adds a small delta record; when the chunk is full it is written
//! once more, whole, and the next one opens. Deltas reuse a ring of keys, so
//! compaction removes old ones without tombstones.
//!
//! A write counts once its transaction has committed: [`OpenChunk::plan`] says
//! what to write and changes nothing, [`OpenChunk::commit`] makes it so. To
//! abort, drop the plan.

use crate::run::{End, append, check_all_follow, end_of};
use crate::{MapCursor, MapRecord, Position, Run, RunError};

/// How many deltas a chunk may have; the size of the ring of keys.
pub const DELTA_RING: u32 = 1024;

/// How many runs a chunk may have; it bounds the size of every record.
pub const CHUNK_RUNS: usize = 4000;

/// The open chunk of one partition's offset map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenChunk {
    chunk: u64,
    deltas: u32,
    runs: Vec<Run>,
    /// What the first run of the chunk must not lie before, as far as known.
    floor: Option<End>,
}

/// What to write for one commit, not yet part of the chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan counts once it is committed"]
pub struct Pending {
    planned_on: (u64, u32),
    writes: Vec<MapRecord>,
    next: (u64, u32),
}

/// A plan was made on an earlier state of the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan was made on chunk {planned_chunk}, delta {planned_delta}, the map stands at chunk {chunk}, delta {delta}"
)]
pub struct StalePlan {
    /// The chunk that the plan was made on.
    pub planned_chunk: u64,
    /// The next delta at that time.
    pub planned_delta: u32,
    /// The chunk that is open.
    pub chunk: u64,
    /// The next delta in it.
    pub delta: u32,
}

impl OpenChunk {
    /// The first chunk of a partition never replicated before.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first chunk of a partition that began anew.
    pub fn reborn(position: &Position) -> Self {
        Self {
            chunk: position.map.chunk,
            ..Self::default()
        }
    }

    /// A chunk as the log holds it.
    pub(crate) const fn resumed(chunk: u64, deltas: u32, runs: Vec<Run>, floor: End) -> Self {
        Self {
            chunk,
            deltas,
            runs,
            floor: Some(floor),
        }
    }

    /// Says which records to write for these runs. Without runs there are none.
    pub fn plan(&self, runs: Vec<Run>) -> Result<Pending, RunError> {
        check_all_follow(self.end(), &runs)?;
        let writes = self.writes(runs);
        let next = writes.iter().fold(self.cursor(), after);
        Ok(Pending {
            planned_on: self.cursor(),
            writes,
            next,
        })
    }

    /// Makes a plan part of the chunk, once its transaction has committed.
    pub fn commit(&mut self, pending: Pending) -> Result<(), StalePlan> {
        let (chunk, delta) = self.cursor();
        let (planned_chunk, planned_delta) = pending.planned_on;
        if pending.planned_on != self.cursor() {
            return Err(StalePlan {
                planned_chunk,
                planned_delta,
                chunk,
                delta,
            });
        }
        for write in pending.writes {
            self.apply(&write);
        }
        Ok(())
    }

    /// The open chunk's number.
    pub const fn chunk(&self) -> u64 {
        self.chunk
    }

    /// The sequence number of the next delta.
    pub const fn delta(&self) -> u32 {
        self.deltas
    }

    /// The runs of the open chunk.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    const fn cursor(&self) -> (u64, u32) {
        (self.chunk, self.deltas)
    }

    /// What the next run must not lie before, as far as known.
    fn end(&self) -> Option<End> {
        end_of(&self.runs).or(self.floor)
    }

    fn writes(&self, runs: Vec<Run>) -> Vec<MapRecord> {
        if runs.is_empty() {
            return Vec::new();
        }
        // Counted before joining: a chunk may be sealed a little early, never too late.
        let has_room = self.deltas < DELTA_RING && self.runs.len() + runs.len() < CHUNK_RUNS;
        if has_room {
            return vec![MapRecord::Delta {
                chunk: self.chunk,
                delta: self.deltas,
                runs,
            }];
        }
        let mut all = self.runs.clone();
        for run in runs {
            append(&mut all, run);
        }
        sealed(self.chunk, &all)
    }

    fn apply(&mut self, write: &MapRecord) {
        match write {
            MapRecord::Chunk { runs, .. } => {
                self.floor = end_of(runs).or(self.floor);
                self.runs = Vec::new();
            }
            MapRecord::Delta { runs, .. } => {
                for run in runs {
                    append(&mut self.runs, *run);
                }
            }
        }
        (self.chunk, self.deltas) = after(self.cursor(), write);
    }
}

impl Pending {
    /// The records to write, in this order, in the transaction of the data.
    pub fn writes(&self) -> &[MapRecord] {
        &self.writes
    }

    /// True if a chunk is sealed by this plan: deltas written before it are
    /// no longer needed, so `from` may move to where these writes begin.
    pub const fn seals(&self) -> bool {
        self.next.0 != self.planned_on.0
    }

    /// The cursor to store in the position of the same transaction, after `before`.
    pub const fn cursor(&self, before: MapCursor, from: i64) -> MapCursor {
        let (chunk, delta) = self.next;
        MapCursor {
            first: before.first,
            chunk,
            delta,
            from,
        }
    }
}

/// Seals the open chunk and any further full one; what is left opens the next.
fn sealed(first: u64, runs: &[Run]) -> Vec<MapRecord> {
    let mut chunk = first;
    let mut writes = Vec::new();
    for part in runs.chunks(CHUNK_RUNS) {
        let runs = part.to_vec();
        if chunk == first || runs.len() == CHUNK_RUNS {
            writes.push(MapRecord::Chunk { chunk, runs });
        } else {
            writes.push(MapRecord::Delta {
                chunk,
                delta: 0,
                runs,
            });
        }
        chunk = chunk.saturating_add(1);
    }
    writes
}

/// Chunk and next delta after a write.
fn after((chunk, delta): (u64, u32), write: &MapRecord) -> (u64, u32) {
    match write {
        MapRecord::Chunk { .. } => (chunk.saturating_add(1), 0),
        MapRecord::Delta { .. } => (chunk, delta.saturating_add(1)),
    }
}
