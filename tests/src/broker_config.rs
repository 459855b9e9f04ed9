//! A broker's properties: combined broker and controller, static quorum, MSK's authorizer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::certs::Certificates;
use crate::listener::Listener;
use crate::login::{PLAIN_PASSWORD, PLAIN_USER};

/// Where one broker listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) plaintext: SocketAddr,
    pub(crate) sasl_ssl: SocketAddr,
    pub(crate) controller: SocketAddr,
    /// Where the link connects to.
    pub(crate) link: SocketAddr,
    /// Where clients of the other Region connect to: the link's own port.
    pub(crate) link_advertised: SocketAddr,
    /// TLS without and with client certificates, on clusters built for every way to log in.
    pub(crate) tls: Option<(SocketAddr, SocketAddr)>,
}

impl Addresses {
    pub(crate) fn of(&self, listener: Listener) -> SocketAddr {
        match listener {
            Listener::Plaintext => self.plaintext,
            Listener::Link => self.link_advertised,
            Listener::SaslSsl => self.sasl_ssl,
        }
    }
}

/// What a broker's properties depend on.
pub(crate) struct BrokerConfig<'a> {
    pub(crate) node: usize,
    pub(crate) all: &'a [Addresses],
    pub(crate) own: Addresses,
    pub(crate) log_dir: &'a Path,
    pub(crate) certificates: &'a Certificates,
    pub(crate) allow_everyone_if_no_acl: bool,
    pub(crate) overrides: &'a BTreeMap<String, String>,
}

impl BrokerConfig<'_> {
    /// The text of `server.properties`.
    pub(crate) fn render(&self) -> String {
        let mut properties: BTreeMap<String, String> = self
            .fixed()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        properties.extend(self.overrides.clone());
        properties
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect()
    }

    fn fixed(&self) -> Vec<(&'static str, String)> {
        let Addresses {
            plaintext,
            sasl_ssl,
            controller,
            link,
            link_advertised,
            tls,
        } = self.own;
        let voters: Vec<String> = self
            .all
            .iter()
            .enumerate()
            .map(|(index, other)| format!("{}@{}", index + 1, other.controller))
            .collect();
        let (copies, in_sync) = if self.all.len() >= 3 {
            ("3", "2")
        } else {
            ("1", "1")
        };
        // A killed broker is let in again only when its old session has ended.
        let session_ms = if self.all.len() >= 3 { "6000" } else { "3000" };
        let more = tls.map_or_else(String::new, |(ssl, mtls)| {
            format!(",SSL://{ssl},MTLS://{mtls}")
        });
        let mut properties = vec![
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", self.node.to_string()),
            ("controller.quorum.voters", voters.join(",")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
            (
                "listeners",
                format!(
                    "PLAINTEXT://{plaintext},SASL_SSL://{sasl_ssl},LINK://{link},CONTROLLER://{controller}{more}"
                ),
            ),
            (
                "advertised.listeners",
                format!(
                    "PLAINTEXT://{plaintext},SASL_SSL://{sasl_ssl},LINK://{link_advertised}{more}"
                ),
            ),
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,MTLS:SSL"
                    .to_owned(),
            ),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
            (
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
            ),
            ("listener.name.sasl_ssl.ssl.keystore.type", "PEM".to_owned()),
            (
                "listener.name.sasl_ssl.ssl.keystore.location",
                self.certificates.broker.display().to_string(),
            ),
            (
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
            ),
            ("super.users", "User:ANONYMOUS;User:admin".to_owned()),
            (
                "allow.everyone.if.no.acl.found",
                self.allow_everyone_if_no_acl.to_string(),
            ),
            ("log.dirs", self.log_dir.display().to_string()),
            // Records of a test may be of any time; retention would delete old ones some half a minute after a start.
            ("log.retention.ms", "-1".to_owned()),
            ("auto.create.topics.enable", "false".to_owned()),
            ("default.replication.factor", copies.to_owned()),
            ("min.insync.replicas", in_sync.to_owned()),
            ("offsets.topic.replication.factor", copies.to_owned()),
            (
                "transaction.state.log.replication.factor",
                copies.to_owned(),
            ),
            ("transaction.state.log.min.isr", in_sync.to_owned()),
            (
                "share.coordinator.state.topic.replication.factor",
                copies.to_owned(),
            ),
            ("share.coordinator.state.topic.min.isr", in_sync.to_owned()),
            // Few, so that start-up stays quick.
            ("offsets.topic.num.partitions", "10".to_owned()),
            ("transaction.state.log.num.partitions", "10".to_owned()),
            (
                "share.coordinator.state.topic.num.partitions",
                "2".to_owned(),
            ),
            ("broker.session.timeout.ms", session_ms.to_owned()),
            ("broker.heartbeat.interval.ms", "500".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
            // Who slept too long should not wait ten seconds more until brokers look.
            (
                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                "1000".to_owned(),
            ),
            // The cleaner's buffer is taken at start; a lab's compacted topics are small.
            ("log.cleaner.dedupe.buffer.size", (16 << 20).to_string()),
        ];
        if tls.is_some() {
            properties.extend(self.every_login());
        }
        properties
    }

    /// What the further ways to log in need. Later properties win.
    fn every_login(&self) -> Vec<(&'static str, String)> {
        const MODULES: &str = "org.apache.kafka.common.security";
        let broker = self.certificates.broker.display().to_string();
        vec![
            (
                "sasl.enabled.mechanisms",
                "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER".to_owned(),
            ),
            (
                "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config",
                format!("{MODULES}.scram.ScramLoginModule required;"),
            ),
            (
                "listener.name.sasl_ssl.plain.sasl.jaas.config",
                format!(
                    "{MODULES}.plain.PlainLoginModule required user_{PLAIN_USER}=\"{PLAIN_PASSWORD}\";"
                ),
            ),
            (
                "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config",
                format!("{MODULES}.oauthbearer.OAuthBearerLoginModule required;"),
            ),
            ("listener.name.ssl.ssl.keystore.type", "PEM".to_owned()),
            ("listener.name.ssl.ssl.keystore.location", broker.clone()),
            ("listener.name.mtls.ssl.keystore.type", "PEM".to_owned()),
            ("listener.name.mtls.ssl.keystore.location", broker),
            ("listener.name.mtls.ssl.truststore.type", "PEM".to_owned()),
            (
                "listener.name.mtls.ssl.truststore.location",
                self.certificates.ca.display().to_string(),
            ),
            ("listener.name.mtls.ssl.client.auth", "required".to_owned()),
        ]
    }
}
