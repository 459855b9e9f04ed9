//! The offset map written to a compacted log and read back, wherever it is cut.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use proptest::prelude::*;
use understudy_domain::{
    CHUNK_RUNS, DELTA_RING, FoldError, MapCursor, MapKey, MapReader, MapRecord, MapSearch,
    OffsetMap, OpenChunk, Origin, PAGE_CHUNKS, Page, Pending, Position, Replicated, Run, Slot,
    SourceOffset, Step, TargetOffset, TopicPartition, Translation,
};

type TestResult = Result<(), Box<dyn Error>>;

const ORIGIN: Origin = Origin {
    source: SourceOffset::ZERO,
    target: TargetOffset::ZERO,
};

/// What one transaction brings and how it ends.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    runs: usize,
    records_per_run: u64,
    commits: bool,
}

/// Long stretches of small commits, some large ones, some aborted.
fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
    let small = (1..700_usize, 0..3_usize, any::<bool>()).prop_map(|(times, runs, commits)| {
        vec![
            Transaction {
                runs,
                records_per_run: 2,
                commits: commits || times % 7 != 0
            };
            times
        ]
    });
    let large = (1..9000_usize, 1..4_u64).prop_map(|(runs, records_per_run)| {
        vec![Transaction {
            runs,
            records_per_run,
            commits: true,
        }]
    });
    prop::collection::vec(prop_oneof![3 => small, 1 => large], 0..10)
        .prop_map(|parts| parts.concat())
}

/// The log of one partition of the offset-map topic, as a committed reader sees it.
#[derive(Default)]
struct Log {
    records: Vec<(i64, Vec<u8>, Option<Vec<u8>>)>,
    next: i64,
}

impl Log {
    fn append(&mut self, key: &MapKey, value: Option<Vec<u8>>) {
        self.records.push((self.next, key.encode(), value));
        self.next += 1;
    }

    /// What compaction keeps: all from `dirty` on; before it, of each key the
    /// newest, and of the older ones those that `spares` picks.
    fn compact(&mut self, dirty: i64, spares: &[bool]) {
        let clean = self.records.iter().filter(|record| record.0 < dirty);
        let newest: HashMap<Vec<u8>, i64> =
            clean.map(|record| (record.1.clone(), record.0)).collect();
        let mut spares = spares.iter().copied().cycle();
        self.records.retain(|(offset, key, _)| {
            *offset >= dirty || newest.get(key) == Some(offset) || spares.next() == Some(true)
        });
    }

    /// The first record at or after `at`, and close to it, with this key.
    fn find(&self, at: i64, key: &MapKey) -> Result<Option<MapRecord>, Box<dyn Error>> {
        let key = key.encode();
        let near = self
            .records
            .iter()
            .filter(|record| (at..at + 100).contains(&record.0));
        let value = near
            .filter(|record| record.1 == key)
            .find_map(|record| record.2.as_ref());
        Ok(value.map(|value| MapRecord::decode(value)).transpose()?)
    }

    fn read(&self, from: i64) -> Result<MapReader, Box<dyn Error>> {
        let mut reader = MapReader::new();
        self.read_into(&mut reader, from)?;
        Ok(reader)
    }

    fn read_into(&self, reader: &mut MapReader, from: i64) -> TestResult {
        for (_, key, value) in self.records.iter().filter(|record| record.0 >= from) {
            match (MapKey::decode(key)?, value) {
                (_, Some(value)) => reader.read(MapRecord::decode(value)?),
                (MapKey::Chunk { chunk, .. }, None) => reader.forget(chunk),
                (MapKey::Delta { .. } | MapKey::Directory { .. }, None) => {}
            }
        }
        Ok(())
    }

    /// What is read of a slot that the partition belonged to before.
    fn read_chunks_into(&self, reader: &mut MapReader) -> TestResult {
        for value in self.records.iter().filter_map(|record| record.2.as_ref()) {
            let record = MapRecord::decode(value)?;
            if matches!(record, MapRecord::Chunk { .. }) {
                reader.read(record);
            }
        }
        Ok(())
    }
}

/// A writer, what it wrote, and what the map must be.
struct Writer {
    partition: TopicPartition,
    log: Log,
    /// The slot whose log that is.
    home: Slot,
    /// The logs of slots that the partition belonged to before.
    away: BTreeMap<Slot, Log>,
    open: OpenChunk,
    map: OffsetMap,
    position: Position,
}

impl Writer {
    fn new() -> Self {
        Self {
            partition: TopicPartition::new("orders", 3),
            log: Log::default(),
            home: Slot::new(0),
            away: BTreeMap::new(),
            open: OpenChunk::new(),
            map: OffsetMap::new(ORIGIN),
            position: Position {
                source_offset: ORIGIN.source,
                source_leader_epoch: None,
                source_topic_id: None,
                target_offset: ORIGIN.target,
                source_end_offset: None,
                source_end_seen_at_ms: None,
                started_at: ORIGIN,
                incarnation: 0,
                target_topic: None,
                flow_epoch: 0,
                map: MapCursor::default(),
                records: 0,
                former: Vec::new(),
            },
        }
    }

