//! A real Kafka cluster on this machine, with a link to it from the other Region.
//!
//! One or three brokers in combined KRaft mode, plain and SASL_SSL listeners, MSK's authorizer.
//! Everything stops when the cluster is dropped, or when this process ends in any way.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use crate::archive::ensure_class_archive;
use crate::broker::Broker;
use crate::broker_config::{Addresses, BrokerConfig};
use crate::certs::Certificates;
use crate::error::{Doing, LabError, Result, tail};
use crate::format::{User, format_log_dir, random_id};
use crate::jars::{DEFAULT_VERSION, Kafka, cache_dir};
use crate::java::server_options;
use crate::link::Link;
use crate::listener::{ADMIN, ADMIN_PASSWORD, ClientProperties, Listener, client_config};
use crate::ports::Port;
use crate::wait::wait_for;

/// A cluster on a busy machine may take long to come up.
const READY_LIMIT: Duration = Duration::from_secs(120);
const ATTEMPTS: usize = 3;

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    alias: String,
    brokers: usize,
    version: String,
    dir: Option<PathBuf>,
    allow_everyone_if_no_acl: bool,
    users: Vec<User>,
    properties: BTreeMap<String, String>,
    jvm: Option<Vec<String>>,
    quick_jit: bool,
    share_classes: bool,
}

