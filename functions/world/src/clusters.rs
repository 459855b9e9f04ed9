//! A pair's clusters, by the client properties of its flow files.
//!
//! A cluster is reached as the flow reaches it that writes to it: that one may do more there. Clients are kept between
//! calls, at most a few a cluster, and made anew after a call that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use understudy_domain::words::limit;

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::{
    Acl, AclOperation, AclPattern, AclPermission, AclResource, TopicPartition,
};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::groups::{GroupState, OtherGroup, Told};
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Endpoint, Fault};
use understudy_recovery::Alias;
use understudy_shell::world::{Cluster, Clusters, Ends, Presence, Probe};
use understudy_shell::{PortError, PortErrorKind};

use crate::clock::Until;
use crate::connections::Connections;
use crate::pair_file::PairFile;
use crate::trouble::{kind_of_code, of_fault};
use crate::{certificates, look, proof};

/// How many groups' places go into one transaction.
const GROUPS_AT_ONCE: usize = 20;
/// How long a transaction that failed may take to end; the brokers end it otherwise.
const ABORT_WITHIN: Duration = Duration::from_secs(1);
/// What no resource is called.
const NOTHING: &str = "understudy.nothing-is-called-so";

/// The clusters of a pair.
#[derive(Clone)]
pub struct KafkaClusters {
    known: BTreeMap<Alias, Arc<KafkaCluster>>,
}

impl KafkaClusters {
    /// The target of each flow. Connects to nothing.
    pub fn new(file: &PairFile) -> Self {
        let known = file.pair.flows.iter().filter_map(|flow| {
            let endpoint = file.flows.get(&flow.file)?.target.clone();
            let proof = file.proofs.get(&flow.target).map(|it| it.target.clone());
            let cluster = KafkaCluster {
                connections: Connections::new(endpoint),
                proof,
            };
            Some((flow.target.clone(), Arc::new(cluster)))
        });
        Self {
            known: known.collect(),
        }
    }
}

impl Clusters for KafkaClusters {
    fn get(&self, alias: &Alias) -> Result<Arc<dyn Cluster>, PortError> {
        match self.known.get(alias) {
            Some(cluster) => Ok(Arc::clone(cluster) as Arc<dyn Cluster>),
            None => {
                let text = format!("no flow of the pair leads to a cluster {alias}");
                Err(PortError::new(PortErrorKind::Missing, text))
            }
        }
    }
}

struct KafkaCluster {
    connections: Connections,
    /// The same as a fenced writer.
    proof: Option<Endpoint>,
}

impl KafkaCluster {
    fn commit(
        &self,
        transactional_id: &str,
        by_group: &[(&str, Vec<(TopicPartition, i64)>)],
        until: Until,
    ) -> Result<(), Fault> {
        let config = self.connections.endpoint.writer(transactional_id);
        let mut writer = Writer::new(&config, self.connections.endpoint.watch.clone(), usize::MAX)?;
        writer.init(until.left())?;
        for some in by_group.chunks(GROUPS_AT_ONCE) {
            writer.begin()?;
            let sent = some
                .iter()
                .try_for_each(|(group, places)| writer.send_places(group, places, until.left()));
            if let Err(fault) = sent.and_then(|()| writer.commit(until.left())) {
                let _as_it_may = writer.abort(ABORT_WITHIN);
                return Err(fault);
            }
        }
        Ok(())
    }

    fn no_end(&self, place: &TopicPartition, code: Code) -> PortError {
        let alias = &self.connections.endpoint.alias;
        let text = format!("cluster {alias} does not tell where {place} ends: {code}");
        PortError::new(kind_of_code(code), text)
    }

    fn all_done(&self, refused: &[(Acl, Fault)]) -> Result<(), PortError> {
        let Some((acl, fault)) = refused.first() else {
            return Ok(());
        };
        let error = of_fault(&self.connections.endpoint, fault);
        let more = match refused.len() {
            1 => String::new(),
            count => format!(", the first of {count}"),
        };
        Err(PortError::new(error.kind, format!("{acl}{more}: {error}")))
    }
}

impl Cluster for KafkaCluster {
    fn bootstrap(&self) -> Option<String> {
        Some(self.connections.endpoint.bootstrap())
    }

    fn probe(&self, within: Duration) -> Probe {
        look::look(&self.connections.endpoint, within)
    }

    fn certificate_ends(&self, within: Duration) -> Option<i64> {
        certificates::first_end(&self.connections.endpoint, within)
    }

    fn id(&self, within: Duration) -> Result<String, PortError> {
        self.connections.ask(|cluster| cluster.id(within))
    }

