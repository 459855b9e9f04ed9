//! `understudy status` and `understudy verify` say what is there, and find what should not be.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, Judge, LabError, Listener, MinimalRoot, Pair, Worker, Workload, understudy,
    wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);

/// As the image has it: nothing but itself and what it loads, nothing to write to, and nobody's rights.
#[test]
fn the_binary_mirrors_alone_read_only_and_as_nobody() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("alone", 2, &[])?;
    Workload::orders(source.client(), "alone")
        .records(200)
        .run()?;
    let root = MinimalRoot::make(target.dir().join("minimal-root"))?;
    if let Some(why) = MinimalRoot::forbidden() {
        // Past what holds back what a test prints that passes.
        let told = "NOT RUN: the binary read-only and as nobody; only what it loads was looked at";
        writeln!(std::io::stdout(), "{told}: {why}")?;
        return Ok(());
    }
    assert!(root.understudy(&["--version"])?.starts_with("understudy "));
    let file = beside(source, target, "alone").topics(["alone"]);
    let worker = Worker::start_in(&root, &file, "alone-1")?;
    let verdict = Judge::new(source, target, "alone").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    let listen = worker.http().to_string();
    root.understudy(&["healthcheck", "--listen", &listen])?;

    let status = worker.kernel_says("status")?;
    let says = |line: &str| status.lines().any(|it| it.starts_with(line));
    assert!(!says("Uid:\t0\t") && says("NoNewPrivs:\t1"), "{status}");
    let mounts = worker.kernel_says("mountinfo")?;
    let mut roots = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(4);
        (fields.next() == Some("/")).then(|| fields.next())?
    });
    assert!(roots.all(|options| options.starts_with("ro")), "{mounts}");
    assert!(mounts.contains(" / ro"), "{mounts}");
    stop(&worker)?;
    Ok(())
}

