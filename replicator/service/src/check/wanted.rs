//! What a flow would touch: its topics, their copies, its groups; and the permissions for that.

use std::collections::BTreeSet;

use understudy_domain::acl::Pattern;
use understudy_domain::permissions::{End, FlowScope, Need, Purpose, covering, needs as needs_of};
use understudy_domain::{RecreatedPolicy, is_internal};

use crate::check::Limits;
use crate::check::facts::Facts;
use crate::check::finding::{Finding, Findings};
use crate::config::Flow;
use crate::explain::explain;

/// What the name of a group ends with that is asked for where none may be seen or none is there.
const ANY_GROUP: &str = "understudy-check";
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
    /// Whether those are made up, because none may be seen or none is there.
    pub groups_made_up: bool,
    /// Topics on the target that would take the copies of topics that are made again, with their partitions.
    pub renewals: Vec<(String, i32)>,
}

impl Wanted {
    /// The names of the copies, those to come included.
    pub fn copies(&self) -> Vec<String> {
        let copies = self.topics.iter().map(|(_, _, copy)| copy);
        let renewals = self.renewals.iter().map(|(name, _)| name);
        copies.chain(renewals).cloned().collect()
    }
}

/// Every permission of the flow, of what its file turns on.
pub fn needs(flow: &Flow) -> Vec<Need> {
    let mm2 = flow.mm2.written_on_target(&flow.source.alias);
    let mm2_on_source = flow.mm2.written_on_source();
    let purposes: Vec<Purpose> = Purpose::of_workers()
        .filter(|purpose| match purpose {
            Purpose::Records | Purpose::Growth => true,
            Purpose::Configs => flow.settings.configs,
            Purpose::Places => !flow.groups.include().is_empty(),
            Purpose::Acls => flow.settings.acls,
            Purpose::Parking => flow.parking_topic.is_some(),
            Purpose::Mm2 => !mm2.is_empty(),
            Purpose::SourceHeartbeats => !mm2_on_source.is_empty(),
            // No worker does it.
            Purpose::Salvage => false,
        })
        .collect();
    needs_of(&FlowScope {
        state: &flow.state,
        policy: &flow.policy,
        topics: flow.selection.include(),
        groups: flow.groups.include(),
        renews: renews(flow),
        parking: flow.parking_topic.as_deref(),
        mm2: &mm2,
        mm2_on_source: &mm2_on_source,
        purposes: &purposes,
    })
}

/// Whether copies of a topic that was made again go to a topic of their own without asking.
fn renews(flow: &Flow) -> bool {
    flow.gap_policy.recreated == RecreatedPolicy::NewTopic
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
    groups.retain(|group| flow.groups.selects(group));
    groups.sort();
    groups.truncate(GROUPS_MAX);
    let groups_made_up = groups.is_empty() && !flow.groups.include().is_empty();
    if groups_made_up {
        let patterns = flow.groups.include().iter();
        groups.extend(patterns.flat_map(|own| covering(own)).map(name_within));
    }
    let renewals = topics.iter().filter(|_| renews(flow));
    let renewals = renewals
        .map(|(_, partitions, copy)| (format!("{copy}.1"), *partitions))
        .collect();
    Wanted {
        topics,
        unseen: unseen.into_iter().collect(),
        groups,
        groups_made_up,
        renewals,
    }
}

/// The name of a group within a pattern.
fn name_within(pattern: Pattern) -> String {
    match pattern {
        Pattern::Literal(name) => name,
        Pattern::Prefixed(prefix) => format!("{prefix}{ANY_GROUP}"),
        Pattern::Any => ANY_GROUP.to_owned(),
    }
}
