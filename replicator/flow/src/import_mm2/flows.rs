//! One flow of MirrorMaker 2 as a flow file.

use std::collections::{BTreeMap, BTreeSet};

use super::clients::{End, Outcome};
use super::keys::{FLOW_KEYS, Fate, fate};
use super::properties::Properties;
use super::report::{Entry, Status};
use crate::mirror_config::SLOTS_DEFAULT;

/// What MirrorMaker 2 leaves out unless told otherwise; understudy does so always.
const DEFAULT_EXCLUDES: &[&str] = &[
    r"mm2.*\.internal",
    r".*[\-\.]internal",
    r".*\.internal",
    r".*\.replica",
    "__.*",
    r"__consumer_offsets",
];

/// The most slots that an import asks for.
const SLOTS_MAX: u32 = 64;
/// The longest `mirror.config_sync_interval`, in seconds.
const SETTINGS_MAX: i64 = 86_400;

/// Where MirrorMaker 2's own policies live.
const KAFKAS: &str = "org.apache.kafka.connect.mirror";
/// Policies that keep names: Kafka's own, and those that went round before it; by their simple names, or in full where
/// the simple one says too little.
const KEEP_NAMES: [&str; 6] = [
    // Kafka's, since 3.0, and Strimzi's of the same name.
    "IdentityReplicationPolicy",
    // AWS's samples for MSK.
    "CustomMM2ReplicationPolicy",
    "NoPrefixReplicationPolicy",
    "PrefixlessReplicationPolicy",
    "LegacyReplicationPolicy",
    // Instaclustr's.
    "com.instaclustr.kafka.connect.mirror.SimpleReplicationPolicy",
];

/// A flow in the making.
pub struct Draft {
    /// Who is read.
    pub source: End,
    /// Who is written.
    pub target: End,
    /// `[mirror]`: key and TOML value.
    pub mirror: BTreeMap<&'static str, String>,
    /// What contradicts itself.
    pub contradictions: Vec<String>,
    /// Whether names stay as they are.
    pub is_identity: bool,
    /// What is to be said below `[mirror]`.
    remarks: Vec<String>,
}

/// A property as it concerns a flow.
struct Found<'a> {
    /// As written.
    key: &'a str,
    /// What is left of it without its prefixes.
    name: &'a str,
    value: &'a str,
    kind: Kind,
    /// The larger one wins: a flow's own beats a cluster's, a cluster's beats everybody's.
    weight: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Flow,
    Source,
    Target,
}

/// How to take over from the MirrorMaker 2 that this was made of.
const FOLLOW: &str = "\
# To go on where MirrorMaker 2 stops, in the topics that it filled, write this in place of another start and then stop it;
# see \"In place\" in docs/coming-from-mm2.md. Without it copies begin anew.
# start = \"mm2\"
";
const FOLLOW_CONNECT: &str = "\
# It ran on a Connect cluster: name that cluster's offset.storage.topic.
# mm2.offsets_topic = \"connect-offsets\"
";

impl Draft {
    /// Makes a flow of the properties that concern it, and says what became of each.
    pub fn make(
        properties: &Properties,
        clusters: &[&str],
        (source, target): (&str, &str),
        entries: &mut BTreeMap<String, Entry>,
    ) -> Self {
        let mut draft = Self {
            source: End::new(source),
            target: End::new(target),
            mirror: BTreeMap::from([("policy", quoted("prefixed"))]),
            contradictions: Vec::new(),
            is_identity: false,
            remarks: Vec::new(),
        };
        let mut found: Vec<Found<'_>> = properties
            .values
            .iter()
            .flat_map(|(key, value)| concerning(key, value.trim(), clusters, (source, target)))
            .collect();
        found.sort_by_key(|found| found.weight);
        let mut winners: BTreeMap<(Kind, &str), &Found<'_>> = BTreeMap::new();
        for one in &found {
            if let Some(beaten) = winners.insert((one.kind, one.name), one)
                && beaten.key != one.key
            {
                let why = format!("{} says otherwise and is closer", one.key);
                note(entries, beaten.key, Status::Instead, None, &why);
            }
        }
        let winners: Vec<&Found<'_>> = winners.into_values().collect();
        for one in &winners {
            let end = match one.kind {
                Kind::Source => &mut draft.source,
                Kind::Target => &mut draft.target,
                Kind::Flow => continue,
            };
            if matches!(one.name, "ssl.truststore.type" | "ssl.keystore.type") {
                let kind = one.value.to_ascii_uppercase();
                end.store_types.insert(one.name.to_owned(), kind);
            }
        }
        for one in winners {
            let outcome = match one.kind {
                Kind::Flow => draft.flow_key(one.name, one.value),
                Kind::Source => draft.client_key(Kind::Source, one.name, one.value),
                Kind::Target => draft.client_key(Kind::Target, one.name, one.value),
            };
            match outcome {
                Outcome::To(to) => note(entries, one.key, Status::Translated, Some(to), ""),
                Outcome::Instead(what) => note(entries, one.key, Status::Instead, None, &what),
                Outcome::Lost(what) => note(entries, one.key, Status::Look, None, &what),
                Outcome::Unknown => note(
                    entries,
                    one.key,
                    Status::Look,
                    None,
                    "MirrorMaker 2 has no such property, as far as understudy knows",
                ),
            }
        }
        draft.check();
        draft
    }

