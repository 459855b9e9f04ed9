//! How the clusters are and how to reach them, for machines and for people.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use understudy_tests::{Cluster, LinkState, Listener};

use crate::client_files::client_file;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) clusters: Vec<ClusterStatus>,
    pub(crate) flow: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClusterStatus {
    flow_end: String,
    alias: String,
    version: String,
    cluster_id: String,
    ca: PathBuf,
    listeners: Vec<ListenerStatus>,
    brokers: Vec<BrokerStatus>,
    link: LinkStatus,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListenerStatus {
    listener: String,
    bootstrap_servers: String,
    client_file: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct BrokerStatus {
    node: usize,
    /// None while it does not run.
    process_id: Option<u32>,
    log: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct LinkStatus {
    state: String,
    round_trip_ms: f64,
    /// None: no limit.
    rate_bytes_per_second: Option<u64>,
}

impl ClusterStatus {
    pub(crate) fn of(flow_end: &str, cluster: &Cluster) -> Self {
        let listeners = Listener::ALL.iter().map(|listener| ListenerStatus {
            listener: listener.name().to_owned(),
            bootstrap_servers: cluster.bootstrap_of(*listener),
            client_file: client_file(cluster, *listener),
        });
        let brokers = cluster.brokers().iter().map(|broker| BrokerStatus {
            node: broker.node(),
            process_id: broker.is_running().then(|| broker.process_id()).flatten(),
            log: broker.log(),
        });
        let state = match cluster.link().state() {
            LinkState::Up => "up",
            LinkState::Cut => "cut",
            LinkState::Blackhole => "blackhole",
        };
        Self {
            flow_end: flow_end.to_owned(),
            alias: cluster.alias().to_owned(),
            version: cluster.kafka().version().to_owned(),
            cluster_id: cluster.cluster_id().to_owned(),
            ca: cluster.ca().to_owned(),
            listeners: listeners.collect(),
            brokers: brokers.collect(),
            link: LinkStatus {
                state: state.to_owned(),
                round_trip_ms: cluster.link().round_trip().as_secs_f64() * 1_000.0,
                rate_bytes_per_second: cluster.link().rate(),
            },
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cluster in &self.clusters {
            writeln!(f, "{cluster}")?;
        }
        writeln!(f, "flow    {}", self.flow.display())?;
        writeln!(
            f,
            "tools   scripts/clusters tool topics --bootstrap-server <servers> --command-config <file> --list"
        )?;
        write!(f, "stop    scripts/clusters down")
    }
}

impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}  {}, Kafka {}, id {}",
            self.flow_end, self.alias, self.version, self.cluster_id
        )?;
        for listener in &self.listeners {
            let ListenerStatus {
                listener,
                bootstrap_servers,
                client_file,
            } = listener;
            writeln!(
                f,
                "  {listener:<10} {bootstrap_servers}  {}",
                client_file.display()
            )?;
        }
        for broker in &self.brokers {
            let state = broker
                .process_id
                .map_or("not running".to_owned(), |id| format!("process {id}"));
            writeln!(
                f,
                "  broker {}   {state}  {}",
                broker.node,
                broker.log.display()
            )?;
        }
        let rate = match self.link.rate_bytes_per_second {
            Some(rate) => format!("{:.1} MB/s", rate as f64 / 1e6),
            None => "no limit".to_owned(),
        };
        writeln!(
            f,
            "  link       {}, round trip {} ms, {rate}",
            self.link.state, self.link.round_trip_ms
        )
    }
}
