//! Answers about places from as little of the offset map as they need.
//!
//! ```text
//! directory   chunk 0   chunk 1   chunk 2 │ open chunk and what was sealed since the position
//!                ▲ read when a place falls into it     │ read first, from the position's `map.from`
//! ```
//!
//! The search never reads. It says what it lacks, is given that, and is asked again. What is lost makes an answer
//! weaker, never wrong: the nearest known place before it, from where a reader may read again but skips nothing.

use std::collections::BTreeMap;

use crate::{
    ChunkStart, MapReader, OffsetMap, Origin, Page, Position, Replicated, Run, SourceOffset,
    TargetOffset, Translation,
};

/// What comes next in answering a question. `O` is the other side's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<O> {
    /// The answer.
    Known(Translation<O>),
    /// A sealed chunk is needed; its record stands at or a little after `at`.
    Chunk {
        /// Its number.
        chunk: u64,
        /// Where to read in the slot's partition of the offset-map topic.
        at: i64,
    },
    /// A page of the directory is needed.
    Page {
        /// Its number.
        page: u64,
        /// Where to read in the slot's partition of the offset-map topic.
        at: i64,
    },
    /// The directory does not reach there: the whole log has to be read, for [`MapSearch::whole`].
    Everything,
}

impl<O> Step<O> {
    /// The same step, whatever is known left out.
    pub fn without_answer(self) -> Step<()> {
        match self {
            Self::Known(answer) => Step::Known(answer.map(drop)),
            Self::Chunk { chunk, at } => Step::Chunk { chunk, at },
            Self::Page { page, at } => Step::Page { page, at },
            Self::Everything => Step::Everything,
        }
    }
}

/// The side a question is asked on.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Target,
}

/// What is known of one partition's offset map.
#[derive(Clone, Debug)]
pub struct MapSearch {
    position: Position,
    /// All runs from some chunk on, to the end.
    tail: OffsetMap,
    /// The first chunk of the tail.
    tail_chunk: u64,
    directory: Page,
    pages: BTreeMap<u64, Option<Page>>,
    chunks: BTreeMap<u64, Option<Vec<Run>>>,
    /// Runs with holes that nobody knows the size of: the map has lost records.
    pieces: Option<Vec<Run>>,
    /// Everything was read, there is no more to be had.
    is_whole: bool,
}

impl MapSearch {
    /// What the log tells from the position's `map.from` on. The log must have been read after the position.
    pub fn new(position: Position, reader: &MapReader) -> Self {
        let (tail, tail_chunk, lost) = tail(&position, reader);
        Self {
            tail,
            tail_chunk,
            directory: reader.directory().clone(),
            pages: BTreeMap::new(),
            chunks: BTreeMap::new(),
            pieces: None,
            is_whole: false,
            position,
        }
        .with_pieces(lost, reader)
    }

    /// What the whole log tells, read after the position.
    pub fn whole(position: Position, reader: &MapReader) -> Self {
        let mut search = Self::new(position, reader);
        search.is_whole = true;
        match reader.offset_map(&search.position) {
            Ok(map) => {
                search.tail = map;
                search.tail_chunk = first_chunk(&search.position);
                search.pieces = None;
                search
            }
            Err(_) => search.with_pieces(true, reader),
        }
    }

    fn with_pieces(mut self, lost: bool, reader: &MapReader) -> Self {
        if lost {
            let first = first_chunk(&self.position);
            let mut pieces: Vec<Run> = reader.known_runs(first).copied().collect();
            pieces.sort_by_key(|run| run.source);
            self.pieces = Some(pieces);
        }
        self
    }

    /// The position that answers are held against.
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// Where a place on the source lies on the target.
    pub fn forward(&self, offset: SourceOffset) -> Step<TargetOffset> {
        typed(self.search(Side::Source, offset.get()), TargetOffset::new)
    }

    /// Where a place on the target lies on the source.
    pub fn reverse(&self, offset: TargetOffset) -> Step<SourceOffset> {
        typed(self.search(Side::Target, offset.get()), SourceOffset::new)
    }

    /// What was found of a page; `None` when it is not where it should be.
    pub fn page_read(&mut self, number: u64, page: Option<Page>) {
        let page = page.filter(|page| page.page == number);
        self.pages.insert(number, page);
    }

    /// What was found of a chunk; `None` when it is not where it should be.
    pub fn chunk_read(&mut self, number: u64, runs: Option<Vec<Run>>) {
        self.chunks
            .insert(number, runs.filter(|runs| !runs.is_empty()));
    }

