//! What a client says about its connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::ffi::login::Logins;

/// For how long a complaint of the same kind is not logged again, however many clients and brokers it comes from: in a
/// rolling restart every client says it of every broker, and the calls between them are answered.
const LOGGED_AGAIN: Duration = Duration::from_secs(60);

/// The last complaint of any client of one cluster, and who it is about.
///
/// Clones share the complaint: every client of a cluster writes it (librdkafka's event callback, on whichever thread
/// polls), the page and the readiness answer read it. A mutex, because both are rare.
#[derive(Clone, Debug)]
pub struct Watch {
    alias: Arc<str>,
    complaint: Arc<Mutex<Option<Complaint>>>,
    /// Each kind that was logged of late, and when. Taken while `complaint` is held.
    logged: Arc<Mutex<Logged>>,
    /// By topic: the id under which this client, or a clone of it, fetches. Written by the client's log event, read by
    /// its reader, both on the thread that polls.
    topic_ids: Arc<Mutex<HashMap<String, String>>>,
    /// The first topic that this client, or a clone of it, was told a second id of.
    replaced: Arc<OnceLock<String>>,
    logins: Logins,
}

/// Kinds of complaints, and when each was logged.
type Logged = Vec<(Option<RDKafkaErrorCode>, Instant)>;

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
            logged: Arc::default(),
            topic_ids: Arc::default(),
            replaced: Arc::default(),
            logins: Logins::default(),
        }
    }

    /// The same watch over the cluster, for a client that is to know under which topic ids it fetches.
    #[must_use]
    pub fn of_reader(&self) -> Self {
        Self {
            topic_ids: Arc::default(),
            replaced: Arc::default(),
            ..self.clone()
        }
    }

    /// The id under which this client fetches a topic, as far as its log events were served.
    pub fn topic_id(&self, topic: &str) -> Option<String> {
        self.topic_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(topic)
            .cloned()
    }

    /// A topic that this client has known in two lives, as far as its log events were served. What it knows of the first,
    /// such as the highest leader epoch of each partition, keeps it from fetching the second, whose epochs begin anew.
    pub fn replaced(&self) -> Option<&str> {
        self.replaced.get().map(String::as_str)
    }

    /// librdkafka tells of a topic that was replaced by another one of its name only in its log, and then goes on
    /// fetching at the old offset; brokers serve by id (KIP-516), so until this line the records are the old topic's.
    fn note_topic_id(&self, message: &str) {
        let Some((topic, id)) = changed_id(message) else {
            return;
        };
        let former = self
            .topic_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic.to_owned(), id.to_owned());
        if former.is_some_and(|former| former != id) {
            self.replaced.get_or_init(|| topic.to_owned());
        }
    }

    /// Whether nothing of this kind was logged for [`LOGGED_AGAIN`]; if so, from now on something was.
    fn is_to_be_logged(&self, code: Option<RDKafkaErrorCode>) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|(_, at)| at.elapsed() < LOGGED_AGAIN);
        let is_due = logged.iter().all(|(known, _)| *known != code);
        if is_due {
            logged.push((code, Instant::now()));
        }
        is_due
    }

    /// The cluster's alias.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// What the clients log in with.
    pub fn logins(&self) -> &Logins {
        &self.logins
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
        self.note_topic_id(message);
        // Whatever else matters comes again as an error event or as the answer to a call.
        tracing::debug!(cluster = %self.alias, ?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let complaint = Complaint {
            code,
            reason: reason.to_owned(),
            advice: advice(code, reason, self.logins.principal().is_some()),
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
        if news && self.is_to_be_logged(code) {
            tracing::warn!(cluster = %self.alias, reason = %complaint.reason, advice = complaint.advice, "cluster complains");
        }
        *held = Some(complaint);
    }
}

impl ConsumerContext for Watch {}

/// Topic and new id out of "Topic orders changed id from … to …".
fn changed_id(message: &str) -> Option<(&str, &str)> {
    let (head, ids) = message.split_once(" changed id from ")?;
    let (_, topic) = head.rsplit_once("Topic ")?;
    let (_, id) = ids.split_once(" to ")?;
    Some((topic, id.trim_end()))
}

/// What an operator should look at; `token`: whether clients log in with one.
fn advice(code: Option<RDKafkaErrorCode>, reason: &str, token: bool) -> &'static str {
    use RDKafkaErrorCode as Code;
    // What a broker sends that refuses our certificate, as one of several alerts and under one of several codes.
    let alerts = ["certificate", "unknown ca"];
    if reason.contains("alert") && alerts.iter().any(|alert| reason.contains(alert)) {
        return "the broker refused the client certificate: check that ssl.certificate.location holds one that has not expired and is signed by an authority that the broker trusts";
    }
    match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed) if token => {
            "check that the token is meant for this cluster and has not expired; with MSK IAM, that the role is allowed kafka-cluster:Connect"
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            "check sasl.mechanism, sasl.username and sasl.password, and that the user exists on this cluster"
        }
        Some(Code::SSL) => {
            "check ssl.ca.location, and that the brokers' certificate has not ended and names the host in bootstrap.servers"
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines that nearly are what is looked for: its words in any order, with anything between them.
    fn line() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("Topic ".to_owned()),
            Just(" changed id from ".to_owned()),
            Just(" to ".to_owned()),
            "[a-zA-Z0-9._-]{0,12}",
            any::<String>(),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_line_tells_of_a_changed_id_or_does_not(line in prop_oneof![any::<String>(), line()]) {
            if let Some((topic, id)) = changed_id(&line) {
                prop_assert!(line.contains(topic) && line.contains(id));
            }
            Watch::new("use1").of_reader().note_topic_id(&line);
        }

        #[test]
        fn a_changed_id_is_read_whatever_the_topic_is_called(topic in "[a-zA-Z0-9._-]{1,60}", id in "[a-zA-Z0-9_-]{22}") {
            let line = format!("[thrd:main]: Topic {topic} changed id from AAAAAAAAAAAAAAAAAAAAAA to {id}");
            prop_assert_eq!(changed_id(&line), Some((topic.as_str(), id.as_str())));
        }
    }

    #[test]
    fn a_complaint_of_one_kind_is_logged_once_however_often_the_cluster_answers_between() {
        let watch = Watch::new("use1");
        let away = Some(RDKafkaErrorCode::BrokerTransportFailure);
        assert!(watch.is_to_be_logged(away));
        watch.settled();
        assert!(!watch.clone().is_to_be_logged(away));
        assert!(watch.is_to_be_logged(Some(RDKafkaErrorCode::Authentication)));
    }

    #[test]
    fn a_changed_id_is_read_from_the_log() {
        let watch = Watch::new("use1").of_reader();
        let line = "[thrd:main]: Topic orders changed id from AAAAAAAAAAAAAAAAAAAAAA to Ct1PbEKbR0OzYXKbVHpbgw";
        watch.note_topic_id(line);
        assert_eq!(
            watch.topic_id("orders").as_deref(),
            Some("Ct1PbEKbR0OzYXKbVHpbgw")
        );
        assert_eq!(watch.replaced(), None);
        watch.note_topic_id(line);
        assert_eq!(watch.replaced(), None, "told twice");
        let again = "[thrd:main]: Topic orders changed id from Ct1PbEKbR0OzYXKbVHpbgw to 9rsKYBKRQR2mZMTZw1WLXg";
        watch.note_topic_id(again);
        assert_eq!(watch.replaced(), Some("orders"));
        assert_eq!(watch.of_reader().replaced(), None, "another client");
        watch.note_topic_id("Topic orders changed id from");
        assert_eq!(watch.topic_id("from"), None);
    }
}
