//! `demo`: a Kafka Region is mirrored exactly once while workers and brokers are killed, and proved to be; then it is lost
//! with its AWS, an alarm fires, and the applications are at work on the other side; then it comes back, with records that
//! nobody else has, and the applications go home.

mod books;
mod control;
mod groups;
mod home;
mod loss;
mod mm2;
mod pace;
mod report;
mod sales;
mod stage;
mod story;
mod voice;
mod warehouse;

use std::process::ExitCode;

use clap::Parser;
use understudy_tests::chain;
use understudy_tests::chaos::{ChaosError, Interrupt};

/// Mirrors one real Kafka cluster to another, kills parts of it meanwhile, and proves that nothing
/// was lost and nothing doubled. Then the first Region is lost, its AWS with it, and the deployed
/// control plane moves the applications; it comes back with records that nobody else has, they are
/// put aside, and the applications go home. Leaves behind two pages, the evidence of the failover
/// and of the failback, in the cache.
#[derive(Debug, Parser)]
#[command(version, name = "demo")]
struct Arguments {
    /// Brokers of the source cluster: 1 or 3.
    #[arg(long, default_value_t = 1)]
    source_brokers: usize,
    /// Orders a second; payments and customers come on top.
    #[arg(long, default_value_t = 600)]
    rate: u64,
    /// Leave out MirrorMaker 2 and what only takes its time.
    #[arg(long)]
    fast: bool,
    /// Wait for Enter between the acts, where there is a terminal.
    #[arg(long)]
    pause: bool,
    /// End before the Region is lost with its AWS.
    #[arg(long)]
    mirror_only: bool,
    /// The final table as JSON on standard output; the story goes to standard error.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let told = Interrupt::on_signals().and_then(|interrupt| story::tell(&arguments, interrupt));
    let report = match told {
        Ok(report) => report,
        Err(ChaosError::Interrupted) => return ExitCode::from(130),
        Err(error) => {
            eprintln!("demo: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    if arguments.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("demo: cannot write the report: {error}"),
        }
    } else {
        println!("{report}");
    }
    match report.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