    /// Whether records of the map are lost, as far as this search has met.
    pub fn has_holes(&self) -> bool {
        self.pieces.is_some() || self.chunks.values().any(Option::is_none)
    }

    fn search(&self, side: Side, offset: i64) -> Step<i64> {
        let end = self.end();
        if offset < here_of_origin(side, self.position.started_at) {
            return Step::Known(Translation::BeforeHistory);
        }
        if self.pieces.is_some() {
            return match self.is_whole {
                true => Step::Known(self.in_pieces(side, offset, end)),
                false => Step::Everything,
            };
        }
        let first = self.tail.first().map(|run| Origin {
            source: run.source,
            target: run.target,
        });
        let after = first.unwrap_or(end);
        // With the first chunk in it the tail is the whole map.
        let begins = first_chunk(&self.position);
        if self.tail_chunk == begins || self.is_whole || offset >= here_of_origin(side, after) {
            return Step::Known(self.in_tail(side, offset));
        }
        if self.directory.next_chunk() < self.tail_chunk || self.directory.is_empty() {
            return Step::Everything;
        }
        self.in_directory(side, offset, after)
    }

    /// Where replication stands.
    const fn end(&self) -> Origin {
        Origin {
            source: self.position.source_offset,
            target: self.position.target_offset,
        }
    }

    fn in_tail(&self, side: Side, offset: i64) -> Translation<i64> {
        let replicated = Replicated {
            source: self.position.source_offset,
            target_end: self.position.target_offset,
        };
        let empty = OffsetMap::new(self.end());
        let tail = match self.tail.begins() {
            Some(_) => &self.tail,
            None => &empty,
        };
        match side {
            Side::Source => tail
                .forward(SourceOffset::new(offset), replicated)
                .map(TargetOffset::get),
            Side::Target => tail
                .reverse(TargetOffset::new(offset), replicated)
                .map(SourceOffset::get),
        }
    }

    /// Looks among sealed chunks; `after` is where the tail begins.
    fn in_directory(&self, side: Side, offset: i64, after: Origin) -> Step<i64> {
        let newest = &self.directory;
        if let Some(first) = newest.chunks.first()
            && here(side, first) <= offset
        {
            return self.in_page(side, offset, newest, after);
        }
        let older = newest
            .older
            .partition_point(|page| here(side, page) <= offset);
        let Some((index, start)) = older
            .checked_sub(1)
            .and_then(|index| Some((index, newest.older.get(index)?)))
        else {
            return self.before_listed(side);
        };
        let number = newest.oldest_page().saturating_add(index as u64);
        let next = newest.older.get(index.saturating_add(1));
        let Some(next) = next.or_else(|| newest.chunks.first()) else {
            return Step::Everything;
        };
        match self.pages.get(&number) {
            None => Step::Page {
                page: number,
                at: start.at,
            },
            Some(Some(page)) if !page.is_empty() => {
                self.in_page(side, offset, page, origin_of(next))
            }
            Some(_) => Step::Everything,
        }
    }

    /// The place lies before the first chunk that the directory lists.
    fn before_listed(&self, side: Side) -> Step<i64> {
        let begins = first_chunk(&self.position);
        if !self.directory.lists_all_from(begins) {
            return Step::Everything;
        }
        let first = self.directory.older.first();
        match first.or_else(|| self.directory.chunks.first()) {
            Some(_) if self.directory.kept > begins => Step::Known(Translation::BeforeHistory),
            // Nothing was copied before the first chunk.
            Some(first) => Step::Known(Translation::Exact(there(side, first))),
            None => Step::Everything,
        }
    }

    /// Looks in a page that begins at or before the place; `after` is where the chunk after the page begins.
    fn in_page(&self, side: Side, offset: i64, page: &Page, after: Origin) -> Step<i64> {
        let next = page
            .chunks
            .partition_point(|chunk| here(side, chunk) <= offset);
        let Some((index, start)) = next
            .checked_sub(1)
            .and_then(|index| Some((index, page.chunks.get(index)?)))
        else {
            return Step::Everything;
        };
        let chunk = page.first.saturating_add(index as u64);
        let after = page.chunks.get(next).map_or(after, origin_of);
        if chunk < self.directory.kept {
            return Step::Known(Translation::BeforeHistory);
        }
        match self.chunks.get(&chunk) {
            None => Step::Chunk {
                chunk,
                at: start.at,
            },
            Some(Some(runs)) if begins_at(runs, start) => {
                Step::Known(Translation::Exact(in_runs(side, offset, runs, after)))
            }
            Some(_) => Step::Known(Translation::AtLeast(there(side, start))),
        }
    }

