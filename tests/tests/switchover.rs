//! Switchovers on real brokers, there and back, writers at work until they are refused: nothing is lost or doubled, groups
//! go on exactly, and the flow back carries what is written next and nothing else.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};
use understudy_kafka::{Cluster as Admin, Endpoint};
use understudy_tests::{
    Cluster, FlowFile, Judge, Listener, Pair, ReadOn, RunningWorkload, Worker, Workload, chain,
    client_config, fencing_proof, local_pair, understudy, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;
/// What a thread of the test ends with.
type Ended<T> = Result<T, String>;

const LIMIT: Duration = Duration::from_secs(60);
/// A whole switchover, its applications' coming back included.
const MOVED_WITHIN: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 4;
/// Where `billing` stands in each partition when it is first moved.
const STANDS: i64 = 40;

#[test]
fn there_and_back_nothing_is_lost_or_doubled_and_groups_go_on_exactly() -> Outcome {
    let pair = Pair::start(
        |source| source.user("shop", "hush"),
        |target| target.user("shop", "hush"),
    )?;
    let Pair { source, target } = &pair;
    source.create_topic("orders", PARTITIONS, &[])?;
    // Somebody looks after the topic on the target, where nobody may write yet.
    let (there_acls, here_acls) = (Acls::of(source)?, Acls::of(target)?);
    there_acls.allow("shop", &[AclOperation::Read, AclOperation::Write])?;
    here_acls.allow("keeper", &[AclOperation::Read])?;
    let forward = FlowFile::new(source, target)
        .topics(["orders"])
        .slots(2)
        .mirror("sync_acls", true)
        .mirror("config_sync_interval", "500ms");
    let reverse = FlowFile::new(target, source)
        .topics(["orders"])
        .slots(2)
        .in_folder(target.dir());
    let there = Worker::start(&forward, "forward")?;
    there.wait_ready(LIMIT)?;
    reverse.write("reverse", ([127, 0, 0, 1], 0).into())?;
    let file = target.dir().join("pair.toml");
    std::fs::write(&file, pair_text(source, target))?;

    wait_for(
        "the shop to be let read on the target",
        LIMIT,
        || match here_acls.let_in("shop", AclOperation::Read) {
            Ok(true) => Ok(()),
            told => Err(format!("{told:?}")),
        },
    )?;
    let may_write = || here_acls.let_in("shop", AclOperation::Write);
    assert!(!may_write()?, "writing waits until the target is opened");
    let load = load(source, "before")?;
    let places: Vec<_> = (0..PARTITIONS).map(|it| ("orders", it, STANDS)).collect();
    source.commit_group("billing", &places)?;
    let over = Turn::to(target, &file).run()?;
    // It was refused, which its thread may have told as an error.
    let _refused = load.stop();
    assert!(may_write()?, "the shop may write where it went");
    // What the source holds, the target holds: beside it only what was written there since.
    let mut judge = Judge::new(source, target, "orders");
    let seen = judge.compare()?;
    assert_eq!(
        seen.lost + seen.doubled + seen.out_of_order + seen.altered,
        0,
        "{seen}"
    );
    assert!(seen.foreign > 0, "nothing was written to the target");
    for partition in 0..PARTITIONS {
        let copy = judge.place_on_target(partition, STANDS);
        let first = over.first.get(&partition).copied();
        assert_eq!(first, copy, "billing skipped or read again in {partition}");
    }
    there.wait_reason(&["sealed"], LIMIT)?;
    // The old source gets what is new, once and in order.
    let back = Worker::start(&reverse, "back")?;
    let mut turned = Judge::new(target, source, "orders");
    let verdict = turned.wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", back.log());
    // What lies before the cut is told by the flow there, whose map lies where the flow back reads.
    let mut before = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let place = STANDS / 2 + i64::from(partition);
        let copy = judge.place_on_target(partition, place).ok_or("no copy")?;
        before.insert(partition, (copy, place));
    }
    follows("slow", &before, (target, source))?;
    assert_eq!(verified(&back, "slow")?, ["exact"; 4]);
    // Where somebody sets it elsewhere, that is seen, and left alone.
    let moved: Vec<_> = before
        .iter()
        .map(|(it, (_, place))| ("orders", *it, place + 5))
        .collect();
    source.commit_group("slow", &moved)?;
    assert_eq!(verified(&back, "slow")?, ["beyond, 5"; 4]);
    let right: Vec<_> = before
        .iter()
        .map(|(it, (_, place))| ("orders", *it, *place))
        .collect();
    source.commit_group("slow", &right)?;
    let (copy, place) = before.get(&0).copied().ok_or("no partition")?;
    assert_eq!(translated(&back, copy, &[])?, ("exact".to_owned(), place));
    let reverse = ["--reverse"];
    let asked = translated(&back, place, &reverse)?;
    assert_eq!(asked, ("exact".to_owned(), copy));
    let mut away = BTreeMap::new();
    for (partition, end) in target.ends("orders")? {
        let place = end.last_stable - 1;
        let copy = turned.place_on_target(partition, place).ok_or("no copy")?;
        away.insert(partition, (copy, place));
    }

    // Home again: the fence of the first time is lifted, and the first flow goes on behind what the other one copied.
    let load = self::load(target, "away")?;
    let home = Turn::to(source, &file).run()?;
    let _refused = load.stop();
    let again = over.read.intersection(&home.read).count();
    assert_eq!(
        again, 0,
        "billing read records again that it had read before"
    );
    let verdict = Judge::new(source, target, "orders").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", there.log());
    // And the other way round: what was written while everybody was away.
    follows("late", &away, (source, target))?;
    // Between them, billing has read everything from where it stood.
    let whole = verdict.produced - u64::try_from(STANDS)? * u64::try_from(PARTITIONS)?;
    assert_eq!((over.read.len() + home.read.len()) as u64, whole);
    Ok(())
}

