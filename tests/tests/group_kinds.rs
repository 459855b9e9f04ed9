//! Groups of every kind, and places that are none: each is answered by name, and none holds up the others.

use std::error::Error;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use understudy_tests::{
    Cluster, ClusterBuilder, FlowFile, Pair, Process, Worker, Workload, package_file, understudy,
    wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn places_at_the_edges_are_answered_and_never_beyond_the_next_record() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    for topic in ["edge", "edge-empty", "not-mirrored"] {
        source.create_topic(topic, 1, &[])?;
    }
    orders(source, "edge", 300)?;
    orders(source, "not-mirrored", 20)?;
    source.delete_records_before("edge", 0, 100)?;
    let worker = start("edges", |file| {
        file.topics(["edge", "edge-empty"]).groups(["edge-.*"])
    })?;
    worker.wait_copied(source, "edge", LIMIT)?;
    source.commit_group("edge-empty", &[("edge-empty", 0, 0)])?;
    source.commit_group("edge-below", &[("edge", 0, 50)])?;
    source.commit_group("edge-beyond", &[("edge", 0, 5_000)])?;
    source.commit_group("edge-mixed", &[("edge", 0, 250), ("not-mirrored", 0, 7)])?;

    // An empty partition, and nothing read of it.
    stands(target, "edge-empty", "edge-empty", Some(0))?;
    // Copies begin with the first record that was left.
    let line = &shown(&worker, "edge-below", "exact")?;
    assert_eq!(line["target_offset"], 0, "{line}");
    assert!(reason(line).contains("below the start"), "{line}");
    stands(target, "edge-below", "edge", Some(0))
        .map_err(|error| format!("{error}\n{}", worker.log()))?;
    let line = &shown(&worker, "edge-beyond", "ahead")?;
    assert!(reason(line).contains("beyond"), "{line}");
    stands(target, "edge-mixed", "edge", Some(150))?;
    // Both of these were looked at by then.
    stands(target, "edge-beyond", "edge", None)?;
    assert_eq!(target.partitions("not-mirrored")?, None);
    // Once there are so many records, it has its place.
    orders_by(source, "edge", "q", 4_900)?;
    let line = &shown(&worker, "edge-beyond", "exact")?;
    stands(
        target,
        "edge-beyond",
        "edge",
        line["target_offset"].as_i64(),
    )
}

#[test]
fn groups_deleted_on_the_source_are_kept_unless_they_are_to_be_followed() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    for (topic, policy) in [("kept", "keep"), ("followed", "follow")] {
        source.create_topic(topic, 1, &[])?;
        orders(source, topic, 50)?;
        let worker = start(topic, |file| {
            file.topics([topic])
                .groups([format!("{topic}-group")])
                .mirror("group_deletes", policy)
        })?;
        worker.wait_copied(source, topic, LIMIT)?;
        let group = format!("{topic}-group");
        source.commit_group(&group, &[(topic, 0, 30)])?;
        stands(target, &group, topic, Some(30))?;
        delete_group(source, &group)?;
        worker.wait_status("the group to be gone", LIMIT, |status| {
            status["groups"].as_array().is_some_and(Vec::is_empty)
        })?;
        match policy {
            "keep" => stands(target, &group, topic, Some(30))?,
            _ => stands(target, &group, topic, None)?,
        }
    }
    Ok(())
}

#[test]
fn share_groups_are_named_and_one_of_the_same_name_on_the_target_holds_up_nothing() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("shared", 1, &[])?;
    orders(source, "shared", 100)?;
    let mut members = Vec::new();
    for (cluster, group) in [(source, "shared-by-many"), (target, "shared-clash")] {
        if cluster.partitions("shared")?.is_none() {
            cluster.create_topic("shared", 1, &[])?;
        }
        members.push(share(cluster, group)?);
    }
    let worker = start("shared", |file| {
        file.topics(["shared"]).groups(["shared-.*"])
    })?;
    worker.wait_copied(source, "shared", LIMIT)?;
    worker.wait_status("the share group to be named", LIMIT, |status| {
        status["groups_not_movable"] == serde_json::json!(["shared-by-many"])
    })?;
    let page = worker.get("/")?;
    assert!(page.body.contains("shared-by-many"), "{}", page.body);

    // On the target a share group has this name.
    source.commit_group("shared-clash", &[("shared", 0, 40)])?;
    source.commit_group("shared-other", &[("shared", 0, 60)])?;
    let line = &shown(&worker, "shared-clash", "unknown")?;
    assert!(
        reason(line).contains("a group of another kind has this name on the target"),
        "{line}"
    );
    stands(target, "shared-other", "shared", Some(60))?;
    orders_by(source, "shared", "q", 100)?;
    worker.wait_copied(source, "shared", LIMIT)?;
    source.commit_group("shared-other", &[("shared", 0, 150)])?;
    shown(&worker, "shared-other", "exact")?;
    for member in &mut members {
        member.kill()?;
    }
    Ok(())
}

