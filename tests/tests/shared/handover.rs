//! Applications read part of their topics on the source and the rest on the target: nothing twice, nothing skipped,
//! whatever their client, their group's protocol and the kind of topic.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use serde_json::Value;
use understudy_tests::{Cluster, FlowFile, Pair, Worker, Workload, wait_for};

type Outcome = Result<(), Box<dyn Error>>;
type Ids = Result<Vec<String>, Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);
const TOPICS: [&str; 3] = ["over-plain", "over-moved", "over-kept"];

/// A client and the protocol of its group.
#[derive(Clone, Copy, Debug)]
enum Client {
    Librdkafka(&'static str),
    Java(&'static str),
}

const CLIENTS: [Client; 4] = [
    Client::Librdkafka("classic"),
    Client::Librdkafka("consumer"),
    Client::Java("classic"),
    Client::Java("consumer"),
];

#[test]
fn whoever_reads_part_here_and_part_there_reads_everything_once() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let all = write(source)?;
    // Copies are not compacted, or a key's older records would be missing from what is left to be read.
    let file = FlowFile::new(source, target)
        .named("over")
        .topics(["over-.*"])
        .groups(["over-.*"])
        .slots(2)
        .mirror("group_sync_interval", "300ms")
        .mirror("sync_configs", false);
    let worker = Worker::start(&file, "over-worker")?;
    for topic in TOPICS {
        worker.wait_copied(source, topic, LIMIT)?;
    }
    let mut halves = Vec::new();
    for (number, client) in CLIENTS.into_iter().enumerate() {
        let part = all.len() * (number + 1) / 6;
        halves.push((client, client.read(source, part)?));
    }
    for (client, here) in halves {
        wait_exact(&worker, source, target, &client.group())?;
        let there = client.read(target, all.len() - here.len())?;
        let read = here.len() + there.len();
        let read_once: BTreeSet<String> = here.into_iter().chain(there).collect();
        let skipped: Vec<_> = all.difference(&read_once).take(5).collect();
        assert_eq!(
            (read, skipped.as_slice()),
            (all.len(), [].as_slice()),
            "{client:?}: {} of them once",
            read_once.len()
        );
    }
    Ok(())
}

/// An ordinary topic, one of transactions of which some were aborted, and one with holes that compaction left; the
/// ids of all their records.
fn write(source: &Cluster) -> Result<BTreeSet<String>, Box<dyn Error>> {
    source.create_topic("over-plain", 2, &[])?;
    source.create_topic("over-moved", 2, &[])?;
    let compacting = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "200"),
    ];
    source.create_topic("over-kept", 2, &compacting)?;
    let orders = |topic: &str, producer: String| {
        Workload::orders(source.client(), topic)
            .producer(producer)
            .value_bytes(60)
    };
    orders("over-plain", "plain".to_owned())
        .records(500)
        .run()?;
    orders("over-moved", "moved".to_owned())
        .records(500)
        .transactional(20, 3)
        .run()?;
    let mut round = 0;
    wait_for("the source to be compacted", LIMIT, || {
        let said = |error| understudy_tests::chain(&error);
        orders("over-kept", format!("kept{round}"))
            .records(200)
            .compacted(20, 0)
            .run()
            .map_err(said)?;
        round += 1;
        let left = read_all(source, "over-kept").map_err(|error| error.to_string())?;
        (left.len() < round * 200)
            .then_some(())
            .ok_or(format!("{} of {}", left.len(), round * 200))
    })?;
    // What was read so far must not be compacted away before it is read again.
    source.set_topic_configs(
        "over-kept",
        &[
            ("min.compaction.lag.ms", "600000"),
            ("max.compaction.lag.ms", "9000000"),
            ("cleanup.policy", "delete"),
        ],
    )?;
    let mut all = BTreeSet::new();
    let mut before = 0;
    wait_for("the last compaction to be over", LIMIT, || {
        all = read_all(source, "over-kept")
            .map_err(|error| error.to_string())?
            .into_iter()
            .collect();
        let same = all.len() == before;
        before = all.len();
        std::thread::sleep(Duration::from_millis(300));
        same.then_some(()).ok_or_else(|| before.to_string())
    })?;
    for topic in ["over-plain", "over-moved"] {
        all.extend(read_all(source, topic)?);
    }
    Ok(all)
}

