//! The writing end of the offset map: the chunk that still grows.
//!
//! Each commit adds a small delta record; when the chunk is full it is written
//! once more, whole, and the next one opens. Deltas reuse a ring of keys, so
//! compaction removes old ones without tombstones. With each sealed chunk the
//! directory is written, which says where chunks begin.
//!
//! A write counts once its transaction has committed: [`OpenChunk::plan`] says
//! what to write and changes nothing, [`OpenChunk::commit`] makes it so. To
//! abort, drop the plan.

use std::ops::Range;

use crate::run::{End, append, check_all_follow, end_of};
use crate::{
    ChunkStart, MapCursor, MapKey, MapRecord, PAGE_CHUNKS, Page, Position, Run, RunError,
    SourceOffset, TargetOffset, TopicPartition,
};

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
    /// Where the chunks before this one begin; its newest page.
    directory: Page,
    /// Where that page was last written, or a little before.
    directory_at: i64,
}

/// What to write for one commit, not yet part of the chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan counts once it is committed"]
pub struct Pending {
    planned_on: (u64, u32),
    writes: Vec<MapRecord>,
    next: (u64, u32),
    moves_from: bool,
    at: i64,
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

    /// The first chunk of a partition that began anew. What was forgotten of its earlier life stays so.
    #[must_use]
    pub fn reborn(&self, position: &Position) -> Self {
        Self {
            chunk: position.map.chunk,
            directory: Page {
                kept: self.directory.kept,
                ..Page::default()
            },
            ..Self::default()
        }
    }

    /// A chunk as the log holds it.
    pub(crate) const fn resumed(
        chunk: u64,
        deltas: u32,
        runs: Vec<Run>,
        floor: End,
        directory: Page,
        directory_at: i64,
    ) -> Self {
        Self {
            chunk,
            deltas,
            runs,
            floor: Some(floor),
            directory,
            directory_at,
        }
    }

    /// Says which records to write for these runs. Without runs there are none.
    ///
    /// `at` is an offset in the slot's partition of the offset-map topic at or before which none of these writes will
    /// stand; the closer, the less a reader has to look through.
    pub fn plan(&self, runs: Vec<Run>, at: i64) -> Result<Pending, RunError> {
        check_all_follow(self.end(), &runs)?;
        Ok(self.pending(self.writes(runs), at))
    }

    /// Says which records to write so that `from` of the cursor may move to `at`: the open chunk sealed early, or just
    /// the directory. For a partition that copies little while its neighbours copy much; otherwise a reader would
    /// have to look through all that they wrote.
    pub fn renew(&self, at: i64) -> Pending {
        let writes = match self.runs.is_empty() {
            false => sealed(self.chunk, &self.runs),
            true => Vec::new(),
        };
        let mut pending = self.pending(writes, at);
        if pending.writes.is_empty() && !self.directory.is_empty() {
            pending
                .writes
                .push(MapRecord::Directory(self.directory.clone()));
        }
        pending.moves_from = true;
        pending
    }

    /// The chunks to [`forget`](Self::forget), the log starts being what they are: those that [`Page::forgettable`]
    /// names, and those of the partition's earlier lives. At most `limit`; none before this life has sealed a chunk.
    pub fn forgettable(
        &self,
        position: &Position,
        source_start: SourceOffset,
        target_start: TargetOffset,
        limit: u64,
    ) -> Range<u64> {
        if self.directory.is_empty() {
            return 0..0;
        }
        let of_this_life = self
            .directory
            .forgettable(source_start, target_start, u64::MAX);
        let kept = self.directory.kept;
        let until = of_this_life.end.max(position.map.first);
        kept..until.clamp(kept, kept.saturating_add(limit))
    }

    /// Says what to write so that the chunks before `until` are forgotten, as [`Self::forgettable`] allows: the
    /// directory, and which keys of `partition` to tombstone in the same transaction, in this order.
    pub fn forget(
        &self,
        partition: &TopicPartition,
        until: u64,
        at: i64,
    ) -> (Pending, Vec<MapKey>) {
        let before = self.directory.kept;
        let mut directory = self.directory.clone();
        directory.forget(until);
        let kept = directory.kept;
        let chunks = (before..kept).map(|chunk| MapKey::Chunk {
            partition: partition.clone(),
            chunk,
        });
        let pages = before / PAGE_CHUNKS..kept / PAGE_CHUNKS;
        let pages = pages.map(|page| MapKey::Directory {
            partition: partition.clone(),
            page,
        });
        let tombstones = chunks.chain(pages).collect();
        let mut pending = self.pending(Vec::new(), at);
        pending.writes.push(MapRecord::Directory(directory));
        (pending, tombstones)
    }

    /// Adds the pages of the directory that list what is sealed.
    fn pending(&self, chunks: Vec<MapRecord>, at: i64) -> Pending {
        let next = chunks.iter().fold(self.cursor(), after);
        let (mut directory, mut last_at) = (self.directory.clone(), self.directory_at);
        let (mut writes, mut changed) = (Vec::new(), false);
        for record in chunks {
            let MapRecord::Chunk { chunk, runs } = &record else {
                writes.push(record);
                continue;
            };
            let Some(first) = runs.first() else { continue };
            let start = ChunkStart {
                source: first.source,
                target: first.target,
                at,
            };
            let full = directory.list(*chunk, start, last_at);
            // A full page that this plan did not touch stands where it was written before.
            if let Some(full) = full.filter(|_| changed) {
                writes.push(MapRecord::Directory(full));
            }
            writes.push(record);
            (changed, last_at) = (true, at);
        }
        if changed {
            writes.push(MapRecord::Directory(directory));
        }
        Pending {
            planned_on: self.cursor(),
            writes,
            next,
            moves_from: changed,
            at,
        }
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
        for write in &pending.writes {
            self.apply(write, pending.at);
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

    /// The newest page of the directory of sealed chunks.
    pub const fn directory(&self) -> &Page {
        &self.directory
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

    fn apply(&mut self, write: &MapRecord, at: i64) {
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
            MapRecord::Directory(page) => {
                self.directory = page.clone();
                self.directory_at = at;
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

    /// True if nothing written before is needed to go on, so that `from` may
    /// move to where these writes begin: a chunk is sealed, or all was renewed.
    pub const fn moves_from(&self) -> bool {
        self.moves_from
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
        MapRecord::Directory(_) => (chunk, delta),
    }
}
