//! `understudy salvage`: what a cluster that came back holds beyond the cut of its flow, surveyed and put aside.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

pub use understudy_salvage::{Within, export, merge, survey};

/// What to do.
#[derive(Subcommand)]
pub enum Action {
    /// Say what the source holds beyond the cut and what it lost. Changes nothing. Exit status 1: there is something.
    Survey {
        /// How long the active cluster is read at most, to count keys that were written on both sides; 0s: not at all.
        #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
        keys_within: Duration,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Write what lies beyond the cut of these topics into the topics themselves on the active cluster, exactly once; what
    /// must not rise over something newer is put aside. Run again, it goes on.
    Merge {
        /// This topic of the source; may be given more than once.
        #[arg(long, required = true)]
        topic: Vec<String>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Copy what lies beyond the cut to topics of their own on the active cluster, exactly once; run again, it goes on.
    Export {
        /// Only this topic of the source; may be given more than once.
        #[arg(long)]
        topic: Vec<String>,
        /// Write what was put aside into this folder as well, a file of JSON Lines for each partition.
        #[arg(long, value_name = "DIR")]
        to_file: Option<PathBuf>,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
}
