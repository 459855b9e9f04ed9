//! Fetches records of many partitions through one queue.
//!
//! Uses librdkafka's simple consumer (`rd_kafka_consume_start_queue`): no `group.id`, so nothing on the cluster
//! but `READ` and `DESCRIBE` on the topics is ever asked for.

use std::collections::HashMap;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use understudy_domain::{SourceOffset, TopicPartition};

use super::acks::{HEADER_OVERHEAD, RECORD_OVERHEAD};
use super::code::code_at;
use super::login::Enlisted;
use super::topic::{Topic, name_of};
use crate::fault::{Fault, Operation};
use crate::watch::Watch;

/// How many messages one call takes from the queue at most.
const BATCH: usize = 2_000;

/// How many events of the client are served at a time.
const EVENTS_MAX: usize = 10_000;

/// The number a reader gave a partition when it started reading it; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index(pub u32);

/// What a fetch brought for one partition.
pub enum Fetched {
    /// A record.
    Record(Index, Record),
    /// The reader stands at the end: the first offset that a reader of its isolation level cannot have yet.
    /// Control records before it have been passed.
    End(Index, SourceOffset),
    /// Reading this partition met an error.
    Fault(Index, RDKafkaErrorCode, String),
}

/// Reads partitions by explicit offset, without a consumer group.
pub struct Reader {
    waker: Waker,
    // Order of fields is order of drop: what belongs to the client goes before it.
    _enlisted: Enlisted<'static>,
    queue: Queue,
    partitions: HashMap<TopicPartition, Index>,
    by_native: HashMap<(usize, i32), Index>,
    topics: HashMap<Arc<str>, Topic>,
    next_index: u32,
    batch: Vec<*mut rdsys::rd_kafka_message_t>,
    at_once: usize,
    client: BaseConsumer<Watch>,
}

// SAFETY: the raw pointers in `batch` are only live inside `poll`; all native handles may move between threads.
unsafe impl Send for Reader {}

