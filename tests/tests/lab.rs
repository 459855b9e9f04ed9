//! The lab itself: what it breaks is broken, what it mends is whole, and the judge can say no.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use understudy_tests::{
    Cluster, Comparison, Judge, LinkState, Listener, OLDER_VERSION, Resource, Workload,
    client_config, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_lab_breaks_and_mends_what_it_is_told_to() -> Outcome {
    let source = Cluster::builder("use1")
        .user("reader", "secret")
        .own_processes()
        .start()?;
    let target = Cluster::builder("usw2").start()?;
    assert_ne!(source.cluster_id(), target.cluster_id());
    every_listener_serves(&source)?;
    the_link_delays_throttles_cuts_and_heals(&source)?;
    a_killed_broker_comes_back_with_its_records(&source)?;
    the_judge_finds_every_fault(&source, &target)?;
    aborted_transactions_are_counted_apart(&source, &target)?;
    a_group_has_a_place(&source)
}

/// In a process of its own, and where the run has a JVM for brokers, there as well.
#[test]
fn a_broker_that_cannot_start_says_why() -> Outcome {
    let builder = || Cluster::builder("use1").property("log.retention.ms", "never");
    for builder in [builder(), builder().own_processes()] {
        let refused = builder.start().err().ok_or("it started")?.to_string();
        assert!(
            refused.contains("broker 1 of use1") && refused.contains("log.retention.ms"),
            "{refused}"
        );
    }
    Ok(())
}

#[test]
fn three_brokers_of_an_older_kafka_survive_the_loss_of_one() -> Outcome {
    let cluster = Cluster::builder("use1")
        .version(OLDER_VERSION)
        .brokers(3)
        .start()?;
    cluster.create_topic("orders", 3, &[])?;
    let lost = cluster.broker(2)?;
    lost.kill()?;
    cluster.wait_ready()?;
    let produced = Workload::orders(cluster.client(), "orders")
        .transactional(100, 0)
        .run()?;
    lost.start()?;
    cluster.wait_ready()?;
    let mut judge = Judge::new(&cluster, &cluster, "orders");
    assert!(judge.compare()?.is_exact());
    assert_eq!(judge.produced(), produced.committed);
    Ok(())
}

fn every_listener_serves(cluster: &Cluster) -> Outcome {
    cluster.create_topic("acl", 1, &[])?;
    cluster.allow(
        "User:somebody",
        &["Read"],
        &Resource::Topic("acl".to_owned()),
    )?;
    for listener in Listener::ALL {
        let client: BaseConsumer = client_config(&cluster.client_properties(listener)).create()?;
        let seen = client.fetch_metadata(Some("acl"), LIMIT)?;
        assert_eq!(
            seen.topics().first().map(|topic| topic.partitions().len()),
            Some(1),
            "{}",
            listener.name()
        );
    }
    // Others may not even see a topic once it has an ACL.
    let reader: BaseConsumer =
        client_config(&cluster.client_properties_of("reader", "secret")).create()?;
    let seen = reader.fetch_metadata(None, LIMIT)?;
    assert!(seen.topics().iter().all(|topic| topic.name() != "acl"));
    Ok(())
}

fn the_link_delays_throttles_cuts_and_heals(cluster: &Cluster) -> Outcome {
    cluster.create_topic("far", 1, &[])?;
    let link = cluster.link();
    link.set_round_trip(Duration::from_millis(60));
    let producer = far_producer(cluster)?;
    write(&producer, "first", LIMIT)?;
    let begun = Instant::now();
    write(&producer, "second", LIMIT)?;
    assert!(
        begun.elapsed() >= Duration::from_millis(60),
        "{:?}",
        begun.elapsed()
    );

    link.set_round_trip(Duration::ZERO);
    // A rate is a bound: whoever is slow for other reasons may be slower.
    link.set_rate(1_000_000);
    let begun = Instant::now();
    let produced = Workload::orders(
        client_config(&cluster.client_properties(Listener::Link)),
        "far",
    )
    .property("compression.type", "none")
    .records(2_000)
    .run()?;
    let least = Duration::from_millis(produced.value_bytes / 1_000 * 3 / 4);
    assert!(begun.elapsed() > least, "{:?}", begun.elapsed());
    link.set_rate(0);

    for (state, broken) in [(LinkState::Cut, true), (LinkState::Blackhole, false)] {
        match state {
            LinkState::Cut => link.cut()?,
            LinkState::Blackhole | LinkState::Up => link.blackhole()?,
        }
        let refused = std::net::TcpStream::connect(cluster.bootstrap_link()).is_err();
        assert_eq!(refused, broken, "{state:?}");
        assert!(
            write(&producer, "unheard", Duration::from_millis(700)).is_err(),
            "{state:?}"
        );
        link.heal()?;
        flush(&producer, LIMIT)?;
        write(&producer, "heard", LIMIT)?;
    }
    Ok(())
}

fn a_killed_broker_comes_back_with_its_records(cluster: &Cluster) -> Outcome {
    cluster.create_topic("kept", 3, &[])?;
    let written = Workload::orders(cluster.client(), "kept")
        .rate(500)
        .records(u64::MAX)
        .start()?;
    wait_for("records in every partition", LIMIT, || {
        let written = written.written();
        (written > 100).then_some(()).ok_or(written.to_string())
    })?;
    let broker = cluster.broker(1)?;
    broker.kill()?;
    assert!(!broker.is_running());
    broker.start()?;
    cluster.wait_ready()?;
    broker.pause()?;
    broker.resume()?;
    cluster.wait_ready()?;
    let produced = written.stop()?;
    let mut judge = Judge::new(cluster, cluster, "kept");
    assert!(judge.compare()?.is_exact());
    assert_eq!(judge.produced(), produced.committed);
    assert!(cluster.cpu_seconds() > 0.0);
    Ok(())
}

