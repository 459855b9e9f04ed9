//! Whether every permission is there, one by one.

use std::collections::BTreeMap;

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::Slot;
use understudy_domain::acl::{Access, AclOperation, ResourceKind, access};
use understudy_domain::permissions::{End, Need, Part};
use understudy_kafka::ffi::describe::Authorized;

use crate::check::facts::{Acls, Facts};
use crate::check::finding::{Finding, Findings, Missing};
use crate::check::wanted::Wanted;
use crate::config::Flow;

/// How many names a line shows.
const NAMES_SHOWN: usize = 3;

/// What is known of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The brokers say that it is there.
    Granted,
    /// It is there by the ACLs, or because nothing is refused to this principal.
    Inferred,
    /// It is missing.
    Missing,
    /// Nobody tells.
    Unknown,
}

/// Judges every need of one cluster.
pub fn judge(
    flow: &Flow,
    end: End,
    facts: Option<&Facts>,
    wanted: &Wanted,
    needs: &[Need],
    findings: &mut Findings,
) {
    let Some(facts) = facts else {
        findings.add(Finding::unknown(
            end,
            "permissions",
            "not asked for: the cluster did not answer",
        ));
        return;
    };
    let endpoint = match end {
        End::Source => &flow.source,
        End::Target => &flow.target,
    };
    let principal = endpoint.principal();
    let mut held: BTreeMap<Part, (Vec<String>, usize)> = BTreeMap::new();
    for (index, need) in needs.iter().enumerate() {
        if need.end != end {
            continue;
        }
        let (kind, names) = things(flow, need, wanted);
        let told = |name: &String| told(facts, &principal, need.operation, kind, name);
        let missing = filter(&names, |name| told(name) == Told::Missing);
        let unknown = filter(&names, |name| told(name) == Told::Unknown);
        let shown = |names: &[String]| {
            if need.part == Part::MirroredGroups && wanted.groups_made_up {
                "the mirrored groups".to_owned()
            } else {
                shown(kind, names)
            }
        };
        let what = format!("{} on {}", need.operation, shown(&missing));
        if !missing.is_empty() {
            let found = format!(
                "missing for {principal} ({}); without it {}",
                need.why,
                need.purpose.without()
            );
            findings.add(
                Finding::fails(end, &what, found, "grant it; the commands are below").lacking(
                    Missing {
                        operation: need.operation.name(),
                        resource: kind.name(),
                        names: missing,
                        principal: principal.clone(),
                    },
                    index,
                ),
            );
        } else if !unknown.is_empty() {
            let what = format!("{} on {}", need.operation, shown(&unknown));
            findings.add(Finding::unknown(end, &what, reason(kind, facts)).about([index]));
        } else if !names.is_empty() {
            let inferred = names.iter().any(|name| told(name) == Told::Inferred);
            let mark = if inferred { " (inferred)" } else { "" };
            let entry = held.entry(need.part).or_default();
            entry.0.push(format!("{}{mark}", need.operation));
            entry.1 = entry.1.max(names.len());
        }
    }
    if end == End::Target && wanted.topics.is_empty() {
        let copies = needs
            .iter()
            .enumerate()
            .filter(|(_, need)| need.end == end && need.part == Part::MirroredTopics)
            .map(|(index, _)| index);
        let found = "on copies: not asked for, no selected topic is known";
        findings.add(Finding::unknown(end, "permissions", found).about(copies));
    }
    for (part, (operations, count)) in held {
        let counted = match part {
            Part::MirroredTopics | Part::StateTopics => true,
            Part::MirroredGroups => !wanted.groups_made_up,
            Part::TransactionalIds
            | Part::OwnGroup
            | Part::ParkingTopic
            | Part::Mm2Topics
            | Part::TailTopics
            | Part::Cluster => false,
        };
        let number = if counted {
            format!("{count} ")
        } else {
            String::new()
        };
        findings.add(Finding::ok(
            end,
            "permissions",
            format!("{} on {number}{}", operations.join(", "), part.name()),
        ));
    }
}

fn filter(names: &[String], holds: impl Fn(&String) -> bool) -> Vec<String> {
    names.iter().filter(|name| holds(name)).cloned().collect()
}

