//! Metadata, offsets and topics of one cluster.

use std::cell::{OnceCell, Ref, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::endpoint::Endpoint;
use crate::fault::{Fault, Operation};
use crate::ffi::admin::{Admin, Edge};
use crate::ffi::reader::Reader;
use crate::ffi::topic_ids::topic_ids;
use crate::watch::Watch;

mod edges;
mod groups;
mod reading;

pub use reading::StateRecord;

/// How often a leader or a coordinator that has just moved is looked for.
const MOVING_LOOK: Duration = Duration::from_millis(100);

/// A topic as a cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether each of them has a leader.
    pub led: bool,
}

/// A cluster's administrative side; every call has a time limit.
pub struct Cluster {
    endpoint: Endpoint,
    /// Where [`Cluster::read_to_end`] ends.
    reads_to: Edge,
    /// Replaced when the endpoint was renewed.
    clients: RefCell<Clients>,
}

/// The clients of one generation of an endpoint.
struct Clients {
    generation: u64,
    reader: Reader,
    /// By topic, as the reader last had it from the cluster: which partitions have a leader.
    leaders: RefCell<BTreeMap<String, (Instant, Vec<bool>)>>,
    /// Opened for the first question about places of groups, and again after one without a true answer: librdkafka
    /// goes on asking a coordinator that is gone, or is it no more, until `metadata.max.age.ms`, a quarter of an hour.
    groups: RefCell<Option<Reader>>,
    /// Opened for the first call that changes or describes something: it costs a thread.
    admin: OnceCell<Admin>,
}

impl Clients {
    fn open(endpoint: &Endpoint) -> Result<Self, Fault> {
        Ok(Self {
            // Before the client, so that what changes meanwhile is seen as a change.
            generation: endpoint.generation(),
            reader: Reader::new(&endpoint.asker(), endpoint.watch.clone())?,
            leaders: RefCell::default(),
            groups: RefCell::default(),
            admin: OnceCell::new(),
        })
    }
}

impl Cluster {
    /// Opens clients for as long as the process runs, which connect to every broker; see [`Endpoint::lasting`].
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn kept(endpoint: &Endpoint) -> Result<Self, Fault> {
        Self::open(&endpoint.lasting())
    }

