//! Whatever the other side does, it is named within seconds, nothing is lost or doubled, and it heals by itself.

use std::error::Error;
use std::io::{Seek, SeekFrom, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};
use understudy_kafka::{Cluster as Admin, Endpoint};
use understudy_tests::wire::{self, RawRecord};
use understudy_tests::{
    Answers, Cluster, FlowFile, Judge, LabError, Listener, Pair, Worker, Workload, chain,
    understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct-horse";

#[test]
fn a_source_that_answers_with_noise_or_stops_within_an_answer_is_named_and_nothing_is_lost()
-> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("noisy", 3, &[])?;
    // The only flow of this file that goes through the link.
    let file = FlowFile::new(source, target)
        .named("noisy")
        .topics(["noisy"])
        .slots(2);
    let worker = Worker::start(&file, "noisy-1")?;
    let orders = Workload::orders(source.client(), "noisy")
        .rate(400)
        .records(u64::MAX)
        .start()?;
    wait_beyond(&worker, source, "noisy")?;
    for (answers, words) in [
        (Answers::Noise, "use1"),
        (Answers::CutShort, "use1"),
        (Answers::Stalled, "use1"),
        (Answers::Damaged, "cannot be used"),
    ] {
        let begun = Instant::now();
        source.link().set_answers(answers);
        let reason = worker
            .wait_reason(&[words], LIMIT)
            .map_err(|error| format!("{answers:?}: {}", chain(&error)))?;
        let status = worker.status()?;
        assert_eq!(status.get("ready"), Some(&false.into()), "{answers:?}");
        assert_eq!(worker.get("/healthz")?.code, 200);
        println!("{answers:?} after {:?}: {reason}", begun.elapsed());
        if answers == Answers::Damaged {
            // Asked for again and again, it is still not skipped.
            wait_for("several such answers", LIMIT, || {
                match worker.log().matches("cannot be used").count() {
                    8.. => Ok(()),
                    few => Err(few.to_string()),
                }
            })?;
        }
        source.link().set_answers(Answers::Whole);
        worker
            .wait_ready(LIMIT)
            .map_err(|error| format!("after {answers:?}: {}", chain(&error)))?;
        wait_beyond(&worker, source, "noisy")?;
    }
    orders.stop()?;
    expect_exact(source, target, "noisy")
}

#[test]
fn a_target_whose_disk_is_full_is_named_and_nothing_is_lost() -> Outcome {
    let source = &pair()?.source;
    let target = other()?;
    source.create_topic("full", 2, &[])?;
    let file = FlowFile::with_clients(plain(source), plain(&target), target.dir())
        .named("full")
        .topics(["full"])
        .slots(2);
    let worker = Worker::start(&file, "full-1")?;
    let orders = Workload::orders(source.client(), "full")
        .rate(400)
        .records(u64::MAX)
        .start()?;
    wait_beyond(&worker, source, "full")?;
    let broker = target.broker(1)?;
    broker.limit_files(Some(400_000))?;
    // Kafka gives up a disk that it cannot write to, and itself with its last one.
    worker.wait_reason(&["apse1"], LIMIT)?;
    wait_for("the broker to give up", LIMIT, || {
        if broker.is_running() {
            return Err("it runs".to_owned());
        }
        Ok(())
    })?;
    assert_eq!(worker.status()?.get("ready"), Some(&false.into()));
    broker.start()?;
    target.wait_ready()?;
    worker.wait_ready(LIMIT)?;
    orders.stop()?;
    expect_exact(source, &target, "full")
}

#[test]
fn a_source_with_a_certificate_that_has_ended_is_named_until_it_has_another() -> Outcome {
    let target = &pair()?.target;
    let source = other()?;
    source.create_topic("expired", 2, &[])?;
    Workload::orders(source.client(), "expired")
        .records(300)
        .run()?;
    restart_with_certificate(&source, true)?;
    let file = FlowFile::with_clients(
        ("apse1", source.client_properties_of("mirror", PASSWORD)),
        plain(target),
        target.dir(),
    )
    .named("expired")
    .topics(["expired"])
    .slots(2);
    let worker = Worker::start(&file, "expired-1")?;
    let reason = worker.wait_reason(&["source", "apse1", "certificate"], LIMIT)?;
    assert!(reason.contains("has not ended"), "{reason}");
    restart_with_certificate(&source, false)?;
    expect_exact(&source, target, "expired")?;
    worker.wait_ready(LIMIT)?;
    Ok(())
}

