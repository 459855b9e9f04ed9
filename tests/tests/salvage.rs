//! What a cluster that came back holds beyond the cut: surveyed as it is, put aside once, and never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use understudy_tests::{
    Cluster, Ends, FlowFile, Listener, Pair, PlainRecord, Process, Worker, Workload, copy_folder,
    understudy, understudy_binary, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;
/// By partition: source and target offset.
type Cut = BTreeMap<i32, (i64, i64)>;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 3;
/// Where an export is killed is drawn from this.
const SEED: u64 = 0x7a11;

#[test]
fn a_tail_is_surveyed_record_by_record_and_put_aside_once_through_kills() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "tail";
    source.create_topic(topic, PARTITIONS, &[])?;
    let flow = FlowFile::new(source, target)
        .named(topic)
        .topics([topic])
        .groups(["tail-.*"])
        .slots(2);
    let worker = Worker::start(&flow, "tail-1")?;
    // The worker dies under load: what came behind its last transaction lies on the source alone.
    let load = Workload::orders(source.client(), topic)
        .producer("load")
        .value_bytes(200)
        .rate(2_000)
        .records(u64::MAX)
        .start()?;
    wait_for("copies under load", LIMIT, || {
        let ends = target.ends(topic).map_err(|error| error.to_string())?;
        match ends.values().map(|end| end.last_stable).sum::<i64>() {
            copies if copies > 2_000 => Ok(()),
            few => Err(format!("{few} copies")),
        }
    })?;
    let (code, text) = salvage(worker.flow(), &["survey"])?;
    assert!(code == 2 && text.contains("not sealed"), "{code}: {text}");
    worker.kill()?;
    let written = load.written();
    wait_for("more that nobody copies", LIMIT, || match load.written() {
        now if now > written + 1_000 => Ok(()),
        now => Err(format!("{now} written, {written} when the worker died")),
    })?;
    load.stop()?;
    let cut = seal(worker.flow(), 3)?;
    // A partition that the flow never began with: everything in it is tail.
    source.grow_topic(topic, PARTITIONS + 1)?;

    // The old application is not fenced and goes on: in transactions, some of which it aborts; with keys that the new
    // one writes as well; without keys; with times of long ago.
    let late = Workload::orders(source.client(), topic)
        .producer("late")
        .value_bytes(300)
        .compacted(300, 7)
        .transactional(40, 3)
        .records(2_400)
        .run()?;
    assert!(late.aborted_total() > 0);
    source.write_record(topic, 0, None, Some(b"without a key"))?;
    source.write_record(topic, 1, Some(b"nothing"), None)?;
    source.write_at(topic, 2, &[("of long ago".to_owned(), 1_000)])?;
    Workload::orders(target.client(), topic)
        .producer("active")
        .value_bytes(100)
        .compacted(200, 0)
        .records(400)
        .run()?;
    let (partition, (begins, _)) = cut.first_key_value().ok_or("no cut")?;
    source.commit_group("tail-reader", &[(topic, *partition, begins + 5)])?;
    source.commit_group("tail-waiter", &[(topic, *partition, *begins)])?;

    let truth = Truth::read(source, target, topic, &cut)?;
    let before = (source.ends(topic)?, target.ends(topic)?);
    let (code, survey) = json(worker.flow(), &["survey"])?;
    assert_eq!(code, 1, "{survey}");
    truth.holds_of(&survey)?;
    assert_eq!(at(&survey, "/moved"), false, "{survey}");
    let groups = at(&survey, "/groups/beyond");
    assert_eq!(
        (at(groups, "/0/group"), groups.as_array().map(Vec::len)),
        (&"tail-reader".into(), Some(1)),
        "{survey}"
    );
    assert_eq!(at(groups, "/0/source_offset"), begins + 5, "{survey}");
    let (_, text) = salvage(worker.flow(), &["survey"])?;
    let counted = format!("{} beyond the cut", plain(truth.records()));
    assert!(text.replace(',', "").contains(&counted), "{text}");
    assert!(text.contains("tail-reader") && !text.contains("tail-waiter"));

    // Killed at drawn places, it goes on where it was.
    let tail = format!("{topic}.tail.e3");
    let slow = flow.clone().mirror("max_bytes_per_second", 100_000_i64);
    let nowhere = ([127, 0, 0, 1], 0).into();
    let slow = slow.write("tail-slow", nowhere)?;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut from = 0;
    for round in 0..2 {
        let until = random.random_range(from + 400..truth.records() * (round + 1) / 4);
        kill_export(target, &slow, &tail, until)?;
        from = until;
    }
    // One that another run takes over from writes nothing more.
    let crawling = flow.clone().mirror("max_bytes_per_second", 5_000_i64);
    let crawling = crawling.write("tail-crawling", nowhere)?;
    let mut first = start_export(target, &crawling)?;
    let stands = sum(&target.ends(&tail)?);
    wait_for_records(target, &mut first, &tail, stands + 100)?;
    let folder = target.dir().join("tails");
    let to_file = ["export", "--to-file", &folder.display().to_string()];
    let (code, exported) = json(worker.flow(), &to_file)?;
    assert_eq!(
        (code, at(&exported, "/holds")),
        (0, &true.into()),
        "{exported}"
    );
    assert_eq!(at(&exported, "/records"), truth.records(), "{exported}");
    let now = at(&exported, "/records_now").as_i64().unwrap_or(-1);
    assert!(now > 0 && now < truth.records(), "it began again: {now}");
    assert_eq!(first.wait(LIMIT)?.code(), Some(2));
    let log = fs::read_to_string(first.log())?;
    assert!(log.contains("took over"), "{log}");
    truth.is_put_aside(target, topic, &tail)?;
    truth.is_in_files(&folder, &tail)?;

    // A run that finds nothing to be done does nothing.
    let made = || -> Result<_, Box<dyn Error>> {
        let progress = target.ends("understudy.tail.salvage")?;
        Ok((target.ends(&tail)?, progress))
    };
    let after = made()?;
    let (code, again) = json(worker.flow(), &["export"])?;
    assert_eq!(
        (code, at(&again, "/records_now")),
        (0, &0.into()),
        "{again}"
    );
    assert_eq!(made()?, after, "a run without anything to do wrote");
    assert_eq!(
        (source.ends(topic)?, target.ends(topic)?),
        before,
        "the topics themselves were touched"
    );
    let (code, survey) = json(worker.flow(), &["survey"])?;
    assert_eq!(code, 1, "it is still there: {survey}");
    let aside = |line: &Value| at(line, "/put_aside/records") == at(line, "/records");
    assert!(lines(&survey).iter().all(aside), "{survey}");

    // Somebody still writes: that is told, and the next export takes the rest.
    let load = Workload::orders(source.client(), topic)
        .producer("unfenced")
        .value_bytes(100)
        .rate(1_000)
        .records(u64::MAX)
        .start()?;
    wait_for("its records", LIMIT, || {
        let ends = source.ends(topic).map_err(|error| error.to_string())?;
        match sum(&ends) - sum(&before.0) {
            0 => Err(format!("{} handed over", load.written())),
            _ => Ok(()),
        }
    })?;
    let (code, survey) = json(worker.flow(), &["survey"])?;
    assert_eq!((code, at(&survey, "/moved")), (1, &true.into()), "{survey}");
    load.stop()?;
    let truth = Truth::read(source, target, topic, &cut)?;
    let (code, exported) = json(worker.flow(), &["export", "--topic", topic])?;
    assert_eq!(
        (code, at(&exported, "/records")),
        (0, &truth.records().into()),
        "{exported}"
    );
    truth.is_put_aside(target, topic, &tail)?;

    // What somebody else writes there is found.
    target.write_record(&tail, 0, Some(b"foreign"), Some(b"record"))?;
    let (code, spoilt) = json(worker.flow(), &["export"])?;
    assert_eq!(
        (code, at(&spoilt, "/holds")),
        (1, &false.into()),
        "{spoilt}"
    );
    let (_, text) = salvage(worker.flow(), &["export"])?;
    assert!(text.contains("somebody else wrote it"), "{text}");
    let (code, text) = salvage(worker.flow(), &["export", "--topic", "nobody's"])?;
    assert!(
        code == 2 && text.contains("mirrors no topic"),
        "{code}: {text}"
    );
    Ok(())
}

