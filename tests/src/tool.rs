//! Running a program to its end: Maven, and Kafka's own command line tools.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Doing, LabError, Result};
use crate::jars::{Kafka, lock};
use crate::java::{host_options, server_options, tool_options, tool_options_with};
use crate::process::Process;
use crate::wait::wait_for;

/// A Kafka tool starts a JVM, connects, asks and ends; a busy machine may take long over it.
const TOOL_LIMIT: Duration = Duration::from_secs(180);
const JDK: &str = "apt-get install openjdk-17-jdk-headless";

impl Kafka {
    /// Runs one of Kafka's command line classes and returns what it printed.
    pub fn run_tool<A: AsRef<str>>(&self, class: &str, args: &[A]) -> Result<String> {
        let mut java = self.tool_command(class)?;
        java.args(args.iter().map(AsRef::as_ref));
        run(class, JDK, &mut java, TOOL_LIMIT)
    }

    /// Runs a program of one source file, whose class is called as the file, and returns what it printed.
    pub fn run_source<A: AsRef<str>>(&self, source: &Path, args: &[A]) -> Result<String> {
        let class = source.file_stem().unwrap_or_default().to_string_lossy();
        let mut java = Command::new("java");
        java.args(tool_options_with(self, &self.compile(source)?)?)
            .arg(&*class)
            .args(args.iter().map(AsRef::as_ref));
        run(&class, JDK, &mut java, TOOL_LIMIT)
    }

    /// Starts a program of one source file that runs for long; its output is appended to `log`.
    pub fn start_source<A: Into<String>>(
        &self,
        source: &Path,
        args: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Result<Process> {
        let class = source.file_stem().unwrap_or_default().to_string_lossy();
        let mut arguments = tool_options_with(self, &self.compile(source)?)?;
        arguments.push(class.clone().into_owned());
        arguments.extend(args.into_iter().map(Into::into));
        Process::start(class, "java", arguments, &[], log)
    }

    /// Everything after `java` but its arguments for a program of one source file that serves others, with JVM options of
    /// its own.
    pub(crate) fn source_options(
        &self,
        source: &Path,
        jvm: &[String],
        scratch: &Path,
    ) -> Result<Vec<String>> {
        let class = source.file_stem().unwrap_or_default().to_string_lossy();
        let mut arguments = host_options(self, &self.compile(source)?, jvm, scratch)?;
        arguments.push(class.into_owned());
        Ok(arguments)
    }

    /// The folder of a source file's classes, in the cache: compiled once for each text of it.
    fn compile(&self, source: &Path) -> Result<PathBuf> {
        let name = source.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read(source).doing(format!("read {}", source.display()))?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let folder = self.dir().join(format!("{name}-{:016x}", hasher.finish()));
        let _lock = lock(&self.dir().join(format!("{name}.lock")))?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let unfinished = folder.with_extension("unfinished");
        fs::create_dir_all(&unfinished).doing(format!("create {}", unfinished.display()))?;
        let mut javac = Command::new("javac");
        javac
            .args(["-proc:none", "-cp", &self.class_path()?, "-d"])
            .arg(&unfinished)
            .arg(source);
        run("javac", JDK, &mut javac, TOOL_LIMIT)?;
        fs::rename(&unfinished, &folder).doing(format!("put {} in place", folder.display()))?;
        Ok(folder)
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
        let scratch = log.parent().unwrap_or(Path::new("."));
        let mut arguments = server_options(self, jvm, scratch)?;
        arguments.push(class.to_owned());
        arguments.extend(args.into_iter().map(Into::into));
        Process::start(name, "java", arguments, &[], log)
    }
}

/// Runs a command to its end within `limit`; returns its standard output. An error holds the end of all it printed.
pub(crate) fn run(
    name: &str,
    how_to_install: &str,
    command: &mut Command,
    limit: Duration,
) -> Result<String> {
    // Files, not pipes: nobody need read while it runs. Two, so that a warning gets into nobody's answer.
    let mut output = tempfile::tempfile().doing("create a temporary file")?;
    let mut errors = tempfile::tempfile().doing("create a temporary file")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().doing("share a file")?)
        .stderr(errors.try_clone().doing("share a file")?)
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
    let text = printed(&mut output)?;
    if status.success() {
        return Ok(text);
    }
    let all = text + &printed(&mut errors)?;
    let skipped = all.lines().count().saturating_sub(30);
    let output = all.lines().skip(skipped).collect::<Vec<_>>().join("\n");
    Err(LabError::ToolFailed {
        program: format!("{name} ({status})"),
        output,
    })
}

fn printed(file: &mut File) -> Result<String> {
    file.rewind().doing("read the output")?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).doing("read the output")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
