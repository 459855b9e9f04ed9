//! A Region is lost with its AWS, comes back with records that nobody else has, and is failed back to by the machine that
//! is deployed there: every record is in one place, and the first flow runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use understudy_tests::aws::{EcsAgent, TwoRegions};
use understudy_tests::{
    Cluster, FlowFile, Heard, Judge, LoggedProducer, Pair, client_config, deployed_pair, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(120);
/// For a command that ends with its recovery.
const RECOVERED: Duration = Duration::from_secs(360);
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
const WORKERS: u32 = 1;
const USER: (&str, &str) = ("shop", "hush");
/// Where the shop's numbers begin: where it was lost, where it was forgotten, on the other side, at home again.
const LIVES: [u64; 4] = [0, 1_000_000, 2_000_000, 3_000_000];

#[test]
fn a_region_that_was_lost_is_failed_back_to_by_its_own_machine() -> Outcome {
    let (user, password) = USER;
    let Pair { source, target } = &Pair::start(
        |source| source.user(user, password).own_processes(),
        |target| target.user(user, password),
    )?;
    source.create_topic(TOPIC, PARTITIONS, &[])?;
    let flow = |source, target| FlowFile::new(source, target).topics([TOPIC]).slots(2);
    let (there, back) = (flow(source, target), flow(target, source));
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let flows = BTreeMap::from([
        ("there.toml".to_owned(), there.render(nowhere)?),
        ("back.toml".to_owned(), back.render(nowhere)?),
    ]);
    let folder = target.dir().join("aws");
    std::fs::create_dir_all(&folder)?;
    let mut aws = TwoRegions::deploy(&folder, &document(source, target), &flows)?;
    let there = EcsAgent::start(&aws.usw2, "understudy/there", WORKERS, there)?;
    let [first, late, away, again] = LIVES;

    // Lost, with records that nobody had copied.
    let lost = shop(source, first)?;
    acknowledged(&lost, 300)?;
    copied(target, first)?;
    source.link().cut()?;
    acknowledged(&lost, lost.acknowledged() + 100)?;
    for broker in source.brokers() {
        broker.kill()?;
    }
    aws.use1.kill()?;
    recovered(&aws, "usw2", "failover", "use1 is gone")?;
    let lost = lost.stop();
    let moved = shop(target, away)?;
    acknowledged(&moved, 300)?;

    // Back, with a shop that was forgotten; its AWS remembers nothing. Each minute what was left is shut if it answers: not
    // before the shop has written.
    aws.ledger.pause()?;
    for broker in source.brokers() {
        broker.start()?;
    }
    source.link().heal()?;
    source.wait_ready()?;
    let late = shop(source, late)?;
    acknowledged(&late, 100)?;
    aws.ledger.resume()?;
    aws.return_use1()?;
    let back = EcsAgent::start(&aws.use1, "understudy/back", 0, back)?;
    let evidence = recovered(&aws, "use1", "failback", "use1 is back")?;
    let refused = [late.refused(), moved.refused()];
    assert!(refused.iter().all(|it| *it > 0), "{refused:?} were refused");
    let (late, moved) = (late.stop(), moved.stop());
    let epoch = evidence.pointer("/tail/epoch").and_then(Value::as_u64);
    let tail = format!("{TOPIC}.tail.e{}", epoch.ok_or("no epoch")?);

    // The first flow runs again, and each record is in one place.
    let home = shop(source, again)?;
    acknowledged(&home, 200)?;
    let home = home.stop();
    copied(target, again)?;
    let put_aside = numbers(target, &tail)?;
    let written: Vec<_> = [&lost, &late, &moved, &home]
        .into_iter()
        .flat_map(all)
        .collect();
    wait_for("everything to be on usw2", LIMIT, || {
        let topic = numbers(target, TOPIC).map_err(|error| error.to_string())?;
        match written
            .iter()
            .find(|it| usize::from(topic.contains(it)) + usize::from(put_aside.contains(it)) != 1)
        {
            None => Ok(()),
            Some(one) => Err(format!("{one:?} is in both or in neither")),
        }
    })?;
    let at_home = numbers(source, TOPIC)?;
    let missing: Vec<_> = written.iter().filter(|it| !at_home.contains(it)).collect();
    assert!(missing.is_empty(), "not at home: {missing:?}");
    // Behind what was put aside both hold the same, once and in order.
    let verdict = Judge::new(source, target, TOPIC).compare_settled(LIMIT)?;
    let wrong = verdict.doubled + verdict.out_of_order + verdict.altered + verdict.foreign;
    assert_eq!(
        (wrong, verdict.lost),
        (0, put_aside.len() as u64),
        "{verdict}"
    );
    // The forgotten shop was shut out until home was opened again.
    let of = |log: &Heard| all(log).filter(|it| put_aside.contains(it)).count();
    assert!(of(&lost) >= 100 && of(&late) >= 100, "{}", put_aside.len());
    drop((there, back));
    Ok(())
}

fn document(source: &Cluster, target: &Cluster) -> Value {
    let (user, password) = USER;
    let proof = |cluster: &Cluster| {
        let login = cluster.client_properties_of(user, password);
        json!(BTreeMap::from_iter(login))
    };
    let more = json!({
        "consent": { "max_lost_records": 1_000_000, "max_age_seconds": 3_600 },
        "fencing": {
            "writers": [format!("User:{user}")],
            "proof": { "use1": proof(source), "usw2": proof(target) },
        },
    });
    let files = ["there.toml", "back.toml"];
    deployed_pair((source, target), files, WORKERS, more)
}

/// A person types it in the Region of the cluster `alias`; its evidence.
fn recovered(
    aws: &TwoRegions,
    alias: &str,
    verb: &str,
    reason: &str,
) -> Result<Value, Box<dyn Error>> {
    let more = ["--yes", "--reason", reason, "--json"];
    let told = aws.typed(alias, verb, &more, RECOVERED)?;
    let evidence: Value = serde_json::from_str(&told.answered)
        .map_err(|error| format!("{verb}: {error}: {told:?}"))?;
    assert_eq!(
        evidence.get("ended"),
        Some(&json!("TargetActive")),
        "{evidence}"
    );
    Ok(evidence)
}

fn shop(cluster: &Cluster, first: u64) -> Result<LoggedProducer, Box<dyn Error>> {
    let client = client_config(&cluster.client_properties_of(USER.0, USER.1));
    Ok(LoggedProducer::start_from(
        first, client, TOPIC, PARTITIONS,
    )?)
}

fn acknowledged(shop: &LoggedProducer, records: usize) -> Outcome {
    wait_for("the shop to write", LIMIT, || match shop.acknowledged() {
        some if some >= records => Ok(()),
        few => Err(format!("{few} were acknowledged")),
    })?;
    Ok(())
}

/// Waits until a record of a life of the shop's is there.
fn copied(target: &Cluster, first: u64) -> Outcome {
    wait_for("a copy", LIMIT, || {
        let there = numbers(target, TOPIC).map_err(|error| error.to_string())?;
        let life = first..first + 1_000_000;
        match there.iter().any(|(_, number)| life.contains(number)) {
            true => Ok(()),
            false => Err(format!("{} others", there.len())),
        }
    })?;
    Ok(())
}

fn all(heard: &Heard) -> impl Iterator<Item = (i32, u64)> + '_ {
    let places = heard.acknowledged.iter();
    places.map(|((partition, _), number)| (*partition, *number))
}

fn numbers(cluster: &Cluster, topic: &str) -> Result<BTreeSet<(i32, u64)>, Box<dyn Error>> {
    let records = cluster.read_all(topic)?;
    let number = |it: &understudy_tests::PlainRecord| {
        LoggedProducer::number(Some(&it.key)).map(|number| (it.partition, number))
    };
    Ok(records.iter().filter_map(number).collect())
}
