//! Where chunks of the offset map begin: one small record, rewritten whenever a chunk is sealed.
//!
//! ```text
//! page 2 (newest)  older:  page 0 ──▶ offset in the log     chunks: 1024 ──▶ offset in the log
//!                          page 1 ──▶ …                             1025 ──▶ …
//! ```
//!
//! The newest page names every older one and every chunk of its own, so any chunk, however old, is found by reading
//! at most three records: the newest page, an older page, the chunk.
//!
//! Invariants:
//! (a) entries rise, on both sides and in the log;
//! (b) an entry's `at` lies at or a little before its record: other records may stand between, never another one of the
//!     same key.

use std::ops::Range;

use crate::varint::{self, Reader};
use crate::{DecodeError, SourceOffset, TargetOffset};

/// How many chunks a page lists.
pub const PAGE_CHUNKS: u64 = 512;
/// An entry is three varints, each at least a byte.
const ENTRY_BYTES_MIN: usize = 3;

/// Where a chunk, or the first chunk of a page, begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkStart {
    /// Its first record.
    pub source: SourceOffset,
    /// That record's copy.
    pub target: TargetOffset,
    /// An offset in the slot's partition of the offset-map topic, at or a little before the chunk's or page's record.
    pub at: i64,
}

/// One page of a partition's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its number: it lists chunks from `page * PAGE_CHUNKS` on.
    pub page: u64,
    /// The oldest chunk that is still kept; those before it lie below the start of both logs.
    pub kept: u64,
    /// The pages right before this one, oldest first.
    pub older: Vec<ChunkStart>,
    /// The first chunk listed here.
    pub first: u64,
    /// The chunks listed here, one after the other.
    pub chunks: Vec<ChunkStart>,
}

impl Page {
    /// The number of the chunk that will be listed next.
    pub fn next_chunk(&self) -> u64 {
        self.first.saturating_add(self.chunks.len() as u64)
    }

    /// Whether anything is listed.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The number of the oldest page named here, this one included.
    pub fn oldest_page(&self) -> u64 {
        self.page.saturating_sub(self.older.len() as u64)
    }

    /// The first chunk that is listed, here or in an older page.
    fn listed_from(&self) -> u64 {
        match self.older.is_empty() {
            true => self.first,
            false => self.oldest_page().saturating_mul(PAGE_CHUNKS),
        }
    }

    /// Whether every kept chunk from `chunk` on is listed, here or in an older page.
    pub fn lists_all_from(&self, chunk: u64) -> bool {
        self.listed_from() <= chunk.max(self.kept)
    }

    /// The chunks that no question can need any more, the log starts being what they are: a chunk may go once the one
    /// after it begins at or below both starts. To be tombstoned from the oldest on; at most `limit` at a time.
    ///
    /// Of pages before this one it knows only where they begin, so they go whole.
    pub fn forgettable(
        &self,
        source_start: SourceOffset,
        target_start: TargetOffset,
        limit: u64,
    ) -> Range<u64> {
        let below =
            |start: &ChunkStart| start.source <= source_start && start.target <= target_start;
        // Numbers of the chunks whose beginnings are known: of each older page, and of each chunk here.
        let pages = self
            .older
            .iter()
            .zip(self.oldest_page()..)
            .map(|(start, page)| (page.saturating_mul(PAGE_CHUNKS), start));
        let chunks = self.chunks.iter().zip(self.first..);
        let until = pages
            .chain(chunks.map(|(start, chunk)| (chunk, start)))
            .take_while(|(_, start)| below(start))
            .map(|(chunk, _)| chunk)
            .last()
            .unwrap_or(self.kept);
        self.kept..until.clamp(self.kept, self.kept.saturating_add(limit))
    }

    /// Notes that the chunks before `until` were tombstoned; pages without kept chunks are named no more.
    pub fn forget(&mut self, until: u64) {
        self.kept = self.kept.max(until.min(self.next_chunk()));
        while !self.older.is_empty() && self.oldest_page() < self.kept / PAGE_CHUNKS {
            self.older.remove(0);
        }
    }

