//! Whether a fenced writer is refused: tried, without leaving a record behind where it is not.
//!
//! Brokers ask for the permission first and look at what else a request asks for then. So this one asks for a number of
//! acknowledgements that no broker has taken since Kafka 0.9: it is refused for the permission where the fence holds, and
//! for that number where it does not.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::TopicPartition;
use understudy_kafka::Endpoint;
use understudy_shell::PortError;

use crate::canary;
use crate::trouble::{kind_of_code, of_fault};

/// Brokers take 0, 1 and -1 (`ReplicaManager.isValidRequiredAcks`).
const ACKS_OF_NOBODY: &str = "2";

/// Those of the topics that would take a write. Each is tried once, all of them by one client.
///
/// # Errors
/// The cluster does not answer, or refuses one for another reason.
pub fn open_to(
    writer: &Endpoint,
    topics: &BTreeSet<String>,
    within: Duration,
) -> Result<BTreeSet<String>, PortError> {
    let mut config = writer.plain_writer();
    config
        .set("acks", ACKS_OF_NOBODY)
        // Each topic is a request of its own; none waits for the answers to others.
        .set("max.in.flight.requests.per.connection", "1000")
        .set("allow.auto.create.topics", "false")
        .set("message.timeout.ms", within.as_millis().max(1).to_string());
    let places = topics.iter().map(|topic| TopicPartition::new(&**topic, 0));
    let told = canary::write(writer, &config, places.collect(), b"", within);
    let told = told.map_err(|fault| of_fault(writer, &fault))?;
    let mut open = BTreeSet::new();
    for (place, became) in told {
        match became {
            Ok(_) | Err(Code::InvalidRequiredAcks) => {
                open.insert(place.topic.to_string());
            }
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {}
            Err(code) => {
                let (alias, principal) = (&writer.alias, writer.principal());
                let text = format!(
                    "a write to {} on cluster {alias} as {principal} led to: {code}",
                    place.topic
                );
                return Err(PortError::new(kind_of_code(code), text));
            }
        }
    }
    Ok(open)
}
