//! Homes that are hard to come back to: they lost copies, others still write to them, they are another cluster altogether.
//! A failback does what was chosen, or stops with what was found and the choices, and nothing is destroyed.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, Judge, LabError, Pair, PlainRecord, Process, Worker, Workload,
    client_config, copy_folder, fencing_proof, local_pair, understudy, understudy_binary, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;
type KeyAndValue = (Vec<u8>, Option<Vec<u8>>);

const LIMIT: Duration = Duration::from_secs(120);
/// How many keys are written on both sides at once.
const RACED: usize = 150;
const USER: (&str, &str) = ("shop", "hush");

#[test]
fn a_home_that_lost_copies_stops_a_failback_by_name_and_is_copied_anew_where_that_is_chosen()
-> Outcome {
    // Its brokers are stopped meanwhile: they are nobody else's.
    let clusters = &clusters()?;
    let Pair { source, target } = clusters;
    let topics = ["shorter", "forked", "remade", "fewer"];
    for topic in topics {
        source.create_topic(topic, if topic == "fewer" { 3 } else { 1 }, &[])?;
        write(source, topic, "before", 90)?;
    }
    let data = source.broker(1)?.dir().join("data");
    let restored = ["shorter", "forked"];
    source.stop_cleanly(LIMIT)?;
    for topic in restored {
        copy_folder(&data.join(format!("{topic}-0")), &source.dir().join(topic))?;
    }
    source.start_again()?;
    for topic in topics {
        write(source, topic, "copied", 60)?;
    }
    let lost = Lost::of(clusters, "lost", &topics)?;
    lost.leave()?;

    // A disk that is older than the copies; topics that somebody made again.
    source.stop_cleanly(LIMIT)?;
    for topic in restored {
        let log = data.join(format!("{topic}-0"));
        fs::remove_dir_all(&log)?;
        copy_folder(&source.dir().join(topic), &log)?;
    }
    source.start_again()?;
    for topic in ["remade", "fewer"] {
        source.delete_topic(topic)?;
        source.create_topic(topic, 1, &[])?;
    }
    for topic in ["forked", "remade", "fewer"] {
        write_as(source.client(), topic, "unknown", 200)?;
    }
    let refused = lost.failback()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    for part in [
        "fewer-0", "fewer-1", "forked-0", "remade-0", "restore", "salvage",
    ] {
        assert!(
            refused.stand().contains(part),
            "{part}: {}",
            refused.stand()
        );
    }
    let did = refused.did("survey-tail")?;
    for part in [
        "shorter-0: the source's log ends at 90, below the cut at 150",
        "forked-0: the source's log was cut at 90",
        "remade-0: the topic was deleted and made again",
        "fewer-2: the topic has fewer partitions",
    ] {
        assert!(did.contains(part), "{part}: {did}");
    }
    assert_eq!(target.partitions(&lost.aside("forked")?)?, None);

    // What it holds is put aside by hand, as the choice has it; then somebody deletes and chooses.
    let flow = lost.forward.flow().display().to_string();
    let exported = understudy(["salvage", &flow, "export"], LIMIT)?;
    let said = String::from_utf8_lossy(&exported.stdout).into_owned();
    for topic in ["forked", "remade", "fewer"] {
        let aside = target.read_all(&lost.aside(topic)?)?;
        assert_eq!(aside.len(), 200, "{topic}: {said}");
    }
    for topic in topics {
        source.delete_topic(topic)?;
    }
    let restore = topics.map(|topic| format!("{topic} = \"restore\"\n"));
    lost.say(&format!("[tails.topics]\n{}", restore.concat()))?;
    let standby = lost.failback()?;
    assert_eq!(standby.ended(), "StandbyReady", "{standby:?}");
    let back = Worker::start(&lost.reverse, "lost-back")?;
    for topic in topics {
        let verdict = Judge::new(target, source, topic).wait_exact(LIMIT)?;
        assert!(verdict.is_exact(), "{topic}: {verdict}\n{}", back.log());
    }
    assert_eq!(source.partitions("fewer")?, Some(3));
    Ok(())
}