    /// The best that can be said when records of the map are lost: the end of what is known before the place.
    fn in_pieces(&self, side: Side, offset: i64, end: Origin) -> Translation<i64> {
        match offset.cmp(&here_of_origin(side, end)) {
            std::cmp::Ordering::Equal => {
                return Translation::Exact(here_of_origin(side.other(), end));
            }
            std::cmp::Ordering::Greater => return Translation::Ahead,
            std::cmp::Ordering::Less => {}
        }
        let pieces = self.pieces.as_deref().unwrap_or_default();
        let next = pieces.partition_point(|run| side.start(run) <= offset);
        let Some(run) = next.checked_sub(1).and_then(|index| pieces.get(index)) else {
            // Nothing known before it but where replication began.
            let begins = here_of_origin(side.other(), self.position.started_at);
            return match self.directory.kept > first_chunk(&self.position) {
                false => Translation::AtLeast(begins),
                true => Translation::BeforeHistory,
            };
        };
        let depth = offset.abs_diff(side.start(run));
        if depth < run.length {
            Translation::Exact(side.other().start(run).saturating_add_unsigned(depth))
        } else {
            Translation::AtLeast(side.other().start(run).saturating_add_unsigned(run.length))
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    const fn start(self, run: &Run) -> i64 {
        match self {
            Self::Source => run.source.get(),
            Self::Target => run.target.get(),
        }
    }
}

/// The number of the first chunk of this life of the partition.
const fn first_chunk(position: &Position) -> u64 {
    position.map.first
}

/// The runs from the oldest chunk on that has all others behind it; whether newer ones are lost.
fn tail(position: &Position, reader: &MapReader) -> (OffsetMap, u64, bool) {
    let lost = || (OffsetMap::without_origin(), position.map.chunk, true);
    let Ok(open) = reader.open_chunk(position) else {
        return lost();
    };
    let (mut first, begins) = (open.chunk(), first_chunk(position));
    for (chunk, _) in reader.sealed().rev() {
        if first > begins && chunk.saturating_add(1) == first {
            first = chunk;
        }
    }
    let mut map = match first == begins {
        true => OffsetMap::new(position.started_at),
        false => OffsetMap::without_origin(),
    };
    let sealed = reader.sealed().skip_while(|(chunk, _)| *chunk < first);
    for runs in sealed.map(|(_, runs)| runs).chain([open.runs()]) {
        if map.extend(runs).is_err() {
            return lost();
        }
    }
    (map, first, false)
}

/// Where a place lies that is at or after the first of these runs; `after` is where the next one begins.
fn in_runs(side: Side, offset: i64, runs: &[Run], after: Origin) -> i64 {
    let next = runs.partition_point(|run| side.start(run) <= offset);
    let inside = next
        .checked_sub(1)
        .and_then(|index| runs.get(index))
        .and_then(|run| {
            let depth = offset.abs_diff(side.start(run));
            (depth < run.length).then(|| side.other().start(run).saturating_add_unsigned(depth))
        });
    inside.unwrap_or_else(|| {
        runs.get(next).map_or_else(
            || here_of_origin(side.other(), after),
            |run| side.other().start(run),
        )
    })
}

fn begins_at(runs: &[Run], start: &ChunkStart) -> bool {
    runs.first()
        .is_some_and(|run| run.source == start.source && run.target == start.target)
}

const fn here(side: Side, start: &ChunkStart) -> i64 {
    match side {
        Side::Source => start.source.get(),
        Side::Target => start.target.get(),
    }
}

const fn there(side: Side, start: &ChunkStart) -> i64 {
    here(side.other(), start)
}

const fn here_of_origin(side: Side, origin: Origin) -> i64 {
    match side {
        Side::Source => origin.source.get(),
        Side::Target => origin.target.get(),
    }
}

const fn origin_of(start: &ChunkStart) -> Origin {
    Origin {
        source: start.source,
        target: start.target,
    }
}

fn typed<O>(step: Step<i64>, offset: impl Fn(i64) -> O) -> Step<O> {
    match step {
        Step::Known(translation) => Step::Known(translation.map(offset)),
        Step::Chunk { chunk, at } => Step::Chunk { chunk, at },
        Step::Page { page, at } => Step::Page { page, at },
        Step::Everything => Step::Everything,
    }
}
