//! Which ACLs make a fence, in which order they are added and removed, and whom they leave out.
//!
//! Invariants:
//! a. after the fence no writer may write to a fenced topic;
//! b. everybody else, and the writers otherwise, may do what they could before;
//! c. the inverse removes what was added and nothing else; neither while it is added nor while it is removed is anybody
//!    shut out who is not a writer.
//!
//! Super users are subject to no ACL, and neither are principals of MSK IAM: only a write that is refused proves a fence.

use std::collections::BTreeSet;

use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};

use super::{ANY, FenceAcl, UnknownOperation};

/// Everybody, as ACLs spell it.
const EVERYONE: &str = "User:*";

/// Why a cluster cannot be fenced by ACLs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceImpossible {
    /// Nobody is named.
    #[error("no writer is named: name the principals that write in fencing.writers")]
    NoWriters,
    /// It would shut out more than the applications.
    #[error(
        "{EVERYONE} cannot be fenced: it would shut out the reverse flow too; name each writer in fencing.writers"
    )]
    Everyone,
    /// Kafka would never find it.
    #[error("{writer:?} is no principal: Kafka spells them with their type, like User:orders")]
    NoPrincipal {
        /// As it was named.
        writer: String,
    },
    /// It is not the name of one topic.
    #[error("{topic:?} is not the name of a topic")]
    NoTopic {
        /// As it was named.
        topic: String,
    },
}

/// The ACLs that shut `writers` out of `topics`, in the order in which they are to be added: first what keeps everybody
/// else, then what denies.
///
/// `present` are the cluster's ACLs *without* those that this fence added before ([`without`]), so that a fence that was
/// begun is planned the same again. What is there already is not planned, and so never removed.
///
/// A topic without any ACL is open to everyone where the cluster says so or does not tell: there everyone is first
/// allowed everything, which is what they may do already. If the cluster does not tell and is closed after all, this
/// opens such a topic while the fence stands; nobody but super users can have used it.
///
/// # Errors
/// Nobody, everybody, or nobody in particular is named.
pub fn plan_fence(
    writers: &[String],
    topics: &BTreeSet<String>,
    present: &[Acl],
    admits_everyone: Option<bool>,
) -> Result<Vec<FenceAcl>, FenceImpossible> {
    if writers.is_empty() {
        return Err(FenceImpossible::NoWriters);
    }
    for writer in writers {
        check_writer(writer)?;
    }
    if let Some(topic) = topics
        .iter()
        .find(|topic| topic.is_empty() || *topic == ANY)
    {
        return Err(FenceImpossible::NoTopic {
            topic: topic.clone(),
        });
    }
    let open = admits_everyone != Some(false);
    let keeps = topics
        .iter()
        .filter(|topic| open && !on(present, topic).any(|_| true))
        .map(|topic| FenceAcl {
            topic: topic.clone(),
            principal: EVERYONE.to_owned(),
            operation: AclOperation::All.to_string(),
            deny: false,
        });
    let writers: BTreeSet<&String> = writers.iter().collect();
    let denies = topics.iter().flat_map(|topic| {
        writers.iter().map(|writer| FenceAcl {
            topic: topic.clone(),
            principal: (*writer).clone(),
            operation: AclOperation::Write.to_string(),
            deny: true,
        })
    });
    let there: BTreeSet<FenceAcl> = present.iter().filter_map(FenceAcl::of).collect();
    Ok(keeps
        .chain(denies)
        .filter(|acl| !there.contains(acl))
        .collect())
}

fn check_writer(writer: &str) -> Result<(), FenceImpossible> {
    match writer.split_once(':') {
        Some((_, ANY)) => Err(FenceImpossible::Everyone),
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(()),
        Some(_) | None => Err(FenceImpossible::NoPrincipal {
            writer: writer.to_owned(),
        }),
    }
}

/// A fence's ACLs in two calls: the second may begin only when the first has been acknowledged.
///
/// # Errors
/// A stored operation is not known.
pub fn to_add(fence: &[FenceAcl]) -> Result<[Vec<Acl>; 2], UnknownOperation> {
    apart(fence)
}

/// The exact inverse, in two calls: the second may begin only when the first has been acknowledged.
///
/// # Errors
/// A stored operation is not known.
pub fn to_remove(fence: &[FenceAcl]) -> Result<[Vec<Acl>; 2], UnknownOperation> {
    let [allows, denies] = apart(fence)?;
    Ok([denies, allows])
}

fn apart(fence: &[FenceAcl]) -> Result<[Vec<Acl>; 2], UnknownOperation> {
    let (mut allows, mut denies) = (Vec::new(), Vec::new());
    for acl in fence {
        let list = if acl.deny { &mut denies } else { &mut allows };
        list.push(acl.acl()?);
    }
    Ok([allows, denies])
}

/// A cluster's ACLs without those that a fence added.
pub fn without(present: &[Acl], added: &[FenceAcl]) -> Vec<Acl> {
    let added: BTreeSet<&FenceAcl> = added.iter().collect();
    present
        .iter()
        .filter(|acl| FenceAcl::of(acl).is_none_or(|acl| !added.contains(&acl)))
        .cloned()
        .collect()
}

/// A writer that ACLs do not shut out of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unbarred {
    /// The writer.
    pub writer: String,
    /// The topic.
    pub topic: String,
}

/// Which writers ACLs do not surely keep from writing, and where. What depends on the host that a writer comes from does
/// not keep it; neither does a cluster that does not tell whether it admits everyone.
pub fn unbarred(
    writers: &[String],
    topics: &BTreeSet<String>,
    acls: &[Acl],
    admits_everyone: Option<bool>,
) -> Vec<Unbarred> {
    let mut found = Vec::new();
    for topic in topics {
        let on_it: Vec<&Acl> = on(acls, topic).collect();
        for writer in writers {
            if !is_barred(writer, &on_it, admits_everyone) {
                found.push(Unbarred {
                    writer: writer.clone(),
                    topic: topic.clone(),
                });
            }
        }
    }
    found
}

fn is_barred(writer: &str, on_it: &[&Acl], admits_everyone: Option<bool>) -> bool {
    if on_it.is_empty() {
        return admits_everyone == Some(false);
    }
    let mut allowed = false;
    for acl in on_it {
        let about = (acl.principal == writer || acl.principal == EVERYONE)
            && matches!(acl.operation, AclOperation::Write | AclOperation::All);
        match acl.permission {
            AclPermission::Deny if about && acl.host == ANY => return true,
            AclPermission::Allow if about => allowed = true,
            AclPermission::Deny | AclPermission::Allow => {}
        }
    }
    !allowed
}

/// The ACLs that a topic has.
fn on<'a>(acls: &'a [Acl], topic: &'a str) -> impl Iterator<Item = &'a Acl> {
    acls.iter().filter(move |acl| {
        acl.resource == AclResource::Topic
            && match acl.pattern {
                AclPattern::Prefixed => topic.starts_with(&acl.name),
                AclPattern::Literal => acl.name == ANY || acl.name == topic,
            }
    })
}