/// Who is let in to the topic on one side.
struct Acls(Admin);

impl Acls {
    fn of(cluster: &Cluster) -> Result<Self, Box<dyn Error>> {
        let properties = cluster.client_properties(Listener::Plaintext);
        let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
        Ok(Self(Admin::open(&endpoint)?))
    }

    fn allow(&self, user: &str, operations: &[AclOperation]) -> Outcome {
        let acls: Vec<Acl> = operations
            .iter()
            .map(|operation| Acl {
                resource: AclResource::Topic,
                name: "orders".to_owned(),
                pattern: AclPattern::Literal,
                principal: format!("User:{user}"),
                host: "*".to_owned(),
                operation: *operation,
                permission: AclPermission::Allow,
            })
            .collect();
        let refused = self.0.add_acls(&acls.iter().collect::<Vec<_>>(), LIMIT)?;
        assert!(refused.is_empty(), "{refused:?}");
        Ok(())
    }

    fn let_in(&self, user: &str, operation: AclOperation) -> Result<bool, Box<dyn Error>> {
        let acls = self.0.acls(LIMIT)?;
        Ok(acls.known.iter().any(|acl| {
            acl.principal == format!("User:{user}")
                && acl.name == "orders"
                && acl.operation == operation
                && acl.permission == AclPermission::Allow
        }))
    }
}

/// A group that is committed on one side, by partition, stands on the other where it should: at the second of each pair.
fn follows(
    group: &str,
    places: &BTreeMap<i32, (i64, i64)>,
    (from, to): (&Cluster, &Cluster),
) -> Outcome {
    let committed: Vec<_> = places
        .iter()
        .map(|(partition, (here, _))| ("orders", *partition, *here))
        .collect();
    from.commit_group(group, &committed)?;
    let there: BTreeMap<i32, i64> = places
        .iter()
        .map(|(it, (_, there))| (*it, *there))
        .collect();
    wait_for(&format!("{group} to stand at {there:?}"), LIMIT, || {
        let found = to.group_places(group, "orders");
        match found.map_err(|error| error.to_string())? {
            found if found == there => Ok(()),
            found => Err(format!("it stands at {found:?}")),
        }
    })?;
    Ok(())
}

