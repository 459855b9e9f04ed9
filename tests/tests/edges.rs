//! Ends of partitions while brokers come and go: a leader that does not answer never makes a log look empty.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Endpoint, Fault};
use understudy_tests::{Cluster, Listener, Workload, wait_for};

type Outcome = Result<(), Box<dyn Error>>;
type Open = fn(&Endpoint) -> Result<understudy_kafka::Cluster, Fault>;

const LIMIT: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_secs(2);
const PARTITIONS: i32 = 6;

#[test]
fn a_log_with_records_never_looks_empty_while_brokers_are_killed() -> Outcome {
    let cluster = Cluster::builder("use1")
        .brokers(3)
        .own_processes()
        .start()?;
    cluster.create_topic("full", PARTITIONS, &[])?;
    Workload::orders(cluster.client(), "full")
        .records(600)
        .run()?;
    let properties = cluster.client_properties(Listener::Plaintext);
    let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
    let partitions: Vec<_> = (0..PARTITIONS)
        .map(|number| TopicPartition::new("full", number))
        .collect();
    let over = AtomicBool::new(false);
    let asked = |(open, edge): (Open, Edge)| -> Result<usize, String> {
        let cluster = open(&endpoint).map_err(|fault| fault.to_string())?;
        let mut answers = 0;
        while !over.load(Ordering::Relaxed) {
            // No answer at all is an answer that nobody takes for an end.
            let Ok(edges) = cluster.edges(&partitions, edge, SHORT) else {
                continue;
            };
            for (partition, told) in edges {
                match told {
                    Ok(end) if end < 1 => return Err(format!("{partition} ends at {end}")),
                    Ok(_) => answers += 1,
                    Err(_) => {}
                }
            }
        }
        Ok(answers)
    };
    let (disturbed, answers) = std::thread::scope(|scope| {
        // As workers ask, and as tools do.
        let ways: [(Open, Edge); 2] = [
            (understudy_kafka::Cluster::kept, Edge::HighWatermark),
            (understudy_kafka::Cluster::open, Edge::LastStable),
        ];
        let askers = ways.map(|way| scope.spawn(move || asked(way)));
        let disturbed = (1..=3).try_for_each(|id| -> Outcome {
            let broker = cluster.broker(id)?;
            broker.kill()?;
            broker.start()?;
            cluster.wait_ready()?;
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        let answers = askers.map(|asker| asker.join());
        (disturbed, answers)
    });
    disturbed?;
    for told in answers {
        let told = told.map_err(|_panic| "an asker panicked")??;
        assert!(told > 0, "nothing was ever told");
    }
    let asking = understudy_kafka::Cluster::open(&endpoint)?;
    wait_for("every end to be told again", LIMIT, || {
        let edges = asking
            .edges(&partitions, Edge::HighWatermark, SHORT)
            .map_err(|fault| fault.to_string())?;
        match edges.values().filter(|told| told.is_ok()).count() {
            6 => Ok(()),
            some => Err(format!("{some} of {PARTITIONS}")),
        }
    })?;
    Ok(())
}
