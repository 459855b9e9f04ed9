//! Configs and ACLs of one cluster.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use understudy_domain::{Acl, ConfigEntries};

use crate::cluster::Cluster;
use crate::fault::{Fault, Operation};
use crate::ffi::acls::{Acls, create_acls, delete_acls, describe_acls};
use crate::ffi::configs::{Changes, Described, Holder, alter_topic_configs, describe_configs};

/// How many topics or bindings one call is about.
const BATCH: usize = 200;
/// The brokers' property that admits everyone to a resource without ACLs.
const EVERYONE: &str = "allow.everyone.if.no.acl.found";
/// The brokers' property for how long they keep places of groups without members, in minutes.
const PLACES_KEPT: &str = "offsets.retention.minutes";
/// The brokers' property that says how many replicas a topic gets.
const DEFAULT_REPLICAS: &str = "default.replication.factor";

impl Cluster {
    /// All configs of the named topics; a topic that may not be read or does not exist holds why.
    ///
    /// # Errors
    /// A call as a whole failed or got no answer within `within`.
    pub fn topics_configs(&self, topics: &[&str], within: Duration) -> Result<Described, Fault> {
        let mut all = Described::new();
        for some in topics.chunks(BATCH) {
            all.append(
                &mut self.asked(|reader| describe_configs(reader, Holder::Topics, some, within))?,
            );
        }
        Ok(all)
    }

    /// All configs of one topic.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn topic_configs(&self, topic: &str, within: Duration) -> Result<ConfigEntries, Fault> {
        self.topics_configs(&[topic], within)?
            .remove(topic)
            .unwrap_or_else(|| {
                Err(Fault::TimedOut {
                    operation: Operation::DescribeConfigs,
                    subject: topic.to_owned(),
                    within,
                })
            })
    }

    /// Sets and deletes single config keys; what was refused, by topic.
    ///
    /// # Errors
    /// A call as a whole failed or got no answer within `within`: what was changed is then unknown.
    pub fn change_configs(
        &self,
        changes: &Changes,
        within: Duration,
    ) -> Result<BTreeMap<String, Fault>, Fault> {
        self.asked(|reader| alter_topic_configs(reader, changes, within))
    }

    /// Every ACL of topics, groups and transactional ids.
    ///
    /// # Errors
    /// The cluster does not answer within `within`. A refusal looks like [`Acls::silent`].
    pub fn acls(&self, within: Duration) -> Result<Acls, Fault> {
        self.asked(|reader| describe_acls(reader, within))
    }

    /// Adds ACLs; what was refused.
    ///
    /// # Errors
    /// A call as a whole failed or got no answer within `within`.
    pub fn add_acls(&self, acls: &[&Acl], within: Duration) -> Result<Vec<(Acl, Fault)>, Fault> {
        let mut refused = Vec::new();
        for some in acls.chunks(BATCH) {
            refused.append(&mut self.asked(|reader| create_acls(reader, some, within))?);
        }
        Ok(refused)
    }

    /// Removes exactly these ACLs; what was refused.
    ///
    /// # Errors
    /// A call as a whole failed or got no answer within `within`.
    pub fn remove_acls(&self, acls: &[&Acl], within: Duration) -> Result<Vec<(Acl, Fault)>, Fault> {
        let mut refused = Vec::new();
        for some in acls.chunks(BATCH) {
            refused.append(&mut self.asked(|reader| delete_acls(reader, some, within))?);
        }
        Ok(refused)
    }

    /// Whether the brokers admit everyone to a resource without ACLs (`allow.everyone.if.no.acl.found`); `None` where
    /// they do not tell. Kafka counts the property as one that it does not know, and hides such values.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn admits_everyone(&self, within: Duration) -> Result<Option<bool>, Fault> {
        let brokers = self.brokers(within)?;
        self.broker_config(&brokers, EVERYONE, within)
    }

    /// For how long the brokers keep places of groups without members (`offsets.retention.minutes`); `None` where they do
    /// not tell.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn places_kept(&self, within: Duration) -> Result<Option<Duration>, Fault> {
        let brokers = self.brokers(within)?;
        let minutes: Option<u64> = self.broker_config(&brokers, PLACES_KEPT, within)?;
        Ok(minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))))
    }

    /// The ids of the brokers that are there now.
    ///
    /// # Errors
    /// The cluster does not answer within `within`.
    pub fn brokers(&self, within: Duration) -> Result<Vec<i32>, Fault> {
        self.asked(|reader| {
            let metadata = reader
                .client()
                .fetch_metadata(None, within)
                .map_err(|error| {
                    Fault::kafka(Operation::Metadata, &self.endpoint().alias, error)
                })?;
            let brokers = metadata.brokers().iter();
            Ok(brokers.map(|broker| broker.id()).collect())
        })
    }

    /// How many replicas the cluster gives a topic without being told (`default.replication.factor`), as one of
    /// `brokers` has it; `None` where that may not be read, which takes DESCRIBE_CONFIGS on the cluster.
    ///
    /// # Errors
    /// The cluster does not answer within `within`.
    pub fn default_replicas(
        &self,
        brokers: &[i32],
        within: Duration,
    ) -> Result<Option<i32>, Fault> {
        match self.broker_config(brokers, DEFAULT_REPLICAS, within) {
            Err(Fault::Denied { .. }) => Ok(None),
            told => told,
        }
    }

    /// A property of one of these brokers, as far as it is told and can be read.
    fn broker_config<T: FromStr>(
        &self,
        brokers: &[i32],
        key: &str,
        within: Duration,
    ) -> Result<Option<T>, Fault> {
        let Some(broker) = brokers.first().map(ToString::to_string) else {
            return Ok(None);
        };
        let mut described =
            self.asked(|reader| describe_configs(reader, Holder::Broker, &[&broker], within))?;
        let Some(entries) = described.remove(&broker).transpose()? else {
            return Ok(None);
        };
        Ok(entries
            .get(key)
            .and_then(|entry| entry.value.as_deref())
            .and_then(|value| value.parse().ok()))
    }
}
