//! How one cluster is reached, and the client properties of each role.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::ffi::login::Login;
use crate::watch::Watch;

/// What one reader may hold fetched and decompressed, in KiB. With [`FETCH_BYTES`] it bounds a slot's memory.
const READER_QUEUE_KIB: u32 = 6 * 1024;
/// What one fetch may bring for one partition, in bytes as stored on the source.
const FETCH_PARTITION_BYTES: u32 = 2 * 1024 * 1024;
/// What one fetch may bring in all, in bytes as stored on the source.
const FETCH_BYTES: u32 = 4 * 1024 * 1024;
/// As large as batches of copies are unless set otherwise, in bytes.
pub const BATCH_BYTES: usize = 1_000_000;
/// Until when brokers wait for a transaction whose producer went silent, in ms: an open one blocks
/// `read_committed` readers of its partitions, so it is short.
const TRANSACTION_TIMEOUT_MS: u32 = 15_000;
/// After which silence a worker has lost its slots, in ms. Brokers' default lower limit
/// (`group.min.session.timeout.ms`).
const SESSION_TIMEOUT_MS: u32 = 6_000;

/// Properties that decide exactness, with who sets them; a configuration file may not.
pub const OWNED: &[&str] = &[
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "message.timeout.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "partition.assignment.strategy",
    "transactional.id",
];

/// librdkafka properties, secrets resolved. Never printed.
type Properties = BTreeMap<String, String>;

/// One cluster: its alias, the client properties that reach it, and what its clients complain about.
#[derive(Clone)]
pub struct Endpoint {
    /// The cluster's alias.
    pub alias: String,
    /// What new clients are made of. Clones share it: written by [`Endpoint::renew`], read by whoever opens a client.
    held: Arc<Held>,
    /// Written by [`Endpoint::renew`] after the properties, read by whoever holds clients.
    generation: Arc<AtomicU64>,
    /// Whether its tokens are those of MSK's IAM.
    msk_iam: bool,
    /// Whether its clients stay for long, see [`Endpoint::lasting`].
    lasts: bool,
    /// What the clients of this cluster say of it.
    pub watch: Watch,
}

/// What new clients are made of, and whether all of it is there.
struct Held {
    /// A mutex, because it is held for a clone of a pointer only.
    now: Mutex<Now>,
    /// Told when nothing is awaited any more.
    settled: Condvar,
}

struct Now {
    properties: Arc<Properties>,
    /// Until when a new client waits for properties that are still being read.
    awaited_until: Option<Instant>,
    /// Why some are missing, if they are.
    lacks: Option<String>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Properties hold secrets.
        f.debug_struct("Endpoint")
            .field("alias", &self.alias)
            .field("bootstrap", &self.bootstrap())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The cluster `alias`, reached with `properties`.
    pub fn new(alias: &str, properties: BTreeMap<String, String>) -> Self {
        Self {
            alias: alias.to_owned(),
            held: Arc::new(Held {
                now: Mutex::new(Now {
                    properties: Arc::new(properties),
                    awaited_until: None,
                    lacks: None,
                }),
                settled: Condvar::new(),
            }),
            generation: Arc::default(),
            msk_iam: false,
            lasts: false,
            watch: Watch::new(alias),
        }
    }

    /// The same, with tokens of MSK's IAM or without.
    #[must_use]
    pub fn with_msk_iam(mut self, msk_iam: bool) -> Self {
        self.msk_iam = msk_iam;
        self
    }

    /// The same cluster, for clients that stay as long as the process and ask again and again: they connect to every broker.
    /// Without this they connect to those only that they have something for, which is sooner done and wider clusters are
    /// not troubled by; but while a broker is away, they spin until their call's time limit (see `connect_to_all`).
    #[must_use]
    pub fn lasting(&self) -> Self {
        Self {
            lasts: true,
            ..self.clone()
        }
    }

    /// Who we are on this cluster, as ACLs name it.
    pub fn principal(&self) -> String {
        let properties = self.properties();
        if let Some(user) = properties.get("sasl.username") {
            return format!("User:{user}");
        }
        if let Some(principal) = self.watch.logins().principal() {
            return principal;
        }
        let certificates = [
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.keystore.location",
        ];
        if certificates.iter().any(|key| properties.contains_key(*key)) {
            "the client certificate's subject".to_owned()
        } else {
            "User:ANONYMOUS".to_owned()
        }
    }

