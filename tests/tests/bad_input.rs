//! What is wrong with a configuration or a cluster is named, with what to do about it, and no secret is shown.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_domain::{FlowName, FlowRecord, Position, StateTopics, TopicPartition};
use understudy_tests::{
    Cluster, FlowFile, Judge, LabError, Pair, Port, Worker, Workload, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct-horse";
/// For how long a worker is watched that has nothing to do: longer than a call to a cluster takes that does not answer.
const WINDOW: Duration = Duration::from_secs(6);
/// How often its threads may wake meanwhile. They do some 300 times.
const WAKES_A_SECOND: u64 = 3_000;

#[test]
fn a_wrong_file_ends_with_2_and_names_the_key() -> Outcome {
    let folder = tempfile::tempdir()?;
    let nowhere = |alias: &'static str| {
        let properties = vec![("bootstrap.servers".to_owned(), "localhost:1".to_owned())];
        (alias, properties)
    };
    let file = || FlowFile::with_clients(nowhere("use1"), nowhere("usw2"), folder.path());
    let cases: [(&str, FlowFile, &[&str]); 11] = [
        (
            "misspelt-property",
            file().source("bootstrap.server", "x:1"),
            &[
                "source.bootstrap.server is not a known key",
                "\"source.bootstrap.servers\"",
            ],
        ),
        (
            "misspelt-key",
            file().mirror("topic", "orders"),
            &["mirror.topic is not a known key", "\"mirror.topics\""],
        ),
        (
            "unknown-key",
            file().target("zzz", "x"),
            &["target.zzz is not a known key"],
        ),
        (
            "pattern",
            file().topics(["orders["]),
            &["mirror.topics", "\"orders[\"", "not a valid pattern"],
        ),
        (
            "value",
            file().source("security.protocol", "TLS"),
            &["source.security.protocol", "TLS"],
        ),
        (
            "enumeration",
            file().mirror("start", "newest"),
            &["mirror.start", "newest", "earliest", "latest"],
        ),
        (
            "no-variable",
            file().source("sasl.password", "${env:UNDERSTUDY_TEST_NOT_SET}"),
            &["source.sasl.password", "UNDERSTUDY_TEST_NOT_SET is not set"],
        ),
        (
            "no-file",
            file().target("sasl.password", "${file:/nowhere/secret}"),
            &["target.sasl.password", "/nowhere/secret"],
        ),
        (
            "java",
            file().source("ssl.truststore.location", "x.jks"),
            &["source.ssl.truststore.location", "ssl.ca.location"],
        ),
        (
            "owned",
            file().target("enable.idempotence", "false"),
            &["target.enable.idempotence", "remove it"],
        ),
        (
            "alias",
            file().target("alias", "use1"),
            &["same alias", "use1"],
        ),
    ];
    for (name, file, words) in cases {
        for command in ["replicate", "status", "verify"] {
            let path = file.write(name, free_address()?)?;
            refused(command, &path, words)
                .map_err(|error| format!("{name}, {command}: {error}"))?;
        }
    }
    let no_ca = file()
        .source("security.protocol", "SSL")
        .source("ssl.ca.location", "/nowhere/ca.pem")
        .write("no-ca", free_address()?)?;
    refused("replicate", &no_ca, &["ssl.ca.location", "/nowhere/ca.pem"])?;
    let missing = folder.path().join("missing.toml");
    refused("replicate", &missing, &["cannot read", "missing.toml"])
}

#[test]
fn a_flow_onto_itself_and_a_port_in_use_end_with_2() -> Outcome {
    let source = &pair()?.source;
    let file = FlowFile::new(source, source).target("alias", "other");
    // It listens before it sees what the clusters are.
    let port = Port::reserve()?;
    let path = file.write(
        "itself",
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.number())),
    )?;
    refused(
        "replicate",
        &path,
        &[
            "use1",
            "other",
            "same cluster",
            source.cluster_id(),
            "bootstrap.servers",
        ],
    )?;
    assert_eq!(
        source.partitions("understudy.use1-other.flow")?,
        None,
        "nothing is made for a flow that is refused"
    );
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = taken.local_addr()?;
    let path = flow("taken")?.write("taken", address)?;
    refused(
        "replicate",
        &path,
        &[&address.to_string(), "http.listen", "in use"],
    )
}

