//! What mirroring withholds from a target: permissions to write, as the source has them.
//!
//! Nothing of them is in force on the target, and the source may be gone when they are needed: so the flow's worker keeps
//! them among its state on the target. While the source is there it is asked itself, because it may have changed since.
//!
//! With prefixed names nobody but the flow writes to copies: applications that move write to the topic of its own name
//! beside them, which is in use there. So what is granted is WRITE on that one, and never the first ACL that it has, which
//! would shut out everybody who uses it now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::{
    Acl, AclOperation, AclPermission, AclResource, AclRules, AclWrite, FirstAcl, ReplicationPolicy,
    plan_acls,
};
use understudy_flow::config::Flow;
use understudy_flow::stored_state::read_settings;
use understudy_kafka::{Cluster as Connection, Fault};
use understudy_shell::{PortError, PortErrorKind};

use crate::trouble::{of_fault, of_state};

/// How long one question to the source may take; applications wait.
const WITHIN: Duration = Duration::from_secs(2);

/// What mirroring withholds, as it is to be granted on the target; nothing of `fence`, which stands on the source. The
/// source is asked first if it is `there`.
///
/// # Errors
/// The target does not tell.
pub fn acls(flow: &Flow, there: bool, fence: &[Acl]) -> Result<Vec<Acl>, PortError> {
    if !flow.settings.acls || flow.settings.acl_write == AclWrite::Include {
        return Ok(Vec::new());
    }
    let asked = there.then(|| ask(flow)).transpose();
    let withheld = match asked {
        Ok(Some(withheld)) => withheld,
        Ok(None) => remembered(flow)?,
        Err(untold) => {
            tracing::warn!(flow = %flow.name, reason = %untold, "withheld ACLs are as the worker last saw them");
            remembered(flow)?
        }
    };
    let fence: BTreeSet<Acl> = fence.iter().map(|acl| on_target(flow, acl)).collect();
    let withheld = withheld.difference(&fence).cloned();
    match &flow.policy {
        ReplicationPolicy::Identity => Ok(withheld.collect()),
        ReplicationPolicy::Prefixed { .. } => {
            let wanted: Vec<Acl> = withheld.filter_map(|acl| beside(flow, &acl)).collect();
            if wanted.is_empty() {
                return Ok(wanted);
            }
            let target =
                Connection::open(&flow.target).map_err(|fault| of_fault(&flow.target, &fault))?;
            let told = |fault: Fault| of_fault(&flow.target, &fault);
            let there = target.acls(WITHIN).map_err(told)?.known;
            let closed = target.admits_everyone(WITHIN).map_err(told)? == Some(false);
            Ok(unharmful(wanted, &there, closed))
        }
    }
}

/// A permission to write to copies, as one to write to the topic of its own name beside them.
fn beside(flow: &Flow, acl: &Acl) -> Option<Acl> {
    // What is forbidden on one side is none of the other side's own topics' business.
    if acl.permission == AclPermission::Deny || acl.resource != AclResource::Topic {
        return None;
    }
    Some(Acl {
        name: flow.policy.source_topic(&acl.name)?.to_owned(),
        operation: AclOperation::Write,
        ..acl.clone()
    })
}

/// Those that shut nobody out: where there is no ACL yet, everybody is let in, unless the cluster is `closed`.
fn unharmful(wanted: Vec<Acl>, there: &BTreeSet<Acl>, closed: bool) -> Vec<Acl> {
    let mut wanted = wanted;
    wanted.retain(|acl| closed || there.iter().any(|present| present.covers(acl)));
    wanted
}

fn remembered(flow: &Flow) -> Result<BTreeSet<Acl>, PortError> {
    let target = Connection::open(&flow.target).map_err(|fault| of_fault(&flow.target, &fault))?;
    let made = read_settings(&target, &flow.state);
    Ok(made
        .map_err(|error| of_state(&flow.target, &error))?
        .withheld)
}

fn ask(flow: &Flow) -> Result<BTreeSet<Acl>, PortError> {
    let told = |fault: Fault| of_fault(&flow.source, &fault);
    let source = Connection::open(&flow.source).map_err(told)?;
    let known = source.acls(WITHIN).map_err(told)?;
    if known.silent {
        let text = format!(
            "cluster {} tells of no ACL at all: it has none, no authorizer, or does not let {} see them",
            flow.source.alias,
            flow.source.principal()
        );
        return Err(PortError::new(PortErrorKind::Missing, text));
    }
    let topics = source.topics(WITHIN).map_err(told)?;
    let names = topics.into_iter().map(|topic| topic.name).collect();
    Ok(withheld(flow, &known.known, &names))
}

