//! A pair's clusters, by the client properties of its flow files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{Acl, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::groups::{GroupState, Told};
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::probe::{self, Reached};
use understudy_kafka::{Cluster as Connection, Endpoint, Fault};
use understudy_recovery::Alias;
use understudy_recovery::health::Layer;
use understudy_recovery::pair::Pair;
use understudy_shell::world::{Cluster, Clusters, Ends, Presence, Probe, WriteProof};
use understudy_shell::{PortError, PortErrorKind};

use crate::config::Flow;

type Answer<T> = Result<T, PortError>;

/// The clusters of a pair.
pub struct KafkaClusters {
    known: BTreeMap<Alias, Arc<dyn Cluster>>,
}

impl KafkaClusters {
    /// Each by the flow that writes to it, which is allowed more there.
    pub fn new(pair: &Pair, flows: &BTreeMap<String, Arc<Flow>>) -> Self {
        let known = pair.flows.iter().filter_map(|flow| {
            let read = flows.get(&flow.file)?;
            let cluster: Arc<dyn Cluster> = Arc::new(KafkaCluster {
                endpoint: read.target.clone(),
            });
            Some((flow.target.clone(), cluster))
        });
        Self {
            known: known.collect(),
        }
    }
}

impl Clusters for KafkaClusters {
    fn get(&self, alias: &Alias) -> Answer<Arc<dyn Cluster>> {
        self.known.get(alias).cloned().ok_or_else(|| {
            PortError::new(
                PortErrorKind::Missing,
                format!("no flow of the pair leads to {alias}"),
            )
        })
    }
}

struct KafkaCluster {
    endpoint: Endpoint,
}

/// What a cluster answered, as a step sees it.
pub fn trouble(fault: &Fault) -> PortError {
    let kind = match fault {
        Fault::Fenced { .. } => PortErrorKind::Conflict,
        Fault::Denied { .. } => PortErrorKind::NotPermitted,
        Fault::TimedOut { .. } => PortErrorKind::TimedOut,
        Fault::Kafka { .. } => PortErrorKind::Unreachable,
        _ => PortErrorKind::Refused,
    };
    PortError::new(kind, fault.to_string())
}

impl KafkaCluster {
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Fault>) -> Answer<T> {
        let open = Connection::open(&self.endpoint);
        open.and_then(|cluster| question(&cluster))
            .map_err(|fault| trouble(&fault))
    }

    fn refused(refused: &[(Acl, Fault)]) -> Answer<()> {
        match refused.first() {
            None => Ok(()),
            Some((acl, fault)) => Err(PortError::new(
                trouble(fault).kind,
                format!("{acl}: {fault}"),
            )),
        }
    }
}

impl Cluster for KafkaCluster {
    fn bootstrap(&self) -> Option<String> {
        Some(self.endpoint.bootstrap())
    }

    fn probe(&self, within: Duration) -> Probe {
        let until = Instant::now() + within;
        let described = self.ask(|cluster| cluster.describe(within));
        match described {
            Ok(told) => Probe {
                cluster_id: told.id,
                brokers: u32::try_from(told.brokers.len()).ok(),
                failed: None,
            },
            Err(error) => {
                let left = until.saturating_duration_since(Instant::now());
                let left = left
                    .max(Duration::from_millis(300))
                    .min(Duration::from_secs(1));
                let bootstrap = self.endpoint.bootstrap();
                let first = bootstrap.split(',').next().unwrap_or_default().trim();
                let failed = match probe::probe(&self.endpoint, first, left).reached {
                    Reached::Unresolved(reason) => (Layer::Resolve, reason),
                    Reached::Unreachable(reason) => (Layer::Connect, reason),
                    Reached::Refused { reason, advice } => {
                        (Layer::Authenticate, format!("{reason}; {advice}"))
                    }
                    Reached::Silent | Reached::Answered => (Layer::Metadata, error.text),
                };
                Probe {
                    cluster_id: None,
                    brokers: None,
                    failed: Some(failed),
                }
            }
        }
    }

    fn id(&self, within: Duration) -> Answer<String> {
        self.ask(|cluster| cluster.id(within))
    }

