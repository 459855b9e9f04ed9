//! `understudy`: the mirroring process and its tools.

mod access;
mod answers;
mod bell;
mod board;
#[cfg(test)]
mod board_tests;
mod catalog;
mod check;
mod check_aws;
mod compare;
mod control;
mod copies_hold;
mod creation;
mod denied;
mod discovery;
mod door;
mod emf;
mod end_looks;
mod enrolment;
mod events;
mod export_mm2;
mod gap_book;
mod gap_hold;
mod gaps;
mod gauges;
mod group_survey;
mod growth;
mod health_check;
mod hearing;
mod history;
mod holding;
mod html;
mod http;
mod keeper;
mod lives;
mod log_starts;
mod logging;
mod looker;
mod lost_copies;
mod membership;
mod metric_table;
mod metrics;
mod mm2;
mod observer;
mod opening;
mod pacing;
mod page;
mod place_hold;
mod places;
mod rebirth;
mod recovery;
mod reslot;
mod salvage;
mod slot;
mod slot_state;
mod source_ends;
mod spark;
mod stable_end;
mod stamps;
mod status;
mod status_follow;
mod translate;
mod unread;
mod vanished;
mod verify;
mod view;
mod worker;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use understudy_domain::{Resolution, VERSION};
use understudy_flow::report::Report;
use understudy_flow::secrets::FirstRead;
use understudy_flow::{
    before_cut, chain, clock, config, explain, flow_record, http_config, import_mm2, map_state,
    opposite, replication, rotation, state_topics, stop, stored_state, throttle, tool, words,
};

use crate::config::Flow;
use crate::gaps::Which;
use crate::logging::LogFormat;

