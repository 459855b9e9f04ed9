//! What a client says about its connections.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The last complaint of any client of one cluster, and who it is about.
///
/// Clones share the complaint: every client of a cluster writes it (librdkafka's event callback, on whichever thread
/// polls), the page and the readiness answer read it. A mutex, because both are rare.
#[derive(Clone, Debug)]
pub struct Watch {
    alias: Arc<str>,
    complaint: Arc<Mutex<Option<Complaint>>>,
}

/// Why a cluster is not answering as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The error's kind.
    pub code: Option<RDKafkaErrorCode>,
    /// The library's words; never holds a secret.
    pub reason: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Watch {
    /// A watch over the cluster `alias`.
    pub fn new(alias: &str) -> Self {
        Self {
            alias: alias.into(),
            complaint: Arc::default(),
        }
    }

    /// The cluster's alias.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The last complaint since [`Watch::settled`].
    pub fn complaint(&self) -> Option<Complaint> {
        self.complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The cluster answered: earlier complaints no longer hold.
    pub fn settled(&self) {
        *self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Whatever matters comes again as an error event or as the answer to a call.
        tracing::debug!(cluster = %self.alias, ?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let complaint = Complaint {
            code,
            reason: reason.to_owned(),
            advice: advice(code, reason),
        };
        let mut held = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" says less than what took them down.
        if code == Some(RDKafkaErrorCode::AllBrokersDown) && held.is_some() {
            return;
        }
        let news = held
            .as_ref()
            .is_none_or(|known| known.code != complaint.code);
        if news {
            tracing::warn!(cluster = %self.alias, reason = %complaint.reason, advice = complaint.advice, "cluster complains");
        }
        *held = Some(complaint);
    }
}

impl ConsumerContext for Watch {}

/// What an operator should look at.
fn advice(code: Option<RDKafkaErrorCode>, reason: &str) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            "check sasl.mechanism, sasl.username and sasl.password, and that the user exists on this cluster"
        }
        Some(Code::SSL) => {
            "check ssl.ca.location and that the certificate names the host in bootstrap.servers"
        }
        Some(Code::Resolve) => "check the host names in bootstrap.servers",
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown) => {
            if reason.contains("SSL") || reason.contains("ApiVersion") {
                "check security.protocol: the listener may speak another one"
            } else {
                "check that the brokers run, and the way to bootstrap.servers (names, routes, security groups)"
            }
        }
        _ => "see the reason",
    }
}