    /// Runs with holes between them; every third continues the one before it.
    fn runs(&self, transaction: Transaction) -> Vec<Run> {
        let (mut source, mut target) = (self.position.source_offset, self.position.target_offset);
        let commits = usize::try_from(self.open.delta()).unwrap_or_default();
        let mut runs = Vec::new();
        for number in commits..commits + transaction.runs {
            if number % 3 != 0 {
                (source, target) = (source.plus(1), target.plus(2));
            }
            let run = Run {
                source,
                target,
                length: transaction.records_per_run,
            };
            (source, target) = (run.source_end(), run.target_end());
            runs.push(run);
        }
        runs
    }

    fn run(&mut self, transaction: Transaction) -> TestResult {
        let runs = self.runs(transaction);
        let pending = self.open.plan(runs.clone(), self.log.next)?;
        if !transaction.commits {
            return Ok(());
        }
        self.write(pending)?;
        self.map.extend(&runs)?;
        if let Some(last) = runs.last() {
            self.position.source_offset = last.source_end();
            self.position.target_offset = last.target_end();
        }
        self.position.records = self.map.copied();
        Ok(())
    }

    fn write(&mut self, pending: Pending) -> TestResult {
        let from = if pending.moves_from() {
            self.log.next
        } else {
            self.position.map.from
        };
        // What an aborted transaction left, and a neighbour's records, come between.
        self.log.next += 3;
        for write in pending.writes() {
            assert!(write.runs().len() <= CHUNK_RUNS, "a record is too large");
            self.log
                .append(&write.key(&self.partition), Some(write.encode()));
        }
        self.position.map = pending.cursor(self.position.map, from);
        Ok(self.open.commit(pending)?)
    }

    /// What neighbours wrote made it far to the beginning of the open chunk.
    fn renew(&mut self) -> TestResult {
        self.log.next += 1000;
        self.write(self.open.renew(self.log.next))
    }

    /// Both logs begin there now: what can be forgotten is, at most `limit` chunks, as a slot does it.
    fn forget(
        &mut self,
        starts: (SourceOffset, TargetOffset),
        limit: u64,
    ) -> Result<u64, Box<dyn Error>> {
        let range = self
            .open
            .forgettable(&self.position, starts.0, starts.1, limit);
        if range.is_empty() {
            return Ok(0);
        }
        let (pending, tombstones) = self.open.forget(&self.partition, range.end, self.log.next);
        self.write(pending)?;
        for key in &tombstones {
            self.log.append(key, None);
        }
        Ok(range.end - range.start)
    }

    /// The partition belongs to another slot now, perhaps to one that it belonged to before.
    fn move_to(&mut self, home: Slot) -> TestResult {
        if home == self.home {
            return Ok(());
        }
        let mut log = self.away.remove(&home).unwrap_or_default();
        // What others wrote there.
        log.next += 5;
        let reader = self.log.read(self.position.map.from)?;
        let plan = reader.open_chunk(&self.position)?.renew(log.next);
        self.position = self.position.moved(self.home, &plan, log.next);
        self.position = Position::decode(&self.position.encode())?;
        log.next += 2;
        for write in plan.writes() {
            log.append(&write.key(&self.partition), Some(write.encode()));
        }
        let left = std::mem::replace(&mut self.log, log);
        self.away.insert(self.home, left);
        self.home = home;
        let reader = self.log.read(self.position.map.from)?;
        self.open = reader.open_chunk(&self.position)?;
        Ok(())
    }

    fn log_of(&self, slot: Slot) -> &Log {
        self.away.get(&slot).unwrap_or(&self.log)
    }

    fn read_everything(&self) -> Result<MapReader, Box<dyn Error>> {
        let mut reader = MapReader::new();
        for former in &self.position.former {
            let slot = Slot::new(former.slot);
            if slot != self.home {
                self.log_of(slot).read_chunks_into(&mut reader)?;
            }
        }
        self.log.read_into(&mut reader, 0)?;
        Ok(reader)
    }

    /// What a tool knows after its first look.
    fn search(&self, position: &Position) -> Result<MapSearch, Box<dyn Error>> {
        let reader = self.log.read(position.map.from)?;
        Ok(MapSearch::new(position.clone(), &reader))
    }

