//! Topics, users and ACLs of a cluster.

use std::time::{Duration, Instant};

use pollster::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::cluster::Cluster;
use crate::error::{Doing, Result};
use crate::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(90);

/// What an ACL is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A topic by its name.
    Topic(String),
    /// Every topic whose name begins so.
    TopicPrefix(String),
    /// A consumer group by its name.
    Group(String),
    /// Every group whose name begins so.
    GroupPrefix(String),
    /// A transactional id by its name.
    TransactionalId(String),
    /// Every transactional id that begins so.
    TransactionalIdPrefix(String),
    /// The cluster itself.
    Cluster,
}

impl Resource {
    fn arguments(&self) -> Vec<String> {
        let (option, name, prefixed) = match self {
            Self::Topic(name) => ("--topic", name, false),
            Self::TopicPrefix(name) => ("--topic", name, true),
            Self::Group(name) => ("--group", name, false),
            Self::GroupPrefix(name) => ("--group", name, true),
            Self::TransactionalId(name) => ("--transactional-id", name, false),
            Self::TransactionalIdPrefix(name) => ("--transactional-id", name, true),
            Self::Cluster => return vec!["--cluster".to_owned()],
        };
        let pattern = if prefixed { "prefixed" } else { "literal" };
        [option, name.as_str(), "--resource-pattern-type", pattern]
            .map(str::to_owned)
            .to_vec()
    }
}

