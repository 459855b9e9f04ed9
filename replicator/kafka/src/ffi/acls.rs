//! ACLs: read, added, removed; each by exact binding.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use rdsys::rd_kafka_AclOperation_t as Native;
use rdsys::rd_kafka_AclPermissionType_t as Permission;
use rdsys::rd_kafka_ResourcePatternType_t as Pattern;
use rdsys::rd_kafka_ResourceType_t as Kind;
use rdsys::rd_kafka_admin_op_t as Op;
use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};

use super::call::{ask, c_string, lent, text_of};
use super::reader::Reader;
use crate::fault::{Fault, Operation};

/// The bindings of a cluster.
#[derive(Debug, Default)]
pub struct Acls {
    /// Those on topics, groups and transactional ids that we know how to say.
    pub known: BTreeSet<Acl>,
    /// How many on these have an operation or a pattern that this version does not know.
    pub unknown: usize,
    /// Whether the cluster told of no binding at all, on whatever resource. It may have none; but librdkafka drops the
    /// error of this answer, so it may also have no authorizer, or not let us see them.
    pub silent: bool,
}

/// Reads every binding (`DescribeAcls`), in one call, so that what comes is one answer.
///
/// # Errors
/// The call failed or got no answer within `within`. A refusal is not among them, see [`Acls::silent`].
pub fn describe_acls(reader: &Reader, within: Duration) -> Result<Acls, Fault> {
    let mut bindings = Bindings::default();
    let mut text = [0; 256];
    // SAFETY: nulls stand for anything; the filter is destroyed with `bindings`.
    let filter = unsafe {
        rdsys::rd_kafka_AclBindingFilter_new(
            Kind::RD_KAFKA_RESOURCE_ANY,
            std::ptr::null(),
            Pattern::RD_KAFKA_RESOURCE_PATTERN_ANY,
            std::ptr::null(),
            std::ptr::null(),
            Native::RD_KAFKA_ACL_OPERATION_ANY,
            Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
            text.as_mut_ptr(),
            text.len(),
        )
    };
    bindings.take(Operation::DescribeAcls, filter, &text)?;
    // SAFETY: one call of that kind; librdkafka copies the filter; nothing of the event is kept.
    unsafe {
        ask(
            reader,
            Operation::DescribeAcls,
            Op::RD_KAFKA_ADMIN_OP_DESCRIBEACLS,
            within,
            |call| rdsys::rd_kafka_DescribeAcls(call.native, filter, call.options, call.queue),
            |event| {
                let result = rdsys::rd_kafka_event_DescribeAcls_result(event);
                let mut count = 0_usize;
                let first = rdsys::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
                let mut acls = Acls {
                    silent: count == 0,
                    ..Acls::default()
                };
                for binding in lent(first, count) {
                    let kind = rdsys::rd_kafka_AclBinding_restype(*binding);
                    let Some(resource) = RESOURCES.into_iter().find(|r| kind_of(*r) == kind) else {
                        continue;
                    };
                    match acl_of(*binding, resource) {
                        Some(acl) => {
                            acls.known.insert(acl);
                        }
                        None => acls.unknown += 1,
                    }
                }
                Ok(acls)
            },
        )
    }
}

/// Adds bindings; those that are there already stay (`CreateAcls`). The answer holds what was refused.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`: what was added is then unknown.
pub fn create_acls(
    reader: &Reader,
    acls: &[&Acl],
    within: Duration,
) -> Result<Vec<(Acl, Fault)>, Fault> {
    if acls.is_empty() {
        return Ok(Vec::new());
    }
    let mut bindings = Bindings::default();
    for acl in acls {
        bindings.add(Operation::CreateAcls, acl, rdsys::rd_kafka_AclBinding_new)?;
    }
    // SAFETY: as in `describe_acls`.
    unsafe {
        ask(
            reader,
            Operation::CreateAcls,
            Op::RD_KAFKA_ADMIN_OP_CREATEACLS,
            within,
            |call| {
                rdsys::rd_kafka_CreateAcls(
                    call.native,
                    bindings.0.as_mut_ptr(),
                    bindings.0.len(),
                    call.options,
                    call.queue,
                );
            },
            |event| {
                let result = rdsys::rd_kafka_event_CreateAcls_result(event);
                let mut count = 0_usize;
                let first = rdsys::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
                // Answers come in the order of the request.
                Ok(acls
                    .iter()
                    .zip(lent(first, count))
                    .filter_map(|(acl, answer)| {
                        let error = rdsys::rd_kafka_acl_result_error(*answer);
                        Some(((*acl).clone(), fault_of(Operation::CreateAcls, acl, error)?))
                    })
                    .collect())
            },
        )
    }
}

