//! `understudy verify` and `status` say which groups stand exactly, and what the others would read again or skip.

use std::error::Error;
use std::time::Duration;

use serde_json::Value;
use understudy_tests::{Cluster, FlowFile, Pair, Worker, Workload, understudy, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);
const TOPIC: &str = "verified";

#[test]
fn each_group_is_exact_or_it_is_said_how_much_it_would_read_again_or_skip() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic(TOPIC, 1, &[])?;
    source.create_topic("elsewhere", 1, &[])?;
    // Markers lie between the records, which nobody would read again.
    Workload::orders(source.client(), TOPIC)
        .records(500)
        .value_bytes(50)
        .transactional(50, 0)
        .run()?;
    let file = FlowFile::new(source, target)
        .named(TOPIC)
        .topics([TOPIC])
        .groups(["verified-.*"])
        .slots(2)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "verified-worker")?;
    worker.wait_copied(source, TOPIC, LIMIT)?;
    let end = source.ends(TOPIC)?.get(&0).ok_or("no end")?.last_stable;
    for (group, offset) in [
        ("verified-a", 102),
        ("verified-b", 204),
        ("verified-end", end),
    ] {
        source.commit_group(group, &[(TOPIC, 0, offset)])?;
    }
    source.commit_group("verified-a", &[("elsewhere", 0, 3)])?;
    worker.wait_status("every place to be exact", LIMIT, |status| {
        let lines = status["groups"].as_array().into_iter().flatten();
        let exact = lines.filter(|line| line["topic"] == TOPIC && line["state"] == "exact");
        exact.count() == 3
    })?;
    let (code, found) = json(&worker, "verify")?;
    let found = &found;
    assert_eq!(code, 0, "{found}");
    let states: Vec<_> = places(found).map(|place| place["state"].clone()).collect();
    assert_eq!(states, ["exact", "exact", "exact"], "{found}");
    assert_eq!(at(found, "/groups/not_mirrored/verified-a/0"), "elsewhere");
    let (_, status) = json(&worker, "status")?;
    let status = &status;
    assert_eq!(places(status).count(), 3, "{status}");
    assert_eq!(*at(status, "/readiness/groups_rereading"), 0, "{status}");

    // Nobody follows them any more.
    worker.terminate()?;
    worker.wait(LIMIT)?;
    source.commit_group("verified-a", &[(TOPIC, 0, 204)])?;
    source.commit_group("verified-b", &[(TOPIC, 0, 102)])?;
    source.commit_group("verified-new", &[(TOPIC, 0, 10)])?;
    let (code, found) = json(&worker, "verify")?;
    let found = &found;
    assert_eq!(code, 1, "{found}");
    let behind = place(found, "verified-a")?;
    assert_eq!(
        (&behind["state"], &behind["reread_records"]),
        (&"behind".into(), &100.into())
    );
    let beyond = place(found, "verified-b")?;
    assert_eq!(
        (&beyond["state"], &beyond["skipped_records"]),
        (&"beyond".into(), &100.into())
    );
    assert_eq!(place(found, "verified-new")?["state"], "missing");
    assert_eq!(place(found, "verified-end")?["state"], "exact");
    let text = understudy(["verify".as_ref(), worker.flow().as_os_str()], LIMIT)?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for words in [
        "1 of 4 exact",
        "would read 100 records again",
        "would skip 100 records",
    ] {
        assert!(text.contains(words), "{text}");
    }
    // Once it runs again, they hold.
    worker.restart()?;
    wait_for("every group to be exact", LIMIT, || {
        let (code, found) = json(&worker, "verify").map_err(|error| error.to_string())?;
        (code == 0).then_some(()).ok_or_else(|| found.to_string())
    })?;
    stands(target, 10)
}

fn stands(target: &Cluster, least: i64) -> Outcome {
    let place = target.group_places("verified-new", TOPIC)?;
    assert_eq!(place.get(&0), Some(&least));
    Ok(())
}

fn json(worker: &Worker, tool: &str) -> Result<(i32, Value), Box<dyn Error>> {
    let flow = worker.flow().display().to_string();
    let output = understudy([tool, &flow, "--json"], LIMIT)?;
    let value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok((output.status.code().unwrap_or(-1), value))
}

fn places(found: &Value) -> impl Iterator<Item = &Value> {
    at(found, "/groups/places").as_array().into_iter().flatten()
}

fn at<'a>(found: &'a Value, pointer: &str) -> &'a Value {
    found.pointer(pointer).unwrap_or(&Value::Null)
}

fn place<'a>(found: &'a Value, group: &str) -> Result<&'a Value, Box<dyn Error>> {
    let found = places(found).find(|place| place["group"] == group);
    Ok(found.ok_or_else(|| format!("nothing about {group}"))?)
}