#[test]
fn what_the_returned_cluster_lost_is_named_and_the_rest_is_put_aside() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topics = ["lost-gone", "lost-made-again", "lost-deleted", "lost-not"];
    for topic in topics {
        source.create_topic(topic, 1, &[])?;
        write(source, topic, "before", 100)?;
    }
    let flow = FlowFile::new(source, target)
        .named("lost")
        .topics(["lost-.*"])
        .slots(2);
    let worker = Worker::start(&flow, "lost-1")?;
    for topic in topics {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    worker.kill()?;
    seal(worker.flow(), 9)?;
    let (code, nothing) = json(worker.flow(), &["survey"])?;
    assert_eq!(
        (code, at(&nothing, "/holds")),
        (0, &true.into()),
        "{nothing}"
    );
    let (code, nothing) = json(worker.flow(), &["export"])?;
    assert_eq!(
        (code, at(&nothing, "/records")),
        (0, &0.into()),
        "{nothing}"
    );
    assert_eq!(target.partitions("understudy.lost.salvage")?, None);

    write(source, "lost-deleted", "after", 60)?;
    source.delete_records_before("lost-deleted", 0, 120)?;
    source.delete_topic("lost-gone")?;
    source.delete_topic("lost-made-again")?;
    source.create_topic("lost-made-again", 1, &[])?;
    write(source, "lost-made-again", "again", 30)?;
    let (code, survey) = json(worker.flow(), &["survey"])?;
    assert_eq!(code, 1, "{survey}");
    let of = |value: &Value, topic: &str| {
        let lines = lines(value);
        lines.into_iter().find(|line| at(line, "/topic") == topic)
    };
    for (topic, kind, records) in [
        ("lost-gone", Some("topic-gone"), 0),
        ("lost-made-again", Some("recreated"), 30),
        ("lost-deleted", Some("deleted"), 40),
        ("lost-not", None, 0),
    ] {
        let line = &of(&survey, topic).ok_or("no such line")?;
        assert_eq!(at(line, "/loss/kind").as_str(), kind, "{line}");
        assert_eq!(at(line, "/records"), records, "{line}");
    }
    let (code, exported) = json(worker.flow(), &["export"])?;
    assert_eq!(code, 1, "twenty records are missing: {exported}");
    let line = &of(&exported, "lost-deleted").ok_or("no such line")?;
    let missing = at(line, "/missing/0");
    assert_eq!(
        (at(missing, "/start"), at(missing, "/end")),
        (&100.into(), &120.into())
    );
    for (topic, records) in [("lost-deleted", 40), ("lost-made-again", 30)] {
        let aside = format!("{topic}.tail.e9");
        target.wait_settled(&aside, LIMIT)?;
        let aside = target.read_all(&aside)?;
        assert_eq!(aside.len(), records, "{topic}");
    }
    let (code, again) = json(worker.flow(), &["export", "--topic", "lost-made-again"])?;
    assert_eq!(
        (code, at(&again, "/records_now")),
        (0, &0.into()),
        "{again}"
    );
    // Made again once more: two topics are not mixed.
    source.delete_topic("lost-made-again")?;
    source.create_topic("lost-made-again", 1, &[])?;
    write(source, "lost-made-again", "once-more", 30)?;
    let (code, other) = json(worker.flow(), &["export", "--topic", "lost-made-again"])?;
    assert_eq!((code, at(&other, "/records")), (1, &30.into()), "{other}");

    // Another cluster stands at the source's address.
    let there = target.client_properties(Listener::Plaintext);
    let elsewhere = FlowFile::with_clients(
        (source.alias(), there.clone()),
        (target.alias(), there),
        target.dir(),
    )
    .named("lost")
    .topics(["lost-.*"])
    .slots(2)
    .write("lost-elsewhere", ([127, 0, 0, 1], 0).into())?;
    let (code, other) = json(&elsewhere, &["survey"])?;
    assert_eq!(code, 1, "{other}");
    assert!(at(&other, "/other_cluster/found").is_string(), "{other}");
    let (code, text) = salvage(&elsewhere, &["export"])?;
    assert!(
        code == 2 && text.contains("nothing of it is"),
        "{code}: {text}"
    );
    Ok(())
}

