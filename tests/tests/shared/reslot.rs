//! A flow gets another number of slots: nothing is lost, copied again or forgotten, wherever the change is cut off.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use understudy_domain::{
    EndLook, FlowName, FlowRecord, Position, StateTopics, TopicPartition, slot_of,
};
use understudy_kafka::{Cluster as Client, Endpoint};
use understudy_tests::{
    Cluster, FlowFile, Judge, Listener, Pair, Process, Worker, Workload, understudy,
    understudy_binary, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 12;
const TOPIC: &str = "reslotted";
/// The topic whose second record the target refuses.
const HOLED: &str = "reslotted-holed";
/// In the middle of the slots that the first change empties one after the other.
const BLOCKED: i32 = 5;

#[test]
fn slots_change_under_load_and_a_change_cut_off_is_finished_by_whoever_comes_next() -> Outcome {
    let flow = Moving::new()?;
    flow.make_a_gap()?;
    let first = flow.worker(8, "eight")?;
    first.wait_reason(&["reslotted-holed-0 halted"], LIMIT)?;
    let load = Workload::orders(flow.source.client(), TOPIC)
        .value_bytes(60)
        .records(10_000_000)
        .rate(300)
        .start()?;
    flow.wait_copies(1_500)?;

    // A change that stands in the middle: one slot's map cannot be read to its end.
    let blocker = flow.block()?;
    let log = flow.target.dir().join("reslot-3.log");
    let (three, tool) = (flow.file(3, "to-three")?, understudy_binary()?);
    let arguments = [Path::new("reslot").as_os_str(), three.as_os_str()];
    let mut tool = Process::start("reslot", tool, arguments, &[], &log)?;
    wait_for(
        "the slots before the blocked one to be empty",
        LIMIT,
        || {
            tool.expect_running().map_err(|error| error.to_string())?;
            let lying = flow.positions(8).map_err(|error| error.to_string())?;
            let below = lying.values().filter(|(slot, _)| (3..5).contains(slot));
            match below.count() {
                0 => Ok(()),
                left => Err(format!("{left} are left")),
            }
        },
    )?;
    // Workers with the old number stop, and say why.
    assert_eq!(first.wait(LIMIT)?.code(), Some(2), "{}", first.log());
    assert!(
        first.log().contains("are being changed from 8 to 3"),
        "{}",
        first.log()
    );
    tool.kill()?;
    let record = flow.record()?;
    assert_eq!(
        (record.generation, record.slots.get()),
        (1, 8),
        "it was cut off before its end"
    );
    assert_eq!(record.changing_to, NonZeroU32::new(3));
    let lying = flow.positions(8)?;
    assert_eq!(lying.len(), 13, "each partition's state is in one place");
    assert!(
        lying.values().any(|(slot, _)| *slot == 5),
        "nothing is left to do"
    );
    blocker.abort_transaction(LIMIT)?;

    // A worker with the new number goes on with it by itself.
    let second = flow.worker(3, "three")?;
    let before = flow.copies()?;
    flow.wait_copies(before + 1_000)?;
    flow.expect_settled(2, 3)?;
    let listed = flow.tool(&three, &["gaps", "list", "--json"])?;
    assert_eq!(*at(&listed.1, "/gaps/0/state"), "halted", "{}", listed.1);
    let asked = ["gaps", "resolve", "--as", "skip", "--json"];
    assert_eq!(flow.tool(&three, &asked)?.0, 0);
    second.wait_ready(LIMIT)?;

    // Up again, while it runs.
    let twelve = flow.file(12, "to-twelve")?;
    let (code, told) = flow.tool(&twelve, &["reslot", "--json"])?;
    assert_eq!((code, at(&told, "/generation")), (0, &3.into()), "{told}");
    assert_eq!(*at(&told, "/slots"), 12, "{told}");
    let (code, told) = flow.tool(&twelve, &["reslot", "--json"])?;
    assert_eq!((code, at(&told, "/changed")), (0, &false.into()), "{told}");
    assert_eq!(second.wait(LIMIT)?.code(), Some(2), "{}", second.log());
    assert!(
        second.log().contains("mirror.slots = 12"),
        "{}",
        second.log()
    );
    let workers = [flow.worker(12, "twelve-a")?, flow.worker(12, "twelve-b")?];
    let before = flow.copies()?;
    flow.wait_copies(before + 1_000)?;
    flow.expect_settled(3, 12)?;
    load.stop()?;

    // Nothing lost, doubled or out of order: what was copied before the changes was not copied again.
    let mut judge = Judge::new(flow.source, flow.target, TOPIC);
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}");
    flow.expect_group(&judge)?;
    for worker in &workers {
        worker.wait_ready(LIMIT)?;
        worker.terminate()?;
        assert_eq!(worker.wait(LIMIT)?.code(), Some(0), "{}", worker.log());
    }

    // Every tool finds what was written under each of the three numbers.
    let (code, verified) = flow.tool(&twelve, &["verify", "--deep", "--json"])?;
    assert_eq!(
        (code, at(&verified, "/holds")),
        (0, &true.into()),
        "{verified}"
    );
    let (code, gaps) = flow.tool(&twelve, &["gaps", "list", "--json"])?;
    assert_eq!(
        (code, at(&gaps, "/gaps/0/state")),
        (0, &"skipped".into()),
        "{gaps}"
    );
    let (_, status) = flow.tool(&twelve, &["status", "--json"])?;
    assert_eq!(*at(&status, "/lag_records"), 0, "{status}");
    assert_eq!(*at(&status, "/slots"), 12, "{status}");
    flow.expect_translated(&judge, &twelve)
}

