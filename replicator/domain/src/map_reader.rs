//! The reading end of the offset map: records in log order, back to a map.
//!
//! Compaction may have removed any delta whose key was written again, that is,
//! any of a chunk that is sealed by now. Deltas of the open chunk are all
//! there, or a record is missing and the map says so rather than answer.

use std::collections::BTreeMap;

use crate::{MapRecord, OffsetMap, OpenChunk, Origin, Page, Position, Run, RunError};

/// Collects the offset-map records of one partition, in log order.
#[derive(Clone, Debug, Default)]
pub struct MapReader {
    /// Sealed chunks by number.
    sealed: BTreeMap<u64, Vec<Run>>,
    /// The newest chunk that any delta belongs to.
    delta_chunk: u64,
    /// Its deltas by sequence number.
    deltas: BTreeMap<u32, Vec<Run>>,
    /// The newest page of the directory.
    directory: Page,
}

/// Why records do not make up the map that a position speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A delta of the open chunk is not in the log.
    #[error(
        "offset map: chunk {chunk} has no delta {expected} ({}); the topic has lost a record: \
         check that its cleanup.policy is compact and nothing else",
        found_next(*.found)
    )]
    MissingDelta {
        /// The open chunk.
        chunk: u64,
        /// The delta that should come next.
        expected: u32,
        /// The one that does, if any.
        found: Option<u32>,
    },
    /// A sealed chunk is not in the log, though older ones are.
    #[error(
        "offset map: chunk {chunk} is missing; the topic has lost a record: \
         check that its cleanup.policy is compact and nothing else"
    )]
    MissingChunk {
        /// The missing chunk.
        chunk: u64,
    },
    /// The records contradict each other.
    #[error("offset map: its records contradict each other")]
    OutOfOrder(#[from] RunError),
}

fn found_next(found: Option<u32>) -> String {
    match found {
        Some(delta) => format!("the next one is {delta}"),
        None => "the log ends before it".to_owned(),
    }
}

impl MapReader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record of the log.
    pub fn read(&mut self, record: MapRecord) {
        match record {
            MapRecord::Chunk { chunk, runs } => {
                self.sealed.insert(chunk, runs);
            }
            MapRecord::Delta { chunk, delta, runs } => {
                if chunk > self.delta_chunk {
                    self.delta_chunk = chunk;
                    self.deltas.clear();
                }
                if chunk == self.delta_chunk {
                    self.deltas.insert(delta, runs);
                }
            }
            MapRecord::Directory(page) => {
                if page.page >= self.directory.page {
                    self.directory = page;
                }
            }
        }
    }

    /// Takes a tombstone: the chunk lies below the start of both logs.
    pub fn forget(&mut self, chunk: u64) {
        self.sealed.remove(&chunk);
    }

    /// The chunk to go on writing. Enough for this: the log from [`MapCursor::from`](crate::MapCursor) on.
    pub fn open_chunk(&self, position: &Position) -> Result<OpenChunk, FoldError> {
        let open = self.open(position);
        let deltas = if self.delta_chunk == open {
            Some(&self.deltas)
        } else {
            None
        };
        let mut runs = OffsetMap::without_origin();
        let mut next = 0;
        for (delta, added) in deltas.into_iter().flatten() {
            if *delta != next {
                return Err(FoldError::MissingDelta {
                    chunk: open,
                    expected: next,
                    found: Some(*delta),
                });
            }
            runs.extend(added)?;
            next = next.saturating_add(1);
        }
        if open == position.map.chunk && next < position.map.delta {
            return Err(FoldError::MissingDelta {
                chunk: open,
                expected: next,
                found: None,
            });
        }
        let floor = (position.source_offset, position.target_offset);
        let directory = Some(self.directory.clone())
            .filter(|page| page.next_chunk() == open)
            .unwrap_or_else(|| Page {
                kept: self.directory.kept,
                ..Page::default()
            });
        Ok(OpenChunk::resumed(
            open,
            next,
            runs.runs().to_vec(),
            floor,
            directory,
            position.map.from,
        ))
    }

    /// The whole map. Needs the log from its beginning, read after the position.
    ///
    /// The log may be ahead of the position, never behind it. Where the oldest
    /// chunks are gone the map begins at the first one left.
    pub fn offset_map(&self, position: &Position) -> Result<OffsetMap, FoldError> {
        let open = self.open_chunk(position)?;
        // Chunks before the first one are of an earlier life of the partition.
        let oldest = self.sealed.range(position.map.first..).next();
        let first = oldest.map_or(open.chunk(), |(chunk, _)| *chunk);
        let mut map = if first == position.map.first {
            OffsetMap::new(position.started_at)
        } else if oldest.is_none() && open.runs().is_empty() {
            OffsetMap::new(Origin {
                source: position.source_offset,
                target: position.target_offset,
            })
        } else {
            OffsetMap::without_origin()
        };
        for chunk in first..open.chunk() {
            let runs = self
                .sealed
                .get(&chunk)
                .ok_or(FoldError::MissingChunk { chunk })?;
            map.extend(runs)?;
        }
        map.extend(open.runs())?;
        Ok(map)
    }

    /// The sealed chunks read, oldest first.
    pub(crate) fn sealed(&self) -> impl DoubleEndedIterator<Item = (u64, &[Run])> {
        self.sealed
            .iter()
            .map(|(chunk, runs)| (*chunk, runs.as_slice()))
    }

    /// The newest page of the directory read.
    pub(crate) const fn directory(&self) -> &Page {
        &self.directory
    }

    /// Every run read of the chunks from `first` on, whether or not others are missing between them.
    pub(crate) fn known_runs(&self, first: u64) -> impl Iterator<Item = &Run> {
        let deltas = (self.delta_chunk >= first).then_some(&self.deltas);
        let deltas = deltas.into_iter().flat_map(BTreeMap::values);
        let sealed = self.sealed.range(first..).map(|(_, runs)| runs);
        sealed.chain(deltas).flatten()
    }

    /// The newest chunk that position or log know of.
    fn open(&self, position: &Position) -> u64 {
        let after_sealed = self
            .sealed
            .keys()
            .next_back()
            .map_or(0, |last| last.saturating_add(1));
        let of_deltas = if self.deltas.is_empty() {
            0
        } else {
            self.delta_chunk
        };
        position.map.chunk.max(after_sealed).max(of_deltas)
    }
}