#[test]
fn what_is_in_the_way_of_a_tail_is_named_and_nothing_is_put_aside_twice() -> Outcome {
    let clusters = shared()?;
    let Pair { source, target } = clusters;
    let topic = "busy";
    source.create_topic(topic, 2, &[])?;
    write(source, topic, "before", 100)?;
    let lost = Lost::of(clusters, "busy", &[topic])?;
    lost.forward.pause()?;
    write(source, topic, "uncopied", 3_000)?;
    lost.leave()?;
    lost.forward.kill()?;

    // A policy about what is not there.
    lost.say("[tails.topics]\norder = \"leave\"\n")?;
    let refused = lost.failback()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let stand = refused.stand();
    assert!(
        stand.contains("the tail of order,") && stand.contains("tails.topics"),
        "{stand}"
    );
    lost.say("")?;

    // A topic of the tail's name that would not keep it, and one that holds something else.
    let aside = lost.aside(topic)?;
    target.create_topic(&aside, 2, &[("cleanup.policy", "compact")])?;
    let refused = lost.failback()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let error = refused.error();
    for part in [aside.as_str(), "cleanup.policy", "delete"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(target.read_all(&aside)?.len(), 0);
    target.delete_topic(&aside)?;
    target.create_topic(&aside, 2, &[("retention.ms", "-1")])?;
    target.write_record(&aside, 1, Some(b"somebody"), Some(b"else's"))?;
    let refused = lost.failback()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let error = refused.error();
    for part in [aside.as_str(), "holds records", "another name"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(target.read_all(&aside)?.len(), 1);
    target.delete_topic(&aside)?;
    // One with too few partitions gets the rest.
    target.create_topic(&aside, 1, &[("retention.ms", "-1")])?;

    // Somebody writes between the survey and the flow back: what was surveyed is not what is there.
    let slow = lost.flow.clone().mirror("max_bytes_per_second", 30_000_i64);
    slow.write("forward", ([127, 0, 0, 1], 0).into())?;
    let mut running = lost.start_failback("outdated")?;
    wait_for("a part of the tail", LIMIT, || {
        running
            .expect_running()
            .map_err(|error| error.to_string())?;
        match target.read_all(&aside).map_err(|it| it.to_string())?.len() {
            0 => Err("nothing yet".to_owned()),
            _ => Ok(()),
        }
    })?;
    source.write_record(topic, 0, Some(b"unknown"), Some(b"writer"))?;
    let refused = Answer::of(&mut running)?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let told = format!("{} {}", refused.stand(), refused.error());
    assert!(
        told.contains("busy-0") && told.contains("somebody wrote to it"),
        "{told}"
    );
    lost.flow.write("forward", ([127, 0, 0, 1], 0).into())?;

    // A client that nobody knew writes there: it is named by what it writes to, as long as it does.
    let unknown = Workload::orders(source.client(), topic)
        .producer("unknown")
        .value_bytes(100)
        .rate(500)
        .records(u64::MAX)
        .start()?;
    let refused = lost.failback()?;
    unknown.stop()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let error = refused.error();
    for part in ["busy-", "fencing.writers"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // Whoever looks when it writes: the fence's proof, or the survey.
    assert!(
        error.contains("still grows") || error.contains("still writes"),
        "{error}"
    );
    let standby = lost.failback()?;
    assert_eq!(standby.ended(), "StandbyReady", "{standby:?}");

    // All of it is put aside, once.
    let mut tail = values(source, topic)?;
    let copied = values(target, topic)?;
    tail.retain(|it| !copied.contains(it));
    let mut put_aside = values(target, &aside)?;
    assert!(tail.len() > 3_000, "{}", tail.len());
    tail.sort();
    put_aside.sort();
    assert_eq!(tail, put_aside);
    Ok(())
}

#[test]
fn a_wholly_new_home_is_told_from_the_old_one_and_built_from_nothing() -> Outcome {
    let clusters = shared()?;
    let (old, target) = (&clusters.source, &clusters.target);
    let (user, password) = USER;
    let new = Cluster::builder("use1").user(user, password).start()?;
    let topic = "kept";
    old.create_topic(topic, 2, &[])?;
    write(old, topic, "before", 300)?;
    let mut lost = Lost::of(clusters, "gone", &[topic])?;
    lost.leave()?;
    lost.forward.kill()?;
    write(target, topic, "away", 200)?;
    target.delete_records_before(topic, 0, 50)?;

    // Another cluster answers at the old one's address: that may be an error.
    lost.moves_to(&new, topic, ["gone", "gone-back"])?;
    let refused = lost.failback()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let stand = refused.stand();
    for part in [old.cluster_id(), new.cluster_id(), "new `name`"] {
        assert!(stand.contains(part), "{part}: {stand}");
    }
    assert_eq!(new.partitions(topic)?, None);

    // It is not: it stands by with what is retained, and nobody else writes there meanwhile.
    lost.moves_to(&new, topic, ["new", "new-back"])?;
    let standby = lost.failback()?;
    assert_eq!(standby.ended(), "StandbyReady", "{standby:?}");
    let fence = standby.did("fence-source")?;
    assert!(fence.contains("was refused"), "{fence}");
    let missing = standby.did("survey-tail")?;
    assert!(missing.contains("kept-0 from 50 on"), "{missing}");
    let back = Worker::start(&lost.reverse, "gone-back")?;
    let verdict = Judge::new(target, &new, topic).wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", back.log());
    let late = write(&new, topic, "late", 1);
    assert!(late.is_err(), "the old writers are let in");

    // And is moved home to, with a flow the other way again.
    let places: Vec<_> = (0..2).map(|it| (topic, it, 70)).collect();
    target.commit_group("billing", &places)?;
    let home = lost.recovery(&["failback"])?;
    assert_eq!(home.ended(), "TargetActive", "{home:?}");
    write(&new, topic, "home", 100)?;
    let again = Worker::start(&lost.flow, "gone-there")?;
    again.wait_copied(&new, topic, LIMIT)?;
    let seen = Judge::new(&new, target, topic).compare_settled(LIMIT)?;
    assert_eq!(seen.lost + seen.doubled + seen.altered, 0, "{seen}");
    for (partition, place) in new.group_places("billing", topic)? {
        let at = |cluster: &Cluster, offset| -> Result<_, Box<dyn Error>> {
            let mut records = cluster.read_all(topic)?.into_iter();
            let next = records.find(|it| it.partition == partition && it.offset >= offset);
            Ok(next.map(|it| (it.key, it.value)))
        };
        assert_eq!(at(&new, place)?, at(target, 70)?, "in {partition}");
    }
    Ok(())
}

#[test]
fn a_tail_that_is_merged_comes_late_once_and_rises_over_nothing_newer() -> Outcome {
    let clusters = shared()?;
    let Pair { source, target } = clusters;
    let (topic, prices) = ("late", "late-prices");
    source.create_topic(topic, 2, &[])?;
    source.create_topic(prices, 1, &[("cleanup.policy", "compact")])?;
    write(source, topic, "before", 100)?;
    price(
        source,
        prices,
        &[("apple", "1"), ("pear", "1"), ("nut", "1")],
    )?;
    let lost = Lost::of(clusters, "late", &[topic, prices])?;
    lost.forward.pause()?;
    write(source, topic, "uncopied", 2_000)?;
    let stale = ["apple", "pear", "plum"].map(|key| (key, "stale"));
    price(source, prices, &stale)?;
    let keys: Vec<String> = (0..RACED).map(|it| format!("raced-{it}")).collect();
    let old = "old".repeat(200);
    let raced: Vec<_> = keys.iter().map(|it| (it.as_str(), old.as_str())).collect();
    for _time in 0..3 {
        price(source, prices, &raced)?;
    }
    let tail = values(source, topic)?;
    lost.leave()?;
    lost.forward.kill()?;
    write(target, topic, "away", 300)?;
    price(target, prices, &[("pear", "2")])?;
    let copied = values(target, topic)?;
    let tail: Vec<_> = tail.into_iter().filter(|it| !copied.contains(it)).collect();
    assert_eq!(tail.len(), 2_000);
    lost.say("[tails]\notherwise = \"merge\"\n")?;

    // It is killed on its way.
    let start = |topic: &str, name: &str, bytes_a_second: i64| -> Result<Process, Box<dyn Error>> {
        let slow = lost.flow.clone();
        let slow = slow.mirror("max_bytes_per_second", bytes_a_second);
        let slow = slow.write(name, ([127, 0, 0, 1], 0).into())?;
        let slow = slow.display().to_string();
        let words = ["salvage", &slow, "merge", "--topic", topic, "--json"];
        let log = lost.flow.dir().join(format!("{name}.log"));
        Ok(Process::start(
            name,
            understudy_binary()?,
            words,
            &[],
            &log,
        )?)
    };
    let wait_merged = |merge: &mut Process, topic: &str, before: usize, wanted: usize| {
        wait_for("a part to be merged", LIMIT, || {
            merge.expect_running().map_err(|it| it.to_string())?;
            let merged = values(target, topic).map_err(|it| it.to_string())?;
            let merged = merged.len() - before;
            (merged >= wanted).then_some(()).ok_or(merged.to_string())
        })
    };
    for wanted in [200, 900] {
        let mut merge = start(topic, "merge", 40_000)?;
        wait_merged(&mut merge, topic, copied.len(), wanted)?;
        merge.kill()?;
    }
    // The shop writes the very keys behind what a merge has looked at: its next transaction comes too late.
    let before = values(target, prices)?.len();
    let mut merge = start(prices, "raced", 20_000)?;
    wait_merged(&mut merge, prices, before, 1)?;
    if let Err(error) = merge.pause() {
        let told = fs::read_to_string(merge.log())?;
        return Err(format!("{error}; it said: {told}").into());
    }
    // In one go: a transaction that a paused merge has open is ended by the broker before long.
    let new: Vec<_> = keys.iter().map(|it| (it.as_str(), "new")).collect();
    price(target, prices, &new)?;
    merge.resume()?;
    let ended = merge.wait(LIMIT)?;
    let told = fs::read_to_string(merge.log())?;
    assert!(ended.success(), "{told}");
    let told: Value = serde_json::from_str(
        told.get(told.find('{').ok_or("no answer")?..)
            .unwrap_or_default(),
    )?;
    let made_again = told.get("made_again").and_then(Value::as_u64);
    assert!(made_again.is_some_and(|it| it >= 1), "{told}");

    // The flow back is not to be made: what was merged and put right until then is no tail of the next attempt.
    let impossible = lost.reverse.clone().mirror("replication_factor", 3_i64);
    impossible.write("reverse", ([127, 0, 0, 1], 0).into())?;
    let refused = lost.failback()?;
    assert_eq!(refused.ended(), "SourceStillActive", "{refused:?}");
    let put = refused.did("put-aside-tail")?;
    assert!(put.contains("are merged into the topics on usw2"), "{put}");
    let lay = refused.tail();
    lost.reverse.write("reverse", ([127, 0, 0, 1], 0).into())?;
    let standby = lost.failback()?;
    assert_eq!(standby.ended(), "StandbyReady", "{standby:?}");
    assert_eq!(standby.tail(), lay, "{standby:?}");

    // Each is in the topic once, with where it came from, behind what was there.
    for topic in [topic, prices] {
        target.wait_settled(topic, LIMIT)?;
    }
    let records = target.read_all(topic)?;
    let late = records
        .iter()
        .filter(|it| tail.contains(&(it.key.clone(), it.value.clone())));
    let late: Vec<_> = late.collect();
    assert_eq!(late.len(), tail.len());
    let from_source = |it: &&PlainRecord| {
        it.headers
            .iter()
            .any(|(name, _)| name == "understudy.source.offset")
    };
    assert!(late.iter().all(from_source));
    assert_eq!(records.len(), copied.len() + tail.len());
    assert_eq!(target.partitions(&format!("{topic}.tail.e1"))?, None);

    // Nothing rose over what is newer: that is put aside.
    let now = newest(target, prices)?;
    let at = |key: &str| now.get(key).cloned().flatten();
    assert_eq!(at("apple").as_deref(), Some("stale"));
    assert_eq!(at("plum").as_deref(), Some("stale"));
    assert_eq!(at("pear").as_deref(), Some("2"));
    let risen: Vec<_> = keys
        .iter()
        .filter(|it| at(it).as_deref() != Some("new"))
        .collect();
    assert!(risen.is_empty(), "{risen:?}");

    // And home gets all of it.
    let back = Worker::start(&lost.reverse, "late-back")?;
    back.wait_copied(target, topic, LIMIT)?;
    back.wait_copied(target, prices, LIMIT)?;
    for topic in [topic, prices] {
        source.wait_settled(topic, LIMIT)?;
    }
    assert_eq!(newest(source, prices)?, now);
    let home = values(source, topic)?;
    assert_eq!(home.len(), copied.len() + 2 * tail.len());
    Ok(())
}

/// Writes values of keys, in this order.
fn price(cluster: &Cluster, topic: &str, prices: &[(&str, &str)]) -> Outcome {
    let records: Vec<_> = prices
        .iter()
        .map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes())))
        .collect();
    Ok(cluster.write_records(topic, 0, &records)?)
}