fn the_judge_finds_every_fault(source: &Cluster, target: &Cluster) -> Outcome {
    let good = ["a", "b", "c", "d"];
    assert_eq!(judged(source, target, "exact", &good, &good)?, exact(4));
    assert_eq!(
        judged(source, target, "lost", &good, &["a", "c", "d"])?,
        Comparison {
            copied: 3,
            lost: 1,
            ..exact(4)
        }
    );
    let twice = ["a", "b", "b", "c", "d"];
    assert_eq!(
        judged(source, target, "doubled", &good, &twice)?,
        Comparison {
            copied: 5,
            doubled: 1,
            ..exact(4)
        }
    );
    let swapped = ["a", "c", "b", "d"];
    assert_eq!(
        judged(source, target, "swapped", &good, &swapped)?,
        Comparison {
            out_of_order: 1,
            ..exact(4)
        }
    );
    // "B" is "b" with its headers in another order, "C" is "c" at another time.
    let altered = ["a", "B", "C", "d"];
    assert_eq!(
        judged(source, target, "altered", &good, &altered)?,
        Comparison {
            altered: 2,
            ..exact(4)
        }
    );
    Ok(())
}

fn aborted_transactions_are_counted_apart(source: &Cluster, target: &Cluster) -> Outcome {
    source.create_topic("orders", 3, &[])?;
    target.create_topic("orders", 3, &[])?;
    let produced = Workload::orders(target.client(), "orders")
        .records(1_000)
        .transactional(100, 5)
        .run()?;
    assert_eq!(
        (produced.committed_total(), produced.aborted_total()),
        (800, 200)
    );
    let mut judge = Judge::new(source, target, "orders");
    let comparison = judge.compare()?;
    assert_eq!(
        (
            comparison.copied,
            comparison.foreign,
            comparison.aborted_copies
        ),
        (800, 800, 200)
    );
    // The same orders again, from a producer of the same name: the same ids, at other times.
    Workload::orders(source.client(), "orders")
        .records(1_000)
        .transactional(100, 5)
        .run()?;
    let comparison = judge.compare()?;
    assert_eq!(
        (comparison.altered, comparison.lost, comparison.foreign),
        (800, 0, 0)
    );
    assert_eq!(judge.place_on_target(0, 0), Some(0));
    assert_eq!(judge.place_on_target(0, i64::MAX), None);
    Ok(())
}

fn a_group_has_a_place(cluster: &Cluster) -> Outcome {
    cluster.commit_group("billing", &[("orders", 1, 17)])?;
    assert_eq!(
        cluster
            .group_places("billing", "orders")?
            .into_iter()
            .collect::<Vec<_>>(),
        [(1, 17)]
    );
    let keys = cluster.read_as_group("reports", "orders", 50)?;
    assert_eq!(keys.len(), 50);
    assert!(!cluster.group_places("reports", "orders")?.is_empty());
    Ok(())
}

fn exact(records: u64) -> Comparison {
    Comparison {
        produced: records,
        copied: records,
        ..Comparison::default()
    }
}

/// Writes records by their letters to each side and judges.
fn judged(
    source: &Cluster,
    target: &Cluster,
    topic: &str,
    here: &[&str],
    there: &[&str],
) -> Result<Comparison, Box<dyn Error>> {
    for (cluster, letters) in [(source, here), (target, there)] {
        cluster.create_topic(topic, 1, &[])?;
        let producer: BaseProducer = cluster.client().create()?;
        for letter in letters {
            let id = letter.to_lowercase();
            let mut headers = [
                Header {
                    key: "x",
                    value: Some("1"),
                },
                Header {
                    key: "y",
                    value: None,
                },
            ];
            if *letter == "B" {
                headers.reverse();
            }
            let headers = headers
                .into_iter()
                .fold(OwnedHeaders::new(), OwnedHeaders::insert);
            let value = format!("{{\"id\":\"{id}\"}}");
            let timestamp = if *letter == "C" { 2_000 } else { 1_000 };
            let record = BaseRecord::to(topic).partition(0).key(&id).payload(&value);
            producer
                .send(record.headers(headers).timestamp(timestamp))
                .map_err(|(error, _)| error)?;
        }
        flush(&producer, LIMIT)?;
    }
    Ok(Judge::new(source, target, topic).compare()?)
}

fn far_producer(cluster: &Cluster) -> Result<BaseProducer, Box<dyn Error>> {
    let mut config = client_config(&cluster.client_properties(Listener::Link));
    config
        .set("linger.ms", "0")
        .set("message.timeout.ms", "0")
        .set("socket.timeout.ms", "5000");
    Ok(config.set("reconnect.backoff.max.ms", "200").create()?)
}

fn write(producer: &BaseProducer, value: &str, limit: Duration) -> Outcome {
    producer
        .send(BaseRecord::<(), str>::to("far").payload(value))
        .map_err(|(error, _)| error)?;
    flush(producer, limit)
}

fn flush(producer: &BaseProducer, limit: Duration) -> Outcome {
    let begun = Instant::now();
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
        if begun.elapsed() > limit {
            return Err(format!(
                "{} records in flight after {limit:?}",
                producer.in_flight_count()
            )
            .into());
        }
    }
    Ok(())
}
