//! `bench`: Understudy beside MirrorMaker 2 on the same brokers and the same data, in one run.
//!
//! What is measured and how is said in `how.md`; machines are noisy, so the results are ratios between runs that
//! follow each other.

mod arrivals;
mod clients;
mod codec;
mod copy;
mod day;
mod docs;
mod error;
mod failback;
mod groups;
mod idle;
mod lab;
mod latency;
mod load;
mod machine;
mod mirror;
mod mm2;
mod partitions;
mod payload;
mod plan;
mod progress;
mod recovery;
mod results;
mod row;
mod section;
mod stats;
mod summary;
mod svg;
mod table;
mod takeover;
mod translate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::error::{Doing, Result};
use crate::lab::Lab;
use crate::machine::Machine;
use crate::plan::Plan;
use crate::results::Results;
use crate::section::Section;

/// Measures Understudy beside MirrorMaker 2.
#[derive(Parser)]
#[command(name = "scripts/bench")]
struct Arguments {
    /// Write everything, with each run, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<Section>,
    /// Fewer records and fewer rounds.
    #[arg(long)]
    quick: bool,
    /// Leave MirrorMaker 2 out: quicker, but without ratios.
    #[arg(long)]
    ours: bool,
    /// Slots of our flows; those of translate always have 8, of recovery and failback as many as come by themselves.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=64))]
    slots: u32,
    /// Write benchmark.md and benchmark.svg to this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "slots")]
    docs: Option<PathBuf>,
    /// Where brokers keep their data; set by the script, which removes it.
    #[arg(long, value_name = "DIR", hide = true)]
    dir: PathBuf,
    /// What is measured; set by the script.
    #[arg(long, default_value = "unknown", hide = true)]
    revision: String,
}

/// A requirement was not met.
const NOT_MET: u8 = 1;
/// No result.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(results) if results.rows.iter().any(|row| row.met == Some(false)) => {
            ExitCode::from(NOT_MET)
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", understudy_tests::chain(&error));
            ExitCode::from(FAILED)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Results> {
    let sections = match arguments.only.as_slice() {
        [] => Section::value_variants(),
        only => only,
    };
    let plan = Plan::new(arguments.quick, arguments.ours, arguments.slots);
    let mut results = Results::new(Machine::here(&arguments.revision), plan.clone());
    let lab = Lab::start(&arguments.dir, plan)?;
    let measured = copy::warm_up(&lab).and_then(|()| {
        sections
            .iter()
            .try_for_each(|section| results.measure(&lab, *section))
    });
    drop(lab);
    // What was measured before a failure is worth seeing.
    println!("\n{}", table::text(&results.rows));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&results)? + "\n";
        std::fs::write(path, text).doing(format!("write {}", path.display()))?;
    }
    measured?;
    if let Some(dir) = &arguments.docs {
        docs::write(dir, &results)?;
    }
    Ok(results)
}