#[test]
fn copies_of_a_flow_back_are_no_tail() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "returned";
    source.create_topic(topic, 1, &[])?;
    write(source, topic, "before", 100)?;
    let flow = |from, to, name: &str| FlowFile::new(from, to).named(name).topics([topic]).slots(1);
    let worker = Worker::start(&flow(source, target, topic), "returned-1")?;
    worker.wait_copied(source, topic, LIMIT)?;
    worker.kill()?;
    // Somebody turns the flow round by hand; a new one does not begin by itself behind a seal.
    let file = worker.flow().display().to_string();
    let paused = understudy(["pause", &file], LIMIT)?;
    assert_eq!(paused.status.code(), Some(0));
    let back = Worker::start(&flow(target, source, "returned-back"), "returned-2")?;
    back.wait_copied(target, topic, LIMIT)?;
    seal(worker.flow(), 4)?;
    for action in ["survey", "export"] {
        let (code, text) = salvage(worker.flow(), &[action])?;
        let told = ["flow returned-back copies returned onto use1", "its copies"];
        assert!(
            code == 2 && told.iter().all(|part| text.contains(part)),
            "{code}: {text}"
        );
    }
    assert_eq!(target.partitions("returned.tail.e4")?, None);
    Ok(())
}

#[test]
fn a_source_restored_from_an_older_disk_is_shorter_and_then_another_log() -> Outcome {
    let Pair { source, target } = &Pair::start(|source| source, |target| target)?;
    let topic = "restored";
    source.create_topic(topic, 1, &[])?;
    write(source, topic, "before", 100)?;
    let data = source.broker(1)?.dir().join("data");
    let (log, snapshot) = (data.join("restored-0"), source.dir().join("restored"));
    source.stop_cleanly(LIMIT)?;
    copy_folder(&log, &snapshot)?;
    source.start_again()?;
    write(source, topic, "lost", 50)?;
    let flow = FlowFile::new(source, target)
        .named(topic)
        .topics([topic])
        .slots(1);
    let worker = Worker::start(&flow, "restored-1")?;
    worker.wait_copied(source, topic, LIMIT)?;
    worker.kill()?;
    seal(worker.flow(), 1)?;
    source.stop_cleanly(LIMIT)?;
    fs::remove_dir_all(&log)?;
    copy_folder(&snapshot, &log)?;
    source.start_again()?;
    let (code, survey) = json(worker.flow(), &["survey"])?;
    let line = at(&survey, "/partitions/0");
    assert_eq!(
        (code, at(line, "/loss/kind")),
        (1, &"shortened".into()),
        "{line}"
    );
    assert_eq!(
        (at(line, "/loss/end"), at(line, "/records")),
        (&100.into(), &0.into())
    );

    write(source, topic, "after", 300)?;
    let (code, survey) = json(worker.flow(), &["survey"])?;
    let line = at(&survey, "/partitions/0");
    assert_eq!(
        (code, at(line, "/loss/kind")),
        (1, &"forked".into()),
        "{line}"
    );
    assert_eq!(
        (at(line, "/loss/at"), at(line, "/records")),
        (&100.into(), &300.into())
    );
    let (code, exported) = json(worker.flow(), &["export"])?;
    assert_eq!(
        (code, at(&exported, "/records")),
        (0, &300.into()),
        "{exported}"
    );
    target.wait_settled("restored.tail.e1", LIMIT)?;
    assert_eq!(target.read_all("restored.tail.e1")?.len(), 300);
    Ok(())
}