/// How `verify` finds a group to stand in each partition, and how many records it would skip.
fn verified(worker: &Worker, group: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let flow = worker.flow().display().to_string();
    let output = understudy(["verify", &flow, "--json"], LIMIT)?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let places = found.pointer("/groups/places").and_then(Value::as_array);
    let of_group = places
        .into_iter()
        .flatten()
        .filter(|it| at(it, "group") == group);
    let told = of_group.map(
        |it| match it.get("skipped_records").and_then(Value::as_u64) {
            Some(skipped) => format!("{}, {skipped}", at(it, "state")),
            None => at(it, "state").to_owned(),
        },
    );
    Ok(told.collect())
}

/// How `translate` answers for an offset of the first partition, and where it lies on the other side.
fn translated(
    worker: &Worker,
    offset: i64,
    options: &[&str],
) -> Result<(String, i64), Box<dyn Error>> {
    let (flow, offset) = (worker.flow().display().to_string(), offset.to_string());
    let asked = ["translate", &flow, "--json", "--topic", "orders"];
    let place = ["--partition", "0", "--offset", &offset];
    let output = understudy(asked.iter().chain(&place).chain(options).copied(), LIMIT)?;
    let line: Value = serde_json::from_slice(&output.stdout)?;
    let field = match options.is_empty() {
        true => "target_offset",
        false => "source_offset",
    };
    let there = line.get(field).and_then(Value::as_i64);
    let there = there.ok_or_else(|| format!("no answer: {line}"))?;
    Ok((at(&line, "translation").to_owned(), there))
}

/// The shop writes with its own login until the brokers refuse it.
fn load(cluster: &Cluster, producer: &str) -> Result<RunningWorkload, Box<dyn Error>> {
    let before = cluster.ends("orders")?;
    let shop = client_config(&cluster.client_properties_of("shop", "hush"));
    let load = Workload::orders(shop, "orders")
        .producer(producer)
        .value_bytes(100)
        .rate(500)
        .records(u64::MAX)
        .start()?;
    wait_for("records of the shop", LIMIT, || {
        let ends = cluster.ends("orders").map_err(|error| error.to_string())?;
        let grown = ends.iter().map(|(partition, end)| {
            let before = before.get(partition).map_or(0, |end| end.last_stable);
            end.last_stable - before
        });
        match grown.min() {
            Some(least) if least > 2 * STANDS => Ok(()),
            few => Err(format!("{few:?}")),
        }
    })?;
    Ok(load)
}

/// A switchover, with the applications that follow it.
struct Turn<'a> {
    to: &'a Cluster,
    file: &'a Path,
}

impl<'a> Turn<'a> {
    const fn to(to: &'a Cluster, file: &'a Path) -> Self {
        Self { to, file }
    }

    fn run(&self) -> Result<ReadOn, Box<dyn Error>> {
        let moved = AtomicBool::new(false);
        let (answer, turned) = thread::scope(|scope| -> Result<_, Box<dyn Error>> {
            let billing = scope.spawn(|| self.read_on(&moved));
            let shop = scope.spawn(|| self.writes());
            let answer = switchover(self.file);
            let shop = shop.join().map_err(|_panic| "the shop panicked")?;
            let shop = shop.and_then(|writing| writing.stop().map_err(|error| error.to_string()));
            moved.store(true, Ordering::Relaxed);
            let billing = billing.join().map_err(|_panic| "billing panicked")?;
            let answer = answer?;
            // What the applications met has its reason in how it ended.
            let told = |error: String| format!("{error}; the switchover: {answer}");
            assert!(shop.map_err(told)?.committed_total() > 0);
            let billing = billing.map_err(told)?;
            Ok((answer, billing))
        })?;
        assert_eq!(at(&answer, "ended"), "TargetActive", "{answer}");
        let evidence: Value = serde_json::from_slice(&std::fs::read(at(&answer, "evidence"))?)?;
        let lost = evidence.pointer("/loss/records_at_most");
        assert_eq!(lost.and_then(Value::as_u64), Some(0), "{lost:?}");
        let fence = did(&evidence, "fence-source").ok_or("no fence")?;
        assert!(fence.contains("was refused"), "{fence}");
        let started = did(&evidence, "start-flow").ok_or("no flow back")?;
        assert!(started.contains("was told to run"), "{started}");
        let pause = time(&evidence, "open-target", "ended_at_ms").ok_or("not opened")?
            - time(&evidence, "fence-source", "began_at_ms").ok_or("not fenced")?;
        println!("nobody could write for {pause} ms");
        assert!(pause < 10_000, "nobody could write for {pause} ms");
        Ok(turned)
    }