impl Cluster {
    /// Creates a topic with the cluster's default replication and waits until its leaders serve.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        // Brokers that have just started may not all be registered, and a client may meet them changing connections.
        let deadline = Instant::now() + LIMIT;
        let mut asked_before = false;
        loop {
            let answers = block_on(self.admin()?.create_topics([&topic], &options()));
            match first_error(answers) {
                // The answer to an earlier request was lost, not the request.
                Err(KafkaError::AdminOp(RDKafkaErrorCode::TopicAlreadyExists)) if asked_before => {}
                Err(KafkaError::AdminOp(
                    RDKafkaErrorCode::DestroyBroker | RDKafkaErrorCode::InvalidReplicationFactor,
                )) if Instant::now() < deadline => {
                    asked_before = true;
                    std::thread::sleep(Duration::from_millis(200));
                    continue;
                }
                made => made.doing(format!("create topic {name}"))?,
            }
            return self.wait_topic(name, partitions);
        }
    }

    /// Raises a topic's number of partitions and waits until they serve.
    pub fn grow_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let count = usize::try_from(partitions).unwrap_or_default();
        let answers = block_on(
            self.admin()?
                .create_partitions([&NewPartitions::new(name, count)], &options()),
        );
        first_error(answers).doing(format!("grow topic {name}"))?;
        self.wait_topic(name, partitions)
    }

    /// Deletes a topic and waits until it is gone from the metadata.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let answers = block_on(self.admin()?.delete_topics(&[name], &options()));
        first_error(answers).doing(format!("delete topic {name}"))?;
        wait_for(&format!("topic {name} to be gone"), LIMIT, || {
            match self.partitions(name) {
                Ok(None) => Ok(()),
                Ok(Some(left)) => Err(format!("{left} partitions left")),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// Sets a topic's configs to exactly these; every other one returns to its default.
    pub fn set_topic_configs(&self, name: &str, configs: &[(&str, &str)]) -> Result<()> {
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (key, value) in configs {
            change = change.set(key, value);
        }
        let answers =
            block_on(self.admin()?.alter_configs([&change], &options())).doing("alter configs")?;
        let refused = answers
            .into_iter()
            .find_map(Result::err)
            .map(|(_, code)| code);
        refused
            .map_or(Ok(()), |code| Err(KafkaError::AdminOp(code)))
            .doing(format!("alter the configs of {name}"))
    }

    /// A topic's config value in force, if it has one.
    pub fn topic_config(&self, name: &str, key: &str) -> Result<Option<String>> {
        let action = format!("describe the configs of {name}");
        let resource = ResourceSpecifier::Topic(name);
        let admin = self.admin()?;
        let found = patiently(|| {
            let answers = block_on(admin.describe_configs([&resource], &options()))?;
            let configs = answers.into_iter().next().transpose();
            configs.map_err(KafkaError::AdminOp)
        });
        let configs = found.doing(action)?;
        Ok(configs.and_then(|configs| configs.get(key)?.value.clone()))
    }

    /// Deletes every record before `offset`, as retention would.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let mut offsets = rdkafka::TopicPartitionList::new();
        let action = format!("delete records of {topic}-{partition}");
        offsets
            .add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset))
            .doing(action.clone())?;
        let left =
            block_on(self.admin()?.delete_records(&offsets, &options())).doing(action.clone())?;
        left.elements()
            .iter()
            .try_for_each(|element| element.error())
            .doing(action)
    }

    /// How many partitions a topic has; none if there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        let client: BaseConsumer = self.client().create().doing("create a client")?;
        let metadata = patiently(|| client.fetch_metadata(Some(topic), LIMIT))
            .doing(format!("describe topic {topic}"))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found
            .filter(|found| !found.partitions().is_empty())
            .map(|found| found.partitions().len() as i32))
    }

    /// How many replicas each partition of a topic has, the least; none if there is no such topic.
    pub fn replicas(&self, topic: &str) -> Result<Option<usize>> {
        let client: BaseConsumer = self.client().create().doing("create a client")?;
        let metadata = client
            .fetch_metadata(Some(topic), LIMIT)
            .doing(format!("describe topic {topic}"))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.into_iter().flat_map(|found| found.partitions());
        Ok(partitions.map(|partition| partition.replicas().len()).min())
    }

    /// Adds a SCRAM-SHA-512 user to the running cluster. [`crate::ClusterBuilder::user`] is quicker.
    pub fn add_user(&self, name: &str, password: &str) -> Result<()> {
        let scram = format!("SCRAM-SHA-512=[password={password}]");
        let bootstrap = self.bootstrap();
        let arguments = [
            "--bootstrap-server",
            &bootstrap,
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            name,
        ];
        let arguments: Vec<&str> = arguments
            .into_iter()
            .chain(["--add-config", &scram])
            .collect();
        self.kafka()
            .run_tool("kafka.admin.ConfigCommand", &arguments)
            .map(drop)
    }

    /// Allows a principal, such as `User:reader`, operations such as `Read` on a resource, from anywhere.
    pub fn allow(&self, principal: &str, operations: &[&str], resource: &Resource) -> Result<()> {
        self.acl(
            &["--add", "--allow-principal", principal],
            operations,
            resource,
        )
    }

    /// Denies a principal operations on a resource.
    pub fn deny(&self, principal: &str, operations: &[&str], resource: &Resource) -> Result<()> {
        self.acl(
            &["--add", "--deny-principal", principal],
            operations,
            resource,
        )
    }

    /// Removes what [`Self::allow`] added.
    pub fn unallow(&self, principal: &str, operations: &[&str], resource: &Resource) -> Result<()> {
        self.acl(
            &["--remove", "--force", "--allow-principal", principal],
            operations,
            resource,
        )
    }

    /// Removes what [`Self::deny`] added.
    pub fn undeny(&self, principal: &str, operations: &[&str], resource: &Resource) -> Result<()> {
        self.acl(
            &["--remove", "--force", "--deny-principal", principal],
            operations,
            resource,
        )
    }

    /// Every ACL, as Kafka's tool prints them.
    pub fn list_acls(&self) -> Result<String> {
        self.kafka().run_tool(
            self.acl_class(),
            &["--bootstrap-server", &self.bootstrap(), "--list"],
        )
    }

    fn acl(&self, change: &[&str], operations: &[&str], resource: &Resource) -> Result<()> {
        let mut arguments = vec!["--bootstrap-server".to_owned(), self.bootstrap()];
        arguments.extend(change.iter().map(|part| (*part).to_owned()));
        for operation in operations {
            arguments.extend(["--operation".to_owned(), (*operation).to_owned()]);
        }
        arguments.extend(resource.arguments());
        self.kafka()
            .run_tool(self.acl_class(), &arguments)
            .map(drop)
    }

    fn acl_class(&self) -> &'static str {
        if self.kafka().is_before_4() {
            "kafka.admin.AclCommand"
        } else {
            "org.apache.kafka.tools.AclCommand"
        }
    }

    fn wait_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let client: BaseConsumer = self.client().create().doing("create a client")?;
        wait_for(
            &format!("topic {name} to have {partitions} leaders"),
            LIMIT,
            || {
                let metadata = client
                    .fetch_metadata(Some(name), LIMIT)
                    .map_err(|error| error.to_string())?;
                let leaders = metadata
                    .topics()
                    .iter()
                    .flat_map(|topic| topic.partitions());
                let ready = leaders
                    .filter(|partition| partition.leader() >= 0 && partition.error().is_none())
                    .count();
                if ready == usize::try_from(partitions).unwrap_or_default() {
                    Ok(())
                } else {
                    Err(format!("{ready} have one"))
                }
            },
        )
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.client().create().doing("create an admin client")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(LIMIT))
        .request_timeout(Some(LIMIT))
}

/// Asks again when a connection was dropped under the question; brokers that start or restart do that.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = ask();
        let dropped = answer.as_ref().is_err_and(|error| {
            matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::BrokerTransportFailure
                        | RDKafkaErrorCode::AllBrokersDown
                        | RDKafkaErrorCode::DestroyBroker
                        | RDKafkaErrorCode::OperationTimedOut
                )
            )
        });
        if !dropped || Instant::now() >= deadline {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn first_error(answers: Result<Vec<TopicResult>, KafkaError>) -> Result<(), KafkaError> {
    let refused = answers?.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |(_, code)| Err(KafkaError::AdminOp(code)))
}