/// What really lies beyond the cut, read record by record.
struct Truth {
    /// By partition, in order.
    tail: BTreeMap<i32, Vec<PlainRecord>>,
    /// Keys that were written on the target since the cut.
    active: BTreeSet<Vec<u8>>,
}

impl Truth {
    fn read(
        source: &Cluster,
        target: &Cluster,
        topic: &str,
        cut: &Cut,
    ) -> Result<Self, Box<dyn Error>> {
        let mut tail: BTreeMap<i32, Vec<PlainRecord>> = BTreeMap::new();
        for record in source.read_all(topic)? {
            let copied = cut.get(&record.partition);
            if copied.is_none_or(|(here, _)| record.offset >= *here) {
                tail.entry(record.partition).or_default().push(record);
            }
        }
        let since = target.read_all(topic)?.into_iter().filter(|record| {
            let cut = cut.get(&record.partition);
            cut.is_some_and(|(_, there)| record.offset >= *there)
        });
        let active = since.map(|record| record.key).collect();
        Ok(Self { tail, active })
    }

    fn records(&self) -> i64 {
        self.tail.values().map(|records| records.len() as i64).sum()
    }

    /// Whether a survey says the same.
    fn holds_of(&self, survey: &Value) -> Outcome {
        assert_eq!(at(survey, "/records"), self.records(), "{survey}");
        let lines = lines(survey);
        assert_eq!(lines.len(), self.tail.len(), "{survey}");
        for line in &lines {
            let partition = i32::try_from(at(line, "/partition").as_i64().unwrap_or(-1))?;
            let records = self.tail.get(&partition).ok_or("no such partition")?;
            let (first, last) = records.first().zip(records.last()).ok_or("no records")?;
            assert_eq!(at(line, "/records"), records.len(), "{line}");
            assert_eq!(at(line, "/first_offset"), first.offset, "{line}");
            assert_eq!(at(line, "/last_offset"), last.offset, "{line}");
            let times = || records.iter().filter_map(|record| record.timestamp_ms);
            assert_eq!(
                at(line, "/first_timestamp_ms").as_i64(),
                times().min(),
                "{line}"
            );
            assert_eq!(
                at(line, "/last_timestamp_ms").as_i64(),
                times().max(),
                "{line}"
            );
            let keyed = records.iter().filter(|record| !record.key.is_empty());
            let keys: BTreeSet<_> = keyed.clone().map(|record| &record.key).collect();
            let both = keys
                .iter()
                .filter(|key| self.active.contains(**key))
                .count();
            let copied = at(line, "/cut").is_i64();
            assert_eq!(copied, partition < PARTITIONS, "{line}");
            assert_eq!(copied, both > 0, "the test shows nothing");
            assert_eq!(
                at(line, "/without_key"),
                records.len() - keyed.count(),
                "{line}"
            );
            let told = at(line, "/keys");
            assert_eq!(
                (at(told, "/distinct"), at(told, "/on_both")),
                (&keys.len().into(), &both.into()),
                "{line}"
            );
            assert_eq!(at(told, "/exact"), true, "{line}");
        }
        Ok(())
    }

