//! A transactional producer whose delivery reports arrive in batches, each with its record's source offset.
//!
//! ```text
//! forward ─▶ librdkafka's queue ─▶ broker ─▶ delivery reports ─▶ poller thread ─▶ Book (runs by partition)
//!                                                                                  ▲ taken by `settle`
//! ```
//! The poller thread exists because librdkafka's flush and commit wait for reports that somebody else must serve;
//! the safe crate serves them itself, in steps of 100 ms.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaType;
use rdkafka_sys as rdsys;
use understudy_domain::{Run, Runs, SourceOffset, TopicPartition};

use super::acks::{
    Acks, Book, OFFSET_BITS, POLL, Page, RECORD_OVERHEAD, STATE, is_purge, millis, poll,
};
use super::login::Enlisted;
use super::reader::{Header, Index, Record};
use super::topic::Topic;
use crate::endpoint::BATCH_BYTES;
use crate::fault::{Fault, Operation};
use crate::plane::Parked;
use crate::watch::Watch;

/// Time limit for asking a producer why it gave a transaction up; it knows without asking a broker.
const ABORTED_WITHIN: Duration = Duration::from_secs(1);
/// Numbers the parking topic among the state topics.
const PARKED: u8 = u8::MAX;
/// The partitioner chooses.
const ANY_PARTITION: i32 = -1;
/// How long a flush lasts until failures are looked at.
const FLUSH_SLICE: Duration = Duration::from_millis(200);
/// How long brokers are still waited for by one that is told to end.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(3);
/// How long a record may wait for room.
const PRODUCE_WITHIN: Duration = Duration::from_secs(60);
/// Whether whoever runs a writer wants it to end.
pub type GiveUp = Arc<dyn Fn() -> bool + Send + Sync>;

/// Tells the compression of a topic, as `compression.type` spells it.
pub type CodecOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

struct Destination {
    /// Whose copies go there.
    source: TopicPartition,
    partition: TopicPartition,
    topic: *mut rdsys::rd_kafka_topic_t,
}

/// One transactional producer: at most one transaction at a time, fenced by its transactional id.
pub struct Writer {
    // Order of fields is order of drop: the poller ends before topics and client go.
    _enlisted: Enlisted<'static>,
    poller: Option<JoinHandle<()>>,
    destinations: Vec<Option<Destination>>,
    /// By partition number: the first source offset since the last `settle`; what tags count from.
    bases: Vec<Option<i64>>,
    /// By partition number: key and value bytes forwarded, and how many of them are known to be reported.
    sent: Vec<(u64, u64)>,
    topics: HashMap<Arc<str>, Topic>,
    acks: Arc<Acks>,
    in_transaction: bool,
    transactional_id: String,
    bytes_in_flight_max: usize,
    /// A batch of a partition that holds so many key and value bytes leaves.
    batch_bytes: u64,
    codec_of: Option<CodecOf>,
    give_up: Option<GiveUp>,
    /// Brokers refuse whole batches; then the first record of one is named.
    one_record_a_batch: bool,
    client: Arc<Client<Watch>>,
}

// SAFETY: the topic pointers in `destinations` belong to `topics`, which moves along; librdkafka handles may be used
// from any thread.
unsafe impl Send for Writer {}

