//! Recoveries from the command line, on real brokers: a flow that is sealed by hand, a failover whose source is dead, a
//! drill that changes nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use understudy_tests::{
    Cluster, Dark, Deaf, Ends, FlowFile, Judge, Listener, LoggedProducer, Pair, Worker, Workload,
    local_pair, understudy, understudy_in, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const SLOTS: u32 = 2;

#[test]
fn a_seal_ends_a_flow_whose_workers_run_wait_or_are_gone_and_always_at_the_same_cut() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "by-hand";
    source.create_topic(topic, 3, &[])?;
    let flow = FlowFile::new(source, target)
        .named(topic)
        .topics([topic])
        .slots(SLOTS);
    let worker = Worker::start(&flow, "by-hand-1")?;
    let write = |producer: &str| {
        Workload::orders(source.client(), topic)
            .producer(producer)
            .value_bytes(100)
            .records(600)
            .run()
    };
    write("before")?;
    worker.wait_copied(source, topic, LIMIT)?;
    let copied = committed(&target.ends(topic)?);

    // It runs, and has something to do; then it sleeps through the next seal.
    let load = Workload::orders(source.client(), topic)
        .producer("during")
        .value_bytes(100)
        .rate(500)
        .records(u64::MAX)
        .start()?;
    let (code, first) = seal(worker.flow(), 3)?;
    assert_eq!((code, at(&first, "outcome")), (0, "sealed"), "{first}");
    assert!(cut(&first)?.values().map(|(_, there)| there).sum::<i64>() >= copied);
    worker.pause()?;
    load.stop()?;
    write("after")?;
    let (code, asleep) = seal(worker.flow(), 3)?;
    assert_eq!((code, cut(&asleep)?), (0, cut(&first)?), "{asleep}");
    worker.resume()?;
    worker.wait_reason(&["sealed", "epoch 3"], LIMIT)?;
    worker.kill()?;
    let (code, gone) = seal(worker.flow(), 4)?;
    assert_eq!((code, cut(&gone)?), (0, cut(&first)?), "{gone}");
    holds_exactly(target, topic, &cut(&first)?)?;

    let (code, older) = seal(worker.flow(), 2)?;
    assert_eq!((code, at(&older, "outcome")), (1, "newer"), "{older}");
    let (code, refused) = run(&["resume"], worker.flow(), &[])?;
    assert_eq!(code, 1, "{refused}");
    assert!(refused.contains("--epoch 4"), "{refused}");
    worker.restart()?;
    worker.wait_reason(&["sealed since recovery epoch 4"], LIMIT)?;
    let (code, resumed) = run(&["resume"], worker.flow(), &["--epoch", "4"])?;
    assert_eq!(code, 0, "{resumed}");
    let verdict = Judge::new(source, target, topic).wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", worker.log());
    Ok(())
}