#[test]
fn a_permission_that_is_revoked_while_it_runs_is_named_and_other_topics_go_on() -> Outcome {
    let Pair { source, target } = pair()?;
    for topic in ["revoked", "untouched"] {
        source.create_topic(topic, 4, &[])?;
    }
    let file = FlowFile::with_clients(
        ("use1", source.client_properties_of("mirror", PASSWORD)),
        ("usw2", target.client_properties_of("mirror", PASSWORD)),
        target.dir(),
    )
    .named("revoked")
    .topics(["revoked", "untouched"])
    .slots(1);
    let worker = Worker::start(&file, "revoked-1")?;
    let running: Vec<_> = ["revoked", "untouched"]
        .map(|topic| {
            Workload::orders(source.client(), topic)
                .rate(200)
                .records(u64::MAX)
                .start()
        })
        .into_iter()
        .collect::<Result<_, _>>()?;
    for topic in ["revoked", "untouched"] {
        wait_beyond(&worker, source, topic)?;
    }
    for (cluster, operation) in [(source, AclOperation::Read), (target, AclOperation::Write)] {
        let side = Side::of(cluster)?;
        // Where a resource has an ACL, nobody is let in whom none allows.
        side.add(&acl(AclOperation::All, AclPermission::Allow))?;
        let deny = acl(operation, AclPermission::Deny);
        side.add(&deny)?;
        let reason = worker.wait_reason(&["User:mirror", "revoked"], LIMIT)?;
        println!("{operation:?}: {reason}");
        // The other topic goes on although one slot has both.
        wait_beyond(&worker, source, "untouched")?;
        assert_eq!(worker.get("/readyz")?.code, 503);
        side.remove(&deny)?;
        worker.wait_ready(LIMIT)?;
    }
    for workload in running {
        workload.stop()?;
    }
    for topic in ["revoked", "untouched"] {
        expect_exact(source, target, topic)?;
    }
    Ok(())
}

#[test]
fn names_of_every_kind_are_mirrored_and_what_does_not_fit_is_named() -> Outcome {
    let Pair { source, target } = pair()?;
    let long = format!("names-{}", "x".repeat(243));
    let kinds = ["names-...", "names--", "names-UPPER_lower", "names-a.b.c"];
    let topics: Vec<&str> = kinds.into_iter().chain([long.as_str()]).collect();
    for topic in topics.iter().copied().chain(["names-col.lides"]) {
        source.create_topic(topic, 1, &[])?;
        Workload::orders(source.client(), topic).records(50).run()?;
    }
    // Kafka takes `.` and `_` for the same in its own metrics, and refuses a second topic of that kind.
    target.create_topic("names-col_lides", 1, &[])?;
    let groups = [
        "names-\"quoted\"",
        "names-<b>&amp;",
        "names-zeile\nzwei",
        "names-\u{1F980}",
        "names-{a=\"b\"}",
    ];
    for group in groups {
        source.commit_group(group, &[("names-...", 0, 20)])?;
    }
    let file = FlowFile::with_clients(plain(source), plain(target), target.dir())
        .named("names")
        .topics(["names-.*"])
        .groups(["(?s)names-.*"])
        .slots(2);
    let worker = Worker::start(&file, "names-1")?;
    worker.wait_reason(&["names-col.lides", "names-col_lides"], LIMIT)?;
    for topic in &topics {
        worker.wait_copied(source, topic, LIMIT)?;
        expect_exact(source, target, topic)?;
    }
    let mut judge = Judge::new(source, target, "names-...");
    judge.compare_settled(LIMIT)?;
    let wanted = judge.place_on_target(0, 20).ok_or("no copy")?;
    for group in groups {
        wait_for(&format!("the place of {group:?}"), LIMIT, || {
            let places = target.group_places(group, "names-...");
            match places.map_err(|error| chain(&error))?.get(&0) {
                Some(place) if *place == wanted => Ok(()),
                other => Err(format!("{other:?}, not {wanted}")),
            }
        })?;
    }
    worker.wait_status("every group", LIMIT, |status| {
        let lines = status["groups"].as_array();
        let named: Vec<_> = lines
            .into_iter()
            .flatten()
            .filter_map(|line| line["group"].as_str())
            .collect();
        groups.iter().all(|group| named.contains(group))
    })?;
    // Names of other people are text on the page and in the metrics.
    let page = worker.get("/")?.body;
    assert!(!page.contains("names-<b>"), "{page}");
    for line in worker.metrics()?.lines() {
        let value = line.rsplit_once(' ').map(|(_, value)| value);
        let sample = value.is_some_and(|value| value.parse::<f64>().is_ok());
        assert!(sample || line.starts_with('#'), "{line}");
    }
    worker.terminate()?;
    worker.wait(LIMIT)?;

    // With a prefix, the longest name has no copy; the others have.
    let file = FlowFile::with_clients(plain(source), plain(target), target.dir())
        .named("names-prefixed")
        .topics(["names-.*"])
        .mirror("policy", "prefixed")
        .slots(1);
    let worker = Worker::start(&file, "names-2")?;
    worker.wait_reason(&[long.as_str(), "249"], LIMIT)?;
    worker.wait_copied(source, "names-a.b.c", LIMIT)?;
    worker.wait_copied(source, "names-col.lides", LIMIT)?;
    Ok(())
}