/// Every record of a topic that committed readers see.
fn read_all(cluster: &Cluster, topic: &str) -> Ids {
    let ends = cluster.ends(topic)?;
    let consumer: BaseConsumer = cluster
        .client()
        .set("group.id", "look")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in ends.keys() {
        list.add_partition_offset(topic, *partition, rdkafka::Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut ids, mut ended) = (Vec::new(), BTreeSet::new());
    wait_for("a topic to be read", LIMIT, || {
        while ended.len() < ends.len() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => ids.extend(id_of(message.payload().unwrap_or_default())),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition);
                }
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(format!("{} records", ids.len())),
            }
        }
        Ok(())
    })?;
    Ok(ids)
}

impl Client {
    fn group(self) -> String {
        match self {
            Self::Librdkafka(protocol) => format!("over-rd-{protocol}"),
            Self::Java(protocol) => format!("over-java-{protocol}"),
        }
    }

    /// Reads as a member of its group from where the group stands, and commits behind the last record.
    fn read(self, cluster: &Cluster, records: usize) -> Ids {
        match self {
            Self::Librdkafka(protocol) => {
                read_with_librdkafka(cluster, protocol, &self.group(), records)
            }
            Self::Java(protocol) => read_with_java(cluster, protocol, &self.group(), records),
        }
    }
}

fn read_with_librdkafka(cluster: &Cluster, protocol: &str, group: &str, records: usize) -> Ids {
    let consumer: BaseConsumer = cluster
        .client()
        .set("group.id", group)
        .set("group.protocol", protocol)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.subscribe(&TOPICS)?;
    let mut ids = Vec::new();
    wait_for(&format!("{records} records for {group}"), LIMIT, || {
        while ids.len() < records {
            let message = match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err(format!("{} of {records}", ids.len())),
            };
            ids.extend(id_of(message.payload().unwrap_or_default()));
            consumer
                .store_offset_from_message(&message)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    consumer.commit_consumer_state(CommitMode::Sync)?;
    Ok(ids)
}

fn read_with_java(cluster: &Cluster, protocol: &str, group: &str, records: usize) -> Ids {
    let (records, bootstrap) = (records.to_string(), cluster.bootstrap());
    let protocol = format!("group.protocol={protocol}");
    let printed = cluster.kafka().run_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--include",
            "over-.*",
            "--group",
            group,
            "--max-messages",
            &records,
            "--timeout-ms",
            "70000",
            "--isolation-level",
            "read_committed",
            "--consumer-property",
            "auto.offset.reset=earliest",
            "--consumer-property",
            &protocol,
        ],
    )?;
    Ok(printed
        .lines()
        .filter_map(|line| id_of(line.as_bytes()))
        .collect())
}

/// The id in a value.
fn id_of(value: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    let (_, rest) = text.split_once("\"id\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Waits until the worker says that the group stands exactly where it is on the source, and the target has it so.
fn wait_exact(worker: &Worker, source: &Cluster, target: &Cluster, group: &str) -> Outcome {
    for topic in TOPICS {
        let wanted = source.group_places(group, topic)?;
        wait_for(
            &format!("{group} to stand exactly in {topic}"),
            LIMIT,
            || {
                let status = &worker.status().map_err(|error| error.to_string())?;
                let there = target
                    .group_places(group, topic)
                    .map_err(|error| error.to_string())?;
                for (partition, offset) in &wanted {
                    let lines = status["groups"].as_array().into_iter().flatten();
                    let line = lines
                        .filter(|line| line["group"] == group && line["topic"] == topic)
                        .find(|line| line["partition"] == *partition);
                    let stands = line.is_some_and(|line: &Value| {
                        line["state"] == "exact"
                            && line["source_offset"] == *offset
                            && line["target_offset"].as_i64() == there.get(partition).copied()
                    });
                    if !stands {
                        return Err(format!("{line:?} and {there:?} for {offset}"));
                    }
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}