impl Writer {
    /// A producer with the given properties, which name its `transactional.id`; at most `bytes_in_flight_max` bytes
    /// wait for acknowledgement.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(
        config: &ClientConfig,
        watch: Watch,
        bytes_in_flight_max: usize,
    ) -> Result<Self, Fault> {
        let open = |error: KafkaError| Fault::kafka(Operation::OpenClient, "writer", error);
        let native_config = config.create_native_config().map_err(open)?;
        // SAFETY: the configuration is live.
        unsafe {
            rdsys::rd_kafka_conf_set_events(
                native_config.ptr(),
                rdsys::RD_KAFKA_EVENT_DR | rdsys::RD_KAFKA_EVENT_ERROR,
            );
        }
        let client = Arc::new(
            Client::new(config, native_config, RDKafkaType::RD_KAFKA_PRODUCER, watch)
                .map_err(open)?,
        );
        // SAFETY: the writer drops this before its own hold on the client.
        let enlisted = unsafe { client.context().logins().enlist_native(client.native_ptr()) };
        let acks = Arc::new(Acks::default());
        let poller = std::thread::Builder::new()
            .name("acks".to_owned())
            .spawn({
                let (client, acks) = (client.clone(), acks.clone());
                move || poll(&client, &acks)
            })
            .map_err(|error| Fault::Kafka {
                operation: Operation::OpenClient,
                subject: "writer".to_owned(),
                code: None,
                reason: error.to_string(),
            })?;
        Ok(Self {
            _enlisted: enlisted,
            poller: Some(poller),
            destinations: Vec::new(),
            bases: Vec::new(),
            sent: Vec::new(),
            batch_bytes: config
                .get("batch.size")
                .and_then(|size| size.parse().ok())
                .unwrap_or(BATCH_BYTES as u64),
            topics: HashMap::new(),
            codec_of: None,
            give_up: None,
            one_record_a_batch: config.get("batch.num.messages") == Some("1"),
            acks,
            in_transaction: false,
            transactional_id: config
                .get("transactional.id")
                .or(config.get("client.id"))
                .unwrap_or_default()
                .to_owned(),
            bytes_in_flight_max,
            client,
        })
    }

    /// Waits for brokers no longer than a few seconds once `give_up` is true.
    pub fn give_up_when(&mut self, give_up: Option<GiveUp>) {
        self.give_up = give_up;
    }

    /// Compresses topics as `codec_of` says from now on, others as the client's properties do.
    pub fn compress_with(&mut self, codec_of: Option<CodecOf>) {
        self.codec_of = codec_of;
    }

    /// Takes the transactional id over: fences whoever held it and ends their open transaction.
    ///
    /// # Errors
    /// No answer within `within`, or a refusal.
    pub fn init(&mut self, within: Duration) -> Result<(), Fault> {
        self.connect(within);
        // SAFETY: the client is live.
        let answer = unsafe { rdsys::rd_kafka_init_transactions(self.native(), millis(within)) };
        self.judge(Operation::InitTransactions, within, answer)
    }

    /// Waits for a connection. librdkafka looks for the coordinator at once if a broker is connected, and after half a
    /// second or more if none is yet.
    fn connect(&self, within: Duration) {
        let mut metadata = ptr::null();
        // SAFETY: the client is live, `metadata` is a valid place, and what is put there is destroyed once. Asks for the
        // brokers only.
        unsafe {
            let answer = rdsys::rd_kafka_metadata(
                self.native(),
                0,
                ptr::null_mut(),
                &raw mut metadata,
                millis(within),
            );
            if answer == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                rdsys::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    /// Opens a transaction, unless one is open.
    ///
    /// # Errors
    /// The producer was fenced or is otherwise beyond use.
    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.in_transaction {
            return Ok(());
        }
        // SAFETY: the client is live.
        let answer = unsafe { rdsys::rd_kafka_begin_transaction(self.native()) };
        self.judge(Operation::BeginTransaction, Duration::ZERO, answer)?;
        let mut book = self.acks.book();
        for page in &mut book.pages {
            page.runs = Runs::new();
        }
        book.failed = None;
        drop(book);
        self.bases.fill(None);
        self.in_transaction = true;
        Ok(())
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Names where records of the source partition `index` go.
    ///
    /// # Errors
    /// The topic cannot be opened, or there are more partitions than a slot can number.
    pub fn aim(
        &mut self,
        index: Index,
        source: &TopicPartition,
        destination: &TopicPartition,
    ) -> Result<(), Fault> {
        if index.0 >= STATE {
            return Err(Fault::Kafka {
                operation: Operation::OpenTopic,
                subject: destination.to_string(),
                code: None,
                reason: format!(
                    "a slot numbers at most {STATE} partitions between two take-overs; use more slots"
                ),
            });
        }
        let topic = self.topic(&destination.topic)?;
        let at = index.0 as usize;
        if self.destinations.len() <= at {
            self.destinations.resize_with(at + 1, || None);
        }
        if let Some(place) = self.destinations.get_mut(at) {
            *place = Some(Destination {
                source: source.clone(),
                partition: destination.clone(),
                topic,
            });
        }
        if self.bases.len() <= at {
            self.bases.resize(at + 1, None);
            self.sent.resize(at + 1, (0, 0));
        }
        let mut book = self.acks.book();
        if book.pages.len() <= at {
            book.pages.resize_with(at + 1, Page::default);
        }
        Ok(())
    }

    /// Appends records of source partitions to the open transaction, in order; waits while too much is in flight.
    ///
    /// # Errors
    /// What the target refuses at once; that record and those behind it were not appended.
    pub fn forward(
        &mut self,
        records: impl IntoIterator<Item = (Index, Record)>,
    ) -> Result<(), Fault> {
        for (index, record) in records {
            self.make_room(index)?;
            // librdkafka takes 0 for "now" and knows no way to say zero.
            if record.timestamp_ms() == Some(0) {
                let zero = "its timestamp is 0, which librdkafka would replace by the present time";
                return Err(self.refused(index, record.offset(), zero));
            }
            self.forward_one(index, record, &[])?;
        }
        Ok(())
    }

    /// The same for one record, which gets these headers behind its own. A timestamp of 0 becomes the present time:
    /// whoever needs it says it in a header.
    ///
    /// # Errors
    /// As [`Writer::forward`].
    pub fn forward_noted(
        &mut self,
        index: Index,
        record: Record,
        notes: &[Header],
    ) -> Result<(), Fault> {
        self.make_room(index)?;
        self.forward_one(index, record, notes)
    }

    /// Waits while the partition, or the slot as a whole, has too much under way.
    ///
    /// librdkafka's idempotent producer has one request in flight for each partition, and its thread spins while a
    /// second batch is ready behind it: so no more is handed over than one batch under way and less than one waiting.
    fn make_room(&mut self, index: Index) -> Result<(), Fault> {
        let at = index.0 as usize;
        let most = self.batch_bytes * 2 - self.batch_bytes / 8;
        let Some((sent, reported)) = self.sent.get(at).copied() else {
            return Ok(());
        };
        if sent.saturating_sub(reported) > most {
            self.wait(Operation::Produce, PRODUCE_WITHIN, |book, _| {
                book.pages
                    .get(at)
                    .is_none_or(|page| sent.saturating_sub(page.reported) <= most)
            })?;
            let reported = self
                .acks
                .book()
                .pages
                .get(at)
                .map_or(sent, |page| page.reported);
            if let Some(place) = self.sent.get_mut(at) {
                place.1 = reported;
            }
        }
        let max = self.bytes_in_flight_max;
        if self.acks.bytes_in_flight.load(Ordering::Relaxed) > max {
            self.wait(Operation::Produce, PRODUCE_WITHIN, |_, acks| {
                acks.bytes_in_flight.load(Ordering::Relaxed) <= max
            })?;
        }
        Ok(())
    }

    fn forward_one(
        &mut self,
        index: Index,
        mut record: Record,
        notes: &[Header],
    ) -> Result<(), Fault> {
        let Some(Some(destination)) = self.destinations.get(index.0 as usize) else {
            return Ok(());
        };
        let source = record.offset();
        let timestamp = record.timestamp_ms().unwrap_or(-1);
        let base = match self.bases.get_mut(index.0 as usize) {
            Some(Some(base)) => *base,
            Some(place) => {
                *place = Some(source);
                if let Some(page) = self.acks.book().pages.get_mut(index.0 as usize) {
                    page.base = source;
                }
                source
            }
            None => source,
        };
        let delta = u64::try_from(source - base).unwrap_or(u64::MAX);
        if delta >> OFFSET_BITS != 0 {
            let wide = "the hole in front of it is wider than 2^48 offsets";
            return Err(self.refused(index, source, wide));
        }
        let tag = (u64::from(index.0) << OFFSET_BITS) | delta;
        let (topic, partition) = (destination.topic, destination.partition.partition);
        let mut headers = record.detach_headers();
        if !notes.is_empty() {
            // SAFETY: the list is the record's or made here, and ours until the producer takes it.
            headers = unsafe { with_headers(headers, notes) };
        }
        let message = record.native();
        let (value, key) = (
            (message.payload, message.len),
            (message.key, message.key_len),
        );
        let weight = record.weight();
        self.acks.records_in_flight.fetch_add(1, Ordering::Relaxed);
        self.acks
            .bytes_in_flight
            .fetch_add(weight + RECORD_OVERHEAD, Ordering::Relaxed);
        let limit = Instant::now() + PRODUCE_WITHIN;
        loop {
            let answer = self.produce(topic, partition, key, value, headers, timestamp, tag);
            match answer {
                Ok(()) => {
                    if let Some(place) = self.sent.get_mut(index.0 as usize) {
                        place.0 += weight as u64;
                    }
                    return Ok(());
                }
                Err(RDKafkaErrorCode::QueueFull) if Instant::now() < limit => {
                    self.wait_for_reports(Duration::from_millis(50));
                }
                Err(code) => {
                    self.acks.records_in_flight.fetch_sub(1, Ordering::Relaxed);
                    self.acks
                        .bytes_in_flight
                        .fetch_sub(weight + RECORD_OVERHEAD, Ordering::Relaxed);
                    if !headers.is_null() {
                        // SAFETY: the producer did not take them, so they are still ours.
                        unsafe { rdsys::rd_kafka_headers_destroy(headers) };
                    }
                    let name = self.source_of(index);
                    return Err(if code == RDKafkaErrorCode::MessageSizeTooLarge {
                        Fault::RecordRefused {
                            partition: name,
                            offset: SourceOffset::new(source),
                            exact: true,
                            reason: code.to_string(),
                        }
                    } else {
                        self.fault(Operation::Produce, code, &code.to_string())
                    });
                }
            }
        }
    }

    /// Appends a state record to the open transaction. `kind` numbers the state topic for [`Writer::state_offset`].
    ///
    /// # Errors
    /// The topic cannot be opened or the producer refuses.
    pub fn put(
        &mut self,
        kind: u8,
        place: &TopicPartition,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Fault> {
        // 0 is librdkafka's word for now.
        self.put_at(kind, place, key, value, 0)
    }

    /// The same with headers.
    ///
    /// # Errors
    /// As [`Writer::put`].
    pub fn put_noted(
        &mut self,
        kind: u8,
        place: &TopicPartition,
        key: &[u8],
        value: Option<&[u8]>,
        notes: &[Header],
    ) -> Result<(), Fault> {
        self.put_all(kind, place, key, value, 0, notes)
    }

    /// The same, with a timestamp in milliseconds since 1970; also outside of a transaction, by a producer without a
    /// transactional id.
    ///
    /// # Errors
    /// As [`Writer::put`].
    pub fn put_at(
        &mut self,
        kind: u8,
        place: &TopicPartition,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp_ms: i64,
    ) -> Result<(), Fault> {
        self.put_all(kind, place, key, value, timestamp_ms, &[])
    }

    fn put_all(
        &mut self,
        kind: u8,
        place: &TopicPartition,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp_ms: i64,
        notes: &[Header],
    ) -> Result<(), Fault> {
        let topic = self.topic(&place.topic)?;
        let tag = (u64::from(STATE) << OFFSET_BITS) | u64::from(kind);
        let key = (key.as_ptr().cast_mut().cast::<c_void>(), key.len());
        let value = value.map_or((ptr::null_mut(), 0), |value| {
            (value.as_ptr().cast_mut().cast(), value.len())
        });
        let mut headers = ptr::null_mut();
        if !notes.is_empty() {
            // SAFETY: the list is made here and ours until the producer takes it.
            headers = unsafe { with_headers(headers, notes) };
        }
        let limit = Instant::now() + PRODUCE_WITHIN;
        loop {
            match self.produce(
                topic,
                place.partition,
                key,
                value,
                headers,
                timestamp_ms,
                tag,
            ) {
                Ok(()) => return Ok(()),
                Err(RDKafkaErrorCode::QueueFull) if Instant::now() < limit => {
                    self.wait_for_reports(Duration::from_millis(50));
                }
                Err(code) => {
                    if !headers.is_null() {
                        // SAFETY: the producer did not take them, so they are still ours.
                        unsafe { rdsys::rd_kafka_headers_destroy(headers) };
                    }
                    return Err(self.fault(Operation::Produce, code, &code.to_string()));
                }
            }
        }
    }

    /// Appends a record to a topic, in whichever partition its key belongs.
    ///
    /// # Errors
    /// The topic cannot be opened or the producer refuses.
    pub fn park(&mut self, parked: &Parked) -> Result<(), Fault> {
        let topic = self.topic(&parked.topic)?;
        let record = &parked.record;
        let bytes = |bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()),
            None => (ptr::null_mut(), 0),
        };
        // SAFETY: the list is made here and ours until the producer takes it.
        let headers = unsafe { with_headers(ptr::null_mut(), &record.headers) };
        let tag = (u64::from(STATE) << OFFSET_BITS) | u64::from(PARKED);
        let timestamp = record.timestamp_ms.unwrap_or_default();
        let (key, value) = (bytes(&record.key), bytes(&record.payload));
        let answer = self.produce(topic, ANY_PARTITION, key, value, headers, timestamp, tag);
        answer.map_err(|code| {
            // SAFETY: the producer did not take them, so they are still ours.
            unsafe { rdsys::rd_kafka_headers_destroy(headers) };
            self.fault(Operation::Produce, code, &code.to_string())
        })
    }

    /// Waits until the target has acknowledged every record that was forwarded.
    ///
    /// # Errors
    /// A record was refused, or no answer came within `within`.
    pub fn flush(&mut self, within: Duration) -> Result<(), Fault> {
        // Full batches leave by themselves; a flush on top of them would make librdkafka's threads spin.
        let (sent, full) = (&self.sent, self.batch_bytes);
        self.wait(Operation::Flush, within, |book, _| {
            sent.iter()
                .zip(&book.pages)
                .all(|((sent, _), page)| sent.saturating_sub(page.reported) < full)
        })?;
        // In slices: behind a refused record the rest is tried again and again.
        let limit = Instant::now() + within;
        while Instant::now() < limit {
            // SAFETY: the client is live; the poller serves the reports that this waits for.
            let answer = unsafe { rdsys::rd_kafka_flush(self.native(), millis(FLUSH_SLICE)) };
            if answer == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            self.failure()?;
        }
        self.wait(Operation::Flush, within, |_, acks| {
            acks.records_in_flight.load(Ordering::Relaxed) == 0
        })
    }

    /// Flushes and takes the runs that were copied since the last call, by partition number.
    ///
    /// # Errors
    /// As [`Writer::flush`].
    pub fn settle(&mut self, within: Duration) -> Result<Vec<(Index, Vec<Run>)>, Fault> {
        self.flush(within)?;
        let mut book = self.acks.book();
        self.bases.fill(None);
        let mut copied = Vec::new();
        for (at, page) in book.pages.iter_mut().enumerate() {
            let runs = page.runs.take();
            if !runs.is_empty() {
                copied.push((Index(u32::try_from(at).unwrap_or(STATE)), runs));
            }
        }
        Ok(copied)
    }

    /// Adds a group's places to the open transaction (KIP-98). The brokers take them for groups with members too: look
    /// before.
    ///
    /// # Errors
    /// The brokers refuse, or do not answer within `within`: the transaction cannot be committed.
    pub fn send_places(
        &mut self,
        group: &str,
        places: &[(TopicPartition, i64)],
        within: Duration,
    ) -> Result<(), Fault> {
        let name = CString::new(group).map_err(|_nul| Fault::name(group))?;
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (place, offset) in places {
            list.add_partition_offset(&place.topic, place.partition, Offset::Offset(*offset))
                .map_err(|error| Fault::kafka(Operation::SendOffsets, group, error))?;
        }
        // SAFETY: the client and the list are live; the metadata is made and destroyed here.
        let answer = unsafe {
            let metadata = rdsys::rd_kafka_consumer_group_metadata_new(name.as_ptr());
            let answer = rdsys::rd_kafka_send_offsets_to_transaction(
                self.native(),
                list.ptr(),
                metadata,
                millis(within),
            );
            rdsys::rd_kafka_consumer_group_metadata_destroy(metadata);
            answer
        };
        if answer.is_null() {
            return Ok(());
        }
        // SAFETY: not null, destroyed once.
        let (code, reason) = unsafe { take_error(answer) };
        match self.fault(Operation::SendOffsets, code, &reason) {
            Fault::Kafka {
                operation,
                code,
                reason,
                ..
            } => Err(Fault::Kafka {
                operation,
                subject: group.to_owned(),
                code,
                reason,
            }),
            Fault::Denied {
                operation, code, ..
            } => Err(Fault::Denied {
                operation,
                subject: group.to_owned(),
                code,
            }),
            other => Err(other),
        }
    }

    /// Commits the open transaction.
    ///
    /// # Errors
    /// After an error it is unknown whether the transaction was committed; the next owner of the id finds out.
    pub fn commit(&mut self, within: Duration) -> Result<(), Fault> {
        // SAFETY: the client is live; the poller serves the reports that this waits for.
        let answer = unsafe { rdsys::rd_kafka_commit_transaction(self.native(), millis(within)) };
        // A refused record explains more than the commit that failed for it.
        let judged = self.judge(Operation::CommitTransaction, within, answer);
        if judged.is_err() {
            self.failure()?;
        }
        judged?;
        self.in_transaction = false;
        Ok(())
    }

    /// Aborts the open transaction, if there is one.
    ///
    /// # Errors
    /// The brokers refused or did not answer; they abort it themselves after `transaction.timeout.ms`.
    pub fn abort(&mut self, within: Duration) -> Result<(), Fault> {
        if !self.in_transaction {
            return Ok(());
        }
        self.in_transaction = false;
        // SAFETY: the client is live.
        let answer = unsafe { rdsys::rd_kafka_abort_transaction(self.native(), millis(within)) };
        self.judge(Operation::AbortTransaction, within, answer)
    }

    /// The offset of the last acknowledged record in the state topic numbered `kind`.
    pub fn state_offset(&self, kind: u8) -> Option<i64> {
        self.acks
            .book()
            .state_offsets
            .get(usize::from(kind))
            .copied()
            .flatten()
    }

    /// The first failure that a report brought since the transaction began.
    ///
    /// # Errors
    /// That failure.
    pub fn failure(&self) -> Result<(), Fault> {
        let book = self.acks.book();
        let Some(failed) = &book.failed else {
            return Ok(());
        };
        if failed.altered
            && let Some(Some(destination)) = self.destinations.get(failed.index as usize)
        {
            return Err(Fault::TimestampAltered {
                copy: destination.partition.clone(),
            });
        }
        let refused = matches!(
            failed.code,
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::MessageBatchTooLarge
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidDifferentRecord
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::PolicyViolation
        );
        if failed.index != STATE && refused {
            return Err(Fault::RecordRefused {
                partition: self.source_of(Index(failed.index)),
                offset: SourceOffset::new(failed.source),
                exact: self.one_record_a_batch,
                reason: failed.reason.clone(),
            });
        }
        // A fatal state of the producer explains the refusal; else the failed record does.
        if let Some((fatal, why)) = self.client.fatal_error() {
            return Err(Fault::code(
                Operation::Produce,
                &self.transactional_id,
                fatal,
                why,
            ));
        }
        let subject = match self.destinations.get(failed.index as usize) {
            Some(Some(destination)) => destination.partition.to_string(),
            _ => self.transactional_id.clone(),
        };
        if is_purge(failed.code)
            && let Some((code, reason)) = self.why_given_up()
        {
            return Err(Fault::code(Operation::Produce, &subject, code, reason));
        }
        Err(Fault::code(
            Operation::Produce,
            &subject,
            failed.code,
            failed.reason.clone(),
        ))
    }

    /// Why librdkafka gave the transaction up and purged what waited. A commit cannot succeed any more; its refusal
    /// carries the cause.
    fn why_given_up(&self) -> Option<(RDKafkaErrorCode, String)> {
        // SAFETY: the client is live.
        let error =
            unsafe { rdsys::rd_kafka_commit_transaction(self.native(), millis(ABORTED_WITHIN)) };
        // SAFETY: checked for null, destroyed once.
        (!error.is_null()).then(|| unsafe { take_error(error) })
    }

    fn wait_for_reports(&self, at_most: Duration) {
        let book = self.acks.book();
        drop(self.acks.reported.wait_timeout(book, at_most));
    }

    /// Waits for reports until `enough`.
    fn wait(
        &self,
        operation: Operation,
        within: Duration,
        enough: impl Fn(&Book, &Acks) -> bool,
    ) -> Result<(), Fault> {
        let mut limit = Instant::now() + within;
        let mut is_told = false;
        let mut book = self.acks.book();
        while !enough(&book, &self.acks) && book.failed.is_none() {
            if !is_told && self.give_up.as_ref().is_some_and(|it| it()) {
                is_told = true;
                limit = limit.min(Instant::now() + GIVES_UP_WITHIN);
            }
            if Instant::now() > limit {
                let subject = self.transactional_id.clone();
                return Err(Fault::TimedOut {
                    operation,
                    subject,
                    within,
                });
            }
            let waited = self.acks.reported.wait_timeout(book, POLL);
            book = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(book);
        self.failure()
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<*mut rdsys::rd_kafka_topic_t, Fault> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(topic.ptr());
        }
        let codec = self.codec_of.as_ref().and_then(|codec_of| codec_of(name));
        let topic = Topic::compressed(self.native(), name, codec.as_deref())?;
        let pointer = topic.ptr();
        self.topics.insert(name.clone(), topic);
        Ok(pointer)
    }

    fn source_of(&self, index: Index) -> TopicPartition {
        match self.destinations.get(index.0 as usize) {
            Some(Some(destination)) => destination.source.clone(),
            _ => TopicPartition::new("", -1),
        }
    }

    /// A record that is not handed over for what it is.
    fn refused(&self, index: Index, offset: i64, reason: &str) -> Fault {
        Fault::RecordRefused {
            partition: self.source_of(index),
            offset: SourceOffset::new(offset),
            exact: true,
            reason: reason.to_owned(),
        }
    }

    fn native(&self) -> *mut rdsys::rd_kafka_t {
        self.client.native_ptr()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one argument for each field that a record has"
    )]
    fn produce(
        &self,
        topic: *mut rdsys::rd_kafka_topic_t,
        partition: i32,
        key: (*mut c_void, usize),
        value: (*mut c_void, usize),
        headers: *mut rdsys::rd_kafka_headers_t,
        timestamp: i64,
        tag: u64,
    ) -> Result<(), RDKafkaErrorCode> {
        use rdsys::rd_kafka_vtype_t as Kind;
        use rdsys::rd_kafka_vu_s__bindgen_ty_1 as Field;
        let bytes = |(ptr, size)| Field {
            mem: rdsys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
        };
        let fields = [
            (Kind::RD_KAFKA_VTYPE_RKT, Field { rkt: topic }),
            (Kind::RD_KAFKA_VTYPE_PARTITION, Field { i32_: partition }),
            (
                Kind::RD_KAFKA_VTYPE_MSGFLAGS,
                Field {
                    i: rdsys::RD_KAFKA_MSG_F_COPY,
                },
            ),
            (Kind::RD_KAFKA_VTYPE_VALUE, bytes(value)),
            (Kind::RD_KAFKA_VTYPE_KEY, bytes(key)),
            (
                Kind::RD_KAFKA_VTYPE_OPAQUE,
                Field {
                    ptr: tag as *mut c_void,
                },
            ),
            (Kind::RD_KAFKA_VTYPE_TIMESTAMP, Field { i64_: timestamp }),
            (Kind::RD_KAFKA_VTYPE_HEADERS, Field { headers }),
        ]
        .map(|(vtype, u)| rdsys::rd_kafka_vu_t { vtype, u });
        let count = if headers.is_null() {
            fields.len() - 1
        } else {
            fields.len()
        };
        // SAFETY: client and topic are live, key and value outlive the call (they are copied), and the headers are
        // given up only when it succeeds.
        let error = unsafe { rdsys::rd_kafka_produceva(self.native(), fields.as_ptr(), count) };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: a non-null error is live until destroyed, here.
        let code = unsafe {
            let code = rdsys::rd_kafka_error_code(error);
            rdsys::rd_kafka_error_destroy(error);
            code
        };
        Err(RDKafkaErrorCode::from(code))
    }

    /// Turns the answer of a transactional call into a result.
    fn judge(
        &self,
        operation: Operation,
        within: Duration,
        error: *mut rdsys::rd_kafka_error_t,
    ) -> Result<(), Fault> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: not null, destroyed once.
        let (code, reason) = unsafe { take_error(error) };
        if code == RDKafkaErrorCode::OperationTimedOut {
            return Err(Fault::TimedOut {
                operation,
                subject: self.transactional_id.clone(),
                within,
            });
        }
        Err(self.fault(operation, code, &reason))
    }

    /// A fatal state of the producer explains any later refusal better than that refusal does.
    fn fault(&self, operation: Operation, code: RDKafkaErrorCode, reason: &str) -> Fault {
        match self.client.fatal_error() {
            Some((fatal, why)) => Fault::code(operation, &self.transactional_id, fatal, why),
            None => Fault::code(operation, &self.transactional_id, code, reason),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the client is live. What is still queued belongs to a transaction that nobody will commit.
        unsafe {
            rdsys::rd_kafka_purge(
                self.native(),
                rdsys::RD_KAFKA_PURGE_F_QUEUE | rdsys::RD_KAFKA_PURGE_F_INFLIGHT,
            );
        }
        self.acks.stop.store(true, Ordering::Relaxed);
        // SAFETY: the client is live; the queue got here is destroyed here. Wakes the poller.
        unsafe {
            let queue = rdsys::rd_kafka_queue_get_main(self.native());
            rdsys::rd_kafka_queue_yield(queue);
            rdsys::rd_kafka_queue_destroy(queue);
        }
        if let Some(poller) = self.poller.take() {
            drop(poller.join());
        }
    }
}