    fn client_key(&mut self, kind: Kind, name: &str, value: &str) -> Outcome {
        match (kind, name, value) {
            (Kind::Source, "auto.offset.reset", "latest") => {
                self.mirror.insert("start", quoted("latest"));
                Outcome::To("mirror.start".to_owned())
            }
            (Kind::Source, "auto.offset.reset", "earliest") => {
                self.mirror.insert("start", quoted("earliest"));
                Outcome::To("mirror.start".to_owned())
            }
            (_, "auto.offset.reset", _) => {
                Outcome::Instead("a place that the source has lost is a named gap".to_owned())
            }
            (Kind::Source, _, _) => self.source.take("source", name, value),
            (Kind::Target | Kind::Flow, _, _) => self.target.take("target", name, value),
        }
    }

    fn flow_key(&mut self, name: &str, value: &str) -> Outcome {
        if name == "sync.group.offsets.enabled" && value.eq_ignore_ascii_case("false") {
            return Outcome::Lost(
                "places of groups are kept on the target even so, where nobody is a member; `mirror.groups = []` keeps none"
                    .to_owned(),
            );
        }
        let key = match fate(FLOW_KEYS, name) {
            None => return Outcome::Unknown,
            Some(Fate::Instead(what)) => return Outcome::Instead(what.to_owned()),
            Some(Fate::Lost(what)) => return Outcome::Lost(what.to_owned()),
            Some(Fate::To(key)) => key,
        };
        match name {
            "topics" => self.patterns("topics", list(value)),
            "topics.exclude" | "topics.blacklist" => self.excludes(value),
            "groups" => self.patterns("groups", list(value)),
            "groups.exclude" | "groups.blacklist" => {
                self.patterns("groups_exclude", list(value));
            }
            "replication.policy.class" => return self.policy(value),
            "replication.policy.separator" => {
                self.mirror.insert("separator", quoted(value));
            }
            "tasks.max" => return self.slots(value),
            "emit.heartbeats.enabled" => return self.switch("mm2.heartbeats", value),
            "emit.checkpoints.enabled" => return self.switch("mm2.checkpoints", value),
            "replication.policy.internal.topic.separator.enabled" => {
                return self.switch("mm2.internal_separator", value);
            }
            "emit.heartbeats.interval.seconds" => {
                return self.mm2_interval("mm2.heartbeat_interval", value);
            }
            "emit.checkpoints.interval.seconds" => {
                return self.mm2_interval("mm2.checkpoint_interval", value);
            }
            "offset-syncs.topic.location" if value.eq_ignore_ascii_case("source") => {
                return Outcome::Instead("nothing is written on the source".to_owned());
            }
            "offset-syncs.topic.location" => {
                self.mirror.insert("mm2.offset_syncs", "true".to_owned());
            }
            "offset.storage.topic" | "offsets.storage.topic" => {
                self.mirror.insert("mm2.offsets_topic", quoted(value));
            }
            "name" => {
                self.mirror.insert("mm2.connector", quoted(value));
            }
            "refresh.topics.interval.seconds" => {
                return self.interval("topic_discovery_interval", value, "2s");
            }
            "sync.group.offsets.interval.seconds" => {
                return self.interval("group_sync_interval", value, "1s");
            }
            "sync.topic.configs.enabled" => return self.switch("sync_configs", value),
            "sync.topic.acls.enabled" => return self.switch("sync_acls", value),
            "sync.topic.configs.interval.seconds" => {
                return self.settings_interval("sync_configs", value);
            }
            "sync.topic.acls.interval.seconds" => {
                return self.settings_interval("sync_acls", value);
            }
            "config.properties.exclude" | "config.properties.blacklist" => {
                self.patterns("config_exclude", list(value));
            }
            "use.defaults.from" => match value {
                "source" | "target" => {
                    self.mirror.insert("config_defaults_from", quoted(value));
                }
                _ => return Outcome::Lost("it is neither source nor target".to_owned()),
            },
            _ => return Outcome::Unknown,
        }
        Outcome::To(key.to_owned())
    }

