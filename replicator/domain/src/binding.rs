//! One access control list entry, in Kafka's terms.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A binding: who may or may not do what, from where, to which resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Acl {
    /// The kind of resource.
    pub resource: AclResource,
    /// Its name, the beginning of its name, or `*` for every one.
    pub name: String,
    /// How `name` is meant.
    pub pattern: AclPattern,
    /// Who, such as `User:a`.
    pub principal: String,
    /// From where; `*` for anywhere.
    pub host: String,
    /// What.
    pub operation: AclOperation,
    /// Whether it is allowed.
    pub permission: AclPermission,
}

/// Kinds of resources whose ACLs are mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AclResource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// A transactional id.
    TransactionalId,
}

/// How a binding's name is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AclPattern {
    /// The whole name; `*` stands for every resource.
    Literal,
    /// Every name that begins so.
    Prefixed,
}

/// What a binding is about, of the operations that these resources have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum AclOperation {
    All,
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    DescribeConfigs,
    AlterConfigs,
}

/// Whether a binding allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum AclPermission {
    Allow,
    Deny,
}

/// The name that stands for every resource.
pub const EVERY: &str = "*";

impl Acl {
    /// Whether it stands for every resource of its kind.
    pub fn is_for_every(&self) -> bool {
        self.pattern == AclPattern::Literal && self.name == EVERY
    }

    /// Whether every resource that `other` is about is also one that this is about: none of them is without an ACL.
    pub fn covers(&self, other: &Self) -> bool {
        if self.resource != other.resource {
            return false;
        }
        if self.is_for_every() {
            return true;
        }
        if other.is_for_every() {
            return false;
        }
        match self.pattern {
            AclPattern::Prefixed => other.name.starts_with(&self.name),
            AclPattern::Literal => other.pattern == AclPattern::Literal && other.name == self.name,
        }
    }

    /// Whether both are about the same resource pattern.
    pub fn same_pattern(&self, other: &Self) -> bool {
        self.resource == other.resource && self.pattern == other.pattern && self.name == other.name
    }
}

impl fmt::Display for AclResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::TransactionalId => "transactional id",
        })
    }
}

impl fmt::Display for AclOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "ALL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Create => "CREATE",
            Self::Delete => "DELETE",
            Self::Alter => "ALTER",
            Self::Describe => "DESCRIBE",
            Self::DescribeConfigs => "DESCRIBE_CONFIGS",
            Self::AlterConfigs => "ALTER_CONFIGS",
        })
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permission = match self.permission {
            AclPermission::Allow => "allow",
            AclPermission::Deny => "deny",
        };
        let prefix = match self.pattern {
            AclPattern::Literal => "",
            AclPattern::Prefixed => "prefix ",
        };
        write!(
            f,
            "{permission} {} {} on {} {prefix}{}",
            self.principal, self.operation, self.resource, self.name
        )
    }
}
