//! Shutting writers out of a cluster, and its exact inverse.
//!
//! DENY beats every ALLOW, so each writer principal gets a DENY of WRITE on every mirrored topic. Where a resource has no
//! ACL and the cluster admits everyone without one (`allow.everyone.if.no.acl.found=true`, MSK's default), the first ACL
//! would shut out readers and the replicator too: there its present use is allowed first. What was added is remembered,
//! and nothing else is ever removed.

mod plan;

use serde::{Deserialize, Serialize};
use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};

use crate::Epoch;

pub use plan::{FenceImpossible, Unbarred, plan_fence, to_add, to_remove, unbarred, without};

/// Any resource or host, as ACLs spell it.
const ANY: &str = "*";

/// A fence on one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRecord {
    /// The epoch that wants it.
    pub epoch: Epoch,
    /// Whether it holds.
    pub state: FenceState,
    /// What was added, and nothing else.
    #[serde(default)]
    pub added: Vec<FenceAcl>,
    /// When it was first asked for, in milliseconds since 1970; nothing where an older version did.
    #[serde(default)]
    pub since_ms: Option<i64>,
}

/// Whether a fence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceState {
    /// The cluster did not answer yet: the fence is still to be set.
    Wanted,
    /// Its ACLs are set.
    Set,
    /// A write was refused, and every end stands.
    Proven,
    /// It is being lifted.
    Lifting,
}

/// One ACL of a fence, in a form that a store keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FenceAcl {
    /// The topic; `*` for any, literal only.
    pub topic: String,
    /// The principal.
    pub principal: String,
    /// `WRITE`, `READ`, …, as `kafka-acls` names it.
    pub operation: String,
    /// Whether it denies.
    pub deny: bool,
}

/// A stored ACL's operation is none that a topic has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation:?} is no operation of an ACL on a topic")]
pub struct UnknownOperation {
    /// As it was stored.
    pub operation: String,
}

/// What a topic's ACL can be about.
const OPERATIONS: [AclOperation; 9] = [
    AclOperation::All,
    AclOperation::Read,
    AclOperation::Write,
    AclOperation::Create,
    AclOperation::Delete,
    AclOperation::Alter,
    AclOperation::Describe,
    AclOperation::DescribeConfigs,
    AclOperation::AlterConfigs,
];

impl FenceAcl {
    /// As a cluster takes it.
    ///
    /// # Errors
    /// Its operation is not known.
    pub fn acl(&self) -> Result<Acl, UnknownOperation> {
        let operation = OPERATIONS
            .into_iter()
            .find(|operation| operation.to_string() == self.operation)
            .ok_or_else(|| UnknownOperation {
                operation: self.operation.clone(),
            })?;
        Ok(Acl {
            resource: AclResource::Topic,
            name: self.topic.clone(),
            pattern: AclPattern::Literal,
            principal: self.principal.clone(),
            host: ANY.to_owned(),
            operation,
            permission: if self.deny {
                AclPermission::Deny
            } else {
                AclPermission::Allow
            },
        })
    }

    /// As a store keeps it; nothing if a fence could not have made it.
    pub fn of(acl: &Acl) -> Option<Self> {
        let fits = acl.resource == AclResource::Topic
            && acl.pattern == AclPattern::Literal
            && acl.host == ANY;
        fits.then(|| Self {
            topic: acl.name.clone(),
            principal: acl.principal.clone(),
            operation: acl.operation.to_string(),
            deny: acl.permission == AclPermission::Deny,
        })
    }
}
