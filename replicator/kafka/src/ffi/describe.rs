//! Describing clusters, topics and groups with what the principal may do there (KIP-430), and listing ACLs.
//!
//! Nothing here changes anything on a cluster.

use std::cell::Ref;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use rdsys::rd_kafka_AclOperation_t as NativeOperation;
use understudy_domain::acl::{Acl, AclOperation, Pattern, Resource, ResourceKind};

use super::call::{Asked, ask_client, c_string};
use crate::fault::{Fault, Operation};
use crate::watch::Watch;

/// What the principal may do; `None` when the broker does not tell.
pub type Authorized = Option<BTreeSet<AclOperation>>;

/// A broker as the cluster advertises it to this listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A cluster, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: Option<String>,
    /// Its live brokers.
    pub brokers: Vec<Node>,
    /// What the principal may do on the cluster.
    pub authorized: Authorized,
}

/// A topic, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// How many partitions.
    pub partitions: i32,
    /// The fewest replicas that a partition has.
    pub replicas_min: usize,
    /// How many partitions have no leader.
    pub leaderless: usize,
    /// What the principal may do on it.
    pub authorized: Authorized,
}

/// Answers by name; what was refused holds the broker's code.
pub type Described<T> = BTreeMap<String, Result<T, RDKafkaErrorCode>>;

/// One question to the cluster: the client, and how long it may take.
pub struct Question<'a> {
    /// Keeps the client from being replaced meanwhile.
    _admin: Ref<'a, AdminClient<Watch>>,
    native: *mut rdsys::rd_kafka_t,
    alias: &'a str,
    within: Duration,
}

impl<'a> Question<'a> {
    /// A question to the cluster `alias` by the client `admin`.
    pub fn new(admin: Ref<'a, AdminClient<Watch>>, alias: &'a str, within: Duration) -> Self {
        Self {
            native: admin.inner().native_ptr(),
            _admin: admin,
            alias,
            within,
        }
    }

    /// The cluster: id, brokers, permissions on it.
    ///
    /// # Errors
    /// The call got no answer in time, or was refused.
    pub fn cluster(&self) -> Result<ClusterDescription, Fault> {
        // SAFETY: `send` hands live objects on; `read` looks at the result while its event lives.
        unsafe {
            self.ask(
                rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
                Operation::DescribeCluster,
                true,
                |options, queue| rdsys::rd_kafka_DescribeCluster(self.native, options, queue),
                |event| {
                    let result = rdsys::rd_kafka_event_DescribeCluster_result(event);
                    let mut count = 0_usize;
                    let nodes =
                        rdsys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
                    let brokers = each(nodes, count)
                        .map(|node| Node {
                            id: rdsys::rd_kafka_Node_id(node),
                            host: text(rdsys::rd_kafka_Node_host(node)).unwrap_or_default(),
                            port: rdsys::rd_kafka_Node_port(node),
                        })
                        .collect();
                    let mut count = 0_usize;
                    let operations = rdsys::rd_kafka_DescribeCluster_result_authorized_operations(
                        result,
                        &raw mut count,
                    );
                    ClusterDescription {
                        id: text(rdsys::rd_kafka_DescribeCluster_result_cluster_id(result)),
                        brokers,
                        authorized: authorized(operations, count),
                    }
                },
            )
        }
    }

    /// Topics by name, with permissions on those that exist.
    ///
    /// # Errors
    /// The call as a whole got no answer in time, or was refused.
    pub fn topics(&self, names: &[String]) -> Result<Described<TopicDescription>, Fault> {
        if names.is_empty() {
            return Ok(Described::new());
        }
        let owned = c_strings(names)?;
        let mut pointers: Vec<*const c_char> = owned.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: as above; the collection copies the names and is destroyed after the call was sent.
        unsafe {
            let collection = rdsys::rd_kafka_TopicCollection_of_topic_names(
                pointers.as_mut_ptr(),
                pointers.len(),
            );
            let answer = self.ask(
                rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
                Operation::DescribeTopics,
                true,
                |options, queue| {
                    rdsys::rd_kafka_DescribeTopics(self.native, collection, options, queue);
                },
                |event| {
                    let result = rdsys::rd_kafka_event_DescribeTopics_result(event);
                    let mut count = 0_usize;
                    let topics =
                        rdsys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
                    each(topics, count)
                        .filter_map(|topic| described(topic))
                        .collect()
                },
            );
            rdsys::rd_kafka_TopicCollection_destroy(collection);
            answer
        }
    }

