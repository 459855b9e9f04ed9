//! Java programs that read MirrorMaker 2's topics find them on the target, as MirrorMaker 2 would have left them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use serde_json::Value;
use understudy_domain::mm2::{Heartbeat, HeartbeatKey, OffsetSync};
use understudy_tests::{
    Cluster, FlowFile, Pair, PlainRecord, Worker, Workload, package_file, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

/// A JVM that starts beside others on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(150);

/// What a deployment of MirrorMaker 2 with the same names would be asked.
struct Asked<'a> {
    policy: &'a str,
    separator: &'a str,
    alias: &'a str,
    groups: &'a [&'a str],
}

#[test]
fn java_clients_get_our_answers_under_both_policies_and_heartbeats_end_with_the_source() -> Outcome
{
    // One after another, because the last step cuts the link.
    let Pair { source, target } = Pair::shared()?;
    identity(source, target)?;
    // The other way round, so that neither sees the other's topics.
    prefixed(target, source)?;
    silence(source, target)
}

fn identity(source: &Cluster, target: &Cluster) -> Outcome {
    let worker = mirror(source, target, "same", |file| {
        table(file, &[("offset_syncs", true.into())])
    })?;
    let asked = Asked {
        policy: "IdentityReplicationPolicy",
        separator: ".",
        alias: "use1",
        groups: &["same-a", "same-b"],
    };
    let found = expect_answers(
        target,
        &worker,
        &asked,
        &[
            ("heartbeatTopics", "[heartbeats, use1.heartbeats]"),
            ("checkpointTopics", "[use1.checkpoints.internal]"),
            ("upstreamClusters", "[use1]"),
            ("replicationHops", "1"),
        ],
    )?;
    // With names kept every topic may be a copy.
    let remote = found.get("remoteTopics").cloned().unwrap_or_default();
    assert!(remote.contains("same"), "{found:?}");
    // As MirrorMaker 2 makes them.
    for topic in [
        "heartbeats",
        "use1.heartbeats",
        "use1.checkpoints.internal",
        "mm2-offset-syncs.use1.internal",
    ] {
        assert_eq!(target.partitions(topic)?, Some(1), "{topic}");
        let policy = target.topic_config(topic, "cleanup.policy")?;
        assert_eq!(policy.as_deref(), Some("compact"), "{topic}");
    }
    // A sync names a record and its copy, in the end the last ones.
    let last: BTreeMap<i32, i64> = source
        .read_all("same")?
        .into_iter()
        .map(|record| (record.partition, record.offset))
        .collect();
    wait_for("syncs of the last records", LIMIT, || {
        let told = syncs(target).map_err(|error| error.to_string())?;
        (told == last)
            .then_some(())
            .ok_or(format!("{told:?} for {last:?}"))
    })?;
    // On the source it makes none of its topics.
    for topic in ["heartbeats", "mm2-offset-syncs.usw2.internal"] {
        assert_eq!(source.partitions(topic)?, None, "{topic}");
    }
    Ok(())
}

fn prefixed(source: &Cluster, target: &Cluster) -> Outcome {
    // The flow before this one wrote here under the very key that is expected of this one, and has stopped by now.
    let key = HeartbeatKey {
        source: "use1".to_owned(),
        target: "usw2".to_owned(),
    };
    let before = beats_of(source, "heartbeats", &key)?;
    // Names with the custom separator, also of internal topics; heartbeats on the source by request.
    let worker = mirror(source, target, "named", |file| {
        table(
            file.mirror("policy", "prefixed").mirror("separator", "_"),
            &[("source_heartbeats", true.into())],
        )
    })?;
    let asked = Asked {
        policy: "DefaultReplicationPolicy",
        separator: "_",
        alias: "usw2",
        groups: &["named-a", "named-b"],
    };
    expect_answers(
        target,
        &worker,
        &asked,
        &[
            ("heartbeatTopics", "[heartbeats, usw2_heartbeats]"),
            ("checkpointTopics", "[usw2_checkpoints_internal]"),
            ("upstreamClusters", "[usw2]"),
            ("replicationHops", "1"),
            ("remoteTopics", "[usw2_heartbeats, usw2_named]"),
        ],
    )?;
    // Nobody asked for offset syncs, and places do not need them.
    for (cluster, alias) in [(source, "use1"), (target, "usw2")] {
        let topic = format!("mm2-offset-syncs_{alias}_internal");
        assert_eq!(cluster.partitions(&topic)?, None, "{topic}");
    }
    // The source's own topic holds what the flow towards it would have written: since this flow began, and more and
    // more of it.
    let last = before.iter().copied().max().unwrap_or_default();
    wait_for("heartbeats on the source", LIMIT, || {
        let now = beats_of(source, "heartbeats", &key).map_err(|error| error.to_string())?;
        let new = now.iter().filter(|told| **told > last).count();
        // The topic is compacted: old ones may go, new ones come.
        (new >= 3)
            .then_some(())
            .ok_or(format!("{new} new of {}", now.len()))
    })?;
    Ok(())
}

/// What heartbeats under one key tell, in order.
fn beats_of(
    cluster: &Cluster,
    topic: &str,
    key: &HeartbeatKey,
) -> Result<Vec<i64>, Box<dyn Error>> {
    let encoded = key.encode()?;
    let all = cluster.read_all(topic)?.into_iter();
    let ours = all.filter(|beat| beat.key == encoded);
    ours.map(|beat| Ok(Heartbeat::decode(&beat.value.unwrap_or_default())?.timestamp_ms))
        .collect()
}

