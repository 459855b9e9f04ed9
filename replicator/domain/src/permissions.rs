//! Every permission that a flow needs, as data: the one source for `understudy check`, for the commands that grant
//! them and for the table in `docs/permissions.md`.
//!
//! What another operation includes is not listed: READ, WRITE and ALTER include DESCRIBE, ALTER_CONFIGS includes
//! DESCRIBE_CONFIGS. So no line can be left out.

use crate::acl::{AclOperation, Pattern, Resource, ResourceKind};
use crate::tail::TAIL;
use crate::{ReplicationPolicy, StateTopics};

/// One of a flow's two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The cluster that is read.
    Source,
    /// The cluster that is written.
    Target,
}

impl End {
    /// `source` or `target`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// Which of a flow's things a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The topics that are mirrored, by their names at that end.
    MirroredTopics,
    /// The flow's own topics.
    StateTopics,
    /// The ids under which workers write.
    TransactionalIds,
    /// The group in which workers share out the slots.
    OwnGroup,
    /// The groups whose places are mirrored.
    MirroredGroups,
    /// The topic that takes refused records.
    ParkingTopic,
    /// MirrorMaker 2's own topics.
    Mm2Topics,
    /// The topics that take tails, where no right on the copies covers them.
    TailTopics,
    /// The cluster itself.
    Cluster,
}

impl Part {
    /// As a table names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MirroredTopics => "mirrored topics",
            Self::StateTopics => "state topics",
            Self::TransactionalIds => "transactional ids",
            Self::OwnGroup => "the flow's own group",
            Self::MirroredGroups => "mirrored groups",
            Self::ParkingTopic => "the parking topic",
            Self::Mm2Topics => "MirrorMaker 2's topics",
            Self::TailTopics => "topics of tails",
            Self::Cluster => "the cluster",
        }
    }
}

/// What a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Copying records: without it a flow does not run.
    Records,
    /// Raising the number of partitions of a copy.
    Growth,
    /// Keeping the configs of copies like those of their sources.
    Configs,
    /// Places of consumer groups.
    Places,
    /// ACLs of topics, groups and transactional ids.
    Acls,
    /// Putting refused records aside.
    Parking,
    /// Writing MirrorMaker 2's own topics on the target.
    Mm2,
    /// Writing MirrorMaker 2's heartbeats on the source.
    SourceHeartbeats,
    /// Putting the tail of a cluster that came back aside: for whoever runs `understudy salvage`, not for workers.
    Salvage,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Records,
        Self::Growth,
        Self::Configs,
        Self::Places,
        Self::Acls,
        Self::Parking,
        Self::Mm2,
        Self::SourceHeartbeats,
        Self::Salvage,
    ];

    /// Those of workers, which `understudy check` asks for: a flow file turns them on and off.
    pub fn of_workers() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|purpose| *purpose != Self::Salvage)
    }

    /// What does not happen without it; completes "without it …".
    pub const fn without(self) -> &'static str {
        match self {
            Self::Records => "records are not copied",
            Self::Growth => "partitions added on the source are not added to the copy",
            Self::Configs => "changed topic configs do not reach the copy",
            Self::Places => "places of consumer groups are not carried over",
            Self::Acls => "ACLs are not carried over",
            Self::Parking => "refused records cannot be parked",
            Self::Mm2 => {
                "heartbeats, checkpoints and offset syncs are not written for MirrorMaker 2's clients"
            }
            Self::SourceHeartbeats => "heartbeats are not written on the source",
            Self::Salvage => "what a returned cluster holds beyond the cut cannot be put aside",
        }
    }

    /// What in a flow file decides whether a flow does it; completes "needed …".
    pub const fn needed(self) -> &'static str {
        match self {
            Self::Records | Self::Growth => "always",
            Self::Configs => "unless `mirror.sync_configs = false`",
            Self::Places => "unless `mirror.groups = []`",
            Self::Acls => "with `mirror.sync_acls = true`",
            Self::Parking => "with `mirror.parking_topic`",
            Self::Mm2 => {
                "unless `[mirror.mm2]` has `heartbeats` and `checkpoints` false (and `offset_syncs`, which it is unless set)"
            }
            Self::SourceHeartbeats => "with `mirror.mm2.source_heartbeats = true`",
            Self::Salvage => {
                "by whoever runs `understudy salvage export`; `check` does not ask for it"
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Growth => "partition growth",
            Self::Configs => "topic configs",
            Self::Places => "places of groups",
            Self::Acls => "ACLs",
            Self::Parking => "parking",
            Self::Mm2 => "MirrorMaker 2's topics",
            Self::SourceHeartbeats => "heartbeats on the source",
            Self::Salvage => "salvage",
        }
    }
}

