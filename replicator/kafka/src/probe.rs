//! One look at one address: whether something listens, whether it is a broker that lets us in, and what it can do.

use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use understudy_domain::{ApiVersions, not_after};

use crate::endpoint::Endpoint;
use crate::ffi::certificates::server_certificates;
use crate::watch::{Complaint, Watch};

/// How long one wait for an answer lasts, between two looks at what the client complains about.
const PAUSE: Duration = Duration::from_millis(50);
/// How many events of the client are served at a time; each line of an API is one.
const EVENTS: usize = 400;

/// How far a look at an address came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The host name has no address.
    Unresolved(String),
    /// Nothing accepts a connection there.
    Unreachable(String),
    /// Something listens, but no broker that lets us in answers.
    Refused {
        /// What the client complains about.
        reason: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// Something listens, and says nothing.
    Silent,
    /// A broker answered.
    Answered,
}

/// What a look at an address found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The address, as `host:port`.
    pub address: String,
    /// How far it came.
    pub reached: Reached,
    /// Until a connection was accepted.
    pub connected_in: Option<Duration>,
    /// Until a broker had let us in and answered.
    pub answered_in: Option<Duration>,
    /// What it offers, where it told.
    pub apis: ApiVersions,
    /// Every broker that it says the cluster has, as `host:port`.
    pub advertised: Vec<String>,
    /// When the first certificate of its chain ends, in seconds since 1970, where it showed one.
    pub certificate_ends: Option<i64>,
}

/// Looks at `address` with the properties of `endpoint`, for at most about `within`.
pub fn probe(endpoint: &Endpoint, address: &str, within: Duration) -> Probe {
    let mut found = Probe {
        address: address.to_owned(),
        reached: Reached::Silent,
        connected_in: None,
        answered_in: None,
        apis: ApiVersions::default(),
        advertised: Vec::new(),
        certificate_ends: None,
    };
    let deadline = Instant::now() + within;
    match connect(address, within) {
        Ok(took) => found.connected_in = Some(took),
        Err(reached) => {
            found.reached = reached;
            return found;
        }
    }
    if endpoint.uses_tls() {
        let config = endpoint.probe(address);
        let left = deadline.saturating_duration_since(Instant::now());
        let chain = server_certificates(&config, left.min(within / 2)).unwrap_or_default();
        found.certificate_ends = chain.iter().filter_map(|der| not_after(der).ok()).min();
    }
    let seen = Seen {
        watch: Watch::new(&endpoint.alias),
        apis: Arc::default(),
    };
    let (watch, apis) = (seen.watch.clone(), seen.apis.clone());
    let mut config = endpoint.probe(address);
    config
        .set("debug", "feature")
        .set_log_level(RDKafkaLogLevel::Debug);
    let client: BaseConsumer<Seen> = match config.create_with_context(seen) {
        Ok(client) => client,
        Err(error) => {
            found.reached = Reached::Refused {
                reason: error.to_string(),
                advice: "check this cluster's properties",
            };
            return found;
        }
    };
    let _enlisted = endpoint.watch.logins().enlist(client.client());
    let asked = Instant::now();
    while Instant::now() < deadline {
        let answered = client.client().fetch_cluster_id(PAUSE).is_some();
        serve(&client);
        if answered {
            found.reached = Reached::Answered;
            found.answered_in = Some(asked.elapsed());
            // Asked here, where only this broker can answer: another one may be advertised and silent.
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(metadata) = client.fetch_metadata(None, left.max(PAUSE)) {
                let brokers = metadata.brokers().iter();
                found.advertised = brokers
                    .map(|broker| format!("{}:{}", broker.host(), broker.port()))
                    .collect();
            }
            break;
        }
        // With one address, that all brokers are down is the same as silence: something does listen there.
        let complaint = watch
            .complaint()
            .filter(|complaint| complaint.code != Some(RDKafkaErrorCode::AllBrokersDown));
        if let Some(complaint) = complaint {
            let last = is_last_word(&complaint);
            found.reached = Reached::Refused {
                reason: complaint.reason,
                advice: complaint.advice,
            };
            if last {
                break;
            }
        }
    }
    found.apis = apis.lock().unwrap_or_else(PoisonError::into_inner).clone();
    found
}

