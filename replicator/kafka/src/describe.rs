//! What a cluster tells of itself and of our permissions; nothing here changes anything.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::acl::Acl;

use crate::cluster::Cluster;
use crate::fault::{Fault, Operation};
use crate::ffi::describe::{Authorized, ClusterDescription, Described, Question, TopicDescription};

/// How many names go into one question.
const NAMES: usize = 200;

/// A topic's configuration: each key with its value in force.
pub type Configs = BTreeMap<String, String>;

impl Cluster {
    fn question(&self, within: Duration) -> Result<Question<'_>, Fault> {
        Ok(Question::new(self.admin()?, &self.endpoint().alias, within))
    }

    /// The cluster: id, brokers, permissions on it.
    ///
    /// # Errors
    /// No answer within `within`, or a refusal.
    pub fn describe(&self, within: Duration) -> Result<ClusterDescription, Fault> {
        self.question(within)?.cluster()
    }

    /// Topics by name, with what the principal may do on those that exist.
    ///
    /// # Errors
    /// No answer to a question within `within`, or a refusal of all of it.
    pub fn describe_topics(
        &self,
        names: &[String],
        within: Duration,
    ) -> Result<Described<TopicDescription>, Fault> {
        let mut all = Described::new();
        for names in names.chunks(NAMES) {
            all.extend(self.question(within)?.topics(names)?);
        }
        Ok(all)
    }

    /// What the principal may do with consumer groups.
    ///
    /// # Errors
    /// As [`Cluster::describe_topics`].
    pub fn describe_groups(
        &self,
        names: &[String],
        within: Duration,
    ) -> Result<Described<Authorized>, Fault> {
        let mut all = Described::new();
        for names in names.chunks(NAMES) {
            all.extend(self.question(within)?.groups(names)?);
        }
        Ok(all)
    }

    /// The consumer groups that the principal may see.
    ///
    /// # Errors
    /// No answer within `within`, or a refusal.
    pub fn groups(&self, within: Duration) -> Result<Vec<String>, Fault> {
        let answer = self.admin()?.inner().fetch_group_list(None, within);
        let list = answer.map_err(|error| {
            Fault::kafka(Operation::DescribeGroups, &self.endpoint().alias, error)
        })?;
        Ok(list
            .groups()
            .iter()
            .map(|group| group.name().to_owned())
            .collect())
    }

    /// Every ACL; needs DESCRIBE on the cluster. Without it, and on a cluster without an authorizer, the list is empty.
    ///
    /// # Errors
    /// No answer within `within`.
    pub fn describe_acls(&self, within: Duration) -> Result<Vec<Acl>, Fault> {
        self.question(within)?.acls()
    }

    /// The configuration of topics; one that may not be read is absent.
    ///
    /// # Errors
    /// No answer to a question within `within`, or a refusal of all of it.
    pub fn describe_configs(
        &self,
        topics: &[String],
        within: Duration,
    ) -> Result<BTreeMap<String, Configs>, Fault> {
        let options = AdminOptions::new().request_timeout(Some(within));
        let alias = &self.endpoint().alias;
        let mut all = BTreeMap::new();
        for names in topics.chunks(NAMES) {
            let resources: Vec<_> = names
                .iter()
                .map(|name| ResourceSpecifier::Topic(name))
                .collect();
            let answers = pollster::block_on(self.admin()?.describe_configs(&resources, &options))
                .map_err(|error| Fault::kafka(Operation::DescribeConfigs, alias, error))?;
            for (name, answer) in names.iter().zip(answers) {
                let Ok(resource) = answer else { continue };
                // The safe crate drops a resource's error: what may not be read comes back without entries.
                if resource.entries.is_empty() {
                    continue;
                }
                let configs = resource
                    .entries
                    .into_iter()
                    .filter_map(|entry| Some((entry.name, entry.value?)))
                    .collect();
                all.insert(name.clone(), configs);
            }
        }
        Ok(all)
    }

    /// Whether topics could be made, with so many replicas; the brokers look and make nothing.
    ///
    /// # Errors
    /// No answer to a question within `within`, or a refusal of all of it.
    pub fn could_create(
        &self,
        topics: &[(String, i32)],
        replicas: i32,
        within: Duration,
    ) -> Result<Described<()>, Fault> {
        let options = AdminOptions::new()
            .request_timeout(Some(within))
            .operation_timeout(Some(within))
            .validate_only(true);
        let alias = &self.endpoint().alias;
        let mut all = Described::new();
        for some in topics.chunks(NAMES) {
            let topics: Vec<_> = some
                .iter()
                .map(|(name, partitions)| {
                    NewTopic::new(name, *partitions, TopicReplication::Fixed(replicas))
                })
                .collect();
            let answers = pollster::block_on(self.admin()?.create_topics(&topics, &options))
                .map_err(|error| Fault::kafka(Operation::CreateTopic, alias, error))?;
            all.extend(answers.into_iter().map(|answer| match answer {
                Ok(name) | Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => (name, Ok(())),
                Err((name, code)) => (name, Err(code)),
            }));
        }
        Ok(all)
    }
}