impl Reader {
    /// A reader with the given client properties; connects in the background.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(config: &ClientConfig, watch: Watch) -> Result<Self, Fault> {
        let logins = watch.logins().clone();
        let subject = format!("reader of {}", watch.alias());
        let client: BaseConsumer<Watch> = config
            .create_with_context(watch.of_reader())
            .map_err(|error| Fault::kafka(Operation::OpenClient, &subject, error))?;
        // SAFETY: the client is live; a null queue is impossible (librdkafka aborts on no memory).
        let queue = Queue(unsafe { rdsys::rd_kafka_queue_new(client.client().native_ptr()) });
        // SAFETY: the reader drops this before the client.
        let enlisted = unsafe { logins.enlist_native(client.client().native_ptr()) };
        Ok(Self {
            waker: Waker(Arc::new(Mutex::new(Some(Native(queue.0))))),
            _enlisted: enlisted,
            queue,
            partitions: HashMap::new(),
            by_native: HashMap::new(),
            topics: HashMap::new(),
            next_index: 0,
            batch: vec![std::ptr::null_mut(); BATCH],
            at_once: BATCH,
            client,
        })
    }

    /// From now on one call takes at most so many messages.
    pub fn take_at_once(&mut self, messages: usize) {
        self.at_once = messages.clamp(1, BATCH);
    }

    /// What ends a wait of [`Self::poll`], from any thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The client, for metadata and watermark calls.
    pub fn client(&self) -> &BaseConsumer<Watch> {
        &self.client
    }

    /// Starts reading `partition` at `offset`.
    ///
    /// # Errors
    /// The topic cannot be opened, or librdkafka refuses the start.
    pub fn start(&mut self, partition: &TopicPartition, offset: i64) -> Result<Index, Fault> {
        let native = self.client.client().native_ptr();
        if !self.topics.contains_key(&partition.topic) {
            self.topics.insert(
                partition.topic.clone(),
                Topic::new(native, &partition.topic)?,
            );
        }
        let Some(topic) = self.topics.get(&partition.topic) else {
            return Err(Fault::name(&partition.topic));
        };
        // SAFETY: topic and queue are live and belong to this client.
        let started = unsafe {
            rdsys::rd_kafka_consume_start_queue(
                topic.ptr(),
                partition.partition,
                offset,
                self.queue.0,
            )
        };
        if started != 0 {
            return Err(Fault::last(Operation::Fetch, &partition.to_string()));
        }
        let index = Index(self.next_index);
        self.next_index += 1;
        self.partitions.insert(partition.clone(), index);
        self.by_native.clear();
        Ok(index)
    }

    /// Stops reading `partition`; records of it that were fetched already are dropped by librdkafka.
    pub fn stop(&mut self, partition: &TopicPartition) {
        if self.partitions.remove(partition).is_none() {
            return;
        }
        self.by_native.clear();
        if let Some(topic) = self.topics.get(&partition.topic) {
            // SAFETY: the topic is live; the call waits for the broker thread's answer.
            unsafe { rdsys::rd_kafka_consume_stop(topic.ptr(), partition.partition) };
        }
    }

    /// Takes what was fetched, waiting at most `wait` for the first message; empty when nothing came, or somebody was in a
    /// hurry ([`Self::waker`]).
    ///
    /// Messages arrive in order within a partition. Also serves the client's log and error events.
    pub fn poll(&mut self, wait: Duration, out: &mut Vec<Fetched>) {
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut count = 0_usize;
        if millis > 0 {
            // SAFETY: the queue is live. The batch call would wait for a full batch, so one message is awaited first.
            let first = unsafe { rdsys::rd_kafka_consume_queue(self.queue.0, millis) };
            if first.is_null() {
                self.serve();
                return;
            }
            if let Some(place) = self.batch.first_mut() {
                *place = first;
                count = 1;
            }
        }
        // SAFETY: the queue is live and the batch has room for `at_once - count` pointers behind the first `count`.
        let more = unsafe {
            rdsys::rd_kafka_consume_batch_queue(
                self.queue.0,
                0,
                self.batch.as_mut_ptr().add(count),
                self.at_once - count,
            )
        };
        count += usize::try_from(more).unwrap_or(0);
        if count == 0 {
            self.serve();
        }
        for at in 0..count {
            let Some(message) = self.batch.get(at).copied() else {
                break;
            };
            // SAFETY: librdkafka handed this message over; `Record` now owns it.
            let record = Record { message };
            if let Some(fetched) = self.sort(record) {
                out.push(fetched);
            }
        }
    }

    /// The cluster's alias, for messages.
    pub fn client_alias(&self) -> String {
        self.client.client().context().alias().to_owned()
    }

    /// Serves log and error events of the client.
    pub fn serve(&self) {
        let native = self.client.client().native_ptr();
        // SAFETY: the client is live; the reference got here is given back below.
        let queue = unsafe { rdsys::rd_kafka_queue_get_main(native) };
        // Without a group the client's own queue carries no records; errors reach `Watch` before they come back here.
        // A poll also ends after a log line, so the queue's length says whether anything is left.
        for _ in 0..EVENTS_MAX {
            // SAFETY: the queue is live.
            if unsafe { rdsys::rd_kafka_queue_length(queue) } == 0 {
                break;
            }
            if let Some(Err(error)) = self.client.poll(Duration::ZERO) {
                tracing::trace!(%error, "client event");
            }
        }
        // SAFETY: got above, given back once.
        unsafe { rdsys::rd_kafka_queue_destroy(queue) };
    }

    /// The id of the topic whose records have been fetched so far under this name, where the cluster tells ids.
    ///
    /// Serves the client's events first: the one that tells of another id lies before any record of that topic.
    pub fn topic_ids<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> Vec<Option<String>> {
        self.serve();
        let watch = self.client.client().context();
        topics
            .into_iter()
            .map(|topic| watch.topic_id(topic))
            .collect()
    }

    /// A topic that was replaced while this reader knew it: nothing of its new life is sure to come.
    pub fn replaced(&self) -> Option<&str> {
        self.client.client().context().replaced()
    }

    fn sort(&mut self, record: Record) -> Option<Fetched> {
        let message = record.native();
        let index = self.index_of(message.rkt, message.partition)?;
        // SAFETY: a field of a live message.
        let code = unsafe { code_at(&raw const message.err) };
        if code == RDKafkaErrorCode::NoError {
            return Some(Fetched::Record(index, record));
        }
        if code == RDKafkaErrorCode::PartitionEOF {
            return Some(Fetched::End(index, SourceOffset::new(message.offset)));
        }
        let reason = record
            .payload()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default();
        Some(Fetched::Fault(index, code, reason))
    }

    fn index_of(&mut self, topic: *mut rdsys::rd_kafka_topic_t, partition: i32) -> Option<Index> {
        if topic.is_null() {
            return None;
        }
        let key = (topic as usize, partition);
        if let Some(index) = self.by_native.get(&key) {
            return Some(*index);
        }
        // SAFETY: the message that names this topic is alive, and holds it.
        let name = std::str::from_utf8(unsafe { name_of(topic) }).ok()?;
        let index = *self.partitions.get(&TopicPartition {
            topic: name.into(),
            partition,
        })?;
        self.by_native.insert(key, index);
        Some(index)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.waker.retire();
        let partitions: Vec<_> = self.partitions.keys().cloned().collect();
        for partition in partitions {
            self.stop(&partition);
        }
    }
}

