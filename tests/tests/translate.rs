//! `understudy translate`: every answer is held against what really lies on both sides.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, LabError, Listener, Pair, Worker, Workload, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
/// How many places of each partition are asked about.
const PLACES: i64 = 8;

#[test]
fn a_place_is_the_copy_of_the_very_record_that_would_be_read_next() -> Outcome {
    let Pair { source, target } = pair()?;
    let compact = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    source.create_topic("plain", 2, &[])?;
    source.create_topic("moved", 2, &[])?;
    source.create_topic("kept", 2, &compact)?;
    Workload::orders(source.client(), "plain")
        .records(600)
        .run()?;
    Workload::orders(source.client(), "moved")
        .records(600)
        .transactional(20, 3)
        .run()?;
    holed(source, "kept")?;
    // The copies are not compacted, so that each record that is left on the source has one to be compared with.
    let file = beside(source, target, "exact")
        .topics(["plain", "moved", "kept"])
        .mirror("sync_configs", false);
    let worker = Worker::start(&file, "exact-1")?;
    for topic in ["plain", "moved", "kept"] {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    // More commits, so that the copies have holes of their own, and a crash.
    for round in 0..5 {
        Workload::orders(source.client(), "plain")
            .producer(format!("more-{round}"))
            .records(30)
            .run()?;
        if round == 2 {
            worker.kill()?;
            worker.restart()?;
        }
        worker.wait_copied(source, "plain", LIMIT)?;
    }
    stop(&worker)?;

    let mut pairs = BTreeMap::new();
    for topic in ["plain", "moved", "kept"] {
        for partition in 0..2 {
            let name = (topic.to_owned(), partition);
            pairs.insert(name, matched(source, target, topic, partition)?);
        }
    }
    let reach = |by: fn(&(i64, i64)) -> i64| {
        let pairs = &pairs;
        move |name: &(String, i64)| -> i64 {
            let name = (name.0.clone(), i32::try_from(name.1).unwrap_or_default());
            pairs
                .get(&name)
                .and_then(|pairs| pairs.last().map(by))
                .unwrap_or_default()
                + 1
        }
    };
    for number in 0..=PLACES {
        let group = format!("reader-{number}");
        for (cluster, by) in [
            (source, (|pair| pair.0) as fn(&(i64, i64)) -> i64),
            (target, |pair| pair.1),
        ] {
            let end = reach(by);
            let places: Vec<(String, i64)> = pairs
                .keys()
                .map(|(topic, partition)| (topic.clone(), i64::from(*partition)))
                .collect();
            let places: Vec<(&str, i32, i64)> = places
                .iter()
                .map(|name| {
                    let place = end(name) * number / PLACES;
                    Ok((name.0.as_str(), i32::try_from(name.1)?, place))
                })
                .collect::<Result<_, std::num::TryFromIntError>>()?;
            cluster.commit_group(&group, &places)?;
        }
        for reverse in [false, true] {
            let mut options = vec!["--group", group.as_str(), "--json"];
            options.extend(reverse.then_some("--reverse"));
            let (code, lines) = translate(worker.flow(), &options)?;
            assert_eq!((code, lines.len()), (0, 6), "{lines:?}");
            for line in &lines {
                assert_eq!(line["translation"], "exact", "{line}");
                let (topic, partition) = (text(line, "topic"), number_of(line, "partition"));
                let (on_source, on_target) = (
                    number_of(line, "source_offset"),
                    number_of(line, "target_offset"),
                );
                let name = (topic, i32::try_from(partition)?);
                for pair in pairs.get(&name).ok_or("an answer nobody asked for")? {
                    // Nothing is read twice and nothing is skipped.
                    assert_eq!(pair.0 >= on_source, pair.1 >= on_target, "{pair:?} {line}");
                }
            }
        }
    }
    // One place, in words.
    let (code, answer) = run(
        worker.flow(),
        &[
            "translate",
            "--topic",
            "plain",
            "--partition",
            "1",
            "--offset",
            "3",
        ],
    )?;
    let expected = pairs
        .get(&("plain".to_owned(), 1))
        .and_then(|pairs| pairs.iter().find(|pair| pair.0 == 3));
    let expected = expected.ok_or("no such record")?.1.to_string();
    assert!(
        code == 0 && answer.contains("exact") && answer.contains(&expected),
        "{answer}"
    );
    Ok(())
}

#[test]
fn a_time_on_the_target_is_the_place_of_the_same_record_on_the_source() -> Outcome {
    let Pair { source, target } = pair()?;
    source.create_topic("dated", 2, &[])?;
    // A transaction of the source that ended in nothing, and commits of the flow's own, keep both sides' offsets apart.
    for round in 0..3 {
        Workload::orders(source.client(), "dated")
            .producer(format!("dated-{round}"))
            .records(200)
            .transactional(20, 3)
            .run()?;
    }
    let worker = Worker::start(
        &beside(source, target, "dated").topics(["dated"]),
        "dated-1",
    )?;
    worker.wait_copied(source, "dated", LIMIT)?;
    stop(&worker)?;
    for partition in 0..2 {
        let pairs = matched(source, target, "dated", partition)?;
        let copies = scan(target, "dated", partition)?;
        for place in [0, copies.len() / 3, copies.len() - 1] {
            let time = copies.get(place).and_then(|copy| copy.1.2);
            let time = time.ok_or("a copy without a time")?;
            // Several records may have it: the first of them.
            let first = copies.iter().find(|copy| copy.1.2 >= Some(time));
            let first = first.ok_or("no such copy")?.0;
            let original = pairs.iter().find(|pair| pair.1 == first);
            let original = original.ok_or("the copy of nothing")?.0;
            let asked = [time.to_string(), partition.to_string()];
            let [time, number] = &asked;
            let options = [
                "--topic",
                "dated",
                "--partition",
                number,
                "--timestamp",
                time,
            ];
            let (code, lines) = translate(
                worker.flow(),
                &[&options[..], &["--reverse", "--json"]].concat(),
            )?;
            let line = lines.first().ok_or("no answer")?;
            assert_eq!((code, lines.len()), (0, 1), "{lines:?}");
            assert_eq!(line["translation"], "exact", "{line}");
            assert_eq!(number_of(line, "target_offset"), first, "{line}");
            // From there on it is the same records: between the two lies nothing that a reader sees.
            let on_source = number_of(line, "source_offset");
            assert!(on_source <= original, "{line}: {original}");
            let skipped = pairs
                .iter()
                .filter(|pair| pair.0 >= on_source && pair.0 < original);
            assert_eq!(skipped.count(), 0, "{line}: {original}");
        }
    }
    // All partitions at once, and a time that has not come: the end of what is there.
    let late = (i64::MAX / 2).to_string();
    let options = [
        "--topic",
        "dated",
        "--timestamp",
        &late,
        "--reverse",
        "--json",
    ];
    let (code, lines) = translate(worker.flow(), &options)?;
    assert_eq!((code, lines.len()), (0, 2), "{lines:?}");
    let ends = source.ends("dated")?;
    for line in &lines {
        let partition = i32::try_from(number_of(line, "partition"))?;
        let end = ends.get(&partition).ok_or("no such partition")?.last_stable;
        assert_eq!(number_of(line, "source_offset"), end, "{line}");
        assert!(
            text(line, "reason").contains("no copy has that timestamp"),
            "{line}"
        );
    }
    Ok(())
}

#[test]
fn without_its_source_a_flow_still_answers() -> Outcome {
    let Pair { source, target } = &Pair::start(|source| source.own_processes(), |target| target)?;
    source.create_topic("orders", 2, &[])?;
    Workload::orders(source.client(), "orders")
        .records(300)
        .run()?;
    source.commit_group("billing", &[("orders", 0, 40), ("orders", 1, 50)])?;
    let worker = Worker::start(
        &beside(source, target, "alone")
            .topics(["orders"])
            // It carries no places over: what the target knows of `billing` is what the test commits there.
            .groups(["elsewhere"]),
        "alone-1",
    )?;
    worker.wait_copied(source, "orders", LIMIT)?;
    stop(&worker)?;
    let pairs = matched(source, target, "orders", 0)?;
    let flow = worker.flow();
    let (code, before) = translate(flow, &["--group", "billing", "--json"])?;
    assert_eq!((code, before.len()), (0, 2), "{before:?}");
    let middle = pairs.get(pairs.len() / 2).copied().ok_or("no copies")?;
    let time = timestamp(target, "orders", 0, middle.1)?;
    for broker in source.brokers() {
        broker.kill()?;
    }

    let offset = middle.0.to_string();
    let asked = [
        "--topic",
        "orders",
        "--partition",
        "0",
        "--offset",
        &offset,
        "--json",
    ];
    let (code, answer) = translate(flow, &asked)?;
    assert_eq!(code, 0, "{answer:?}");
    assert_eq!(
        answer.first().map(|line| number_of(line, "target_offset")),
        Some(middle.1)
    );
    let time = time.to_string();
    let (code, answer) = translate(
        flow,
        &[
            "--topic",
            "orders",
            "--partition",
            "0",
            "--timestamp",
            &time,
            "--json",
        ],
    )?;
    let line = answer.first().ok_or("no answer")?;
    let found = (
        number_of(line, "source_offset"),
        number_of(line, "target_offset"),
    );
    assert_eq!(code, 0, "{line}");
    // Records of one millisecond stand side by side; the first of them is meant.
    assert!(pairs.contains(&found) && found.1 <= middle.1, "{line}");
    assert_eq!(timestamp(target, "orders", 0, found.1)?.to_string(), time);
    let (code, all) = translate(
        flow,
        &[
            "--topic",
            "orders",
            "--timestamp",
            "9999999999999",
            "--json",
        ],
    )?;
    assert_eq!((code, all.len()), (0, 2), "{all:?}");
    assert!(
        all.iter()
            .all(|line| text(line, "reason").contains("no copy has that timestamp")),
        "{all:?}"
    );

    let (code, words) = run(flow, &["translate", "--group", "billing"])?;
    assert!(
        code == 1
            && words.contains("cluster use1")
            && words.contains("knows no place of group billing either"),
        "{words}"
    );
    let places: Vec<(&str, i32, i64)> = before
        .iter()
        .map(|line| {
            Ok((
                "orders",
                i32::try_from(number_of(line, "partition"))?,
                number_of(line, "target_offset"),
            ))
        })
        .collect::<Result<_, std::num::TryFromIntError>>()?;
    target.commit_group("billing", &places)?;
    let (code, after) = translate(flow, &["--group", "billing", "--json"])?;
    assert_eq!((code, after), (0, before), "as the target holds it");
    Ok(())
}

#[test]
fn a_question_without_an_exact_answer_is_told_what_is_known() -> Outcome {
    let Pair { source, target } = pair()?;
    for topic in ["asked", "other"] {
        source.create_topic(topic, 1, &[])?;
        Workload::orders(source.client(), topic)
            .records(200)
            .run()?;
    }
    let worker = Worker::start(&beside(source, target, "odd").topics(["asked"]), "odd-1")?;
    worker.wait_copied(source, "asked", LIMIT)?;
    stop(&worker)?;
    let flow = worker.flow();
    let one = |partition: &str, offset: &str, more: &[&str]| {
        let mut options = vec![
            "--topic",
            "asked",
            "--partition",
            partition,
            "--offset",
            offset,
            "--json",
        ];
        options.extend(more);
        let (code, lines) = translate(flow, &options)?;
        let line = lines.into_iter().next().ok_or("no line")?;
        Ok::<_, Box<dyn Error>>((
            code,
            text(&line, "translation"),
            text(&line, "reason"),
            line,
        ))
    };
    let (code, translation, reason, line) = one("0", "201", &[])?;
    assert_eq!((code, translation.as_str()), (1, "ahead"), "{line}");
    assert!(
        reason.contains("reached source offset 200") && is_null(&line, "target_offset"),
        "{line}"
    );
    assert_eq!(one("0", "200", &[])?.1, "exact");
    let (code, translation, reason, _) = one("7", "0", &[])?;
    assert_eq!((code, translation.as_str()), (1, "no-sync"), "{reason}");
    // A commit marker lies behind the last copy: a group that read to the end may stand behind it.
    target.wait_settled("asked", LIMIT)?;
    let end = target
        .ends("asked")?
        .get(&0)
        .ok_or("no such partition")?
        .high_watermark;
    let (code, translation, _, line) = one("0", &end.to_string(), &["--reverse"])?;
    assert_eq!((code, translation.as_str()), (0, "exact"), "{line}");
    assert_eq!(number_of(&line, "source_offset"), 200);
    assert_eq!(one("0", &(end + 1).to_string(), &["--reverse"])?.1, "ahead");
    Workload::orders(target.client(), "asked")
        .producer("local")
        .records(5)
        .run()?;
    let (code, translation, reason, _) = one("0", &(end + 5).to_string(), &["--reverse"])?;
    assert_eq!((code, translation.as_str()), (1, "ahead"), "{reason}");
    assert!(
        reason.contains("written to the target after them"),
        "{reason}"
    );

    source.commit_group("mixed", &[("asked", 0, 10), ("other", 0, 10)])?;
    let (code, lines) = translate(flow, &["--group", "mixed", "--json"])?;
    let seen: Vec<(String, String)> = lines
        .iter()
        .map(|line| (text(line, "topic"), text(line, "translation")))
        .collect();
    let expected = [("asked", "exact"), ("other", "no-sync")]
        .map(|(topic, known)| (topic.to_owned(), known.to_owned()));
    assert_eq!((code, seen), (1, expected.to_vec()));
    assert!(
        lines
            .get(1)
            .is_some_and(|line| text(line, "reason").contains("does not mirror topic other")),
        "{lines:?}"
    );
    let (code, words) = run(flow, &["translate", "--group", "nobody"])?;
    assert!(
        code == 1 && words.contains("group nobody has no committed offsets on source use1"),
        "{words}"
    );

    // The target's retention took what a group has not read yet.
    let half = number_of(&one("0", "100", &[])?.3, "target_offset");
    target.delete_records_before("asked", 0, half)?;
    assert_eq!(one("0", "100", &[])?.1, "exact");
    let (code, translation, reason, line) = one("0", "99", &[])?;
    assert_eq!(
        (code, translation.as_str()),
        (1, "before-history"),
        "{line}"
    );
    assert!(
        reason.contains("has deleted everything below") && is_null(&line, "target_offset"),
        "{line}"
    );

    for wrong in [
        &["--topic", "asked"][..],
        &["--topic", "asked", "--partition", "0"],
        &["--topic", "asked", "--offset", "1"],
        &["--topic", "asked", "--partition", "0", "--offset", "-1"],
        &["--topic", "asked", "--partition", "-1", "--offset", "1"],
        &[
            "--topic",
            "asked",
            "--partition",
            "0",
            "--offset",
            "9223372036854775808",
        ],
        &["--group", "g", "--topic", "asked"],
        &["--group", "g", "--offset", "1"],
        &[],
    ] {
        let all: Vec<&str> = std::iter::once("translate")
            .chain(wrong.iter().copied())
            .collect();
        let (code, words) = run(flow, &all)?;
        assert_eq!(code, 2, "{wrong:?} {words}");
    }
    Ok(())
}

/// A pair of its own: its cleaner is in a hurry.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        Pair::start(
            |source| source.property("log.cleaner.backoff.ms", "200"),
            |target| target,
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

/// Writes until compaction has left holes.
fn holed(cluster: &Cluster, topic: &str) -> Outcome {
    let mut written = 0;
    wait_for("the source to be compacted", LIMIT, || {
        let write = Workload::orders(cluster.client(), topic)
            .producer(format!("p{written}"))
            .records(400)
            .value_bytes(100)
            .compacted(20, 9)
            .run();
        write.map_err(|error| understudy_tests::chain(&error))?;
        written += 400;
        let left: usize = (0..2)
            .map(|partition| scan(cluster, topic, partition).map(|records| records.len()))
            .sum::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        if left < written {
            Ok(())
        } else {
            Err(format!("{left} of {written} left"))
        }
    })?;
    Ok(())
}

/// Every record that is on both sides, by what it says: its offsets on source and target.
fn matched(
    source: &Cluster,
    target: &Cluster,
    topic: &str,
    partition: i32,
) -> Result<Vec<(i64, i64)>, Box<dyn Error>> {
    // The worker's last commit was answered before its markers were written.
    target.wait_settled(topic, LIMIT)?;
    let copies: BTreeMap<_, _> = scan(target, topic, partition)?
        .into_iter()
        .map(|(offset, content)| (content, offset))
        .collect();
    // Every value is one of a kind; tombstones are not.
    let originals: Vec<_> = scan(source, topic, partition)?
        .into_iter()
        .filter(|(_, content)| content.1.is_some())
        .collect();
    assert!(
        originals.len() > 5,
        "{topic}-{partition}: {}",
        originals.len()
    );
    let pairs: Vec<(i64, i64)> = originals
        .iter()
        .filter_map(|(offset, content)| Some((*offset, *copies.get(content)?)))
        .collect();
    assert_eq!(
        pairs.len(),
        originals.len(),
        "{topic}-{partition} is copied"
    );
    Ok(pairs)
}

/// What a record says: key, value, timestamp.
type Content = (Vec<u8>, Option<Vec<u8>>, Option<i64>);

/// What a `read_committed` reader sees.
fn scan(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
) -> Result<Vec<(i64, Content)>, Box<dyn Error>> {
    let reader: BaseConsumer = cluster
        .client()
        .set("group.id", "lab-scan")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, partition, Offset::Beginning)?;
    reader.assign(&places)?;
    let mut records = Vec::new();
    wait_for(&format!("the end of {topic}-{partition}"), LIMIT, || {
        loop {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let content = (
                        message.key().unwrap_or_default().to_vec(),
                        message.payload().map(<[u8]>::to_vec),
                        message.timestamp().to_millis(),
                    );
                    records.push((message.offset(), content));
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(format!("{} records", records.len())),
            }
        }
    })?;
    Ok(records)
}

fn timestamp(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, Box<dyn Error>> {
    let records = scan(cluster, topic, partition)?;
    let record = records
        .iter()
        .find(|record| record.0 == offset)
        .ok_or("no such record")?;
    Ok(record.1.2.ok_or("no timestamp")?)
}

fn stop(worker: &Worker) -> Outcome {
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    Ok(())
}

/// Runs a tool on a flow; its exit status and what it printed.
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

/// Runs `translate --json`: one object a line.
fn translate(flow: &Path, options: &[&str]) -> Result<(i32, Vec<Value>), Box<dyn Error>> {
    let all: Vec<&str> = std::iter::once("translate")
        .chain(options.iter().copied())
        .collect();
    let (code, printed) = run(flow, &all)?;
    let lines = printed
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{error}: {printed}"))?;
    Ok((code, lines))
}

fn text(line: &Value, field: &str) -> String {
    line.get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn is_null(line: &Value, field: &str) -> bool {
    line.get(field).is_some_and(Value::is_null)
}

fn number_of(line: &Value, field: &str) -> i64 {
    line.get(field).and_then(Value::as_i64).unwrap_or(i64::MIN)
}