    /// Asks until there is an answer; counts the records that had to be read for it.
    fn ask<O>(
        &self,
        search: &mut MapSearch,
        question: impl Fn(&MapSearch) -> Step<O>,
    ) -> Result<(Translation<O>, Reads), Box<dyn Error>> {
        let mut reads = Reads::default();
        let partition = self.partition.clone();
        for _ in 0..5 {
            match question(search) {
                Step::Known(answer) => return Ok((answer, reads)),
                Step::Chunk { chunk, at } => {
                    reads.records += 1;
                    let home = search.position().home_of_chunk(chunk, self.home);
                    let found = self.log_of(home).find(
                        at,
                        &MapKey::Chunk {
                            partition: partition.clone(),
                            chunk,
                        },
                    )?;
                    search.chunk_read(chunk, found.map(|record| record.runs().to_vec()));
                }
                Step::Page { page, at } => {
                    reads.records += 1;
                    let home = search.position().home_of_page(page, self.home);
                    let found = self.log_of(home).find(
                        at,
                        &MapKey::Directory {
                            partition: partition.clone(),
                            page,
                        },
                    )?;
                    let page_found = match found {
                        Some(MapRecord::Directory(page)) => Some(page),
                        _ => None,
                    };
                    search.page_read(page, page_found);
                }
                Step::Everything => {
                    reads.everything = true;
                    *search = MapSearch::whole(self.position.clone(), &self.read_everything()?);
                }
            }
        }
        Err("it asks and asks".into())
    }
}

/// What an answer cost beyond the first look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reads {
    records: u32,
    everything: bool,
}