    fn ends(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        within: Duration,
    ) -> Result<BTreeMap<TopicPartition, Ends>, PortError> {
        let until = Until::within(within);
        let (stable, mut high) = self.connections.ask(|cluster| {
            // The stable end first: what is written between the two looks is then open, never standing.
            let stable = cluster.edges(partitions, Edge::LastStable, until.left() / 2)?;
            let high = cluster.edges(partitions, Edge::HighWatermark, until.left())?;
            Ok((stable, high))
        })?;
        let mut ends = BTreeMap::new();
        let mut unled: Vec<TopicPartition> = Vec::new();
        for (place, stable) in stable {
            let both = stable.and_then(|last_stable| match high.remove(&place) {
                Some(Ok(high_watermark)) => Ok(Ends {
                    last_stable,
                    high_watermark,
                }),
                Some(Err(code)) => Err(code),
                None => Err(Code::LeaderNotAvailable),
            });
            match both {
                Ok(both) => {
                    ends.insert(place, both);
                }
                Err(
                    Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition,
                ) => {}
                Err(Code::LeaderNotAvailable) => unled.push(place),
                Err(code) => return Err(self.no_end(&place, code)),
            }
        }
        // One without a leader may be one that does not exist.
        for place in unled {
            let topic = self
                .connections
                .ask(|cluster| cluster.topic(&place.topic, until.left()))?;
            if topic.is_some_and(|topic| place.partition < topic.partitions) {
                return Err(self.no_end(&place, Code::LeaderNotAvailable));
            }
        }
        Ok(ends)
    }

