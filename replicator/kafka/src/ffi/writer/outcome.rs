//! What became of what was handed over: reports, commits, and why something failed.

use std::ffi::{CStr, CString};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys as rdsys;
use understudy_domain::{Run, SourceOffset, TopicPartition};

use super::Writer;
use crate::fault::{Fault, Operation};
use crate::ffi::acks::{Acks, Book, POLL, STATE, is_purge, millis};
use crate::ffi::reader::Index;

/// Time limit for asking a producer why it gave a transaction up; it knows without asking a broker.
const ABORTED_WITHIN: Duration = Duration::from_secs(1);
/// How long a flush lasts until failures are looked at.
const FLUSH_SLICE: Duration = Duration::from_millis(200);
/// How long brokers are still waited for by one that is told to end.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(3);

impl Writer {
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

    pub(super) fn wait_for_reports(&self, at_most: Duration) {
        let book = self.acks.book();
        drop(self.acks.reported.wait_timeout(book, at_most));
    }

    /// Waits for reports until `enough`.
    pub(super) fn wait(
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

    pub(super) fn source_of(&self, index: Index) -> TopicPartition {
        match self.destinations.get(index.0 as usize) {
            Some(Some(destination)) => destination.source.clone(),
            _ => TopicPartition::new("", -1),
        }
    }

    /// A record that is not handed over for what it is.
    pub(super) fn refused(&self, index: Index, offset: i64, reason: &str) -> Fault {
        Fault::RecordRefused {
            partition: self.source_of(index),
            offset: SourceOffset::new(offset),
            exact: true,
            reason: reason.to_owned(),
        }
    }

    /// Turns the answer of a transactional call into a result.
    pub(super) fn judge(
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
    pub(super) fn fault(
        &self,
        operation: Operation,
        code: RDKafkaErrorCode,
        reason: &str,
    ) -> Fault {
        match self.client.fatal_error() {
            Some((fatal, why)) => Fault::code(operation, &self.transactional_id, fatal, why),
            None => Fault::code(operation, &self.transactional_id, code, reason),
        }
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