#[test]
fn streams_groups_are_followed_and_those_of_the_target_are_left_alone() -> Outcome {
    let Pair { source, target } = &Pair::start(with_streams, with_streams)?;
    for cluster in [source, target] {
        cluster.create_topic("streamed", 1, &[])?;
    }
    orders(source, "streamed", 100)?;
    let mut here = stream(source, "streamed-app", "streamed", 60)?;
    let group = "streamed-there";
    let mut there = stream(target, group, "streamed", 70)?;
    stands(source, "streamed-app", "streamed", Some(60))?;
    stands(target, group, "streamed", Some(70))?;
    let file = FlowFile::new(source, target)
        .named("streamed")
        .topics(["streamed"])
        .groups(["streamed-.*"])
        .slots(1)
        .mirror("group_sync_interval", "300ms");
    let worker = Worker::start(&file, "streamed-worker")?;
    worker.wait_copied(source, "streamed", LIMIT)?;
    stands(target, "streamed-app", "streamed", Some(60))?;
    shown(&worker, "streamed-app", "exact")?;
    let status = &worker.status()?;
    assert_eq!(status["groups_not_movable"], serde_json::json!([]));

    // Brokers would let us set its place on the target under its feet.
    source.commit_group(group, &[("streamed", 0, 80)])?;
    worker.wait_status("the group to be left alone", LIMIT, |status| {
        let lines = status["groups"].as_array().into_iter().flatten();
        let mut lines = lines.filter(|line| line["group"] == group && line["source_offset"] == 80);
        lines.any(|line| reason(line).contains("somebody is in the group"))
    })?;
    // A place that was set by now.
    source.commit_group("streamed-other", &[("streamed", 0, 90)])?;
    stands(target, "streamed-other", "streamed", Some(90))?;
    stands(target, group, "streamed", Some(70))?;
    let flow = worker.flow().display().to_string();
    let output = understudy(["verify", &flow, "--json"], LIMIT)?;
    let found: &Value = &serde_json::from_slice(&output.stdout)?;
    let mut places = listed(found).into_iter().flatten();
    let place = places.find(|place| place["group"] == group);
    assert!(
        place.is_some_and(|place| place["state"] == "live"),
        "{found}"
    );
    for member in [&mut here, &mut there] {
        member.terminate()?;
        member.wait(LIMIT)?;
    }
    Ok(())
}

#[test]
fn places_are_committed_again_before_the_target_forgets_them() -> Outcome {
    let Pair { source, target } = &Pair::start(
        |source| source,
        |target| {
            target
                .property("offsets.retention.minutes", "1")
                .property("offsets.retention.check.interval.ms", "1000")
        },
    )?;
    source.create_topic("brief", 1, &[])?;
    orders(source, "brief", 50)?;
    let file = FlowFile::new(source, target)
        .named("brief")
        .topics(["brief"])
        .groups(["brief-group"])
        .slots(1);
    let worker = Worker::start(&file, "brief-worker")?;
    worker.wait_copied(source, "brief", LIMIT)?;
    source.commit_group("brief-group", &[("brief", 0, 30)])?;
    stands(target, "brief-group", "brief", Some(30))?;
    // A later place of a group that nobody commits again.
    target.commit_group("forgotten", &[("brief", 0, 30)])?;
    stands(target, "forgotten", "brief", Some(30))?;
    stands(target, "forgotten", "brief", None)?;
    stands(target, "brief-group", "brief", Some(30))
}

/// Kafka 4.1 has the protocol for those who ask for what is early.
fn with_streams(cluster: ClusterBuilder) -> ClusterBuilder {
    cluster
        .property("unstable.feature.versions.enable", "true")
        .property("unstable.api.versions.enable", "true")
}