    fn patterns(&mut self, key: &'static str, patterns: Vec<&str>) {
        for pattern in &patterns {
            if let Err(error) = regex::Regex::new(pattern) {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim();
                self.contradictions.push(format!(
                    "{pattern:?} is a pattern for Java only ({reason}); say it otherwise in mirror.{key}"
                ));
            }
        }
        let patterns = patterns
            .into_iter()
            .filter(|pattern| regex::Regex::new(pattern).is_ok());
        self.mirror.insert(key, array(patterns));
    }

    fn excludes(&mut self, value: &str) {
        let all = list(value);
        let own: Vec<&str> = all
            .into_iter()
            .filter(|pattern| !DEFAULT_EXCLUDES.contains(pattern))
            .collect();
        self.patterns("topics_exclude", own);
    }

    fn policy(&mut self, class: &str) -> Outcome {
        let simple = class.rsplit(['.', '$']).next().unwrap_or_default();
        let policy = if simple == "DefaultReplicationPolicy" {
            "prefixed"
        } else if KEEP_NAMES.contains(&simple) || KEEP_NAMES.contains(&class) {
            self.is_identity = true;
            "identity"
        } else {
            // Under other names the copies would be others.
            let reason = format!(
                "replication.policy.class {class} is not known, and what copies are called is not guessed: write {KAFKAS}.IdentityReplicationPolicy in its place if it keeps the names of topics, or {KAFKAS}.DefaultReplicationPolicy, with replication.policy.separator, if it puts the source's alias before them; other names cannot be had"
            );
            self.contradictions.push(reason);
            return Outcome::Lost(format!(
                "{simple} is not known; \"prefixed\" was written: set mirror.policy to \"identity\" if it keeps names"
            ));
        };
        self.mirror.insert("policy", quoted(policy));
        Outcome::To("mirror.policy".to_owned())
    }

    fn slots(&mut self, value: &str) -> Outcome {
        match value.parse::<u32>() {
            Ok(tasks) if tasks <= SLOTS_DEFAULT.get() => Outcome::Instead(format!(
                "a flow has {SLOTS_DEFAULT} slots unless told otherwise, and as many workers as you start"
            )),
            Ok(tasks) => {
                let slots = tasks.min(SLOTS_MAX).to_string();
                self.mirror.insert("slots", slots);
                Outcome::To("mirror.slots".to_owned())
            }
            Err(_) => Outcome::Lost("it is not a number".to_owned()),
        }
    }

    fn mm2_interval(&mut self, key: &'static str, seconds: &str) -> Outcome {
        match seconds.parse::<u32>() {
            Ok(seconds @ 1..=3600) => {
                self.mirror.insert(key, quoted(&format!("{seconds}s")));
                Outcome::To(format!("mirror.{key}"))
            }
            Ok(_) => Outcome::Lost("it must be between 1 and 3600 seconds here".to_owned()),
            Err(_) => Outcome::Lost("it is not a number".to_owned()),
        }
    }

    fn interval(&mut self, key: &'static str, seconds: &str, default: &str) -> Outcome {
        match seconds.parse::<i64>() {
            Ok(seconds @ 1..=10) => {
                self.mirror.insert(key, quoted(&format!("{seconds}s")));
                Outcome::To(format!("mirror.{key}"))
            }
            Ok(..=0) => Outcome::Lost(format!(
                "it switched this off; understudy does it every {default}"
            )),
            Ok(_) => Outcome::Instead(format!("every {default}; it costs one small request")),
            Err(_) => Outcome::Lost("it is not a number".to_owned()),
        }
    }

    /// A switch that both have.
    fn switch(&mut self, key: &'static str, value: &str) -> Outcome {
        match value.to_ascii_lowercase().parse::<bool>() {
            Ok(on) => {
                // An interval below zero has switched it off, whatever is said here.
                self.mirror.entry(key).or_insert_with(|| on.to_string());
                Outcome::To(format!("mirror.{key}"))
            }
            Err(_) => Outcome::Lost("it is neither true nor false".to_owned()),
        }
    }

