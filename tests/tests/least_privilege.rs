//! A flow that does everything needs exactly the permissions that are listed, and leaves its source as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use understudy_domain::acl::{Pattern, Resource};
use understudy_domain::grants::acl_commands;
use understudy_domain::permissions::{End, FlowScope, Need, Purpose, needs};
use understudy_domain::{
    Acl, AclOperation, AclPattern, AclPermission, AclResource, ConfigOrigin, FlowName,
    ReplicationPolicy, StateTopics,
};
use understudy_kafka::{Cluster as Admin, Endpoint};
use understudy_tests::{
    Cluster, FlowFile, Judge, LabError, Listener, Pair, Worker, Workload, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct-horse";
/// How many permissions a flow needs that does everything.
const NEEDS: usize = 19;
/// MirrorMaker 2's topics that a flow writes unless it is told not to.
const MM2_TOPICS: [&str; 3] = ["heartbeats", "use1.heartbeats", "use1.checkpoints.internal"];
/// Has every permission that the flow needs, and no other.
const LEAST: &str = "least";
/// Has none.
const NOBODY: &str = "nobody";
/// Has on the source what the flow needs there.
const READER: &str = "reader";

#[test]
fn exactly_the_granted_permissions_let_a_worker_do_everything_and_one_less_is_named() -> Outcome {
    let _turn = turn();
    let Pair { source, target } = pair()?;
    let all = flow_needs()?;
    assert_eq!(all.len(), NEEDS);
    source.create_topic("orders", 2, &[])?;
    target.create_topic("aside", 1, &[])?;
    Workload::orders(source.client(), "orders")
        .records(300)
        .run()?;
    source.commit_group("readers", &[("orders", 0, 5)])?;
    let (granted, also) = std::thread::scope(|scope| {
        let source = scope.spawn(|| grant(source, End::Source, &all).map_err(|e| e.to_string()));
        (grant(target, End::Target, &all), source.join())
    });
    granted?;
    also.map_err(|_panic| "granting panicked")??;

    // Before anything is there.
    let report = check(&users(LEAST, LEAST)?, "least-before")?;
    assert_eq!(report.code, 0, "{}", report.json);
    assert_eq!(report.missing(), Vec::<String>::new());
    let unseen = "may not see topics understudy.*";
    assert!(report.has("warning", "source", unseen), "{}", report.json);
    // Mirrored ACLs would give back what users lack, so not yet.
    let worker = Worker::start(&users(LEAST, LEAST)?.mirror("sync_acls", false), "least-1")?;
    let comparison = Judge::new(source, target, "orders").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.wait_ready(LIMIT)?;
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    let report = check(&users(LEAST, LEAST)?, "least-after")?;
    assert_eq!(report.code, 0, "{}", report.json);
    assert!(report.has("ok", "target", "running"), "{}", report.json);
    let report = check(&users(LEAST, LEAST)?.slots(5), "least-slots")?;
    assert!(
        report.code == 1 && report.has("fails", "target", "mirror.slots = 2"),
        "{}",
        report.json
    );

    one_less_is_named(&all)?;

    // Nothing at all: the commands that it prints are the ones that were used.
    let report = check(&users(NOBODY, NOBODY)?, "nobody")?;
    assert_eq!(report.code, 1);
    let grants = at(&report.json, "grants").as_array().into_iter().flatten();
    let printed: Vec<&str> = grants
        .flat_map(|grants| at(grants, "kafka_acls").as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let mut used = Vec::new();
    for (end, cluster) in [(End::Source, source), (End::Target, target)] {
        for command in acl_commands(all.iter().filter(|need| need.end == end)) {
            used.push(command.line(&cluster.bootstrap_sasl(), &format!("User:{NOBODY}")));
        }
    }
    assert_eq!(printed, used);
    assert!(!report.json.to_string().contains(PASSWORD));
    everything_happens()?;
    a_tail_is_put_aside_with_three_more()
}

/// Each user lacks one permission, and `check` names that one.
fn one_less_is_named(all: &[Need]) -> Outcome {
    for (at, need) in all.iter().enumerate() {
        let lacking = lacking(at);
        let file = match need.end {
            End::Source => users(&lacking, LEAST)?,
            End::Target => users(LEAST, &lacking)?,
        };
        let report = check(&file, &format!("without-{at}"))?;
        if all
            .iter()
            .any(|other| other != need && includes(other, need))
        {
            // The groups that are mirrored are all of them, so READ on the flow's own is among that.
            assert_eq!((report.code, report.missing()), (0, vec![]), "{need:?}");
            continue;
        }
        let kind = need.resources.first().ok_or("no resource")?.kind.name();
        let expected = format!(
            "{} {} on {kind} for User:{lacking}",
            need.end.name(),
            need.operation
        );
        assert_eq!(
            (report.code, report.missing()),
            (1, vec![expected]),
            "{need:?}: {}",
            report.json
        );
        // A flow that does without the purpose does without the permission.
        let without = match need.purpose {
            Purpose::Records | Purpose::Growth | Purpose::Salvage => continue,
            Purpose::Configs => file.mirror("sync_configs", false),
            Purpose::Places => file.groups(Vec::<String>::new()),
            Purpose::Acls => file.mirror("sync_acls", false),
            Purpose::Mm2 => file.mirror(
                "mm2",
                toml::toml! {
                    heartbeats = false
                    checkpoints = false
                },
            ),
            Purpose::SourceHeartbeats => continue,
            Purpose::Parking => file
                .mirror("gaps", "skip-and-record")
                .mirror("parking_topic", ""),
        };
        let report = check(&without, &format!("unneeded-{at}"))?;
        assert_eq!(
            (report.code, report.missing()),
            (0, vec![]),
            "{need:?}: {}",
            report.json
        );
    }
    Ok(())
}

/// With nothing but what was granted, whatever a flow can do is done.
fn everything_happens() -> Outcome {
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    let worker = Worker::start(&users(LEAST, LEAST)?, "least-2")?;
    // Growth.
    source.grow_topic("orders", 3)?;
    // A record that the target refuses.
    here.set("orders", &[("max.message.bytes", Some("20000"))])?;
    send_large(source, "orders")?;
    there.set("orders", &[("retention.bytes", Some("7000000"))])?;
    there.add(&[acl("visitor", "orders", AclOperation::Read)])?;
    worker.wait_status("a record to be parked", LIMIT, |status| {
        let mut gaps = status["gaps"].as_array().into_iter().flatten();
        gaps.any(|gap| gap["state"] == "parked")
    })?;
    wait_for("growth, configs, ACLs and places", LIMIT, || {
        let partitions = target.partitions("orders").map_err(|e| e.to_string())?;
        let own = here
            .own("orders", "retention.bytes")
            .map_err(|e| e.to_string())?;
        let acls = here.0.acls(WITHIN).map_err(|e| e.to_string())?;
        let visitor = acl("visitor", "orders", AclOperation::Read);
        let place = target
            .group_places("readers", "orders")
            .map_err(|e| e.to_string())?;
        let seen = (
            partitions,
            own.as_deref(),
            acls.known.contains(&visitor),
            place.contains_key(&0),
        );
        if seen == (Some(3), Some("7000000"), true, true) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })?;
    let ends = target.ends("aside")?;
    assert!(ends.get(&0).is_some_and(|ends| ends.last_stable > 0));
    for topic in MM2_TOPICS {
        wait_for(&format!("a record of {topic}"), LIMIT, || {
            let ends = target.ends(topic).map_err(|error| error.to_string())?;
            match ends.get(&0) {
                Some(ends) if ends.last_stable > 0 => Ok(()),
                ends => Err(format!("{ends:?}")),
            }
        })?;
    }
    worker.wait_ready(LIMIT)?;
    // Nothing that is on by default needs a word.
    let status = worker.status()?;
    let warnings = at(&status, "warnings").to_string();
    for word in [
        "grant",
        "permission",
        "not allowed",
        "DESCRIBE",
        "cannot be written",
    ] {
        assert!(!warnings.contains(word), "{status}");
    }
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    Ok(())
}

/// Whoever puts a tail aside is told what is lacking, and needs the three that are listed for that.
fn a_tail_is_put_aside_with_three_more() -> Outcome {
    let Pair { source, target } = pair()?;
    write(source, "orders", "tail", 90)?;
    let file = users(LEAST, LEAST)?.write("least-tail", address())?;
    let file = file.display().to_string();
    let sealed = understudy(["seal", &file, "--epoch", "1"], LIMIT)?;
    assert_eq!(sealed.status.code(), Some(0));
    let export = || {
        let output = understudy(["salvage", &file, "export"], LIMIT);
        let output = output.map_err(|error| error.to_string())?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok::<_, String>((output.status.code(), text))
    };
    let (code, text) = export()?;
    let told = [
        "orders.tail.e1",
        "permission denied",
        "grant it to User:least",
    ];
    assert!(
        code == Some(2) && told.iter().all(|part| text.contains(part)),
        "{text}"
    );
    let more = needs_for(&[Purpose::Salvage])?;
    assert_eq!(more.len(), 3);
    for command in acl_commands(&more) {
        let mut arguments = vec!["--bootstrap-server".to_owned(), target.bootstrap()];
        arguments.extend(command.arguments(&[&format!("User:{LEAST}")]));
        target
            .kafka()
            .run_tool("org.apache.kafka.tools.AclCommand", &arguments)?;
    }
    wait_for("the brokers to know", LIMIT, || match export()? {
        (Some(0), _) => Ok(()),
        (_, text) => Err(text),
    })?;
    assert_eq!(target.read_all("orders.tail.e1")?.len(), 90);
    Ok(())
}

#[test]
fn a_source_is_left_exactly_as_its_own_people_made_it() -> Outcome {
    let _turn = turn();
    let Pair { source, target } = pair()?;
    let there = Side::of(source)?;
    for (topic, partitions) in [("busy", 4), ("grows", 1), ("again", 2), ("lost", 1)] {
        source.create_topic(topic, partitions, &[("retention.bytes", "500000000")])?;
    }
    let scope = FlowScope {
        state: &StateTopics::new(FlowName::new("busy")?),
        policy: &ReplicationPolicy::Identity,
        topics: &["busy", "grows", "again", "lost"].map(str::to_owned),
        groups: &["busy-.*".to_owned()],
        renews: false,
        parking: None,
        mm2: &[],
        mm2_on_source: &[],
        purposes: &Purpose::ALL,
    };
    let reads: Vec<Need> = needs(&scope)
        .into_iter()
        .filter(|need| need.end == End::Source)
        .collect();
    for command in acl_commands(&reads) {
        let mut arguments = vec!["--bootstrap-server".to_owned(), source.bootstrap()];
        arguments.extend(command.arguments(&[&format!("User:{READER}")]));
        source
            .kafka()
            .run_tool("org.apache.kafka.tools.AclCommand", &arguments)?;
    }
    let before = Source::of(source)?;
    let file = FlowFile::with_clients(
        ("use1", source.client_properties_of(READER, PASSWORD)),
        ("usw2", target.client_properties(Listener::Plaintext)),
        target.dir(),
    )
    .named("busy")
    .topics(["busy", "grows", "again", "lost"])
    .groups(["busy-.*"])
    .slots(3)
    .mirror("sync_acls", true)
    .mirror("acl_write", "include")
    .mirror("first_acl", "allow")
    .mirror("gaps", "skip-and-record")
    .mirror("recreated", "continue-in-same")
    .mirror("topic_discovery_interval", "300ms")
    .mirror("group_sync_interval", "300ms")
    .mirror("config_sync_interval", "300ms");

    // What retention takes before anybody copied it, on a partition that was begun.
    let worker = Worker::start(&file, "busy-1")?;
    let lost = write(source, "lost", "first", 50)?;
    worker.wait_copied(source, "lost", LIMIT)?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    let lost = lost + write(source, "lost", "second", 50)?;
    source.delete_records_before("lost", 0, lost - 10)?;
    worker.restart()?;

    // What the source's people do while it runs.
    let busy = Workload::orders(source.client(), "busy")
        .value_bytes(200)
        .rate(800)
        .records(u64::MAX)
        .start()?;
    write(source, "again", "first", 100)?;
    worker.wait_copied(source, "again", LIMIT)?;
    let grows = write(source, "grows", "first", 40)?;
    source.grow_topic("grows", 3)?;
    source.delete_topic("again")?;
    source.create_topic("again", 2, &[("retention.bytes", "500000000")])?;
    let again = write(source, "again", "second", 60)?;
    there.set("busy", &[("retention.bytes", Some("600000000"))])?;
    there.add(&[acl("visitor", "busy", AclOperation::Read)])?;
    for (group, offset) in [("busy-near", 40), ("busy-far", 3)] {
        source.commit_group(group, &[("busy", 0, offset), ("busy", 1, offset)])?;
    }
    worker.wait_copied(source, "again", LIMIT)?;
    worker.wait_copied(source, "lost", LIMIT)?;
    worker.kill()?;
    worker.restart()?;
    let busy = busy.stop()?;
    worker.wait_copied(source, "busy", LIMIT)?;
    worker.wait_copied(source, "grows", LIMIT)?;
    let here = Side::of(target)?;
    wait_for("places, configs and ACLs on the target", LIMIT, || {
        let place = |group| {
            let places = target.group_places(group, "busy");
            places.map_err(|error| error.to_string())
        };
        let acls = here.0.acls(WITHIN).map_err(|error| error.to_string())?;
        let own = here.own("busy", "retention.bytes");
        let seen = (
            place("busy-near")?.len(),
            place("busy-far")?.len(),
            own.map_err(|error| error.to_string())?,
            acls.known
                .contains(&acl("visitor", "busy", AclOperation::Read)),
        );
        if seen == (2, 2, Some("600000000".to_owned()), true) {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })?;
    let flow = worker.flow().display().to_string();
    let output = understudy(["gaps", &flow, "list", "--json"], LIMIT)?;
    let gaps = String::from_utf8_lossy(&output.stdout).into_owned();
    for cause in ["deleted", "recreated"] {
        assert!(gaps.contains(cause), "{gaps}");
    }
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));

    // Only then the judge: its own client may leave traces of a group.
    let mut wanted = before;
    wanted
        .ends
        .insert("busy".to_owned(), busy.committed.clone());
    for (topic, records) in [("grows", grows), ("again", again), ("lost", lost)] {
        let found: i64 = source
            .ends(topic)?
            .values()
            .map(|ends| ends.high_watermark)
            .sum();
        assert_eq!(found, records, "{topic}");
        let ends = source.ends(topic)?.into_iter();
        let ends = ends.map(|(at, ends)| (at, u64::try_from(ends.high_watermark).unwrap_or(0)));
        wanted.ends.insert(topic.to_owned(), ends.collect());
    }
    let groups = ["busy-near", "busy-far"].map(str::to_owned);
    wanted.groups.extend(groups);
    wanted
        .acls
        .insert(acl("visitor", "busy", AclOperation::Read).to_string());
    wanted.configs.insert(
        ("busy".to_owned(), "retention.bytes".to_owned()),
        Some("600000000".to_owned()),
    );
    let after = Source::of(source)?;
    assert_eq!(after, wanted);
    for topic in ["busy", "grows"] {
        let comparison = Judge::new(source, target, topic).compare_settled(LIMIT)?;
        assert!(comparison.is_exact(), "{topic}: {comparison}");
    }
    Ok(())
}

/// What a cluster holds that only its own people should change. Kafka's own topics come with the first group.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    /// Records of each partition of each topic.
    ends: BTreeMap<String, BTreeMap<i32, u64>>,
    groups: BTreeSet<String>,
    acls: BTreeSet<String>,
    /// What topics set themselves, by topic and key.
    configs: BTreeMap<(String, String), Option<String>>,
}