#[test]
fn headers_are_copied_to_the_byte_whatever_they_are_and_however_many() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("headers", 1, &[("max.message.bytes", "5000000")])?;
    let header = |name: &[u8], value: Option<&[u8]>| (name.to_vec(), value.map(<[u8]>::to_vec));
    let every_byte: Vec<u8> = (0..=255).collect();
    let record = |key: &str, headers| RawRecord {
        key: Some(key.as_bytes().to_vec()),
        value: Some(b"v".to_vec()),
        headers,
    };
    let records = [
        record(
            "not-text",
            vec![
                header(&[0xC3, 0x28], Some(b"1")),
                header(&[0xFF, 0xFE], None),
            ],
        ),
        record(
            "zero",
            vec![
                header(b"a\0b", Some(b"\0")),
                header(b"a\0c", Some(b"")),
                header(b"\0", None),
            ],
        ),
        record("every", vec![header(&every_byte, Some(&every_byte))]),
        record(
            "long",
            vec![header(&vec![b'n'; 30_000], Some(&vec![0; 300_000]))],
        ),
        record(
            "empty",
            vec![
                header(b"", Some(b"")),
                header(b"", None),
                header(b"", Some(b"x")),
            ],
        ),
        record(
            "many",
            (0..50_000_u32)
                .map(|at| header(&(at % 7).to_be_bytes(), Some(&at.to_be_bytes())))
                .collect(),
        ),
        record("none", Vec::new()),
    ];
    let now_ms = 1_760_000_000_000;
    let (there, here) = (
        source.broker(1)?.address(Listener::Plaintext),
        target.broker(1)?.address(Listener::Plaintext),
    );
    for record in &records {
        wire::produce_records(there, "headers", now_ms, std::slice::from_ref(record))?;
    }
    let file = FlowFile::with_clients(plain(source), plain(target), target.dir())
        .named("headers")
        .topics(["headers"])
        .target("compression.type", "none")
        .slots(1);
    let worker = Worker::start(&file, "headers-1")?;
    worker.wait_copied(source, "headers", LIMIT)?;
    // A commit is answered before its marker is written, and a reader waits for that.
    let found = wait_for("every copy to be readable", LIMIT, || {
        let held = wire::fetch(here, "headers").map_err(|error| chain(&error))?;
        let found: Vec<usize> = records
            .iter()
            .map(|record| {
                let content = record.content();
                let windows = held.windows(content.len());
                windows.filter(|window| *window == content).count()
            })
            .collect();
        match found.contains(&0) {
            true => Err(format!("{found:?}")),
            false => Ok(found),
        }
    })?;
    assert_eq!(found, vec![1; records.len()]);
    worker.terminate()?;
    worker.wait(LIMIT)?;
    let flow = worker.flow().display().to_string();
    let output = understudy(["verify", &flow, "--deep"], LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    Ok(())
}