/// Serves what the client has to say; each event reaches [`Seen`].
fn serve(client: &BaseConsumer<Seen>) {
    for _ in 0..EVENTS {
        if let Some(Err(error)) = client.poll(Duration::ZERO) {
            tracing::trace!(%error, "probe event");
        }
    }
}

/// Whether waiting longer will not change it.
fn is_last_word(complaint: &Complaint) -> bool {
    matches!(
        complaint.code,
        Some(
            RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL
        )
    )
}

/// Connects to any of the addresses that the name stands for; how long that took.
fn connect(address: &str, within: Duration) -> Result<Duration, Reached> {
    let asked = Instant::now();
    let addresses: BTreeSet<_> = address
        .to_socket_addrs()
        .map_err(|error| Reached::Unresolved(error.to_string()))?
        .collect();
    let mut last = Reached::Unresolved("the name has no address".to_owned());
    for resolved in addresses {
        let left = within.saturating_sub(asked.elapsed()).max(PAUSE);
        let started = Instant::now();
        match TcpStream::connect_timeout(&resolved, left) {
            Ok(_connected) => return Ok(started.elapsed()),
            Err(error) => last = Reached::Unreachable(format!("{error} ({resolved})")),
        }
    }
    Err(last)
}

/// Keeps what a client complains about, and the API versions that its broker tells.
struct Seen {
    watch: Watch,
    /// Written where the client is polled, read behind that.
    apis: Arc<Mutex<ApiVersions>>,
}

impl ClientContext for Seen {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = <Watch as ClientContext>::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match api_version(message) {
            Some((api, from, to)) => self
                .apis
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(api, from, to),
            None => self.watch.log(level, facility, message),
        }
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

impl ConsumerContext for Seen {}

/// Reads `… ApiKey Produce (0) Versions 0..13`, a line of librdkafka's `feature` log; the library keeps API versions
/// to itself otherwise.
fn api_version(line: &str) -> Option<(i16, i16, i16)> {
    let (_, rest) = line.split_once("ApiKey ")?;
    let (name, versions) = rest.split_once(" Versions ")?;
    let api = name.rsplit_once('(')?.1.strip_suffix(')')?;
    let (from, to) = versions.trim().split_once("..")?;
    Some((api.parse().ok()?, from.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines that nearly are what is looked for: its words in any order, with anything between them.
    fn line() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("ApiKey ".to_owned()),
            Just(" Versions ".to_owned()),
            Just("..".to_owned()),
            "[()]{0,2}",
            "-?[0-9]{0,7}",
            any::<String>(),
        ];
        proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_line_tells_of_an_api_or_does_not(line in prop_oneof![any::<String>(), line()]) {
            if let Some((api, from, to)) = api_version(&line) {
                for number in [api, from, to] {
                    prop_assert!(line.contains(number.unsigned_abs().to_string().as_str()));
                }
            }
        }

        #[test]
        fn an_api_is_read_whatever_it_is_called(api: i16, from: i16, to: i16, name in "[a-zA-Z?\\[\\]-]{1,30}") {
            let line = format!("[thrd:main]: localhost:9092/1:   ApiKey {name} ({api}) Versions {from}..{to}");
            prop_assert_eq!(api_version(&line), Some((api, from, to)));
        }
    }

    #[test]
    fn api_versions_are_read_and_other_lines_are_not() {
        let prefix = "[thrd:main]: localhost:9092/1: ";
        for (line, expected) in [
            ("  ApiKey Produce (0) Versions 0..13", Some((0, 0, 13))),
            (
                "  ApiKey [unknown-92?] (92) Versions 0..0",
                Some((92, 0, 0)),
            ),
            (" Feature MsgVer2: Produce (3..3) supported by broker", None),
            ("Broker API support:", None),
            ("ApiKey Produce (x) Versions 0..13", None),
            ("", None),
        ] {
            assert_eq!(api_version(&format!("{prefix}{line}")), expected, "{line}");
        }
    }
}
