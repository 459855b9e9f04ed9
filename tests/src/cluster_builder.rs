//! What a cluster is to be like, and bringing it up.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::archive::ensure_class_archive;
use crate::broker::{Broker, Place};
use crate::broker_config::{Addresses, BrokerConfig};
use crate::certs::Certificates;
use crate::cluster::Cluster;
use crate::error::{Doing, LabError, Result};
use crate::format::{User, format_log_dir, random_id};
use crate::host::host;
use crate::jars::{DEFAULT_VERSION, Kafka};
use crate::java::server_options;
use crate::link::Link;
use crate::ports::Port;
use crate::scratch::Scratch;

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
    every_login: bool,
    own_processes: bool,
}

impl ClusterBuilder {
    pub(crate) fn new(alias: String) -> Self {
        Self {
            alias,
            brokers: 1,
            version: DEFAULT_VERSION.to_owned(),
            dir: None,
            allow_everyone_if_no_acl: true,
            users: Vec::new(),
            properties: BTreeMap::new(),
            jvm: None,
            quick_jit: true,
            share_classes: true,
            every_login: false,
            own_processes: false,
        }
    }

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

    /// Whether clients can also log in with SCRAM-SHA-256, PLAIN, OAUTHBEARER (tokens that nobody signed), plain TLS and
    /// client certificates; see [`crate::Login`]. Costs two ports a broker.
    #[must_use]
    pub fn every_login(mut self) -> Self {
        self.every_login = true;
        self
    }

    /// Gives a single broker a process of its own, as three have, where others share a JVM: only such a process can be
    /// killed, paused, terminated, or kept from its disk.
    #[must_use]
    pub fn own_processes(mut self) -> Self {
        self.own_processes = true;
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
        let scratch = if self.dir.is_none() {
            Some(Scratch::create(&self.alias)?)
        } else {
            None
        };
        let dir = self
            .dir
            .as_deref()
            .or(scratch.as_ref().map(Scratch::path))
            .unwrap_or(Path::new("."));
        fs::create_dir_all(dir).doing(format!("create {}", dir.display()))?;
        let dir = dir
            .canonicalize()
            .doing(format!("find {}", dir.display()))?;
        let certificates = Certificates::create(&dir, &self.alias)?;
        let link = Link::new();
        let cluster_id = random_id();
        let places = (0..self.brokers)
            .map(|_| place(&link, self.every_login))
            .collect::<Result<Vec<_>>>()?;
        let all: Vec<Addresses> = places.iter().map(|(addresses, _)| *addresses).collect();
        let mut properties = self.properties.clone();
        if self.quick_jit {
            // Otherwise an idle controller writes to its log twice a second.
            let never = || "0".to_owned();
            let key = "metadata.max.idle.interval.ms".to_owned();
            properties.entry(key).or_insert_with(never);
        }
        let mut brokers = Vec::new();
        for (index, (own, ports)) in places.into_iter().enumerate() {
            let node = index + 1;
            let broker_dir = dir.join(format!("broker-{node}"));
            let log_dir = broker_dir.join("data");
            if log_dir.exists() {
                fs::remove_dir_all(&log_dir).doing(format!("remove {}", log_dir.display()))?;
            }
            format_log_dir(kafka, &self.users, &log_dir, &cluster_id, node)?;
            let config = BrokerConfig {
                node,
                all: &all,
                own,
                log_dir: &log_dir,
                certificates: &certificates,
                allow_everyone_if_no_acl: self.allow_everyone_if_no_acl,
                overrides: &properties,
            };
            let file = Broker::properties(&broker_dir);
            fs::write(&file, config.render()).doing(format!("write {}", file.display()))?;
            let place = match self.host() {
                Some(host) => Place::Shared(host),
                None => {
                    let mut arguments = server_options(kafka, &self.jvm_options(), &broker_dir)?;
                    arguments.extend(["kafka.Kafka".to_owned(), file.display().to_string()]);
                    Place::Own(arguments)
                }
            };
            let name = format!("broker {node} of {}", self.alias);
            brokers.push(Broker::new(name, node, own, broker_dir, place, ports));
        }
        let (alias, kafka) = (self.alias.clone(), kafka.clone());
        Ok(Cluster {
            alias,
            cluster_id,
            kafka,
            certificates,
            brokers,
            link,
            dir,
            _scratch: scratch,
        })
    }

    /// The JVM that takes its broker in, if it is what every broker there is. Of several, the last to go would wait minutes
    /// for a controller that lets it.
    fn host(&self) -> Option<PathBuf> {
        let alike = self.version == DEFAULT_VERSION && self.jvm.is_none() && self.quick_jit;
        host().filter(|_| alike && self.brokers == 1 && !self.own_processes)
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

/// Reserves a broker's ports and opens its way through the link.
fn place(link: &Link, every_login: bool) -> Result<(Addresses, Vec<Port>)> {
    let ports = (0..if every_login { 6 } else { 4 })
        .map(|_| Port::reserve())
        .collect::<Result<Vec<_>>>()?;
    let mut addresses = ports
        .iter()
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port.number())));
    let mut next = || {
        addresses
            .next()
            .ok_or(LabError::Usage("a broker has too few ports".to_owned()))
    };
    let (plaintext, sasl_ssl, controller, link_to) = (next()?, next()?, next()?, next()?);
    let tls = if every_login {
        Some((next()?, next()?))
    } else {
        None
    };
    let link_advertised = link.route(link_to)?;
    Ok((
        Addresses {
            plaintext,
            sasl_ssl,
            controller,
            link: link_to,
            link_advertised,
            tls,
        },
        ports,
    ))
}

fn lost_a_port(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("BindException")
}