fn fail(error: impl ToString) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_compacted_log_gives_the_map_and_the_open_chunk_back(
        transactions in transactions(),
        dirty_percent in 0..=100_i64,
        spares in prop::collection::vec(any::<bool>(), 1..20),
        older_percent in 0..=100_usize,
    ) {
        let mut writer = Writer::new();
        let older_at = transactions.len() * older_percent / 100;
        let mut older = writer.position.clone();
        for (number, transaction) in transactions.iter().enumerate() {
            if number == older_at {
                older = writer.position.clone();
            }
            writer.run(*transaction).map_err(fail)?;
        }
        let dirty = writer.log.next * dirty_percent / 100;
        writer.log.compact(dirty, &spares);

        let whole = writer.log.read(0).map_err(fail)?;
        prop_assert_eq!(&whole.offset_map(&writer.position)?, &writer.map);
        // A reader with an older position, such as a tool beside a running flow.
        prop_assert_eq!(&whole.offset_map(&older)?, &writer.map);

        let taken_over = writer.log.read(writer.position.map.from).map_err(fail)?;
        let open = taken_over.open_chunk(&writer.position)?;
        prop_assert_eq!(open.chunk(), writer.open.chunk());
        prop_assert_eq!(open.delta(), writer.open.delta());
        prop_assert_eq!(open.runs(), writer.open.runs());
    }

    #[test]
    fn a_worker_that_takes_over_goes_on_as_the_first_would(
        before in transactions(),
        after in transactions(),
    ) {
        let mut writer = Writer::new();
        for transaction in before {
            writer.run(transaction).map_err(fail)?;
        }
        let reader = writer.log.read(writer.position.map.from).map_err(fail)?;
        writer.open = reader.open_chunk(&writer.position)?;
        for transaction in after {
            writer.run(transaction).map_err(fail)?;
        }
        let whole = writer.log.read(0).map_err(fail)?;
        prop_assert_eq!(&whole.offset_map(&writer.position)?, &writer.map);
    }

    #[test]
    fn a_partition_that_began_anew_forgets_its_earlier_life(
        before in transactions(),
        after in transactions(),
        origin in (0..1_000_i64, 0..1_000_u64),
    ) {
        let mut writer = Writer::new();
        for transaction in before {
            writer.run(transaction).map_err(fail)?;
        }
        let origin = Origin {
            source: SourceOffset::new(origin.0),
            target: writer.position.target_offset.plus(origin.1),
        };
        writer.position = writer.position.reborn(origin, None);
        writer.open = writer.open.reborn(&writer.position);
        writer.map = OffsetMap::new(origin);
        for transaction in after {
            writer.run(transaction).map_err(fail)?;
        }
        let taken_over = writer.log.read(writer.position.map.from).map_err(fail)?;
        let open = taken_over.open_chunk(&writer.position)?;
        prop_assert_eq!((open.chunk(), open.runs()), (writer.open.chunk(), writer.open.runs()));
        writer.log.compact(writer.log.next, &[true, false]);
        let whole = writer.log.read(0).map_err(fail)?;
        prop_assert_eq!(&whole.offset_map(&writer.position)?, &writer.map);
        let replicated = Replicated {
            source: writer.position.source_offset,
            target_end: writer.position.target_offset,
        };
        let mut search = writer.search(&writer.position).map_err(fail)?;
        for place in 0..20 {
            let source = SourceOffset::new((replicated.source.get() + 3) * place / 19);
            let (answer, reads) = writer.ask(&mut search, |search| search.forward(source)).map_err(fail)?;
            prop_assert_eq!(answer, writer.map.forward(source, replicated));
            prop_assert!(!reads.everything, "{source}");
        }
    }

    #[test]
    fn a_search_answers_as_the_whole_map_does(
        transactions in transactions(),
        renew_every in 1..400_usize,
        dirty_percent in 0..=100_i64,
        older_percent in 0..=100_usize,
        places in prop::collection::vec(0..=1000_i64, 1..30),
    ) {
        let mut writer = Writer::new();
        let older_at = transactions.len() * older_percent / 100;
        let mut older = writer.position.clone();
        for (number, transaction) in transactions.iter().enumerate() {
            if number == older_at {
                older = writer.position.clone();
            }
            writer.run(*transaction).map_err(fail)?;
            if number % renew_every == 0 {
                writer.renew().map_err(fail)?;
            }
        }
        writer.log.compact(writer.log.next * dirty_percent / 100, &[false]);
        for position in [&writer.position, &older] {
            let replicated = Replicated {
                source: position.source_offset,
                target_end: position.target_offset,
            };
            let mut search = writer.search(position).map_err(fail)?;
            for place in &places {
                let source = SourceOffset::new((writer.position.source_offset.get() + 3) * place / 1000);
                let (answer, reads) = writer.ask(&mut search, |search| search.forward(source)).map_err(fail)?;
                prop_assert_eq!(answer, writer.map.forward(source, replicated));
                prop_assert!(!reads.everything && reads.records <= 2, "{reads:?}");
                let target = TargetOffset::new((writer.position.target_offset.get() + 3) * place / 1000);
                let (answer, reads) = writer.ask(&mut search, |search| search.reverse(target)).map_err(fail)?;
                prop_assert_eq!(answer, writer.map.reverse(target, replicated));
                prop_assert!(!reads.everything && reads.records <= 2, "{reads:?}");
            }
            prop_assert!(!search.has_holes());
        }
    }

    #[test]
    fn a_map_that_forgets_answers_above_the_log_starts_as_one_that_does_not(
        steps in prop::collection::vec((1..30_usize, 1..40_usize, 0..120_i64, 0..120_i64, 1..9_u64), 4..60),
        reborn_at in prop::option::of(2..40_usize),
        places in prop::collection::vec(0..=1000_i64, 1..30),
    ) {
        let mut writer = Writer::new();
        let mut starts = (SourceOffset::ZERO, TargetOffset::ZERO);
        for (number, (times, runs, source, target, limit)) in steps.into_iter().enumerate() {
            if reborn_at == Some(number) {
                // The source's log was replaced by another one.
                let origin = Origin { source: SourceOffset::new(7), target: writer.position.target_offset.plus(3) };
                writer.position = writer.position.reborn(origin, None);
                writer.open = writer.open.reborn(&writer.position);
                writer.map = OffsetMap::new(origin);
                starts.0 = SourceOffset::ZERO;
            }
            for _ in 0..times {
                writer.run(Transaction { runs, records_per_run: 2, commits: true }).map_err(fail)?;
            }
            writer.renew().map_err(fail)?;
            // Retention on each side as it pleases, never beyond the end.
            starts.0 = starts.0.plus(source.unsigned_abs() * 40).min(writer.position.source_offset);
            starts.1 = starts.1.plus(target.unsigned_abs() * 60).min(writer.position.target_offset);
            writer.forget(starts, limit).map_err(fail)?;
            if number % 3 == 0 {
                // A take-over reads what is in the log, and goes on with that.
                let reader = writer.log.read(writer.position.map.from).map_err(fail)?;
                writer.open = reader.open_chunk(&writer.position)?;
            }
        }
        while writer.forget(starts, 5).map_err(fail)? > 0 {}
        writer.log.compact(writer.log.next, &[false]);
        writer.log.records.retain(|record| record.2.is_some());
        let replicated = Replicated {
            source: writer.position.source_offset,
            target_end: writer.position.target_offset,
        };
        let mut search = writer.search(&writer.position).map_err(fail)?;
        for place in &places {
            let source = SourceOffset::new((replicated.source.get() + 3) * place / 1000);
            let (answer, _) = writer.ask(&mut search, |search| search.forward(source)).map_err(fail)?;
            let exact = writer.map.forward(source, replicated);
            prop_assert!(answer == exact || (source < starts.0 && answer == Translation::BeforeHistory), "{source}: {answer:?}, not {exact:?}");
            let target = TargetOffset::new((replicated.target_end.get() + 3) * place / 1000);
            let (answer, _) = writer.ask(&mut search, |search| search.reverse(target)).map_err(fail)?;
            let exact = writer.map.reverse(target, replicated);
            prop_assert!(answer == exact || (target < starts.1 && answer == Translation::BeforeHistory), "{target}: {answer:?}, not {exact:?}");
        }
        prop_assert!(!search.has_holes());
        // What is left is what the logs still hold, and a chunk at each end of it.
        let chunks = writer.log.read(0).map_err(fail)?;
        let map = chunks.offset_map(&writer.position)?;
        let mut kept = BTreeMap::new();
        for (_, key, value) in &writer.log.records {
            if let (MapKey::Chunk { chunk, .. }, Some(value)) = (MapKey::decode(key)?, value) {
                kept.insert(chunk, MapRecord::decode(value)?.runs().to_vec());
            }
        }
        let below = kept.iter().filter(|(chunk, runs)| {
            let ends = runs.last().map(|run| (run.source_end(), run.target_end()));
            **chunk < writer.position.map.first || ends.is_some_and(|(source, target)| source <= starts.0 && target <= starts.1)
        });
        let allowed = if writer.open.directory().is_empty() { kept.len() } else { 1 };
        prop_assert!(below.count() <= allowed, "{:?} of {:?}", starts, kept.keys());
        prop_assert!(map.begins().is_some());
    }

    #[test]
    fn a_map_that_moved_from_slot_to_slot_answers_as_one_that_stayed(
        legs in prop::collection::vec((0..30_usize, 1..8_usize, 0..4_u32), 1..8),
        places in prop::collection::vec(0..=1000_i64, 1..20),
    ) {
        let mut writer = Writer::new();
        for (commits, renew_every, home) in legs {
            for number in 0..commits {
                let transaction = Transaction { runs: 1 + number % 2, records_per_run: 2, commits: true };
                writer.run(transaction).map_err(fail)?;
                if number % renew_every == 0 {
                    writer.renew().map_err(fail)?;
                }
            }
            writer.move_to(Slot::new(home)).map_err(fail)?;
        }
        let replicated = Replicated {
            source: writer.position.source_offset,
            target_end: writer.position.target_offset,
        };
        let mut search = writer.search(&writer.position).map_err(fail)?;
        for place in places {
            let source = SourceOffset::new((replicated.source.get() + 3) * place / 1000);
            let (answer, reads) = writer.ask(&mut search, |search| search.forward(source)).map_err(fail)?;
            prop_assert_eq!(answer, writer.map.forward(source, replicated));
            prop_assert!(!reads.everything && reads.records <= 2, "{reads:?}");
        }
        let whole = writer.read_everything().map_err(fail)?;
        prop_assert_eq!(&whole.offset_map(&writer.position)?, &writer.map);
    }

    #[test]
    fn what_is_lost_makes_an_answer_earlier_but_never_later(
        small in 1..40_usize,
        chunks in 2..30_usize,
        lost in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..4),
        places in prop::collection::vec(0..=1000_i64, 1..30),
    ) {
        let mut writer = Writer::new();
        for _ in 0..chunks {
            for _ in 0..small {
                writer.run(Transaction { runs: 1, records_per_run: 2, commits: true }).map_err(fail)?;
            }
            writer.renew().map_err(fail)?;
        }
        writer.run(Transaction { runs: 2, records_per_run: 2, commits: true }).map_err(fail)?;
        for (index, directory_too) in lost {
            let partition = writer.partition.clone();
            if directory_too {
                writer.log.lose(&MapKey::Directory { partition: partition.clone(), page: 0 });
            }
            writer.log.lose(&MapKey::Chunk { partition, chunk: index.index(chunks) as u64 });
        }
        let replicated = Replicated {
            source: writer.position.source_offset,
            target_end: writer.position.target_offset,
        };
        let mut search = writer.search(&writer.position).map_err(fail)?;
        for place in places {
            let source = SourceOffset::new((replicated.source.get() + 3) * place / 1000);
            let exact = writer.map.forward(source, replicated);
            match writer.ask(&mut search, |search| search.forward(source)).map_err(fail)?.0 {
                Translation::AtLeast(early) => prop_assert!(Some(early) <= exact.offset()),
                // Without the oldest chunks nobody can tell that they were not tombstoned.
                Translation::BeforeHistory => prop_assert!(search.forward(SourceOffset::ZERO) == Step::Known(Translation::BeforeHistory)),
                answer => prop_assert_eq!(answer, exact),
            }
            let target = TargetOffset::new((replicated.target_end.get() + 3) * place / 1000);
            let exact = writer.map.reverse(target, replicated);
            match writer.ask(&mut search, |search| search.reverse(target)).map_err(fail)?.0 {
                Translation::AtLeast(early) => prop_assert!(Some(early) <= exact.offset()),
                Translation::BeforeHistory => prop_assert!(search.reverse(TargetOffset::ZERO) == Step::Known(Translation::BeforeHistory)),
                answer => prop_assert_eq!(answer, exact),
            }
        }
    }

    #[test]
    fn records_in_any_order_fold_or_are_refused(
        records in prop::collection::vec(
            (any::<bool>(), 0..4_u64, 0..4_u32, (0..9_i64, 0..9_i64, 0..4_u64)),
            0..12,
        ),
        chunk in prop_oneof![0..5_u64, Just(u64::MAX)],
        delta in 0..5_u32,
    ) {
        let mut reader = MapReader::new();
        for (sealed, chunk, delta, (source, target, length)) in records {
            let source = SourceOffset::new(source);
            let runs = vec![Run { source, target: TargetOffset::new(target), length }];
            reader.read(if sealed {
                MapRecord::Chunk { chunk, runs }
            } else {
                MapRecord::Delta { chunk, delta, runs }
            });
        }
        let mut position = Writer::new().position;
        position.map = MapCursor { first: 0, chunk, delta, from: 0 };
        let _ = reader.offset_map(&position);
        let _ = reader.open_chunk(&position);
        for offset in 0..12 {
            let _ = MapSearch::new(position.clone(), &reader).forward(SourceOffset::new(offset));
            let _ = MapSearch::whole(position.clone(), &reader).reverse(TargetOffset::new(offset));
        }
    }
}