#[test]
fn a_failover_without_its_source_loses_what_it_says_and_places_groups_exactly() -> Outcome {
    // Nobody writes to the fifth.
    let scene = Scene::start("orders", 5)?;
    let Scene { pair, worker, .. } = &scene;
    let (source, target) = (&pair.source, &pair.target);
    let load = LoggedProducer::start(source.client(), "orders", 4)?;
    wait_for("a thousand records", LIMIT, || match load.acknowledged() {
        some if some > 1_000 => Ok(()),
        few => Err(format!("{few}")),
    })?;
    let places: Vec<_> = (0..4).map(|partition| ("orders", partition, 40)).collect();
    source.commit_group("billing", &places)?;
    wait_for("the group on the target", LIMIT, || {
        match target.group_places("billing", "orders") {
            Ok(found) if found.len() == 4 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    wait_for(
        "a look at the partition that nobody writes to",
        LIMIT,
        || {
            let (_, status) = run(&["status"], worker.flow(), &["--json"]).map_err(stringify)?;
            let status: Value = serde_json::from_str(&status).map_err(stringify)?;
            let line = status.pointer("/partitions/4").ok_or("no line")?;
            let seen = line.get("stored_end_seen_at_ms").and_then(Value::as_i64);
            seen.map(drop).ok_or_else(|| line.to_string())
        },
    )?;
    let drill = scene.recover("drill", &[])?;
    assert_eq!(
        (drill.code, at(&drill.json, "ended")),
        (0, "DrillDone"),
        "{drill:?}"
    );
    assert!(!scene.ledger_exists(), "a drill has written the ledger");
    worker.wait_ready(LIMIT)?;

    // The worker falls asleep at its work, with a transaction open, and its Region is gone.
    worker.pause()?;
    for broker in source.brokers() {
        broker.kill()?;
    }
    let failover = scene.recover_from_dark()?;
    assert_eq!(
        (failover.code, at(&failover.json, "ended")),
        (0, "TargetActive"),
        "{failover:?}"
    );
    let ends = target.ends("orders")?;
    worker.resume()?;
    worker.wait_reason(&["sealed"], LIMIT)?;
    assert_eq!(target.ends("orders")?, ends, "a worker has written");

    let evidence = scene.evidence(&failover.json)?;
    let cut = cut(evidence.get("cut").ok_or("no cut")?)?;
    holds_exactly(target, "orders", &cut)?;
    // What the producer heard acknowledged and is not there, record by record.
    let written = load.stop();
    let beyond = |(partition, offset): &&(i32, i64)| {
        cut.get(partition).is_none_or(|(here, _)| offset >= here)
    };
    let lost = written.acknowledged.keys().filter(beyond).count() as u64;
    let loss = evidence.get("loss").ok_or("no loss")?;
    let number = |field: &str| loss.get(field).and_then(Value::as_u64);
    let (least, most) = (
        number("records_at_least").ok_or("no bound")?,
        number("records_at_most"),
    );
    // A record may be written and its acknowledgement lost with the broker.
    assert!(
        least <= lost + written.unheard,
        "at least {least}, and {lost} + {} are lost",
        written.unheard
    );
    let most = most.ok_or_else(|| format!("nothing bounds the loss: {evidence}"))?;
    assert!(lost <= most, "at most {most}, and {lost} are lost");

    // Every place is the copy of the record that stood there: offsets below the cut are one to one but for markers.
    let places = evidence
        .pointer("/places/places")
        .and_then(Value::as_array)
        .ok_or("no places")?;
    let billing: Vec<&Value> = places
        .iter()
        .filter(|place| at(place, "group") == "billing")
        .collect();
    assert_eq!(billing.len(), 4, "{places:?}");
    for place in billing {
        // Exact when it was looked at; the source cannot say whether the group went on since.
        assert_eq!(at(place, "state"), "last-known", "{place}");
    }
    let read = target.read_as_group("billing", "orders", 1)?;
    let number = read
        .first()
        .and_then(|key| load_number(key))
        .ok_or("no number")?;
    assert_eq!(number, 40, "the next record that the group reads");

    let (code, text) = run(&["evidence"], &scene.pair_file, &[])?;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("TargetActive") && text.contains("page.html"),
        "{text}"
    );
    Ok(())
}

#[test]
fn the_lost_side_is_called_only_where_nothing_waits_for_it() -> Outcome {
    let scene = Scene::start("sales", 2)?;
    let Pair { source, target } = &scene.pair;
    let load = Workload::orders(source.client(), "sales").records(300);
    load.run()?;
    scene.worker.wait_copied(source, "sales", LIMIT)?;
    source.commit_group("billing", &[("sales", 0, 7), ("sales", 1, 9)])?;
    wait_for("the group on the target", LIMIT, || {
        match target.group_places("billing", "sales") {
            Ok(found) if found.len() == 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let lost = Dark::start()?;
    let nowhere = ([127, 0, 0, 1], 0).into();
    let brokers = lost.address().to_string();
    let flow = |from, to| {
        FlowFile::new(from, to)
            .topics(["sales"])
            .slots(SLOTS)
            .in_folder(target.dir())
    };
    let reached_at = |brokers: &str| -> Result<String, Box<dyn Error>> {
        flow(source, target)
            .source("bootstrap.servers", brokers)
            .write("dark-forward", nowhere)?;
        flow(target, source)
            .target("bootstrap.servers", brokers)
            .write("dark-reverse", nowhere)?;
        let file = scene.dark_file()?;
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, text.replace(&source.bootstrap(), brokers))?;
        Ok(file.display().to_string())
    };
    // First where even packets are lost: a drill looks as the real one does.
    let deaf = Deaf::start()?;
    let file = reached_at(&deaf.address().to_string())?;
    let arguments = ["drill", &file, "--local", "--json"];
    let drill = answered(&understudy(arguments, LIMIT)?)?;
    assert_eq!(at(&drill.json, "ended"), "DrillDone", "{drill:?}");
    within_bounds(&scene.evidence(&drill.json)?)?;

    let file = reached_at(&brokers)?;
    let arguments = [
        "failover", &file, "--local", "--json", "--yes", "--reason", "lost",
    ];
    let failover = answered(&understudy(arguments, LIMIT)?)?;
    let ended = (failover.code, at(&failover.json, "ended"));
    assert_eq!(ended, (0, "TargetActive"), "{failover:?}");

    let evidence = scene.evidence(&failover.json)?;
    within_bounds(&evidence)?;
    let steps = evidence.get("steps").and_then(Value::as_array);
    let steps = steps.ok_or("no steps")?;
    let calls = lost.calls();
    assert!(!calls.is_empty(), "nobody tried to reach it");
    let number = |step: &Value, field: &str| step.get(field).and_then(Value::as_i64);
    let during = |call: i64| -> Vec<&str> {
        steps
            .iter()
            .filter(|step| number(step, "began_at_ms").is_some_and(|at| at <= call))
            .filter(|step| number(step, "ended_at_ms").is_some_and(|at| call <= at))
            .map(|step| at(step, "step"))
            .collect()
    };
    let calls: Vec<(i64, Vec<&str>)> = calls.iter().map(|call| (*call, during(*call))).collect();
    // Whoever starts it looks first; then each of these asks within a limit, and goes on without an answer.
    let started = steps.first().and_then(|step| number(step, "began_at_ms"));
    let asks = |step: &&str| {
        matches!(
            *step,
            "assess" | "seal-flow" | "commit-group-offsets" | "fence-source"
        )
    };
    let others = calls.iter().filter(|(call, steps)| {
        !steps.iter().any(asks) && started.is_none_or(|started| *call >= started)
    });
    assert_eq!(others.count(), 0, "{calls:?} of {steps:#?}");
    Ok(())
}

/// Whether each step that asks the lost side went on at its limit, two or three seconds. Kafka's own limits are a minute
/// and more; between the two lies what a busy machine may add.
fn within_bounds(evidence: &Value) -> Outcome {
    let steps = evidence.get("steps").and_then(Value::as_array);
    let mut asked = Vec::new();
    for step in steps.ok_or("no steps")? {
        let number = |field: &str| step.get(field).and_then(Value::as_i64).unwrap_or_default();
        let took = number("ended_at_ms") - number("began_at_ms");
        let name = at(step, "step");
        if matches!(
            name,
            "assess" | "seal-flow" | "commit-group-offsets" | "fence-source"
        ) {
            assert!(took < 15_000, "{name} took {took} ms");
            asked.push((name.to_owned(), took));
        }
    }
    println!("asked the lost side: {asked:?} ms");
    assert!(asked.len() >= 3, "{asked:?}");
    Ok(())
}

/// Whether what committed readers see on the target is what the cut says, no more and no less: as many copies as records
/// lie before the cut on the source, which writes without transactions, and each before the cut on the target.
fn holds_exactly(target: &Cluster, topic: &str, cut: &BTreeMap<i32, (i64, i64)>) -> Outcome {
    let ends = target.ends(topic)?;
    let mut config = target.client();
    config
        .set("group.id", "counts")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    for (partition, (here, there)) in cut {
        let consumer: BaseConsumer = config.create()?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, *partition, Offset::Beginning)?;
        consumer.assign(&from)?;
        let mut copies: i64 = 0;
        loop {
            match consumer.poll(LIMIT) {
                Some(Ok(copy)) => {
                    assert!(
                        copy.offset() < *there,
                        "a copy at {} behind the cut at {there}",
                        copy.offset()
                    );
                    copies += 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                other => return Err(format!("{other:?}").into()),
            }
        }
        assert_eq!(copies, *here, "partition {partition}");
        let end = ends.get(partition).ok_or("no such partition")?;
        assert!(
            end.is_settled(),
            "a transaction is open in {partition}: {end:?}"
        );
    }
    Ok(())
}

/// Two clusters of its own, a flow each way, a worker, and a pair file.
struct Scene {
    pair: Pair,
    worker: Worker,
    pair_file: PathBuf,
}

/// What `understudy … --json` answered.
#[derive(Debug)]
struct Answered {
    code: i32,
    json: Value,
    #[expect(dead_code, reason = "shown when a test fails")]
    told: String,
}

impl Scene {
    fn start(topic: &str, partitions: i32) -> Result<Self, Box<dyn Error>> {
        let pair = Pair::start(|source| source.own_processes(), |target| target)?;
        let (source, target) = (&pair.source, &pair.target);
        source.create_topic(topic, partitions, &[])?;
        let forward = FlowFile::new(source, target).topics([topic]).slots(SLOTS);
        let reverse = FlowFile::new(target, source)
            .topics([topic])
            .slots(SLOTS)
            .in_folder(target.dir());
        let worker = Worker::start(&forward, "forward")?;
        worker.wait_ready(LIMIT)?;
        reverse.write("reverse", ([127, 0, 0, 1], 0).into())?;
        let pair_file = target.dir().join("pair.toml");
        let application = format!(
            "[[applications]]\nname = \"billing\"\nrole = \"consumer\"\ngroups = []\n\
             adapters = [{{ kind = \"file\", path = \"{}\" }}]\n",
            target.dir().join("pointer.json").display()
        );
        std::fs::write(&pair_file, local_pair(source, target) + &application)?;
        Ok(Self {
            pair,
            worker,
            pair_file,
        })
    }

    fn recover(&self, command: &str, more: &[&str]) -> Result<Answered, Box<dyn Error>> {
        let file = self.pair_file.display().to_string();
        let arguments = [&[command, file.as_str(), "--local", "--json"], more].concat();
        answered(&understudy(&arguments, LIMIT)?)
    }

    /// A failover by a pair whose login to the source lies in a Secrets Manager that takes connections and never answers.
    fn recover_from_dark(&self) -> Result<Answered, Box<dyn Error>> {
        let Pair { source, target } = &self.pair;
        let dark = Dark::start()?;
        let secret = "${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:AmazonMSK_lost-AbCdEf:password}";
        let there = (source.alias(), source.client_properties(Listener::SaslSsl));
        let here = (
            target.alias(),
            target.client_properties(Listener::Plaintext),
        );
        let nowhere = ([127, 0, 0, 1], 0).into();
        let flow = |from, to| {
            FlowFile::with_clients(from, to, target.dir())
                .topics(["orders"])
                .slots(SLOTS)
        };
        flow(there.clone(), here.clone())
            .source("sasl.password", secret)
            .write("dark-forward", nowhere)?;
        flow(here, there)
            .target("sasl.password", secret)
            .write("dark-reverse", nowhere)?;
        let file = self.dark_file()?;
        let url = format!("http://{}", dark.address());
        let environment = [
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "nobody"),
            ("AWS_SECRET_ACCESS_KEY", "nothing"),
        ];
        let file = file.display().to_string();
        let arguments = [
            "failover",
            &file,
            "--local",
            "--json",
            "--yes",
            "--reason",
            "use1 is gone",
        ];
        let answered = answered(&understudy_in(&environment, arguments, LIMIT)?)?;
        if dark.calls().is_empty() {
            return Err("nobody asked for the secret".into());
        }
        Ok(answered)
    }

    /// The pair file with other flow files.
    fn dark_file(&self) -> Result<PathBuf, Box<dyn Error>> {
        let text = std::fs::read_to_string(&self.pair_file)?
            .replace("\"forward.toml\"", "\"dark-forward.toml\"")
            .replace("\"reverse.toml\"", "\"dark-reverse.toml\"");
        let file = self.pair_file.with_file_name("dark.toml");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Whether anything under the pair's folder is a ledger.
    fn ledger_exists(&self) -> bool {
        let folder = self.pair_file.with_file_name(".understudy");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| name.contains("ledger"))
    }

    fn evidence(&self, answered: &Value) -> Result<Value, Box<dyn Error>> {
        let path = at(answered, "evidence");
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

fn answered(output: &std::process::Output) -> Result<Answered, Box<dyn Error>> {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!(
            "{error}: {}\n{told}",
            String::from_utf8_lossy(&output.stdout)
        )
    })?;
    Ok(Answered {
        code: output.status.code().unwrap_or(-1),
        json,
        told,
    })
}

fn stringify(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn load_number(key: &[u8]) -> Option<i64> {
    std::str::from_utf8(key).ok()?.parse().ok()
}

fn seal(flow: &Path, epoch: u64) -> Result<(i32, Value), Box<dyn Error>> {
    let epoch = epoch.to_string();
    let (code, text) = run(&["seal"], flow, &["--epoch", &epoch, "--json"])?;
    let json = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    Ok((code, json))
}

fn run(command: &[&str], file: &Path, more: &[&str]) -> Result<(i32, String), Box<dyn Error>> {
    let file = file.display().to_string();
    let arguments = [command, &[file.as_str()], more].concat();
    let output = understudy(&arguments, LIMIT)?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.is_empty() {
        text = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    Ok((output.status.code().unwrap_or(-1), text))
}

/// Each partition's source and target offset.
fn cut(value: &Value) -> Result<BTreeMap<i32, (i64, i64)>, Box<dyn Error>> {
    let partitions = value.get("partitions").and_then(Value::as_array);
    let partitions = partitions.ok_or_else(|| format!("no partitions in {value}"))?;
    let number = |it: &Value, field: &str| it.get(field).and_then(Value::as_i64).unwrap_or(-1);
    Ok(partitions
        .iter()
        .map(|it| {
            let partition = i32::try_from(number(it, "partition")).unwrap_or(-1);
            (
                partition,
                (number(it, "source_offset"), number(it, "target_offset")),
            )
        })
        .collect())
}

fn at<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn committed(ends: &BTreeMap<i32, Ends>) -> i64 {
    ends.values().map(|end| end.last_stable - 1).sum()
}