/// Ends the wait of a [`Reader`], the next one if it does not wait just now; nothing once the reader is gone.
#[derive(Clone)]
pub struct Waker(Arc<Mutex<Option<Native>>>);

/// A reader's queue, for as long as that is there.
struct Native(*mut rdsys::rd_kafka_queue_t);

// SAFETY: librdkafka's queues may be used by any thread.
unsafe impl Send for Native {}

impl Waker {
    /// Ends it.
    pub fn wake(&self) {
        let native = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Native(queue)) = &*native {
            // SAFETY: the queue is live: the reader takes it from here before it destroys it.
            unsafe { rdsys::rd_kafka_queue_yield(*queue) };
        }
    }

    fn retire(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

struct Queue(*mut rdsys::rd_kafka_queue_t);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, destroyed once, here.
        unsafe { rdsys::rd_kafka_queue_destroy(self.0) }
    }
}

/// A header's name and value; a null value is not an empty one.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record's contents, apart from the client that fetched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The key; `None` is a null key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a null value.
    pub payload: Option<Vec<u8>>,
    /// In order, duplicates included.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

/// One fetched message, freed on drop. Its client waits for it before it ends, so it must not outlive its [`Reader`].
pub struct Record {
    message: *mut rdsys::rd_kafka_message_t,
}

// SAFETY: a message is owned by this value alone and librdkafka allows it to be freed on any thread.
unsafe impl Send for Record {}

impl Record {
    /// Where the record stands on the cluster it was read from.
    pub fn offset(&self) -> i64 {
        self.native().offset
    }

    /// The key; `None` is a null key, which is not an empty one.
    pub fn key(&self) -> Option<&[u8]> {
        let native = self.native();
        // SAFETY: librdkafka keeps the key alive as long as the message.
        unsafe { bytes(native.key, native.key_len) }
    }

    /// The value; `None` is a null value (a tombstone), which is not an empty one.
    pub fn payload(&self) -> Option<&[u8]> {
        let native = self.native();
        // SAFETY: librdkafka keeps the payload alive as long as the message.
        unsafe { bytes(native.payload, native.len) }
    }