impl Source {
    fn of(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let side = Side::of(cluster)?;
        let (mut ends, mut configs) = (BTreeMap::new(), BTreeMap::new());
        let topics = side.0.topics(WITHIN)?;
        for topic in topics.iter().filter(|topic| !topic.name.starts_with("__")) {
            let of = cluster.ends(&topic.name)?.into_iter();
            let of = of.map(|(at, ends)| (at, u64::try_from(ends.high_watermark).unwrap_or(0)));
            ends.insert(topic.name.clone(), of.collect());
            for (key, entry) in side.0.topic_configs(&topic.name, WITHIN)? {
                if entry.origin == ConfigOrigin::Topic {
                    configs.insert((topic.name.clone(), key), entry.value);
                }
            }
        }
        Ok(Self {
            ends,
            groups: side.0.group_states(WITHIN)?.into_keys().collect(),
            acls: side
                .0
                .acls(WITHIN)?
                .known
                .iter()
                .map(ToString::to_string)
                .collect(),
            configs,
        })
    }
}

/// Writes so many records; how many.
fn write(cluster: &Cluster, topic: &str, name: &str, records: u64) -> Result<i64, LabError> {
    let workload = Workload::orders(cluster.client(), topic)
        .producer(name)
        .value_bytes(100);
    let produced = workload.records(records).run()?;
    Ok(i64::try_from(produced.committed_total()).unwrap_or(i64::MAX))
}