/// One permission that a flow needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// On which cluster.
    pub end: End,
    /// Of which of the flow's things.
    pub part: Part,
    /// The operation.
    pub operation: AclOperation,
    /// What an ACL has to name.
    pub resources: Vec<Resource>,
    /// What for.
    pub purpose: Purpose,
    /// The calls that ask for it.
    pub why: &'static str,
}

/// What a flow's permissions depend on.
#[derive(Clone, Copy, Debug)]
pub struct FlowScope<'a> {
    /// The flow's own names.
    pub state: &'a StateTopics,
    /// What copies are called.
    pub policy: &'a ReplicationPolicy,
    /// The patterns of mirrored topics.
    pub topics: &'a [String],
    /// The patterns of mirrored groups.
    pub groups: &'a [String],
    /// Whether copies of a topic that was made again go to a topic of their own, `<copy>.<n>`.
    pub renews: bool,
    /// The topic of the target that takes refused records, if there is one.
    pub parking: Option<&'a str>,
    /// MirrorMaker 2's own topics that the flow writes on the target.
    pub mm2: &'a [String],
    /// Those that it writes on the source.
    pub mm2_on_source: &'a [String],
    /// What the flow does.
    pub purposes: &'a [Purpose],
}

/// (end, part, operation, purpose, the calls that ask for it), in the order in which people read them.
type Row = (End, Part, AclOperation, Purpose, &'static str);

const ROWS: &[Row] = {
    use AclOperation as Op;
    use End::{Source, Target};
    use Purpose as For;
    &[
        (
            Source,
            Part::MirroredTopics,
            Op::Read,
            For::Records,
            "fetching records; includes DESCRIBE, for metadata and offsets",
        ),
        (
            Source,
            Part::MirroredTopics,
            Op::DescribeConfigs,
            For::Records,
            "a copy is made with its source's configs",
        ),
        (
            Source,
            Part::MirroredGroups,
            Op::Describe,
            For::Places,
            "listing groups and looking their places up",
        ),
        (
            Source,
            Part::Cluster,
            Op::Describe,
            For::Acls,
            "listing ACLs",
        ),
        (
            Source,
            Part::Mm2Topics,
            Op::Create,
            For::SourceHeartbeats,
            "making the topic `heartbeats` when it is first written",
        ),
        (
            Source,
            Part::Mm2Topics,
            Op::Write,
            For::SourceHeartbeats,
            "writing it; includes DESCRIBE",
        ),
        (
            Target,
            Part::StateTopics,
            Op::Create,
            For::Records,
            "making the flow's topics when it first runs",
        ),
        (
            Target,
            Part::StateTopics,
            Op::Read,
            For::Records,
            "reading positions, map, flow, gaps and settings at a take-over; the slots' topic",
        ),
        (
            Target,
            Part::StateTopics,
            Op::Write,
            For::Records,
            "writing positions, map, flow, gaps and settings",
        ),
        (
            Target,
            Part::MirroredTopics,
            Op::Create,
            For::Records,
            "making the copies",
        ),
        (
            Target,
            Part::MirroredTopics,
            Op::Write,
            For::Records,
            "writing the copies; includes DESCRIBE",
        ),
        (
            Target,
            Part::MirroredTopics,
            Op::Read,
            For::Places,
            "committing a place in a topic asks for READ on it; `verify --deep` reads copies",
        ),
        (
            Target,
            Part::MirroredTopics,
            Op::Alter,
            For::Growth,
            "adding partitions",
        ),
        (
            Target,
            Part::MirroredTopics,
            Op::AlterConfigs,
            For::Configs,
            "comparing and changing configs; includes DESCRIBE_CONFIGS",
        ),
        (
            Target,
            Part::ParkingTopic,
            Op::Write,
            For::Parking,
            "writing refused records there",
        ),
        (
            Target,
            Part::Mm2Topics,
            Op::Create,
            For::Mm2,
            "making them when they are first written",
        ),
        (
            Target,
            Part::Mm2Topics,
            Op::Write,
            For::Mm2,
            "writing them; includes DESCRIBE",
        ),
        (
            Target,
            Part::TailTopics,
            Op::Create,
            For::Salvage,
            "making the topic that takes a tail",
        ),
        (
            Target,
            Part::TailTopics,
            Op::Write,
            For::Salvage,
            "putting records aside there; includes DESCRIBE",
        ),
        (
            Target,
            Part::TailTopics,
            Op::Read,
            For::Salvage,
            "reading them back",
        ),
        (
            Target,
            Part::TransactionalIds,
            Op::Write,
            For::Records,
            "one transaction a slot, and one for settings; includes DESCRIBE and, since Kafka 2.8, IDEMPOTENT_WRITE",
        ),
        (
            Target,
            Part::OwnGroup,
            Op::Read,
            For::Records,
            "sharing out the slots; includes DESCRIBE",
        ),
        (
            Target,
            Part::MirroredGroups,
            Op::Read,
            For::Places,
            "looking places up and committing them",
        ),
        (
            Target,
            Part::Cluster,
            Op::Alter,
            For::Acls,
            "listing, making and deleting ACLs; includes DESCRIBE",
        ),
    ]
};

/// Every permission that a flow needs, source first. A need without a resource, such as the groups of a flow that
/// mirrors none, is none.
pub fn needs(scope: &FlowScope<'_>) -> Vec<Need> {
    ROWS.iter()
        .filter(|(_, _, _, purpose, _)| scope.purposes.contains(purpose))
        .map(|&(end, part, operation, purpose, why)| Need {
            end,
            part,
            operation,
            resources: resources(scope, end, part),
            purpose,
            why,
        })
        .filter(|need| !need.resources.is_empty())
        .collect()
}

/// The tables of `docs/permissions.md`: of a flow that does everything, and what turns each purpose on.
pub fn table() -> String {
    let mut text =
        "| cluster | on | operation | for | asked for by |\n|---|---|---|---|---|\n".to_owned();
    for (end, part, operation, purpose, why) in ROWS {
        let things = match part {
            Part::StateTopics => "topics `understudy.<flow>.*`",
            Part::TransactionalIds => "transactional ids `understudy-<flow>-*`",
            Part::OwnGroup => "group `understudy-<flow>`",
            Part::Mm2Topics if *end == End::Source => "topic `heartbeats`",
            Part::Mm2Topics => {
                "topics `heartbeats`, `<source>.heartbeats`, `<source>.checkpoints.internal`, `mm2-offset-syncs.<source>.internal`: those that are written"
            }
            Part::TailTopics => {
                "topics `<copy>.tail.*`, for copies whose rights are by name and not by prefix"
            }
            Part::MirroredTopics | Part::MirroredGroups | Part::ParkingTopic | Part::Cluster => {
                part.name()
            }
        };
        text.push_str(&format!(
            "| {} | {things} | {operation} | {} | {why} |\n",
            end.name(),
            purpose.name()
        ));
    }
    text.push_str("\n| for | needed | without it |\n|---|---|---|\n");
    for purpose in Purpose::ALL {
        text.push_str(&format!(
            "| {} | {} | {} |\n",
            purpose.name(),
            purpose.needed(),
            purpose.without()
        ));
    }
    text
}

fn resources(scope: &FlowScope<'_>, end: End, part: Part) -> Vec<Resource> {
    let of = |kind, pattern| vec![Resource { kind, pattern }];
    let own = |suffix: &str| format!("{}{suffix}", scope.state.group_id());
    match part {
        Part::Cluster => vec![Resource::CLUSTER],
        Part::StateTopics => of(ResourceKind::Topic, Pattern::Prefixed(scope.state.prefix())),
        Part::TransactionalIds => of(ResourceKind::TransactionalId, Pattern::Prefixed(own("-"))),
        Part::OwnGroup => of(ResourceKind::Group, Pattern::Literal(own(""))),
        Part::MirroredGroups => all(
            ResourceKind::Group,
            scope.groups.iter().flat_map(|p| covering(p)),
        ),
        Part::ParkingTopic => scope
            .parking
            .map(|topic| Resource {
                kind: ResourceKind::Topic,
                pattern: Pattern::Literal(topic.to_owned()),
            })
            .into_iter()
            .collect(),
        Part::Mm2Topics => {
            let topics = match end {
                End::Source => scope.mm2_on_source,
                End::Target => scope.mm2,
            };
            let literal = topics.iter().cloned().map(Pattern::Literal);
            all(ResourceKind::Topic, literal)
        }
        Part::TailTopics => {
            let patterns = scope.topics.iter().flat_map(|pattern| covering(pattern));
            let tails = patterns.filter_map(|pattern| match copied(scope.policy, pattern) {
                Pattern::Literal(name) if !scope.renews => {
                    Some(Pattern::Prefixed(format!("{name}{TAIL}")))
                }
                // What begins as the copies do takes in their tails, `<copy>.` among it.
                Pattern::Literal(_) | Pattern::Prefixed(_) | Pattern::Any => None,
            });
            all(ResourceKind::Topic, tails)
        }
        Part::MirroredTopics => {
            let patterns = scope.topics.iter().flat_map(|pattern| covering(pattern));
            match end {
                End::Source => all(ResourceKind::Topic, patterns),
                End::Target => all(
                    ResourceKind::Topic,
                    patterns
                        .map(|pattern| copied(scope.policy, pattern))
                        .flat_map(|pattern| renewed(scope.renews, pattern)),
                ),
            }
        }
    }
}

/// What the names that `pattern` covers are called on the target.
fn copied(policy: &ReplicationPolicy, pattern: Pattern) -> Pattern {
    match (policy, pattern) {
        (ReplicationPolicy::Identity, pattern) => pattern,
        (policy, Pattern::Literal(name)) => Pattern::Literal(policy.target_topic(&name)),
        (policy, Pattern::Prefixed(prefix)) => Pattern::Prefixed(policy.target_topic(&prefix)),
        (policy, Pattern::Any) => Pattern::Prefixed(policy.target_topic("")),
    }
}

/// The names of copies, and of the topics that take the copies of topics that were made again.
fn renewed(renews: bool, pattern: Pattern) -> Vec<Pattern> {
    match &pattern {
        Pattern::Literal(name) if renews => {
            let later = Pattern::Prefixed(format!("{name}."));
            vec![pattern, later]
        }
        // What begins so takes in what begins so and goes on.
        Pattern::Literal(_) | Pattern::Prefixed(_) | Pattern::Any => vec![pattern],
    }
}

/// The fewest resources that still cover everything.
fn all(kind: ResourceKind, patterns: impl Iterator<Item = Pattern>) -> Vec<Resource> {
    let mut patterns: Vec<Pattern> = patterns.collect();
    patterns.sort();
    patterns.dedup();
    let within = |inner: &Pattern, outer: &Pattern| {
        inner != outer
            && match (inner, outer) {
                (_, Pattern::Any) => true,
                (Pattern::Literal(name) | Pattern::Prefixed(name), Pattern::Prefixed(prefix)) => {
                    name.starts_with(prefix.as_str())
                }
                (_, Pattern::Literal(_)) | (Pattern::Any, Pattern::Prefixed(_)) => false,
            }
    };
    patterns
        .iter()
        .filter(|inner| !patterns.iter().any(|outer| within(inner, outer)))
        .map(|pattern| Resource {
            kind,
            pattern: pattern.clone(),
        })
        .collect()
}

/// Names that cover at least what the regular expression `pattern` matches: ACLs know names and prefixes only.
pub fn covering(pattern: &str) -> Vec<Pattern> {
    // Alternatives at the top level, each for itself; inside of brackets they are left to the prefix rule.
    let nested = pattern.contains(['(', '[', '\\', '{']);
    if !nested && pattern.contains('|') {
        return pattern.split('|').flat_map(covering).collect();
    }
    vec![cover(pattern)]
}

fn cover(pattern: &str) -> Pattern {
    let text = pattern.strip_prefix('^').unwrap_or(pattern);
    let mut name = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let literal = match character {
            '\\' => match rest.peek() {
                Some('.' | '-' | '_') => rest.next(),
                _ => None,
            },
            '$' if rest.peek().is_none() => return Pattern::Literal(name),
            plain if plain.is_ascii_alphanumeric() || matches!(plain, '_' | '-') => Some(plain),
            _ => None,
        };
        match literal {
            Some(literal) => name.push(literal),
            None => {
                // An alternative or a group option reaches back to the beginning; a repetition to the last character.
                if pattern.contains('|') && !text_before_group(text) {
                    return Pattern::Any;
                }
                if matches!(character, '*' | '?' | '{') {
                    name.pop();
                }
                return if name.is_empty() {
                    Pattern::Any
                } else {
                    Pattern::Prefixed(name)
                };
            }
        }
    }
    if name.is_empty() {
        Pattern::Any
    } else {
        Pattern::Literal(name)
    }
}

/// Whether every `|` of the expression stands inside of parentheses, with nothing escaped.
fn text_before_group(text: &str) -> bool {
    if text.contains('\\') || text.contains('[') {
        return false;
    }
    let mut depth = 0_i32;
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => return false,
            _ => {}
        }
    }
    true
}
