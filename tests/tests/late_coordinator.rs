//! Coordinators of groups that go, come back late and move: whoever asks for places of groups lives on, and is answered.

use std::error::Error;
use std::time::Duration;

use understudy_kafka::Endpoint;
use understudy_kafka::ffi::groups::{Told, many_group_places};
use understudy_kafka::ffi::reader::Reader;
use understudy_tests::{Cluster, Listener, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

#[test]
fn a_question_about_groups_that_was_given_up_does_no_harm_when_the_coordinator_comes_back()
-> Outcome {
    let cluster = Cluster::builder("use1").own_processes().start()?;
    cluster.create_topic("asked", 1, &[])?;
    let groups: Vec<String> = (0..20).map(|number| format!("group-{number}")).collect();
    for group in &groups {
        cluster.commit_group(group, &[("asked", 0, 0)])?;
    }
    let properties = cluster.client_properties(Listener::Plaintext);
    let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
    let reader = Reader::new(&endpoint.reader_to_end(), endpoint.watch.clone())?;
    let other = Reader::new(&endpoint.reader_to_end(), endpoint.watch.clone())?;
    for reader in [&reader, &other] {
        assert_eq!(
            many_group_places(reader, &groups, LIMIT)?.len(),
            groups.len()
        );
    }
    let broker = cluster.broker(1)?;
    broker.kill()?;
    for reader in [&reader, &other] {
        assert!(
            many_group_places(reader, &groups, SHORT)?
                .values()
                .all(Result::is_err)
        );
    }
    // One that ends with its questions open.
    drop(other);
    broker.start()?;
    cluster.wait_ready()?;
    wait_for("every group to be told again", LIMIT, || {
        let told = many_group_places(&reader, &groups, SHORT).map_err(|error| error.to_string())?;
        match told.values().filter(|told| told.is_ok()).count() {
            all if all == groups.len() => Ok(()),
            some => Err(format!("{some} of {}", groups.len())),
        }
    })?;
    Ok(())
}

#[test]
fn questions_about_groups_outlive_coordinators_that_move() -> Outcome {
    let cluster = Cluster::builder("use1")
        .brokers(3)
        .own_processes()
        .start()?;
    cluster.create_topic("asked", 1, &[])?;
    let groups: Vec<String> = (0..6).map(|number| format!("group-{number}")).collect();
    for group in &groups {
        cluster.commit_group(group, &[("asked", 0, 0)])?;
    }
    let properties = cluster.client_properties(Listener::Plaintext);
    let endpoint = Endpoint::new(cluster.alias(), properties.into_iter().collect());
    let asking = understudy_kafka::Cluster::open(&endpoint)?;
    let all_told = || -> Result<(), String> {
        let mut told = 0;
        asking
            .tell_group_places(&groups, SHORT, &mut |_, answer| {
                told += usize::from(matches!(answer, Told::End(Ok(()))));
            })
            .map_err(|error| error.to_string())?;
        match told {
            all if all == groups.len() => Ok(()),
            some => Err(format!("{some} of {}", groups.len())),
        }
    };
    wait_for("every group to be told", LIMIT, all_told)?;
    for id in 1..=3 {
        let broker = cluster.broker(id)?;
        // A broker that stops as it should answers "not the coordinator" while it does.
        broker.terminate()?;
        wait_for("every group to be told by the others", LIMIT, all_told)?;
        broker.wait(LIMIT)?;
        broker.start()?;
        cluster.wait_ready()?;
        wait_for("every group to be told again", LIMIT, all_told)?;
    }
    Ok(())
}