    /// Whether the topic of the tail holds exactly that, each record once, in order, with where it came from.
    fn is_put_aside(&self, target: &Cluster, topic: &str, tail: &str) -> Outcome {
        let mut aside: BTreeMap<i32, Vec<PlainRecord>> = BTreeMap::new();
        for record in target.read_all(tail)? {
            aside.entry(record.partition).or_default().push(record);
        }
        for (partition, records) in &self.tail {
            let copies = aside.remove(partition).unwrap_or_default();
            assert_eq!(copies.len(), records.len(), "partition {partition}");
            for (record, copy) in records.iter().zip(copies) {
                let mut expected = record.clone();
                expected.offset = copy.offset;
                let origin = [
                    ("topic", topic.to_owned()),
                    ("partition", partition.to_string()),
                    ("offset", record.offset.to_string()),
                    ("timestamp", record.timestamp_ms.unwrap_or(-1).to_string()),
                ];
                expected.headers.extend(origin.map(|(name, value)| {
                    (
                        format!("understudy.source.{name}"),
                        Some(value.into_bytes()),
                    )
                }));
                assert_eq!(copy, expected);
            }
        }
        assert!(aside.values().all(Vec::is_empty), "{:?}", aside.keys());
        Ok(())
    }

    /// Whether files hold exactly that, a line a record.
    fn is_in_files(&self, folder: &Path, tail: &str) -> Outcome {
        for (partition, records) in &self.tail {
            let text = fs::read_to_string(folder.join(format!("{tail}-{partition}.jsonl")))?;
            assert_eq!(text.lines().count(), records.len());
            for (record, line) in records.iter().zip(text.lines()) {
                let line: &Value = &serde_json::from_str(line)?;
                let bytes = |field: &Value| field.as_str().map(|text| STANDARD.decode(text));
                assert_eq!(at(line, "/offset"), record.offset, "{line}");
                assert_eq!(
                    at(line, "/timestamp_ms").as_i64(),
                    record.timestamp_ms,
                    "{line}"
                );
                assert_eq!(
                    bytes(at(line, "/value")).transpose()?,
                    record.value,
                    "{line}"
                );
                let key = bytes(at(line, "/key")).transpose()?.unwrap_or_default();
                assert_eq!(key, record.key, "{line}");
                let headers = at(line, "/headers").as_array().map(Vec::len);
                assert_eq!(headers, Some(record.headers.len()), "{line}");
            }
        }
        let unfinished = fs::read_dir(folder)?.flatten().filter(|entry| {
            let name = entry.file_name();
            Path::new(&name).extension() == Some(OsStr::new("unfinished"))
        });
        assert_eq!(unfinished.count(), 0);
        Ok(())
    }
}

