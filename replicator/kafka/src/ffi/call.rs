//! One admin call: asked on a queue of its own, answered by one event, within a time limit.

use std::ffi::{CStr, CString, c_char};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;

use super::reader::Reader;
use crate::fault::{Fault, Operation};

/// How much longer than the request we wait for its event: librdkafka answers with the time limit itself.
const GRACE: Duration = Duration::from_secs(1);

/// librdkafka's own time limit of a call that goes to a group's coordinator: the longest it takes. Ours is kept by how
/// long the queue is polled.
///
/// librdkafka 2.12.1 releases such a call twice, and crashes, if its own limit passes while the coordinator is away and
/// the coordinator then comes back (`rd_kafka_admin_coord_request` ends what `rd_kafka_coord_req_fail` answers to;
/// librdkafka#4605). With this limit the call is still whole by then, and its answer ends with the queue.
pub(super) const COORDINATOR_LIMIT: Duration = Duration::from_secs(3600);

/// What a call works with: the client, the call's options and the queue that its event comes to.
pub(super) struct Call {
    pub(super) native: *mut rdsys::rd_kafka_t,
    pub(super) options: *mut rdsys::rd_kafka_AdminOptions_t,
    pub(super) queue: *mut rdsys::rd_kafka_queue_t,
}

/// Who asks, for what and how long.
pub(super) struct Asked<'a> {
    pub(super) native: *mut rdsys::rd_kafka_t,
    pub(super) alias: &'a str,
    pub(super) operation: Operation,
    pub(super) kind: rdsys::rd_kafka_admin_op_t,
    pub(super) within: Duration,
}

/// Makes a call on the reader's client: `start` sends it, `take` reads its event, which lives only as long.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`; or what `take` found.
///
/// # Safety
/// As of [`ask_client`].
pub(super) unsafe fn ask<T>(
    reader: &Reader,
    operation: Operation,
    kind: rdsys::rd_kafka_admin_op_t,
    within: Duration,
    start: impl FnOnce(&Call),
    take: impl FnOnce(*mut rdsys::rd_kafka_event_t) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let asked = Asked {
        native: reader.client().client().native_ptr(),
        alias: &reader.client_alias(),
        operation,
        kind,
        within,
    };
    // SAFETY: the reader keeps its client; the rest as the caller promises.
    unsafe { ask_client(&asked, start, take) }
}

/// Makes a call on a client: `start` sets what other options the call has and sends it, `take` reads its event, which
/// lives only as long.
///
/// # Errors
/// The call as a whole failed or got no answer in time; or what `take` found.
///
/// # Safety
/// The client lives. `start` makes exactly one admin call of the kind `asked.kind` with what it is given, and keeps
/// none of it; librdkafka copies what the call is about, so that may end with `start`. `take` keeps nothing of the
/// event.
pub(super) unsafe fn ask_client<T>(
    asked: &Asked<'_>,
    start: impl FnOnce(&Call),
    take: impl FnOnce(*mut rdsys::rd_kafka_event_t) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut take = Some(take);
    let mut taken = None;
    // SAFETY: as the caller promises, of one call.
    unsafe {
        ask_each(asked, 1, start, |event| {
            if let Some(take) = take.take() {
                taken = Some(take(event)?);
            }
            Ok(())
        })?;
    }
    taken.ok_or_else(|| asked.silence())
}

impl Asked<'_> {
    fn silence(&self) -> Fault {
        Fault::TimedOut {
            operation: self.operation,
            subject: self.alias.to_owned(),
            within: self.within,
        }
    }
}

/// Makes so many calls on a client, all at once: `start` sends them, `take` reads each event, which lives only as long.
///
/// # Errors
/// One of the calls failed or got no answer in time; or what `take` found. The others' answers are not waited for then.
///
/// # Safety
/// As of [`ask_client`], but for `start`, which makes exactly `calls` calls.
pub(super) unsafe fn ask_each(
    asked: &Asked<'_>,
    calls: usize,
    start: impl FnOnce(&Call),
    mut take: impl FnMut(*mut rdsys::rd_kafka_event_t) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Asked {
        native,
        operation,
        kind,
        within,
        ..
    } = *asked;
    let limit = match kind {
        rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS
        | rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS => {
            COORDINATOR_LIMIT
        }
        _ => within,
    };
    let deadline = Instant::now() + within + GRACE;
    // SAFETY: queue, options and events are made here and destroyed here, each event after the last look at its
    // contents; the client outlives the block. Events that come after the time limit die with the queue.
    unsafe {
        let call = Call {
            native,
            options: rdsys::rd_kafka_AdminOptions_new(native, kind),
            queue: rdsys::rd_kafka_queue_new(native),
        };
        let mut text = [0 as c_char; 256];
        rdsys::rd_kafka_AdminOptions_set_request_timeout(
            call.options,
            millis(limit),
            text.as_mut_ptr(),
            text.len(),
        );
        start(&call);
        let mut answer = Ok(());
        for _call in 0..calls {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = rdsys::rd_kafka_queue_poll(call.queue, millis(left));
            if event.is_null() {
                answer = Err(asked.silence());
                break;
            }
            answer = match rdsys::rd_kafka_event_error(event) {
                rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => take(event),
                rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT => Err(asked.silence()),
                code => Err(Fault::code(
                    operation,
                    asked.alias,
                    RDKafkaErrorCode::from(code),
                    text_of(rdsys::rd_kafka_event_error_string(event)),
                )),
            };
            rdsys::rd_kafka_event_destroy(event);
            if answer.is_err() {
                break;
            }
        }
        rdsys::rd_kafka_AdminOptions_destroy(call.options);
        rdsys::rd_kafka_queue_destroy(call.queue);
        answer
    }
}

/// A C string's text; empty for none.
///
/// # Safety
/// `text` is null or a live C string.
pub(super) unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, so live, as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// A C string of a name or value.
///
/// # Errors
/// It holds a zero byte.
pub(super) fn c_string(text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|_nul| Fault::name(text))
}

/// An array that librdkafka lent us; empty for null.
///
/// # Safety
/// `first` is null or points to `count` live elements.
pub(super) unsafe fn lent<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(first, count) }
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