/// As many small chunks as fill some pages of the directory, and the first record of each.
fn pages(chunks: u64) -> Result<(Writer, Vec<SourceOffset>), Box<dyn Error>> {
    let (mut writer, mut firsts) = (Writer::new(), Vec::new());
    for _ in 0..chunks {
        writer.run(Transaction {
            runs: 2,
            records_per_run: 1,
            commits: true,
        })?;
        firsts.extend(writer.open.runs().first().map(|run| run.source));
        writer.renew()?;
    }
    assert_eq!(writer.open.chunk(), chunks);
    Ok((writer, firsts))
}

#[test]
fn any_chunk_is_found_by_two_reads_however_old() -> TestResult {
    let (mut writer, firsts) = pages(3 * PAGE_CHUNKS + 7)?;
    writer.log.compact(writer.log.next, &[false]);
    let replicated = Replicated {
        source: writer.position.source_offset,
        target_end: writer.position.target_offset,
    };
    for (chunk, expected) in [
        (0, 2),
        (PAGE_CHUNKS, 2),
        (3 * PAGE_CHUNKS - 1, 2),
        (3 * PAGE_CHUNKS, 1),
    ] {
        let source = *firsts.get(usize::try_from(chunk)?).ok_or("no such chunk")?;
        let mut search = writer.search(&writer.position)?;
        let (answer, reads) = writer.ask(&mut search, |search| search.forward(source))?;
        assert_eq!(answer, writer.map.forward(source, replicated));
        assert_eq!(
            reads,
            Reads {
                records: expected,
                everything: false
            },
            "chunk {chunk}"
        );
    }
    Ok(())
}

