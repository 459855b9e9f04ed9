//! Records of somebody else in the topics that a flow keeps its state in: named with what ends it, and never guessed at.

use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;
use understudy_domain::{FlowName, StateTopics, TopicPartition, slot_of};
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, understudy, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(90);
/// Neither a key nor a value of ours.
const NOISE: &[u8] = b"\x00\xffnot ours";

#[test]
fn a_record_of_somebody_else_among_the_state_is_named_and_a_tombstone_ends_it() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("foreign", 1, &[])?;
    orders(source, "p", 200)?;
    source.commit_group("foreign-group", &[("foreign", 0, 150)])?;
    let file = FlowFile::new(source, target)
        .named("foreign")
        .topics(["foreign"])
        .groups(["foreign-.*"])
        .slots(1)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "foreign-worker")?;
    worker.wait_copied(source, "foreign", LIMIT)?;
    let flow = worker.flow().display().to_string();
    let topics = StateTopics::new(FlowName::new("foreign")?);
    let verifies = || {
        let output = understudy(["verify", &flow], LIMIT)?;
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words).into_owned();
        Ok::<_, Box<dyn Error>>((output.status.code(), words))
    };
    for topic in [topics.positions(), topics.offset_map(), topics.gaps()] {
        // Whoever holds the slot has read its state, and goes on.
        target.write_record(&topic, 0, Some(NOISE), Some(NOISE))?;
        orders(source, &format!("{topic}-beside"), 50)?;
        worker.wait_copied(source, "foreign", LIMIT)?;
        // Whoever takes it over does not, and says where and what to do.
        worker.kill()?;
        worker.restart()?;
        worker.wait_reason(&[&topic, "offset", "tombstone"], LIMIT)?;
        orders(source, &format!("{topic}-behind"), 50)?;
        let (code, words) = verifies()?;
        assert_eq!(code, Some(1), "{words}");
        assert!(
            words.contains(&topic) && words.contains("tombstone"),
            "{words}"
        );
        target.write_record(&topic, 0, Some(NOISE), None)?;
        worker.wait_copied(source, "foreign", LIMIT)?;
        let (code, words) = verifies()?;
        assert_eq!(code, Some(0), "{topic}: {words}");
    }
    let verdict = Judge::new(source, target, "foreign").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    Ok(())
}

/// One slot of two is spoilt: what lies in the other one is answered by every tool.
#[test]
fn a_record_of_somebody_else_leaves_its_own_slot_unanswered_and_no_other() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    // Its partitions lie in slots of their own.
    source.create_topic("spoilt", 2, &[])?;
    Workload::orders(source.client(), "spoilt")
        .records(400)
        .value_bytes(50)
        .run()?;
    source.commit_group("spoilt-group", &[("spoilt", 0, 50), ("spoilt", 1, 60)])?;
    let file = FlowFile::new(source, target)
        .named("spoilt")
        .topics(["spoilt"])
        .groups(["spoilt-.*"])
        .slots(2)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "spoilt-worker")?;
    worker.wait_copied(source, "spoilt", LIMIT)?;
    wait_for("the group's places", LIMIT, || {
        match target.group_places("spoilt-group", "spoilt") {
            Ok(places) if places.len() == 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    let (slots, slot) = (NonZeroU32::new(2).ok_or("no slots")?, 1);
    let own = |partition| slot_of(&TopicPartition::new("spoilt", partition), slots).get() == slot;
    let (spoilt, whole) = if own(0) { (0, 1) } else { (1, 0) };
    assert!(own(spoilt) && !own(whole));
    let flow = worker.flow().display().to_string();
    let tool = |tool: &[&str]| {
        let (name, rest) = tool.split_first().ok_or("no tool")?;
        let output = understudy([&[*name, &flow], rest].concat(), LIMIT)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok::<_, Box<dyn Error>>((output.status.code(), text, errors))
    };
    let json = |arguments: &[&str]| {
        let (code, text, errors) = tool(arguments)?;
        let value: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}{errors}"))?;
        Ok::<_, Box<dyn Error>>((code, value))
    };
    let topics = StateTopics::new(FlowName::new("spoilt")?);
    for topic in [topics.positions(), topics.offset_map(), topics.gaps()] {
        target.write_record(&topic, i32::try_from(slot)?, Some(NOISE), Some(NOISE))?;
        // Gaps say nothing about places.
        let places = topic != topics.gaps();
        let (code, text, _) = tool(&["translate", "--group", "spoilt-group", "--json"])?;
        assert_eq!(code, Some(i32::from(places)), "{text}");
        let lines: Vec<Value> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        for line in &lines {
            let is_spoilt = line["partition"] == spoilt && places;
            let expected = if is_spoilt { "not-ready" } else { "exact" };
            assert_eq!(line["translation"], expected, "{text}");
            let reason = line["reason"].as_str().unwrap_or_default();
            assert_eq!(reason.contains("tombstone"), is_spoilt, "{line}");
        }
        assert_eq!(lines.len(), 2, "{text}");

        let (code, verified) = &json(&["verify", "--json"])?;
        assert_eq!(*code, Some(1), "{verified}");
        let of = |list: &Value| -> Vec<i64> {
            let list = list.as_array().into_iter().flatten();
            list.filter_map(|line| line["partition"].as_i64()).collect()
        };
        assert_eq!(
            of(at(verified, "/partitions")),
            [i64::from(whole)],
            "{verified}"
        );
        assert_eq!(
            *at(verified, "/partitions/0/faults"),
            Value::Array(Vec::new()),
            "{verified}"
        );
        let unread = at(verified, "/unread/0");
        assert_eq!(
            (at(unread, "/slot"), at(unread, "/partitions/0")),
            (&slot.into(), &format!("spoilt-{spoilt}").into()),
            "{verified}"
        );
        assert!(unread["reason"].to_string().contains(&topic), "{unread}");

        // Where groups stand is all that it reads of the map.
        let spoils = topic != topics.offset_map();
        let (code, status) = &json(&["status", "--json"])?;
        assert_eq!(*code, Some(i32::from(spoils)), "{status}");
        let known = of(at(status, "/partitions"));
        assert!(known.contains(&i64::from(whole)), "{status}");
        if spoils {
            assert_eq!(*at(status, "/readiness/verdict"), "unknown", "{status}");
            assert!(at(status, "/readiness/lost_records_at_most").is_null());
        } else {
            let places = at(status, "/groups/places").to_string();
            assert!(places.contains("tombstone"), "{status}");
        }

        target.write_record(&topic, i32::try_from(slot)?, Some(NOISE), None)?;
        let (code, verified) = &json(&["verify", "--json"])?;
        assert_eq!(*code, Some(0), "{topic}: {verified}");
    }
    Ok(())
}

fn orders(cluster: &Cluster, producer: &str, records: u64) -> Outcome {
    Workload::orders(cluster.client(), "foreign")
        .producer(producer)
        .records(records)
        .value_bytes(50)
        .run()?;
    Ok(())
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
