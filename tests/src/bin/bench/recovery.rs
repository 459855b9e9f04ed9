//! How long recoveries take: a failover whose source is dead, the pause that writers have in a switchover, and a look at a
//! large pair. All carried out by one process (`--local`); the times are those of the recovery's own evidence.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;
use understudy_tests::{
    ClusterBuilder, FlowFile, Pair, Worker, Workload, client_config, fencing_proof, local_pair,
    understudy, wait_for,
};

use crate::codec::Codec;
use crate::error::{BenchError, Doing, Result};
use crate::lab::Lab;
use crate::load::produce;

const LIMIT: Duration = Duration::from_secs(180);
/// How many partitions a topic has.
pub const PARTITIONS_EACH: i32 = 10;
/// Records of each partition, and how many of them every group has read.
const RECORDS: u64 = 100;
const READ: i64 = 50;
/// The pair that is moved.
const USUAL: Size = Size {
    topics: 10,
    groups: 50,
    records: None,
};
/// The pair that is looked at.
const LARGE: Size = Size {
    topics: 100,
    groups: 200,
    records: None,
};
/// A writer, with a login of its own.
const SHOP: (&str, &str) = ("shop", "hush");

/// How large a pair is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Topics, of ten partitions each.
    pub topics: usize,
    /// Groups, each in every partition.
    pub groups: usize,
    /// Records, if not a hundred in each partition.
    pub records: Option<u64>,
}

/// What took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// From the command until every client was told where to go; the source being dead.
    Failover,
    /// Of that, the recovery's own steps.
    OwnSteps,
    /// In a switchover, from the first refused write until writers were let in on the other side.
    WritePause,
    /// Assess and plan, of the large pair.
    Look,
}

/// One time.
#[derive(Clone, Debug, Serialize)]
pub struct RecoveryRun {
    /// Of what.
    pub span: Span,
    /// How long.
    pub seconds: f64,
}

/// Moves one pair over each way, and looks at a large one.
pub fn section(lab: &Lab) -> Result<Vec<RecoveryRun>> {
    let mut runs = Vec::new();
    failover(lab, &mut runs)?;
    write_pause(lab, &mut runs)?;
    look(lab, &mut runs)?;
    Ok(runs)
}

fn note(lab: &Lab, runs: &mut Vec<RecoveryRun>, span: Span, milliseconds: i64) {
    let seconds = milliseconds as f64 / 1e3;
    lab.progress
        .say(&format!("recovery, {span:?}: {seconds:.2} s"));
    runs.push(RecoveryRun { span, seconds });
}

