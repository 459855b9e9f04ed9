//! `understudy check` names what a flow lacks before it runs, one thing at a time, and changes nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use understudy_tests::{Cluster, FlowFile, LabError, Listener, Pair, Worker, Workload, understudy};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct-horse";
/// Has no permission.
const USER: &str = "somebody";

#[test]
fn what_does_not_fit_is_named_and_nothing_is_changed() -> Outcome {
    let _turn = turn();
    let Pair { source, target } = pair()?;
    source.create_topic("fit-narrow", 4, &[])?;
    target.create_topic("fit-narrow", 2, &[])?;
    source.create_topic("fit-large", 1, &[("max.message.bytes", "2000000")])?;
    target.create_topic(
        "fit-large",
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    )?;
    source.create_topic("fit-compact", 1, &[("cleanup.policy", "compact")])?;
    target.create_topic("fit-compact", 3, &[])?;
    source.create_topic("fit.same", 1, &[])?;
    target.create_topic("fit_same", 1, &[])?;
    let before = (state(source)?, state(target)?);
    let file = FlowFile::new(source, target)
        .named("fit")
        .topics(["fit.*", "absent"]);
    let report = check(&file, "fit")?;
    assert_eq!(report.code, 1, "{}", report.json);
    for (standing, end, words) in [
        ("warning", "source", "\"absent\" selects none"),
        ("warning", "target", "a worker raises it"),
        ("fails", "target", "max.message.bytes is 2000000"),
        ("fails", "target", "LogAppendTime"),
        ("warning", "target", "cleanup.policy is compact"),
        ("warning", "target", "has 3 partitions, the source's 1"),
        ("fails", "target", "fit_same"),
        ("ok", "target", "has not run yet"),
        ("ok", "target", "they differ"),
        ("ok", "source", "KRaft, 1 broker,"),
        ("ok", "target", "version 2 (KIP-890) too"),
        ("unknown", "target", "free disk"),
    ] {
        assert!(
            report.has(standing, end, words),
            "{standing} {words}: {}",
            report.json
        );
    }
    assert_eq!((state(source)?, state(target)?), before);
    Ok(())
}

#[test]
fn two_flows_that_would_go_round_for_ever_are_named() -> Outcome {
    let _turn = turn();
    let Pair { source, target } = pair()?;
    target.create_topic("ring", 1, &[])?;
    Workload::orders(target.client(), "ring")
        .records(20)
        .run()?;
    let back = FlowFile::new(target, source)
        .named("ring-back")
        .topics(["ring"])
        .slots(1);
    let worker = Worker::start(&back, "ring-back-1")?;
    worker.wait_copied(target, "ring", LIMIT)?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    let forth = FlowFile::new(source, target).named("ring-forth");
    let report = check(&forth.topics(["ring"]), "ring-forth")?;
    assert!(
        report.code == 1 && report.has("fails", "source", "mirrors ring back"),
        "{}",
        report.json
    );
    let other = FlowFile::new(source, target).named("ring-other");
    let report = check(&other.topics(["ringless"]), "ring-other")?;
    assert!(!report.has("fails", "source", "back"), "{}", report.json);
    Ok(())
}

