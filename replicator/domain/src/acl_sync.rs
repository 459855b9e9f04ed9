//! Which ACLs are added to and removed from the target, so that it follows the source's.
//!
//! What others made on the target is never removed: only what is remembered as ours. Nothing is added that could open
//! the standby to writers, and on a cluster that admits everyone where there is no ACL, neither the first ACL of a
//! resource is added nor its last one removed in silence: the one shuts everybody out whom it does not name, the other
//! lets everybody in.

use std::collections::{BTreeMap, BTreeSet};

use crate::binding::EVERY;
use crate::{
    Acl, AclOperation, AclPattern, AclPermission, AclResource, ReplicationPolicy, is_internal,
};

/// What happens to bindings about writing to topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclWrite {
    /// They stay away until the target is opened; ALLOW ALL becomes ALLOW READ, as in MirrorMaker 2.
    ///
    /// DENY WRITE stays away too: that is how a recovery fences the source, and the fence must not follow the
    /// writers who move over.
    Withhold,
    /// They are mirrored as they are.
    Include,
}

/// What happens to a resource's first ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FirstAcl {
    /// It is not added, and reported.
    Refuse,
    /// It is added.
    Allow,
}

/// What decides beside the two clusters' bindings.
pub struct AclRules<'a> {
    /// What topics are called on the target.
    pub policy: &'a ReplicationPolicy,
    /// Principals with another name on the target.
    pub principals: &'a BTreeMap<String, String>,
    /// About writing to topics.
    pub write: AclWrite,
    /// About a resource's first ACL.
    pub first: FirstAcl,
    /// Whether the target admits everyone to a resource without ACLs, or may do so.
    pub open: bool,
    /// Whether a topic of the source is mirrored.
    pub selects_topic: &'a dyn Fn(&str) -> bool,
    /// Whether a group's or transactional id's name is mirrored.
    pub selects_group: &'a dyn Fn(&str) -> bool,
    /// The topics of the source, to tell what a prefix stands for.
    pub source_topics: &'a BTreeSet<String>,
}

/// What is to be done on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclPlan {
    /// To be added.
    pub add: BTreeSet<Acl>,
    /// Ours, and no longer on the source: to be removed.
    pub remove: BTreeSet<Acl>,
    /// Remembered as ours, but neither wanted nor there any more.
    pub forget: BTreeSet<Acl>,
    /// The source's bindings about writing that stay away, whole or in part, as they would be on the target.
    pub withheld: BTreeSet<Acl>,
    /// Not added, because they would be the first on their resource.
    pub refused: BTreeSet<Acl>,
    /// Ours and gone from the source, but the last on a resource that the source still protects.
    pub kept: BTreeSet<Acl>,
    /// The source's bindings whose pattern takes in topics that are not mirrored.
    pub partial: BTreeSet<Acl>,
}

/// Compares the source's bindings with the target's; `remembered` are those that we added before.
pub fn plan_acls(
    source: &BTreeSet<Acl>,
    target: &BTreeSet<Acl>,
    remembered: &BTreeSet<Acl>,
    rules: &AclRules<'_>,
) -> AclPlan {
    let mut plan = AclPlan::default();
    let (mut wanted, mut stays, mut protected) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for acl in source {
        let reach = reach(acl, rules);
        if reach == Reach::None {
            continue;
        }
        let renamed = renamed(acl, rules);
        protected.insert(renamed.clone());
        let mapped = admitted(&renamed, rules.write);
        if mapped.as_ref() != Some(&renamed) {
            plan.withheld.insert(renamed);
        }
        let Some(mapped) = mapped else { continue };
        // What the source still has is not taken away because its topics are out of sight for a moment.
        stays.insert(mapped.clone());
        match reach {
            Reach::Whole => {
                wanted.insert(mapped);
            }
            // Forbidding too much is as bad for the target's own applications as allowing too much.
            Reach::Partial => {
                plan.partial.insert(acl.clone());
            }
            Reach::Unseen | Reach::None => {}
        }
    }
    for acl in wanted.difference(target) {
        let first = !target.iter().any(|there| there.covers(acl));
        if first && rules.open && rules.first == FirstAcl::Refuse {
            plan.refused.insert(acl.clone());
        } else {
            plan.add.insert(acl.clone());
        }
    }
    for acl in remembered.difference(&stays) {
        if target.contains(acl) {
            plan.remove.insert(acl.clone());
        } else {
            plan.forget.insert(acl.clone());
        }
    }
    if rules.open {
        plan.keep_last(target, &protected);
    }
    plan
}