fn failover(lab: &Lab, runs: &mut Vec<RecoveryRun>) -> Result<()> {
    let scene = Scene::start(lab, USUAL)?;
    for broker in scene.pair.source.brokers() {
        broker.kill()?;
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let asked = since_1970.unwrap_or_default().as_millis();
    let evidence = scene.recover(&["failover", "--yes", "--reason", "bench"], "TargetActive")?;
    let told = evidence.last("reconfigure-clients", "ended_at_ms")?;
    let asked = i64::try_from(asked).unwrap_or(i64::MAX);
    note(lab, runs, Span::Failover, told - asked);
    // Whatever is asked is answered at once.
    let claimed = evidence.first("claim-epoch", "began_at_ms")?;
    note(lab, runs, Span::OwnSteps, told - claimed);
    Ok(())
}

fn write_pause(lab: &Lab, runs: &mut Vec<RecoveryRun>) -> Result<()> {
    let scene = Scene::start(lab, USUAL)?;
    let shop = scene.pair.source.client_properties_of(SHOP.0, SHOP.1);
    let load = Workload::orders(client_config(&shop), topic(0))
        .producer(SHOP.0)
        .value_bytes(100)
        .rate(500)
        .records(u64::MAX)
        .start()?;
    let evidence = scene.recover(&["switchover", "--yes"], "TargetActive");
    // It was refused, which its thread may have told as an error.
    let _refused = load.stop();
    let evidence = evidence?;
    let pause = evidence.last("open-target", "ended_at_ms")?
        - evidence.first("fence-source", "began_at_ms")?;
    note(lab, runs, Span::WritePause, pause);
    Ok(())
}

fn look(lab: &Lab, runs: &mut Vec<RecoveryRun>) -> Result<()> {
    let scene = Scene::start(lab, LARGE)?;
    let evidence = scene.recover(&["drill"], "DrillDone")?;
    let look =
        evidence.last("plan-recovery", "ended_at_ms")? - evidence.first("assess", "began_at_ms")?;
    note(lab, runs, Span::Look, look);
    Ok(())
}

/// The name of a topic.
pub fn topic(number: usize) -> String {
    format!("moved-{number}")
}

/// A pair of its own, mirrored, every group's place on both sides.
pub struct Scene {
    /// Its clusters.
    pub pair: Pair,
    /// The flow home.
    pub reverse: FlowFile,
    file: PathBuf,
    _worker: Worker,
}

impl Scene {
    /// Starts it.
    pub fn start(lab: &Lab, size: Size) -> Result<Self> {
        let (dir, _) = lab.next_run()?;
        let builder = |cluster: ClusterBuilder, dir: &Path| {
            cluster.dir(dir).user(SHOP.0, SHOP.1).own_processes()
        };
        let pair = Pair::start(
            |source| builder(source, &dir.join("use1")),
            |target| builder(target, &dir.join("usw2")),
        )?;
        let Pair { source, target } = &pair;
        let topics: Vec<String> = (0..size.topics).map(topic).collect();
        for topic in &topics {
            source.create_topic(topic, PARTITIONS_EACH, &[])?;
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let usual = RECORDS * PARTITIONS_EACH.unsigned_abs() as u64 * size.topics as u64;
        let records = size.records.unwrap_or(usual);
        produce(source, &names, PARTITIONS_EACH, records, Codec::Lz4)?;
        let of_topic = |topic| (0..PARTITIONS_EACH).map(move |it| (topic, it, READ));
        let places: Vec<_> = names.iter().copied().flat_map(of_topic).collect();
        for number in 0..size.groups {
            source.commit_group(&format!("app-{number}"), &places)?;
        }
        let flow = |from, to| {
            FlowFile::new(from, to)
                .topics(["moved-.*"])
                .groups(["app-.*"])
                .in_folder(target.dir())
        };
        let worker = Worker::start(&flow(source, target), "forward")?;
        let reverse = flow(target, source);
        reverse.write("reverse", ([127, 0, 0, 1], 0).into())?;
        worker.wait_ready(LIMIT)?;
        for topic in &names {
            worker.wait_copied(source, topic, LIMIT)?;
        }
        for number in 0..size.groups {
            let group = format!("app-{number}");
            for topic in names.first().into_iter().chain(names.last()) {
                wait_for(&format!("the place of {group} in {topic}"), LIMIT, || {
                    let places = target.group_places(&group, topic);
                    let places = places.map_err(|error| error.to_string())?;
                    match places.len() == PARTITIONS_EACH.unsigned_abs() as usize {
                        true => Ok(()),
                        false => Err(format!("{places:?}")),
                    }
                })?;
            }
        }
        let file = target.dir().join("pair.toml");
        let more = "[[applications]]\nname = \"app\"\nrole = \"consumer\"\n\
             adapters = [{ kind = \"file\", path = \"app.json\" }]\n\n\
             [[applications]]\nname = \"shop\"\nrole = \"producer\"\n\
             adapters = [{ kind = \"file\", path = \"shop.json\" }]\n\n\
             [fencing]\nwriters = [\"User:shop\"]\n";
        let proofs = [source, target].map(|it| fencing_proof(it, SHOP.0, SHOP.1));
        let text = local_pair(source, target) + more + &proofs.concat();
        std::fs::write(&file, text).doing(format!("write {}", file.display()))?;
        Ok(Self {
            pair,
            reverse,
            file,
            _worker: worker,
        })
    }

    /// Carries a recovery out, and reads its evidence.
    pub fn recover(&self, command: &[&str], ends: &str) -> Result<Evidence> {
        let file = self.file.display().to_string();
        let mut arguments = command.to_vec();
        arguments.insert(1, &file);
        arguments.extend(["--local", "--json"]);
        let output = understudy(&arguments, LIMIT)?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let text = |field: &str| answer.get(field).and_then(Value::as_str);
        let path = text("evidence").filter(|_| text("ended") == Some(ends));
        let Some(path) = path else {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(BenchError::NotMeasured(format!(
                "{command:?} did not end as {ends}: {answer}\n{told}"
            )));
        };
        let bytes = std::fs::read(path).doing(format!("read {path}"))?;
        Ok(Evidence(serde_json::from_slice(&bytes)?))
    }
}

/// What a recovery tells of itself.
pub struct Evidence(Value);

impl Evidence {
    fn steps(&self) -> impl DoubleEndedIterator<Item = &Value> {
        let steps = self.0.get("steps").and_then(Value::as_array);
        steps.into_iter().flatten()
    }

    /// A time of the first call of a step.
    pub fn first(&self, step: &str, field: &str) -> Result<i64> {
        time(self.steps().find(|it| is(it, step)), step, field)
    }

    /// A time of the last call of a step.
    pub fn last(&self, step: &str, field: &str) -> Result<i64> {
        time(self.steps().rfind(|it| is(it, step)), step, field)
    }
}

fn is(step: &Value, name: &str) -> bool {
    step.get("step").and_then(Value::as_str) == Some(name)
}

fn time(step: Option<&Value>, name: &str, field: &str) -> Result<i64> {
    let found = step.and_then(|step| step.get(field)?.as_i64());
    found.ok_or_else(|| BenchError::NotMeasured(format!("the evidence has no {field} of {name}")))
}