/// The last value of each key.
fn newest(
    cluster: &Cluster,
    topic: &str,
) -> Result<BTreeMap<String, Option<String>>, Box<dyn Error>> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    let mut newest = BTreeMap::new();
    for record in cluster.read_all(topic)? {
        newest.insert(text(record.key)?, record.value.map(text).transpose()?);
    }
    Ok(newest)
}

/// Keys and values of a topic.
fn values(cluster: &Cluster, topic: &str) -> Result<Vec<KeyAndValue>, Box<dyn Error>> {
    let records = cluster.read_all(topic)?;
    Ok(records.into_iter().map(|it| (it.key, it.value)).collect())
}

/// Whom no scenario stops.
fn shared() -> Result<&'static Pair, &'static LabError> {
    static SHARED: OnceLock<Result<Pair, LabError>> = OnceLock::new();
    SHARED.get_or_init(clusters).as_ref()
}

fn clusters() -> Result<Pair, LabError> {
    let (user, password) = USER;
    Pair::start(
        |source| source.user(user, password),
        |target| target.user(user, password),
    )
}

/// A pair of its own on clusters, whose home is left by a failover.
struct Lost<'a> {
    source: &'a Cluster,
    target: &'a Cluster,
    flow: FlowFile,
    forward: Worker,
    reverse: FlowFile,
    file: PathBuf,
}

