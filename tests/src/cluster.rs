//! A real Kafka cluster on this machine, with a link to it from the other Region.
//!
//! One or three brokers in combined KRaft mode, plain and SASL_SSL listeners, MSK's authorizer.
//! Everything stops when the cluster is dropped, or soon after this process has ended in any way.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::broker::Broker;
use crate::certs::Certificates;
use crate::cluster_builder::ClusterBuilder;
use crate::error::{Doing, LabError, Result, tail};
use crate::jars::Kafka;
use crate::link::Link;
use crate::listener::{ADMIN, ADMIN_PASSWORD, ClientProperties, Listener, client_config};
use crate::scratch::Scratch;
use crate::wait::wait_for;

/// A cluster on a busy machine may take long to come up.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) alias: String,
    pub(crate) cluster_id: String,
    pub(crate) kafka: Kafka,
    pub(crate) certificates: Certificates,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) link: Link,
    pub(crate) dir: PathBuf,
    /// Removes the folder, if it is ours to remove; dropped after the brokers were ended.
    pub(crate) _scratch: Option<Scratch>,
}

impl Cluster {
    /// A cluster to be, known by its alias.
    pub fn builder(alias: impl Into<String>) -> ClusterBuilder {
        ClusterBuilder::new(alias.into())
    }

    /// The alias, such as `use1`.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Kafka's id of the cluster.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The version it runs, with its command line tools.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// The folder with properties, logs and data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The certificate authority's PEM file, for clients of [`Listener::SaslSsl`].
    pub fn ca(&self) -> &Path {
        &self.certificates.ca
    }

    /// The way from the other Region to this cluster.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Every broker, in the order of the node ids.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// The broker with this node id; ids begin at 1.
    pub fn broker(&self, node: usize) -> Result<&Broker> {
        let missing = || LabError::NoSuchBroker {
            cluster: self.alias.clone(),
            node,
            brokers: self.brokers.len(),
        };
        self.brokers
            .iter()
            .find(|broker| broker.node() == node)
            .ok_or_else(missing)
    }

    /// Bootstrap servers beside the cluster, plain text.
    pub fn bootstrap(&self) -> String {
        self.bootstrap_of(Listener::Plaintext)
    }

    /// Bootstrap servers through the link, plain text.
    pub fn bootstrap_link(&self) -> String {
        self.bootstrap_of(Listener::Link)
    }

    /// Bootstrap servers beside the cluster, SASL_SSL.
    pub fn bootstrap_sasl(&self) -> String {
        self.bootstrap_of(Listener::SaslSsl)
    }

    /// Bootstrap servers of a listener.
    pub fn bootstrap_of(&self, listener: Listener) -> String {
        let addresses: Vec<String> = self
            .brokers
            .iter()
            .map(|broker| broker.address(listener).to_string())
            .collect();
        addresses.join(",")
    }

    /// librdkafka properties for a listener; as the administrator on SASL_SSL.
    pub fn client_properties(&self, listener: Listener) -> ClientProperties {
        match listener {
            Listener::Plaintext | Listener::Link => {
                vec![("bootstrap.servers".to_owned(), self.bootstrap_of(listener))]
            }
            Listener::SaslSsl => self.client_properties_of(ADMIN, ADMIN_PASSWORD),
        }
    }

    /// librdkafka properties for a user on SASL_SSL.
    pub fn client_properties_of(&self, user: &str, password: &str) -> ClientProperties {
        [
            ("bootstrap.servers", self.bootstrap_sasl().as_str()),
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", user),
            ("sasl.password", password),
            (
                "ssl.ca.location",
                &self.certificates.ca.display().to_string(),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// A client config for the plain listener, quick to reconnect.
    pub fn client(&self) -> ClientConfig {
        let mut config = client_config(&self.client_properties(Listener::Plaintext));
        config
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "500")
            .set("log_level", "3");
        config
    }

    /// User and system time of all brokers over all their starts.
    pub fn cpu_seconds(&self) -> f64 {
        self.brokers.iter().map(Broker::cpu_seconds).sum()
    }

    /// Waits until every running broker is in the cluster's metadata and answers.
    pub fn wait_ready(&self) -> Result<()> {
        let wanted = self
            .brokers
            .iter()
            .filter(|broker| broker.is_running())
            .count();
        let client: BaseConsumer = self.client().create().doing("create a client")?;
        let what = format!("{wanted} brokers of {} to serve", self.alias);
        let mut ended = None;
        let ready = wait_for(&what, READY_LIMIT, || {
            if let Some(error) = self
                .brokers
                .iter()
                .find_map(|broker| broker.expect_running().err())
            {
                ended = Some(error);
                return Ok(());
            }
            let mut running = self.brokers.iter().filter(|broker| broker.is_running());
            let silent = running.find(|broker| {
                Listener::ALL
                    .iter()
                    .any(|listener| TcpStream::connect(broker.address(*listener)).is_err())
            });
            if let Some(broker) = silent {
                return Err(format!("{} does not listen", broker.name()));
            }
            let metadata = client
                .fetch_metadata(None, Duration::from_secs(2))
                .map_err(|error| error.to_string())?;
            let seen = metadata.brokers().len();
            if seen == wanted {
                Ok(())
            } else {
                Err(format!("{seen} brokers in the metadata"))
            }
        });
        match (ended, ready) {
            (Some(error), _) => Err(error),
            (None, Err(LabError::TooLate { what, waited, hint })) => {
                let logs: Vec<String> = self
                    .brokers
                    .iter()
                    .map(|broker| tail(&broker.log(), 10))
                    .collect();
                Err(LabError::TooLate {
                    what,
                    waited,
                    hint: format!("{hint}\n{}", logs.join("\n")),
                })
            }
            (None, other) => other,
        }
    }

    pub(crate) fn start_all(&self) -> Result<()> {
        for broker in &self.brokers {
            broker.start()?;
        }
        self.wait_ready()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for broker in &self.brokers {
            // Not running is as good; anything else the watcher does.
            let _ = broker.end();
        }
    }
}