#[test]
fn pages_and_chunks_are_found_where_they_stayed_when_the_partition_moved() -> TestResult {
    // The page is full, or about to be, or begins; the open chunk holds something, or nothing.
    for chunks in PAGE_CHUNKS - 1..=PAGE_CHUNKS + 1 {
        for open in [false, true] {
            let (mut writer, firsts) = pages(chunks)?;
            let one = Transaction {
                runs: 1,
                records_per_run: 1,
                commits: true,
            };
            for home in [1, 2, 1, 0] {
                if open {
                    writer.run(one)?;
                }
                writer.move_to(Slot::new(home))?;
                writer.run(one)?;
                writer.renew()?;
            }
            let replicated = Replicated {
                source: writer.position.source_offset,
                target_end: writer.position.target_offset,
            };
            assert_eq!(writer.position.former.len(), 4);
            let all = (0..replicated.source.get()).step_by(7);
            for source in all.map(SourceOffset::new).chain(firsts) {
                let mut search = writer.search(&writer.position)?;
                let (answer, reads) = writer.ask(&mut search, |search| search.forward(source))?;
                assert_eq!(
                    answer,
                    writer.map.forward(source, replicated),
                    "{chunks} {open} {source}"
                );
                assert!(!reads.everything && reads.records <= 2, "{reads:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_directory_begun_late_lists_what_comes_and_reads_all_for_what_was_before() -> TestResult {
    let (mut writer, _) = pages(20)?;
    // A version without a directory wrote these chunks.
    writer.log.lose(&MapKey::Directory {
        partition: writer.partition.clone(),
        page: 0,
    });
    writer
        .log
        .records
        .retain(|record| !record.1.windows(9).any(|part| part == b"directory"));
    writer.open = writer.log.read(0)?.open_chunk(&writer.position)?;
    for _ in 0..5 {
        writer.run(Transaction {
            runs: 1,
            records_per_run: 1,
            commits: true,
        })?;
        writer.renew()?;
    }
    let page = writer.open.directory();
    assert_eq!(
        (page.first, page.next_chunk(), page.lists_all_from(0)),
        (20, 25, false)
    );
    let replicated = Replicated {
        source: writer.position.source_offset,
        target_end: writer.position.target_offset,
    };
    for source in (0..replicated.source.get()).map(SourceOffset::new) {
        let mut search = writer.search(&writer.position)?;
        let (answer, reads) = writer.ask(&mut search, |search| search.forward(source))?;
        assert_eq!(answer, writer.map.forward(source, replicated));
        let listed = page
            .chunks
            .first()
            .is_some_and(|first| first.source <= source);
        assert_eq!(reads.everything, !listed);
    }
    Ok(())
}

#[test]
fn only_chunks_below_both_log_starts_may_go() -> TestResult {
    let (writer, _) = pages(2 * PAGE_CHUNKS + 9)?;
    let page = writer.open.directory();
    let zero = (SourceOffset::ZERO, TargetOffset::ZERO);
    assert_eq!(page.forgettable(zero.0, zero.1, 100), 0..0);
    let end = (SourceOffset::new(i64::MAX), TargetOffset::new(i64::MAX));
    assert_eq!(page.forgettable(end.0, zero.1, 100), 0..0);
    assert_eq!(page.forgettable(zero.0, end.1, 100), 0..0);
    assert_eq!(page.forgettable(end.0, end.1, 100), 0..100);
    // The newest one is kept: what comes after it is not in the directory.
    assert_eq!(
        page.forgettable(end.0, end.1, u64::MAX),
        0..2 * PAGE_CHUNKS + 8
    );
    let second = page.older.get(1).ok_or("no second page")?;
    assert_eq!(
        page.forgettable(second.source, second.target, u64::MAX),
        0..PAGE_CHUNKS
    );
    let third = page.chunks.get(3).ok_or("no such chunk")?;
    let upto = 2 * PAGE_CHUNKS + 3;
    assert_eq!(
        page.forgettable(third.source, third.target, u64::MAX),
        0..upto
    );
    let mut page: Page = page.clone();
    page.forget(PAGE_CHUNKS + 3);
    assert_eq!(
        (page.kept, page.oldest_page(), page.lists_all_from(0)),
        (PAGE_CHUNKS + 3, 1, true)
    );
    assert_eq!(
        page.forgettable(third.source, third.target, u64::MAX),
        PAGE_CHUNKS + 3..upto
    );
    page.forget(upto);
    assert!(page.older.is_empty() && page.lists_all_from(0));
    Ok(())
}

#[test]
fn places_in_forgotten_chunks_are_before_history_without_reading() -> TestResult {
    let (mut writer, firsts) = pages(PAGE_CHUNKS + 9)?;
    let (pending, tombstones) =
        writer
            .open
            .forget(&writer.partition, PAGE_CHUNKS + 2, writer.log.next);
    assert_eq!(
        tombstones.len() as u64,
        PAGE_CHUNKS + 2 + 1,
        "the chunks and their full page"
    );
    writer.write(pending)?;
    for key in &tombstones {
        writer.log.append(key, None);
    }
    writer.log.compact(writer.log.next, &[false]);
    writer.log.records.retain(|record| record.2.is_some());
    let first_kept = *firsts
        .get(usize::try_from(PAGE_CHUNKS + 2)?)
        .ok_or("no such chunk")?;
    for source in (0..first_kept.get()).map(SourceOffset::new) {
        let mut search = writer.search(&writer.position)?;
        let (answer, reads) = writer.ask(&mut search, |search| search.forward(source))?;
        assert_eq!(
            (answer, reads),
            (Translation::BeforeHistory, Reads::default()),
            "{source}"
        );
    }
    let replicated = Replicated {
        source: writer.position.source_offset,
        target_end: writer.position.target_offset,
    };
    let whole = writer.log.read(0)?.offset_map(&writer.position)?;
    for source in (first_kept.get()..=replicated.source.get()).map(SourceOffset::new) {
        let mut search = writer.search(&writer.position)?;
        let (answer, _) = writer.ask(&mut search, |search| search.forward(source))?;
        assert_eq!(answer, writer.map.forward(source, replicated), "{source}");
        assert_eq!(answer, whole.forward(source, replicated), "{source}");
    }
    Ok(())
}

/// Two sealed chunks and some deltas.
fn written() -> Result<Writer, Box<dyn Error>> {
    let mut writer = Writer::new();
    for _ in 0..2 * DELTA_RING + 10 {
        writer.run(Transaction {
            runs: 1,
            records_per_run: 1,
            commits: true,
        })?;
    }
    assert_eq!((writer.open.chunk(), writer.open.delta()), (2, 8));
    Ok(writer)
}

impl Log {
    fn lose(&mut self, key: &MapKey) {
        let key = key.encode();
        let newest = self.records.iter().rposition(|record| record.1 == key);
        if let Some(newest) = newest {
            self.records.remove(newest);
        }
    }
}

#[test]
fn a_ring_of_deltas_is_used_to_its_end() -> TestResult {
    let mut writer = Writer::new();
    for _ in 0..DELTA_RING {
        writer.run(Transaction {
            runs: 1,
            records_per_run: 1,
            commits: true,
        })?;
    }
    assert_eq!((writer.open.chunk(), writer.open.delta()), (0, DELTA_RING));
    Position::decode(&writer.position.encode())?;
    writer.run(Transaction {
        runs: 1,
        records_per_run: 1,
        commits: true,
    })?;
    assert_eq!((writer.open.chunk(), writer.open.delta()), (1, 0));
    Ok(())
}

#[test]
fn a_lost_delta_is_named() -> TestResult {
    let mut writer = written()?;
    writer.log.lose(&MapKey::Delta {
        partition: writer.partition.clone(),
        delta: 5,
    });
    let error = writer.log.read(0)?.offset_map(&writer.position);
    assert_eq!(
        error,
        Err(FoldError::MissingDelta {
            chunk: 2,
            expected: 5,
            found: Some(6)
        })
    );
    Ok(())
}

#[test]
fn a_log_behind_its_position_is_named() -> TestResult {
    let mut writer = written()?;
    writer.log.lose(&MapKey::Delta {
        partition: writer.partition.clone(),
        delta: 7,
    });
    let error = writer.log.read(0)?.open_chunk(&writer.position);
    assert_eq!(
        error.err(),
        Some(FoldError::MissingDelta {
            chunk: 2,
            expected: 7,
            found: None
        })
    );
    Ok(())
}

#[test]
fn a_lost_chunk_between_others_is_named() -> TestResult {
    let mut writer = written()?;
    writer.log.lose(&MapKey::Chunk {
        partition: writer.partition.clone(),
        chunk: 1,
    });
    let error = writer.log.read(0)?.offset_map(&writer.position);
    assert_eq!(error, Err(FoldError::MissingChunk { chunk: 1 }));
    let older = Writer::new().position;
    let error = writer.log.read(0)?.offset_map(&older);
    assert_eq!(
        error,
        Err(FoldError::MissingChunk { chunk: 1 }),
        "also when the log is ahead"
    );
    Ok(())
}

#[test]
fn a_tombstoned_beginning_is_before_history() -> TestResult {
    let mut writer = written()?;
    writer.log.append(
        &MapKey::Chunk {
            partition: writer.partition.clone(),
            chunk: 0,
        },
        None,
    );
    let map = writer.log.read(0)?.offset_map(&writer.position)?;
    let begins = map.begins().ok_or("the map is empty")?;
    assert!(begins.source > ORIGIN.source);
    assert_eq!(map.last(), writer.map.last());
    Ok(())
}

#[test]
fn when_all_was_tombstoned_history_begins_at_the_position() -> TestResult {
    let mut position = Writer::new().position;
    position.source_offset = SourceOffset::new(50);
    position.target_offset = TargetOffset::new(60);
    position.map.chunk = 3;
    let map = MapReader::new().offset_map(&position)?;
    let begins = Origin {
        source: SourceOffset::new(50),
        target: TargetOffset::new(60),
    };
    assert_eq!(map, OffsetMap::new(begins));
    Ok(())
}

#[test]
fn left_over_deltas_of_older_chunks_are_discarded() -> TestResult {
    let run = Run {
        source: SourceOffset::new(7),
        target: TargetOffset::new(7),
        length: 1,
    };
    let mut reader = MapReader::new();
    reader.read(MapRecord::Delta {
        chunk: 1,
        delta: 0,
        runs: vec![run],
    });
    reader.read(MapRecord::Delta {
        chunk: 0,
        delta: 1,
        runs: vec![run],
    });
    let mut position = Writer::new().position;
    position.map = MapCursor {
        first: 0,
        chunk: 1,
        delta: 1,
        from: 0,
    };
    let open = reader.open_chunk(&position)?;
    assert_eq!((open.delta(), open.runs()), (1, [run].as_slice()));
    Ok(())
}

#[test]
fn a_plan_made_before_another_commit_is_refused() -> TestResult {
    let mut open = OpenChunk::new();
    let run = Run {
        source: SourceOffset::ZERO,
        target: TargetOffset::ZERO,
        length: 1,
    };
    let first = open.plan(vec![run], 0)?;
    let second = open.plan(vec![run], 0)?;
    open.commit(first)?;
    assert!(open.commit(second).is_err());
    assert!(
        open.plan(vec![run], 0).is_err(),
        "the run is already in the chunk"
    );
    Ok(())
}
