//! Metadata, offsets and topics of one cluster.

use std::cell::{OnceCell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::TopicPartition;

use crate::endpoint::Endpoint;
use crate::fault::{Fault, Operation};
use crate::ffi::admin::{Admin, Edge, Edges, list_offsets};
use crate::ffi::groups::{
    GroupPlaces, GroupState, OtherGroup, Patience, Told, delete_group_places, list_groups,
    other_groups, tell_group_places,
};
use crate::ffi::reader::{Fetched, OwnedRecord, Reader};
use crate::ffi::topic_ids::topic_ids;
use crate::watch::Watch;

/// For how long a leader that was seen is taken for one that is there.
const LEADERS_KNOWN: Duration = Duration::from_secs(1);
/// Up to how many topics are asked for one by one; more are asked for all at once.
const ASKED_SINGLY: usize = 3;

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

/// A record of a state topic: key, value (`None` is a tombstone) and offset.
pub type StateRecord = (Vec<u8>, Option<Vec<u8>>, i64);

/// How long a log's edges are waited for before it is read.
const EDGES_WITHIN: Duration = Duration::from_secs(20);
/// How long it is waited for a leader that has just moved, and how often it is looked for.
const MOVED_WITHIN: Duration = Duration::from_secs(5);
const MOVING_LOOK: Duration = Duration::from_millis(100);
/// How much time there must be for asking once more to make sense.
const ONE_MORE: Duration = Duration::from_secs(1);

/// Whether the broker that was asked leads the partition no more, or does not know yet that it does.
const fn has_moved(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::OffsetNotAvailable
    )
}

/// Whether nobody answers for a group just now: its coordinator moves when a broker goes, and reads its log first.
const fn is_between_coordinators(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
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
            reader: Reader::new(&endpoint.reader_to_end(), endpoint.watch.clone())?,
            leaders: RefCell::default(),
            groups: RefCell::default(),
            admin: OnceCell::new(),
        })
    }
}

impl Cluster {
    /// Opens clients; connects in the background.
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