#[test]
fn an_unreachable_source_is_waited_for() -> Outcome {
    // A source of its own: the shared one's link serves other tests.
    let target = &pair()?.target;
    let source = Cluster::builder("euw1").start()?;
    source.create_topic("far", 2, &[])?;
    Workload::orders(source.client(), "far")
        .records(300)
        .run()?;
    source.link().cut()?;
    let file = FlowFile::new(&source, target).topics(["far"]).slots(2);
    let worker = Worker::start(&file, "far-1")?;
    worker.wait_reason(&["source", "euw1", "bootstrap.servers"], LIMIT)?;
    // That is no fault of the worker's: nobody has to replace it.
    assert_eq!(worker.get("/healthz")?.code, 200);
    let asked = worker.http().to_string();
    let health = understudy(["healthcheck", "--listen", &asked], LIMIT)?;
    assert_eq!(health.status.code(), Some(0), "{health:?}");
    source.link().heal()?;
    let mut judge = Judge::new(&source, target, "far");
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.wait_ready(LIMIT)?;
    // And again, once it runs.
    source.link().cut()?;
    worker.wait_reason(&["source", "euw1", "bootstrap.servers"], LIMIT)?;
    // Nor does waiting cost anything: a client that tries again at once does so tens of thousands of times a second.
    let before = worker.wakes()?;
    sleep(WINDOW);
    let since = worker.wakes()?.since(&before);
    let a_second = since.ok_or("none of the worker's threads lasted")? / WINDOW.as_secs();
    assert!(a_second < WAKES_A_SECOND, "{a_second} wakes a second");
    Workload::orders(source.client(), "far")
        .producer("q")
        .records(300)
        .run()?;
    source.link().heal()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.wait_ready(LIMIT)?;
    worker.kill()?;
    let health = understudy(["healthcheck", "--listen", &asked], LIMIT)?;
    assert_eq!(health.status.code(), Some(1), "{health:?}");
    Ok(())
}

#[test]
fn a_wrong_password_is_named_but_never_shown() -> Outcome {
    let Pair { source, target } = pair()?;
    let wrong = "wrong-battery";
    let file = FlowFile::with_clients(
        (
            "use1",
            source.client_properties_of("reader", "${env:SOURCE_PASSWORD}"),
        ),
        ("usw2", target.client_properties_of("reader", PASSWORD)),
        target.dir(),
    )
    .named("password")
    .environment("SOURCE_PASSWORD", wrong)
    .environment("UNDERSTUDY_LOG", "debug");
    let worker = Worker::start(&file, "password-1")?;
    let reason =
        worker.wait_reason(&["source", "use1", "sasl.password", "sasl.username"], LIMIT)?;
    let page = worker.get("/")?.body + &worker.get("/status.json")?.body + &worker.metrics()?;
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    for (place, text) in [
        ("/readyz", reason),
        ("the page", page),
        ("the log", worker.log()),
    ] {
        for secret in [wrong, PASSWORD] {
            assert!(!text.contains(secret), "{place} shows a password: {text}");
        }
    }
    Ok(())
}

#[test]
fn a_right_password_is_never_shown_and_an_untrusted_certificate_is_named() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("private", 1, &[])?;
    Workload::orders(source.client(), "private")
        .records(100)
        .run()?;
    let file = |name: &str| {
        FlowFile::with_clients(
            ("use1", source.client_properties_of("reader", PASSWORD)),
            ("usw2", target.client_properties_of("reader", PASSWORD)),
            target.dir(),
        )
        .named(name)
        .topics(["private"])
        .slots(1)
        .environment("UNDERSTUDY_LOG", "debug")
    };
    let worker = Worker::start(&file("private"), "private-1")?;
    let comparison = Judge::new(source, target, "private").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    assert!(!worker.log().contains(PASSWORD), "{}", worker.log());

    let other_ca = target.ca().display().to_string();
    let worker = Worker::start(
        &file("untrusted").source("ssl.ca.location", other_ca),
        "untrusted-1",
    )?;
    worker.wait_reason(&["source", "use1", "ssl.ca.location"], LIMIT)?;
    Ok(())
}

#[test]
fn what_is_wrong_with_the_target_is_named_as_well() -> Outcome {
    let Pair { source, target } = pair()?;
    let with_target = |name: &str, properties: Vec<(String, String)>| {
        let reader = source.client_properties_of("reader", PASSWORD);
        FlowFile::with_clients(("use1", reader), ("usw2", properties), target.dir()).named(name)
    };
    let right = || target.client_properties_of("reader", PASSWORD);
    let cases: [(&str, FlowFile, &[&str]); 3] = [
        (
            "target-password",
            with_target(
                "target-password",
                target.client_properties_of("reader", "wrong-battery"),
            ),
            &["target", "usw2", "sasl.password"],
        ),
        (
            "target-untrusted",
            with_target("target-untrusted", right())
                .target("ssl.ca.location", source.ca().display().to_string()),
            &["target", "usw2", "ssl.ca.location"],
        ),
        (
            "target-unreachable",
            with_target("target-unreachable", right()).target("bootstrap.servers", "127.0.0.1:1"),
            &["target", "usw2", "bootstrap.servers"],
        ),
    ];
    for (name, file, words) in cases {
        let worker = Worker::start(&file, name)?;
        let reason = worker.wait_reason(words, LIMIT)?;
        assert!(!reason.contains("wrong-battery"), "{reason}");
        worker.terminate()?;
        assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    }
    Ok(())
}