/// Writes a record that does not compress.
fn send_large(cluster: &Cluster, topic: &str) -> Outcome {
    let producer: BaseProducer = cluster.client().create()?;
    let mut seed = 0x9e37_79b9_u32;
    let value: Vec<u8> = (0..60_000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(seed >> 24).unwrap_or(0)
        })
        .collect();
    let record = BaseRecord::to(topic)
        .partition(0)
        .key("large")
        .payload(&value);
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(producer.flush(LIMIT)?)
}

/// The tests share clusters, and one looks at all that is there.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pair of its own: it has users, and refuses what no ACL allows.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        let names: Vec<String> = (0..NEEDS)
            .map(lacking)
            .chain([LEAST, NOBODY, READER].map(str::to_owned))
            .collect();
        let with_users = |builder: understudy_tests::ClusterBuilder| {
            let builder = builder.allow_everyone_if_no_acl(false);
            names
                .iter()
                .fold(builder, |builder, name| builder.user(name, PASSWORD))
        };
        Pair::start(with_users, with_users)
    })
    .as_ref()
}

/// The user that lacks one permission.
fn lacking(need: usize) -> String {
    format!("without-{need}")
}

fn flow_needs() -> Result<Vec<Need>, Box<dyn Error>> {
    needs_for(&Purpose::of_workers().collect::<Vec<_>>())
}