impl<'a> Lost<'a> {
    /// All of these topics is copied.
    fn of(clusters: &'a Pair, name: &str, topics: &[&str]) -> Result<Self, Box<dyn Error>> {
        let Pair { source, target } = clusters;
        let folder = target.dir().join(name);
        fs::create_dir_all(&folder)?;
        let flow = |from, to, name: String| {
            FlowFile::new(from, to)
                .named(name)
                .topics(topics.iter().copied())
                .slots(2)
                .in_folder(&folder)
        };
        let there = flow(source, target, name.to_owned());
        let (flow, reverse) = (there, flow(target, source, format!("{name}-back")));
        let nowhere = ([127, 0, 0, 1], 0).into();
        reverse.write("reverse", nowhere)?;
        let forward = Worker::start(&flow, "forward")?;
        for topic in topics {
            forward.wait_copied(source, topic, LIMIT)?;
        }
        let file = folder.join("pair.toml");
        let lost = Self {
            source,
            target,
            flow,
            forward,
            reverse,
            file,
        };
        lost.say("")?;
        Ok(lost)
    }

    /// The pair, with what else is to be said.
    fn say(&self, more: &str) -> Outcome {
        let (source, target) = (self.source, self.target);
        let (user, password) = USER;
        let consent = "[consent]\nmax_lost_records = 1000000\nmax_age_seconds = 3600\n\n";
        let fencing = format!("[fencing]\nwriters = [\"User:{user}\"]\n\n");
        let proofs = [source, target].map(|it| fencing_proof(it, user, password));
        let text = local_pair(source, target) + consent + &fencing + &proofs.concat() + "\n" + more;
        Ok(fs::write(&self.file, text)?)
    }

