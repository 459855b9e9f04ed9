//! `understudy`: the mirroring process and its tools.

mod board;
mod catalog;
mod check;
mod compare;
mod config;
mod config_error;
mod flow_record;
mod holding;
mod http;
mod logging;
mod membership;
mod metrics;
mod pacing;
mod secrets;
mod selection;
mod slot;
mod slot_state;
mod status;
mod stop;
mod verify;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::Flow;
use crate::logging::LogFormat;

/// Keeps a second Kafka cluster exactly ready, and shows that it is.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Mirror continuously, exactly once, until SIGTERM.
    Replicate {
        /// The flow.
        flow: PathBuf,
        /// How log lines are written.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log: LogFormat,
    },
    /// Check, before anything runs, that everything holds: brokers, permissions, topics. Changes nothing.
    Check {
        /// The flow.
        flow: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
        /// How long the whole may take.
        #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Show where the flow stands, from the clusters themselves.
    Status {
        /// The flow.
        flow: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Check what was copied: by counts, or with --deep by content.
    Verify {
        /// The flow.
        flow: PathBuf,
        /// Read both sides and compare record by record.
        #[arg(long)]
        deep: bool,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

/// It does not hold.
const DOES_NOT_HOLD: u8 = 1;
/// Usage or configuration.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let environment = |name: &str| std::env::var(name).ok();
    let path = match &command {
        Command::Replicate { flow, .. }
        | Command::Check { flow, .. }
        | Command::Status { flow, .. }
        | Command::Verify { flow, .. } => flow,
    };
    let flow = match Flow::read(path, &environment) {
        Ok(flow) => flow,
        Err(error) => return failed(&error),
    };
    match command {
        Command::Replicate { log, .. } => {
            logging::start(log);
            match worker::replicate(flow) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
        Command::Check { json, timeout, .. } => {
            logging::start_quiet();
            report(check::run(&flow, timeout), json)
        }
        Command::Status { json, .. } => {
            logging::start_quiet();
            report(status::read(&flow), json)
        }
        Command::Verify { deep, json, .. } => {
            logging::start_quiet();
            report(verify::run(&flow, deep), json)
        }
    }
}

/// What a tool found, for people and for machines.
trait Report: serde::Serialize + std::fmt::Display {
    /// Whether what was asked holds.
    fn holds(&self) -> bool;
}

fn report<R: Report, E: std::error::Error>(result: Result<R, E>, json: bool) -> ExitCode {
    let report = match result {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    if json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => return failed(&error),
        }
    } else {
        println!("{report}");
    }
    if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DOES_NOT_HOLD)
    }
}

/// Prints the whole chain once.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    eprintln!("understudy: {text}");
    ExitCode::from(UNUSABLE)
}
