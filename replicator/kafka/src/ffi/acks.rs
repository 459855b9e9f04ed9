//! The delivery reports of one producer, added up by a thread of ours.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as rdsys;
use understudy_domain::{Runs, SourceOffset, TargetOffset};

use super::code::code_at;
use crate::watch::Watch;

/// A tag holds the partition's number above, the source offset (relative to the transaction's first) below.
pub(super) const OFFSET_BITS: u32 = 48;
/// The partition number that marks a state record; its lower bits are the state topic's number.
pub(super) const STATE: u32 = 0xFFFF;
/// What librdkafka keeps of each record beside its bytes, about.
pub(super) const RECORD_OVERHEAD: usize = 200;
/// The same of each header.
pub(super) const HEADER_OVERHEAD: usize = 64;
/// How often the poller looks whether it should stop.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// What the reports of one transaction add up to.
#[derive(Default)]
pub(super) struct Book {
    /// By partition number. Written by `forward` (base) and the poller (runs).
    pub(super) pages: Vec<Page>,
    /// Highest offset of a state record, by state topic number. Written by the poller.
    pub(super) state_offsets: Vec<Option<i64>>,
    /// The first failure since the transaction began. Written by the poller.
    pub(super) failed: Option<Failure>,
}

#[derive(Default)]
pub(super) struct Page {
    pub(super) base: i64,
    pub(super) runs: Runs,
    /// Key and value bytes reported since the partition was aimed.
    pub(super) reported: u64,
}

pub(super) struct Failure {
    pub(super) index: u32,
    pub(super) source: i64,
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    /// The record is on the target, under a time that the brokers gave it in place of its own.
    pub(super) altered: bool,
}

#[derive(Default)]
pub(super) struct Acks {
    /// A mutex because the slot's thread and the poller both change it; held for a batch at a time.
    pub(super) book: Mutex<Book>,
    /// Notified after each batch of reports.
    pub(super) reported: Condvar,
    /// Records handed to librdkafka and not yet reported. Raised by the slot's thread before it hands them over, lowered
    /// by the poller with the book held.
    pub(super) records_in_flight: AtomicUsize,
    /// Their key and value bytes.
    pub(super) bytes_in_flight: AtomicUsize,
    pub(super) stop: AtomicBool,
}

impl Acks {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// Whether a record failed only because another failure emptied the queue.
pub(super) fn is_purge(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
    )
}

/// Serves the client's events until told to stop.
pub(super) fn poll(client: &Client<Watch>, acks: &Acks) {
    // SAFETY: the client is live for the whole thread; the queue is destroyed at its end.
    let queue = unsafe { rdsys::rd_kafka_queue_get_main(client.native_ptr()) };
    while !acks.stop.load(Ordering::Relaxed) {
        // SAFETY: the queue is live.
        let event = unsafe { rdsys::rd_kafka_queue_poll(queue, millis(POLL)) };
        if event.is_null() {
            continue;
        }
        // SAFETY: the event is live until destroyed, below.
        match unsafe { rdsys::rd_kafka_event_type(event) } {
            // SAFETY: as above, and it is a report.
            rdsys::RD_KAFKA_EVENT_DR => unsafe { report(event, acks) },
            // SAFETY: as above, and it is an error; the text lives as long as the event.
            rdsys::RD_KAFKA_EVENT_ERROR => unsafe {
                let code = rdsys::rd_kafka_event_error(event);
                let reason =
                    CStr::from_ptr(rdsys::rd_kafka_event_error_string(event)).to_string_lossy();
                client
                    .context()
                    .error(KafkaError::Global(RDKafkaErrorCode::from(code)), &reason);
            },
            rdsys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                // SAFETY: as above, and it is a log line; the texts live as long as the event.
                unsafe {
                    if rdsys::rd_kafka_event_log(
                        event,
                        &raw mut facility,
                        &raw mut text,
                        &raw mut level,
                    ) == 0
                    {
                        let (facility, text) = (CStr::from_ptr(facility), CStr::from_ptr(text));
                        client.context().log(
                            RDKafkaLogLevel::Info,
                            &facility.to_string_lossy(),
                            &text.to_string_lossy(),
                        );
                    }
                }
            }
            _ => {}
        }
        // SAFETY: polled above, destroyed once, here.
        unsafe { rdsys::rd_kafka_event_destroy(event) };
    }
    // SAFETY: got above, destroyed once, here.
    unsafe { rdsys::rd_kafka_queue_destroy(queue) };
}