fn needs_for(purposes: &[Purpose]) -> Result<Vec<Need>, Box<dyn Error>> {
    Ok(needs(&FlowScope {
        state: &StateTopics::new(FlowName::new("least")?),
        policy: &ReplicationPolicy::Identity,
        topics: &["orders".to_owned()],
        groups: &[".*".to_owned()],
        renews: false,
        parking: Some("aside"),
        mm2: &MM2_TOPICS.map(str::to_owned),
        // On the source a flow writes by request only; this one does not.
        mm2_on_source: &[],
        purposes,
    }))
}

/// A flow that does everything.
fn users(source: &str, target: &str) -> Result<FlowFile, Box<dyn Error>> {
    let pair = pair()?;
    Ok(FlowFile::with_clients(
        ("use1", pair.source.client_properties_of(source, PASSWORD)),
        ("usw2", pair.target.client_properties_of(target, PASSWORD)),
        pair.target.dir(),
    )
    .named("least")
    .topics(["orders"])
    .slots(2)
    .mirror("sync_acls", true)
    .mirror("gaps", "park")
    .mirror("parking_topic", "aside")
    .mirror("config_sync_interval", "500ms"))
}

fn acl(user: &str, topic: &str, operation: AclOperation) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: topic.to_owned(),
        pattern: AclPattern::Literal,
        principal: format!("User:{user}"),
        host: "*".to_owned(),
        operation,
        permission: AclPermission::Allow,
    }
}