/// A member of a streams group that commits this place; returns at once.
fn stream(
    cluster: &Cluster,
    group: &str,
    topic: &str,
    place: i64,
) -> Result<Process, Box<dyn Error>> {
    upgrade(cluster, "streams.version=1")?;
    let program = package_file("java/StreamsMember.java");
    let (bootstrap, place) = (cluster.bootstrap(), place.to_string());
    let log = cluster.dir().join(format!("{group}-{place}.log"));
    let arguments = [bootstrap.as_str(), group, topic, &place];
    Ok(cluster.kafka().start_source(&program, arguments, &log)?)
}

fn upgrade(cluster: &Cluster, feature: &str) -> Outcome {
    let bootstrap = cluster.bootstrap();
    let arguments = [
        "--bootstrap-server",
        &bootstrap,
        "upgrade",
        "--feature",
        feature,
    ];
    cluster
        .kafka()
        .run_tool("org.apache.kafka.tools.FeatureCommand", &arguments)?;
    Ok(())
}

/// A member of a share group, once its cluster lists the group.
fn share(cluster: &Cluster, group: &str) -> Result<Process, Box<dyn Error>> {
    upgrade(cluster, "share.version=1")?;
    let bootstrap = cluster.bootstrap();
    let log = cluster.dir().join(format!("{group}.log"));
    let mut member = cluster.kafka().start_class(
        group,
        &["-Xmx128M".to_owned()],
        "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
        [
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            "shared",
            "--group",
            group,
        ],
        &log,
    )?;
    wait_for(&format!("{group} to be listed"), LIMIT, || {
        member.expect_running().map_err(|error| error.to_string())?;
        let listed = cluster
            .kafka()
            .run_tool(
                "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
                &["--bootstrap-server", &bootstrap, "--list"],
            )
            .map_err(|error| error.to_string())?;
        listed.contains(group).then_some(()).ok_or(listed)
    })?;
    Ok(member)
}

fn start(name: &str, how: impl FnOnce(FlowFile) -> FlowFile) -> Result<Worker, Box<dyn Error>> {
    let Pair { source, target } = Pair::shared()?;
    let file = FlowFile::new(source, target)
        .named(name)
        .slots(2)
        .mirror("group_sync_interval", "300ms");
    Ok(Worker::start(&how(file), &format!("{name}-worker"))?)
}

fn orders(cluster: &Cluster, topic: &str, records: u64) -> Outcome {
    orders_by(cluster, topic, "p", records)
}

fn orders_by(cluster: &Cluster, topic: &str, producer: &str, records: u64) -> Outcome {
    Workload::orders(cluster.client(), topic)
        .producer(producer)
        .records(records)
        .value_bytes(50)
        .run()?;
    Ok(())
}

fn delete_group(cluster: &Cluster, group: &str) -> Outcome {
    let admin: AdminClient<DefaultClientContext> = cluster.client().create()?;
    // The client that committed may take a moment to be gone.
    wait_for("the group to be deleted", LIMIT, || {
        let deleted = pollster::block_on(admin.delete_groups(&[group], &AdminOptions::new()))
            .map_err(|error| error.to_string())?;
        deleted
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("{error:?}"))
    })?;
    Ok(())
}

/// Waits for the place that a group has on the target, or for it to have none.
fn stands(target: &Cluster, group: &str, topic: &str, place: Option<i64>) -> Outcome {
    wait_for(&format!("the place of {group}"), LIMIT, || {
        let found = target.group_places(group, topic);
        let found = found.map_err(|error| error.to_string())?.get(&0).copied();
        (found == place)
            .then_some(())
            .ok_or(format!("{found:?}, not {place:?}"))
    })?;
    Ok(())
}

/// A group's line on the page, once it is in this state.
fn shown(worker: &Worker, group: &str, state: &str) -> Result<Value, Box<dyn Error>> {
    let find = |status: &Value| {
        let lines = status["groups"].as_array().into_iter().flatten();
        let mut lines = lines.filter(|line| line["group"] == group);
        lines.find(|line| line["state"] == state).cloned()
    };
    let what = format!("{group} to be {state}");
    let status = worker.wait_status(&what, LIMIT, |status| find(status).is_some())?;
    Ok(find(&status).ok_or("it is gone")?)
}

fn reason(line: &Value) -> &str {
    line["reason"].as_str().unwrap_or_default()
}

/// The places of groups that `verify` found.
fn listed(found: &Value) -> Option<&Vec<Value>> {
    found.pointer("/groups/places")?.as_array()
}