    /// Another cluster is home, and the flows between it and the other are these.
    fn moves_to(&mut self, home: &'a Cluster, topic: &str, names: [&str; 2]) -> Outcome {
        let nowhere = ([127, 0, 0, 1], 0).into();
        let flow = |from: &Cluster, to: &Cluster, name: &str| {
            FlowFile::new(from, to)
                .named(name)
                .topics([topic])
                .slots(2)
                .in_folder(self.flow.dir())
        };
        let [there, back] = names;
        let there = flow(home, self.target, there);
        (self.flow, self.reverse) = (there, flow(self.target, home, back));
        self.flow.write("forward", nowhere)?;
        self.reverse.write("reverse", nowhere)?;
        self.source = home;
        self.say("")
    }

    fn leave(&self) -> Outcome {
        let left = self.recovery(&["failover"])?;
        assert_eq!(left.ended(), "TargetActive", "{left:?}");
        Ok(())
    }

    fn failback(&self) -> Result<Answer, Box<dyn Error>> {
        self.recovery(&["failback", "--standby-only"])
    }

    fn recovery(&self, words: &[&str]) -> Result<Answer, Box<dyn Error>> {
        let mut running = self.start(words, "recovery")?;
        Answer::of(&mut running)
    }

    fn start_failback(&self, name: &str) -> Result<Process, Box<dyn Error>> {
        self.start(&["failback", "--standby-only"], name)
    }

