//! Records and state handed to the open transaction.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use understudy_domain::{SourceOffset, TopicPartition};

use super::Writer;
use crate::fault::{Fault, Operation};
use crate::ffi::acks::{OFFSET_BITS, RECORD_OVERHEAD, STATE};
use crate::ffi::reader::{Header, Index, Record};
use crate::plane::Parked;

/// Numbers the parking topic among the state topics.
const PARKED: u8 = u8::MAX;
/// The partitioner chooses.
const ANY_PARTITION: i32 = -1;
/// How long a record may wait for room.
const PRODUCE_WITHIN: Duration = Duration::from_secs(60);

impl Writer {
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
