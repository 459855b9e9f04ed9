//! What a cluster told.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use understudy_domain::acl::{Acl, AclOperation};
use understudy_kafka::Cluster;
use understudy_kafka::describe::Configs;
use understudy_kafka::ffi::describe::{
    Authorized, ClusterDescription, Described, TopicDescription,
};

use crate::check::Limits;
use crate::check::wanted::Wanted;
use crate::config::Flow;
use crate::replication::Replicas;

/// What is known of the cluster's ACLs.
pub enum Acls {
    /// All of them.
    Listed(Vec<Acl>),
    /// They may not be listed.
    Hidden,
}

/// What a cluster told.
pub struct Facts {
    /// Its administrative side.
    pub cluster: Cluster,
    /// Its id.
    pub id: Option<String>,
    /// How many brokers live.
    pub brokers: usize,
    /// What we may do on the cluster.
    pub authorized: Authorized,
    /// Its ACLs.
    pub acls: Acls,
    /// Topics that were asked for.
    pub topics: Described<TopicDescription>,
    /// Their configurations, where they may be read.
    pub configs: BTreeMap<String, Configs>,
    /// Groups that were asked for.
    pub groups: Described<Authorized>,
    /// Topics that are not there: whether they could be made.
    pub could_create: Described<()>,
    /// How many replicas a new topic gets.
    pub replicas: Option<Replicas>,
}

impl Facts {
    /// Begins with the cluster's description, and lists its ACLs.
    pub fn new(cluster: Cluster, description: ClusterDescription, limits: Limits) -> Self {
        let may_list = description
            .authorized
            .as_ref()
            .is_some_and(|may| may.iter().any(|held| held.includes(AclOperation::Describe)));
        let acls = match cluster.describe_acls(limits.call()) {
            // librdkafka hands a refusal on as an empty list.
            Ok(acls) if may_list || !acls.is_empty() => Acls::Listed(acls),
            Ok(_) | Err(_) => Acls::Hidden,
        };
        Self {
            cluster,
            id: description.id,
            brokers: description.brokers.len(),
            authorized: description.authorized,
            acls,
            topics: Described::new(),
            configs: BTreeMap::new(),
            groups: Described::new(),
            could_create: Described::new(),
            replicas: None,
        }
    }

    /// Asks the source about what the flow would read. What does not answer stays unknown.
    pub fn describe_source(&mut self, flow: &Flow, wanted: &Wanted, limits: Limits) {
        let names = wanted.topics.iter().map(|(name, _, _)| name);
        let mut names: Vec<String> = names.chain(&wanted.unseen).cloned().collect();
        let written = flow.mm2.written_on_source();
        names.extend(written.iter().cloned());
        self.describe(&names, &wanted.groups, limits);
        let written: Vec<_> = written.into_iter().map(|name| (name, 1)).collect();
        self.ask_creation(written, None, limits);
    }

    /// Asks the target about what the flow would write. What does not answer stays unknown.
    pub fn describe_target(&mut self, flow: &Flow, wanted: &Wanted, limits: Limits) {
        let slots = i32::try_from(flow.slots.get()).unwrap_or(i32::MAX);
        let mut topics = vec![
            (flow.state.flow(), 1),
            (flow.state.positions(), slots),
            (flow.state.offset_map(), slots),
            (flow.state.slots(), slots),
            (flow.state.gaps(), slots),
            (flow.state.settings(), 1),
        ];
        topics.extend(
            wanted
                .topics
                .iter()
                .map(|(_, partitions, copy)| (copy.clone(), *partitions)),
        );
        topics.extend(wanted.renewals.iter().cloned());
        let mm2 = flow.mm2.written_on_target(&flow.source.alias);
        topics.extend(mm2.into_iter().map(|name| (name, 1)));
        let names: Vec<String> = topics
            .iter()
            .map(|(name, _)| name)
            .chain(&flow.parking_topic)
            .cloned()
            .collect();
        let mut groups = wanted.groups.clone();
        groups.push(flow.state.group_id());
        self.describe(&names, &groups, limits);
        self.ask_creation(topics, flow.replication_factor, limits);
    }

    /// Asks which of these topics that are not there could be made.
    fn ask_creation(
        &mut self,
        mut topics: Vec<(String, i32)>,
        chosen: Option<NonZeroU16>,
        limits: Limits,
    ) {
        self.replicas = Replicas::on(&self.cluster, chosen).ok();
        topics.retain(|(name, _)| !matches!(self.topics.get(name), Some(Ok(_))));
        if let (Some(replicas), false) = (self.replicas, topics.is_empty()) {
            self.could_create = self
                .cluster
                .could_create(&topics, replicas.count, limits.call())
                .unwrap_or_default();
        }
    }

    fn describe(&mut self, topics: &[String], groups: &[String], limits: Limits) {
        let topics_told = self.cluster.describe_topics(topics, limits.call());
        self.topics = topics_told.unwrap_or_default();
        let configs = self.cluster.describe_configs(topics, limits.call());
        self.configs = configs.unwrap_or_default();
        let groups_told = self.cluster.describe_groups(groups, limits.call());
        self.groups = groups_told.unwrap_or_default();
    }
}