fn silence(source: &Cluster, target: &Cluster) -> Outcome {
    let worker = mirror(source, target, "silent", |file| file)?;
    let beats = || -> Result<Vec<PlainRecord>, String> {
        let all = target.read_all("use1.heartbeats");
        all.map_err(|error| error.to_string())
    };
    let first = beats()?.len();
    wait_for("another heartbeat", LIMIT, || match beats()?.len() {
        now if now > first => Ok(()),
        now => Err(format!("{now}")),
    })?;
    for beat in beats()? {
        let value = Heartbeat::decode(&beat.value.unwrap_or_default())?;
        assert_eq!(Some(value.timestamp_ms), beat.timestamp_ms);
    }
    source.link().cut()?;
    worker.wait_reason(&["use1"], LIMIT)?;
    // What the source said before may be told once more.
    let mut last = beats()?.len();
    let quiet = Duration::from_secs(4);
    wait_for("heartbeats to end", LIMIT, || {
        std::thread::sleep(quiet);
        let now = beats()?.len();
        let ended = now == last;
        last = now;
        ended.then_some(()).ok_or(format!("{now}"))
    })?;
    source.link().heal()?;
    wait_for("heartbeats to begin again", LIMIT, || {
        match beats()?.len() {
            now if now > last => Ok(()),
            now => Err(format!("{now}")),
        }
    })?;
    Ok(())
}

/// Starts a flow of one topic with places to be told of two groups.
fn mirror(
    source: &Cluster,
    target: &Cluster,
    topic: &str,
    how: impl FnOnce(FlowFile) -> FlowFile,
) -> Result<Worker, Box<dyn Error>> {
    source.create_topic(topic, 2, &[])?;
    Workload::orders(source.client(), topic)
        .value_bytes(50)
        .records(2_000)
        .transactional(100, 4)
        .run()?;
    let file = FlowFile::new(source, target)
        .named(topic)
        .topics([topic])
        .groups([format!("{topic}-.*")])
        .slots(2)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&how(file), &format!("{topic}-worker"))?;
    worker.wait_copied(source, topic, LIMIT)?;
    let ends = source.ends(topic)?;
    for (group, behind) in [("a", 0), ("b", 500)] {
        let places: Vec<_> = ends
            .iter()
            .map(|(partition, end)| (topic, *partition, (end.last_stable - behind).max(0)))
            .collect();
        source.commit_group(&format!("{topic}-{group}"), &places)?;
    }
    Ok(worker)
}

fn table(file: FlowFile, keys: &[(&str, toml::Value)]) -> FlowFile {
    let mut mm2 = toml::Table::new();
    mm2.insert("checkpoint_interval".to_owned(), "500ms".into());
    for (key, value) in keys {
        mm2.insert((*key).to_owned(), value.clone());
    }
    file.mirror("mm2", mm2)
}

/// Waits until Java is told each place exactly as the worker shows it, and all of `expected`; returns its answers.
fn expect_answers(
    target: &Cluster,
    worker: &Worker,
    asked: &Asked<'_>,
    expected: &[(&str, &str)],
) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    worker.wait_status("every place to be exact", LIMIT, |status| {
        places(status, asked).len() == 4
    })?;
    let mut answers = BTreeMap::new();
    wait_for("Java to be told the same", LIMIT, || {
        let text = oracle(target, asked).map_err(|error| error.to_string())?;
        let mut theirs = BTreeSet::new();
        answers.clear();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("place", place)) => {
                    theirs.insert(place.to_owned());
                }
                Some((what, answer)) => {
                    answers.insert(what.to_owned(), answer.to_owned());
                }
                None => {}
            }
        }
        // Each time anew: a commit marker behind the last copy moves a place that stands at the end.
        let status = worker.status().map_err(|error| error.to_string())?;
        let ours = places(&status, asked);
        if theirs != ours {
            return Err(format!("Java: {theirs:?}; ours: {ours:?}"));
        }
        let other = expected
            .iter()
            .find(|(what, answer)| answers.get(*what).is_none_or(|told| told != answer));
        match other {
            None => Ok(()),
            Some((what, answer)) => Err(format!("not {what} {answer}, but {answers:?}")),
        }
    })?;
    Ok(answers)
}

/// Every exact place that the worker shows, as the oracle prints it.
fn places(status: &Value, asked: &Asked<'_>) -> BTreeSet<String> {
    let lines = status.get("groups").and_then(Value::as_array);
    let exact = lines.into_iter().flatten();
    exact
        .filter(|line| line["state"] == "exact")
        .filter_map(|line| {
            let topic = line["topic"].as_str()?;
            let topic = match asked.policy {
                "DefaultReplicationPolicy" => format!("{}{}{topic}", asked.alias, asked.separator),
                _ => topic.to_owned(),
            };
            let group = line["group"].as_str()?;
            Some(format!(
                "{group} {topic} {} {}",
                line["partition"], line["target_offset"]
            ))
        })
        .collect()
}

fn oracle(target: &Cluster, asked: &Asked<'_>) -> Result<String, Box<dyn Error>> {
    let program = package_file("java/Mm2Oracle.java");
    let bootstrap = target.bootstrap();
    let mut arguments = vec![
        "look",
        bootstrap.as_str(),
        asked.policy,
        asked.separator,
        asked.alias,
    ];
    arguments.extend(asked.groups);
    Ok(target.kafka().run_source(&program, &arguments)?)
}

/// By partition of `same`: the source offset of the last sync.
fn syncs(target: &Cluster) -> Result<BTreeMap<i32, i64>, Box<dyn Error>> {
    let mut last = BTreeMap::new();
    for record in target.read_all("mm2-offset-syncs.use1.internal")? {
        let partition = OffsetSync::decode_key(&record.key)?;
        let sync = OffsetSync::decode(&record.value.unwrap_or_default())?;
        if &*partition.topic == "same" {
            last.insert(partition.partition, sync.source.get());
        }
    }
    Ok(last)
}