/// Removes exactly these bindings; those that are gone already do not matter (`DeleteAcls`). The answer holds what was
/// refused.
///
/// # Errors
/// The call as a whole failed or got no answer within `within`: what was removed is then unknown.
pub fn delete_acls(
    reader: &Reader,
    acls: &[&Acl],
    within: Duration,
) -> Result<Vec<(Acl, Fault)>, Fault> {
    if acls.is_empty() {
        return Ok(Vec::new());
    }
    let mut filters = Bindings::default();
    for acl in acls {
        // Every field is given, so that the filter matches this binding and no other.
        filters.add(
            Operation::DeleteAcls,
            acl,
            rdsys::rd_kafka_AclBindingFilter_new,
        )?;
    }
    // SAFETY: as in `describe_acls`.
    unsafe {
        ask(
            reader,
            Operation::DeleteAcls,
            Op::RD_KAFKA_ADMIN_OP_DELETEACLS,
            within,
            |call| {
                rdsys::rd_kafka_DeleteAcls(
                    call.native,
                    filters.0.as_mut_ptr(),
                    filters.0.len(),
                    call.options,
                    call.queue,
                );
            },
            |event| {
                let result = rdsys::rd_kafka_event_DeleteAcls_result(event);
                let mut count = 0_usize;
                let first = rdsys::rd_kafka_DeleteAcls_result_responses(result, &raw mut count);
                Ok(acls
                    .iter()
                    .zip(lent(first, count))
                    .filter_map(|(acl, answer)| {
                        let error = rdsys::rd_kafka_DeleteAcls_result_response_error(*answer);
                        Some(((*acl).clone(), fault_of(Operation::DeleteAcls, acl, error)?))
                    })
                    .collect())
            },
        )
    }
}

/// How librdkafka makes a binding or a filter of its parts.
type Make = unsafe extern "C" fn(
    Kind,
    *const std::ffi::c_char,
    Pattern,
    *const std::ffi::c_char,
    *const std::ffi::c_char,
    Native,
    Permission,
    *mut std::ffi::c_char,
    usize,
) -> *mut rdsys::rd_kafka_AclBinding_t;

/// Bindings made for one call, destroyed after it.
#[derive(Default)]
struct Bindings(Vec<*mut rdsys::rd_kafka_AclBinding_t>);

impl Bindings {
    fn add(&mut self, operation: Operation, acl: &Acl, make: Make) -> Result<(), Fault> {
        let (name, principal, host) = (
            c_string(&acl.name)?,
            c_string(&acl.principal)?,
            c_string(&acl.host)?,
        );
        let mut text = [0; 256];
        // SAFETY: C strings that librdkafka copies; `text` is as long as it is said to be.
        let binding = unsafe {
            make(
                kind_of(acl.resource),
                name.as_ptr(),
                match acl.pattern {
                    AclPattern::Literal => Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                    AclPattern::Prefixed => Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
                },
                principal.as_ptr(),
                host.as_ptr(),
                native_of(acl.operation),
                match acl.permission {
                    AclPermission::Allow => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                    AclPermission::Deny => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
                },
                text.as_mut_ptr(),
                text.len(),
            )
        };
        self.take(operation, binding, &text)
    }

