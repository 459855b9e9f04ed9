//! A cluster is lost with records that nobody had copied, comes back, stands by again and is moved home to: nothing of it
//! is destroyed, nothing is copied twice, and groups go on where they stood.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, Judge, Pair, PlainRecord, Worker, Workload, client_config, fencing_proof,
    local_pair, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 3;
const TOPIC: &str = "orders";
/// A compacted topic.
const PRICES: &str = "prices";

/// A pair whose home was lost, with what came of it.
struct Lost {
    pair: Pair,
    forward: Worker,
    reverse: FlowFile,
    file: PathBuf,
    /// Where the flow ended: source and target offset by partition.
    cut: BTreeMap<i32, (i64, i64)>,
}

impl Lost {
    /// Orders are copied; the worker sleeps while more come; the home is gone, and applications move.
    fn start() -> Result<Self, Box<dyn Error>> {
        let pair = Pair::start(
            |source| source.user("shop", "hush").own_processes(),
            |target| target.user("shop", "hush"),
        )?;
        let (source, target) = (&pair.source, &pair.target);
        source.create_topic(TOPIC, PARTITIONS, &[])?;
        source.create_topic(PRICES, 1, &[("cleanup.policy", "compact")])?;
        let topics = [TOPIC, PRICES];
        let forward = FlowFile::new(source, target).topics(topics).slots(2);
        let reverse = FlowFile::new(target, source)
            .topics(topics)
            .slots(2)
            .in_folder(target.dir());
        reverse.write("reverse", ([127, 0, 0, 1], 0).into())?;
        let forward = Worker::start(&forward, "forward")?;
        let file = target.dir().join("pair.toml");
        std::fs::write(&file, pair_text(source, target))?;
        written(source, "before", 900)?;
        priced(source, &[("apple", "1"), ("pear", "1")])?;
        forward.wait_copied(source, TOPIC, LIMIT)?;
        forward.wait_copied(source, PRICES, LIMIT)?;
        let places: Vec<_> = (0..PARTITIONS).map(|it| (TOPIC, it, 40)).collect();
        source.commit_group("billing", &places)?;
        wait_for("billing on the target", LIMIT, || {
            match target.group_places("billing", TOPIC) {
                Ok(found) if found.len() == 3 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        forward.pause()?;
        written(source, "uncopied", 120)?;
        priced(
            source,
            &[("apple", "stale"), ("pear", "stale"), ("plum", "stale")],
        )?;
        for broker in source.brokers() {
            broker.kill()?;
        }
        let failover = recovery("failover", &file, &[])?;
        assert_eq!(at(&failover, "ended"), "TargetActive", "{failover}");
        let cut = cut(&evidence(&failover)?)?;
        forward.resume()?;
        written(target, "away", 600)?;
        priced(target, &[("pear", "2")])?;
        Ok(Self {
            pair,
            forward,
            reverse,
            file,
            cut,
        })
    }

    /// The home is back, with the shop that never heard of the failover.
    fn come_back(&self) -> Outcome {
        let source = &self.pair.source;
        for broker in source.brokers() {
            broker.start()?;
        }
        source.wait_ready()?;
        written(source, "late", 60)
    }

    /// What lies on the old home beyond the cut, as its readers see it.
    fn tail(&self) -> Result<BTreeSet<Vec<u8>>, Box<dyn Error>> {
        let mut tail = BTreeSet::new();
        for (partition, (cut, _)) in &self.cut {
            let records = records_from(&self.pair.source, TOPIC, *partition, *cut)?;
            tail.extend(records.into_iter().map(|it| it.value.unwrap_or_default()));
        }
        Ok(tail)
    }
}

#[test]
fn a_lost_home_stands_by_again_and_is_moved_home_to() -> Outcome {
    let lost = Lost::start()?;
    let Pair { source, target } = &lost.pair;
    lost.come_back()?;
    let tail = lost.tail()?;
    assert!(
        tail.len() >= 180,
        "{} records are beyond the cut",
        tail.len()
    );

    // Nobody lets the flow back begin by itself: it would copy everything again.
    let back = Worker::start(&lost.reverse, "back")?;
    back.wait_reason(&["use1-usw2", "failback"], LIMIT)?;
    let ends = source.ends(TOPIC)?;

    // A drill changes nothing.
    let drill = recovery("drill", &lost.file, &["--mode", "failback"])?;
    assert_eq!(at(&drill, "ended"), "DrillDone", "{drill}");
    let planned = evidence(&drill)?;
    assert_eq!(planned.get("error"), Some(&Value::Null), "{planned}");
    let would = did(&planned, "start-flow").ok_or("no flow back")?;
    assert!(would.contains("would start"), "{would}");
    assert_eq!(source.ends(TOPIC)?, ends);

    let standby = recovery("failback", &lost.file, &["--standby-only"])?;
    assert_eq!(at(&standby, "ended"), "StandbyReady", "{standby}");
    let evidence = evidence(&standby)?;
    let fence = did(&evidence, "fence-source").ok_or("no fence")?;
    assert!(fence.contains("was refused"), "{fence}");
    let partitions = evidence
        .pointer("/tail/partitions")
        .and_then(Value::as_array);
    let counted: u64 = (partitions.into_iter().flatten())
        .filter_map(|it| it.get("records")?.as_u64())
        .sum();
    // Three of them are prices.
    assert_eq!(counted, tail.len() as u64 + 3, "{evidence}");
    let epoch = evidence.pointer("/tail/epoch").and_then(Value::as_u64);
    let aside = format!("{TOPIC}.tail.e{}", epoch.ok_or("no epoch")?);
    target.wait_settled(&aside, LIMIT)?;
    let mut put_aside = Vec::new();
    for partition in 0..PARTITIONS {
        let records = records_from(target, &aside, partition, 0)?;
        put_aside.extend(records.into_iter().map(|it| it.value.unwrap_or_default()));
    }
    assert_eq!(put_aside.len(), tail.len());
    assert_eq!(put_aside.into_iter().collect::<BTreeSet<_>>(), tail);

    // The difference comes, once and in order, behind the tail; nothing else does.
    back.wait_ready(LIMIT)?;
    written(target, "after", 300)?;
    back.wait_copied(target, TOPIC, LIMIT)?;
    // What only the lost home held of a key does not stand there again.
    back.wait_copied(target, PRICES, LIMIT)?;
    for topic in [TOPIC, PRICES] {
        source.wait_settled(topic, LIMIT)?;
    }
    let now = [("apple", Some("1")), ("pear", Some("2")), ("plum", None)];
    assert_eq!(
        prices(source)?,
        now.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
            .into()
    );
    let difference = differs(&lost, target, source)?;
    assert_eq!(difference, 900);
    // Again it is no change.
    let again = recovery("failback", &lost.file, &["--standby-only"])?;
    assert_eq!(at(&again, "ended"), "StandbyReady", "{again}");

    // One that stands before the cut has its place too; and of the tail nobody says that it lies on the other side.
    let before: Vec<_> = (0..PARTITIONS).map(|it| (TOPIC, it, 30)).collect();
    target.commit_group("slow", &before)?;
    wait_for("slow at home", LIMIT, || {
        match source.group_places("slow", TOPIC) {
            Ok(found) if found.len() == 3 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    for (partition, place) in source.group_places("slow", TOPIC)? {
        let next = |cluster, from| -> Result<_, Box<dyn Error>> {
            let mut records = records_from(cluster, TOPIC, partition, from)?.into_iter();
            Ok(records.next().and_then(|it| it.value))
        };
        assert_eq!(next(source, place)?, next(target, 30)?, "in {partition}");
    }
    let (tail_begins, _) = lost.cut.get(&0).copied().ok_or("no cut")?;
    let (flow, offset) = (back.flow().display().to_string(), tail_begins.to_string());
    let asked = [
        "translate",
        &flow,
        "--topic",
        TOPIC,
        "--partition",
        "0",
        "--offset",
        &offset,
    ];
    let output = understudy(asked.iter().copied().chain(["--reverse", "--json"]), LIMIT)?;
    let line: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(at(&line, "translation"), "before-history", "{line}");

    // A group that stands in what was written while home was away goes on at home at the very record.
    let mut places = Vec::new();
    let mut next = BTreeMap::new();
    for (partition, (_, cut)) in &lost.cut {
        places.push((TOPIC, *partition, cut + 20));
        let records = records_from(target, TOPIC, *partition, cut + 20)?;
        let first = records.into_iter().next().ok_or("nothing to be read")?;
        next.insert(*partition, first.value.unwrap_or_default());
    }
    target.commit_group("billing", &places)?;

    let home = recovery("failback", &lost.file, &[])?;
    assert_eq!(at(&home, "ended"), "TargetActive", "{home}");
    // Also one that stands before the cut: the flow that was sealed there tells.
    let places = self::evidence(&home)?;
    let places = places.pointer("/places/places").and_then(Value::as_array);
    let slow = places.into_iter().flatten();
    let slow: Vec<_> = slow.filter(|it| at(it, "group") == "slow").collect();
    assert_eq!(slow.len(), 3, "{home}");
    assert!(slow.iter().all(|it| at(it, "state") == "exact"), "{slow:?}");
    let found = source.group_places("billing", TOPIC)?;
    for (partition, value) in &next {
        let place = found.get(partition).copied().ok_or("no place at home")?;
        let records = records_from(source, TOPIC, *partition, place)?;
        let first = records
            .into_iter()
            .next()
            .ok_or("nothing to be read at home")?;
        assert_eq!(&first.value.unwrap_or_default(), value, "in {partition}");
    }
    // Home takes writes again, and the first flow goes on behind what the other one copied.
    written(source, "home", 200)?;
    lost.forward.wait_ready(LIMIT)?;
    lost.forward.wait_copied(source, TOPIC, LIMIT)?;
    let mut judge = Judge::new(source, target, TOPIC);
    let seen = judge.compare_settled(LIMIT)?;
    assert_eq!(seen.doubled + seen.out_of_order + seen.altered, 0, "{seen}");
    // What home holds and the other does not is what was put aside, and nothing else.
    assert_eq!(seen.lost, tail.len() as u64, "{seen}");
    lost_again_and_back_to_what_nothing_was_copied_to(&lost, &tail)
}

/// Home is left once more, and before anything is copied back to it what took over is left too: home is active again
/// with what it had, somebody was told so, and nothing that the other one holds of it is copied there a second time.
fn lost_again_and_back_to_what_nothing_was_copied_to(
    lost: &Lost,
    aside: &BTreeSet<Vec<u8>>,
) -> Outcome {
    let Pair { source, target } = &lost.pair;
    lost.forward.pause()?;
    written(source, "uncopied-again", 60)?;
    let away = recovery("failover", &lost.file, &[])?;
    assert_eq!(at(&away, "ended"), "TargetActive", "{away}");
    lost.forward.resume()?;
    written(target, "away-again", 90)?;

    let home = recovery("failover", &lost.file, &[])?;
    assert_eq!(at(&home, "ended"), "TargetActive", "{home}");
    let evidence_of_it = evidence(&home)?;
    let assessed = evidence_of_it.pointer("/assessment/reasons");
    let assessed = assessed.map(Value::to_string).unwrap_or_default();
    assert!(assessed.contains("nothing was copied to"), "{assessed}");
    let most = evidence_of_it.pointer("/loss/records_at_most");
    assert_eq!(most, Some(&Value::Null), "{evidence_of_it}");

    let standby = recovery("failback", &lost.file, &["--standby-only"])?;
    assert_eq!(at(&standby, "ended"), "StandbyReady", "{standby}");
    let partitions = evidence(&standby)?;
    let partitions = partitions.pointer("/tail/partitions");
    let partitions = partitions.and_then(Value::as_array).into_iter().flatten();
    let counted: u64 = partitions
        .filter_map(|it| it.get("records")?.as_u64())
        .sum();
    assert_eq!(counted, 90, "{standby}");
    written(source, "home-again", 60)?;
    lost.forward.wait_ready(LIMIT)?;
    lost.forward.wait_copied(source, TOPIC, LIMIT)?;
    let seen = Judge::new(source, target, TOPIC).compare_settled(LIMIT)?;
    assert_eq!(seen.doubled + seen.altered, 0, "{seen}");
    assert_eq!(seen.lost, aside.len() as u64, "{seen}");
    Ok(())
}

#[test]
fn what_home_lost_of_its_copies_stops_a_failback_until_somebody_chooses() -> Outcome {
    let lost = Lost::start()?;
    let Pair { source, target } = &lost.pair;
    for broker in source.brokers() {
        broker.start()?;
    }
    source.wait_ready()?;
    source.delete_topic(TOPIC)?;
    let refused = recovery("failback", &lost.file, &["--standby-only"])?;
    assert_eq!(at(&refused, "ended"), "SourceStillActive", "{refused}");
    let stand = at(&refused, "stand");
    assert!(
        stand.contains("is gone") && stand.contains("restore"),
        "{stand}"
    );

    // Somebody chose: the topic is copied anew as a whole.
    let mut text = std::fs::read_to_string(&lost.file)?;
    text.push_str(&format!("\n[tails.topics]\n{TOPIC} = \"restore\"\n"));
    std::fs::write(&lost.file, text)?;
    let standby = recovery("failback", &lost.file, &["--standby-only"])?;
    assert_eq!(at(&standby, "ended"), "StandbyReady", "{standby}");
    let back = Worker::start(&lost.reverse, "back")?;
    let verdict = Judge::new(target, source, TOPIC).wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", back.log());
    Ok(())
}

/// What a partition holds from an offset on, as its readers see it.
fn records_from(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    from: i64,
) -> Result<Vec<PlainRecord>, Box<dyn Error>> {
    let mut records = cluster.read_all(topic)?;
    records.retain(|it| it.partition == partition && it.offset >= from);
    records.sort_by_key(|it| it.offset);
    Ok(records)
}

/// How many records the flow back copied: what lies behind the tail at home is what was written since the cut, in order.
fn differs(lost: &Lost, from: &Cluster, to: &Cluster) -> Result<u64, Box<dyn Error>> {
    let mut copied = 0;
    for (partition, (home, away)) in &lost.cut {
        let written: Vec<_> = records_from(from, TOPIC, *partition, *away)?;
        let there = records_from(to, TOPIC, *partition, *home)?;
        let tail = there.len().saturating_sub(written.len());
        let values = |records: &[PlainRecord]| -> Vec<_> {
            records.iter().map(|it| it.value.clone()).collect()
        };
        assert_eq!(
            values(there.get(tail..).unwrap_or_default()),
            values(&written),
            "in {partition}"
        );
        copied += written.len() as u64;
    }
    Ok(copied)
}

fn priced(cluster: &Cluster, prices: &[(&str, &str)]) -> Outcome {
    for (key, value) in prices {
        cluster.write_record(PRICES, 0, Some(key.as_bytes()), Some(value.as_bytes()))?;
    }
    Ok(())
}

/// The last value of each key; none where the last record is a tombstone.
fn prices(cluster: &Cluster) -> Result<BTreeMap<String, Option<String>>, Box<dyn Error>> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    let mut prices = BTreeMap::new();
    for record in cluster.read_all(PRICES)? {
        prices.insert(text(record.key)?, record.value.map(text).transpose()?);
    }
    Ok(prices)
}

/// The shop writes so many orders with its own login.
fn written(cluster: &Cluster, producer: &str, records: u64) -> Outcome {
    let shop = client_config(&cluster.client_properties_of("shop", "hush"));
    Workload::orders(shop, TOPIC)
        .producer(producer)
        .value_bytes(100)
        .records(records)
        .run()?;
    Ok(())
}

fn pair_text(source: &Cluster, target: &Cluster) -> String {
    let more = "[consent]\nmax_lost_records = 1000000\nmax_age_seconds = 3600\n\n\
         [fencing]\nwriters = [\"User:shop\"]\n";
    let proofs = [source, target].map(|cluster| fencing_proof(cluster, "shop", "hush"));
    local_pair(source, target) + more + &proofs.concat()
}

fn recovery(command: &str, pair: &Path, more: &[&str]) -> Result<Value, Box<dyn Error>> {
    let file = pair.display().to_string();
    let arguments = [command, &file, "--local", "--json", "--yes"];
    let output = understudy(arguments.iter().chain(more).copied(), LIMIT)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(serde_json::from_str(&said).map_err(|error| format!("{error}: {said}\n{told}"))?)
}

fn evidence(answer: &Value) -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_slice(&std::fs::read(at(
        answer, "evidence",
    ))?)?)
}

fn cut(evidence: &Value) -> Result<BTreeMap<i32, (i64, i64)>, Box<dyn Error>> {
    let partitions = evidence
        .pointer("/cut/partitions")
        .and_then(Value::as_array);
    let number = |it: &Value, field: &str| it.get(field).and_then(Value::as_i64);
    let mut cut = BTreeMap::new();
    let own = |it: &&Value| at(it, "topic") == TOPIC;
    for it in partitions.ok_or("no cut")?.iter().filter(own) {
        let partition = i32::try_from(number(it, "partition").ok_or("no partition")?)?;
        let places = number(it, "source_offset").zip(number(it, "target_offset"));
        cut.insert(partition, places.ok_or("no offsets")?);
    }
    Ok(cut)
}

/// What a step did, in words.
fn did(evidence: &Value, name: &str) -> Option<String> {
    let steps = evidence.get("steps")?.as_array()?;
    let step = steps.iter().find(|it| at(it, "step") == name)?;
    let did = step.get("did")?.as_array()?;
    let lines: Vec<&str> = did.iter().filter_map(Value::as_str).collect();
    Some(lines.join("; "))
}

fn at<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