/// One cluster's settings, as its administrator sees and changes them.
struct Side(Admin);

impl Side {
    fn of(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let properties = cluster.client_properties(Listener::Plaintext);
        let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
        Ok(Self(Admin::open(&endpoint)?))
    }

    /// What the topic itself sets for a key.
    fn own(&self, topic: &str, key: &str) -> Result<Option<String>, Box<dyn Error>> {
        let mut entries = self.0.topic_configs(topic, WITHIN)?;
        let entry = entries.remove(key).ok_or("no such key")?;
        let own = entry.origin == ConfigOrigin::Topic;
        Ok(entry.value.filter(|_| own))
    }

    fn set(&self, topic: &str, keys: &[(&str, Option<&str>)]) -> Outcome {
        let keys: BTreeMap<String, Option<String>> = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect();
        let changes = BTreeMap::from([(topic.to_owned(), keys)]);
        match self.0.change_configs(&changes, WITHIN)?.remove(topic) {
            None => Ok(()),
            Some(fault) => Err(fault.into()),
        }
    }

    fn add(&self, acls: &[Acl]) -> Outcome {
        let acls: Vec<&Acl> = acls.iter().collect();
        match self.0.add_acls(&acls, WITHIN)?.pop() {
            None => Ok(()),
            Some((_, fault)) => Err(fault.into()),
        }
    }
}