#[test]
fn a_worker_with_another_number_than_the_flow_is_told_both_ways_out() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("fixed", 1, &[])?;
    let file = FlowFile::new(source, target)
        .named("fixed")
        .topics(["fixed"]);
    let worker = Worker::start(&file.clone().slots(2), "fixed-2")?;
    worker.wait_ready(LIMIT)?;
    let other = Worker::start(&file.clone().slots(5), "fixed-5")?;
    assert_eq!(other.wait(LIMIT)?.code(), Some(2));
    for words in ["set mirror.slots = 2", "`understudy reslot`"] {
        assert!(other.log().contains(words), "{}", other.log());
    }
    worker.expect_running()?;
    Ok(())
}

/// A flow whose number of slots changes.
struct Moving {
    source: &'static Cluster,
    target: &'static Cluster,
    topics: StateTopics,
    endpoint: Endpoint,
}

impl Moving {
    fn new() -> Result<Self, Box<dyn Error>> {
        let Pair { source, target } = Pair::shared()?;
        source.create_topic(TOPIC, PARTITIONS, &[])?;
        let properties = target.client_properties(Listener::Plaintext);
        Ok(Self {
            source,
            target,
            topics: StateTopics::new(FlowName::new("reslot")?),
            endpoint: Endpoint::new(target.alias(), properties.into_iter().collect()),
        })
    }

    fn flow(&self, slots: u32) -> FlowFile {
        FlowFile::new(self.source, self.target)
            .named("reslot")
            .topics([TOPIC, HOLED])
            .groups(["reader-.*"])
            // So that a large record stays one.
            .target("compression.type", "none")
            .mirror("group_sync_interval", "300ms")
            .slots(slots)
    }

    fn worker(&self, slots: u32, name: &str) -> understudy_tests::Result<Worker> {
        Worker::start(&self.flow(slots), name)
    }

    fn file(&self, slots: u32, name: &str) -> understudy_tests::Result<PathBuf> {
        self.flow(slots)
            .write(name, SocketAddr::from(([127, 0, 0, 1], 8080)))
    }

    fn tool(&self, flow: &Path, arguments: &[&str]) -> Result<(i32, Value), Box<dyn Error>> {
        let (command, options) = arguments.split_first().ok_or("no command")?;
        let mut all = vec![Path::new(command).as_os_str(), flow.as_os_str()];
        all.extend(options.iter().map(|option| Path::new(option).as_os_str()));
        let output = understudy(all, LIMIT)?;
        let code = output.status.code().ok_or("it was killed")?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        // `translate` prints an object a line.
        let value = serde_json::from_str(&lines).or_else(|_| {
            lines
                .lines()
                .map(serde_json::from_str)
                .collect::<Result<Vec<Value>, _>>()
                .map(Value::Array)
        });
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((
            code,
            value.map_err(|error| format!("{error}: {lines}{errors}"))?,
        ))
    }

    /// A record that the target refuses, behind one that it takes.
    fn make_a_gap(&self) -> Outcome {
        self.source.create_topic(HOLED, 1, &[])?;
        let small = [("max.message.bytes", "20000")];
        self.target.create_topic(HOLED, 1, &small)?;
        let producer: BaseProducer = self.source.client().create()?;
        for size in [100, 60_000, 300] {
            let value = vec![b'x'; size];
            producer
                .send(BaseRecord::<str, _>::to(HOLED).partition(0).payload(&value))
                .map_err(|(error, _)| error)?;
        }
        Ok(producer.flush(LIMIT)?)
    }

    /// Opens a transaction in a slot's partition of the offset map: its end cannot be read until that has ended.
    fn block(&self) -> Result<BaseProducer, Box<dyn Error>> {
        let blocker: BaseProducer = self
            .target
            .client()
            .set("transactional.id", "reslot-blocker")
            .set("transaction.timeout.ms", "600000")
            .create()?;
        blocker.init_transactions(LIMIT)?;
        blocker.begin_transaction()?;
        let topic = self.topics.offset_map();
        let record = BaseRecord::to(&topic)
            .partition(BLOCKED)
            .key("reslot-blocker");
        blocker
            .send(record.payload("never committed"))
            .map_err(|(error, _)| error)?;
        blocker.flush(LIMIT)?;
        Ok(blocker)
    }

    fn copies(&self) -> Result<i64, Box<dyn Error>> {
        let ends = self.target.ends(TOPIC)?;
        Ok(ends.values().map(|end| end.last_stable).sum())
    }