#[test]
fn a_healthy_flow_holds_and_without_its_source_only_the_lag_is_unknown() -> Outcome {
    let Pair { source, target } = pair()?;
    for (topic, partitions) in [("healthy", 3), ("moved", 2)] {
        source.create_topic(topic, partitions, &[])?;
    }
    Workload::orders(source.client(), "healthy")
        .records(500)
        .run()?;
    Workload::orders(source.client(), "moved")
        .records(450)
        .transactional(50, 3)
        .run()?;
    // The one flow of this file that goes over the link, which is cut below.
    let file = FlowFile::new(source, target)
        .named("healthy")
        .topics(["healthy", "moved"])
        .slots(3);
    let worker = Worker::start(&file, "healthy-1")?;
    for topic in ["healthy", "moved"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    stop(&worker)?;
    let (code, status) = json(worker.flow(), &["status", "--json"])?;
    assert_eq!(code, 0, "{status}");
    assert_eq!(*at(&status, "flow"), "healthy");
    assert_eq!(*at(&status, "state"), "running");
    assert_eq!(*at(&status, "lag_records"), 0);
    assert_eq!(*at(&status, "source_unreachable"), Value::Null);
    let lines = lines(&status);
    assert_eq!(lines.len(), 5, "{status}");
    for line in &lines {
        let topic = line["topic"].as_str().unwrap_or_default();
        let partition = i32::try_from(line["partition"].as_i64().unwrap_or(-1))?;
        let end = source
            .ends(topic)?
            .get(&partition)
            .copied()
            .ok_or("no such partition")?;
        assert_eq!(line["source_offset"], end.last_stable, "{line}");
        assert_eq!(line["source_end_offset"], end.last_stable, "{line}");
    }
    let copied = |topic: &str| -> u64 {
        let of_topic = lines.iter().filter(|line| line["topic"] == topic);
        of_topic.filter_map(|line| line["records"].as_u64()).sum()
    };
    assert_eq!((copied("healthy"), copied("moved")), (500, 300));

    for arguments in [&["verify", "--json"][..], &["verify", "--deep", "--json"]] {
        let (code, found) = json(worker.flow(), arguments)?;
        assert_eq!(
            (code, at(&found, "holds")),
            (0, &Value::Bool(true)),
            "{found}"
        );
    }
    let (code, text) = run(worker.flow(), &["verify", "--deep"])?;
    assert!(code == 0 && text.contains("by content: it holds"), "{text}");

    // What was written since is behind, not missing.
    Workload::orders(source.client(), "healthy")
        .producer("q")
        .records(60)
        .run()?;
    let (code, status) = json(worker.flow(), &["status", "--json"])?;
    assert_eq!(
        (code, at(&status, "lag_records")),
        (0, &Value::from(60)),
        "{status}"
    );
    let (code, found) = json(worker.flow(), &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{found}");
    assert_eq!(sum(&found, "healthy", "behind"), 60);

    source.link().cut()?;
    let (code, status) = json(worker.flow(), &["status", "--json"])?;
    assert_eq!(
        (code, at(&status, "lag_records")),
        (1, &Value::Null),
        "{status}"
    );
    let reason = at(&status, "source_unreachable")
        .as_str()
        .unwrap_or_default();
    assert!(
        reason.contains("use1") && reason.contains("bootstrap.servers"),
        "{reason}"
    );
    let (code, text) = run(worker.flow(), &["status"])?;
    assert!(
        code == 1 && text.contains("lag unknown: cluster use1"),
        "{text}"
    );
    let (code, _) = run(worker.flow(), &["verify"])?;
    assert_eq!(code, 2, "without the source nothing is known");
    source.link().heal()?;
    Ok(())
}

#[test]
fn a_deep_look_finds_what_was_added_altered_and_deleted_on_the_target() -> Outcome {
    let Pair { source, target } = pair()?;
    let topics = ["added", "altered", "deleted", "intact"];
    for topic in topics {
        source.create_topic(topic, 1, &[])?;
        Workload::orders(source.client(), topic).records(40).run()?;
    }
    let worker = Worker::start(
        &beside(source, target, "tampered").topics(topics),
        "tampered-1",
    )?;
    for topic in topics {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    let stranger: BaseProducer = target.client().create()?;
    send(
        &stranger,
        BaseRecord::to("added").key("stranger").payload("was here"),
    )?;
    Workload::orders(source.client(), "added")
        .producer("q")
        .records(10)
        .run()?;
    worker.wait_copied(source, "added", LIMIT)?;
    stop(&worker)?;
    let (code, found) = json(worker.flow(), &["verify", "--deep", "--json"])?;
    assert_eq!(code, 1, "{found}");
    rewrite(target, "altered", Change::Alter)?;
    rewrite(target, "deleted", Change::DeleteTwo)?;
    rewrite(target, "intact", Change::Nothing)?;
    let (code, found) = json(worker.flow(), &["verify", "--deep", "--json"])?;
    assert_eq!(
        (code, at(&found, "holds")),
        (1, &Value::Bool(false)),
        "{found}"
    );
    for (topic, lost, doubled, altered) in [
        ("added", 0, 1, 0),
        ("altered", 0, 0, 1),
        ("deleted", 2, 0, 0),
        ("intact", 0, 0, 0),
    ] {
        let counts = ["lost", "doubled", "altered"].map(|field| sum(&found, topic, field));
        assert_eq!(counts, [lost, doubled, altered], "{topic}: {found}");
        let faults = lines(&found)
            .into_iter()
            .find(|line| line["topic"] == topic);
        let faults = faults.map_or(0, |line| line["faults"].as_array().map_or(0, Vec::len));
        assert_eq!(faults as u64, lost + doubled + altered, "{topic}: {found}");
    }
    let (code, text) = run(worker.flow(), &["verify", "--deep"])?;
    assert!(code == 1 && text.contains("IT DOES NOT HOLD"), "{text}");
    // Counts alone cannot see it; a log that ends too early they can.
    let (code, _) = run(worker.flow(), &["verify"])?;
    assert_eq!(code, 0);
    target.delete_topic("intact")?;
    target.create_topic("intact", 1, &[])?;
    let (code, text) = run(worker.flow(), &["verify"])?;
    assert!(
        code == 1 && text.contains("the target lost records"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_deep_look_understands_compaction_on_either_side() -> Outcome {
    let Pair { source, target } = pair()?;
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    for cluster in [source, target] {
        cluster.create_topic("compacted", 2, &configs)?;
    }
    let worker = Worker::start(
        &beside(source, target, "compacted").topics(["compacted"]),
        "compacted-1",
    )?;
    let mut written = 0;
    wait_for("both sides to be compacted", LIMIT, || {
        let write = Workload::orders(source.client(), "compacted")
            .producer(format!("p{written}"))
            .records(400)
            .value_bytes(100)
            .compacted(20, 9);
        written += 400;
        let look = write.run().and_then(|_| {
            worker.wait_copied(source, "compacted", LIMIT)?;
            Judge::new(source, target, "compacted").compare()
        });
        match look {
            Ok(seen) if seen.produced < written && seen.copied < written => Ok(()),
            Ok(seen) => Err(format!("{written} written, {seen}")),
            Err(error) => Err(understudy_tests::chain(&error)),
        }
    })?;
    stop(&worker)?;
    let (code, found) = json(worker.flow(), &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{found}");
    assert!(sum(&found, "compacted", "compared") > 0, "{found}");
    Ok(())
}

#[test]
fn a_flow_that_never_ran_is_not_made_up() -> Outcome {
    let Pair { source, target } = pair()?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 8080));
    let path = beside(source, target, "never").write("never", address)?;
    for tool in ["status", "verify"] {
        let output = understudy([tool.as_ref(), path.as_os_str()], LIMIT)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("no flow never"), "{text}");
    }
    assert_eq!(target.partitions("understudy.never.flow")?, None);
    Ok(())
}

/// A pair of its own: its cleaner is in a hurry.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        Pair::start(
            |source| source.property("log.cleaner.backoff.ms", "200"),
            |target| target.property("log.cleaner.backoff.ms", "200"),
        )
    })
    .as_ref()
}

/// A flow that does not go over the link.
fn beside(source: &Cluster, target: &Cluster, name: &str) -> FlowFile {
    let clients = [source, target].map(|cluster| cluster.client_properties(Listener::Plaintext));
    let [source_client, target_client] = clients;
    FlowFile::with_clients(
        (source.alias(), source_client),
        (target.alias(), target_client),
        target.dir(),
    )
    .named(name)
    .slots(2)
}