    /// Asks for places of these groups; a client that was not answered by all of them is not asked again.
    fn ask_groups<G: AsRef<str>>(
        &self,
        groups: &[G],
        patience: Patience,
        tell: &mut dyn FnMut(usize, Told<'_>),
    ) -> Result<usize, Fault> {
        let Some(first) = groups.first() else {
            return Ok(0);
        };
        let clients = self.clients()?;
        let mut held = clients.groups.borrow_mut();
        let reader = match held.take() {
            Some(reader) => reader,
            None => Reader::new(
                &self.endpoint.reader_of_groups(first.as_ref()),
                self.endpoint.watch.clone(),
            )?,
        };
        let mut answered = 0;
        let asked = tell_group_places(&reader, groups, patience, &mut |number, told| {
            let is_true = match &told {
                Told::End(
                    Ok(())
                    | Err(
                        Fault::Denied { .. }
                        | Fault::Kafka {
                            // What is asked of a group of another kind, as share groups are.
                            code: Some(RDKafkaErrorCode::GroupIdNotFound),
                            ..
                        },
                    ),
                ) => true,
                Told::End(Err(_)) | Told::Place(..) => false,
            };
            answered += usize::from(is_true);
            tell(number, told);
        })?;
        reader.serve();
        if answered == groups.len() {
            *held = Some(reader);
        }
        Ok(asked)
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

    /// Which partitions of these topics have a leader, known for less than [`LEADERS_KNOWN`], or why none can be asked.
    fn leaders(
        &self,
        topics: &BTreeSet<&str>,
        within: Duration,
    ) -> Result<BTreeMap<String, Result<Vec<bool>, RDKafkaErrorCode>>, Fault> {
        let unknown: Vec<&str> = {
            let clients = self.clients()?;
            let mut leaders = clients.leaders.borrow_mut();
            leaders.retain(|_, (seen, _)| seen.elapsed() < LEADERS_KNOWN);
            let known = |topic: &&&str| !leaders.contains_key(**topic);
            topics.iter().filter(known).copied().collect()
        };
        let mut refused = BTreeMap::new();
        if unknown.len() > ASKED_SINGLY {
            self.metadata(None, within)?;
        } else {
            for topic in unknown {
                match self.metadata(Some(topic), within) {
                    Ok(_) => {}
                    Err(
                        Fault::Denied { code, .. }
                        | Fault::Kafka {
                            code: Some(code), ..
                        },
                    ) => {
                        refused.insert(topic, code);
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        let clients = self.clients()?;
        let leaders = clients.leaders.borrow();
        let of = |topic: &&str| match (leaders.get(*topic), refused.get(*topic)) {
            (Some((_, led)), _) => Ok(led.clone()),
            (None, Some(code)) => Err(*code),
            (None, None) => Err(RDKafkaErrorCode::UnknownTopicOrPartition),
        };
        Ok(topics
            .iter()
            .map(|topic| ((*topic).to_owned(), of(topic)))
            .collect())
    }

    /// One edge of each partition. Where its leader has just moved, the next one is asked.
    ///
    /// # Errors
    /// As [`list_offsets`].
    pub fn edges<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        edge: Edge,
        within: Duration,
    ) -> Result<Edges, Fault> {
        let began = Instant::now();
        let mut asked: Vec<&TopicPartition> = partitions.into_iter().collect();
        let mut told = Edges::new();
        loop {
            let left = within.saturating_sub(began.elapsed());
            told.append(&mut self.edges_now(&asked, edge, left)?);
            asked.retain(
                |partition| matches!(told.get(partition), Some(Err(code)) if has_moved(*code)),
            );
            if asked.is_empty() || began.elapsed() + MOVING_LOOK >= within.min(MOVED_WITHIN) {
                return Ok(told);
            }
            thread::sleep(MOVING_LOOK);
            let clients = self.clients()?;
            let mut leaders = clients.leaders.borrow_mut();
            for partition in &asked {
                leaders.remove(&*partition.topic);
            }
        }
    }

    fn edges_now(
        &self,
        asked: &[&TopicPartition],
        edge: Edge,
        within: Duration,
    ) -> Result<Edges, Fault> {
        let topics = asked.iter().map(|partition| &*partition.topic).collect();
        // librdkafka looks for leaders first. What it does not find in what it has cached it waits for: three seconds
        // when no broker was connected yet, and with a race between its threads for the answer.
        let leaders = self.leaders(&topics, within)?;
        let (mut led, mut refused) = (Vec::new(), Edges::new());
        for partition in asked.iter().copied() {
            let number = usize::try_from(partition.partition).ok();
            let code = match leaders.get(&*partition.topic) {
                Some(Ok(leaders)) => {
                    if number.and_then(|number| leaders.get(number)) == Some(&true) {
                        led.push(partition);
                        continue;
                    }
                    RDKafkaErrorCode::LeaderNotAvailable
                }
                Some(Err(code)) => *code,
                None => RDKafkaErrorCode::UnknownTopicOrPartition,
            };
            refused.insert(partition.clone(), Err(code));
        }
        let reader = self.reader()?;
        let edges = list_offsets(&reader, led, edge, within).map(|mut edges| {
            edges.append(&mut refused);
            edges
        });
        reader.serve();
        if edges.is_ok() {
            self.endpoint.watch.settled();
        }
        edges
    }

    /// The places that a group has committed, on all topics that the principal may see; empty for a group that the
    /// cluster does not know.
    ///
    /// # Errors
    /// No answer within `within`, or what the broker answered.
    pub fn group_places(&self, group: &str, within: Duration) -> Result<GroupPlaces, Fault> {
        let asked = Instant::now();
        let left = || within.saturating_sub(asked.elapsed());
        loop {
            match self.group_places_once(group, left()) {
                Err(Fault::Kafka {
                    code: Some(code), ..
                }) if is_between_coordinators(code) && left() > ONE_MORE => {
                    thread::sleep(MOVING_LOOK);
                }
                answer => return answer,
            }
        }
    }

    fn group_places_once(&self, group: &str, within: Duration) -> Result<GroupPlaces, Fault> {
        let mut told_so_far = GroupPlaces::new();
        let mut ended = Err(Fault::TimedOut {
            operation: Operation::GroupOffsets,
            subject: group.to_owned(),
            within,
        });
        self.ask_groups(&[group], within.into(), &mut |_, told| match told {
            Told::Place(topic, partition, place, _) => {
                told_so_far.insert(TopicPartition::new(topic, partition), place);
            }
            Told::End(answer) => ended = answer,
        })?;
        let places = ended.map(|()| told_so_far);
        if places.is_ok() {
            self.endpoint.watch.settled();
        }
        places
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

    /// The cluster's groups, and whether anybody is in them.
    ///
    /// # Errors
    /// As [`list_groups`].
    pub fn group_states(&self, within: Duration) -> Result<BTreeMap<String, GroupState>, Fault> {
        let reader = self.reader()?;
        let groups = list_groups(&reader, within);
        reader.serve();
        groups
    }

    /// Whether anybody is in a group of any kind, Kafka Connect's among them; a group that the cluster does not know is
    /// empty.
    ///
    /// # Errors
    /// No broker answered within `within`, or the principal may not see the group.
    pub fn group_has_members(&self, group: &str, within: Duration) -> Result<bool, Fault> {
        // A group that may not be seen is not listed either; this call tells the difference.
        self.group_places(group, within)?;
        let reader = self.reader()?;
        let answer = reader
            .client()
            .client()
            .fetch_group_list(Some(group), within);
        reader.serve();
        let list = answer.map_err(|error| Fault::kafka(Operation::ListGroups, group, error))?;
        Ok(list
            .groups()
            .iter()
            .any(|found| found.name() == group && !found.members().is_empty()))
    }

    /// The places of many groups; how many of them were asked for, in their order.
    ///
    /// # Errors
    /// As [`tell_group_places`].
    pub fn tell_group_places<G: AsRef<str>>(
        &self,
        groups: &[G],
        patience: impl Into<Patience>,
        tell: &mut dyn FnMut(usize, Told<'_>),
    ) -> Result<usize, Fault> {
        self.ask_groups(groups, patience.into(), tell)
    }

    /// Groups that are none of consumers, such as share groups and streams groups, that the principal may see.
    ///
    /// # Errors
    /// As [`other_groups`].
    pub fn other_groups(
        &self,
        is_consumers: &dyn Fn(&str) -> bool,
        within: Duration,
    ) -> Result<BTreeMap<String, OtherGroup>, Fault> {
        self.asked(|reader| other_groups(reader, is_consumers, within))
    }

    /// Deletes places of a group without members.
    ///
    /// # Errors
    /// As [`delete_group_places`].
    pub fn delete_group_places(
        &self,
        group: &str,
        places: &[TopicPartition],
        within: Duration,
    ) -> Result<(), Fault> {
        self.asked(|reader| delete_group_places(reader, group, places, within))
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

    /// Reads the committed record at exactly this offset; `None` if the log holds none there.
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn read_one(
        &self,
        partition: &TopicPartition,
        offset: i64,
        within: Duration,
    ) -> Result<Option<OwnedRecord>, Fault> {
        let deadline = Instant::now() + within;
        let mut reader = Reader::new(&self.endpoint.reader_to_end(), self.endpoint.watch.clone())?;
        reader.start(partition, offset)?;
        let mut fetched = Vec::new();
        while Instant::now() < deadline {
            reader.poll(Duration::from_millis(200), &mut fetched);
            match fetched.drain(..).next() {
                Some(Fetched::Record(_, record)) => {
                    return Ok((record.offset() == offset).then(|| record.to_owned()));
                }
                Some(Fetched::End(..)) => return Ok(None),
                Some(Fetched::Fault(_, code, reason)) => {
                    return Err(Fault::code(
                        Operation::Fetch,
                        &partition.to_string(),
                        code,
                        reason,
                    ));
                }
                None => {}
            }
        }
        Err(Fault::TimedOut {
            operation: Operation::Fetch,
            subject: partition.to_string(),
            within,
        })
    }

    /// The first offset below `until` from which on records were written under a higher leader epoch than `epoch`, or the
    /// log's end if that comes first; `until` if neither does. `None` while the partition cannot be read.
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn first_after_epoch(
        &self,
        partition: &TopicPartition,
        epoch: i32,
        until: i64,
        within: Duration,
    ) -> Result<Option<i64>, Fault> {
        let edge = |edge| -> Result<Option<i64>, Fault> {
            let found = self.edges([partition], edge, within)?.remove(partition);
            Ok(found.and_then(Result::ok))
        };
        let (Some(start), Some(end)) = (edge(Edge::Earliest)?, edge(Edge::HighWatermark)?) else {
            return Ok(None);
        };
        let (mut low, mut high) = (start, until.min(end).max(start));
        // Leader epochs never fall along a log: halves the range each time.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.epoch_at(partition, middle, within)? {
                Some((offset, found)) if found <= epoch => low = offset.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        Ok(Some(low.min(until.min(end).max(start))))
    }

    /// The first committed record at `offset` or behind it, and the leader epoch under which it was written; −1 for a
    /// record from before brokers had them. None if there is no such record.
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn epoch_at(
        &self,
        partition: &TopicPartition,
        offset: i64,
        within: Duration,
    ) -> Result<Option<(i64, i32)>, Fault> {
        let deadline = Instant::now() + within;
        let mut reader = Reader::new(&self.endpoint.reader_to_end(), self.endpoint.watch.clone())?;
        reader.start(partition, offset)?;
        let mut fetched = Vec::new();
        while Instant::now() < deadline {
            reader.poll(Duration::from_millis(200), &mut fetched);
            match fetched.drain(..).next() {
                Some(Fetched::Record(_, record)) => {
                    return Ok(Some((record.offset(), record.leader_epoch().unwrap_or(-1))));
                }
                Some(Fetched::End(..)) => return Ok(None),
                Some(Fetched::Fault(_, code, reason)) => {
                    return Err(Fault::code(
                        Operation::Fetch,
                        &partition.to_string(),
                        code,
                        reason,
                    ));
                }
                None => {}
            }
        }
        Err(Fault::TimedOut {
            operation: Operation::Fetch,
            subject: partition.to_string(),
            within,
        })
    }

    /// Reads the committed records of `partition` from `from` to the high watermark as of now, or to the last stable
    /// offset ([`Cluster::committed_by_now`]).
    ///
    /// # Errors
    /// A time limit, or what the broker answered.
    pub fn read_to_end(
        &self,
        partition: &TopicPartition,
        from: i64,
        within: Duration,
        mut take: impl FnMut(StateRecord),
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + within;
        // A leader that is silent for so long has to be looked for anew; whoever is told to stop waits no longer.
        let within_edges = within.min(EDGES_WITHIN);
        let edge = |edge| -> Result<i64, Fault> {
            match self
                .edges([partition], edge, within_edges)?
                .remove(partition)
            {
                Some(Ok(offset)) => Ok(offset),
                Some(Err(code)) => Err(Fault::code(
                    Operation::ListOffsets,
                    &partition.to_string(),
                    code,
                    code.to_string(),
                )),
                None => Err(Fault::TimedOut {
                    operation: Operation::ListOffsets,
                    subject: partition.to_string(),
                    within,
                }),
            }
        };
        let end = edge(self.reads_to)?;
        let start = from.max(edge(Edge::Earliest)?);
        if start >= end {
            return Ok(());
        }
        let mut reader = Reader::new(&self.endpoint.reader_to_end(), self.endpoint.watch.clone())?;
        reader.start(partition, start)?;
        let mut fetched = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::TimedOut {
                    operation: Operation::Fetch,
                    subject: partition.to_string(),
                    within,
                });
            }
            reader.poll(left.min(Duration::from_millis(200)), &mut fetched);
            for item in fetched.drain(..) {
                match item {
                    Fetched::Record(_, record) => take((
                        record.key().unwrap_or_default().to_vec(),
                        record.payload().map(<[u8]>::to_vec),
                        record.offset(),
                    )),
                    Fetched::End(_, at) if at.get() >= end => return Ok(()),
                    Fetched::End(..) => {}
                    Fetched::Fault(_, code, reason) => {
                        return Err(Fault::code(
                            Operation::Fetch,
                            &partition.to_string(),
                            code,
                            reason,
                        ));
                    }
                }
            }
        }
    }
}
