//! The first data plane: librdkafka fetches, decompresses, batches and compresses again.
//!
//! Invariants:
//! a. a record's position is taken only from `settle`, so only after the target acknowledged it;
//! b. records of a partition go out in the order in which they came;
//! c. nothing of a partition is taken that comes behind something unusable: it is read again from there;
//! d. after a refusal nothing of the transaction counts: the caller takes over again from stored positions.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{Run, Runs, SourceOffset, TargetOffset, TopicPartition};

use crate::endpoint::Endpoint;
use crate::fault::{Fault, Operation};
use crate::ffi::reader::{Fetched, Index, Reader, Record, Waker};
use crate::ffi::writer::{CodecOf, GiveUp, Writer};
use crate::plane::{
    Advance, Copied, Course, DataPlane, Parked, Stall, StallKind, StateWrite, Witness,
};

/// What may wait for the target's acknowledgement, per slot.
const BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;
/// How much is kept back for the commit. A quiet slot's transaction is then opened, filled and committed in one go: it
/// costs the brokers less, and holds up no `read_committed` reader while the slot waits for more.
const WAITING_BYTES_MAX: usize = 256 * 1024;
/// Time limit of a take-over call: the brokers may first have to end the predecessor's transaction.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(20);
/// Time limit of flush and commit. Beyond it the brokers end the transaction by themselves.
const COMMIT_WITHIN: Duration = Duration::from_secs(15);
/// Time limit of an abort; the brokers do it themselves if we cannot.
const ABORT_WITHIN: Duration = Duration::from_secs(3);

/// What was read of one partition since the last `settle`.
struct Progress {
    partition: TopicPartition,
    target: TopicPartition,
    source_offset: SourceOffset,
    until: Option<SourceOffset>,
    /// To be met before the first record that counts; read from there on.
    witness: Option<Witness>,
    leader_epoch: Option<i32>,
    at_end: bool,
    last_timestamp_ms: Option<i64>,
    bytes: u64,
    changed: bool,
    /// Something unusable came, or a refusal; what comes behind it is not taken.
    broken: bool,
    /// Records given to the writer since the last `settle`.
    forwarded: u64,
    /// Where they should land, and where the next one should, if that is known.
    expected: Runs,
    next_target: Option<TargetOffset>,
}

/// `batch.size` where each record is a batch: twice of it is under way at most.
const ONE_BY_ONE_BYTES: &str = "64000";

/// How an engine differs from others of its flow.
#[derive(Clone, Default)]
pub struct Options {
    /// The compression of a target topic, where it is not the client's.
    pub codec_of: Option<CodecOf>,
    /// Slow, but a record that the target refuses is then named exactly: brokers refuse whole batches.
    pub one_record_a_batch: bool,
    /// No batch larger than this, where the target has refused larger ones.
    pub batch_bytes_max: Option<usize>,
    /// How many records one step may take, where a bandwidth limit must see them come.
    pub records_a_step: Option<usize>,
    /// Once true, the brokers are not waited for longer than a few seconds.
    pub give_up: Option<GiveUp>,
}

/// Copies with librdkafka on both sides.
pub struct Librdkafka {
    writer: Writer,
    progress: BTreeMap<Index, Progress>,
    by_partition: HashMap<TopicPartition, Index>,
    stalls: Vec<Stall>,
    /// Who we are on the source.
    principal: String,
    fetched: Vec<Fetched>,
    /// Fetched and not yet given to the writer.
    records: Vec<(Index, Record)>,
    waiting_bytes: usize,
    // Last, and so dropped last: its client waits for records that are still around.
    reader: Reader,
}