    /// Lists a sealed chunk. When it begins a new page, the full one is returned: `last_at` is where that was last
    /// written, unless this call's caller writes it again.
    pub(crate) fn list(&mut self, chunk: u64, start: ChunkStart, last_at: i64) -> Option<Self> {
        let page = chunk / PAGE_CHUNKS;
        if self.is_empty() || self.next_chunk() != chunk {
            // The directory begins here; chunks before it are found by reading everything.
            *self = Self {
                page,
                kept: self.kept,
                older: Vec::new(),
                first: chunk,
                chunks: vec![start],
            };
            return None;
        }
        if page == self.page {
            self.chunks.push(start);
            return None;
        }
        let full = self.clone();
        if let Some(first) = self.chunks.first() {
            self.older.push(ChunkStart {
                at: last_at,
                ..*first
            });
        }
        self.page = page;
        self.first = chunk;
        self.chunks = vec![start];
        Some(full)
    }

    /// How the places of its entries have to be written.
    pub(crate) fn places(&self) -> Places {
        let rise = |entries: &[ChunkStart]| entries.is_sorted_by_key(|entry| entry.at);
        if rise(&self.older) && rise(&self.chunks) {
            Places::Rising
        } else {
            Places::Any
        }
    }

    /// The bytes behind version and kind.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>, places: Places) {
        varint::put(bytes, self.page);
        varint::put(bytes, self.kept);
        put_entries(bytes, &self.older, places);
        varint::put(bytes, self.first);
        put_entries(bytes, &self.chunks, places);
    }

    /// Reads the bytes behind version and kind.
    pub(crate) fn read(reader: &mut Reader<'_>, places: Places) -> Result<Self, DecodeError> {
        let page = reader.number()?;
        let kept = reader.number()?;
        let older = read_entries(reader, places)?;
        let first = reader.number()?;
        let chunks = read_entries(reader, places)?;
        let begins = page.checked_mul(PAGE_CHUNKS);
        let fits = begins.and_then(|begins| first.checked_sub(begins)).filter(
            |skipped| matches!(skipped.checked_add(chunks.len() as u64), Some(listed) if listed <= PAGE_CHUNKS),
        );
        match fits {
            None => Err(reader.malformed("it lists chunks of another page")),
            Some(skipped) if skipped > 0 && !older.is_empty() => {
                Err(reader.malformed("it names older pages but not all of its own chunks"))
            }
            Some(_) if older.len() as u64 > page => {
                Err(reader.malformed("it names more older pages than there can be"))
            }
            Some(_) => Ok(Self {
                page,
                kept,
                older,
                first,
                chunks,
            }),
        }
    }
}

/// How the places of entries in the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// As gaps from the one before.
    Rising,
    /// As they are: the chunks lie in the logs of several slots, each with offsets of its own.
    Any,
}

/// Appends entries, each as the gaps from the one before.
fn put_entries(bytes: &mut Vec<u8>, entries: &[ChunkStart], places: Places) {
    varint::put(bytes, entries.len() as u64);
    let (mut source, mut target, mut at) = (0, 0, 0);
    for entry in entries {
        if places == Places::Any {
            at = 0;
        }
        for (number, before) in [
            (entry.source.get(), &mut source),
            (entry.target.get(), &mut target),
            (entry.at, &mut at),
        ] {
            varint::put(bytes, number.abs_diff(*before));
            *before = number;
        }
    }
}

/// Reads entries. Memory is bounded by the bytes at hand, whatever count they claim.
fn read_entries(reader: &mut Reader<'_>, places: Places) -> Result<Vec<ChunkStart>, DecodeError> {
    let count = match usize::try_from(reader.number()?) {
        Ok(count) if count <= reader.remaining() / ENTRY_BYTES_MIN => count,
        Ok(_) | Err(_) => return Err(reader.truncated()),
    };
    let mut entries = Vec::with_capacity(count);
    let (mut source, mut target, mut at) = (0, 0, 0);
    for _ in 0..count {
        if places == Places::Any {
            at = 0;
        }
        for number in [&mut source, &mut target, &mut at] {
            let gap = reader.number()?;
            *number = i64::checked_add_unsigned(*number, gap)
                .ok_or_else(|| reader.malformed("an offset does not fit 63 bits"))?;
        }
        entries.push(ChunkStart {
            source: SourceOffset::new(source),
            target: TargetOffset::new(target),
            at,
        });
    }
    Ok(entries)
}