    /// Opens clients for a few questions; connects in the background, and to few brokers.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn open(endpoint: &Endpoint) -> Result<Self, Fault> {
        Ok(Self {
            endpoint: endpoint.clone(),
            reads_to: Edge::HighWatermark,
            clients: RefCell::new(Clients::open(endpoint)?),
        })
    }

    /// Reads logs to their last stable offsets: what is committed by now. To the high watermark, reading waits for every
    /// transaction that is open there; one whose writer died stays so until the brokers' time limit for it.
    #[must_use]
    pub fn committed_by_now(mut self) -> Self {
        self.reads_to = Edge::LastStable;
        self
    }

    fn clients(&self) -> Result<Ref<'_, Clients>, Fault> {
        let old = self.clients.borrow().generation != self.endpoint.generation();
        // Somebody up the stack may be at work with the old ones; they serve until the next call then.
        if old && let Ok(mut clients) = self.clients.try_borrow_mut() {
            *clients = Clients::open(&self.endpoint)?;
        }
        Ok(self.clients.borrow())
    }

    fn reader(&self) -> Result<Ref<'_, Reader>, Fault> {
        Ok(Ref::map(self.clients()?, |clients| &clients.reader))
    }

    pub(crate) fn admin(&self) -> Result<Ref<'_, AdminClient<Watch>>, Fault> {
        let clients = self.clients()?;
        if clients.admin.get().is_none() {
            let admin = Admin::open(&self.endpoint)?;
            // It was empty, and nobody else has this cluster.
            let _was_empty = clients.admin.set(admin);
        }
        Ref::filter_map(clients, |clients| clients.admin.get().map(Admin::client)).map_err(
            |_empty| Fault::Kafka {
                operation: Operation::OpenClient,
                subject: self.endpoint.alias.clone(),
                code: None,
                reason: "no admin client".to_owned(),
            },
        )
    }

    /// An admin call on the reader's client, with its events served after it.
    pub(crate) fn asked<T>(
        &self,
        call: impl FnOnce(&Reader) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let reader = self.reader()?;
        let answer = call(&reader);
        reader.serve();
        if answer.is_ok() {
            self.endpoint.watch.settled();
        }
        answer
    }

    /// The cluster that this is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The cluster's own id.
    ///
    /// # Errors
    /// No broker answered within `within`.
    pub fn id(&self, within: Duration) -> Result<String, Fault> {
        let reader = self.reader()?;
        let id = reader.client().client().fetch_cluster_id(within);
        reader.serve();
        id.inspect(|_| self.endpoint.watch.settled())
            .ok_or_else(|| Fault::TimedOut {
                operation: Operation::Metadata,
                subject: self.endpoint.alias.clone(),
                within,
            })
    }

    /// All topics that the principal may see.
    ///
    /// # Errors
    /// No broker answered within `within`.
    pub fn topics(&self, within: Duration) -> Result<Vec<Topic>, Fault> {
        self.metadata(None, within)
    }

    /// One topic, if it exists and the principal may see it.
    ///
    /// # Errors
    /// No broker answered within `within`, or the principal may not see it.
    pub fn topic(&self, name: &str, within: Duration) -> Result<Option<Topic>, Fault> {
        Ok(self
            .metadata(Some(name), within)?
            .into_iter()
            .find(|topic| topic.partitions > 0))
    }

    fn metadata(&self, name: Option<&str>, within: Duration) -> Result<Vec<Topic>, Fault> {
        let clients = self.clients()?;
        let reader = &clients.reader;
        let answer = reader.client().fetch_metadata(name, within);
        reader.serve();
        let metadata = answer.map_err(|error| match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure,
            )
            | None => Fault::TimedOut {
                operation: Operation::Metadata,
                subject: self.endpoint.alias.clone(),
                within,
            },
            Some(_) => Fault::kafka(Operation::Metadata, &self.endpoint.alias, error),
        })?;
        self.endpoint.watch.settled();
        let mut topics = Vec::new();
        for topic in metadata.topics() {
            if let Some(code) = topic.error() {
                let code = RDKafkaErrorCode::from(code);
                match code {
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::LeaderNotAvailable => continue,
                    _ => {
                        return Err(Fault::code(
                            Operation::Metadata,
                            topic.name(),
                            code,
                            code.to_string(),
                        ));
                    }
                }
            }
            let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            let mut led = vec![false; topic.partitions().len()];
            for partition in topic.partitions() {
                let number = usize::try_from(partition.id()).ok();
                if let Some(led) = number.and_then(|number| led.get_mut(number)) {
                    *led = partition.leader() >= 0;
                }
            }
            topics.push(Topic {
                name: topic.name().to_owned(),
                partitions,
                led: led.iter().all(|led| *led),
            });
            let seen = (Instant::now(), led);
            let mut leaders = clients.leaders.borrow_mut();
            leaders.insert(topic.name().to_owned(), seen);
        }
        Ok(topics)
    }

    /// Creates a topic with so many replicas, or as many as the cluster makes without being told (−1); a topic that exists
    /// already is left as it is.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: i32,
        configs: &[(&str, &str)],
        within: Duration,
    ) -> Result<(), Fault> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new()
            .operation_timeout(Some(within))
            .request_timeout(Some(within));
        let answer = pollster::block_on(self.admin()?.create_topics([&topic], &options))
            .map_err(|error| Fault::kafka(Operation::CreateTopic, name, error))?;
        for result in answer {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(Fault::code(
                        Operation::CreateTopic,
                        &topic,
                        code,
                        code.to_string(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Raises a topic's number of partitions to `partitions`.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn grow_topic(&self, name: &str, partitions: i32, within: Duration) -> Result<(), Fault> {
        let count = usize::try_from(partitions).unwrap_or_default();
        let options = AdminOptions::new()
            .operation_timeout(Some(within))
            .request_timeout(Some(within));
        let growth = [NewPartitions::new(name, count)];
        let answer = pollster::block_on(self.admin()?.create_partitions(&growth, &options))
            .map_err(|error| Fault::kafka(Operation::CreatePartitions, name, error))?;
        for result in answer {
            if let Err((topic, code)) = result {
                // Another worker was quicker.
                if code == RDKafkaErrorCode::InvalidPartitions
                    && self
                        .topic(name, within)?
                        .is_some_and(|topic| topic.partitions >= partitions)
                {
                    continue;
                }
                return Err(Fault::code(
                    Operation::CreatePartitions,
                    &topic,
                    code,
                    code.to_string(),
                ));
            }
        }
        Ok(())
    }

    /// The ids of topics, where the cluster tells them.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn topic_ids<'a>(
        &self,
        topics: impl IntoIterator<Item = &'a str>,
        within: Duration,
    ) -> Result<BTreeMap<String, String>, Fault> {
        topic_ids(&*self.reader()?, topics, within)
    }

    /// One configuration value of a topic.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer within `within`.
    pub fn topic_config(
        &self,
        name: &str,
        key: &str,
        within: Duration,
    ) -> Result<Option<String>, Fault> {
        let options = AdminOptions::new().request_timeout(Some(within));
        let fault = |error| Fault::kafka(Operation::DescribeConfigs, name, error);
        let answers = pollster::block_on(
            self.admin()?
                .describe_configs([&ResourceSpecifier::Topic(name)], &options),
        )
        .map_err(fault)?;
        for answer in answers {
            let resource = answer.map_err(|code| {
                Fault::code(Operation::DescribeConfigs, name, code, code.to_string())
            })?;
            // The safe crate drops a resource's error: what may not be read comes back without entries.
            if resource.entries.is_empty() {
                return Err(Fault::Denied {
                    operation: Operation::DescribeConfigs,
                    subject: name.to_owned(),
                    code: RDKafkaErrorCode::TopicAuthorizationFailed,
                });
            }
            if let Some(entry) = resource.get(key) {
                return Ok(entry.value.clone());
            }
        }
        Ok(None)
    }
}