    fn ends(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        within: Duration,
    ) -> Answer<BTreeMap<TopicPartition, Ends>> {
        let (stable, high) = self.ask(|cluster| {
            // The stable end first: what is written between the two looks is then open, never standing.
            let stable = cluster.edges(partitions, Edge::LastStable, within)?;
            Ok((
                stable,
                cluster.edges(partitions, Edge::HighWatermark, within)?,
            ))
        })?;
        let mut ends = BTreeMap::new();
        for (place, answer) in stable {
            let high = high.get(&place).copied();
            match (answer, high) {
                (Ok(last_stable), Some(Ok(high_watermark))) => {
                    ends.insert(
                        place,
                        Ends {
                            last_stable,
                            high_watermark,
                        },
                    );
                }
                (Err(code), _) | (_, Some(Err(code))) => match code {
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {}
                    code => {
                        return Err(PortError::new(
                            PortErrorKind::Unreachable,
                            format!("the end of {place}: {code}"),
                        ));
                    }
                },
                (Ok(_), None) => {}
            }
        }
        Ok(ends)
    }

    fn groups(&self, within: Duration) -> Answer<BTreeMap<String, Presence>> {
        let groups = self.ask(|cluster| cluster.group_states(within))?;
        let presence = |state| match state {
            GroupState::Empty => Presence::Empty,
            GroupState::Live => Presence::Live,
        };
        Ok(groups
            .into_iter()
            .map(|(name, state)| (name, presence(state)))
            .collect())
    }

    fn places(
        &self,
        groups: &BTreeSet<String>,
        within: Duration,
    ) -> Answer<BTreeMap<(String, TopicPartition), i64>> {
        let names: Vec<&str> = groups.iter().map(String::as_str).collect();
        let mut places = BTreeMap::new();
        let mut failed = None;
        self.ask(|cluster| {
            cluster.tell_group_places(&names, within, &mut |number, told| {
                let group = names.get(number).copied().unwrap_or_default();
                match told {
                    Told::Place(topic, partition, Ok(offset)) if offset >= 0 => {
                        let place = TopicPartition::new(topic, partition);
                        places.insert((group.to_owned(), place), offset);
                    }
                    Told::Place(topic, partition, Err(code)) => {
                        failed.get_or_insert(format!("{group} in {topic}-{partition}: {code}"));
                    }
                    Told::End(Err(fault)) => {
                        failed.get_or_insert(format!("{group}: {fault}"));
                    }
                    Told::Place(_, _, Ok(_)) | Told::End(Ok(())) => {}
                }
            })
        })?;
        match failed {
            None => Ok(places),
            Some(text) => Err(PortError::new(PortErrorKind::Unreachable, text)),
        }
    }

    fn commit_places(
        &self,
        transactional_id: &str,
        places: &BTreeMap<(String, TopicPartition), i64>,
        within: Duration,
    ) -> Answer<()> {
        let mut by_group: BTreeMap<&str, Vec<(TopicPartition, i64)>> = BTreeMap::new();
        for ((group, place), offset) in places {
            by_group
                .entry(group)
                .or_default()
                .push((place.clone(), *offset));
        }
        let commit = || -> Result<(), Fault> {
            let config = self.endpoint.writer(transactional_id);
            let mut writer = Writer::new(&config, self.endpoint.watch.clone(), usize::MAX)?;
            writer.init(within)?;
            if by_group.is_empty() {
                return Ok(());
            }
            writer.begin()?;
            for (group, places) in by_group {
                writer.send_places(group, &places, within)?;
            }
            writer.commit(within)
        };
        commit().map_err(|fault| trouble(&fault))
    }

    fn acls(&self, within: Duration) -> Answer<Vec<Acl>> {
        let acls = self.ask(|cluster| cluster.acls(within))?;
        if acls.silent {
            // No ACL at all, no authorizer, or not allowed to see them: another call tells.
            return match self.ask(|cluster| cluster.describe_acls(within)) {
                Ok(_none) => Ok(Vec::new()),
                Err(error) if error.text.to_ascii_lowercase().contains("authorizer") => {
                    Err(PortError::new(PortErrorKind::Missing, error.text))
                }
                Err(error) => Err(error),
            };
        }
        Ok(acls.known.into_iter().collect())
    }

    fn admits_everyone(&self, within: Duration) -> Answer<Option<bool>> {
        self.ask(|cluster| cluster.admits_everyone(within))
    }

    fn add_acls(&self, acls: &[Acl], within: Duration) -> Answer<()> {
        let acls: Vec<&Acl> = acls.iter().collect();
        Self::refused(&self.ask(|cluster| cluster.add_acls(&acls, within))?)
    }

    fn remove_acls(&self, acls: &[Acl], within: Duration) -> Answer<()> {
        let acls: Vec<&Acl> = acls.iter().collect();
        Self::refused(&self.ask(|cluster| cluster.remove_acls(&acls, within))?)
    }

    fn try_write(&self, _topic: &str, _within: Duration) -> Answer<Option<WriteProof>> {
        // The pair names no login of a writer.
        Ok(None)
    }
}