    /// Rises when clients should be made anew: those that run reach the cluster with what is no longer right.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Lets new clients use `properties`. A new password is given to those that run as well; anything else, or a change
    /// in the files that properties name (`files_changed`), raises [`Endpoint::generation`].
    pub fn renew(&self, properties: BTreeMap<String, String>, files_changed: bool) {
        let old = self.properties();
        let without = |properties: &Properties| {
            let mut rest = properties.clone();
            rest.remove("sasl.password");
            rest
        };
        let anew = files_changed || without(&old) != without(&properties);
        let login = match (
            properties.get("sasl.username"),
            properties.get("sasl.password"),
        ) {
            (Some(user), Some(password)) => Some(Login::Password {
                user: user.clone(),
                password: password.clone(),
            }),
            _ => None,
        };
        let mut now = self.now();
        *now = Now {
            properties: Arc::new(properties),
            awaited_until: None,
            lacks: None,
        };
        drop(now);
        self.held.settled.notify_all();
        if let Some(login) = login
            && let Err(reason) = self.watch.logins().set(login)
        {
            tracing::warn!(cluster = %self.alias, reason, "a running client refused the new password");
        }
        if anew {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Properties are missing that are being read: clients that are opened meanwhile wait for [`Endpoint::renew`], or
    /// for [`Endpoint::lack`], but no longer than `within` from now.
    #[must_use]
    pub fn awaiting(self, within: Duration) -> Self {
        self.now().awaited_until = Some(Instant::now() + within);
        self
    }

    /// What is missing cannot be had for now, and why: nobody waits for it any more.
    pub fn lack(&self, reason: String) {
        let mut now = self.now();
        now.awaited_until = None;
        now.lacks = Some(reason);
        drop(now);
        self.held.settled.notify_all();
    }

    /// Why properties are missing, if they are.
    pub fn lacks(&self) -> Option<String> {
        self.now().lacks.clone()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.held.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn properties(&self) -> Arc<Properties> {
        self.now().properties.clone()
    }

    /// The properties, once nothing is awaited any more.
    fn whole_properties(&self) -> Arc<Properties> {
        let mut now = self.now();
        while let Some(until) = now.awaited_until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.held.settled.wait_timeout(now, left);
            now = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        now.properties.clone()
    }

    /// Where to connect first.
    pub fn bootstrap(&self) -> String {
        self.properties()
            .get("bootstrap.servers")
            .cloned()
            .unwrap_or_default()
    }

    /// The reader of a slot, which goes on reading: it also tells of topics that were made again, see `Watch`.
    pub fn reader(&self) -> ClientConfig {
        let mut config = self.reader_of_now();
        // Not for readers that only look: librdkafka writes a line for each partition and each place of a group that it is
        // told, and its queue of lines takes longer for each the more there are.
        config
            .set("debug", self.with_topic_debug())
            .set_log_level(RDKafkaLogLevel::Debug);
        config
    }

    /// A reader of records by explicit offset; committed ones only.
    fn reader_of_now(&self) -> ClientConfig {
        let mut config = self.common("reader");
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // A position outside the log is a loss to be named, not to be skipped.
            .set("auto.offset.reset", "error");
        or(&mut config, "check.crcs", "true");
        or(&mut config, "fetch.wait.max.ms", "1000");
        or(
            &mut config,
            "fetch.message.max.bytes",
            &FETCH_PARTITION_BYTES.to_string(),
        );
        or(&mut config, "fetch.max.bytes", &FETCH_BYTES.to_string());
        or(&mut config, "fetch.error.backoff.ms", "100");
        // The default of a second halts partitions whose queue was full for a moment.
        or(&mut config, "fetch.queue.backoff.ms", "10");
        or(&mut config, "queued.min.messages", "100000");
        or(
            &mut config,
            "queued.max.messages.kbytes",
            &READER_QUEUE_KIB.to_string(),
        );
        config
    }

    /// A client that asks for places of groups; it joins none. librdkafka 2.12.1 follows a null pointer when a broker
    /// answers such a question with "not the coordinator" to a client without a `group.id`; so it gets the name of one
    /// of the groups that are asked for, which needs no further right.
    pub fn reader_of_groups(&self, group: &str) -> ClientConfig {
        let mut config = self.asker();
        config.set("group.id", group);
        config
    }

    /// A client that asks brokers by their ids: for offsets, groups, configs.
    pub fn asker(&self) -> ClientConfig {
        let mut config = self.reader_to_end();
        if self.lasts {
            connect_to_all(&mut config);
        }
        config
    }

    /// A reader of what is there now: brokers tell the end at once instead of waiting for more.
    pub fn reader_to_end(&self) -> ClientConfig {
        let mut config = self.reader_of_now();
        config.set("fetch.wait.max.ms", "10");
        config
    }

    /// The same, with what transactions left behind that were aborted or are open.
    pub fn reader_of_everything(&self) -> ClientConfig {
        let mut config = self.reader_to_end();
        config.set("isolation.level", "read_uncommitted");
        config
    }

    /// A transactional producer under `transactional_id`.
    pub fn writer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.common("writer");
        config
            .set("transactional.id", transactional_id)
            .set("enable.idempotence", "true")
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string());
        or(&mut config, "compression.type", "lz4");
        // Only full batches leave before a commit's flush sends the rest. With a shorter linger a busy partition cuts
        // small batches, more than the five that may be in flight, and librdkafka's threads spin until one returns.
        or(&mut config, "linger.ms", "100");
        or(&mut config, "batch.size", &BATCH_BYTES.to_string());
        or(&mut config, "batch.num.messages", "100000");
        or(&mut config, "queue.buffering.max.messages", "1000000");
        or(&mut config, "queue.buffering.max.kbytes", "262144");
        // The target's own limit decides; ours only has to be out of the way.
        or(&mut config, "message.max.bytes", "268435456");
        config
    }

    /// A producer without transactions, for records that need none. It asks for no right but WRITE on their topics.
    pub fn plain_writer(&self) -> ClientConfig {
        let mut config = self.common("teller");
        // Other names of what is set here: which of the two librdkafka takes is chance.
        config.remove("request.required.acks");
        config.remove("delivery.timeout.ms");
        config
            .set("acks", "all")
            // In order, although not idempotent.
            .set("max.in.flight.requests.per.connection", "1")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "10000");
        config
    }

