//! Recoveries of one side of an active-active pair, on real brokers: both flows run, copies have topics of their own, and
//! the other side goes on writing to a topic of the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, Judge, Pair, ReadOn, Resource, RunningWorkload, Worker, Workload, chain,
    client_config, fencing_proof, local_pair, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;
/// What a thread of the test ends with.
type Ended<T> = Result<T, String>;

const LIMIT: Duration = Duration::from_secs(60);
/// A whole recovery, its applications' coming back included.
const MOVED_WITHIN: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 4;
/// Where `billing` stands in each partition of its own side when it is first moved.
const STANDS: i64 = 40;

#[test]
fn a_side_moves_and_both_flows_run_on_beside_writers_that_stay() -> Outcome {
    let lab = Lab::start()?;
    let Pair { source, target } = &lab.pair;
    let kiosk = lab.load(target, "kiosk")?;
    let shop = lab.load(source, "shop")?;
    lab.place_billing()?;
    let over = lab.move_to(target, "switchover", &lab.copies)?;
    let _refused = shop.stop();
    assert_eq!(text(&over.evidence, "ended"), "TargetActive");
    let lost = over.evidence.pointer("/loss/records_at_most");
    assert_eq!(lost.and_then(Value::as_u64), Some(0), "{lost:?}");
    lab.billing_went_on_exactly(&over)?;
    // Who was not shut out goes on there, and so does the flow.
    Workload::orders(source.client(), "orders")
        .producer("audit")
        .records(200)
        .run()?;
    lab.is_exact(source, target)?;
    lab.there.wait_ready(LIMIT)?;

    // Home again is no planned recovery's business while others write there: their records would never end.
    let refused = lab.recover("switchover")?;
    assert_eq!(text(&refused, "ended"), "SourceStillActive", "{refused}");
    let why = text(&refused, "error");
    assert!(why.contains("usw2") && why.contains("orders"), "{why}");
    assert!(lab.shop_may_write_on(target)?, "the fence was not lifted");
    kiosk.stop()?;
    lab.is_exact(target, source)?;
    let home = lab.move_to(source, "switchover", "orders")?;
    assert_eq!(text(&home.evidence, "ended"), "TargetActive");
    lab.billing_reads_nothing_again(&over, &home)?;
    for (from, to) in [(source, target), (target, source)] {
        Workload::orders(from.client(), "orders")
            .producer("late")
            .records(200)
            .run()?;
        lab.is_exact(from, to)?;
    }
    Ok(())
}

#[test]
fn a_lost_side_is_moved_and_what_it_still_held_follows_once_it_is_back() -> Outcome {
    let lab = Lab::start()?;
    let Pair { source, target } = &lab.pair;
    let kiosk = lab.load(target, "kiosk")?;
    let shop = lab.load(source, "shop")?;
    lab.place_billing()?;
    // Records that come while its worker sleeps are not copied before the Region is lost.
    lab.there.pause()?;
    let before = committed(source)?;
    wait_for("records that nobody copied", LIMIT, || {
        let now = committed(source).map_err(|error| error.to_string())?;
        (now > before + 100)
            .then_some(())
            .ok_or_else(|| format!("{now} after {before}"))
    })?;
    // A producer whose brokers are gone would be waited for.
    shop.stop()?;
    for broker in source.brokers() {
        broker.kill()?;
    }
    let over = lab.move_to(target, "failover", &lab.copies)?;
    assert_eq!(text(&over.evidence, "ended"), "TargetActive");
    lab.there.resume()?;
    lab.there.wait_reason(&["sealed"], LIMIT)?;
    let next = over.evidence.pointer("/next").map(ToString::to_string);
    let next = next.unwrap_or_default();
    assert!(next.contains("understudy resume"), "{next}");

    for broker in source.brokers() {
        broker.start()?;
    }
    source.wait_ready()?;
    let fenced = lab.tool(&["fence", &lab.file(), "--local", "--wait"])?;
    assert!(fenced.contains("use1 is fenced"), "{fenced}");
    // The flow back goes on by itself, and the flow there is told to: nothing lies where its copies go.
    let forward = lab.there.flow().display().to_string();
    lab.tool(&["resume", &forward, "--epoch", "1"])?;
    lab.is_exact(source, target)?;
    kiosk.stop()?;
    lab.is_exact(target, source)?;
    lab.billing_went_on_exactly(&over)?;
    let rest = lab.read_on(target, &lab.copies, &AtomicBool::new(true))?;
    let again = over.read.intersection(&rest.read).count();
    assert_eq!(again, 0, "billing read records again");
    let whole = committed(source)? - STANDS * i64::from(PARTITIONS);
    assert_eq!(i64::try_from(over.read.len() + rest.read.len())?, whole);
    // Where it would go on at home is told by the same flow.
    let asked = ["translate", &forward, "--group", "billing", "--reverse"];
    let told = lab.tool(&[&asked[..], &["--json"]].concat())?;
    let places: BTreeMap<i64, (String, i64)> = told
        .lines()
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let number = |field: &str| line.get(field).and_then(Value::as_i64);
            let told = text(&line, "translation").to_owned();
            Some((number("partition")?, (told, number("source_offset")?)))
        })
        .collect();
    let ends = source.ends("orders")?;
    let ends = ends
        .iter()
        .map(|(it, end)| (i64::from(*it), ("exact".to_owned(), end.last_stable)));
    assert_eq!(places, ends.collect(), "{told}");
    Ok(())
}