    /// One interval serves configs and ACLs: the shorter of the two counts.
    fn settings_interval(&mut self, switch: &'static str, seconds: &str) -> Outcome {
        match seconds.parse::<i64>() {
            Ok(seconds @ 1..) => {
                let key = "config_sync_interval";
                let before = self.mirror.get(key).and_then(|text| {
                    let text = text.trim_matches('"').strip_suffix('s')?;
                    text.parse::<i64>().ok()
                });
                let shorter = before.unwrap_or(i64::MAX).min(seconds).min(SETTINGS_MAX);
                self.mirror.insert(key, quoted(&format!("{shorter}s")));
                Outcome::To(format!("mirror.{key}"))
            }
            Ok(_) => {
                self.mirror.insert(switch, "false".to_owned());
                Outcome::To(format!("mirror.{switch}"))
            }
            Err(_) => Outcome::Lost("it is not a number".to_owned()),
        }
    }

    /// MirrorMaker 2 mirrors ACLs unless told otherwise; a flow only when told to.
    fn tell_about_acls(&mut self) {
        let remark = match self.mirror.get("sync_acls").map(String::as_str) {
            Some("true") => {
                "first_acl = \"allow\"   # as MirrorMaker 2: also the first ACL of a resource, which may shut others out"
            }
            Some(_) => return,
            None => {
                "sync_acls = true   # MirrorMaker 2 does this unless told otherwise; read docs/settings.md first"
            }
        };
        self.remarks.push(remark.to_owned());
    }

    fn check(&mut self) {
        self.tell_about_acls();
        let policy = self.mirror.get("policy").map_or("", String::as_str);
        if policy == quoted("identity") {
            // Copies keep their names; MirrorMaker 2's own topics do not.
            if self.mirror.get("separator") == Some(&quoted(".")) {
                self.mirror.remove("separator");
            }
        }
        for end in [&self.source, &self.target] {
            self.contradictions
                .extend(end.contradictions.iter().cloned());
            if !end.properties.contains_key("bootstrap.servers") {
                self.contradictions.push(format!(
                    "cluster {0} has no {0}.bootstrap.servers",
                    end.alias
                ));
            }
            let protocol = end.properties.get("security.protocol");
            let has_sasl = end.properties.contains_key("sasl.username");
            if has_sasl
                && !protocol
                    .is_some_and(|protocol| protocol.to_ascii_uppercase().starts_with("SASL_"))
            {
                self.contradictions.push(format!(
                    "cluster {} has a user, but its security.protocol is not SASL_SSL or SASL_PLAINTEXT",
                    end.alias
                ));
            }
        }
        let servers = |end: &End| -> BTreeSet<String> {
            let servers = end.properties.get("bootstrap.servers");
            let servers = servers.map_or("", String::as_str).split(',');
            servers
                .map(|server| server.trim().to_owned())
                .filter(|server| !server.is_empty())
                .collect()
        };
        if servers(&self.source)
            .intersection(&servers(&self.target))
            .next()
            .is_some()
        {
            self.contradictions.push(format!(
                "{} and {} have a bootstrap server in common: a flow needs two clusters",
                self.source.alias, self.target.alias
            ));
        }
        if self.source.alias == self.target.alias {
            self.contradictions
                .push(format!("{} is its own target", self.source.alias));
        }
    }

    /// The flow file's text.
    pub fn toml(&self) -> String {
        let mut text = String::new();
        for (section, end) in [("source", &self.source), ("target", &self.target)] {
            text.push_str(&format!("[{section}]\nalias = {}\n", quoted(&end.alias)));
            for (key, value) in &end.properties {
                text.push_str(&format!("{} = {}\n", quoted(key), quoted(value)));
            }
            for remark in &end.remarks {
                text.push_str(&comment(remark));
            }
            text.push('\n');
        }
        text.push_str("[mirror]\n");
        for (key, value) in &self.mirror {
            text.push_str(&format!("{key} = {value}\n"));
        }
        for remark in &self.remarks {
            text.push_str(&comment(remark));
        }
        text.push_str(FOLLOW);
        if self.mirror.contains_key("mm2.connector")
            && !self.mirror.contains_key("mm2.offsets_topic")
        {
            text.push_str(FOLLOW_CONNECT);
        }
        text
    }
}

/// A comment, whatever is in it.
pub fn comment(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    format!("# {plain}\n")
}

