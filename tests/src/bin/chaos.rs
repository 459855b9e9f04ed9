//! `chaos`: kills, pauses and cuts, drawn from a seed, until there were enough; then the verdict.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use understudy_tests::chain;
use understudy_tests::chaos::{ChaosError, Interrupt, Plan, run};

/// Runs three workers between two real Kafka clusters under load, disturbs them, and proves that
/// nothing was lost, doubled, reordered or altered. The same seed disturbs in the same way.
#[derive(Debug, Parser)]
#[command(version, name = "chaos")]
struct Arguments {
    /// How many disturbances.
    #[arg(long, default_value_t = 30)]
    kills: usize,
    /// What they are drawn from; a random one without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Brokers of the target: 1 or 3.
    #[arg(long, default_value_t = 3)]
    brokers: usize,
    /// Brokers of the source: 1 or 3.
    #[arg(long, default_value_t = 1)]
    source_brokers: usize,
    /// Orders a second; payments and customers come on top.
    #[arg(long, default_value_t = 300)]
    rate: u64,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry: bool,
    /// The summary as JSON on standard output; everything else goes to standard error.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        source_brokers: arguments.source_brokers,
        target_brokers: arguments.brokers,
        rate: arguments.rate,
        ..Plan::new(arguments.kills, arguments.seed.unwrap_or_else(rand::random))
    };
    if arguments.dry {
        println!("seed {}", plan.seed);
        for (index, what) in plan.disturbances().enumerate() {
            println!("{:>4}/{}  {what}", index + 1, plan.kills);
        }
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let json = arguments.json;
    let mut tell = move |line: &str| {
        let seconds = begun.elapsed().as_secs();
        let line = format!("{:>3}:{:02}  {line}", seconds / 60, seconds % 60);
        match json {
            true => eprintln!("{line}"),
            false => println!("{line}"),
        }
    };
    let ran = Interrupt::on_signals().and_then(|interrupt| run(&plan, &interrupt, &mut tell));
    let outcome = match ran {
        Ok(outcome) => outcome,
        Err(ChaosError::Interrupted) => return ExitCode::from(130),
        Err(error) => {
            eprintln!("chaos: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    match (json, serde_json::to_string_pretty(&outcome)) {
        (true, Ok(text)) => println!("{text}"),
        (true, Err(error)) => eprintln!("chaos: cannot write the summary: {error}"),
        (false, _) => println!("\n{outcome}"),
    }
    match outcome.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