    /// What the principal may do with consumer groups, whether they exist or not.
    ///
    /// # Errors
    /// The call as a whole got no answer in time, or was refused.
    pub fn groups(&self, names: &[String]) -> Result<Described<Authorized>, Fault> {
        if names.is_empty() {
            return Ok(Described::new());
        }
        let owned = c_strings(names)?;
        let mut pointers: Vec<*const c_char> = owned.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: as above.
        unsafe {
            self.ask(
                rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
                Operation::DescribeGroups,
                true,
                |options, queue| {
                    rdsys::rd_kafka_DescribeConsumerGroups(
                        self.native,
                        pointers.as_mut_ptr(),
                        pointers.len(),
                        options,
                        queue,
                    );
                },
                |event| {
                    let result = rdsys::rd_kafka_event_DescribeConsumerGroups_result(event);
                    let mut count = 0_usize;
                    let groups = rdsys::rd_kafka_DescribeConsumerGroups_result_groups(
                        result,
                        &raw mut count,
                    );
                    each(groups, count)
                        .filter_map(|group| {
                            let name =
                                text(rdsys::rd_kafka_ConsumerGroupDescription_group_id(group))?;
                            let error = rdsys::rd_kafka_ConsumerGroupDescription_error(group);
                            let mut count = 0_usize;
                            let operations =
                                rdsys::rd_kafka_ConsumerGroupDescription_authorized_operations(
                                    group,
                                    &raw mut count,
                                );
                            Some((
                                name,
                                failure(error)
                                    .map_or_else(|| Ok(authorized(operations, count)), Err),
                            ))
                        })
                        .collect()
                },
            )
        }
    }

    /// Every ACL of the cluster; needs DESCRIBE on the cluster. librdkafka drops the answer's error: without that
    /// permission, and on a cluster without an authorizer, the list is empty.
    ///
    /// # Errors
    /// The call got no answer in time.
    pub fn acls(&self) -> Result<Vec<Acl>, Fault> {
        let mut reason: [c_char; 256] = [0; 256];
        // SAFETY: null means any; the filter is destroyed after the call was sent.
        unsafe {
            let filter = rdsys::rd_kafka_AclBindingFilter_new(
                rdsys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_ANY,
                std::ptr::null(),
                rdsys::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY,
                std::ptr::null(),
                std::ptr::null(),
                NativeOperation::RD_KAFKA_ACL_OPERATION_ANY,
                rdsys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
                reason.as_mut_ptr(),
                reason.len(),
            );
            let answer = self.ask(
                rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS,
                Operation::DescribeAcls,
                false,
                |options, queue| rdsys::rd_kafka_DescribeAcls(self.native, filter, options, queue),
                |event| {
                    let result = rdsys::rd_kafka_event_DescribeAcls_result(event);
                    let mut count = 0_usize;
                    let acls = rdsys::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
                    each(acls, count).filter_map(|acl| acl_of(acl)).collect()
                },
            );
            rdsys::rd_kafka_AclBinding_destroy(filter);
            answer
        }
    }

    /// Sends a call, waits for its one event and reads it.
    ///
    /// # Safety
    /// `send` makes exactly one admin call with the options and the queue it is given; `read` does not keep anything
    /// of the event.
    unsafe fn ask<T>(
        &self,
        kind: rdsys::rd_kafka_admin_op_t,
        operation: Operation,
        permissions: bool,
        send: impl FnOnce(*mut rdsys::rd_kafka_AdminOptions_t, *mut rdsys::rd_kafka_queue_t),
        read: impl FnOnce(*mut rdsys::rd_kafka_event_t) -> T,
    ) -> Result<T, Fault> {
        let asked = Asked {
            native: self.native,
            alias: self.alias,
            operation,
            kind,
            within: self.within,
        };
        // SAFETY: the client outlives the call because the question borrows it; the rest as the caller promises.
        unsafe {
            ask_client(
                &asked,
                |call| {
                    if permissions {
                        let refused =
                            rdsys::rd_kafka_AdminOptions_set_include_authorized_operations(
                                call.options,
                                1,
                            );
                        if !refused.is_null() {
                            rdsys::rd_kafka_error_destroy(refused);
                        }
                    }
                    send(call.options, call.queue);
                },
                |event| Ok(read(event)),
            )
        }
    }
}

fn c_strings(names: &[String]) -> Result<Vec<CString>, Fault> {
    names.iter().map(|name| c_string(name)).collect()
}

/// # Safety
/// `array` holds `count` live pointers, or is null.
unsafe fn each<T>(array: *mut *const T, count: usize) -> impl Iterator<Item = *const T> {
    let count = if array.is_null() { 0 } else { count };
    // SAFETY: `at` stays below `count`.
    (0..count).map(move |at| unsafe { *array.add(at) })
}

/// # Safety
/// `text` is a C string, or null.
unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, so a C string.
    Some(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}

/// # Safety
/// `error` is a live error object, or null.
unsafe fn failure(error: *const rdsys::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    if error.is_null() {
        return None;
    }
    // SAFETY: not null, so a live error object.
    match unsafe { rdsys::rd_kafka_error_code(error) } {
        rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => None,
        code => Some(RDKafkaErrorCode::from(code)),
    }
}