/// The things that a need is about, by name.
fn things(flow: &Flow, need: &Need, wanted: &Wanted) -> (ResourceKind, Vec<String>) {
    match need.part {
        Part::MirroredTopics => {
            let names = match need.end {
                End::Source => {
                    let seen = wanted.topics.iter().map(|(name, _, _)| name);
                    seen.chain(&wanted.unseen).cloned().collect()
                }
                End::Target => wanted.copies(),
            };
            (ResourceKind::Topic, names)
        }
        Part::StateTopics => {
            let mut names = vec![
                flow.state.flow(),
                flow.state.positions(),
                flow.state.offset_map(),
                flow.state.gaps(),
                flow.state.settings(),
            ];
            // Nobody writes to the slots' topic.
            if need.operation != AclOperation::Write {
                names.push(flow.state.slots());
            }
            (ResourceKind::Topic, names)
        }
        Part::TransactionalIds => (
            ResourceKind::TransactionalId,
            vec![
                flow.state.transactional_id(1, Slot::new(0)),
                flow.state.settings_transactional_id(),
            ],
        ),
        Part::OwnGroup => (ResourceKind::Group, vec![flow.state.group_id()]),
        Part::MirroredGroups => (ResourceKind::Group, wanted.groups.clone()),
        Part::ParkingTopic => {
            let names = flow.parking_topic.iter().cloned().collect();
            (ResourceKind::Topic, names)
        }
        Part::Mm2Topics => {
            let names = match need.end {
                End::Source => flow.mm2.written_on_source(),
                End::Target => flow.mm2.written_on_target(&flow.source.alias),
            };
            (ResourceKind::Topic, names)
        }
        // No flow file asks for it.
        Part::TailTopics => (ResourceKind::Topic, Vec::new()),
        Part::Cluster => (ResourceKind::Cluster, vec!["kafka-cluster".to_owned()]),
    }
}

/// Asks what the brokers told first, and the ACLs where they did not.
fn told(
    facts: &Facts,
    principal: &str,
    operation: AclOperation,
    kind: ResourceKind,
    name: &str,
) -> Told {
    let by = |authorized: &Authorized| {
        authorized.as_ref().map(|may| {
            if may.iter().any(|held| held.includes(operation)) {
                Told::Granted
            } else {
                Told::Missing
            }
        })
    };
    let on_cluster = by(&facts.authorized);
    let direct = match kind {
        ResourceKind::Cluster => on_cluster,
        ResourceKind::Topic => match facts.topics.get(name) {
            // Creating asks the cluster first and the topic then.
            _ if operation == AclOperation::Create && on_cluster == Some(Told::Granted) => {
                on_cluster
            }
            Some(Ok(topic)) => by(&topic.authorized),
            _ if operation == AclOperation::Create => match facts.could_create.get(name) {
                Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
                    Some(Told::Missing)
                }
                Some(_) => Some(Told::Granted),
                None => None,
            },
            _ if operation == AclOperation::DescribeConfigs && facts.configs.contains_key(name) => {
                Some(Told::Granted)
            }
            // Whoever may do it may describe the topic too.
            Some(Err(Code::TopicAuthorizationFailed))
                if operation.includes(AclOperation::Describe) =>
            {
                Some(Told::Missing)
            }
            Some(Err(_)) | None => None,
        },
        ResourceKind::Group => match facts.groups.get(name) {
            Some(Ok(authorized)) => by(authorized),
            Some(Err(Code::GroupAuthorizationFailed)) => Some(Told::Missing),
            Some(Err(_)) | None => None,
        },
        ResourceKind::TransactionalId => None,
    };
    direct.unwrap_or_else(|| by_acls(facts, principal, operation, kind, name))
}

fn by_acls(
    facts: &Facts,
    principal: &str,
    operation: AclOperation,
    kind: ResourceKind,
    name: &str,
) -> Told {
    match &facts.acls {
        Acls::Hidden => Told::Unknown,
        Acls::Listed(_) if !principal.starts_with("User:") => Told::Unknown,
        Acls::Listed(acls) => match access(acls, principal, operation, kind, name) {
            Access::Allowed => Told::Inferred,
            Access::Refused if is_unrestricted(facts, principal) => Told::Unknown,
            Access::Refused => Told::Missing,
            // Without an ACL, super users and everyone on an open cluster may; both show on the cluster itself.
            Access::NoAcl if is_unrestricted(facts, principal) => Told::Inferred,
            Access::NoAcl if facts.authorized.is_some() => Told::Missing,
            Access::NoAcl | Access::ByHost => Told::Unknown,
        },
    }
}

/// Whether this principal may do what no ACL allows it: it is a super user, or the cluster refuses nothing where there
/// is no ACL.
fn is_unrestricted(facts: &Facts, principal: &str) -> bool {
    let Acls::Listed(acls) = &facts.acls else {
        return false;
    };
    let operation = AclOperation::ClusterAction;
    let may = facts
        .authorized
        .as_ref()
        .is_some_and(|may| may.contains(&operation));
    may && access(acls, principal, operation, ResourceKind::Cluster, "") != Access::Allowed
}

fn reason(kind: ResourceKind, facts: &Facts) -> String {
    let why = match kind {
        ResourceKind::TransactionalId => "asking the brokers would make one",
        ResourceKind::Topic => "it is not there yet",
        ResourceKind::Group | ResourceKind::Cluster => "the brokers do not tell",
    };
    let acls = match &facts.acls {
        Acls::Hidden => "the ACLs may not be listed (DESCRIBE on the cluster)",
        Acls::Listed(_) => "the ACLs do not settle it",
    };
    format!("{why}, and {acls}; the worker will name it if it is missing")
}

fn shown(kind: ResourceKind, names: &[String]) -> String {
    if kind == ResourceKind::Cluster {
        return "the cluster".to_owned();
    }
    let first: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
    let more = match names.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {}{more}", kind.name(), first.join(", "))
}