    fn take(
        &mut self,
        operation: Operation,
        binding: *mut rdsys::rd_kafka_AclBinding_t,
        text: &[std::ffi::c_char; 256],
    ) -> Result<(), Fault> {
        if binding.is_null() {
            return Err(Fault::Kafka {
                operation,
                subject: "a binding".to_owned(),
                code: None,
                // SAFETY: librdkafka ends its text with a zero; a text it did not write is all zeros.
                reason: unsafe { text_of(text.as_ptr()) },
            });
        }
        self.0.push(binding);
        Ok(())
    }
}

impl Drop for Bindings {
    fn drop(&mut self) {
        for binding in &self.0 {
            // SAFETY: made by librdkafka for us, destroyed once, here.
            unsafe { rdsys::rd_kafka_AclBinding_destroy(*binding) }
        }
    }
}

/// # Safety
/// `error` is null or live.
unsafe fn fault_of(
    operation: Operation,
    acl: &Acl,
    error: *const rdsys::rd_kafka_error_t,
) -> Option<Fault> {
    if error.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    let (code, reason) = unsafe {
        (
            rdsys::rd_kafka_error_code(error),
            text_of(rdsys::rd_kafka_error_string(error)),
        )
    };
    Some(Fault::code(
        operation,
        &acl.to_string(),
        RDKafkaErrorCode::from(code),
        reason,
    ))
}

/// # Safety
/// `binding` is live.
unsafe fn acl_of(
    binding: *const rdsys::rd_kafka_AclBinding_t,
    resource: AclResource,
) -> Option<Acl> {
    // SAFETY: as the caller promises; the texts live as long as the binding. Enumerations that librdkafka does not
    // know come as UNKNOWN.
    unsafe {
        Some(Acl {
            resource,
            name: text_of(rdsys::rd_kafka_AclBinding_name(binding)),
            pattern: match rdsys::rd_kafka_AclBinding_resource_pattern_type(binding) {
                Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL => AclPattern::Literal,
                Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED => AclPattern::Prefixed,
                _ => return None,
            },
            principal: text_of(rdsys::rd_kafka_AclBinding_principal(binding)),
            host: text_of(rdsys::rd_kafka_AclBinding_host(binding)),
            operation: operation_of(rdsys::rd_kafka_AclBinding_operation(binding))?,
            permission: match rdsys::rd_kafka_AclBinding_permission_type(binding) {
                Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW => AclPermission::Allow,
                Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY => AclPermission::Deny,
                _ => return None,
            },
        })
    }
}

/// The kinds of resources whose bindings we look at.
const RESOURCES: [AclResource; 3] = [
    AclResource::Topic,
    AclResource::Group,
    AclResource::TransactionalId,
];

fn kind_of(resource: AclResource) -> Kind {
    match resource {
        AclResource::Topic => Kind::RD_KAFKA_RESOURCE_TOPIC,
        AclResource::Group => Kind::RD_KAFKA_RESOURCE_GROUP,
        AclResource::TransactionalId => Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
    }
}

fn native_of(operation: AclOperation) -> Native {
    match operation {
        AclOperation::All => Native::RD_KAFKA_ACL_OPERATION_ALL,
        AclOperation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
        AclOperation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
        AclOperation::Create => Native::RD_KAFKA_ACL_OPERATION_CREATE,
        AclOperation::Delete => Native::RD_KAFKA_ACL_OPERATION_DELETE,
        AclOperation::Alter => Native::RD_KAFKA_ACL_OPERATION_ALTER,
        AclOperation::Describe => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        AclOperation::DescribeConfigs => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        AclOperation::AlterConfigs => Native::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
    }
}

fn operation_of(native: Native) -> Option<AclOperation> {
    use AclOperation as Ours;
    [
        Ours::All,
        Ours::Read,
        Ours::Write,
        Ours::Create,
        Ours::Delete,
        Ours::Alter,
        Ours::Describe,
        Ours::DescribeConfigs,
        Ours::AlterConfigs,
    ]
    .into_iter()
    .find(|operation| native_of(*operation) == native)
}
