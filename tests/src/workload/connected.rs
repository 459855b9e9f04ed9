//! The producer under a workload, and what the brokers refused it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::LIMIT;
use crate::error::{LabError, Result};
use crate::serve::sleep_and_serve;

pub(super) type Connected = BaseProducer<Deliveries>;

/// Counts what the brokers refused.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Written by the producer's callbacks, read at the end.
    pub(super) failed: AtomicU64,
}

impl rdkafka::ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // Records purged by an abort were never promised.
        let purged = |error: &KafkaError| {
            matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
            )
        };
        if result.as_ref().is_err_and(|(error, _)| !purged(error)) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The crate's own flush takes 100 ms whenever something is in flight; this one looks again at once.
pub(super) fn flush(producer: &Connected) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while producer.in_flight_count() > 0 {
        sleep_and_serve(producer, Duration::from_millis(1));
        if Instant::now() >= deadline {
            let hint = format!("; {} are in flight", producer.in_flight_count());
            return Err(LabError::TooLate {
                what: "records to be acknowledged".to_owned(),
                waited: LIMIT,
                hint,
            });
        }
    }
    Ok(())
}
