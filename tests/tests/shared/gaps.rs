//! What cannot be copied becomes a named gap; its partition halts or goes on as told, and all others go on anyway.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::Value;
use understudy_tests::{
    Cluster, Comparison, FlowFile, Judge, Listener, Pair, Worker, Workload, understudy, wait_for,
    wire,
};

use crate::topics::write;

type Outcome = Result<(), Box<dyn Error>>;

/// A record's key and value.
type Content = (Option<Vec<u8>>, Option<Vec<u8>>);

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn deleted_records_halt_their_partition_until_somebody_says_skip() -> Outcome {
    let flow = Gapped::new("deleted", 2)?;
    flow.write(400)?;
    let worker = flow.worker(|file| file)?;
    worker.wait_copied(flow.source, "deleted", LIMIT)?;
    stop(&worker)?;
    flow.write(400)?;
    // Retention overtakes partition 0 while nobody copies.
    let ends = flow.source.ends("deleted")?;
    let end = ends.get(&0).ok_or("no partition 0")?.last_stable;
    let copied = flow.copied_of(0)?;
    flow.source.delete_records_before("deleted", 0, end - 10)?;
    let before_ms = now_ms()?;
    worker.restart()?;
    worker.wait_reason(&["deleted-0 halted", "deleted offsets"], LIMIT)?;
    // The other partition goes on.
    worker.wait_status("partition 1 to be copied", LIMIT, |status| {
        let line = line(status, "deleted", 1);
        line.is_some_and(|line| line["lag_records"] == 0 && line["state"] == "copying")
    })?;
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!(code, 1, "{gaps}");
    let gap = at(&gaps, "/gaps/0");
    assert_eq!(gap["cause"], "deleted", "{gap}");
    assert_eq!(gap["state"], "halted", "{gap}");
    assert_eq!(
        (&gap["start"], &gap["end"]),
        (&copied.into(), &(end - 10).into())
    );
    let found_at = gap["found_at_ms"].as_i64().unwrap_or_default();
    assert!((before_ms..=now_ms()?).contains(&found_at), "{gap}");
    let (code, verified) = flow.tool(&worker, &["verify", "--json"])?;
    assert_eq!(code, 1, "a halted partition is not verified: {verified}");
    // It stays halted over a restart, and is still one gap.
    worker.kill()?;
    worker.restart()?;
    worker.wait_reason(&["deleted-0 halted", "resolve --topic deleted"], LIMIT)?;
    let (_, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!(
        at(&gaps, "/gaps").as_array().map(Vec::len),
        Some(1),
        "{gaps}"
    );
    let resolve = [
        "gaps",
        "resolve",
        "--topic",
        "deleted",
        "--partition",
        "0",
        "--as",
    ];
    let (code, unfit) = flow.tool(&worker, &[&resolve[..], &["park", "--json"]].concat())?;
    assert_eq!(code, 1, "deleted records cannot be parked: {unfit}");
    let (code, asked) = flow.tool(&worker, &[&resolve[..], &["skip", "--json"]].concat())?;
    assert_eq!(code, 0, "{asked}");
    worker.wait_copied(flow.source, "deleted", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!(
        (code, at(&gaps, "/gaps/0/state")),
        (0, &"skipped".into()),
        "{gaps}"
    );
    let (code, verified) = flow.tool(&worker, &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    Ok(())
}

#[test]
fn records_deleted_ahead_of_a_running_worker_are_a_gap_where_its_copies_end() -> Outcome {
    const LEFT: i64 = 10;
    let flow = Gapped::new("overrun", 1)?;
    // Far more than a reader fetches ahead, at a pace that gives time to delete it.
    Workload::orders(flow.source.client(), "overrun")
        .value_bytes(100_000)
        .records(600)
        .run()?;
    let worker = flow.worker(|file| file.mirror("max_bytes_per_second", 2_000_000))?;
    let end = flow.source.ends("overrun")?;
    let end = end.get(&0).ok_or("no partition 0")?.last_stable;
    worker.wait_status("the first copies", LIMIT, |status| {
        let line = line(status, "overrun", 0);
        line.is_some_and(|line| line["source_offset"].as_i64() > Some(0))
    })?;
    flow.source
        .delete_records_before("overrun", 0, end - LEFT)?;
    worker.wait_reason(&["overrun-0 halted", "deleted offsets"], LIMIT)?;
    let (_, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    let gap = at(&gaps, "/gaps/0");
    let copied = i64::try_from(read_all(flow.target, "overrun")?.len())?;
    assert_eq!(
        (&gap["cause"], &gap["start"], &gap["end"]),
        (&"deleted".into(), &copied.into(), &(end - LEFT).into()),
        "{gap}"
    );
    let skip = ["gaps", "resolve", "--as", "skip", "--json"];
    assert_eq!(flow.tool(&worker, &skip)?.0, 0);
    worker.wait_copied(flow.source, "overrun", LIMIT)?;
    let copies = i64::try_from(read_all(flow.target, "overrun")?.len())?;
    assert_eq!(copies, copied + LEFT);
    Ok(())
}

#[test]
fn a_topic_made_again_is_never_taken_for_the_old_one() -> Outcome {
    for (name, again, running, looks) in [
        ("again-longer", 900, true, "500ms"),
        ("again-shorter", 50, true, "500ms"),
        ("again-away", 900, false, "500ms"),
        // The worker hears from its reader, and is answered, long before it would look at the source's topics again.
        ("again-unseen", 50, true, "10s"),
    ] {
        let flow = Gapped::new(name, 1)?;
        flow.write(300)?;
        let worker = flow.worker(|file| file.mirror("topic_discovery_interval", looks))?;
        worker.wait_copied(flow.source, name, LIMIT)?;
        if !running {
            stop(&worker)?;
        }
        flow.source.delete_topic(name)?;
        flow.source.create_topic(name, 1, &[])?;
        flow.write_as("second", again)?;
        if !running {
            worker.restart()?;
        }
        worker.wait_reason(&[&format!("{name}-0 halted"), "made again"], LIMIT)?;
        let read = read_all(flow.target, name)?;
        assert_eq!(
            read.len(),
            300,
            "{name}: nothing of the new topic is there yet"
        );
        let resolve = [
            "gaps",
            "resolve",
            "--topic",
            name,
            "--as",
            "continue-in-same",
        ];
        let (code, asked) = flow.tool(&worker, &[&resolve[..], &["--json"]].concat())?;
        assert_eq!(code, 0, "{asked}");
        worker.wait_copied(flow.source, name, LIMIT)?;
        // The old copies, and behind them the whole new topic.
        let copies = read_all(flow.target, name)?;
        let (old, new) = copies.split_at(300.min(copies.len()));
        assert_eq!(old, read.as_slice(), "{name}");
        assert_eq!(new, read_all(flow.source, name)?.as_slice(), "{name}");
        stop(&worker)?;
        let (code, verified) = flow.tool(&worker, &["verify", "--deep", "--json"])?;
        assert_eq!(code, 0, "{name}: {verified}");
        // A worker that comes later goes on in the new life.
        flow.write_as("third", 20)?;
        worker.restart()?;
        worker.wait_copied(flow.source, name, LIMIT)?;
        assert_eq!(
            read_all(flow.target, name)?.len(),
            copies.len() + 20,
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn by_policy_a_topic_made_again_goes_to_a_topic_of_its_own() -> Outcome {
    let flow = Gapped::new("moves", 2)?;
    flow.write(200)?;
    let worker = flow.worker(|file| file.mirror("recreated", "new-topic"))?;
    worker.wait_copied(flow.source, "moves", LIMIT)?;
    flow.source.delete_topic("moves")?;
    flow.source.create_topic("moves", 2, &[])?;
    flow.write_as("second", 300)?;
    worker.wait_copied(flow.source, "moves", LIMIT)?;
    assert_eq!(read_all(flow.target, "moves")?.len(), 200);
    let comparison = Judge::with_clients(
        (flow.source.client(), "moves"),
        (flow.target.client(), "moves.1"),
    )
    .wait_exact(LIMIT)?;
    assert!(
        comparison.is_exact() && comparison.copied == 300,
        "{comparison}"
    );
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!(
        (code, at(&gaps, "/gaps/0/state")),
        (0, &"moved".into()),
        "{gaps}"
    );
    // Asked by the name of the new topic, a place is found as well as by the old one.
    let flow_file = worker.flow().display().to_string();
    let questions: [&[&str]; 2] = [&["--topic", "moves.1", "--reverse"], &["--topic", "moves"]];
    for question in questions {
        let mut arguments = vec!["translate", &flow_file, "--json", "--timestamp", "1"];
        arguments.extend(question);
        let output = understudy(arguments, LIMIT)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let exact = text.lines().filter(|line| line.contains("\"exact\""));
        assert_eq!(
            (output.status.code(), exact.count()),
            (Some(0), 2),
            "{text}"
        );
    }
    stop(&worker)?;
    let (code, verified) = flow.tool(&worker, &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    Ok(())
}

#[test]
fn a_topic_made_again_with_fewer_partitions_has_a_gap_for_each_that_is_gone() -> Outcome {
    let flow = Gapped::new("fewer", 4)?;
    flow.write(400)?;
    let worker = flow.worker(|file| file)?;
    worker.wait_copied(flow.source, "fewer", LIMIT)?;
    let ends = flow.source.ends("fewer")?;
    flow.source.delete_topic("fewer")?;
    flow.source.create_topic("fewer", 2, &[])?;
    flow.write_as("second", 300)?;
    for partition in 0..4 {
        let halted = format!("fewer-{partition} halted");
        worker.wait_reason(&[&halted, "made again"], LIMIT)?;
    }
    worker.wait_reason(&["fewer-3 halted", "no such partition", "resolve"], LIMIT)?;
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!((code, at(&gaps, "/open")), (1, &4.into()), "{gaps}");
    for (gap, (partition, ends)) in at(&gaps, "/gaps")
        .as_array()
        .into_iter()
        .flatten()
        .zip(&ends)
    {
        assert_eq!(
            (&gap["partition"], &gap["cause"], &gap["start"]),
            (
                &(*partition).into(),
                &"recreated".into(),
                &ends.last_stable.into()
            ),
            "{gap}"
        );
        let is_gone = gap["reason"].to_string().contains("no such partition");
        assert_eq!(is_gone, *partition >= 2, "{gap}");
    }
    wait_for("four gaps to be counted", LIMIT, || {
        let metrics = worker.metrics().map_err(|error| error.to_string())?;
        let counted = metrics.contains("understudy_gaps_found_total 4");
        counted.then_some(()).ok_or(metrics)
    })?;
    // Over a restart they are the same gaps.
    worker.kill()?;
    worker.restart()?;
    worker.wait_reason(&["fewer-3 halted", "no such partition"], LIMIT)?;
    // One answer for all of them.
    let go_on = ["gaps", "resolve", "--as", "continue-in-same", "--json"];
    assert_eq!(flow.tool(&worker, &go_on)?.0, 0);
    worker.wait_copied(flow.source, "fewer", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    worker.wait_status("what is gone to be shown no more", LIMIT, |status| {
        line(status, "fewer", 3).is_none() && line(status, "fewer", 1).is_some()
    })?;
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    let states: Vec<_> = at(&gaps, "/gaps")
        .as_array()
        .into_iter()
        .flatten()
        .map(|gap| gap["state"].clone())
        .collect();
    assert_eq!((code, states), (0, vec!["continued".into(); 4]), "{gaps}");
    let (code, verified) = flow.tool(&worker, &["verify", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    // When it comes back it is still another one than that which was copied.
    flow.source.grow_topic("fewer", 3)?;
    worker.wait_reason(&["fewer-2 halted", "made again"], LIMIT)?;
    assert_eq!(flow.tool(&worker, &go_on)?.0, 0);
    flow.write_as("third", 200)?;
    worker.wait_copied(flow.source, "fewer", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    let copies = read_all(flow.target, "fewer")?;
    assert_eq!(copies.len(), 400 + 300 + 200);
    Ok(())
}

#[test]
fn by_policy_partitions_that_are_gone_are_written_down_and_the_others_go_on() -> Outcome {
    let flow = Gapped::new("fewer-moves", 3)?;
    flow.write(300)?;
    let worker = flow.worker(|file| file.mirror("recreated", "new-topic"))?;
    worker.wait_copied(flow.source, "fewer-moves", LIMIT)?;
    stop(&worker)?;
    flow.source.delete_topic("fewer-moves")?;
    flow.source.create_topic("fewer-moves", 1, &[])?;
    flow.write_as("second", 100)?;
    worker.restart()?;
    worker.wait_copied(flow.source, "fewer-moves", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    assert_eq!(read_all(flow.target, "fewer-moves")?.len(), 300);
    assert_eq!(read_all(flow.target, "fewer-moves.1")?.len(), 100);
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    let listed = at(&gaps, "/gaps").as_array().ok_or("no gaps")?;
    let moved = listed.iter().filter(|gap| gap["state"] == "moved").count();
    assert_eq!((code, listed.len(), moved), (0, 3, 3), "{gaps}");
    Ok(())
}

#[test]
fn a_record_that_the_target_refuses_is_named_exactly_and_waits_alone() -> Outcome {
    let flow = Gapped::new("refused", 2)?;
    flow.target
        .create_topic("refused", 2, &[("max.message.bytes", "20000")])?;
    for (partition, value) in [(0, 100), (0, 200), (0, 60_000), (0, 300), (1, 400)] {
        flow.send(partition, Some("k"), value)?;
    }
    let worker = flow.worker(|file| file.slots(1))?;
    worker.wait_reason(&["refused-0 halted", "refused the record"], LIMIT)?;
    // What stands before it is there, and the other partition goes on.
    worker.wait_status("what can be copied", LIMIT, |status| {
        let at = |partition| {
            line(status, "refused", partition).map(|line| line["source_offset"].clone())
        };
        at(0) == Some(2.into()) && at(1) == Some(1.into())
    })?;
    let (_, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    let gap = at(&gaps, "/gaps/0");
    assert_eq!(
        (&gap["start"], &gap["end"]),
        (&2.into(), &3.into()),
        "{gap}"
    );
    // Somebody mends the cause and says so.
    flow.target
        .set_topic_configs("refused", &[("max.message.bytes", "1000000")])?;
    let (code, asked) = flow.tool(&worker, &["gaps", "resolve", "--as", "retry", "--json"])?;
    assert_eq!(code, 0, "{asked}");
    assert!(flow.wait_exact()?.is_exact());
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn by_policy_refused_records_are_parked_whole_and_the_rest_goes_on() -> Outcome {
    let flow = Gapped::new("parked", 1)?;
    // Null keys from before the topic became a compacted one.
    for (key, value) in [
        (Some("a"), 10),
        (None, 20),
        (Some("b"), 30),
        (None, 40),
        (Some("c"), 50),
    ] {
        flow.send(0, key, value)?;
    }
    flow.source
        .set_topic_configs("parked", &[("cleanup.policy", "compact")])?;
    flow.target.create_topic("parking", 1, &[])?;
    let worker = flow.worker(|file| {
        file.mirror("gaps", "park")
            .mirror("parking_topic", "parking")
    })?;
    worker.wait_copied(flow.source, "parked", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    let kept: Vec<_> = read_all(flow.target, "parked")?
        .iter()
        .map(|(_, value)| value.as_ref().map_or(0, Vec::len))
        .collect();
    assert_eq!(kept, [10, 30, 50]);
    let parked = read_messages(flow.target, "parking")?;
    let lengths: Vec<_> = parked
        .iter()
        .map(|message| {
            (
                message.key().is_some(),
                message.payload().map_or(0, <[u8]>::len),
            )
        })
        .collect();
    assert_eq!(lengths, [(false, 20), (false, 40)]);
    let origin: Vec<_> = parked
        .iter()
        .map(|message| header(message, "understudy.source.offset"))
        .collect();
    assert_eq!(origin, [Some("1".to_owned()), Some("3".to_owned())]);
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!(code, 0, "{gaps}");
    let states: Vec<_> = at(&gaps, "/gaps")
        .as_array()
        .into_iter()
        .flatten()
        .map(|gap| gap["state"].clone())
        .collect();
    assert_eq!(states, ["parked", "parked"]);
    stop(&worker)?;
    let (code, verified) = flow.tool(&worker, &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    assert_eq!(*at(&verified, "/partitions/0/in_gaps"), 2, "{verified}");
    Ok(())
}

#[test]
fn a_record_of_timestamp_zero_is_a_gap_that_everybody_sees_and_can_be_parked() -> Outcome {
    let flow = Gapped::new("at-zero", 1)?;
    flow.target.create_topic("at-zero-aside", 1, &[])?;
    flow.write(3)?;
    let broker = flow.source.broker(1)?.address(Listener::Plaintext);
    wire::produce(broker, "at-zero", 0, b"at 1970")?;
    flow.write_as("second", 3)?;
    let worker = flow.worker(|file| file.mirror("parking_topic", "at-zero-aside"))?;
    worker.wait_reason(&["at-zero-0 halted", "timestamp is 0"], LIMIT)?;
    let (_, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    let gap = at(&gaps, "/gaps/0");
    assert_eq!(
        (&gap["cause"], &gap["start"], &gap["end"]),
        (&"refused".into(), &3.into(), &4.into()),
        "{gap}"
    );
    let metrics = worker.metrics()?;
    for line in [
        "understudy_gaps_open 1",
        "understudy_missing_records 1",
        "understudy_gaps_found_total 1",
        "understudy_partitions{state=\"halted\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let page = worker.get("/")?.body;
    for words in ["1 open, 0 settled", "at-zero", "timestamp is 0", "park"] {
        assert!(page.contains(words), "{words} is not in\n{page}");
    }
    let (code, asked) = flow.tool(&worker, &["gaps", "resolve", "--as", "park", "--json"])?;
    assert_eq!(code, 0, "{asked}");
    worker.wait_copied(flow.source, "at-zero", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    assert!(worker.metrics()?.contains("understudy_gaps_open 0"));
    assert!(worker.get("/")?.body.contains("0 open, 1 settled"));
    // What cannot be written as it is keeps its time beside it.
    let parked = read_messages(flow.target, "at-zero-aside")?;
    let [parked] = parked.as_slice() else {
        return Err(format!("{} records parked", parked.len()).into());
    };
    assert_eq!(parked.payload(), Some(&b"at 1970"[..]));
    assert_eq!(
        header(parked, "understudy.source.timestamp").as_deref(),
        Some("0")
    );
    stop(&worker)?;
    let (code, verified) = flow.tool(&worker, &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    assert_eq!(*at(&verified, "/partitions/0/in_gaps"), 1, "{verified}");
    Ok(())
}

#[test]
fn an_ancient_time_is_copied_and_one_that_the_target_refuses_is_a_gap() -> Outcome {
    const FOREVER: &str = "9223372036854775807";
    const YEAR_2100_MS: i64 = 4_102_444_800_000;
    let flow = Gapped::new("ages", 1)?;
    let limits = [("message.timestamp.after.max.ms", FOREVER)];
    flow.source.set_topic_configs("ages", &limits)?;
    let values = [
        ("now", 1_700_000_000_000),
        ("old", 1),
        ("far", YEAR_2100_MS),
        ("then", 2),
    ];
    let values = values.map(|(value, at)| (value.to_owned(), at));
    flow.source.write_at("ages", 0, &values)?;
    // The copy has the target's own limit: an hour, as Kafka 4 has it.
    let worker = flow.worker(|file| file)?;
    worker.wait_reason(&["ages-0 halted", "refused the record", "timestamp"], LIMIT)?;
    let (_, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    let gap = at(&gaps, "/gaps/0");
    assert_eq!(
        (&gap["cause"], &gap["start"], &gap["end"]),
        (&"refused".into(), &2.into(), &3.into()),
        "{gap}"
    );
    flow.target.set_topic_configs("ages", &limits)?;
    let (code, asked) = flow.tool(&worker, &["gaps", "resolve", "--as", "retry", "--json"])?;
    assert_eq!(code, 0, "{asked}");
    worker.wait_copied(flow.source, "ages", LIMIT)?;
    flow.target.wait_settled("ages", LIMIT)?;
    let times: Vec<_> = flow.target.read_all("ages")?;
    let times: Vec<_> = times.iter().map(|record| record.timestamp_ms).collect();
    assert_eq!(times, values.map(|(_, at)| Some(at)));
    worker.wait_ready(LIMIT).map_err(Into::into)
}

#[test]
fn a_record_as_large_as_the_brokers_take_is_copied() -> Outcome {
    // Kafka's limit for a batch, and one that a topic sets; and in how many bytes such lengths are written.
    for (topic, batch_max, length_bytes) in [("largest", 1_048_588, 3), ("larger", 8_388_608, 4)] {
        let limit = batch_max.to_string();
        let flow = Gapped::with(topic, 1, &[("max.message.bytes", &limit)])?;
        // What a batch of one record takes beside its value.
        let beside = 61 + length_bytes + 5 + length_bytes;
        // Nothing that compresses.
        let mut seed = 0x9e37_79b9_u32;
        let value: Vec<u8> = (0..=batch_max - beside)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from(seed >> 24).unwrap_or(0)
            })
            .collect();
        let broker = flow.source.broker(1)?.address(Listener::Plaintext);
        let (_, largest) = value.split_first().ok_or("no value")?;
        wire::produce(broker, topic, 1_700_000_000_000, largest)?;
        assert!(
            wire::produce(broker, topic, 1_700_000_000_000, &value).is_err(),
            "one byte more is too much"
        );
        flow.write(3)?;
        let worker = flow.worker(|file| file)?;
        worker.wait_copied(flow.source, topic, LIMIT)?;
        let copies = read_all(flow.target, topic)?;
        assert!(copies == read_all(flow.source, topic)?, "{topic}");
        let first = copies.first().and_then(|(_, value)| value.as_deref());
        assert!(first == Some(largest) && copies.len() == 4, "{topic}");
        worker.wait_ready(LIMIT)?;
    }
    Ok(())
}

#[test]
fn by_policy_refused_records_are_left_out_and_written_down_one_by_one() -> Outcome {
    let flow = Gapped::new("left-out", 2)?;
    // Null keys from before the topic became a compacted one, alone and side by side, at the beginning and at the end.
    let keys: [&[Option<&str>]; 2] = [
        &[None, Some("a"), None, None, Some("b"), None],
        &[Some("c"), None, Some("d")],
    ];
    let mut refused = Vec::new();
    for (partition, keys) in (0..).zip(keys) {
        for (offset, key) in (0..).zip(keys) {
            flow.send(partition, *key, 100)?;
            if key.is_none() {
                refused.push((partition, offset, offset + 1));
            }
        }
    }
    flow.source
        .set_topic_configs("left-out", &[("cleanup.policy", "compact")])?;
    let worker = flow.worker(|file| file.mirror("gaps", "skip-and-record"))?;
    worker.wait_copied(flow.source, "left-out", LIMIT)?;
    worker.wait_ready(LIMIT)?;
    let (code, gaps) = flow.tool(&worker, &["gaps", "list", "--json"])?;
    assert_eq!(code, 0, "{gaps}");
    let number = |gap: &Value, field: &str| gap[field].as_i64().unwrap_or(-1);
    let mut named = Vec::new();
    for gap in at(&gaps, "/gaps").as_array().into_iter().flatten() {
        assert_eq!(
            (&gap["state"], &gap["cause"]),
            (&"skipped".into(), &"refused".into()),
            "{gap}"
        );
        named.push((
            i32::try_from(number(gap, "partition"))?,
            number(gap, "start"),
            number(gap, "end"),
        ));
    }
    named.sort_unstable();
    assert_eq!(named, refused);
    let metrics = worker.metrics()?;
    assert!(
        metrics.contains("understudy_gaps_found_total 5"),
        "{metrics}"
    );
    // Everything else, in order, once.
    let kept: Vec<_> = read_messages(flow.source, "left-out")?;
    let kept = kept.iter().filter(|message| message.key().is_some());
    let kept: Vec<_> = kept
        .map(|message| (message.partition(), message.payload().map(<[u8]>::to_vec)))
        .collect();
    let copies: Vec<_> = read_messages(flow.target, "left-out")?
        .iter()
        .map(|message| (message.partition(), message.payload().map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(copies, kept);
    stop(&worker)?;
    let (code, verified) = flow.tool(&worker, &["verify", "--deep", "--json"])?;
    assert_eq!(code, 0, "{verified}");
    Ok(())
}

/// A topic and a flow of its own between the shared clusters.
struct Gapped {
    source: &'static Cluster,
    target: &'static Cluster,
    topic: String,
}

impl Gapped {
    fn new(topic: &str, partitions: i32) -> Result<Self, Box<dyn Error>> {
        Self::with(topic, partitions, &[])
    }

    fn with(
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Self, Box<dyn Error>> {
        let Pair { source, target } = Pair::shared()?;
        source.create_topic(topic, partitions, configs)?;
        Ok(Self {
            source,
            target,
            topic: topic.to_owned(),
        })
    }

    fn worker(&self, how: impl FnOnce(FlowFile) -> FlowFile) -> Result<Worker, Box<dyn Error>> {
        let file = FlowFile::new(self.source, self.target)
            .named(&self.topic)
            .topics([self.topic.as_str()])
            .slots(2)
            .mirror("topic_discovery_interval", "500ms");
        Ok(Worker::start(
            &how(file),
            &format!("{}-worker", self.topic),
        )?)
    }

    fn write(&self, records: u64) -> Outcome {
        self.write_as("first", records)
    }

    fn write_as(&self, producer: &str, records: u64) -> Outcome {
        write(self.source, &self.topic, producer, records)
    }

    fn send(&self, partition: i32, key: Option<&str>, bytes: usize) -> Outcome {
        let producer: BaseProducer = self.source.client().create()?;
        // Nothing that compresses: brokers measure batches as they come.
        let mut seed = 0x9e37_79b9_u32;
        let value: String = (0..bytes)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'!' + u8::try_from(seed >> 24).unwrap_or(0) % 94)
            })
            .collect();
        let mut record = BaseRecord::<str, str>::to(&self.topic)
            .partition(partition)
            .payload(&value);
        record.key = key;
        producer.send(record).map_err(|(error, _)| error)?;
        Ok(producer.flush(LIMIT)?)
    }

    /// The next source offset of a partition, by the copies on the target: no control records are among them.
    fn copied_of(&self, partition: i32) -> Result<i64, Box<dyn Error>> {
        let ends = self.source.ends(&self.topic)?;
        let written = ends.get(&partition).ok_or("no such partition")?.last_stable;
        // The second half of the writing is not copied yet.
        Ok(written / 2)
    }

    fn wait_exact(&self) -> Result<Comparison, Box<dyn Error>> {
        Ok(Judge::new(self.source, self.target, &self.topic).wait_exact(LIMIT)?)
    }

    fn tool(&self, worker: &Worker, arguments: &[&str]) -> Result<(i32, Value), Box<dyn Error>> {
        Ok(worker.tool(arguments)?)
    }
}

fn stop(worker: &Worker) -> Outcome {
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    Ok(())
}

fn now_ms() -> Result<i64, Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn line<'a>(status: &'a Value, topic: &str, partition: i32) -> Option<&'a Value> {
    let lines = status.get("partitions")?.as_array()?;
    lines
        .iter()
        .find(|line| line["topic"] == topic && line["partition"] == partition)
}

/// Every record that a `read_committed` reader sees, in the order of partitions and offsets.
fn read_messages(cluster: &Cluster, topic: &str) -> Result<Vec<OwnedMessage>, Box<dyn Error>> {
    cluster.wait_settled(topic, LIMIT)?;
    let mut config = cluster.client();
    config
        .set("group.id", "gaps-reader")
        // Whatever it committed would be one more group whose places are mirrored and verified.
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "false");
    let consumer: BaseConsumer = config.create()?;
    let ends = cluster.ends(topic)?;
    let mut messages = Vec::new();
    for (partition, end) in ends {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
        consumer.assign(&list)?;
        wait_for(&format!("{topic}-{partition} to be read"), LIMIT, || {
            while let Some(message) = consumer.poll(Duration::from_millis(50)) {
                messages.push(message.map_err(|error| error.to_string())?.detach());
            }
            let place = consumer.position().map_err(|error| error.to_string())?;
            match place
                .find_partition(topic, partition)
                .map(|place| place.offset())
            {
                Some(Offset::Offset(at)) if at >= end.last_stable => Ok(()),
                _ if end.last_stable == 0 => Ok(()),
                other => Err(format!("{other:?} of {}", end.last_stable)),
            }
        })?;
    }
    Ok(messages)
}

/// Key and value of every record.
fn read_all(cluster: &Cluster, topic: &str) -> Result<Vec<Content>, Box<dyn Error>> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    Ok(read_messages(cluster, topic)?
        .iter()
        .map(|message| (owned(message.key()), owned(message.payload())))
        .collect())
}

fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let headers = message.headers()?;
    headers
        .iter()
        .find(|header| header.key == name)
        .and_then(|header| Some(String::from_utf8_lossy(header.value?).into_owned()))
}