/// Two clusters with a topic `orders` each, and a flow each way between them.
struct Lab {
    pair: Pair,
    there: Worker,
    _back: Worker,
    /// What use1's records are called on usw2.
    copies: String,
}

/// What a recovery led to.
struct Moved {
    evidence: Value,
    /// The offset of what `billing` read first, by partition.
    first: BTreeMap<i32, i64>,
    /// Each record by its partition and value, which holds its number.
    read: BTreeSet<(i32, Vec<u8>)>,
}

impl Lab {
    fn start() -> Result<Self, Box<dyn Error>> {
        let users = |cluster: understudy_tests::ClusterBuilder| {
            cluster.user("shop", "hush").user("kiosk", "hush")
        };
        let pair = Pair::start(|source| users(source).own_processes(), users)?;
        let Pair { source, target } = &pair;
        for (cluster, user) in [(source, "User:shop"), (target, "User:kiosk")] {
            cluster.create_topic("orders", PARTITIONS, &[])?;
            let topic = Resource::Topic("orders".to_owned());
            cluster.allow(user, &["Write"], &topic)?;
        }
        let flow = |from, to| {
            FlowFile::new(from, to)
                .topics(["orders"])
                .slots(2)
                .mirror("policy", "prefixed")
                .mirror("sync_acls", true)
                .in_folder(target.dir())
        };
        let there = Worker::start(&flow(source, target), "forward")?;
        let back = Worker::start(&flow(target, source), "reverse")?;
        there.wait_ready(LIMIT)?;
        back.wait_ready(LIMIT)?;
        let more = "[[applications]]\nname = \"billing\"\nrole = \"consumer\"\ngroups = [\"billing\"]\n\
             adapters = [{ kind = \"file\", path = \"billing.json\" }]\n\n\
             [[applications]]\nname = \"shop\"\nrole = \"producer\"\ntopics = [\"orders\"]\n\
             adapters = [{ kind = \"file\", path = \"shop.json\" }]\n\n\
             [fencing]\nwriters = [\"User:shop\"]\n";
        let proofs = [source, target].map(|cluster| fencing_proof(cluster, "shop", "hush"));
        let text = local_pair(source, target) + more + &proofs.concat();
        std::fs::write(target.dir().join("pair.toml"), text)?;
        Ok(Self {
            pair,
            there,
            _back: back,
            copies: "use1.orders".to_owned(),
        })
    }

    fn file(&self) -> String {
        self.path("pair.toml").display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.pair.target.dir().join(name)
    }

    /// Somebody writes to the topic of their own side until they are stopped or refused.
    fn load(&self, cluster: &Cluster, user: &str) -> Result<RunningWorkload, Box<dyn Error>> {
        let client = client_config(&cluster.client_properties_of(user, "hush"));
        let load = Workload::orders(client, "orders")
            .producer(user)
            .value_bytes(100)
            .rate(300)
            .records(u64::MAX)
            .start()?;
        wait_for(&format!("records of {user}"), LIMIT, || {
            let ends = cluster.ends("orders").map_err(|error| error.to_string())?;
            match ends.values().map(|end| end.last_stable).min() {
                Some(least) if least > 2 * STANDS => Ok(()),
                few => Err(format!("{few:?}")),
            }
        })?;
        Ok(load)
    }