    /// The membership of `group` that shares out slots.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.common("member");
        config
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS.to_string())
            .set("heartbeat.interval.ms", "300")
            .set("max.poll.interval.ms", "60000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            // The slots' topic carries no records; the fetches only keep the connection company.
            .set("fetch.wait.max.ms", "9000");
        config
    }

    /// Admin calls and metadata.
    pub fn admin(&self) -> ClientConfig {
        let mut config = self.common("admin");
        if self.lasts {
            connect_to_all(&mut config);
        }
        config
    }

    /// One look at one address: this one and no other is asked first.
    pub fn probe(&self, address: &str) -> ClientConfig {
        let mut config = self.common("check");
        config.set("bootstrap.servers", address);
        config
    }

    /// Whether MSK's IAM lets us in: its mechanism, or its port.
    pub fn uses_msk_iam(&self) -> bool {
        self.msk_iam || self.bootstrap().contains(".amazonaws.com:9098")
    }

    /// Whether connections are encrypted.
    pub fn uses_tls(&self) -> bool {
        self.properties()
            .get("security.protocol")
            .is_some_and(|protocol| protocol.to_ascii_uppercase().ends_with("SSL"))
    }

    fn common(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in self.whole_properties().iter() {
            config.set(name, value);
        }
        or(&mut config, "client.id", &format!("understudy-{role}"));
        or(&mut config, "socket.nagle.disable", "true");
        or(&mut config, "socket.timeout.ms", "12000");
        or(&mut config, "reconnect.backoff.ms", "50");
        or(&mut config, "reconnect.backoff.max.ms", "1000");
        or(&mut config, "log.connection.close", "false");
        config
    }

    fn with_topic_debug(&self) -> String {
        match self.properties().get("debug") {
            Some(contexts) => format!("{contexts},topic"),
            None => "topic".to_owned(),
        }
    }
}

/// Lets a client connect to every broker rather than to those that it has something for, unless the configuration file
/// says which.
///
/// An admin call of librdkafka 2.12.1 waits for its broker by asking for a connection whenever the state of any broker
/// changes (`rd_kafka_broker_get_async`), which a client of few connections answers at once, without the wait between
/// two attempts (`RD_KAFKA_OP_CONNECT`). Each attempt that is refused is such a change: while a broker was away, the
/// client's threads did nothing else, as fast as they could.
fn connect_to_all(config: &mut ClientConfig) {
    or(config, "enable.sparse.connections", "false");
}

/// Sets a default that the configuration file may override.
fn or(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

/// A property that librdkafka refuses.
#[derive(Debug)]
pub struct BadProperty {
    /// Its name; empty where the reason tells.
    pub key: String,
    /// Whether librdkafka has no such property, as against no such value.
    pub unknown: bool,
    /// What is wrong with it.
    pub reason: String,
}

impl Endpoint {
    /// Whether librdkafka takes every property, and can make a client of them: certificates and keys are read here.
    ///
    /// # Errors
    /// The first one that it refuses.
    pub fn check(&self) -> Result<(), BadProperty> {
        let config = self.common("check");
        let client = config
            .create_native_config()
            .and_then(|_| config.create_with_context::<_, BaseConsumer<_>>(DefaultConsumerContext));
        match client {
            Ok(_) => Ok(()),
            Err(KafkaError::ClientCreation(reason)) => Err(BadProperty {
                // Its words begin with the property's name, where there is one.
                key: String::new(),
                unknown: false,
                reason,
            }),
            Err(KafkaError::ClientConfig(kind, reason, key, _value)) => Err(BadProperty {
                key,
                unknown: kind == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
                reason,
            }),
            Err(error) => Err(BadProperty {
                key: "?".to_owned(),
                unknown: false,
                reason: error.to_string(),
            }),
        }
    }
}
