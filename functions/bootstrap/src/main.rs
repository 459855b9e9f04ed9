//! The recovery functions as Lambda runs them: one program, deployed as often as there are steps, which carries out the
//! step that `UNDERSTUDY_STEP` names.

mod functions;
mod kafka;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use understudy_aws::{Answering, Session, Settings, serve};
use understudy_domain::VERSION;
use understudy_recovery::Step;

use crate::functions::Functions;

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("UNDERSTUDY_STEP is {0:?}, which is no step; the deployment sets it")]
    NoStep(String),
}

fn main() -> ExitCode {
    log_as_json();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(reason = %error, "function not started");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let lookup = |key: &str| std::env::var(key).ok();
    let name = lookup("UNDERSTUDY_STEP").unwrap_or_default();
    let step = Step::named(&name).ok_or(StartError::NoStep(name))?;
    let session = Session::open()?;
    let functions = Functions::new(step, session.clone(), Settings::read(lookup)?);
    tracing::info!(version = VERSION, step = %step.name(), "function started");
    // While nobody waits yet. What fails now is tried again by the first event, which can be told why.
    functions.prepare();
    let answering = Answering::new(step, Arc::new(move |event| functions.invoke(event)));
    serve(&session, &answering)
}

/// One object a line, on the standard error.
fn log_as_json() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let level = level.and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_max_level(level.unwrap_or(tracing::Level::INFO))
        .with_writer(std::io::stderr)
        .init();
}