    /// Milliseconds since 1970; `None` when the record carries no timestamp.
    pub fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = rdsys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live and `kind` is a valid place.
        let time = unsafe { rdsys::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (kind != rdsys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(time)
    }

    /// The leader epoch under which the record was fetched, where the broker tells (KIP-320).
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is live and carries no error.
        let epoch = unsafe { rdsys::rd_kafka_message_leader_epoch(self.message) };
        (epoch >= 0).then_some(epoch)
    }

    /// Key and value bytes.
    pub fn weight(&self) -> usize {
        self.native().len + self.native().key_len
    }

    /// What the record takes in memory, about: key, value and headers, and what librdkafka keeps beside them.
    pub fn footprint(&self) -> usize {
        let mut bytes = self.weight() + RECORD_OVERHEAD;
        self.each_header(|name, value| {
            bytes += name.len() + value.map_or(0, <[u8]>::len) + HEADER_OVERHEAD;
        });
        bytes
    }

    /// The headers in order, duplicates and null values included.
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = Vec::new();
        self.each_header(|name, value| headers.push((name.to_vec(), value.map(<[u8]>::to_vec))));
        headers
    }

    fn each_header(&self, mut see: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut list = std::ptr::null_mut();
        // SAFETY: the message is live; the headers stay its own.
        let found = unsafe { rdsys::rd_kafka_message_headers(self.message, &raw mut list) };
        if found != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0_usize);
            // SAFETY: the list is live and the three places are valid; past the end the call answers with an error.
            let answer = unsafe {
                rdsys::rd_kafka_header_get_all(
                    list,
                    at,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if answer != rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: name is a C string and value `size` bytes or null, both alive with the message.
            let (name, value) = unsafe {
                (
                    std::ffi::CStr::from_ptr(name).to_bytes(),
                    bytes(value.cast_mut(), size),
                )
            };
            see(name, value);
        }
    }

    /// Its contents.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            key: self.key().map(<[u8]>::to_vec),
            payload: self.payload().map(<[u8]>::to_vec),
            headers: self.headers(),
            timestamp_ms: self.timestamp_ms(),
        }
    }

    /// Takes the headers out of the record; null when it has none. The caller owns the list.
    pub(super) fn detach_headers(&mut self) -> *mut rdsys::rd_kafka_headers_t {
        let mut list = std::ptr::null_mut();
        // SAFETY: the message is live; on success its headers are ours.
        let answer = unsafe { rdsys::rd_kafka_message_detach_headers(self.message, &raw mut list) };
        if answer == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            list
        } else {
            std::ptr::null_mut()
        }
    }

    pub(super) fn native(&self) -> &rdsys::rd_kafka_message_t {
        // SAFETY: never null (the reader checked) and live until drop.
        unsafe { &*self.message }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: owned, destroyed once, here.
        unsafe { rdsys::rd_kafka_message_destroy(self.message) }
    }
}

/// # Safety
/// `at` is null or points to `len` bytes that outlive `'a`.
unsafe fn bytes<'a>(at: *mut std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!at.is_null()).then(|| unsafe { slice::from_raw_parts(at.cast::<u8>(), len) })
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A reader of a cluster that is not there: it waits.
    fn reader() -> Result<Reader, Fault> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        Reader::new(&config, Watch::new("use1"))
    }

    fn waits(reader: &mut Reader) -> Duration {
        let began = Instant::now();
        reader.poll(LONG, &mut Vec::new());
        began.elapsed()
    }

    #[test]
    fn a_wait_ends_when_somebody_wakes_it_and_does_not_begin_when_somebody_did() -> Result<(), Fault>
    {
        let mut reader = reader()?;
        let waker = reader.waker();
        waker.wake();
        assert!(waits(&mut reader) < LONG);
        let waking = thread::spawn({
            let waker = waker.clone();
            move || {
                thread::sleep(Duration::from_millis(50));
                waker.wake();
            }
        });
        assert!(waits(&mut reader) < LONG);
        assert!(waking.join().is_ok());
        drop(reader);
        waker.wake();
        Ok(())
    }
}
