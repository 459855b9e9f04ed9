//! One record, written by hand.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use understudy_domain::TopicPartition;
use understudy_kafka::watch::Watch;
use understudy_kafka::{Endpoint, Fault, Operation};

use crate::clock::Until;

/// How long one wait for an answer lasts.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a record: its offset, or the code with which it was refused.
type Delivered = Result<i64, Code>;

/// Writes one record without transactions and waits for what becomes of it.
///
/// # Errors
/// The client cannot be made, or nothing is heard in time.
pub fn write(
    endpoint: &Endpoint,
    config: &ClientConfig,
    place: &TopicPartition,
    value: &[u8],
    within: Duration,
) -> Result<Delivered, Fault> {
    let until = Until::within(within);
    let hears = Hears {
        watch: endpoint.watch.clone(),
        delivered: Arc::default(),
    };
    let delivered = hears.delivered.clone();
    let open = |error| Fault::kafka(Operation::OpenClient, &endpoint.alias, error);
    let producer: BaseProducer<Hears> = config.create_with_context(hears).map_err(open)?;
    let _enlisted = endpoint.watch.logins().enlist(producer.client());
    let record = BaseRecord::<[u8], [u8]>::to(&place.topic)
        .partition(place.partition)
        .payload(value);
    if let Err((error, _record)) = producer.send(record) {
        return match error.rdkafka_error_code() {
            Some(code) => Ok(Err(code)),
            None => Err(Fault::kafka(Operation::Produce, &place.to_string(), error)),
        };
    }
    while !until.is_over() {
        producer.poll(until.left().min(PAUSE));
        let heard = *delivered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = heard {
            return Ok(heard);
        }
    }
    Err(Fault::TimedOut {
        operation: Operation::Produce,
        subject: place.to_string(),
        within,
    })
}

/// Hears what becomes of the record, and lets the cluster's watch hear the rest.
struct Hears {
    watch: Watch,
    /// Written where the client is polled, read behind that.
    delivered: Arc<Mutex<Option<Delivered>>>,
}

impl ClientContext for Hears {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = <Watch as ClientContext>::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        oauthbearer_config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.watch.generate_oauth_token(oauthbearer_config)
    }
}

impl ProducerContext for Hears {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let heard = match result {
            Ok(record) => Ok(record.offset()),
            Err((error, _record)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        *self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(heard);
    }
}