/// What mirroring would withhold of these.
fn withheld(
    flow: &Flow,
    source: &BTreeSet<Acl>,
    source_topics: &BTreeSet<String>,
) -> BTreeSet<Acl> {
    let settings = &flow.settings;
    let nothing = BTreeSet::new();
    let rules = AclRules {
        policy: &flow.policy,
        principals: &settings.principals,
        write: AclWrite::Withhold,
        first: FirstAcl::Allow,
        open: false,
        selects_topic: &|topic| flow.selects(topic),
        selects_group: &|name| settings.selects_group(name),
        source_topics,
    };
    plan_acls(source, &nothing, &nothing, &rules).withheld
}

/// An ACL of a fence as mirroring would spell it on the target.
fn on_target(flow: &Flow, acl: &Acl) -> Acl {
    let principals: &BTreeMap<String, String> = &flow.settings.principals;
    let mut there = acl.clone();
    if let Some(principal) = principals.get(&acl.principal) {
        there.principal.clone_from(principal);
    }
    if acl.resource == AclResource::Topic {
        there.name = flow.policy.target_topic(&acl.name);
    }
    there
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use understudy_domain::{AclOperation, AclPattern, AclPermission};
    use understudy_flow::secrets::FirstRead;

    use super::*;

    #[test]
    fn what_is_withheld_and_what_is_a_fence_come_under_the_targets_names()
    -> Result<(), Box<dyn std::error::Error>> {
        let text = "[source]\nalias = \"a\"\n\"bootstrap.servers\" = \"a:1\"\n\
                    [target]\nalias = \"b\"\n\"bootstrap.servers\" = \"b:1\"\n\
                    [mirror]\ntopics = [\"orders\"]\npolicy = \"prefixed\"\nsync_acls = true\n";
        let flow = Flow::parse(
            text,
            Path::new("flow.toml"),
            &|_| None,
            FirstRead::WithTheFile,
        )?;
        let acl = |name: &str, principal: &str, operation, permission| Acl {
            resource: AclResource::Topic,
            name: name.to_owned(),
            pattern: AclPattern::Literal,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation,
            permission,
        };
        let source = BTreeSet::from([
            acl(
                "orders",
                "User:w",
                AclOperation::Write,
                AclPermission::Allow,
            ),
            acl("orders", "User:x", AclOperation::Write, AclPermission::Deny),
            acl("orders", "User:a", AclOperation::All, AclPermission::Allow),
            acl("orders", "User:r", AclOperation::Read, AclPermission::Allow),
            acl("other", "User:w", AclOperation::Write, AclPermission::Allow),
        ]);
        let topics = ["orders", "other"].map(str::to_owned).into_iter().collect();
        let withheld = withheld(&flow, &source, &topics);
        let names: Vec<String> = withheld.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "allow User:a ALL on topic a.orders",
                "allow User:w WRITE on topic a.orders",
                "deny User:x WRITE on topic a.orders",
            ]
        );
        let fence = acl("orders", "User:x", AclOperation::Write, AclPermission::Deny);
        assert!(withheld.contains(&on_target(&flow, &fence)));
        // Nobody writes to copies; and the first ACL of a topic in use would shut everybody else out of it.
        let own: Vec<Acl> = withheld.iter().filter_map(|it| beside(&flow, it)).collect();
        let names: Vec<String> = own.iter().map(ToString::to_string).collect();
        let granted = [
            "allow User:a WRITE on topic orders",
            "allow User:w WRITE on topic orders",
        ];
        assert_eq!(names, granted);
        let none = BTreeSet::new();
        assert_eq!(unharmful(own.clone(), &none, false), []);
        assert_eq!(unharmful(own.clone(), &none, true), own);
        let one = acl(
            "orders",
            "User:b",
            AclOperation::Write,
            AclPermission::Allow,
        );
        let there = BTreeSet::from([one]);
        assert_eq!(unharmful(own.clone(), &there, false), own);
        Ok(())
    }
}
