//! The offset map written to a compacted log and read back, wherever it is cut.

use std::collections::HashMap;
use std::error::Error;

use proptest::prelude::*;
use understudy_domain::{
    CHUNK_RUNS, DELTA_RING, FoldError, MapCursor, MapKey, MapReader, MapRecord, OffsetMap,
    OpenChunk, Origin, Position, Run, SourceOffset, TargetOffset, TopicPartition,
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

    fn read(&self, from: i64) -> Result<MapReader, Box<dyn Error>> {
        let mut reader = MapReader::new();
        for (_, key, value) in self.records.iter().filter(|record| record.0 >= from) {
            match (MapKey::decode(key)?, value) {
                (_, Some(value)) => reader.read(MapRecord::decode(value)?),
                (MapKey::Chunk { chunk, .. }, None) => reader.forget(chunk),
                (MapKey::Delta { .. }, None) => {}
            }
        }
        Ok(reader)
    }
}

/// A writer, what it wrote, and what the map must be.
struct Writer {
    partition: TopicPartition,
    log: Log,
    open: OpenChunk,
    map: OffsetMap,
    position: Position,
}

impl Writer {
    fn new() -> Self {
        Self {
            partition: TopicPartition::new("orders", 3),
            log: Log::default(),
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
        let pending = self.open.plan(runs.clone())?;
        if !transaction.commits {
            return Ok(());
        }
        let from = if pending.seals() {
            self.log.next
        } else {
            self.position.map.from
        };
        for write in pending.writes() {
            assert!(write.runs().len() <= CHUNK_RUNS, "a record is too large");
            self.log
                .append(&write.key(&self.partition), Some(write.encode()));
        }
        self.position.map = pending.cursor(self.position.map, from);
        self.open.commit(pending)?;
        self.map.extend(&runs)?;
        if let Some(last) = runs.last() {
            self.position.source_offset = last.source_end();
            self.position.target_offset = last.target_end();
        }
        self.position.records = self.map.copied();
        Ok(())
    }
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
        writer.open = OpenChunk::reborn(&writer.position);
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
    }
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
    let first = open.plan(vec![run])?;
    let second = open.plan(vec![run])?;
    open.commit(first)?;
    assert!(open.commit(second).is_err());
    assert!(
        open.plan(vec![run]).is_err(),
        "the run is already in the chunk"
    );
    Ok(())
}