/// Books a batch of delivery reports.
///
/// # Safety
/// `event` is a live delivery report event.
unsafe fn report(event: *mut rdsys::rd_kafka_event_t, acks: &Acks) {
    let mut book = acks.book();
    let (mut records, mut bytes) = (0, 0);
    loop {
        // SAFETY: the event is live; its messages are as long as it is. Each call moves on to the next message.
        let message = unsafe { rdsys::rd_kafka_event_message_next(event) };
        if message.is_null() {
            break;
        }
        // SAFETY: not null, and alive until the event is destroyed.
        let message = unsafe { &*message };
        if book.note(message) {
            records += 1;
            bytes += message.len + message.key_len + RECORD_OVERHEAD;
        }
    }
    acks.records_in_flight.fetch_sub(records, Ordering::Relaxed);
    acks.bytes_in_flight.fetch_sub(bytes, Ordering::Relaxed);
    drop(book);
    acks.reported.notify_all();
}

impl Book {
    /// Books one report; true for a record that was forwarded, false for one of state.
    fn note(&mut self, message: &rdsys::rd_kafka_message_t) -> bool {
        let tag = message._private as u64;
        let (index, low) = ((tag >> OFFSET_BITS) as u32, tag & ((1 << OFFSET_BITS) - 1));
        // SAFETY: a field of a live message.
        let failed = unsafe { code_at(&raw const message.err) } != RDKafkaErrorCode::NoError;
        if index == STATE {
            let kind = low as usize;
            if self.state_offsets.len() <= kind {
                self.state_offsets.resize(kind + 1, None);
            }
            if failed {
                self.fail(index, 0, message);
            } else if let Some(place) = self.state_offsets.get_mut(kind) {
                *place = (*place).max(Some(message.offset));
            }
            return false;
        }
        let Some(page) = self.pages.get_mut(index as usize) else {
            return true;
        };
        page.reported += (message.len + message.key_len) as u64;
        let source = page.base + i64::try_from(low).unwrap_or(0);
        if failed {
            self.fail(index, source, message);
        } else if is_altered(message) {
            self.failed.get_or_insert(Failure {
                index,
                source,
                code: RDKafkaErrorCode::InvalidTimestamp,
                reason: "the brokers replaced its timestamp".to_owned(),
                altered: true,
            });
        } else if let Err(error) = page
            .runs
            .push(SourceOffset::new(source), TargetOffset::new(message.offset))
        {
            let reason = error.to_string();
            self.failed.get_or_insert(Failure {
                index,
                source,
                code: RDKafkaErrorCode::OutOfOrderSequenceNumber,
                reason,
                altered: false,
            });
        }
        true
    }

    fn fail(&mut self, index: u32, source: i64, message: &rdsys::rd_kafka_message_t) {
        // SAFETY: a field of a live message.
        let code = unsafe { code_at(&raw const message.err) };
        // What was purged, or only shared a batch with a refused record, follows from another failure.
        let weight = |code: RDKafkaErrorCode| match code {
            purged if is_purge(purged) => 0,
            RDKafkaErrorCode::InvalidDifferentRecord => 1,
            _ => 2,
        };
        let replace = self
            .failed
            .as_ref()
            .is_none_or(|known| weight(code) > weight(known.code));
        if replace {
            self.failed = Some(Failure {
                index,
                source,
                code,
                reason: code.to_string(),
                altered: false,
            });
        }
    }
}

/// Whether the brokers acknowledged a record under a time of their own: they tell it where the topic's
/// `message.timestamp.type` is LogAppendTime, and nothing otherwise.
fn is_altered(message: &rdsys::rd_kafka_message_t) -> bool {
    use rdsys::rd_kafka_timestamp_type_t as Kind;
    let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is live and `kind` is a valid place.
    unsafe { rdsys::rd_kafka_message_timestamp(message, &raw mut kind) };
    kind == Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME
}