#[test]
fn what_cannot_be_reached_is_named_address_by_address_within_the_time_limit() -> Outcome {
    let _turn = turn();
    let Pair { source, target } = pair()?;
    // One of two servers is dead.
    let half = format!("localhost:1,{}", source.bootstrap());
    let file = FlowFile::new(source, target)
        .named("half")
        .topics(["nothing"])
        .source("bootstrap.servers", half);
    let report = check(&file, "half")?;
    assert_eq!(report.code, 0, "{}", report.json);
    assert!(
        report.has("warning", "source", "no connection"),
        "{}",
        report.json
    );
    assert!(
        report.has("ok", "source", "let us in and answered in"),
        "{}",
        report.json
    );
    // Nobody is there, and the other end is looked at all the same.
    let file = FlowFile::new(source, target)
        .named("dark")
        .source("bootstrap.servers", "localhost:1,nowhere.invalid:9092");
    let began = Instant::now();
    let report = check(&file, "dark")?;
    assert!(began.elapsed() < LIMIT / 2);
    assert_eq!(report.code, 1, "{}", report.json);
    assert!(
        report.has("fails", "source", "security groups"),
        "{}",
        report.json
    );
    assert!(
        report.has("fails", "source", "its name has no address"),
        "{}",
        report.json
    );
    assert!(report.has("ok", "target", "let us in"), "{}", report.json);
    // A wrong password, and a certificate of somebody else.
    let file = FlowFile::with_clients(
        ("use1", source.client_properties_of(USER, "wrong-battery")),
        ("usw2", target.client_properties_of(USER, PASSWORD)),
        target.dir(),
    )
    .named("strange")
    .target("ssl.ca.location", source.ca().display().to_string());
    let report = check(&file, "strange")?;
    assert_eq!(report.code, 1, "{}", report.json);
    assert!(
        report.has("fails", "source", "sasl.password"),
        "{}",
        report.json
    );
    assert!(
        report.has("fails", "target", "ssl.ca.location"),
        "{}",
        report.json
    );
    assert!(!report.json.to_string().contains("wrong-battery"));
    // As text, and with a file that cannot be used.
    let path = file.write("strange-text", address())?;
    let output = understudy(["check".as_ref(), path.as_os_str()], LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("IT DOES NOT HOLD") && text.contains("fails"),
        "{text}"
    );
    let path = file.mirror("topic", "x").write("strange-key", address())?;
    let output = understudy(["check".as_ref(), path.as_os_str()], LIMIT)?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

#[test]
fn a_broker_that_is_advertised_and_silent_is_named() -> Outcome {
    let _turn = turn();
    let target = &pair()?.target;
    let source = Cluster::builder("euc1")
        .brokers(3)
        .own_processes()
        .start()?;
    let address_of = |node| -> Result<String, LabError> {
        Ok(source
            .broker(node)?
            .address(Listener::Plaintext)
            .to_string())
    };
    let file = FlowFile::with_clients(
        ("euc1", source.client_properties(Listener::Plaintext)),
        ("usw2", target.client_properties(Listener::Plaintext)),
        target.dir(),
    )
    .named("silent")
    .source("bootstrap.servers", address_of(1)?);
    let report = check(&file, "silent-before")?;
    assert_eq!(report.code, 0, "{}", report.json);
    source.broker(3)?.pause()?;
    let report = check(&file, "silent")?;
    source.broker(3)?.resume()?;
    assert_eq!(report.code, 1, "{}", report.json);
    for (standing, node, words) in [
        ("ok", 1, "let us in"),
        ("ok", 2, "let us in"),
        ("fails", 3, "then no answer"),
    ] {
        let address = address_of(node)?;
        let named = report.findings().any(|finding| {
            let part = |field| at(finding, field).as_str().unwrap_or_default();
            part("standing") == standing
                && part("what").ends_with(&address)
                && part("found").contains(words)
        });
        assert!(named, "{standing} {address}: {}", report.json);
    }
    Ok(())
}

/// The tests share clusters, and some look at all that is there.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pair of its own: it has a user, and refuses what no ACL allows.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        let with_user = |builder: understudy_tests::ClusterBuilder| {
            builder.allow_everyone_if_no_acl(false).user(USER, PASSWORD)
        };
        Pair::start(with_user, with_user)
    })
    .as_ref()
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

/// Topics with their ends, groups, ACLs.
type State = (BTreeMap<String, String>, Vec<String>, String);

fn state(cluster: &Cluster) -> Result<State, Box<dyn Error>> {
    let client: BaseConsumer = cluster.client().create()?;
    let metadata = client.fetch_metadata(None, LIMIT)?;
    let mut topics = BTreeMap::new();
    for topic in metadata.topics() {
        topics.insert(
            topic.name().to_owned(),
            format!("{:?}", cluster.ends(topic.name())?),
        );
    }
    let groups = client.fetch_group_list(None, LIMIT)?;
    let mut groups: Vec<String> = groups
        .groups()
        .iter()
        .map(|group| group.name().to_owned())
        .collect();
    groups.sort();
    Ok((topics, groups, cluster.list_acls()?))
}