    /// An application follows its pointer: until it points here, it does nothing.
    fn follow(&self, pointer: &str) -> Ended<()> {
        let pointer: PathBuf = self.file.with_file_name(pointer);
        let deadline = Instant::now() + MOVED_WITHIN;
        loop {
            let text = std::fs::read(&pointer).unwrap_or_default();
            let points: Value = serde_json::from_slice(&text).unwrap_or_default();
            if at(&points, "active") == self.to.alias() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} never pointed here", pointer.display()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Reads as `billing` until everybody is moved and everything is read.
    fn read_on(&self, moved: &AtomicBool) -> Ended<ReadOn> {
        self.follow("billing.json")?;
        let read = self.to.read_on(
            "billing",
            "orders",
            PARTITIONS as usize,
            moved,
            2 * MOVED_WITHIN,
        );
        read.map_err(|error| chain(&error))
    }

    /// The shop, which writes once it is told to: until the switchover is over, whatever that looks at meanwhile.
    fn writes(&self) -> Ended<RunningWorkload> {
        self.follow("shop.json")?;
        let shop = client_config(&self.to.client_properties_of("shop", "hush"));
        let writing = Workload::orders(shop, "orders")
            .producer(format!("on-{}", self.to.alias()))
            .value_bytes(100)
            .rate(200)
            .records(u64::MAX)
            .start();
        writing.map_err(|error| error.to_string())
    }
}

fn pair_text(source: &Cluster, target: &Cluster) -> String {
    let more = "[[applications]]\nname = \"billing\"\nrole = \"consumer\"\ngroups = [\"billing\"]\n\
         adapters = [{ kind = \"file\", path = \"billing.json\" }]\n\n\
         [[applications]]\nname = \"shop\"\nrole = \"producer\"\ntopics = [\"orders\"]\n\
         adapters = [{ kind = \"file\", path = \"shop.json\" }]\n\n\
         [fencing]\nwriters = [\"User:shop\"]\n";
    let proofs = [source, target].map(|cluster| fencing_proof(cluster, "shop", "hush"));
    local_pair(source, target) + more + &proofs.concat()
}

fn switchover(pair: &Path) -> Result<Value, Box<dyn Error>> {
    let file = pair.display().to_string();
    let arguments = ["switchover", &file, "--local", "--json", "--yes"];
    let output = understudy(arguments, MOVED_WITHIN)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(serde_json::from_str(&said).map_err(|error| format!("{error}: {said}\n{told}"))?)
}

/// What a step did, in words.
fn did(evidence: &Value, name: &str) -> Option<String> {
    let steps = evidence.get("steps")?.as_array()?;
    let step = steps.iter().find(|it| at(it, "step") == name)?;
    let did = step.get("did")?.as_array()?;
    let lines: Vec<&str> = did.iter().filter_map(Value::as_str).collect();
    Some(lines.join("; "))
}

/// When a step began or ended, in milliseconds since 1970.
fn time(evidence: &Value, name: &str, field: &str) -> Option<i64> {
    let steps = evidence.get("steps")?.as_array()?;
    let step = steps.iter().find(|it| at(it, "step") == name)?;
    step.get(field)?.as_i64()
}

fn at<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
