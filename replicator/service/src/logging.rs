//! Log lines: for people or for machines, on standard error.

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::events::Events;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One line of text.
    Text,
}

/// Starts logging; `UNDERSTUDY_LOG` chooses levels (`info` unless set). Warnings and errors also go to `events`.
pub fn start(format: LogFormat, events: &Events) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("UNDERSTUDY_LOG")
        .from_env_lossy();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_target(false).with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(events.clone().with_filter(LevelFilter::WARN))
        .init();
}

/// Tools print their report; only what `UNDERSTUDY_LOG` asks for is logged.
pub fn start_quiet() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::ERROR.into())
        .with_env_var("UNDERSTUDY_LOG")
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
