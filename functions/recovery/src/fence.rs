//! Shutting writers out of a cluster, and its exact inverse.
//!
//! DENY beats every ALLOW, so each writer principal gets a DENY of WRITE on every mirrored topic. Where a resource has no
//! ACL and the cluster admits everyone without one (`allow.everyone.if.no.acl.found=true`, MSK's default), the first ACL
//! would shut out readers and the replicator too: there its present use is allowed first. What was added is remembered,
//! and nothing else is ever removed.

use serde::{Deserialize, Serialize};

use crate::Epoch;

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
}

/// Whether a fence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceState {
    /// The cluster did not answer yet: it is fenced as soon as it does.
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