/// # Safety
/// `operations` holds `count` values, or is null.
unsafe fn authorized(operations: *const NativeOperation, count: usize) -> Authorized {
    if operations.is_null() {
        return None;
    }
    // SAFETY: not null, so `count` values.
    Some(
        (0..count)
            .filter_map(|at| operation_of(unsafe { *operations.add(at) }))
            .collect(),
    )
}

/// # Safety
/// `topic` is a live description.
unsafe fn described(
    topic: *const rdsys::rd_kafka_TopicDescription_t,
) -> Option<(String, Result<TopicDescription, RDKafkaErrorCode>)> {
    // SAFETY: everything looked at belongs to the description.
    unsafe {
        let name = text(rdsys::rd_kafka_TopicDescription_name(topic))?;
        if let Some(code) = failure(rdsys::rd_kafka_TopicDescription_error(topic)) {
            return Some((name, Err(code)));
        }
        let mut count = 0_usize;
        let partitions = rdsys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let (mut replicas_min, mut leaderless) = (usize::MAX, 0);
        for partition in each(partitions, count) {
            let mut replicas = 0_usize;
            rdsys::rd_kafka_TopicPartitionInfo_replicas(partition, &raw mut replicas);
            replicas_min = replicas_min.min(replicas);
            leaderless +=
                usize::from(rdsys::rd_kafka_TopicPartitionInfo_leader(partition).is_null());
        }
        let mut operations = 0_usize;
        let list =
            rdsys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut operations);
        Some((
            name,
            Ok(TopicDescription {
                partitions: i32::try_from(count).unwrap_or(i32::MAX),
                replicas_min,
                leaderless,
                authorized: authorized(list, operations),
            }),
        ))
    }
}

/// An ACL on something that a flow has to do with.
///
/// # Safety
/// `acl` is a live binding.
unsafe fn acl_of(acl: *const rdsys::rd_kafka_AclBinding_t) -> Option<Acl> {
    use rdsys::rd_kafka_AclPermissionType_t as Permission;
    use rdsys::rd_kafka_ResourcePatternType_t as NativePattern;
    use rdsys::rd_kafka_ResourceType_t as Kind;
    // SAFETY: everything looked at belongs to the binding.
    unsafe {
        let kind = match rdsys::rd_kafka_AclBinding_restype(acl) {
            Kind::RD_KAFKA_RESOURCE_TOPIC => ResourceKind::Topic,
            Kind::RD_KAFKA_RESOURCE_GROUP => ResourceKind::Group,
            Kind::RD_KAFKA_RESOURCE_BROKER => ResourceKind::Cluster,
            Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID => ResourceKind::TransactionalId,
            _ => return None,
        };
        let name = text(rdsys::rd_kafka_AclBinding_name(acl))?;
        let pattern = match rdsys::rd_kafka_AclBinding_resource_pattern_type(acl) {
            NativePattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL if name == "*" => Pattern::Any,
            NativePattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL => Pattern::Literal(name),
            NativePattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED => Pattern::Prefixed(name),
            _ => return None,
        };
        Some(Acl {
            principal: text(rdsys::rd_kafka_AclBinding_principal(acl))?,
            host: text(rdsys::rd_kafka_AclBinding_host(acl))?,
            operation: operation_of(rdsys::rd_kafka_AclBinding_operation(acl))?,
            allow: rdsys::rd_kafka_AclBinding_permission_type(acl)
                == Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
            resource: Resource { kind, pattern },
        })
    }
}

fn operation_of(native: NativeOperation) -> Option<AclOperation> {
    use NativeOperation as Native;
    Some(match native {
        Native::RD_KAFKA_ACL_OPERATION_ALL => AclOperation::All,
        Native::RD_KAFKA_ACL_OPERATION_READ => AclOperation::Read,
        Native::RD_KAFKA_ACL_OPERATION_WRITE => AclOperation::Write,
        Native::RD_KAFKA_ACL_OPERATION_CREATE => AclOperation::Create,
        Native::RD_KAFKA_ACL_OPERATION_DELETE => AclOperation::Delete,
        Native::RD_KAFKA_ACL_OPERATION_ALTER => AclOperation::Alter,
        Native::RD_KAFKA_ACL_OPERATION_DESCRIBE => AclOperation::Describe,
        Native::RD_KAFKA_ACL_OPERATION_CLUSTER_ACTION => AclOperation::ClusterAction,
        Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => AclOperation::DescribeConfigs,
        Native::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS => AclOperation::AlterConfigs,
        Native::RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE => AclOperation::IdempotentWrite,
        Native::RD_KAFKA_ACL_OPERATION_UNKNOWN
        | Native::RD_KAFKA_ACL_OPERATION_ANY
        | Native::RD_KAFKA_ACL_OPERATION__CNT => return None,
    })
}