    /// `billing` reads its own side's topic, and has come to some place in it.
    fn place_billing(&self) -> Outcome {
        let Pair { source, target } = &self.pair;
        let places: Vec<_> = (0..PARTITIONS).map(|it| ("orders", it, STANDS)).collect();
        source.commit_group("billing", &places)?;
        wait_for("billing on usw2", LIMIT, || {
            match target.group_places("billing", &self.copies) {
                Ok(found) if found.len() == places.len() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        Ok(())
    }

    /// A recovery, with the applications that follow it: `billing` reads `topic` there.
    fn move_to(&self, to: &Cluster, mode: &str, topic: &str) -> Result<Moved, Box<dyn Error>> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let billing = scope.spawn(|| {
                self.follow("billing.json", to)?;
                self.read_on(to, topic, &done)
            });
            let shop = scope.spawn(|| {
                self.follow("shop.json", to)?;
                let shop = client_config(&to.client_properties_of("shop", "hush"));
                // Until the recovery is over, whatever that looks at meanwhile.
                let writing = Workload::orders(shop, "orders")
                    .producer(format!("moved-to-{}", to.alias()))
                    .value_bytes(100)
                    .rate(200)
                    .records(u64::MAX)
                    .start();
                writing.map_err(|error| error.to_string())
            });
            let evidence = self.recover(mode);
            let shop = shop.join().map_err(|_panic| "the shop panicked")?;
            let shop = shop.and_then(|writing| writing.stop().map_err(|error| error.to_string()));
            done.store(true, Ordering::Relaxed);
            let billing = billing.join().map_err(|_panic| "billing panicked")?;
            let evidence = evidence?;
            let told = |error: String| format!("{error}; the {mode}: {evidence}");
            assert!(shop.map_err(told)?.committed_total() > 0);
            let billing = billing.map_err(told)?;
            Ok(Moved {
                evidence,
                first: billing.first,
                read: billing.read,
            })
        })
    }

    /// Carries one out, with everything approved; its evidence.
    fn recover(&self, mode: &str) -> Result<Value, Box<dyn Error>> {
        let arguments = [mode, &self.file(), "--local", "--json", "--yes"];
        let output = understudy(arguments, MOVED_WITHIN)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let answer: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}"))?;
        let evidence = std::fs::read(text(&answer, "evidence"))?;
        Ok(serde_json::from_slice(&evidence)?)
    }

    /// What a tool prints, which ends well.
    fn tool(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = understudy(arguments, LIMIT)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (answered, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {answered}{said}"
        );
        Ok(answered)
    }

    /// An application follows its pointer: until it points there, it does nothing.
    fn follow(&self, pointer: &str, to: &Cluster) -> Ended<()> {
        let pointer = self.path(pointer);
        let pointed = wait_for("the pointer", MOVED_WITHIN, || {
            let text_of = std::fs::read(&pointer).unwrap_or_default();
            let points: Value = serde_json::from_slice(&text_of).unwrap_or_default();
            let active = text(&points, "active");
            (active == to.alias())
                .then_some(())
                .ok_or_else(|| active.to_owned())
        });
        pointed.map_err(|error| error.to_string())
    }

    /// Reads as `billing` until everybody is moved and everything is read.
    fn read_on(&self, on: &Cluster, topic: &str, done: &AtomicBool) -> Ended<ReadOn> {
        let read = on.read_on(
            "billing",
            topic,
            PARTITIONS as usize,
            done,
            2 * MOVED_WITHIN,
        );
        read.map_err(|error| chain(&error))
    }

    /// Whether the copies of one side's own topic are what it holds.
    fn is_exact(&self, from: &Cluster, to: &Cluster) -> Outcome {
        let verdict = judge(from, to).wait_exact(LIMIT)?;
        assert!(
            verdict.is_exact(),
            "{} to {}: {verdict}",
            from.alias(),
            to.alias()
        );
        Ok(())
    }

    /// Whether `billing` went on at the copy of the record that it would have read next.
    fn billing_went_on_exactly(&self, moved: &Moved) -> Outcome {
        let mut judge = judge(&self.pair.source, &self.pair.target);
        judge.compare()?;
        for partition in 0..PARTITIONS {
            let copy = judge.place_on_target(partition, STANDS);
            let first = moved.first.get(&partition).copied();
            assert_eq!(first, copy, "billing skipped or read again in {partition}");
        }
        Ok(())
    }

    /// Whether `billing` went on at home behind what it had read away from home.
    fn billing_reads_nothing_again(&self, away: &Moved, home: &Moved) -> Outcome {
        let again = away.read.intersection(&home.read).count();
        assert_eq!(again, 0, "billing read records again");
        let whole = committed(&self.pair.source)? - STANDS * i64::from(PARTITIONS);
        let read = away.read.len() + home.read.len();
        assert_eq!(i64::try_from(read)?, whole, "billing skipped records");
        Ok(())
    }

    fn shop_may_write_on(&self, cluster: &Cluster) -> Result<bool, Box<dyn Error>> {
        let client = client_config(&cluster.client_properties_of("shop", "hush"));
        let written = Workload::orders(client, "orders")
            .producer("asks")
            .records(4)
            .run();
        Ok(written.is_ok())
    }
}

fn judge(from: &Cluster, to: &Cluster) -> Judge {
    let copies = format!("{}.orders", from.alias());
    Judge::with_clients((from.client(), "orders"), (to.client(), &copies))
}

/// How many records the topic of a cluster's own side holds; nobody writes to it in transactions.
fn committed(cluster: &Cluster) -> Result<i64, Box<dyn Error>> {
    let ends = cluster.ends("orders")?;
    Ok(ends.values().map(|end| end.last_stable).sum())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
