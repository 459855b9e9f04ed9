//! `lab`: two real clusters to play with, and the distance between them.

mod client_files;
mod commands;
mod control;
mod daemon;
mod status;
mod units;

use std::process::ExitCode;

use clap::Parser;
use commands::{Lab, run};

fn main() -> ExitCode {
    match run(Lab::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {}", understudy_tests::chain(&error));
            ExitCode::FAILURE
        }
    }
}