/// Keeps a second Kafka cluster exactly ready, and shows that it is.
#[derive(Parser)]
#[command(version = VERSION, about)]
struct Arguments {
    /// Which flow of a MirrorMaker 2 property file, such as 'a->b'; such a file may stand in place of FLOW.toml.
    #[arg(long = "flow", id = "mm2_flow", value_name = "A->B", global = true)]
    mm2_flow: Option<String>,
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
        /// The flow; with --aws, the pair.
        flow: PathBuf,
        /// Check a pair that is deployed to AWS, in both Regions: what is not ready for a failover tonight.
        #[arg(long)]
        aws: bool,
        /// With --aws, the Region that is asked first; that of the cluster which is not home unless told otherwise.
        #[arg(long, requires = "aws")]
        region: Option<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
        /// How long the whole may take.
        #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Ask the worker beside it whether it is well; for a container's health check.
    Healthcheck {
        /// Where the worker serves its page without TLS, as in `http.listen` of its flow file.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Show where the flow stands and whether a failover could start, from the clusters themselves.
    Status {
        /// The flow.
        flow: PathBuf,
        /// Look again every second, until interrupted: in place on a terminal, a line each time elsewhere.
        #[arg(long)]
        follow: bool,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Let the flow wait, or some topics of it, until it is resumed.
    Pause {
        /// The flow.
        flow: PathBuf,
        /// Only this topic of the source; may be given more than once.
        #[arg(long)]
        topic: Vec<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Say where a place on one side lies on the other, from the target's state alone.
    Translate {
        /// The flow.
        flow: PathBuf,
        /// What is asked about.
        #[command(flatten)]
        question: translate::Question,
        /// One JSON object a partition, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Make flow files of a MirrorMaker 2 configuration, and say what became of each property.
    ImportMm2 {
        /// One property file, or the JSON of connectors.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write the flow files into this folder instead of to standard output.
        #[arg(long)]
        out: Option<PathBuf>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Store where the flow stands for a MirrorMaker 2, which then goes on behind the last copy: the way back.
    ExportMm2 {
        /// The flow; its workers must be stopped.
        flow: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Let the flow go on, or some topics of it.
    Resume {
        /// The flow.
        flow: PathBuf,
        /// Only this topic of the source; may be given more than once.
        #[arg(long)]
        topic: Vec<String>,
        /// Start a sealed flow again: the epoch that sealed it. Only while nobody else has written to the target.
        #[arg(long, conflicts_with = "topic")]
        epoch: Option<u64>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// End the flow and read its exact cut, whether its workers run, wait, or are gone.
    Seal {
        /// The flow.
        flow: PathBuf,
        /// The recovery epoch that seals it; an older one than the flow's is refused.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        epoch: u64,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Give the flow the number of slots that its file says; nothing is copied again.
    Reslot {
        /// The flow.
        flow: PathBuf,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Show what could not be copied, and decide about it.
    Gaps {
        /// The flow.
        flow: PathBuf,
        /// What to do.
        #[command(subcommand)]
        action: GapAction,
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
    /// What a cluster that came back holds beyond the cut of its sealed flow: survey it, put it aside, merge it.
    Salvage {
        /// The flow.
        flow: PathBuf,
        /// What to do.
        #[command(subcommand)]
        action: salvage::Action,
    },
    /// About a pair.
    #[command(flatten)]
    Recovery(recovery::Command),
}

#[derive(Subcommand)]
enum GapAction {
    /// Every gap, open ones with what can be done.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Settle open gaps; without --topic and --partition all of them.
    Resolve {
        /// Of this topic of the source.
        #[arg(long)]
        topic: Option<String>,
        /// Of this partition.
        #[arg(long)]
        partition: Option<i32>,
        /// The one that begins at this source offset.
        #[arg(long)]
        start: Option<i64>,
        /// How.
        #[arg(long = "as", value_enum)]
        resolution: As,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}

/// How a gap is settled.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum As {
    /// Go on behind it.
    Skip,
    /// Put the refused record on the parking topic and go on behind it.
    Park,
    /// Try once more: the cause is gone, or lost copies were put back.
    Retry,
    /// Copy the source's new log behind the old copies; or what was lost on the target, again.
    ContinueInSame,
    /// Copy the source's new log to a topic of its own.
    NewTopic,
}

impl From<As> for Resolution {
    fn from(resolution: As) -> Self {
        match resolution {
            As::Skip => Self::Skip,
            As::Park => Self::Park,
            As::Retry => Self::Retry,
            As::ContinueInSame => Self::ContinueInSame,
            As::NewTopic => Self::NewTopic,
        }
    }
}

/// It does not hold.
const DOES_NOT_HOLD: u8 = 1;
/// Usage or configuration.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let Arguments { mm2_flow, command } = Arguments::parse();
    // A step that breaks is an error that its state machine catches.
    if !matches!(command, Command::Recovery(_)) {
        end_on_panic();
    }
    let environment = |name: &str| std::env::var(name).ok();
    let path = match &command {
        Command::Replicate { flow, .. }
        | Command::Check { flow, .. }
        | Command::Status { flow, .. }
        | Command::Pause { flow, .. }
        | Command::Resume { flow, .. }
        | Command::Seal { flow, .. }
        | Command::Reslot { flow, .. }
        | Command::Gaps { flow, .. }
        | Command::Salvage { flow, .. }
        | Command::ExportMm2 { flow, .. }
        | Command::Translate { flow, .. }
        | Command::Verify { flow, .. } => flow,
        Command::ImportMm2 { files, out, json } => {
            return report(import_mm2::run(files, out.as_deref()), *json);
        }
        Command::Healthcheck { listen, json } => {
            let health: Result<_, Infallible> = Ok(health_check::run(*listen));
            return report(health, *json);
        }
        Command::Recovery(command) => return recovery::run(command),
    };
    if let Command::Check {
        aws: true,
        region,
        timeout,
        json,
        ..
    } = &command
    {
        logging::start_quiet();
        return report(check_aws::run(path, region.as_deref(), *timeout), *json);
    }
    // Who starts a worker is told at once what cannot be read. Tools are for the day on which one Region is gone.
    let first_read = match command {
        Command::Replicate { .. } | Command::Check { .. } => FirstRead::WithTheFile,
        _ => FirstRead::WhenLoggingIn,
    };
    let flow = match Flow::read(path, mm2_flow.as_deref(), &environment, first_read) {
        Ok(flow) => flow,
        Err(error) => return failed(&error),
    };
    // A worker does it itself, and says how it goes on its page.
    if !matches!(command, Command::Replicate { .. })
        && let Err(error) = rotation::log_in(&flow, Arc::default())
    {
        return failed(&error);
    }
    match command {
        Command::Replicate { log, .. } => {
            let events = events::Events::default();
            logging::start(log, &events);
            match worker::replicate(flow, events) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
        Command::Check { json, timeout, .. } => {
            logging::start_quiet();
            report(check::run(&flow, timeout), json)
        }
        Command::Status { json, follow, .. } => {
            logging::start_quiet();
            if follow {
                return status_follow::run(&flow, json);
            }
            report(status::read(&flow), json)
        }
        Command::Pause { topic, json, .. } => {
            logging::start_quiet();
            report(control::pause(&flow, &topic), json)
        }
        Command::Resume {
            topic, epoch, json, ..
        } => {
            logging::start_quiet();
            report(control::resume(&flow, &topic, epoch), json)
        }
        Command::Seal { epoch, json, .. } => {
            logging::start_quiet();
            report(recovery::seal::run(&flow, epoch), json)
        }
        Command::Reslot { json, .. } => {
            logging::start_quiet();
            report(reslot::run(&flow), json)
        }
        Command::Gaps { action, .. } => {
            logging::start_quiet();
            match action {
                GapAction::List { json } => report(gaps::list(&flow), json),
                GapAction::Resolve {
                    topic,
                    partition,
                    start,
                    resolution,
                    json,
                } => {
                    let which = Which {
                        topic,
                        partition,
                        start,
                    };
                    report(gaps::resolve(&flow, &which, resolution.into()), json)
                }
            }
        }
        Command::Salvage { action, .. } => {
            logging::start_quiet();
            match action {
                salvage::Action::Survey { keys_within, json } => {
                    let within = salvage::Within {
                        tails: None,
                        keys: keys_within,
                    };
                    report(salvage::survey(&flow, within), json)
                }
                salvage::Action::Merge { topic, json } => {
                    report(salvage::merge(&flow, &topic), json)
                }
                salvage::Action::Export {
                    topic,
                    to_file,
                    json,
                } => report(salvage::export(&flow, &topic, to_file.as_deref()), json),
            }
        }
        Command::ExportMm2 { json, .. } => {
            logging::start_quiet();
            report(export_mm2::run(&flow), json)
        }
        Command::ImportMm2 { .. } | Command::Healthcheck { .. } | Command::Recovery(_) => {
            ExitCode::SUCCESS
        }
        Command::Translate { question, json, .. } => {
            logging::start_quiet();
            report(translate::run(&flow, &question), json)
        }
        Command::Verify { deep, json, .. } => {
            logging::start_quiet();
            report(verify::run(&flow, deep), json)
        }
    }
}

/// A panic in one thread ends the process: the others would go on showing what is no longer true, and whoever watches
/// the process starts it again, which takes its slots over as after any other crash.
fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

fn report<R: Report, E: std::error::Error>(result: Result<R, E>, json: bool) -> ExitCode {
    let report = match result {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    if json {
        match report.json() {
            Ok(text) if text.is_empty() => {}
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
    eprintln!("understudy: {}", chain::chain(error));
    ExitCode::from(UNUSABLE)
}