impl Librdkafka {
    /// An engine from `source` to `target` that writes under `transactional_id`.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(
        source: &Endpoint,
        target: &Endpoint,
        transactional_id: &str,
        options: Options,
    ) -> Result<Self, Fault> {
        let mut properties = target.writer(transactional_id);
        if options.one_record_a_batch {
            properties.set("batch.num.messages", "1");
            // Few are handed over at once, so that no transaction is open for longer than it may be.
            properties.set("batch.size", ONE_BY_ONE_BYTES);
        }
        if let Some(bytes) = options.batch_bytes_max {
            let set = properties.get("batch.size").and_then(|it| it.parse().ok());
            let smaller = set.map_or(bytes, |set: usize| set.min(bytes));
            properties.set("batch.size", smaller.to_string());
        }
        let mut writer = Writer::new(&properties, target.watch.clone(), BYTES_IN_FLIGHT_MAX)?;
        writer.compress_with(options.codec_of);
        writer.give_up_when(options.give_up);
        let mut reader = Reader::new(&source.reader(), source.watch.clone())?;
        if let Some(records) = options.records_a_step {
            reader.take_at_once(records);
        }
        Ok(Self {
            reader,
            writer,
            progress: BTreeMap::new(),
            by_partition: HashMap::new(),
            stalls: Vec::new(),
            principal: source.principal(),
            fetched: Vec::new(),
            records: Vec::new(),
            waiting_bytes: 0,
        })
    }

    /// What ends a wait of [`DataPlane::advance`], from any thread.
    pub fn waker(&self) -> Waker {
        self.reader.waker()
    }

    /// A topic that the reader has known in two lives; another engine has to go on.
    pub fn read_two_lives(&self) -> Option<&str> {
        self.reader.replaced()
    }

    /// Gives the writer what waits.
    fn forward(&mut self) -> Result<(), Fault> {
        self.waiting_bytes = 0;
        if self.records.is_empty() {
            return Ok(());
        }
        self.writer.begin()?;
        self.writer.forward(self.records.drain(..))
    }

    fn stall(&mut self, index: Index, code: RDKafkaErrorCode, reason: &str) {
        let Some(progress) = self.progress.get_mut(&index) else {
            return;
        };
        let partition = progress.partition.clone();
        let offset = progress.source_offset;
        use RDKafkaErrorCode as Code;
        let (kind, reason) = match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => (
                StallKind::OutOfRange,
                format!("offset {offset} is not in the source's log ({reason})"),
            ),
            Code::LogTruncation => (
                StallKind::Diverged,
                format!("the source's log was cut below offset {offset} ({reason})"),
            ),
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId => (
                StallKind::Gone,
                format!("the source does not know it any more ({code})"),
            ),
            _ if progress.broken => return,
            Code::TopicAuthorizationFailed => (
                StallKind::Again,
                format!(
                    "could not {} ({}): permission denied; it needs {}; grant it to {}",
                    Operation::Fetch,
                    partition.topic,
                    Operation::Fetch.permission(),
                    self.principal
                ),
            ),
            Code::BadMessage | Code::BadCompression | Code::NotImplemented => (
                StallKind::Again,
                format!(
                    "what the source answered for offset {offset} cannot be used, and is asked for again ({reason})"
                ),
            ),
            _ => (
                StallKind::Waiting,
                format!("the source answered {code} {reason}"),
            ),
        };
        progress.broken |= kind == StallKind::Again;
        self.halt(Stall {
            partition,
            offset,
            kind,
            reason,
        });
    }

    /// Another record stands where the witness was.
    fn diverge(&mut self, index: Index) {
        let Some(progress) = self.progress.get(&index) else {
            return;
        };
        let (partition, offset) = (progress.partition.clone(), progress.source_offset);
        self.halt(Stall {
            partition,
            offset,
            kind: StallKind::Diverged,
            reason: format!("the source's log before offset {offset} is not what was copied"),
        });
    }

    /// The log does not hold the witness any more: reads on from where copying stands.
    fn forget_witness(&mut self, index: Index) -> Result<(), Fault> {
        let Some(mut progress) = self.progress.remove(&index) else {
            return Ok(());
        };
        self.reader.stop(&progress.partition);
        progress.witness = None;
        let offset = progress.source_offset.get();
        let index = self.reader.start(&progress.partition, offset)?;
        self.writer
            .aim(index, &progress.partition, &progress.target)?;
        self.by_partition.insert(progress.partition.clone(), index);
        self.progress.insert(index, progress);
        Ok(())
    }

    /// The partition stands before the offset that it must not copy.
    fn reach(&mut self, index: Index) {
        let Some(progress) = self.progress.get_mut(&index) else {
            return;
        };
        let Some(until) = progress.until else { return };
        // Control records or holes may lie between the last copy and this place.
        progress.source_offset = until;
        progress.changed = true;
        let partition = progress.partition.clone();
        self.halt(Stall {
            partition,
            offset: until,
            kind: StallKind::Reached,
            reason: format!("it stands at offset {until}, which is not to be copied"),
        });
    }

    fn halt(&mut self, stall: Stall) {
        match stall.kind {
            StallKind::Waiting => {}
            StallKind::OutOfRange
            | StallKind::Diverged
            | StallKind::Gone
            | StallKind::Reached
            | StallKind::Again => {
                self.reader.stop(&stall.partition);
            }
        }
        self.stalls.push(stall);
    }
}

