//! What can go wrong between us and a cluster.

use std::fmt;
use std::time::Duration;
use understudy_domain::words::limit;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What was being asked of a cluster; its text completes "could not …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creating a client from its properties.
    OpenClient,
    /// Making a topic handle.
    OpenTopic,
    /// Fetching records.
    Fetch,
    /// Reading cluster metadata.
    Metadata,
    /// Reading offsets by isolation level.
    ListOffsets,
    /// Creating a topic.
    CreateTopic,
    /// Raising a topic's number of partitions.
    CreatePartitions,
    /// Taking a transactional id over from whoever held it.
    InitTransactions,
    /// Opening a transaction.
    BeginTransaction,
    /// Appending a record.
    Produce,
    /// Waiting for the acknowledgement of appended records.
    Flush,
    /// Committing a transaction.
    CommitTransaction,
    /// Aborting a transaction.
    AbortTransaction,
    /// Joining the consumer group that shares out the slots.
    JoinGroup,
    /// Reading a topic's configuration.
    DescribeConfigs,
    /// Describing the cluster.
    DescribeCluster,
    /// Describing topics.
    DescribeTopics,
    /// Describing consumer groups.
    DescribeGroups,
    /// Listing ACLs.
    DescribeAcls,
    /// Reading the places that a group has committed.
    GroupOffsets,
    /// Listing consumer groups.
    ListGroups,
    /// Deleting places that a group has committed.
    DeleteGroupOffsets,
    /// Committing a group's places in a transaction.
    SendOffsets,
    /// Reading a broker's configuration.
    DescribeBrokerConfigs,
    /// Changing single keys of a topic's configuration.
    AlterConfigs,
    /// Adding ACLs.
    CreateAcls,
    /// Removing ACLs.
    DeleteAcls,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenClient => "open a client",
            Self::OpenTopic => "open a topic",
            Self::Fetch => "fetch records",
            Self::Metadata => "read metadata",
            Self::ListOffsets => "list offsets",
            Self::CreateTopic => "create a topic",
            Self::CreatePartitions => "raise a topic's number of partitions",
            Self::InitTransactions => "take the transactional id over",
            Self::BeginTransaction => "begin a transaction",
            Self::Produce => "append a record",
            Self::Flush => "have records acknowledged",
            Self::CommitTransaction => "commit a transaction",
            Self::AbortTransaction => "abort a transaction",
            Self::JoinGroup => "join the slots' consumer group",
            Self::DescribeConfigs => "read topic configs",
            Self::DescribeCluster => "describe the cluster",
            Self::DescribeTopics => "describe topics",
            Self::DescribeGroups => "describe groups",
            Self::DescribeAcls => "list ACLs",
            Self::GroupOffsets => "read the group's committed offsets",
            Self::ListGroups => "list consumer groups",
            Self::DeleteGroupOffsets => "delete a group's committed offsets",
            Self::SendOffsets => "commit a group's places",
            Self::DescribeBrokerConfigs => "read broker configs",
            Self::AlterConfigs => "change topic configs",
            Self::CreateAcls => "add ACLs",
            Self::DeleteAcls => "remove ACLs",
        })
    }
}

impl Operation {
    /// The permission that Kafka asks for this, as `kafka-acls` spells operation and resource type.
    pub fn permission(self) -> &'static str {
        match self {
            Self::Fetch => "READ on the topic",
            Self::Metadata | Self::ListOffsets | Self::OpenTopic => "DESCRIBE on the topic",
            Self::CreateTopic => "CREATE on the cluster or on the topic",
            Self::CreatePartitions => "ALTER on the topic",
            Self::InitTransactions
            | Self::BeginTransaction
            | Self::CommitTransaction
            | Self::AbortTransaction => "WRITE and DESCRIBE on the transactional id",
            Self::Produce | Self::Flush => "WRITE on the topic",
            Self::JoinGroup => "READ on the group",
            Self::DescribeConfigs => "DESCRIBE_CONFIGS on the topic",
            Self::OpenClient | Self::DescribeCluster | Self::DescribeAcls => {
                "DESCRIBE on the cluster"
            }
            Self::DescribeTopics => "DESCRIBE on the topic",
            Self::DescribeGroups => "DESCRIBE on the group",
            Self::GroupOffsets => "DESCRIBE on the group and on its topics",
            Self::ListGroups => "DESCRIBE on the group",
            Self::DeleteGroupOffsets => "DELETE on the group and READ on its topics",
            Self::SendOffsets => "READ on the group and on its topics",
            Self::DescribeBrokerConfigs => "DESCRIBE_CONFIGS on the cluster",
            Self::AlterConfigs => "ALTER_CONFIGS on the topic",
            Self::CreateAcls | Self::DeleteAcls => "ALTER on the cluster",
        }
    }
}