#[test]
fn one_dead_address_among_the_bootstrap_servers_does_no_harm() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("half", 2, &[])?;
    Workload::orders(source.client(), "half")
        .records(200)
        .run()?;
    let both = |cluster: &Cluster| format!("127.0.0.1:1,{}", cluster.bootstrap());
    let file = flow("half")?
        .topics(["half"])
        .source("bootstrap.servers", both(source))
        .target("bootstrap.servers", both(target));
    let worker = Worker::start(&file, "half-1")?;
    let comparison = Judge::new(source, target, "half").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    worker.wait_ready(LIMIT)?;
    Ok(())
}

#[test]
fn a_target_topic_with_fewer_partitions_is_raised_first() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("wide", 4, &[])?;
    Workload::orders(source.client(), "wide")
        .records(200)
        .run()?;
    target.create_topic("wide", 2, &[])?;
    let worker = Worker::start(&flow("wide")?.topics(["wide"]), "wide-1")?;
    let comparison = Judge::new(source, target, "wide").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    assert_eq!(target.partitions("wide")?, Some(4));
    worker.wait_ready(LIMIT)?;
    Ok(())
}

#[test]
fn state_of_a_newer_understudy_is_left_alone() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("newer", 1, &[])?;
    let file = flow("newer")?.topics(["newer"]).slots(1);
    let worker = Worker::start(&file, "newer-1")?;
    worker.wait_copied(source, "newer", LIMIT)?;
    worker.kill()?;
    let name = FlowName::new("newer")?;
    let topics = StateTopics::new(name.clone());
    let newer = br#"{"version":99,"shape":"of things to come"}"#;
    let partition = TopicPartition::new("newer", 0);
    put(
        target,
        &topics.positions(),
        &Position::key(&partition),
        newer,
    )?;
    Workload::orders(source.client(), "newer")
        .records(10)
        .run()?;
    worker.restart()?;
    worker.wait_reason(&["version 99", "newer Understudy", "upgrade"], LIMIT)?;
    assert_eq!(Judge::new(source, target, "newer").compare()?.copied, 0);
    let path = worker.flow().to_owned();
    for tool in ["status", "verify"] {
        refused(tool, &path, &["version 99", "newer Understudy"])?;
    }
    worker.kill()?;
    put(target, &topics.flow(), &FlowRecord::key(&name), newer)?;
    worker.restart()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(2));
    assert!(
        worker.log().contains("flow record has version 99"),
        "{}",
        worker.log()
    );
    Ok(())
}

/// A pair of its own: it has users.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        Pair::start(
            |source| source.user("reader", PASSWORD),
            |target| target.user("reader", PASSWORD),
        )
    })
    .as_ref()
}

fn flow(name: &str) -> Result<FlowFile, Box<dyn Error>> {
    let Pair { source, target } = pair()?;
    Ok(FlowFile::new(source, target).named(name).slots(2))
}

/// Where nobody listens just now; for commands that end before they listen.
fn free_address() -> Result<SocketAddr, Box<dyn Error>> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn refused(command: &str, flow: &Path, words: &[&str]) -> Outcome {
    let Output { status, stderr, .. } = understudy([command.as_ref(), flow.as_os_str()], LIMIT)?;
    let text = String::from_utf8_lossy(&stderr);
    if status.code() != Some(2) {
        return Err(format!("{status}, not 2: {text}").into());
    }
    match words.iter().find(|word| !text.contains(**word)) {
        Some(word) => Err(format!("no {word:?} in: {text}").into()),
        None => Ok(()),
    }
}

fn put(cluster: &Cluster, topic: &str, key: &[u8], value: &[u8]) -> Outcome {
    let producer: BaseProducer = cluster.client().create()?;
    producer
        .send(BaseRecord::to(topic).partition(0).key(key).payload(value))
        .map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    wait_for("the record to be acknowledged", LIMIT, || {
        match producer.in_flight_count() {
            0 => Ok(()),
            left => Err(left.to_string()),
        }
    })?;
    Ok(())
}