/// What a fetched record is to a partition that was read from its witness on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// To be copied.
    New,
    /// Copied before: the witness itself, or what was passed behind it.
    Known,
    /// Another record where the witness was.
    Other,
}

impl Progress {
    /// Looks at a record by the witness.
    fn see(&mut self, record: &Record) -> Sight {
        let Some(witness) = self.witness else {
            return Sight::New;
        };
        let offset = SourceOffset::new(record.offset());
        let epoch = record.leader_epoch();
        if offset == witness.offset && epoch.is_some_and(|epoch| epoch != witness.leader_epoch) {
            Sight::Other
        } else if offset < self.source_offset {
            Sight::Known
        } else {
            self.witness = None;
            Sight::New
        }
    }

    /// Notes where the copy of the record at `source` should land.
    fn expect(&mut self, source: SourceOffset) {
        self.forwarded += 1;
        if let Some(target) = self.next_target {
            // Records that do not rise are found by the acknowledgements.
            self.next_target = self
                .expected
                .push(source, target)
                .is_ok()
                .then(|| target.next());
        }
    }

    fn copied(&self, runs: Vec<Run>) -> Copied {
        Copied {
            partition: self.partition.clone(),
            runs,
            topic_id: None,
            source_offset: self.source_offset,
            leader_epoch: self.leader_epoch,
            at_end: self.at_end,
            last_timestamp_ms: self.last_timestamp_ms,
            bytes: self.bytes,
        }
    }

    fn settled(&mut self) {
        self.changed = false;
        self.bytes = 0;
        self.forwarded = 0;
        self.expected = Runs::new();
    }
}

impl DataPlane for Librdkafka {
    fn take_over(&mut self) -> Result<(), Fault> {
        self.writer.init(TAKE_OVER_WITHIN)
    }

    fn start(&mut self, partition: &TopicPartition, course: &Course) -> Result<(), Fault> {
        let begin = course.witness.map_or(course.from, |witness| witness.offset);
        let index = self.reader.start(partition, begin.get())?;
        self.writer.aim(index, partition, &course.target)?;
        self.by_partition.insert(partition.clone(), index);
        self.progress.insert(
            index,
            Progress {
                partition: partition.clone(),
                target: course.target.clone(),
                source_offset: course.from,
                until: course.until,
                witness: course.witness,
                leader_epoch: None,
                at_end: false,
                last_timestamp_ms: None,
                bytes: 0,
                changed: false,
                broken: false,
                forwarded: 0,
                expected: Runs::new(),
                next_target: None,
            },
        );
        Ok(())
    }

    fn stop(&mut self, partition: &TopicPartition) {
        self.reader.stop(partition);
        if let Some(index) = self.by_partition.remove(partition) {
            self.progress.remove(&index);
        }
    }

