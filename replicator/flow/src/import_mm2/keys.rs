//! What becomes of each of MirrorMaker 2's properties. The table in `docs/coming-from-mm2.md` is made of this.

/// What becomes of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried over to this key of the flow file.
    To(&'static str),
    /// Nothing needs to be written: this holds instead.
    Instead(&'static str),
    /// It has no counterpart; a person should look whether that matters.
    Lost(&'static str),
}

/// One property, and what becomes of it.
pub struct Key {
    /// Its name without the prefix of a flow, cluster or client; a last `*` stands for any ending.
    pub name: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

const fn to(name: &'static str, key: &'static str) -> Key {
    Key {
        name,
        fate: Fate::To(key),
    }
}

const fn instead(name: &'static str, what: &'static str) -> Key {
    Key {
        name,
        fate: Fate::Instead(what),
    }
}

const fn lost(name: &'static str, what: &'static str) -> Key {
    Key {
        name,
        fate: Fate::Lost(what),
    }
}

const MAP: &str =
    "the exact offset map, written in the transaction of the copies; nothing is sampled";
const STATE: &str = "state lives in `understudy.<flow>.*` on the target, made with the cluster's default replication";
const BYTES: &str = "records are copied as bytes: keys, values and headers as they are";
const FACTOR: &str = "topics get three replicas, or as many as the target has brokers, or its `default.replication.factor` if that is higher; `mirror.replication_factor` says otherwise";
const NO_CONNECT: &str =
    "there is no Connect cluster: start as many `understudy replicate` as you like";
const OWN: &str = "set by understudy, exactness depends on it";
const GROUPS: &str = "places of the groups in `mirror.groups` are always kept on the target, where nobody is a member; `false` is listed as something to look at";
const LIMITS: &str = "understudy's own limits hold";

/// Properties of flows and of the three connectors.
pub const FLOW_KEYS: &[Key] = &[
    instead("clusters", "each enabled flow is a file of its own"),
    instead("enabled", "a flow runs while `understudy replicate` does"),
    to("topics", "mirror.topics"),
    to("topics.exclude", "mirror.topics_exclude"),
    to("topics.blacklist", "mirror.topics_exclude"),
    to("groups", "mirror.groups"),
    to("groups.exclude", "mirror.groups_exclude"),
    to("groups.blacklist", "mirror.groups_exclude"),
    to("replication.policy.class", "mirror.policy"),
    to("replication.policy.separator", "mirror.separator"),
    to(
        "replication.policy.internal.topic.separator.enabled",
        "mirror.mm2.internal_separator",
    ),
    to("tasks.max", "mirror.slots"),
    to(
        "refresh.topics.interval.seconds",
        "mirror.topic_discovery_interval",
    ),
    lost(
        "refresh.topics.enabled",
        "new topics are always found; narrow `mirror.topics`",
    ),
    to(
        "sync.group.offsets.interval.seconds",
        "mirror.group_sync_interval",
    ),
    instead("sync.group.offsets.enabled", GROUPS),
    to("emit.checkpoints.enabled", "mirror.mm2.checkpoints"),
    to(
        "emit.checkpoints.interval.seconds",
        "mirror.mm2.checkpoint_interval",
    ),
    instead(
        "refresh.groups.enabled",
        "groups are looked up at every `mirror.group_sync_interval`",
    ),
    instead(
        "refresh.groups.interval.seconds",
        "groups are looked up at every `mirror.group_sync_interval`",
    ),
    instead("checkpoints.topic.replication.factor", FACTOR),
    instead("emit.offset-syncs.enabled", MAP),
    to("offset-syncs.topic.location", "mirror.mm2.offset_syncs"),
    instead("offset-syncs.topic.replication.factor", FACTOR),
    instead("offset.lag.max", MAP),
    to("emit.heartbeats.enabled", "mirror.mm2.heartbeats"),
    to(
        "emit.heartbeats.interval.seconds",
        "mirror.mm2.heartbeat_interval",
    ),
    instead(
        "heartbeats.replication.enabled",
        "the flow itself writes `<source>.heartbeats` on the target, each after the source answered",
    ),
    instead("heartbeats.topic.replication.factor", FACTOR),
    instead("replication.factor", FACTOR),
    to("sync.topic.configs.enabled", "mirror.sync_configs"),
    to(
        "sync.topic.configs.interval.seconds",
        "mirror.config_sync_interval",
    ),
    to("sync.topic.acls.enabled", "mirror.sync_acls"),
    to(
        "sync.topic.acls.interval.seconds",
        "mirror.config_sync_interval",
    ),
    to("config.properties.exclude", "mirror.config_exclude"),
    to("config.properties.blacklist", "mirror.config_exclude"),
    to("use.defaults.from", "mirror.config_defaults_from"),
    instead(
        "use.incremental.alter.configs",
        "configs are always changed one by one (KIP-339); what is not named stays",
    ),
    lost(
        "topic.filter.class",
        "filters are patterns: `mirror.topics` and `mirror.topics_exclude`",
    ),
    lost(
        "group.filter.class",
        "filters are patterns: `mirror.groups`",
    ),
    lost(
        "config.property.filter.class",
        "filters are patterns: `mirror.config_exclude`",
    ),
    lost(
        "forwarding.admin.class",
        "topics are made by understudy itself; make them beforehand to keep that elsewhere",
    ),
    instead("exactly.once.source.support", "always exactly once"),
    instead("exactly.once.support", "always exactly once"),
    instead(
        "transaction.boundary*",
        "a transaction is committed every `mirror.commit_interval`",
    ),
    lost(
        "transforms*",
        "records are copied as they are; a copy that was changed could not be verified",
    ),
    lost(
        "predicates*",
        "records are copied as they are; a copy that was changed could not be verified",
    ),
    instead(
        "errors.*",
        "a record that cannot be copied halts its partition and says so; the others go on",
    ),
    instead("key.converter*", BYTES),
    instead("value.converter*", BYTES),
    instead("header.converter*", BYTES),
    instead("consumer.poll.timeout.ms", LIMITS),
    instead("admin.timeout.ms", LIMITS),
    instead(
        "offset.flush.interval.ms",
        "positions are stored with each commit",
    ),
    instead(
        "offset.flush.timeout.ms",
        "positions are stored with each commit",
    ),
    to("offset.storage.topic", "mirror.mm2.offsets_topic"),
    instead("offset.storage.*", STATE),
    instead("status.storage.*", STATE),
    instead("config.storage.*", STATE),
    to("offsets.storage.topic", "mirror.mm2.offsets_topic"),
    instead("group.id", "workers meet in the group `understudy-<flow>`"),
    to("name", "mirror.mm2.connector"),
    instead(
        "connector.class",
        "one flow does what the three connectors do",
    ),
    instead("source.cluster.alias", "`source.alias`"),
    instead("target.cluster.alias", "`target.alias`"),
    instead("dedicated.mode.enable.internal.rest", NO_CONNECT),
    instead("listeners*", NO_CONNECT),
    instead("rest.*", NO_CONNECT),
    instead("admin.listeners*", NO_CONNECT),
    instead("plugin.*", NO_CONNECT),
    instead(
        "scheduled.rebalance.max.delay.ms",
        "a worker's slots move within seconds",
    ),
    instead(
        "rebalance.timeout.ms",
        "a worker's slots move within seconds",
    ),
    instead("worker.*", NO_CONNECT),
    instead("task.*", NO_CONNECT),
    instead("config.action.reload", NO_CONNECT),
    instead("topic.creation.*", FACTOR),
    instead("metric.reporters", "`/metrics` of each worker"),
    instead("metric.names.formats", "`/metrics` of each worker"),
    instead("metrics.*", "`/metrics` of each worker"),
    instead("config.providers*", "`${env:NAME}` and `${file:PATH}`"),
];

/// Properties of clients, by their Java names.
pub const CLIENT_KEYS: &[Key] = &[
    to("bootstrap.servers", "bootstrap.servers"),
    to("security.protocol", "security.protocol"),
    to("sasl.mechanism", "sasl.mechanism"),
    to("sasl.jaas.config", "sasl.username"),
    to("sasl.kerberos.service.name", "sasl.kerberos.service.name"),
    to(
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.oauthbearer.token.endpoint.url",
    ),
    lost(
        "sasl.login.callback.handler.class",
        "Java code; librdkafka has SCRAM, PLAIN, GSSAPI and OAUTHBEARER of its own",
    ),
    lost(
        "sasl.client.callback.handler.class",
        "Java code; librdkafka has SCRAM, PLAIN, GSSAPI and OAUTHBEARER of its own",
    ),
    lost("sasl.*", "not carried over; look whether librdkafka has it"),
    to("ssl.truststore.location", "ssl.ca.location"),
    instead("ssl.truststore.password", "a PEM file needs no password"),
    to("ssl.truststore.certificates", "ssl.ca.pem"),
    instead("ssl.truststore.type", "authorities are in a PEM file"),
    to("ssl.keystore.location", "ssl.keystore.location"),
    to("ssl.keystore.password", "ssl.keystore.password"),
    instead(
        "ssl.keystore.type",
        "PKCS#12 is read as it is, PEM by `ssl.certificate.location`",
    ),
    to("ssl.key.password", "ssl.key.password"),
    to(
        "ssl.endpoint.identification.algorithm",
        "ssl.endpoint.identification.algorithm",
    ),
    lost("ssl.*", "not carried over; look whether librdkafka has it"),
    to("client.id", "client.id"),
    to("client.rack", "client.rack"),
    to("compression.type", "compression.type"),
    to("linger.ms", "linger.ms"),
    to("batch.size", "batch.size"),
    to("max.request.size", "message.max.bytes"),
    to("buffer.memory", "queue.buffering.max.kbytes"),
    to("fetch.min.bytes", "fetch.min.bytes"),
    to("fetch.max.bytes", "fetch.max.bytes"),
    to("fetch.max.wait.ms", "fetch.wait.max.ms"),
    to("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    to("check.crcs", "check.crcs"),
    to("send.buffer.bytes", "socket.send.buffer.bytes"),
    to("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    to("connections.max.idle.ms", "connections.max.idle.ms"),
    to("metadata.max.age.ms", "metadata.max.age.ms"),
    to("reconnect.backoff.ms", "reconnect.backoff.ms"),
    to("reconnect.backoff.max.ms", "reconnect.backoff.max.ms"),
    to(
        "socket.connection.setup.timeout.ms",
        "socket.connection.setup.timeout.ms",
    ),
    to("auto.offset.reset", "mirror.start"),
    instead("isolation.level", "always `read_committed`"),
    instead("acks", OWN),
    instead("enable.idempotence", OWN),
    instead("max.in.flight.requests.per.connection", OWN),
    instead("transactional.id", OWN),
    instead("transaction.timeout.ms", OWN),
    instead("enable.auto.commit", OWN),
    instead("group.id", "the source sees no consumer group"),
    instead("group.instance.id", "the source sees no consumer group"),
    instead("max.poll.records", LIMITS),
    instead("max.poll.interval.ms", LIMITS),
    instead("session.timeout.ms", LIMITS),
    instead("heartbeat.interval.ms", LIMITS),
    instead("request.timeout.ms", LIMITS),
    instead("default.api.timeout.ms", LIMITS),
    instead("delivery.timeout.ms", LIMITS),
    instead("max.block.ms", LIMITS),
    instead("retries", "until the worker is stopped"),
    instead("retry.backoff.ms", LIMITS),
    instead("retry.backoff.max.ms", LIMITS),
    instead(
        "partition.assignment.strategy",
        "partitions are shared out by slots",
    ),
    instead("key.serializer", BYTES),
    instead("value.serializer", BYTES),
    instead("key.deserializer", BYTES),
    instead("value.deserializer", BYTES),
    lost(
        "interceptor.classes",
        "Java code; there are no interceptors",
    ),
    instead("metric.reporters", "`/metrics` of each worker"),
    instead("metrics.*", "`/metrics` of each worker"),
];

/// What becomes of a property of this name.
pub fn fate(keys: &[Key], name: &str) -> Option<Fate> {
    let matches = |key: &&Key| match key.name.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => key.name == name,
    };
    let exact = keys.iter().find(|key| key.name == name);
    exact
        .or_else(|| keys.iter().find(matches))
        .map(|key| key.fate)
}

/// The table of `docs/coming-from-mm2.md`.
#[cfg(test)]
pub fn table(keys: &[Key]) -> String {
    let mut text = "| MirrorMaker 2 | Understudy |\n|---|---|\n".to_owned();
    for key in keys {
        let what = match key.fate {
            Fate::To(to) => format!("`{to}`"),
            Fate::Instead(what) => format!("not needed: {what}"),
            Fate::Lost(what) => format!("**look**: {what}"),
        };
        text.push_str(&format!("| `{}` | {what} |\n", key.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_holds_the_tables() {
        let document = include_str!("../../../../docs/coming-from-mm2.md");
        for keys in [FLOW_KEYS, CLIENT_KEYS] {
            assert!(
                document.contains(&table(keys)),
                "paste this:\n{}",
                table(keys)
            );
        }
    }

    #[test]
    fn each_property_is_named_once() {
        for keys in [FLOW_KEYS, CLIENT_KEYS] {
            let names: std::collections::BTreeSet<_> = keys.iter().map(|key| key.name).collect();
            assert_eq!(names.len(), keys.len());
        }
    }
}
