//! What the source is asked for, what it holds, and what happens when a permission is missing on either side.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use understudy_tests::{
    Cluster, Ends, FlowFile, Judge, LabError, Listener, Pair, Resource, Worker, Workload,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct-horse";

#[test]
fn the_source_is_only_read_by_a_principal_that_may_only_read() -> Outcome {
    let source = Cluster::builder("euw1")
        .user("reader", PASSWORD)
        .allow_everyone_if_no_acl(false)
        .start()?;
    let target = &strict()?.target;
    for (topic, policy) in [
        ("paid", "delete"),
        ("kept", "compact"),
        ("secret", "delete"),
    ] {
        source.create_topic(topic, 3, &[("cleanup.policy", policy)])?;
        Workload::orders(source.client(), topic)
            .records(500)
            .run()?;
    }
    for topic in ["paid", "kept"] {
        source.allow(
            "User:reader",
            &["Read", "Describe", "DescribeConfigs"],
            &Resource::Topic(topic.to_owned()),
        )?;
    }
    let before = Held::by(&source)?;
    let file = FlowFile::with_clients(
        (
            source.alias(),
            source.client_properties_of("reader", PASSWORD),
        ),
        (
            target.alias(),
            target.client_properties(Listener::Plaintext),
        ),
        target.dir(),
    )
    .slots(2);
    let worker = Worker::start(&file, "read-only")?;
    for topic in ["paid", "kept"] {
        worker.wait_copied(&source, topic, LIMIT)?;
    }
    worker.wait_ready(LIMIT)?;
    worker.kill()?;
    worker.restart()?;
    worker.wait_copied(&source, "paid", LIMIT)?;
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    // Only then the judge: its own client leaves traces of a group.
    assert_eq!(Held::by(&source)?, before);
    for topic in ["paid", "kept"] {
        let comparison = Judge::new(&source, target, topic).compare_settled(LIMIT)?;
        assert!(comparison.is_exact(), "{topic}: {comparison}");
    }
    assert_eq!(before.groups, Vec::<String>::new());
    assert_eq!(
        target.topic_config("kept", "cleanup.policy")?.as_deref(),
        Some("compact")
    );
    assert_eq!(target.partitions("secret")?, None);
    Ok(())
}

#[test]
fn a_permission_missing_on_the_source_is_named_and_heals_when_granted() -> Outcome {
    let Pair { source, target } = strict()?;
    source.create_topic("owed", 2, &[("cleanup.policy", "compact")])?;
    Workload::orders(source.client(), "owed")
        .records(200)
        .run()?;
    let owed = Resource::Topic("owed".to_owned());
    let principal = "User:partial";
    source.allow(principal, &["Describe"], &owed)?;
    let file = FlowFile::with_clients(
        (
            source.alias(),
            source.client_properties_of("partial", PASSWORD),
        ),
        (
            target.alias(),
            target.client_properties(Listener::Plaintext),
        ),
        target.dir(),
    )
    .named("owed")
    .topics(["owed"])
    .slots(2)
    .mirror("topic_discovery_interval", "200ms");
    let worker = Worker::start(&file, "owed-1")?;
    // Without it the target's topic would become another kind of topic.
    worker.wait_reason(&["DESCRIBE_CONFIGS", "owed", principal], LIMIT)?;
    source.allow(principal, &["DescribeConfigs"], &owed)?;
    worker.wait_reason(&["READ on the topic", "owed", principal], LIMIT)?;
    source.allow(principal, &["Read"], &owed)?;
    let comparison = Judge::new(source, target, "owed").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.wait_ready(LIMIT)?;
    assert_eq!(
        target.topic_config("owed", "cleanup.policy")?.as_deref(),
        Some("compact")
    );
    Ok(())
}

#[test]
fn a_permission_missing_on_the_target_is_named_and_heals_when_granted() -> Outcome {
    let Pair { source, target } = strict()?;
    source.create_topic("due", 2, &[])?;
    Workload::orders(source.client(), "due")
        .records(200)
        .run()?;
    let file = FlowFile::with_clients(
        (source.alias(), source.client_properties(Listener::Link)),
        (
            target.alias(),
            target.client_properties_of("writer", PASSWORD),
        ),
        target.dir(),
    )
    .named("due")
    .topics(["due"])
    .slots(2)
    .mirror("topic_discovery_interval", "200ms");
    let worker = Worker::start(&file, "due-1")?;
    let principal = "User:writer";
    let due = || Resource::Topic("due".to_owned());
    let steps: [(&[&str], &[&str], Resource); 5] = [
        (
            &["DESCRIBE on the topic", "understudy.due.flow"],
            &["Create", "Describe", "Read", "Write"],
            Resource::TopicPrefix("understudy.due.".to_owned()),
        ),
        (
            &[
                "WRITE and DESCRIBE on the transactional id",
                "understudy-due-flow",
            ],
            &["Write", "Describe"],
            Resource::TransactionalIdPrefix("understudy-due-".to_owned()),
        ),
        (
            &["READ on the group", "understudy-due"],
            &["Read"],
            Resource::Group("understudy-due".to_owned()),
        ),
        (
            &["CREATE on the cluster or on the topic", "due"],
            &["Create", "Describe"],
            due(),
        ),
        (&["WRITE on the topic", "due"], &["Write"], due()),
    ];
    for (named, operations, resource) in &steps {
        let mut words = named.to_vec();
        words.push(principal);
        worker.wait_reason(&words, LIMIT)?;
        target.allow(principal, operations, resource)?;
    }
    let comparison = Judge::new(source, target, "due").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.wait_ready(LIMIT)?;
    Ok(())
}