/// A call to a cluster that did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The brokers refused a step because somebody else holds the transactional id now.
    #[error(
        "could not {operation} with {subject}: the brokers fenced this producer: its slot has a newer owner, or a transaction of it was not ended in time ({reason})"
    )]
    Fenced {
        /// The step that was refused.
        operation: Operation,
        /// The transactional id.
        subject: String,
        /// The broker's code.
        code: RDKafkaErrorCode,
        /// The broker's words.
        reason: String,
    },
    /// The cluster answered that the principal may not do this.
    #[error("could not {operation} ({subject}): permission denied; it needs {}", operation.permission())]
    Denied {
        /// What was refused.
        operation: Operation,
        /// The topic, group or transactional id.
        subject: String,
        /// The broker's code.
        code: RDKafkaErrorCode,
    },
    /// No answer in time.
    #[error("could not {operation} ({subject}) within {}", limit(*.within))]
    TimedOut {
        /// What was not answered.
        operation: Operation,
        /// The topic, group or transactional id.
        subject: String,
        /// The limit.
        within: Duration,
    },
    /// Everything else that a cluster or the client library answered.
    #[error("could not {operation} ({subject}): {reason}")]
    Kafka {
        /// What failed.
        operation: Operation,
        /// The topic, group or transactional id.
        subject: String,
        /// The code, where there is one.
        code: Option<RDKafkaErrorCode>,
        /// The library's or the broker's words.
        reason: String,
    },
    /// The target refused one record for what it is; the rest of its partition waits behind it.
    #[error(
        "the target refused the record at {partition} offset {offset}{}: {reason}",
        if *exact { "" } else { ", or one behind it in its batch" }
    )]
    RecordRefused {
        /// Topic and partition, as on the source.
        partition: understudy_domain::TopicPartition,
        /// The record's offset on the source, or the first one of the refused batch.
        offset: understudy_domain::SourceOffset,
        /// Whether it is that record, and not one behind it in its batch.
        exact: bool,
        /// Why.
        reason: String,
    },
    /// The target stored a record under a time of its own.
    #[error(
        "the target replaces timestamps: {} there has message.timestamp.type=LogAppendTime; {}",
        copy.topic,
        keep_timestamps(&copy.topic)
    )]
    TimestampAltered {
        /// Where the record was to go.
        copy: understudy_domain::TopicPartition,
    },
    /// The cluster gave copies places that go backwards: somebody else writes with our identity.
    #[error("the target acknowledged {partition} out of order: {reason}")]
    OutOfOrder {
        /// Topic and partition.
        partition: understudy_domain::TopicPartition,
        /// What was seen.
        reason: String,
    },
    /// A name that cannot be a Kafka name.
    #[error("{0:?} cannot be a topic name: it holds a zero byte")]
    Name(String),
}

impl Fault {
    /// The fault that a code stands for.
    pub fn code(
        operation: Operation,
        subject: &str,
        code: RDKafkaErrorCode,
        reason: impl Into<String>,
    ) -> Self {
        use RDKafkaErrorCode as Code;
        let subject = subject.to_owned();
        match code {
            Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced => Self::Fenced {
                operation,
                subject,
                code,
                reason: reason.into(),
            },
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => Self::Denied {
                operation,
                subject,
                code,
            },
            _ => Self::Kafka {
                operation,
                subject,
                code: Some(code),
                reason: reason.into(),
            },
        }
    }

    /// The fault behind an error of the safe crate.
    pub fn kafka(operation: Operation, subject: &str, error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::code(operation, subject, code, error.to_string()),
            None => Self::Kafka {
                operation,
                subject: subject.to_owned(),
                code: None,
                reason: error.to_string(),
            },
        }
    }

    /// The fault that librdkafka left for this thread.
    pub(crate) fn last(operation: Operation, subject: &str) -> Self {
        Self::kafka_code(operation, subject, RDKafkaErrorCode::from(last_error()))
    }

    pub(crate) fn kafka_code(operation: Operation, subject: &str, code: RDKafkaErrorCode) -> Self {
        Self::code(operation, subject, code, code.to_string())
    }

    pub(crate) fn name(name: &str) -> Self {
        Self::Name(name.to_owned())
    }

    /// Whether somebody else holds the transactional id.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }
}

/// The command that makes a topic keep the timestamps that come with its records.
pub fn keep_timestamps(topic: &str) -> String {
    format!(
        "kafka-configs --alter --entity-type topics --entity-name {topic} --add-config message.timestamp.type=CreateTime"
    )
}

fn last_error() -> rdkafka_sys::RDKafkaRespErr {
    crate::ffi::names::last_error()
}
