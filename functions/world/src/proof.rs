//! Whether a fenced writer is refused: tried, without leaving a record behind where it is not.
//!
//! Brokers ask for the permission first and look at the record then. So the record is one that is larger than the topic
//! takes: it is refused for the permission where the fence holds, and for its size where it does not.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::TopicPartition;
use understudy_kafka::Endpoint;
use understudy_shell::world::WriteProof;
use understudy_shell::{PortError, PortErrorKind};

use crate::canary;
use crate::trouble::{kind_of_code, of_fault};

/// The largest record that is made for this, in bytes.
const LARGEST: usize = 32 << 20;
/// What a record and its batch need beside the value, at most, in bytes.
const BESIDE: usize = 1 << 20;

/// Tries it. `limit` is the topic's `max.message.bytes`.
///
/// # Errors
/// The cluster does not answer, refuses for another reason, or takes records of any size.
pub fn try_write(
    writer: &Endpoint,
    topic: &str,
    limit: Option<&str>,
    within: Duration,
) -> Result<WriteProof, PortError> {
    let alias = &writer.alias;
    let limit = limit.and_then(|limit| limit.parse::<usize>().ok());
    let Some(limit) = limit.filter(|limit| *limit <= LARGEST) else {
        let text = format!(
            "no write to {topic} on cluster {alias} was tried: its max.message.bytes is not told or larger than {LARGEST}, so \
             one that is not refused would leave a record"
        );
        return Err(PortError::new(PortErrorKind::Refused, text));
    };
    let mut config = writer.plain_writer();
    config
        .set("compression.type", "none")
        .set("message.max.bytes", (limit + 2 * BESIDE).to_string())
        .set("message.timeout.ms", within.as_millis().max(1).to_string());
    let place = TopicPartition::new(topic, 0);
    let value = vec![0; limit + 1];
    let answer = canary::write(writer, &config, &place, &value, within);
    match answer.map_err(|fault| of_fault(writer, &fault))? {
        Ok(_) | Err(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Ok(WriteProof::Taken),
        Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            Ok(WriteProof::Refused)
        }
        Err(code) => {
            let text = format!(
                "a write to {topic} on cluster {alias} as {} led to: {code}",
                writer.principal()
            );
            Err(PortError::new(kind_of_code(code), text))
        }
    }
}
