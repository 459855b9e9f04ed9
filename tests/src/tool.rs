//! Running a program to its end: Maven, and Kafka's own command line tools.

use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Doing, LabError, Result};
use crate::jars::Kafka;
use crate::java::{server_options, tool_options};
use crate::process::Process;
use crate::wait::wait_for;

/// A Kafka tool starts a JVM, connects, asks and ends; a busy machine may take long over it.
const TOOL_LIMIT: Duration = Duration::from_secs(90);

impl Kafka {
    /// Runs one of Kafka's command line classes and returns what it printed.
    pub fn run_tool<A: AsRef<str>>(&self, class: &str, args: &[A]) -> Result<String> {
        let mut java = self.tool_command(class)?;
        java.args(args.iter().map(AsRef::as_ref));
        run(
            class,
            "apt-get install openjdk-17-jdk-headless",
            &mut java,
            TOOL_LIMIT,
        )
    }

    /// A command that runs one of Kafka's classes; arguments are to be added.
    pub fn tool_command(&self, class: &str) -> Result<Command> {
        let mut java = Command::new("java");
        java.args(tool_options(self)?).arg(class);
        Ok(java)
    }

    /// Starts a long-lived class, such as MirrorMaker, with JVM options of its own.
    pub fn start_class<A: Into<String>>(
        &self,
        name: &str,
        jvm: &[String],
        class: &str,
        args: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Process> {
        let mut arguments = server_options(self, jvm)?;
        arguments.push(class.to_owned());
        arguments.extend(args.into_iter().map(Into::into));
        Process::start(name, "java", arguments, &[], log)
    }
}

/// Runs a command to its end within `limit`; an error holds the end of what it printed.
pub(crate) fn run(
    name: &str,
    how_to_install: &str,
    command: &mut Command,
    limit: Duration,
) -> Result<String> {
    // A file, not a pipe: nobody need read while it runs.
    let mut output = tempfile::tempfile().doing("create a temporary file")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().doing("share a file")?)
        .stderr(output.try_clone().doing("share a file")?)
        .spawn()
        .map_err(|source| LabError::ToolMissing {
            tool: name.to_owned(),
            how: how_to_install.to_owned(),
            source,
        })?;
    let ended = wait_for(&format!("{name} to end"), limit, || {
        match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(String::new()),
            Err(error) => Err(error.to_string()),
        }
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = ended?;
    output.rewind().doing("read the output")?;
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).doing("read the output")?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if status.success() {
        return Ok(text);
    }
    let skipped = text.lines().count().saturating_sub(30);
    let output = text.lines().skip(skipped).collect::<Vec<_>>().join("\n");
    Err(LabError::ToolFailed {
        program: format!("{name} ({status})"),
        output,
    })
}