fn stop(worker: &Worker) -> Outcome {
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    Ok(())
}

/// Runs a tool on a flow; its exit status and its report, or why there is none.
fn run(flow: &Path, arguments: &[&str]) -> Result<(i32, String), Box<dyn Error>> {
    let flow = flow.display().to_string();
    let (command, options) = arguments.split_first().ok_or("no tool")?;
    let all = std::iter::once(*command)
        .chain([flow.as_str()])
        .chain(options.iter().copied());
    let output = understudy(all, LIMIT)?;
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let code = output.status.code().ok_or("killed")?;
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

fn json(flow: &Path, arguments: &[&str]) -> Result<(i32, Value), Box<dyn Error>> {
    let (code, text) = run(flow, arguments)?;
    let value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    Ok((code, value))
}

/// A field; null if there is none.
fn at<'a>(value: &'a Value, field: &str) -> &'a Value {
    value.get(field).unwrap_or(&Value::Null)
}

fn lines(report: &Value) -> Vec<&Value> {
    let lines = report.get("partitions").and_then(Value::as_array);
    lines.into_iter().flatten().collect()
}

/// Adds a field up over a topic's partitions.
fn sum(report: &Value, topic: &str, field: &str) -> u64 {
    let of_topic = lines(report)
        .into_iter()
        .filter(|line| line["topic"] == topic);
    of_topic.filter_map(|line| line[field].as_u64()).sum()
}

/// What a stranger with write access does to a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// One record gets another value.
    Alter,
    /// Two neighbours are gone, the others stay where they are.
    DeleteTwo,
}

/// Makes a topic of one partition anew, every record and commit marker at its old offset but for the change.
///
/// ```text
/// r r r r M r r M      a copy: records of a transaction, then its marker
/// r ~ ~ r M r r M      two deleted: an aborted record and its marker take their places
/// ```
fn rewrite(cluster: &Cluster, topic: &str, change: Change) -> Outcome {
    cluster.wait_settled(topic, LIMIT)?;
    let end = cluster
        .ends(topic)?
        .get(&0)
        .map_or(0, |end| end.high_watermark);
    let records = read(cluster, topic)?;
    cluster.delete_topic(topic)?;
    cluster.create_topic(topic, 1, &[])?;
    let plain: BaseProducer = cluster.client().create()?;
    let in_transactions: BaseProducer = cluster
        .client()
        .set("transactional.id", format!("stranger-{topic}"))
        .create()?;
    in_transactions.init_transactions(LIMIT)?;
    let is_last = |at: usize| match (records.get(at), records.get(at + 1)) {
        (Some(this), Some(next)) => next.offset() > this.offset() + 1,
        (_, None) => true,
        (None, Some(_)) => false,
    };
    let place = (0..records.len())
        .find(|at| !is_last(*at) && !is_last(at + 1))
        .ok_or("no transaction of three records")?;
    let mut skip = false;
    for (at, record) in records.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let mut copy = BaseRecord::<[u8], [u8]>::to(topic).partition(0);
        copy.key = record.key();
        copy.payload = record.payload();
        copy.timestamp = record.timestamp().to_millis();
        copy.headers = record.headers().cloned();
        if change == Change::DeleteTwo && at == place {
            in_transactions.begin_transaction()?;
            send(&in_transactions, copy)?;
            in_transactions.abort_transaction(LIMIT)?;
            // The marker has its place before the next record; the answer may come before it.
            cluster.wait_settled(topic, LIMIT)?;
            skip = true;
        } else if is_last(at) {
            in_transactions.begin_transaction()?;
            send(&in_transactions, copy)?;
            in_transactions.commit_transaction(LIMIT)?;
            cluster.wait_settled(topic, LIMIT)?;
        } else {
            if change == Change::Alter && at == place {
                copy.payload = Some(b"altered");
            }
            send(&plain, copy)?;
        }
    }
    let rewritten = cluster
        .ends(topic)?
        .get(&0)
        .map_or(0, |end| end.high_watermark);
    assert_eq!(rewritten, end, "every offset is taken as before");
    Ok(())
}

fn send(
    producer: &BaseProducer,
    record: BaseRecord<
        '_,
        impl rdkafka::message::ToBytes + ?Sized,
        impl rdkafka::message::ToBytes + ?Sized,
    >,
) -> Outcome {
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(LIMIT)?;
    Ok(())
}

/// What a `read_committed` reader sees of partition 0.
fn read(cluster: &Cluster, topic: &str) -> Result<Vec<OwnedMessage>, Box<dyn Error>> {
    let reader: BaseConsumer = cluster
        .client()
        .set("group.id", "lab-rewrite")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, Offset::Beginning)?;
    reader.assign(&places)?;
    let mut records = Vec::new();
    wait_for(&format!("the end of {topic}"), LIMIT, || {
        loop {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(message.detach()),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(format!("{} records", records.len())),
            }
        }
    })?;
    Ok(records)
}