    fn start(&self, words: &[&str], name: &str) -> Result<Process, Box<dyn Error>> {
        let file = self.file.display().to_string();
        let (verb, more) = words.split_first().ok_or("no verb")?;
        let arguments = [&[*verb, file.as_str(), "--local", "--json", "--yes"], more].concat();
        let folder = self.file.parent().ok_or("no folder")?;
        let log = folder.join(format!("{name}.log"));
        if log.exists() {
            fs::remove_file(&log)?;
        }
        Ok(Process::start(
            name,
            understudy_binary()?,
            arguments,
            &[],
            log,
        )?)
    }

    /// The topic that takes the tail of a topic.
    fn aside(&self, topic: &str) -> Result<String, Box<dyn Error>> {
        let flow = self.forward.flow().display().to_string();
        let told = understudy(["salvage", &flow, "survey", "--json"], LIMIT)?;
        let survey: Value = serde_json::from_slice(&told.stdout)?;
        let epoch = survey.get("epoch").and_then(Value::as_u64);
        Ok(format!("{topic}.tail.e{}", epoch.ok_or("no epoch")?))
    }
}

/// How a recovery ended.
#[derive(Debug)]
struct Answer {
    said: Value,
    evidence: Value,
}

impl Answer {
    fn of(running: &mut Process) -> Result<Self, Box<dyn Error>> {
        running.wait(LIMIT)?;
        let log = fs::read_to_string(running.log())?;
        // Behind what is told stands one object.
        let begins = log.find("\n{").ok_or_else(|| format!("no answer: {log}"))?;
        let said = log.get(begins..).unwrap_or_default();
        let mut said = serde_json::Deserializer::from_str(said).into_iter::<Value>();
        let said = said.next().ok_or("no answer")??;
        let evidence = Path::new(at(&said, "evidence"));
        let evidence = serde_json::from_slice(&fs::read(evidence)?)?;
        Ok(Self { said, evidence })
    }

    /// How many records lay on the cluster that came back alone.
    fn tail(&self) -> u64 {
        let partitions = self.evidence.pointer("/tail/partitions");
        let partitions = partitions.and_then(Value::as_array).into_iter().flatten();
        let records = partitions.filter_map(|it| it.get("records")?.as_u64());
        records.sum()
    }

    fn ended(&self) -> &str {
        at(&self.said, "ended")
    }

    fn stand(&self) -> &str {
        at(&self.said, "stand")
    }

    fn error(&self) -> String {
        let error = self.evidence.get("error");
        error.map(Value::to_string).unwrap_or_default()
    }

    /// What a step did, in words.
    fn did(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let steps = self.evidence.get("steps").and_then(Value::as_array);
        let mut steps = steps.into_iter().flatten();
        let step = steps.find(|it| at(it, "step") == name);
        let did = step.and_then(|it| it.get("did")?.as_array());
        let lines = did.ok_or("no such step")?.iter().filter_map(Value::as_str);
        Ok(lines.collect::<Vec<_>>().join("; "))
    }
}

/// The shop writes so many orders with its own login.
fn write(cluster: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
    let shop = client_config(&cluster.client_properties_of(USER.0, USER.1));
    write_as(shop, topic, producer, records)
}

fn write_as(client: ClientConfig, topic: &str, producer: &str, records: u64) -> Outcome {
    Workload::orders(client, topic)
        .producer(producer)
        .value_bytes(100)
        .records(records)
        .run()?;
    Ok(())
}

fn at<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
