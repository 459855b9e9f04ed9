//! A coordinator that comes back after a question about groups was given up: the client lives on, and answers.

use std::error::Error;
use std::time::Duration;

use understudy_kafka::Endpoint;
use understudy_kafka::ffi::groups::{group_places, many_group_places};
use understudy_kafka::ffi::reader::Reader;
use understudy_tests::{Cluster, Listener, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

#[test]
fn a_question_about_groups_that_was_given_up_does_no_harm_when_the_coordinator_comes_back()
-> Outcome {
    let cluster = Cluster::builder("use1").start()?;
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
        let given_up = group_places(reader, "group-0", SHORT);
        assert!(given_up.is_err(), "{given_up:?}");
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
