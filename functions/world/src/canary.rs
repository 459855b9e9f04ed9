//! Records, written by hand.

use std::collections::{BTreeMap, BTreeSet};
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

/// What became of records: their offsets, or the codes with which they were refused.
pub type Delivered = BTreeMap<TopicPartition, Result<i64, Code>>;

/// Writes a record to each of these places, without transactions, and waits for what becomes of them.
///
/// # Errors
/// The client cannot be made, or nothing is heard in time.
pub fn write(
    endpoint: &Endpoint,
    config: &ClientConfig,
    mut places: BTreeSet<TopicPartition>,
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
    let mut told = Delivered::new();
    for place in &places {
        let record = BaseRecord::<[u8], [u8]>::to(&place.topic)
            .partition(place.partition)
            .payload(value);
        if let Err((error, _record)) = producer.send(record) {
            let Some(code) = error.rdkafka_error_code() else {
                return Err(Fault::kafka(Operation::Produce, &place.to_string(), error));
            };
            told.insert(place.clone(), Err(code));
        }
    }
    loop {
        told.append(&mut delivered.lock().unwrap_or_else(PoisonError::into_inner));
        places.retain(|place| !told.contains_key(place));
        let Some(silent) = places.first() else {
            return Ok(told);
        };
        if until.is_over() {
            return Err(Fault::TimedOut {
                operation: Operation::Produce,
                subject: silent.to_string(),
                within,
            });
        }
        producer.poll(until.left().min(PAUSE));
    }
}

/// Hears what becomes of records, and lets the cluster's watch hear the rest.
struct Hears {
    watch: Watch,
    /// Written where the client is polled, read behind that.
    delivered: Arc<Mutex<Delivered>>,
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
        let (place, heard) = match result {
            Ok(record) => (
                TopicPartition::new(record.topic(), record.partition()),
                Ok(record.offset()),
            ),
            Err((error, record)) => (
                TopicPartition::new(record.topic(), record.partition()),
                Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
            ),
        };
        let mut delivered = self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        delivered.insert(place, heard);
    }
}
