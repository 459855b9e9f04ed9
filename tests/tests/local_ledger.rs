//! A ledger in a topic of both clusters, on real brokers: recoveries are started from anywhere, of two at once one has the
//! pair, and neither a lost cluster nor a lost machine keeps the next one from it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use understudy_tests::{
    Cluster, FlowFile, Pair, Process, Worker, Workload, local_pair, understudy, understudy_binary,
    wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(90);
const LEDGER: &str = "understudy.lab.ledger";

#[test]
fn of_two_that_start_anywhere_one_has_the_pair_and_a_third_takes_over_without_the_lost_cluster()
-> Outcome {
    let pair = Pair::start(|source| source.own_processes(), |target| target)?;
    let (source, target) = (&pair.source, &pair.target);
    source.create_topic("orders", 2, &[])?;
    let forward = FlowFile::new(source, target).topics(["orders"]).slots(2);
    let worker = Worker::start(&forward, "forward")?;
    let nowhere = ([127, 0, 0, 1], 0).into();
    FlowFile::new(target, source)
        .topics(["orders"])
        .slots(2)
        .in_folder(target.dir())
        .write("reverse", nowhere)?;
    Workload::orders(source.client(), "orders")
        .records(200)
        .run()?;
    worker.wait_copied(source, "orders", LIMIT)?;
    let file = target.dir().join("pair.toml");
    let text = local_pair(source, target);
    std::fs::write(&file, format!("ledger = \"kafka\"\n{text}"))?;

    let unleashed = understudy(
        ["drill", &path(&file), "--local", "--unleashed", "--yes"],
        LIMIT,
    )?;
    let told = String::from_utf8_lossy(&unleashed.stderr).into_owned();
    assert_eq!(unleashed.status.code(), Some(1), "{told}");
    assert!(
        told.contains("not drilling unleashed") && told.contains("orders"),
        "{told}"
    );

    // Two people at two machines: nothing is shared but the clusters. The active one is well, so each would be asked.
    let mut racing = [Machine::start(&file, "one")?, Machine::start(&file, "two")?];
    let loser = wait_for("one of two to be turned away", LIMIT, || {
        for (at, machine) in racing.iter_mut().enumerate() {
            let ended = machine
                .process
                .try_status()
                .map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Ok((at, status.code()));
            }
        }
        Err(String::new())
    })?;
    let [one, two] = &mut racing;
    let (lost, won) = if loser.0 == 0 { (one, two) } else { (two, one) };
    let told = std::fs::read_to_string(lost.process.log())?;
    assert_eq!(loser.1, Some(1), "{told}");
    assert!(
        told.contains("is under way since epoch e1") || told.contains("was superseded"),
        "{told}"
    );
    wait_for("the other one to ask", LIMIT, || {
        let told = std::fs::read_to_string(won.process.log()).unwrap_or_default();
        if told.contains("understudy approve") {
            Ok(())
        } else {
            Err(told)
        }
    })?;
    let held = newest(target)?;
    // The copy that only follows is let be for a while where it was slow to answer: it may know less, never more.
    let known = newest(source)?;
    assert!(
        at(&known, "/version").as_u64() <= at(&held, "/version").as_u64(),
        "{known} is ahead of {held}"
    );
    let execution = at(&held, "/phase/execution")
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(execution.starts_with("lab-e1-failover-"), "{held}");

    // Its machine is gone, and so is the active cluster. From elsewhere nobody can tell the first.
    won.process.kill()?;
    for broker in source.brokers() {
        broker.kill()?;
    }
    let third = |more: &[&str]| recover(&file, "three", &[&["--yes"], more].concat());
    let (code, told) = third(&[])?;
    assert_eq!(code, 1, "{told}");
    let stand = at(&told, "/stand").as_str().unwrap_or_default();
    assert!(
        stand.contains(&execution) && stand.contains("--supersede"),
        "{told}"
    );
    let (code, told) = third(&["--supersede"])?;
    assert_eq!(
        (code, at(&told, "/ended").as_str()),
        (0, Some("TargetActive")),
        "{told}"
    );
    let ledger = newest(target)?;
    let stands = (
        at(&ledger, "/active"),
        at(&ledger, "/epoch"),
        at(&ledger, "/phase/phase"),
    );
    assert_eq!(
        stands,
        (&"usw2".into(), &2.into(), &"steady".into()),
        "{ledger}"
    );

    // The cluster that comes back learns who is active, from whoever fences it.
    for broker in source.brokers() {
        broker.start()?;
    }
    source.wait_ready()?;
    assert_eq!(newest(source)?, known, "it knows what it knew");
    let arguments = [
        "fence",
        &path(&file),
        "--local",
        "--state",
        &state(&file, "four"),
    ];
    wait_for("both to know who is active", LIMIT, || {
        let fenced = understudy(arguments, LIMIT).map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&fenced.stdout).into_owned();
        let [here, there] =
            [source, target].map(|it| newest(it).map_err(|error| error.to_string()));
        match here? == there? && !told.contains("newest ledger") {
            true => Ok(()),
            false => Err(told),
        }
    })?;
    Ok(())
}

/// Somebody's machine, with a folder of its own.
struct Machine {
    process: Process,
}

impl Machine {
    /// Starts a failover there, which waits for an answer.
    fn start(file: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let folder = PathBuf::from(state(file, name));
        std::fs::create_dir_all(&folder)?;
        let arguments = [
            "failover",
            &path(file),
            "--local",
            "--wait",
            "--state",
            &state(file, name),
        ];
        let process = Process::start(
            format!("failover of machine {name}"),
            understudy_binary()?,
            arguments,
            &[],
            folder.join("failover.log"),
        )?;
        Ok(Self { process })
    }
}

/// A failover at a machine, to its end.
fn recover(file: &Path, machine: &str, more: &[&str]) -> Result<(i32, Value), Box<dyn Error>> {
    let (file, state) = (path(file), state(file, machine));
    let arguments = ["failover", &file, "--local", "--json", "--state", &state];
    let output = understudy([&arguments, more].concat(), LIMIT)?;
    let said =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    Ok((output.status.code().unwrap_or(-1), said))
}

/// What a cluster's copy of the ledger says.
fn newest(cluster: &Cluster) -> Result<Value, Box<dyn Error>> {
    let records = cluster.read_all(LEDGER)?;
    let last = records.last().and_then(|record| record.value.clone());
    let stored: Value = serde_json::from_slice(&last.ok_or("the ledger is empty")?)?;
    assert_eq!(stored.get("version"), Some(&1.into()), "{stored}");
    Ok(at(&stored, "/ledger").clone())
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn path(file: &Path) -> String {
    file.display().to_string()
}

fn state(file: &Path, machine: &str) -> String {
    path(&file.with_file_name(format!("machine-{machine}")))
}