    fn first_since(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        at_ms: i64,
        within: Duration,
    ) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
        let found = self
            .connections
            .ask(|cluster| cluster.edges(partitions, Edge::Since(at_ms), within))?;
        let told = found
            .into_iter()
            .filter_map(|(place, offset)| Some((place, offset.ok()?)));
        Ok(told.filter(|(_, offset)| *offset >= 0).collect())
    }

    fn groups(&self, within: Duration) -> Result<BTreeMap<String, Presence>, PortError> {
        let until = Until::within(within);
        let (consumers, others) = self.connections.ask(|cluster| {
            let consumers = cluster.group_states(until.left())?;
            let is_consumers = |name: &str| consumers.contains_key(name);
            let others = cluster.other_groups(&is_consumers, until.left())?;
            Ok((consumers, others))
        })?;
        let presence = |state| match state {
            GroupState::Empty => Presence::Empty,
            GroupState::Live => Presence::Live,
        };
        let mut groups: BTreeMap<String, Presence> = consumers
            .into_iter()
            .map(|(name, state)| (name, presence(state)))
            .collect();
        groups.extend(others.into_iter().map(|(name, other)| match other {
            OtherGroup::Classic(state) => (name, presence(state)),
            // Whether anybody is in it is not told.
            OtherGroup::Newer => (name, Presence::Live),
        }));
        Ok(groups)
    }

    fn places(
        &self,
        groups: &BTreeSet<String>,
        within: Duration,
    ) -> Result<BTreeMap<(String, TopicPartition), i64>, PortError> {
        let names: Vec<&str> = groups.iter().map(String::as_str).collect();
        let mut unheard = groups.clone();
        let mut places = BTreeMap::new();
        let mut failed: Option<PortError> = None;
        let alias = &self.connections.endpoint.alias;
        self.connections.ask(|cluster| {
            cluster.tell_group_places(&names, within, &mut |number, told| {
                let Some(group) = names.get(number) else { return };
                match told {
                    Told::Place(topic, partition, Ok(offset), _) if offset >= 0 => {
                        let place = TopicPartition::new(topic, partition);
                        places.insert(((*group).to_owned(), place), offset);
                    }
                    // It has none there.
                    Told::Place(_, _, Ok(_), _) => {}
                    Told::Place(topic, partition, Err(code), _) => {
                        let text = format!(
                            "cluster {alias} does not tell where group {group} stands in {topic}-{partition}: {code}"
                        );
                        failed.get_or_insert(PortError::new(kind_of_code(code), text));
                    }
                    Told::End(answer) => {
                        unheard.remove(*group);
                        match answer {
                            Ok(()) => {}
                            // What a group of another kind answers, as share groups do: it has no places of this kind.
                            Err(Fault::Kafka {
                                code: Some(Code::GroupIdNotFound),
                                ..
                            }) => {}
                            Err(fault) => {
                                failed.get_or_insert(of_fault(&self.connections.endpoint, &fault));
                            }
                        }
                    }
                }
            })
        })?;
        match (failed, unheard.first()) {
            (Some(error), _) => Err(error),
            (None, Some(group)) => {
                let text = format!(
                    "cluster {alias} did not tell the places of group {group} within {}",
                    limit(within)
                );
                Err(PortError::new(PortErrorKind::TimedOut, text))
            }
            (None, None) => Ok(places),
        }
    }

    fn commit_places(
        &self,
        transactional_id: &str,
        places: &BTreeMap<(String, TopicPartition), i64>,
        within: Duration,
    ) -> Result<(), PortError> {
        let until = Until::within(within);
        let mut by_group: BTreeMap<&str, Vec<(TopicPartition, i64)>> = BTreeMap::new();
        for ((group, place), offset) in places {
            let of_group = by_group.entry(group).or_default();
            of_group.push((place.clone(), *offset));
        }
        // Brokers take such a commit for groups with members too.
        if !by_group.is_empty() {
            let present = self.groups(until.left())?;
            let live = by_group
                .keys()
                .find(|group| present.get(**group) == Some(&Presence::Live));
            if let Some(live) = live {
                let text = format!(
                    "somebody is in group {live} on cluster {}: its places are its own, and none was committed",
                    self.connections.endpoint.alias
                );
                return Err(PortError::new(PortErrorKind::Refused, text));
            }
        }
        let by_group: Vec<_> = by_group.into_iter().collect();
        self.commit(transactional_id, &by_group, until)
            .map_err(|fault| of_fault(&self.connections.endpoint, &fault))
    }

    fn acls(&self, within: Duration) -> Result<Vec<Acl>, PortError> {
        let until = Until::within(within);
        let told = self.connections.ask(|cluster| cluster.acls(until.left()))?;
        if told.unknown > 0 {
            let text = format!(
                "cluster {} has {} ACLs with an operation or a pattern that this version does not know",
                self.connections.endpoint.alias, told.unknown
            );
            return Err(PortError::new(PortErrorKind::Malformed, text));
        }
        if told.silent {
            // It may have none, or no authorizer, or not tell us. What removes an ACL that is not there is told apart.
            let nothing = Acl {
                resource: AclResource::Topic,
                name: NOTHING.to_owned(),
                pattern: AclPattern::Literal,
                principal: "User:understudy".to_owned(),
                host: "*".to_owned(),
                operation: AclOperation::Read,
                permission: AclPermission::Allow,
            };
            self.remove_acls(&[nothing], until.left())?;
        }
        Ok(told.known.into_iter().collect())
    }

    fn admits_everyone(&self, within: Duration) -> Result<Option<bool>, PortError> {
        let until = Until::within(within);
        let told = self
            .connections
            .ask(|cluster| cluster.admits_everyone(until.left() / 2));
        match told {
            Err(error) if error.kind == PortErrorKind::NotPermitted => Ok(None),
            told => told,
        }
    }

    fn add_acls(&self, acls: &[Acl], within: Duration) -> Result<(), PortError> {
        let acls: Vec<&Acl> = acls.iter().collect();
        self.all_done(
            &self
                .connections
                .ask(|cluster| cluster.add_acls(&acls, within))?,
        )
    }

    fn remove_acls(&self, acls: &[Acl], within: Duration) -> Result<(), PortError> {
        let acls: Vec<&Acl> = acls.iter().collect();
        self.all_done(
            &self
                .connections
                .ask(|cluster| cluster.remove_acls(&acls, within))?,
        )
    }

    fn open_to_writer(
        &self,
        topics: &BTreeSet<String>,
        within: Duration,
    ) -> Result<Option<BTreeSet<String>>, PortError> {
        let Some(writer) = &self.proof else {
            return Ok(None);
        };
        let until = Until::within(within);
        let all = self
            .connections
            .ask(|cluster| cluster.topics(until.left() / 3))?;
        let there: BTreeSet<&String> = all.iter().map(|topic| &topic.name).collect();
        let mut tried = BTreeSet::new();
        for topic in topics {
            // To a topic that is gone nobody writes; its ACLs stay for the day on which it is made again. One that may
            // not be seen is an error.
            let is_there = there.contains(topic)
                || self
                    .connections
                    .ask(|cluster| cluster.topic(topic, until.left() / 2))?
                    .is_some();
            if is_there {
                tried.insert(topic.clone());
            }
        }
        if tried.is_empty() {
            return Ok(Some(tried));
        }
        proof::open_to(writer, &tried, until.left()).map(Some)
    }
}