impl AclPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.forget.is_empty()
    }

    /// Takes back removals after which a resource that the source protects would be open to everyone.
    fn keep_last(&mut self, target: &BTreeSet<Acl>, protected: &BTreeSet<Acl>) {
        let left: Vec<&Acl> = target.difference(&self.remove).chain(&self.add).collect();
        self.kept = self
            .remove
            .iter()
            .filter(|acl| protected.iter().any(|other| other.same_pattern(acl)))
            .filter(|acl| !left.iter().any(|other| other.covers(acl)))
            .cloned()
            .collect();
        self.remove.retain(|acl| !self.kept.contains(acl));
    }
}

/// How much of what a binding is about is mirrored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    None,
    /// A prefix without a topic yet.
    Unseen,
    Partial,
    Whole,
}

fn reach(acl: &Acl, rules: &AclRules<'_>) -> Reach {
    let of = |selected: bool| if selected { Reach::Whole } else { Reach::None };
    match acl.resource {
        // Ids of mirroring itself belong to one cluster.
        AclResource::Group | AclResource::TransactionalId => {
            of(!acl.name.starts_with("understudy-") && (rules.selects_group)(&acl.name))
        }
        AclResource::Topic => {
            let prefix = match acl.pattern {
                AclPattern::Prefixed => acl.name.as_str(),
                AclPattern::Literal if acl.name == EVERY => "",
                AclPattern::Literal => return of((rules.selects_topic)(&acl.name)),
            };
            let mut seen = rules
                .source_topics
                .iter()
                .filter(|topic| topic.starts_with(prefix) && !is_internal(topic))
                .map(|topic| (rules.selects_topic)(topic))
                .peekable();
            if seen.peek().is_none() {
                return if is_internal(prefix) {
                    Reach::None
                } else {
                    Reach::Unseen
                };
            }
            let (mut any, mut all) = (false, true);
            for selected in seen {
                any |= selected;
                all &= selected;
            }
            match (any, all) {
                (_, true) => Reach::Whole,
                (true, false) => Reach::Partial,
                (false, false) => Reach::None,
            }
        }
    }
}

/// The binding under the target's names.
fn renamed(acl: &Acl, rules: &AclRules<'_>) -> Acl {
    let mut renamed = acl.clone();
    if let Some(principal) = rules.principals.get(&acl.principal) {
        renamed.principal.clone_from(principal);
    }
    match (rules.policy, acl.resource) {
        (ReplicationPolicy::Prefixed { .. }, AclResource::Topic) => {
            // Every topic of the source is every topic with its prefix on the target.
            let name = if acl.is_for_every() {
                renamed.pattern = AclPattern::Prefixed;
                ""
            } else {
                acl.name.as_str()
            };
            renamed.name = rules.policy.target_topic(name);
        }
        (ReplicationPolicy::Identity, _)
        | (_, AclResource::Group | AclResource::TransactionalId) => {}
    }
    renamed
}

/// What of a binding may be on the target now.
fn admitted(acl: &Acl, write: AclWrite) -> Option<Acl> {
    if write == AclWrite::Include || acl.resource != AclResource::Topic {
        return Some(acl.clone());
    }
    match (acl.permission, acl.operation) {
        (_, AclOperation::Write) => None,
        (AclPermission::Allow, AclOperation::All) => Some(Acl {
            operation: AclOperation::Read,
            ..acl.clone()
        }),
        _ => Some(acl.clone()),
    }
}