#[test]
fn of_a_transactional_source_only_committed_records_are_copied_and_no_lag_is_left() -> Outcome {
    let Pair { source, target } = strict()?;
    source.create_topic("moved", 3, &[])?;
    let file = FlowFile::new(source, target)
        .named("moved")
        .topics(["moved"])
        .slots(2)
        .mirror("topic_discovery_interval", "200ms");
    let worker = Worker::start(&file, "moved-1")?;
    let mut judge = Judge::new(source, target, "moved");
    // The last transaction is committed, then aborted: control records end the log either way.
    for (producer, transactions) in [("p", 10), ("q", 9)] {
        let produced = Workload::orders(source.client(), "moved")
            .producer(producer)
            .value_bytes(100)
            .records(transactions * 20)
            .transactional(20, 3)
            .run()?;
        assert_eq!(produced.aborted_total(), 60);
        let comparison = judge.wait_exact(LIMIT)?;
        assert!(comparison.is_exact(), "{comparison}");
        let ends = source.ends("moved")?;
        worker.wait_status("no lag at the very end", LIMIT, |status| {
            let lines = status["partitions"].as_array().into_iter().flatten();
            let mut seen = 0;
            for line in lines {
                let partition = line["partition"]
                    .as_i64()
                    .and_then(|at| i32::try_from(at).ok());
                let Some(end) = partition.and_then(|at| ends.get(&at)) else {
                    return false;
                };
                if line["source_offset"] != end.high_watermark
                    || line["source_end_offset"] != end.high_watermark
                    || line["lag_records"] != 0
                {
                    return false;
                }
                seen += 1;
            }
            seen == ends.len()
        })?;
    }
    Ok(())
}

#[test]
fn a_compacted_topic_with_tombstones_is_copied_exactly() -> Outcome {
    let Pair { source, target } = strict()?;
    source.create_topic("state", 3, &[("cleanup.policy", "compact")])?;
    let file = FlowFile::new(source, target)
        .named("state")
        .topics(["state"])
        .slots(2);
    let _worker = Worker::start(&file, "state-1")?;
    Workload::orders(source.client(), "state")
        .records(2_000)
        .value_bytes(100)
        .compacted(50, 7)
        .run()?;
    let comparison = Judge::new(source, target, "state").wait_exact(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.copied == 2_000,
        "{comparison}"
    );
    Ok(())
}

/// Two clusters that allow nothing without an ACL, shared by the tests of this file.
fn strict() -> Result<&'static Pair, &'static LabError> {
    static STRICT: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    STRICT
        .get_or_init(|| {
            Pair::start(
                |source| {
                    source
                        .user("partial", PASSWORD)
                        .allow_everyone_if_no_acl(false)
                },
                |target| {
                    target
                        .user("writer", PASSWORD)
                        .allow_everyone_if_no_acl(false)
                },
            )
        })
        .as_ref()
}

/// What a cluster holds that a reader must leave alone.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// Internal ones too: `__consumer_offsets` comes into being with the first group.
    topics: BTreeMap<String, BTreeMap<i32, Ends>>,
    groups: Vec<String>,
    /// Every line that the tool prints, sorted.
    acls: Vec<String>,
}

impl Held {
    fn by(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let client: BaseConsumer = cluster.client().create()?;
        let mut topics = BTreeMap::new();
        for topic in client.fetch_metadata(None, LIMIT)?.topics() {
            topics.insert(topic.name().to_owned(), cluster.ends(topic.name())?);
        }
        let groups = client.fetch_group_list(None, LIMIT)?;
        let groups = groups.groups().iter().map(|group| group.name().to_owned());
        let mut acls: Vec<String> = cluster.list_acls()?.lines().map(str::to_owned).collect();
        acls.sort();
        Ok(Self {
            topics,
            groups: groups.collect(),
            acls,
        })
    }
}
