//! How long a tool takes that knows nothing yet to find a hundred places in a day of commits.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_tests::{FlowFile, Listener, understudy};

use crate::day::{Day, FLOW, PARTITIONS, READERS};
use crate::error::{BenchError, Result};
use crate::lab::Lab;

const LIMIT: Duration = Duration::from_secs(60);
const SLOTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);

/// One question.
#[derive(Clone, Debug, Serialize)]
pub struct TranslateRun {
    /// From the start of the process to its end.
    pub seconds: f64,
    /// What it read from the target, in MB.
    pub read_mb: f64,
    /// What the map takes, in MB.
    pub map_mb: f64,
}

/// Writes the day and asks for the places of each group.
pub fn section(lab: &Lab) -> Result<Vec<TranslateRun>> {
    let not_written =
        |error: Box<dyn std::error::Error>| BenchError::NotMeasured(error.to_string());
    let mut day = Day::new(&lab.target, SLOTS).map_err(not_written)?;
    let written = day.write().map_err(not_written)?;
    let nowhere = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let (dir, _) = lab.next_run()?;
    let there = lab.target.client_properties(Listener::Link);
    let file = FlowFile::with_clients(("use1", nowhere), (lab.target.alias(), there), &dir)
        .named(FLOW)
        .slots(SLOTS.get());
    let path = file.write(FLOW, ([127, 0, 0, 1], 8080).into())?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let mut runs = Vec::new();
    for reader in 0..READERS {
        let group = format!("reader-{reader}");
        let before = lab.target.link().bytes_from_brokers();
        let begun = Instant::now();
        let output = understudy(
            [
                "translate".as_ref(),
                path.as_os_str(),
                "--group".as_ref(),
                group.as_ref(),
                "--reverse".as_ref(),
                "--json".as_ref(),
            ],
            LIMIT,
        )?;
        let run = TranslateRun {
            seconds: begun.elapsed().as_secs_f64(),
            read_mb: mb(lab.target.link().bytes_from_brokers() - before),
            map_mb: mb(written),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let exact = text.lines().filter(|line| line.contains("\"exact\""));
        if exact.count() != usize::try_from(PARTITIONS).unwrap_or_default() {
            return Err(BenchError::NotMeasured(format!(
                "not every place of {group} was found: {text}"
            )));
        }
        lab.progress.say(&format!(
            "a hundred places in a day of commits: {:.2} s, {:.1} of {:.0} MB read",
            run.seconds, run.read_mb, run.map_mb
        ));
        runs.push(run);
    }
    lab.clear(&[])?;
    Ok(runs)
}