/// Whether what `one` grants makes `other` idle.
fn includes(one: &Need, other: &Need) -> bool {
    let name = |pattern: &Pattern| match pattern {
        Pattern::Literal(name) | Pattern::Prefixed(name) => name.clone(),
        Pattern::Any => "any".to_owned(),
    };
    one.end == other.end
        && one.operation.includes(other.operation)
        && other.resources.iter().all(|inner| {
            let covers = |outer: &Resource| outer.covers(inner.kind, &name(&inner.pattern));
            inner.pattern != Pattern::Any && one.resources.iter().any(covers)
        })
}

/// Grants every need of one end to everybody but the user that is to lack it.
fn grant(cluster: &Cluster, end: End, all: &[Need]) -> Result<(), LabError> {
    for (at, need) in all.iter().enumerate() {
        if need.end != end {
            continue;
        }
        let others = (0..all.len()).filter(|other| *other != at).map(lacking);
        let principals: Vec<String> = others
            .chain([LEAST.to_owned()])
            .map(|name| format!("User:{name}"))
            .collect();
        let principals: Vec<&str> = principals.iter().map(String::as_str).collect();
        for command in acl_commands([need]) {
            let mut arguments = vec!["--bootstrap-server".to_owned(), cluster.bootstrap()];
            arguments.extend(command.arguments(&principals));
            cluster
                .kafka()
                .run_tool("org.apache.kafka.tools.AclCommand", &arguments)?;
        }
    }
    Ok(())
}

struct Found {
    code: i32,
    json: Value,
}

impl Found {
    fn findings(&self) -> impl Iterator<Item = &Value> {
        at(&self.json, "findings").as_array().into_iter().flatten()
    }

    /// Whether a line of this standing and end holds these words.
    fn has(&self, standing: &str, end: &str, words: &str) -> bool {
        self.findings().any(|finding| {
            let text = ["what", "found", "advice"]
                .map(|field| at(finding, field).as_str().unwrap_or_default())
                .join(" ");
            at(finding, "standing") == standing && at(finding, "end") == end && text.contains(words)
        })
    }

    /// The permissions that are missing.
    fn missing(&self) -> Vec<String> {
        self.findings()
            .filter(|finding| !at(finding, "missing").is_null())
            .map(|finding| {
                let part = |field: &str| {
                    let missing = at(finding, "missing");
                    at(missing, field).as_str().unwrap_or_default()
                };
                format!(
                    "{} {} on {} for {}",
                    at(finding, "end").as_str().unwrap_or_default(),
                    part("operation"),
                    part("resource"),
                    part("principal")
                )
            })
            .collect()
    }
}

fn check(file: &FlowFile, name: &str) -> Result<Found, Box<dyn Error>> {
    let path = file.write(name, address())?;
    let output = understudy(
        ["check".as_ref(), path.as_os_str(), "--json".as_ref()],
        LIMIT,
    )?;
    let text = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&text)
        .map_err(|error| format!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    let code = output.status.code().ok_or("killed")?;
    Ok(Found { code, json })
}

/// Nobody listens there.
fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// A field; null if there is none.
fn at<'a>(value: &'a Value, field: &str) -> &'a Value {
    value.get(field).unwrap_or(&Value::Null)
}