    fn advance(&mut self, wait: Duration) -> Result<Advance, Fault> {
        self.writer.failure()?;
        let mut fetched = std::mem::take(&mut self.fetched);
        self.reader.poll(wait, &mut fetched);
        let before = self.records.len();
        let (mut reached, mut diverged, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        for item in fetched.drain(..) {
            match item {
                Fetched::Record(index, record) => {
                    let Some(progress) = self.progress.get_mut(&index) else {
                        continue;
                    };
                    if progress.broken {
                        continue;
                    }
                    match progress.see(&record) {
                        Sight::New if !diverged.contains(&index) => {}
                        Sight::New | Sight::Known => continue,
                        Sight::Other => {
                            diverged.push(index);
                            continue;
                        }
                    }
                    let offset = SourceOffset::new(record.offset());
                    match progress.until {
                        Some(until) if offset == until => {
                            // Stopped below; the reader may have fetched further.
                            reached.push(index);
                            continue;
                        }
                        // What was waited for is gone from the log, or lies behind the stop.
                        Some(until) if offset > until && !reached.contains(&index) => {
                            progress.until = None;
                        }
                        Some(until) if offset > until => continue,
                        Some(_) | None => {}
                    }
                    progress.source_offset = offset.next();
                    progress.leader_epoch = record.leader_epoch().or(progress.leader_epoch);
                    progress.last_timestamp_ms =
                        record.timestamp_ms().or(progress.last_timestamp_ms);
                    progress.bytes += record.weight() as u64;
                    self.waiting_bytes += record.footprint();
                    progress.at_end = false;
                    progress.changed = true;
                    progress.expect(offset);
                    self.records.push((index, record));
                }
                Fetched::End(index, end) => {
                    let Some(progress) = self.progress.get_mut(&index) else {
                        continue;
                    };
                    if progress.broken {
                        continue;
                    }
                    // The log ends before the place where copying stands.
                    if progress.witness.is_some() && end < progress.source_offset {
                        unseen.push(index);
                        continue;
                    }
                    progress.source_offset = progress.source_offset.max(end);
                    progress.at_end = true;
                    progress.changed = true;
                }
                Fetched::Fault(index, code, reason) => {
                    let has_witness = self
                        .progress
                        .get(&index)
                        .is_some_and(|progress| progress.witness.is_some());
                    match code {
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
                            if has_witness =>
                        {
                            unseen.push(index);
                        }
                        _ => self.stall(index, code, &reason),
                    }
                }
            }
        }
        self.fetched = fetched;
        diverged.sort_unstable();
        diverged.dedup();
        for index in diverged {
            self.diverge(index);
        }
        for index in unseen {
            self.forget_witness(index)?;
        }
        for index in reached {
            self.reach(index);
        }
        if self.records.len() == before {
            return Ok(Advance::Idle);
        }
        if self.waiting_bytes > WAITING_BYTES_MAX {
            self.forward()?;
        }
        Ok(Advance::Moved)
    }

    fn in_transaction(&self) -> bool {
        self.writer.in_transaction() || !self.records.is_empty()
    }

    fn taken_bytes(&self) -> u64 {
        self.progress.values().map(|progress| progress.bytes).sum()
    }

    fn forecast(&self) -> Option<Vec<Copied>> {
        let changed = self.progress.values().filter(|progress| progress.changed);
        changed
            .map(|progress| {
                let known = progress.expected.records() == progress.forwarded;
                known.then(|| progress.copied(progress.expected.as_slice().to_vec()))
            })
            .collect()
    }

    fn settle(&mut self) -> Result<Vec<Copied>, Fault> {
        self.forward()?;
        let mut runs: HashMap<Index, _> = if self.writer.in_transaction() {
            self.writer.settle(COMMIT_WITHIN)?.into_iter().collect()
        } else {
            HashMap::new()
        };
        let mut copied = Vec::new();
        for (index, progress) in &mut self.progress {
            if !progress.changed {
                continue;
            }
            let runs = runs.remove(index).unwrap_or_default();
            // The commit's marker takes the next place.
            if let Some(last) = runs.last() {
                progress.next_target = Some(last.target_end().next());
            }
            copied.push(progress.copied(runs));
            progress.settled();
        }
        let topics = copied
            .iter()
            .map(|copied: &Copied| &*copied.partition.topic);
        let ids = self.reader.topic_ids(topics);
        for (copied, id) in copied.iter_mut().zip(ids) {
            copied.topic_id = id;
        }
        Ok(copied)
    }

    fn put(&mut self, state: &[StateWrite]) -> Result<(), Fault> {
        self.writer.begin()?;
        for write in state {
            self.writer
                .put(write.kind, &write.place, &write.key, write.value.as_deref())?;
        }
        // After the state, so that one request registers all their partitions with the transaction.
        self.forward()
    }

    fn park(&mut self, parked: &Parked) -> Result<(), Fault> {
        self.writer.begin()?;
        self.writer.park(parked)
    }

    fn send_places(&mut self, group: &str, places: &[(TopicPartition, i64)]) -> Result<(), Fault> {
        self.writer.begin()?;
        self.writer.send_places(group, places, COMMIT_WITHIN)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.writer.commit(COMMIT_WITHIN)
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.records.clear();
        self.waiting_bytes = 0;
        self.writer.abort(ABORT_WITHIN)
    }

    fn state_offset(&self, kind: u8) -> Option<i64> {
        self.writer.state_offset(kind)
    }

    fn stalls(&mut self) -> Vec<Stall> {
        std::mem::take(&mut self.stalls)
    }
}
