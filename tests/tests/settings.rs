//! Topic configs and ACLs follow the source's, and what others made on the target stays.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{
    Acl, AclOperation, AclPattern, AclPermission, AclResource, ConfigOrigin, FlowName, FlowRecord,
    FlowState, StateTopics,
};
use understudy_kafka::{Cluster as Admin, Endpoint};
use understudy_tests::{
    ClientProperties, Cluster, FlowFile, LabError, Listener, Pair, Resource, Worker, Workload,
    wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn configs_follow_the_source_and_what_others_set_stays() -> Outcome {
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    source.create_topic(
        "followed",
        1,
        &[
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", "1000"),
            ("retention.bytes", "1000000"),
            ("min.insync.replicas", "1"),
        ],
    )?;
    let file = flow(pair()?, "followed");
    let worker = Worker::start(&file, "followed-1")?;
    here.wait("followed", "delete.retention.ms", Some("1000"))?;
    // Made with all of it, before the first record.
    assert_eq!(
        here.own("followed", "cleanup.policy")?.as_deref(),
        Some("compact")
    );
    assert_eq!(
        here.own("followed", "retention.bytes")?.as_deref(),
        Some("1000000")
    );
    // What is safe to write is decided when a copy is made; from then on the key is the target's.
    assert_eq!(
        here.own("followed", "min.insync.replicas")?.as_deref(),
        Some("1")
    );

    // The keeper has looked once this is there: the copy was made with another value.
    there.set("followed", &[("delete.retention.ms", Some("1500"))])?;
    here.wait("followed", "delete.retention.ms", Some("1500"))?;
    // By hand: an excluded key, a key that the source does not set, and one that it does.
    here.set(
        "followed",
        &[
            ("unclean.leader.election.enable", Some("true")),
            ("segment.bytes", Some("20000000")),
            ("delete.retention.ms", Some("2000")),
        ],
    )?;
    there.set(
        "followed",
        &[
            ("unclean.leader.election.enable", Some("false")),
            ("retention.bytes", None),
            ("max.message.bytes", Some("2000000")),
        ],
    )?;
    here.wait("followed", "max.message.bytes", Some("2000000"))?;
    here.wait("followed", "retention.bytes", None)?;
    here.wait("followed", "delete.retention.ms", Some("1500"))?;
    let by_hand = [
        ("unclean.leader.election.enable", "true"),
        ("segment.bytes", "20000000"),
    ];
    for (key, value) in by_hand {
        assert_eq!(here.own("followed", key)?.as_deref(), Some(value), "{key}");
    }

    // What was set is remembered by the target, not by a worker.
    worker.kill()?;
    there.set(
        "followed",
        &[("delete.retention.ms", None), ("segment.bytes", None)],
    )?;
    let other = Worker::start(&file, "followed-2")?;
    here.wait("followed", "delete.retention.ms", None)?;
    for (key, value) in by_hand {
        assert_eq!(here.own("followed", key)?.as_deref(), Some(value), "{key}");
    }
    assert_eq!(
        other.status()?.get("warnings"),
        Some(&serde_json::json!([]))
    );
    // It is counted once the target has answered.
    wait_for("one change to be counted", LIMIT, || {
        let metrics = other.metrics().map_err(|error| error.to_string())?;
        if metrics.contains("understudy_config_changes_total 1") {
            Ok(())
        } else {
            Err(metrics)
        }
    })?;
    Ok(())
}

#[test]
fn with_the_sources_defaults_an_override_on_the_target_gives_way() -> Outcome {
    let Pair { source, target } = pair()?;
    let here = Side::of(target)?;
    for cluster in [source, target] {
        cluster.create_topic("defaults", 1, &[])?;
    }
    let by_hand = [
        ("delete.retention.ms", Some("2000")),
        ("min.insync.replicas", Some("1")),
    ];
    here.set("defaults", &by_hand)?;
    let file = flow(pair()?, "defaults").mirror("config_defaults_from", "source");
    let worker = Worker::start(&file, "defaults-1")?;
    here.wait("defaults", "delete.retention.ms", Some("86400000"))?;
    assert_eq!(
        here.own("defaults", "min.insync.replicas")?.as_deref(),
        Some("1")
    );
    // With the target's defaults instead, what was set for the source's is taken back.
    worker.terminate()?;
    worker.wait(LIMIT)?;
    let _worker = Worker::start(&flow(pair()?, "defaults"), "defaults-2")?;
    here.wait("defaults", "delete.retention.ms", None)
}

#[test]
fn a_config_that_the_target_refuses_is_named_and_the_others_are_set() -> Outcome {
    let Pair { source, target } = pair()?;
    let here = Side::of(target)?;
    // More than the greatest lag that the target's brokers are set to.
    source.create_topic(
        "refused",
        1,
        &[
            ("min.compaction.lag.ms", "200000"),
            ("retention.bytes", "1000000"),
        ],
    )?;
    Workload::orders(source.client(), "refused")
        .records(10)
        .run()?;
    let worker = Worker::start(&flow(pair()?, "refused"), "refused-1")?;
    worker.wait_copied(source, "refused", LIMIT)?;
    here.wait("refused", "retention.bytes", Some("1000000"))?;
    let told = wait_warning(&worker, &["min.compaction.lag.ms", "refused"])?;
    assert!(told.contains("mirror.config_exclude"), "{told}");
    wait_readyz(&worker)?;
    Ok(())
}

#[test]
fn acls_follow_the_source_without_writing_and_without_shutting_anybody_out() -> Outcome {
    use AclOperation::{All, Read, Write};
    use AclPermission::{Allow, Deny};
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    let topic = |user, operation, permission| acl("acls", user, operation, permission);
    source.create_topic("acls", 1, &[])?;
    // The brokers do not tell, so the keeper must not believe that nobody is let in.
    assert_eq!(here.0.admits_everyone(WITHIN)?, None);
    // Somebody takes care of this topic on the target, and nobody of the other one.
    let by_hand = [topic("keeper", Read, Allow), topic("both", Read, Allow)];
    here.add(&by_hand)?;
    there.add(&[
        topic("a", Read, Allow),
        topic("a", Write, Allow),
        topic("c", All, Allow),
        topic("d", Read, Deny),
        topic("both", Read, Allow),
        acl("acls-bare", "a", Read, Allow),
        acl("elsewhere", "a", Read, Allow),
    ])?;
    let mut principals = toml::Table::new();
    principals.insert("User:a".to_owned(), "User:b".into());
    let file = flow(pair()?, "acls")
        .topics(["acls", "acls-bare"])
        .mirror("sync_acls", true)
        .mirror("principals", principals);
    let worker = Worker::start(&file, "acls-1")?;
    let mirrored = [
        topic("b", Read, Allow),
        topic("c", Read, Allow),
        topic("d", Read, Deny),
    ];
    here.wait_acls(
        &["acls", "acls-bare", "elsewhere"],
        &[&by_hand[..], &mirrored].concat(),
    )?;
    let told = wait_warning(&worker, &["acls-bare", "shuts out"])?;
    assert!(told.contains("mirror.first_acl"), "{told}");
    wait_readyz(&worker)?;
    wait_for("two ACLs to be withheld", LIMIT, || {
        let metrics = worker.metrics().map_err(|error| error.to_string())?;
        let withheld = metrics.contains("understudy_acls_withheld 2");
        withheld.then_some(()).ok_or(metrics)
    })?;

    // Gone on the source, gone on the target, unless it was there before us.
    there.remove(&[topic("a", Read, Allow), topic("both", Read, Allow)])?;
    here.wait_acls(&["acls"], &[&by_hand[..], &mirrored[1..]].concat())?;

    // Another worker knows what is ours.
    worker.kill()?;
    there.remove(&[topic("c", All, Allow)])?;
    let _other = Worker::start(&file, "acls-2")?;
    here.wait_acls(&["acls"], &[&by_hand[..], &mirrored[2..]].concat())
}

#[test]
fn prefixes_groups_and_transactional_ids_take_the_targets_names() -> Outcome {
    use AclOperation::{Read, Write};
    use AclPermission::Allow;
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    source.create_topic("pre-orders", 1, &[("retention.bytes", "1000000")])?;
    let on = |resource, name: &str, pattern, operation| Acl {
        resource,
        name: name.to_owned(),
        pattern,
        ..acl("", "p", operation, Allow)
    };
    let shared = [
        on(AclResource::Group, "pre-", AclPattern::Prefixed, Read),
        on(
            AclResource::TransactionalId,
            "pre-tx",
            AclPattern::Literal,
            Write,
        ),
    ];
    there.add(&shared)?;
    there.add(&[
        on(AclResource::Topic, "pre-", AclPattern::Prefixed, Read),
        on(AclResource::Topic, "pre-orders", AclPattern::Literal, Write),
    ])?;
    let file = flow(pair()?, "prefixes")
        .topics(["pre-.*"])
        .mirror("policy", "prefixed")
        .mirror("sync_acls", true)
        .mirror("acl_write", "include")
        .mirror("first_acl", "allow");
    let _worker = Worker::start(&file, "prefixes-1")?;
    let topics = [
        on(AclResource::Topic, "use1.pre-", AclPattern::Prefixed, Read),
        on(
            AclResource::Topic,
            "use1.pre-orders",
            AclPattern::Literal,
            Write,
        ),
    ];
    here.wait_acls(
        &[
            "use1.pre-",
            "use1.pre-orders",
            "pre-",
            "pre-tx",
            "pre-orders",
        ],
        &[&shared[..], &topics].concat(),
    )?;
    here.wait("use1.pre-orders", "retention.bytes", Some("1000000"))?;
    // Kafka's own tool sees the same.
    let listed = target.list_acls()?;
    assert!(
        listed.contains("name=use1.pre-, patternType=PREFIXED"),
        "{listed}"
    );
    Ok(())
}

#[test]
fn a_sealed_flow_changes_no_setting() -> Outcome {
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    source.create_topic("sealed", 1, &[("retention.bytes", "1000000")])?;
    let worker = Worker::start(&flow(pair()?, "sealed"), "sealed-1")?;
    // Its keeper is at work.
    here.wait("sealed", "retention.bytes", Some("1000000"))?;
    there.set("sealed", &[("retention.bytes", Some("1500000"))])?;
    here.wait("sealed", "retention.bytes", Some("1500000"))?;
    let name = FlowName::new("sealed")?;
    let record = FlowRecord {
        generation: 1,
        slots: NonZeroU32::MIN,
        epoch: 7,
        state: FlowState::Sealed,
        source_cluster_id: source.cluster_id().to_owned(),
        target_cluster_id: target.cluster_id().to_owned(),
        created_at_ms: None,
        paused_topics: BTreeSet::new(),
        changing_to: None,
    };
    let producer: BaseProducer = target.client().create()?;
    let (topic, key, value) = (
        StateTopics::new(name.clone()).flow(),
        FlowRecord::key(&name),
        record.encode(),
    );
    producer
        .send(BaseRecord::to(&topic).key(&key).payload(&value))
        .map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    there.set("sealed", &[("retention.bytes", Some("2000000"))])?;
    wait_warning(&worker, &["configs", "sealed", "epoch 7"])?;
    assert_eq!(
        here.own("sealed", "retention.bytes")?.as_deref(),
        Some("1500000")
    );
    Ok(())
}

#[test]
fn a_missing_permission_is_named_and_records_flow_on() -> Outcome {
    use AclOperation::{AlterConfigs, Create, Describe, DescribeConfigs, Read, Write};
    use AclPermission::{Allow, Deny};
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    let grants = [Create, Describe, DescribeConfigs, Read, Write]
        .map(|operation| acl("denied", "mirror", operation, Allow));
    here.add(&grants)?;
    let deny = [acl("denied", "mirror", AlterConfigs, Deny)];
    here.add(&deny)?;
    there.add(&[acl("denied", "x", Read, Allow)])?;
    // An ACL on the cluster that does not name DESCRIBE.
    target.deny("User:mirror", &["Alter"], &Resource::Cluster)?;
    source.create_topic("denied", 1, &[])?;
    let file = flow_as(
        source,
        target,
        target.client_properties_of("mirror", "mirror-secret"),
        "denied",
    )
    .mirror("sync_acls", true);
    let worker = Worker::start(&file, "denied-1")?;
    worker.wait_ready(LIMIT)?;
    // The copy is there, made without this one.
    here.wait("denied", "retention.bytes", None)?;
    there.set("denied", &[("retention.bytes", Some("1000000"))])?;
    let told = wait_warning(&worker, &["configs", "denied", "User:mirror"])?;
    assert!(told.contains("ALTER_CONFIGS on the topic"), "{told}");
    wait_warning(
        &worker,
        &["acls", "usw2", "DESCRIBE on the cluster", "User:mirror"],
    )?;
    Workload::orders(source.client(), "denied")
        .records(10)
        .run()?;
    worker.wait_copied(source, "denied", LIMIT)?;
    wait_readyz(&worker)?;
    here.remove(&deny)?;
    here.add(&[acl("denied", "mirror", AlterConfigs, Allow)])?;
    here.wait("denied", "retention.bytes", Some("1000000"))?;
    worker.wait_status("no warning about configs", LIMIT, |status| {
        let mut warnings = status["warnings"].as_array().into_iter().flatten();
        !warnings.any(|warning| warning.to_string().contains("configs: "))
    })?;
    Ok(())
}

#[test]
fn a_source_that_tells_of_no_acl_any_more_takes_none_away() -> Outcome {
    use AclOperation::{DescribeConfigs, Read};
    use AclPermission::Allow;
    let Pair { source, target } = pair()?;
    let (there, here) = (Side::of(source)?, Side::of(target)?);
    let topic = |user, operation| acl("silent", user, operation, Allow);
    source.create_topic("silent", 1, &[])?;
    // Somebody takes care of the topic on the target.
    let by_hand = [topic("keeper", Read)];
    here.add(&by_hand)?;
    let mirrored = [
        topic("mirror", Read),
        topic("mirror", DescribeConfigs),
        topic("a", Read),
    ];
    there.add(&mirrored)?;
    let reader = source.client_properties_of("mirror", "mirror-secret");
    let writer = target.client_properties(Listener::Plaintext);
    let file = FlowFile::with_clients(
        (source.alias(), reader),
        (target.alias(), writer),
        target.dir(),
    )
    .named("silent")
    .topics(["silent"])
    .slots(1)
    .mirror("config_sync_interval", "500ms")
    .mirror("sync_acls", true);
    let worker = Worker::start(&file, "silent-1")?;
    here.wait_acls(&["silent"], &[&by_hand[..], &mirrored].concat())?;

    source.deny("User:mirror", &["Describe"], &Resource::Cluster)?;
    let told = wait_warning(&worker, &["acls", source.alias(), "no ACL at all"])?;
    assert!(
        told.contains("User:mirror") && told.contains("DESCRIBE"),
        "{told}"
    );
    there.remove(&mirrored[2..])?;
    // Two configs one after the other: between them ACLs were looked at once more.
    for retention in ["1000000", "2000000"] {
        there.set("silent", &[("retention.bytes", Some(retention))])?;
        here.wait("silent", "retention.bytes", Some(retention))?;
    }
    here.wait_acls(&["silent"], &[&by_hand[..], &mirrored].concat())?;

    source.undeny("User:mirror", &["Describe"], &Resource::Cluster)?;
    here.wait_acls(&["silent"], &[&by_hand[..], &mirrored[..2]].concat())
}

/// The clusters of this file: they know a user who is nobody special.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        Pair::start(
            |source| source.user("mirror", "mirror-secret"),
            |target| {
                target
                    .user("mirror", "mirror-secret")
                    .property("log.cleaner.max.compaction.lag.ms", "100000")
            },
        )
    })
    .as_ref()
}