impl ClusterBuilder {
    /// How many brokers: 1 (the default) or 3; with 3, topics have three replicas, two in sync.
    #[must_use]
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }

    /// Kafka's version; [`DEFAULT_VERSION`] by default.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Where data and logs go. It is kept; without it, a temporary folder is used and removed.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// `allow.everyone.if.no.acl.found`; true by default, as on MSK.
    #[must_use]
    pub fn allow_everyone_if_no_acl(mut self, allow: bool) -> Self {
        self.allow_everyone_if_no_acl = allow;
        self
    }

    /// A SCRAM user that is there from the start, at no cost once the cache knows it.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }

    /// Sets a broker property, over the lab's own.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// JVM options in place of the lab's heap sizes.
    #[must_use]
    pub fn jvm(mut self, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.jvm = Some(options.into_iter().map(Into::into).collect());
        self
    }

    /// Whether brokers compile quickly rather than well. True by default; a benchmark wants false.
    #[must_use]
    pub fn quick_jit(mut self, quick: bool) -> Self {
        self.quick_jit = quick;
        self
    }

    pub(crate) fn share_classes(mut self, share: bool) -> Self {
        self.share_classes = share;
        self
    }

    /// Starts the cluster and waits until every broker serves.
    pub fn start(self) -> Result<Cluster> {
        if !matches!(self.brokers, 1 | 3) {
            return Err(LabError::Usage(format!(
                "a cluster has 1 or 3 brokers, not {}",
                self.brokers
            )));
        }
        let kafka = Kafka::fetch(&self.version)?;
        if self.share_classes {
            ensure_class_archive(&kafka)?;
        }
        let mut attempt = 1;
        loop {
            let cluster = self.build(&kafka)?;
            match cluster.start_all() {
                Ok(()) => return Ok(cluster),
                Err(LabError::Exited { tail, .. }) if attempt < ATTEMPTS && lost_a_port(&tail) => {
                    attempt += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn build(&self, kafka: &Kafka) -> Result<Cluster> {
        let (dir, temporary) = self.place()?;
        let certificates = Certificates::create(&dir, &self.alias)?;
        let link = Link::new();
        let cluster_id = random_id();
        let mut ports: Vec<Vec<Port>> = Vec::new();
        let mut addresses: Vec<Addresses> = Vec::new();
        for _ in 0..self.brokers {
            let mut own = Vec::new();
            let mut next = || -> Result<SocketAddr> {
                own.push(Port::reserve()?);
                Ok(SocketAddr::from((
                    Ipv4Addr::LOCALHOST,
                    own.last().map_or(0, Port::number),
                )))
            };
            let (plaintext, sasl_ssl, controller, link_to) = (next()?, next()?, next()?, next()?);
            let link_advertised = link.route(link_to)?;
            addresses.push(Addresses {
                plaintext,
                sasl_ssl,
                controller,
                link: link_to,
                link_advertised,
            });
            ports.push(own);
        }
        let mut brokers = Vec::new();
        for (index, (own, ports)) in addresses.iter().zip(ports).enumerate() {
            let node = index + 1;
            let broker_dir = dir.join(format!("broker-{node}"));
            let log_dir = broker_dir.join("data");
            if log_dir.exists() {
                fs::remove_dir_all(&log_dir).doing(format!("remove {}", log_dir.display()))?;
            }
            format_log_dir(kafka, &self.users, &log_dir, &cluster_id, node)?;
            let config = BrokerConfig {
                node,
                all: &addresses,
                own: *own,
                log_dir: &log_dir,
                certificates: &certificates,
                allow_everyone_if_no_acl: self.allow_everyone_if_no_acl,
                overrides: &self.properties,
            };
            let properties = broker_dir.join("server.properties");
            fs::write(&properties, config.render())
                .doing(format!("write {}", properties.display()))?;
            let mut arguments = server_options(kafka, &self.jvm_options())?;
            arguments.extend(["kafka.Kafka".to_owned(), properties.display().to_string()]);
            brokers.push(Broker {
                name: format!("broker {node} of {}", self.alias),
                node,
                addresses: *own,
                dir: broker_dir,
                arguments,
                running: Default::default(),
                _ports: ports,
            });
        }
        let alias = self.alias.clone();
        Ok(Cluster {
            alias,
            cluster_id,
            kafka: kafka.clone(),
            certificates,
            brokers,
            link,
            dir,
            temporary,
        })
    }

    fn place(&self) -> Result<(PathBuf, Option<TempDir>)> {
        if let Some(dir) = &self.dir {
            fs::create_dir_all(dir).doing(format!("create {}", dir.display()))?;
            return Ok((
                dir.canonicalize()
                    .doing(format!("find {}", dir.display()))?,
                None,
            ));
        }
        let root = cache_dir()?.join("labs");
        fs::create_dir_all(&root).doing(format!("create {}", root.display()))?;
        let prefix = format!("{}-", self.alias);
        let temporary = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&root)
            .doing("create a temporary folder")?;
        Ok((temporary.path().to_owned(), Some(temporary)))
    }

    fn jvm_options(&self) -> Vec<String> {
        let heap = if self.brokers == 1 {
            ["-Xms256M", "-Xmx1G"]
        } else {
            ["-Xms512M", "-Xmx512M"]
        };
        let mut options = self
            .jvm
            .clone()
            .unwrap_or_else(|| heap.map(str::to_owned).to_vec());
        if self.quick_jit {
            options.push("-XX:TieredStopAtLevel=1".to_owned());
        }
        options
    }
}

fn lost_a_port(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("BindException")
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    alias: String,
    cluster_id: String,
    kafka: Kafka,
    certificates: Certificates,
    // Before the link and the folder: brokers stop first.
    brokers: Vec<Broker>,
    link: Link,
    dir: PathBuf,
    temporary: Option<TempDir>,
}

impl Cluster {
    /// A cluster to be, known by its alias.
    pub fn builder(alias: impl Into<String>) -> ClusterBuilder {
        ClusterBuilder {
            alias: alias.into(),
            brokers: 1,
            version: DEFAULT_VERSION.to_owned(),
            dir: None,
            allow_everyone_if_no_acl: true,
            users: Vec::new(),
            properties: BTreeMap::new(),
            jvm: None,
            quick_jit: true,
            share_classes: true,
        }
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
            .find(|broker| broker.node == node)
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
    pub fn client(&self) -> rdkafka::ClientConfig {
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
            let silent = self.brokers.iter().find(|broker| {
                Listener::ALL.iter().any(|listener| {
                    std::net::TcpStream::connect(broker.addresses.of(*listener)).is_err()
                })
            });
            if let Some(broker) = silent {
                return Err(format!("{} does not listen", broker.name));
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

    fn start_all(&self) -> Result<()> {
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
            let _ = broker.kill();
        }
        // A failed test's logs are worth keeping.
        if std::thread::panicking()
            && let Some(temporary) = self.temporary.take()
        {
            eprintln!(
                "the folder of cluster {} is kept: {}",
                self.alias,
                temporary.keep().display()
            );
        }
    }
}
