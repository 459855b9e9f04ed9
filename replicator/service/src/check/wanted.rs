//! What a flow would touch: its topics, their copies, its groups; and the permissions for that.

use std::collections::BTreeSet;

use understudy_domain::acl::Pattern;
use understudy_domain::is_internal;
use understudy_domain::permissions::{End, FlowScope, Need, Purpose, covering, needs as needs_of};

use crate::catalog::explain;
use crate::check::Limits;
use crate::check::facts::Facts;
use crate::check::finding::{Finding, Findings};
use crate::config::Flow;

/// The patterns of mirrored groups.
const GROUPS: &str = ".*";
/// A group that nobody has, to be asked for where none may be seen or none is there.
pub const ANY_GROUP: &str = "understudy-check";
/// How many groups are asked for one by one.
const GROUPS_MAX: usize = 1_000;

/// What a flow would touch.
#[derive(Default)]
pub struct Wanted {
    /// Selected topics with their partitions, by their names on the source, and what they are called on the target.
    pub topics: Vec<(String, i32, String)>,
    /// Topics that are named outright and that the source does not show.
    pub unseen: Vec<String>,
    /// Mirrored groups.
    pub groups: Vec<String>,
}

impl Wanted {
    /// The names of the copies.
    pub fn copies(&self) -> Vec<String> {
        self.topics
            .iter()
            .map(|(_, _, copy)| copy.clone())
            .collect()
    }
}

/// Every permission of the flow.
pub fn needs(flow: &Flow) -> Vec<Need> {
    needs_of(&FlowScope {
        state: &flow.state,
        policy: &flow.policy,
        topics: flow.selection.include(),
        groups: &[GROUPS.to_owned()],
        purposes: &Purpose::ALL,
    })
}

/// Looks up what is there to be mirrored, and says what selects nothing.
pub fn wanted(
    flow: &Flow,
    source: Option<&Facts>,
    limits: Limits,
    findings: &mut Findings,
) -> Wanted {
    let Some(facts) = source else {
        return Wanted::default();
    };
    let listed = match facts.cluster.topics(limits.call()) {
        Ok(topics) => topics,
        Err(fault) => {
            findings.add(Finding::fails(
                End::Source,
                "topics",
                explain(&flow.source, &fault),
                "see the reason",
            ));
            return Wanted::default();
        }
    };
    let internal = listed
        .iter()
        .filter(|topic| is_internal(&topic.name))
        .count();
    let topics: Vec<_> = listed
        .iter()
        .filter(|topic| flow.selects(&topic.name))
        .map(|topic| {
            let copy = flow.policy.target_topic(&topic.name);
            (topic.name.clone(), topic.partitions, copy)
        })
        .collect();
    let partitions: i64 = topics.iter().map(|(_, count, _)| i64::from(*count)).sum();
    let found = format!(
        "{} selected with {partitions} partitions, of {} that {} may see; {internal} internal ones stay home",
        topics.len(),
        listed.len(),
        flow.source.principal()
    );
    findings.add(Finding::ok(End::Source, "topics", found));
    let mut unseen = BTreeSet::new();
    for pattern in flow.selection.include() {
        if listed
            .iter()
            .any(|topic| flow.selects(&topic.name) && flow.selection.matches(pattern, &topic.name))
        {
            continue;
        }
        findings.add(Finding::warning(
            End::Source,
            "topics",
            format!("mirror.topics: {pattern:?} selects none"),
            "check the pattern, mirror.topics_exclude, and DESCRIBE on the topics",
        ));
        unseen.extend(
            covering(pattern)
                .into_iter()
                .filter_map(|pattern| match pattern {
                    Pattern::Literal(name) if flow.selects(&name) => Some(name),
                    _ => None,
                }),
        );
    }
    // A refusal leaves the list empty; the permission's own line says so.
    let mut groups = facts.cluster.groups(limits.call()).unwrap_or_default();
    groups.sort();
    groups.truncate(GROUPS_MAX);
    if groups.is_empty() {
        groups.push(ANY_GROUP.to_owned());
    }
    Wanted {
        topics,
        unseen: unseen.into_iter().collect(),
        groups,
    }
}