/// A flow of one topic called like it, with one slot, that looks at settings twice a second.
fn flow(pair: &Pair, name: &str) -> FlowFile {
    let target = pair.target.client_properties(Listener::Plaintext);
    flow_as(&pair.source, &pair.target, target, name)
}

fn flow_as(source: &Cluster, target: &Cluster, client: ClientProperties, name: &str) -> FlowFile {
    FlowFile::with_clients(
        (
            source.alias(),
            source.client_properties(Listener::Plaintext),
        ),
        (target.alias(), client),
        target.dir(),
    )
    .named(name)
    .topics([name])
    .slots(1)
    .mirror("config_sync_interval", "500ms")
}

fn acl(topic: &str, user: &str, operation: AclOperation, permission: AclPermission) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: topic.to_owned(),
        pattern: AclPattern::Literal,
        principal: format!("User:{user}"),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

/// Readiness may come a little behind what was seen already.
fn wait_readyz(worker: &Worker) -> Outcome {
    wait_for("/readyz to answer 200", LIMIT, || {
        match worker.get("/readyz") {
            Ok(answer) if answer.code == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    Ok(())
}

fn wait_warning(worker: &Worker, words: &[&str]) -> Result<String, Box<dyn Error>> {
    let holds = |warning: &&serde_json::Value| {
        let text = warning.as_str().unwrap_or_default();
        words.iter().all(|word| text.contains(word))
    };
    let found = |status: &serde_json::Value| {
        let warnings = status["warnings"].as_array()?;
        warnings.iter().find(holds).map(ToString::to_string)
    };
    let status = worker.wait_status(&format!("a warning with {words:?}"), LIMIT, |status| {
        found(status).is_some()
    })?;
    Ok(found(&status).ok_or("it is gone")?)
}

/// One cluster's settings, as its administrator sees and changes them.
struct Side(Admin);

impl Side {
    fn of(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let properties = cluster
            .client_properties(Listener::Plaintext)
            .into_iter()
            .collect();
        Ok(Self(Admin::open(&Endpoint::new(
            cluster.alias(),
            properties,
        ))?))
    }

    /// What the topic itself sets for a key.
    fn own(&self, topic: &str, key: &str) -> Result<Option<String>, Box<dyn Error>> {
        let mut entries = self.0.topic_configs(topic, WITHIN)?;
        let entry = entries.remove(key).ok_or("no such key")?;
        let own = entry.origin == ConfigOrigin::Topic;
        Ok(entry.value.filter(|_| own))
    }

    fn wait(&self, topic: &str, key: &str, value: Option<&str>) -> Outcome {
        let what = format!("{topic} to have {key} = {value:?}");
        wait_for(&what, LIMIT, || match self.own(topic, key) {
            Ok(own) if own.as_deref() == value => Ok(()),
            Ok(own) => Err(format!("{own:?}")),
            Err(error) => Err(error.to_string()),
        })?;
        Ok(())
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

    fn remove(&self, acls: &[Acl]) -> Outcome {
        let acls: Vec<&Acl> = acls.iter().collect();
        match self.0.remove_acls(&acls, WITHIN)?.pop() {
            None => Ok(()),
            Some((_, fault)) => Err(fault.into()),
        }
    }

    /// Waits until the ACLs of resources with these names are exactly these.
    fn wait_acls(&self, names: &[&str], wanted: &[Acl]) -> Outcome {
        let wanted: BTreeSet<&Acl> = wanted.iter().collect();
        wait_for(&format!("the ACLs of {names:?}"), LIMIT, || {
            let acls = self.0.acls(WITHIN).map_err(|fault| fault.to_string())?;
            let found: BTreeSet<&Acl> = acls
                .known
                .iter()
                .filter(|acl| names.contains(&acl.name.as_str()))
                .collect();
            if found == wanted {
                return Ok(());
            }
            let text: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(text.join("; "))
        })?;
        Ok(())
    }
}