/// Appends headers to a list, or to a new one where there is none; names and values are copied into it.
///
/// # Safety
/// `list` is null or a live list that nobody else uses.
unsafe fn with_headers(
    list: *mut rdsys::rd_kafka_headers_t,
    headers: &[Header],
) -> *mut rdsys::rd_kafka_headers_t {
    let size = |bytes: &[u8]| isize::try_from(bytes.len()).unwrap_or(isize::MAX);
    // SAFETY: promised by the caller; what is pointed at outlives each call.
    unsafe {
        let list = if list.is_null() {
            rdsys::rd_kafka_headers_new(headers.len())
        } else {
            list
        };
        for (name, value) in headers {
            let (at, length) = match value {
                Some(value) => (value.as_ptr().cast(), size(value)),
                None => (ptr::null(), 0),
            };
            rdsys::rd_kafka_header_add(list, name.as_ptr().cast(), size(name), at, length);
        }
        list
    }
}

/// Reads an error and destroys it.
///
/// # Safety
/// `error` is a live error that nobody uses afterwards.
unsafe fn take_error(error: *mut rdsys::rd_kafka_error_t) -> (RDKafkaErrorCode, String) {
    // SAFETY: promised by the caller; the text lives as long as the error.
    unsafe {
        let code = RDKafkaErrorCode::from(rdsys::rd_kafka_error_code(error));
        let reason = CStr::from_ptr(rdsys::rd_kafka_error_string(error))
            .to_string_lossy()
            .into_owned();
        rdsys::rd_kafka_error_destroy(error);
        (code, reason)
    }
}
