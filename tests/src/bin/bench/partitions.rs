//! What partitions cost: one worker, ten partitions a topic, from one topic to a hundred.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use understudy_tests::{Cluster, FlowFile, LabError, Listener, Worker};

use crate::clients::reader_config;
use crate::codec::Codec;
use crate::error::{Doing, Result};
use crate::lab::{Aliases, Lab};
use crate::load::{Pace, Steady, produce};

/// How many topics, in turn.
const TOPICS: [usize; 3] = [1, 10, 100];
const PARTITIONS_EACH: i32 = 10;
/// The load while the cost is measured: the same for every number of partitions.
const PACE: Pace = Pace {
    records_per_second: 2_000,
    value_bytes: 1_000,
    codec: Codec::Lz4,
};
const LIMIT: Duration = Duration::from_secs(120);
/// Time for the last commits and first checks to be over.
const SETTLE: Duration = Duration::from_secs(5);
/// How often new topics' ends are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// One worker with so many partitions.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionsRun {
    /// How many partitions.
    pub partitions: usize,
    /// From the start of the process until the record in every partition was committed on the target.
    pub all_flowing_seconds: f64,
    /// From the creation of one more topic until its copy was made and a record in every partition committed there.
    pub new_topic_seconds: f64,
    /// CPU time with nothing to copy, in percent of a core.
    pub idle_cpu_percent: f64,
    /// CPU time at 2 MB/s spread over all partitions, in percent of a core.
    pub loaded_cpu_percent: f64,
    /// The target broker's CPU time meanwhile, in percent of a core.
    pub loaded_target_cpu_percent: f64,
    /// Peak resident memory.
    pub peak_mb: f64,
}

/// Measures each number of partitions.
pub fn section(lab: &Lab) -> Result<Vec<PartitionsRun>> {
    let mut runs = Vec::new();
    for topics in TOPICS {
        let run = measure(lab, topics)?;
        lab.progress.say(&format!(
            "{} partitions: all flowing after {:.1} s, new topic after {:.1} s, idle {:.2} %, at 2 MB/s {:.1} % and {:.1} % on the target broker, peak {:.0} MB",
            run.partitions,
            run.all_flowing_seconds,
            run.new_topic_seconds,
            run.idle_cpu_percent,
            run.loaded_cpu_percent,
            run.loaded_target_cpu_percent,
            run.peak_mb
        ));
        runs.push(run);
        lab.clear(&[])?;
    }
    Ok(runs)
}

fn measure(lab: &Lab, topics: usize) -> Result<PartitionsRun> {
    let names: Vec<String> = (0..topics).map(|number| format!("many-{number}")).collect();
    for name in &names {
        lab.source.create_topic(name, PARTITIONS_EACH, &[])?;
    }
    let partitions = topics * usize::try_from(PARTITIONS_EACH).unwrap_or_default();
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let records = u64::try_from(partitions).unwrap_or(u64::MAX);
    produce(&lab.source, &topics, PARTITIONS_EACH, records, PACE.codec)?;
    let (dir, aliases) = lab.next_run()?;
    let started = Instant::now();
    let worker = Worker::start(&flow(lab, &aliases, &dir), "worker")?;
    wait_everywhere(&lab.target, &names, &worker)?;
    let all_flowing_seconds = started.elapsed().as_secs_f64();

    std::thread::sleep(SETTLE);
    let idle = Window::open(lab, &worker);
    std::thread::sleep(lab.plan.idle_window);
    let [idle_cpu_percent, _] = idle.close(lab, &worker);

    let loaded = Window::open(lab, &worker);
    let load = Steady::start(&lab.source, &topics, PARTITIONS_EACH, &PACE)?;
    std::thread::sleep(lab.plan.idle_window);
    load.finish()?;
    let [loaded_cpu_percent, loaded_target_cpu_percent] = loaded.close(lab, &worker);

    let new_topic_seconds = new_topic(lab, &worker)?;
    let peak_mb = worker.peak_rss_bytes().unwrap_or_default() as f64 / 1e6;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    Ok(PartitionsRun {
        partitions,
        all_flowing_seconds,
        new_topic_seconds,
        idle_cpu_percent,
        loaded_cpu_percent,
        loaded_target_cpu_percent,
        peak_mb,
    })
}

/// Everything as it comes.
fn flow(lab: &Lab, aliases: &Aliases, dir: &Path) -> FlowFile {
    FlowFile::with_clients(
        (
            &aliases.source,
            lab.source.client_properties(Listener::Plaintext),
        ),
        (
            &aliases.target,
            lab.target.client_properties(Listener::Plaintext),
        ),
        dir,
    )
    .topics(["many-.*"])
    .slots(lab.plan.slots)
}

/// Waits until every partition's record is committed on the target.
fn wait_everywhere(target: &Cluster, names: &[String], worker: &Worker) -> Result<()> {
    let begun = Instant::now();
    let mut wanted = TopicPartitionList::new();
    for name in names {
        for partition in 0..PARTITIONS_EACH {
            wanted
                .add_partition_offset(name, partition, Offset::End)
                .doing(format!("name partition {partition} of {name}"))?;
        }
    }
    loop {
        worker.expect_running()?;
        // Topics that are not there yet make the call fail, and a client that has asked for one keeps that answer long.
        let reader: BaseConsumer = reader_config(target).create().doing("create a consumer")?;
        let filled = reader.offsets_for_times(wanted.clone(), LIMIT).map(|ends| {
            let elements = ends.elements();
            let filled = |end: &&TopicPartitionListElem<'_>| matches!(end.offset(), Offset::Offset(offset) if offset > 0);
            elements.iter().filter(filled).count()
        });
        match filled {
            Ok(filled) if filled == wanted.count() => return Ok(()),
            seen if begun.elapsed() > LIMIT => {
                return Err(LabError::TooLate {
                    what: "a record in every partition of the target".to_owned(),
                    waited: LIMIT,
                    hint: format!("; with one: {seen:?}"),
                }
                .into());
            }
            Ok(_) | Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// One more topic: how long until its copy is made and holds a record in each partition. Looked at every [`LOOK`], and how
/// long a look takes counts as well.
fn new_topic(lab: &Lab, worker: &Worker) -> Result<f64> {
    let name = "many-new";
    let begun = Instant::now();
    lab.source.create_topic(name, PARTITIONS_EACH, &[])?;
    let records = u64::try_from(PARTITIONS_EACH).unwrap_or_default();
    produce(&lab.source, &[name], PARTITIONS_EACH, records, PACE.codec)?;
    wait_everywhere(&lab.target, &[name.to_owned()], worker)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// CPU times at the beginning of a window.
struct Window {
    begun: Instant,
    before: [f64; 2],
}

impl Window {
    fn open(lab: &Lab, worker: &Worker) -> Self {
        Self {
            before: Self::look(lab, worker),
            begun: Instant::now(),
        }
    }

    fn look(lab: &Lab, worker: &Worker) -> [f64; 2] {
        [worker.cpu_seconds(), lab.target.cpu_seconds()]
    }

    /// The worker's and the target broker's, in percent of a core.
    fn close(self, lab: &Lab, worker: &Worker) -> [f64; 2] {
        let seconds = self.begun.elapsed().as_secs_f64();
        let [worker_after, target_after] = Self::look(lab, worker);
        let [worker_before, target_before] = self.before;
        [worker_after - worker_before, target_after - target_before]
            .map(|cpu| cpu / seconds * 100.0)
    }
}