/// How a property concerns a flow: as the flow's own, or as a client's of one end or both.
fn concerning<'a>(
    key: &'a str,
    value: &'a str,
    clusters: &[&str],
    (source, target): (&str, &str),
) -> Vec<Found<'a>> {
    let found = |name: &'a str, kind, weight| Found {
        key,
        name,
        value,
        kind,
        weight,
    };
    if let Some(rest) = key
        .strip_prefix(source)
        .and_then(|rest| rest.strip_prefix("->"))
        .and_then(|rest| rest.strip_prefix(target))
        .and_then(|rest| rest.strip_prefix('.'))
    {
        return client(rest, true).map_or_else(
            || vec![found(rest, Kind::Flow, 40)],
            |(name, kinds)| {
                kinds
                    .into_iter()
                    .map(|kind| found(name, kind, 40))
                    .collect()
            },
        );
    }
    if key.contains("->") {
        return Vec::new();
    }
    let own = |alias: &str| -> Option<&'a str> { key.strip_prefix(alias)?.strip_prefix('.') };
    // The longest alias: `a.b.topics` belongs to `a.b`, not to `a`.
    let owner = clusters
        .iter()
        .filter(|alias| own(alias).is_some())
        .max_by_key(|alias| alias.len());
    if let Some(owner) = owner {
        let rest = own(owner).unwrap_or_default();
        let mut all = Vec::new();
        for (alias, kind, role) in [
            (source, Kind::Source, "consumer."),
            (target, Kind::Target, "producer."),
        ] {
            if alias != *owner {
                continue;
            }
            match (rest.strip_prefix(role), rest.strip_prefix("admin.")) {
                (Some(name), _) => all.push(found(name, kind, 30)),
                (None, Some(name)) => all.push(found(name, kind, 25)),
                // The other role of this cluster is another flow's.
                (None, None) if rest.starts_with("producer.") || rest.starts_with("consumer.") => {}
                (None, None)
                    if fate(super::keys::CLIENT_KEYS, rest).is_some() && rest != "group.id" =>
                {
                    all.push(found(rest, kind, 20));
                }
                (None, None) if kind == Kind::Target => all.push(found(rest, Kind::Flow, 20)),
                (None, None) => {}
            }
        }
        return all;
    }
    match client(key, false) {
        Some((name, kinds)) => kinds
            .into_iter()
            .map(|kind| found(name, kind, 10))
            .collect(),
        None if fate(FLOW_KEYS, key).is_none() && fate(super::keys::CLIENT_KEYS, key).is_some() => {
            vec![found(key, Kind::Source, 5), found(key, Kind::Target, 5)]
        }
        None => vec![found(key, Kind::Flow, 5)],
    }
}

/// A client's property: its name, and which ends it concerns.
fn client(key: &str, of_flow: bool) -> Option<(&str, Vec<Kind>)> {
    let prefixes = [
        ("source.consumer.", Kind::Source),
        ("source.admin.", Kind::Source),
        ("source.producer.", Kind::Source),
        ("source.cluster.", Kind::Source),
        ("target.producer.", Kind::Target),
        ("target.admin.", Kind::Target),
        ("target.consumer.", Kind::Target),
        ("target.cluster.", Kind::Target),
        ("consumer.", Kind::Source),
        ("producer.", Kind::Target),
    ];
    let known = [
        "source.cluster.alias",
        "target.cluster.alias",
        "consumer.poll.timeout.ms",
    ];
    if known.contains(&key) {
        return None;
    }
    for (prefix, kind) in prefixes {
        if let Some(name) = key.strip_prefix(prefix) {
            return Some((name, vec![kind]));
        }
    }
    let admin = key
        .strip_prefix("admin.")
        .filter(|name| fate(super::keys::CLIENT_KEYS, name).is_some());
    if let Some(name) = admin {
        return Some((name, vec![Kind::Source, Kind::Target]));
    }
    let is_client =
        of_flow && fate(FLOW_KEYS, key).is_none() && fate(super::keys::CLIENT_KEYS, key).is_some();
    is_client.then(|| (key, vec![Kind::Source, Kind::Target]))
}

fn note(
    entries: &mut BTreeMap<String, Entry>,
    key: &str,
    status: Status,
    to: Option<String>,
    why: &str,
) {
    let entry = entries.entry(key.to_owned()).or_insert_with(|| Entry {
        key: key.to_owned(),
        status,
        to: None,
        why: None,
    });
    // Where flows differ, what somebody should see wins.
    if status >= entry.status {
        entry.status = status;
        entry.why = (!why.is_empty()).then(|| why.to_owned());
    }
    if let Some(to) = to {
        let all = match entry.to.take() {
            Some(known) if known.split(", ").any(|one| one == to) => known,
            Some(known) => format!("{known}, {to}"),
            None => to,
        };
        entry.to = Some(all);
    }
}

/// A comma list's parts.
fn list(value: &str) -> Vec<&str> {
    let parts = value.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A TOML array of strings.
fn array<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.map(quoted).collect();
    format!("[{}]", items.join(", "))
}