/// Lets an export run until so many records are in the topic of the tail, committed or not, and kills it.
fn kill_export(target: &Cluster, flow: &Path, tail: &str, until: i64) -> Outcome {
    let mut export = start_export(target, flow)?;
    wait_for_records(target, &mut export, tail, until)?;
    export.expect_running()?;
    Ok(export.kill()?)
}

fn start_export(target: &Cluster, flow: &Path) -> Result<Process, Box<dyn Error>> {
    let log = target.dir().join("export.log");
    let arguments = ["salvage".as_ref(), flow.as_os_str(), "export".as_ref()];
    Ok(Process::start(
        "export",
        understudy_binary()?,
        arguments,
        &[],
        &log,
    )?)
}

fn wait_for_records(target: &Cluster, export: &mut Process, tail: &str, until: i64) -> Outcome {
    Ok(wait_for(
        &format!("{until} records in {tail}"),
        LIMIT,
        || {
            export.expect_running().map_err(|error| error.to_string())?;
            let ends = target.ends(tail).map_err(|error| error.to_string())?;
            match sum(&ends) {
                enough if enough >= until => Ok(()),
                few => Err(format!("{few}")),
            }
        },
    )?)
}

fn sum(ends: &BTreeMap<i32, Ends>) -> i64 {
    ends.values().map(|end| end.high_watermark).sum()
}

fn plain(records: i64) -> String {
    format!("{records} records")
}

fn write(cluster: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
    Workload::orders(cluster.client(), topic)
        .producer(producer)
        .value_bytes(100)
        .records(records)
        .run()?;
    Ok(())
}

fn seal(flow: &Path, epoch: u64) -> Result<Cut, Box<dyn Error>> {
    let epoch = epoch.to_string();
    let flow = flow.display().to_string();
    let arguments = ["seal", &flow, "--epoch", &epoch, "--json"];
    let output = understudy(arguments, LIMIT)?;
    let sealed: Value = serde_json::from_slice(&output.stdout)?;
    let number = |line: &Value, path: &str| at(line, path).as_i64().unwrap_or(-1);
    let cut = lines(&sealed).into_iter().map(|line| {
        let partition = i32::try_from(number(&line, "/partition")).unwrap_or(-1);
        let place = (
            number(&line, "/source_offset"),
            number(&line, "/target_offset"),
        );
        (partition, place)
    });
    Ok(cut.collect())
}

/// What `understudy salvage` says to people, or why it does not.
fn salvage(flow: &Path, arguments: &[&str]) -> Result<(i32, String), Box<dyn Error>> {
    let flow = flow.display().to_string();
    let all = [&["salvage", flow.as_str()], arguments].concat();
    let output = understudy(&all, LIMIT)?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((output.status.code().unwrap_or(-1), text))
}

/// What it says to machines.
fn json(flow: &Path, arguments: &[&str]) -> Result<(i32, Value), Box<dyn Error>> {
    let flow = flow.display().to_string();
    let all = [&["salvage", flow.as_str()], arguments, &["--json"]].concat();
    let output = understudy(&all, LIMIT)?;
    let value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code().unwrap_or(-1), value))
}

fn lines(value: &Value) -> Vec<Value> {
    let lines = at(value, "/partitions").as_array();
    lines.cloned().unwrap_or_default()
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
