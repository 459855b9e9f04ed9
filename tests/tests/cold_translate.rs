//! A day of commits on a hundred partitions, and nobody who remembers any of it: how much is read for an answer?

use std::error::Error;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use understudy_tests::{Cluster, FlowFile, Listener, understudy};

/// The benchmark asks the same questions with a clock.
#[path = "../src/bin/bench/day.rs"]
mod day;
use day::{Day, FLOW, LOST};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_hundred_places_in_a_day_of_commits_are_found_in_a_twentieth_of_the_map() -> Outcome {
    let target = Cluster::builder("usw2").start()?;
    let slots = NonZeroU32::new(8).ok_or("no slots")?;
    let mut state = Day::new(&target, slots)?;
    let written = state.write()?;
    let nowhere = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let file = FlowFile::with_clients(
        ("use1", nowhere),
        (target.alias(), target.client_properties(Listener::Link)),
        target.dir(),
    )
    .named(FLOW)
    .slots(slots.get());
    let flow = file.write("day", std::net::SocketAddr::from(([127, 0, 0, 1], 8080)))?;

    expect_found(&target, &flow, 0, written)?;

    // Another number of slots, and yet another: old chunks stay where they are, and are found there.
    for (round, slots) in [(1, 3), (2, 12)] {
        let file = file.clone().slots(slots);
        let path = file.write("reslot", std::net::SocketAddr::from(([127, 0, 0, 1], 8080)))?;
        let output = understudy(["reslot".as_ref(), path.as_os_str()], LIMIT)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        expect_found(&target, &path, round, written)?;
    }

    // A place in the lost chunk: its beginning is known, and from there nothing is skipped.
    let place = (11 * 1024 * LOST.1 + 77).to_string();
    let output = understudy(
        [
            "translate",
            &flow.display().to_string(),
            "--topic",
            "orders",
            "--partition",
            &LOST.0.to_string(),
            "--offset",
            &place,
            "--reverse",
            "--json",
        ],
        LIMIT,
    )?;
    let line: &serde_json::Value = &serde_json::from_slice(&output.stdout)?;
    assert_eq!(line["translation"], "at-least", "{line}");
    assert_eq!(line["source_offset"], 10 * 1024 * LOST.1, "{line}");
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("skips nothing")),
        "{line}"
    );
    assert_eq!(output.status.code(), Some(0));
    Ok(())
}

/// Asks for the places of a group in a hundred partitions. What is read decides; the time is told for people.
fn expect_found(target: &Cluster, flow: &Path, round: usize, written: u64) -> Outcome {
    let before = target.link().bytes_from_brokers();
    let began = Instant::now();
    let output = understudy(
        [
            "translate".as_ref(),
            flow.as_os_str(),
            "--group".as_ref(),
            format!("reader-{round}").as_ref(),
            "--reverse".as_ref(),
            "--json".as_ref(),
        ],
        LIMIT,
    )?;
    let took = began.elapsed();
    let read = target.link().bytes_from_brokers() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let exact = text
        .lines()
        .filter(|line| line.contains("\"exact\""))
        .count();
    assert_eq!(
        (output.status.code(), exact),
        (Some(0), 100),
        "{text}{errors}"
    );
    for line in text.lines() {
        let line: &serde_json::Value = &serde_json::from_str(line)?;
        let (source, target) = (
            line["source_offset"].as_i64(),
            line["target_offset"].as_i64(),
        );
        // Every transaction of 10 records is followed by a marker.
        let expected = target.map(|target| target - target / 11);
        assert_eq!(source, expected, "{line}");
    }
    println!("{read} of {written} bytes read in {took:?}");
    assert!(read * 20 < written, "{read} of {written} bytes read");
    Ok(())
}
