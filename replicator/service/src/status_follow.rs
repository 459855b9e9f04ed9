//! `understudy status --follow`: the same look again and again, until interrupted.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::config::Flow;
use crate::status::{self, Status};
use crate::tool::ToolError;

/// Time from one look to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How many topics fit where nobody scrolls.
const TOPICS: usize = 15;

/// How a look is shown.
enum Screen {
    /// Over the one before it.
    Terminal,
    /// A line each.
    Lines,
    /// A JSON object each.
    Json,
}

/// Looks until whoever reads is gone, or a signal ends the process. A look that fails is shown, and tried again; only a
/// flow that does not exist ends it.
pub fn run(flow: &Flow, json: bool) -> ExitCode {
    let screen = match (json, std::io::stdout().is_terminal()) {
        (true, _) => Screen::Json,
        (false, true) => Screen::Terminal,
        (false, false) => Screen::Lines,
    };
    loop {
        let next = Instant::now() + EVERY;
        let look = status::read(flow);
        if let Err(error @ ToolError::NoFlow(_)) = &look {
            return crate::failed(error);
        }
        if show(&screen, &look).is_err() {
            // Nobody reads any more.
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn show(screen: &Screen, look: &Result<Status, ToolError>) -> std::io::Result<()> {
    let text = match (screen, look) {
        (Screen::Terminal, Ok(status)) => {
            // Home, the new look, and nothing of the old one behind it: no flicker.
            let text = format!("{}{}", status.head(), status.topics(TOPICS));
            format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
        }
        (Screen::Terminal, Err(error)) => {
            format!("\x1b[H\x1b[Jno answer: {}\n", crate::chain::chain(error))
        }
        (Screen::Lines, Ok(status)) => format!("{}\n", status.line()),
        (Screen::Lines, Err(error)) => format!("no answer: {}\n", crate::chain::chain(error)),
        (Screen::Json, Ok(status)) => format!("{}\n", serde_json::to_string(status)?),
        (Screen::Json, Err(error)) => {
            format!(
                "{}\n",
                serde_json::json!({ "error": crate::chain::chain(error) })
            )
        }
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
