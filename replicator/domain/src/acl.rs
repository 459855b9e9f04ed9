//! What an ACL says, and whom it lets do what: Kafka's own rules, applied to a list of ACLs.

use std::fmt;

/// An operation that Kafka asks a permission for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclOperation {
    /// Everything.
    All,
    /// Reading records; committing a place; belonging to a group.
    Read,
    /// Writing records; producing under a transactional id.
    Write,
    /// Creating a topic.
    Create,
    /// Deleting.
    Delete,
    /// Adding partitions; on the cluster, changing ACLs.
    Alter,
    /// Seeing that it exists, and its metadata.
    Describe,
    /// What brokers do among themselves.
    ClusterAction,
    /// Reading configuration.
    DescribeConfigs,
    /// Changing configuration.
    AlterConfigs,
    /// Producing idempotently without a transaction, on brokers before 3.0.
    IdempotentWrite,
}

impl AclOperation {
    /// As documents spell it: `DESCRIBE_CONFIGS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Create => "CREATE",
            Self::Delete => "DELETE",
            Self::Alter => "ALTER",
            Self::Describe => "DESCRIBE",
            Self::ClusterAction => "CLUSTER_ACTION",
            Self::DescribeConfigs => "DESCRIBE_CONFIGS",
            Self::AlterConfigs => "ALTER_CONFIGS",
            Self::IdempotentWrite => "IDEMPOTENT_WRITE",
        }
    }

    /// As `kafka-acls --operation` takes it: `DescribeConfigs`.
    pub const fn option(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Delete => "Delete",
            Self::Alter => "Alter",
            Self::Describe => "Describe",
            Self::ClusterAction => "ClusterAction",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::AlterConfigs => "AlterConfigs",
            Self::IdempotentWrite => "IdempotentWrite",
        }
    }

    /// Whether being allowed this is being allowed `other` too.
    pub fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Read | Self::Write | Self::Delete | Self::Alter, Self::Describe) => true,
            (Self::AlterConfigs, Self::DescribeConfigs) => true,
            (this, other) => this == other,
        }
    }
}

impl fmt::Display for AclOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of thing a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// The cluster itself.
    Cluster,
    /// Topics.
    Topic,
    /// Consumer groups.
    Group,
    /// Transactional ids.
    TransactionalId,
}

impl ResourceKind {
    /// As a person says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Topic => "topic",
            Self::Group => "group",
            Self::TransactionalId => "transactional id",
        }
    }
}

/// Which things of a kind: one by its name, all whose names begin so, or all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// The one of this name.
    Literal(String),
    /// Those whose names begin so.
    Prefixed(String),
    /// All of them; Kafka writes it as the literal `*`.
    Any,
}

/// What an ACL is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The kind.
    pub kind: ResourceKind,
    /// Which of them.
    pub pattern: Pattern,
}

impl Resource {
    /// The cluster.
    pub const CLUSTER: Self = Self {
        kind: ResourceKind::Cluster,
        pattern: Pattern::Any,
    };

    /// Whether it covers the thing called `name`. The cluster's name does not matter.
    pub fn covers(&self, kind: ResourceKind, name: &str) -> bool {
        if self.kind != kind {
            return false;
        }
        match &self.pattern {
            Pattern::Any => true,
            Pattern::Literal(own) => kind == ResourceKind::Cluster || own == name,
            Pattern::Prefixed(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        match (&self.kind, &self.pattern) {
            (ResourceKind::Cluster, _) => f.write_str("the cluster"),
            (_, Pattern::Any) => write!(f, "every {kind}"),
            (_, Pattern::Literal(name)) => write!(f, "{kind} {name}"),
            (_, Pattern::Prefixed(prefix)) => write!(f, "every {kind} that begins with {prefix}"),
        }
    }
}

/// One ACL, as a cluster lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Whom it is about, like `User:understudy`; `User:*` is everyone.
    pub principal: String,
    /// From where; `*` is anywhere.
    pub host: String,
    /// What.
    pub operation: AclOperation,
    /// Whether it allows; otherwise it denies.
    pub allow: bool,
    /// On what.
    pub resource: Resource,
}

/// What a list of ACLs says about one operation of one principal on one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An ACL allows it, and none denies it.
    Allowed,
    /// An ACL denies it, or the thing has ACLs and none allows it.
    Refused,
    /// The thing has no ACL: super users may, others as `allow.everyone.if.no.acl.found` says.
    NoAcl,
    /// It depends on the host that we come from.
    ByHost,
}

/// Applies Kafka's rules: a denial beats every permission; READ, WRITE, DELETE and ALTER include DESCRIBE, and
/// ALTER_CONFIGS includes DESCRIBE_CONFIGS.
pub fn access(
    acls: &[Acl],
    principal: &str,
    operation: AclOperation,
    kind: ResourceKind,
    name: &str,
) -> Access {
    let on_it = || acls.iter().filter(|acl| acl.resource.covers(kind, name));
    let ours = |acl: &&Acl| acl.principal == principal || acl.principal == "User:*";
    let denies = on_it().filter(ours).filter(|acl| {
        !acl.allow && (acl.operation == operation || acl.operation == AclOperation::All)
    });
    let allows = on_it()
        .filter(ours)
        .filter(|acl| acl.allow && acl.operation.includes(operation));
    let (denied, denied_by_host) = by_host(denies);
    let (allowed, allowed_by_host) = by_host(allows);
    if denied {
        Access::Refused
    } else if allowed && !denied_by_host {
        Access::Allowed
    } else if allowed_by_host || (allowed && denied_by_host) {
        Access::ByHost
    } else if on_it().next().is_some() {
        Access::Refused
    } else {
        Access::NoAcl
    }
}

/// Whether one of them holds from anywhere, and whether one holds from some host.
fn by_host<'a>(acls: impl Iterator<Item = &'a Acl>) -> (bool, bool) {
    acls.fold((false, false), |(anywhere, somewhere), acl| {
        let all = acl.host == "*";
        (anywhere || all, somewhere || !all)
    })
}