    fn wait_copies(&self, wanted: i64) -> Outcome {
        wait_for("copies", LIMIT, || {
            match self.copies().map_err(|error| error.to_string())? {
                copies if copies >= wanted => Ok(()),
                copies => Err(format!("{copies} of {wanted}")),
            }
        })?;
        Ok(())
    }

    fn record(&self) -> Result<FlowRecord, Box<dyn Error>> {
        let place = TopicPartition::new(self.topics.flow(), 0);
        let mut last = None;
        Client::open(&self.endpoint)?
            .read_to_end(&place, 0, LIMIT, |(_, value, _)| last = value)?;
        Ok(FlowRecord::decode(&last.ok_or("no flow record")?)?)
    }

    /// In which slot each partition's position lies; one in two slots is an error.
    fn positions(
        &self,
        slots: i32,
    ) -> Result<BTreeMap<TopicPartition, (i32, Position)>, Box<dyn Error>> {
        let mut found = BTreeMap::new();
        // One that knows how many partitions there are by now.
        let client = Client::open(&self.endpoint)?;
        for slot in 0..slots {
            let place = TopicPartition::new(self.topics.positions(), slot);
            let mut latest = BTreeMap::new();
            client.read_to_end(&place, 0, LIMIT, |(key, value, _)| {
                latest.insert(key, value);
            })?;
            for (key, value) in latest {
                let Some(value) = value.filter(|_| !EndLook::is_key(&key)) else {
                    continue;
                };
                let name = Position::decode_key(&key)?;
                let position = Position::decode(&value)?;
                // While a change goes on a partition may be met in both, once moved and once not yet: read again then.
                found.insert(name, (slot, position));
            }
        }
        Ok(found)
    }

    /// Whether the flow is of this generation, with the state of every partition where it belongs and nowhere else.
    fn expect_settled(&self, generation: u64, slots: u32) -> Outcome {
        let record = self.record()?;
        assert_eq!(
            (record.generation, record.slots.get(), record.changing_to),
            (generation, slots, None)
        );
        let lying = self.positions(12.min(i32::try_from(slots.max(8))?))?;
        assert_eq!(lying.len(), 13);
        for (name, (slot, position)) in &lying {
            assert_eq!(
                *slot,
                i32::try_from(slot_of(name, record.slots).get())?,
                "{name}"
            );
            assert_eq!(position.started_at.source.get(), 0, "{name}: it began anew");
        }
        if generation > 2 {
            let elsewhere = lying
                .values()
                .filter(|(_, position)| !position.former.is_empty());
            assert!(elsewhere.count() > 0, "no history lies in a former slot");
        }
        Ok(())
    }

    /// A group far back stands at its exact place on the target, by a part of the map that stayed where it was.
    fn expect_group(&self, judge: &Judge) -> Outcome {
        let places: Vec<_> = (0..PARTITIONS)
            .map(|partition| (TOPIC, partition, 7))
            .collect();
        self.source.commit_group("reader-far", &places)?;
        wait_for("the group to stand exactly", LIMIT, || {
            let stands = self.target.group_places("reader-far", TOPIC);
            let stands = stands.map_err(|error| error.to_string())?;
            let right = |partition: i32| {
                let place = judge.place_on_target(partition, 7);
                place.is_none() || stands.get(&partition).copied() == place
            };
            match (0..PARTITIONS).all(right) {
                true => Ok(()),
                false => Err(format!("{stands:?}")),
            }
        })?;
        Ok(())
    }

    /// Holds `translate` against what lies on both sides, from the first record to the last, both ways.
    fn expect_translated(&self, judge: &Judge, flow: &Path) -> Outcome {
        let produced = judge.produced();
        for number in 0..8_u64 {
            let mut places = BTreeMap::new();
            for (partition, records) in &produced {
                let source = i64::try_from(records * number / 8)?;
                if let Some(target) = judge.place_on_target(*partition, source) {
                    places.insert(*partition, (source, target));
                }
            }
            assert!(!places.is_empty());
            let group = format!("asker-{number}");
            let of = |by: fn(&(i64, i64)) -> i64| -> Vec<_> {
                let places = places.iter();
                places
                    .map(|(partition, both)| (TOPIC, *partition, by(both)))
                    .collect()
            };
            self.source.commit_group(&group, &of(|both| both.0))?;
            self.target.commit_group(&group, &of(|both| both.1))?;
            for reverse in [false, true] {
                let mut arguments = vec!["translate", "--group", &group, "--json"];
                arguments.extend(reverse.then_some("--reverse"));
                let (code, lines) = self.tool(flow, &arguments)?;
                let lines = lines.as_array().ok_or("not lines")?;
                assert_eq!((code, lines.len()), (0, places.len()), "{lines:?}");
                for line in lines {
                    let partition = i32::try_from(line["partition"].as_i64().ok_or("none")?)?;
                    let (source, target) = places.get(&partition).ok_or("nobody asked")?;
                    assert_eq!(line["translation"], "exact", "{line}");
                    assert_eq!(line["source_offset"], *source, "{line}");
                    assert_eq!(line["target_offset"], *target, "{line}");
                }
            }
        }
        Ok(())
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