#[test]
fn a_config_file_of_100_mb_is_refused_before_it_is_read() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["large.toml", "large.properties"] {
        let path = folder.path().join(name);
        let mut file = std::fs::File::create(&path)?;
        file.write_all(b"# nothing else\n")?;
        file.seek(SeekFrom::Start(100 << 20))?;
        file.write_all(b"\n")?;
        drop(file);
        for command in ["replicate", "check", "status"] {
            let path = path.display().to_string();
            let begun = Instant::now();
            let output = understudy([command, &path], LIMIT)?;
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {text}");
            for words in ["cannot read", name, "104857601 bytes", "right file"] {
                assert!(text.contains(words), "{command}: no {words:?} in {text}");
            }
            assert!(begun.elapsed() < LIMIT / 2);
        }
    }
    // What does not tell its size is read no further than that.
    let output = understudy(["check", "/dev/zero"], LIMIT)?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && text.contains("more than"),
        "{text}"
    );
    Ok(())
}

/// Waits until everything is copied that a topic holds now; its writers may go on.
fn wait_beyond(worker: &Worker, source: &Cluster, topic: &str) -> Outcome {
    let goal = source.ends(topic)?;
    worker.wait_status(&format!("{topic} to go on"), LIMIT, |status| {
        goal.iter().all(|(partition, end)| {
            line(status, topic, *partition)
                .and_then(|line| line["source_offset"].as_i64())
                .is_some_and(|offset| offset >= end.last_stable)
        })
    })?;
    Ok(())
}

fn expect_exact(source: &Cluster, target: &Cluster, topic: &str) -> Outcome {
    let comparison = Judge::new(source, target, topic).wait_exact(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.copied > 0,
        "{topic}: {comparison}"
    );
    Ok(())
}

/// One end beside its cluster.
fn plain(cluster: &Cluster) -> (&str, Vec<(String, String)>) {
    (
        cluster.alias(),
        cluster.client_properties(Listener::Plaintext),
    )
}

fn line<'a>(
    status: &'a serde_json::Value,
    topic: &str,
    partition: i32,
) -> Option<&'a serde_json::Value> {
    let mut lines = status["partitions"].as_array().into_iter().flatten();
    lines.find(|line| line["topic"] == topic && line["partition"] == partition)
}

fn restart_with_certificate(cluster: &Cluster, expired: bool) -> Outcome {
    cluster.renew_certificate(expired)?;
    cluster.stop_cleanly(LIMIT)?;
    Ok(cluster.start_again()?)
}

/// The clusters of this file; one test has their link.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        Pair::start(
            |source| source.user("mirror", PASSWORD),
            |target| target.user("mirror", PASSWORD),
        )
    })
    .as_ref()
}

/// A cluster that may be broken, by one test at a time.
struct Turn(MutexGuard<'static, Option<Cluster>>);

impl std::ops::Deref for Turn {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        #[expect(clippy::expect_used, reason = "`other` has filled it")]
        self.0.as_ref().expect("a cluster")
    }
}

fn other() -> Result<Turn, LabError> {
    static OTHER: Mutex<Option<Cluster>> = Mutex::new(None);
    let mut other = OTHER.lock().unwrap_or_else(PoisonError::into_inner);
    if other.is_none() {
        let builder = Cluster::builder("apse1")
            .user("mirror", PASSWORD)
            .own_processes();
        *other = Some(builder.start()?);
    }
    Ok(Turn(other))
}

fn acl(operation: AclOperation, permission: AclPermission) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: "revoked".to_owned(),
        pattern: AclPattern::Literal,
        principal: "User:mirror".to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

/// One cluster's ACLs, as its administrator changes them.
struct Side(Admin);

impl Side {
    fn of(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let properties = cluster.client_properties(Listener::Plaintext);
        let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
        Ok(Self(Admin::open(&endpoint)?))
    }

    fn add(&self, acl: &Acl) -> Outcome {
        match self.0.add_acls(&[acl], WITHIN)?.pop() {
            None => Ok(()),
            Some((_, fault)) => Err(fault.into()),
        }
    }

    fn remove(&self, acl: &Acl) -> Outcome {
        match self.0.remove_acls(&[acl], WITHIN)?.pop() {
            None => Ok(()),
            Some((_, fault)) => Err(fault.into()),
        }
    }
}
