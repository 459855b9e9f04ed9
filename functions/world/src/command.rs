//! A command that moves an application: run to its end, or ended.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use understudy_domain::words::limit;

use rustix::process::{Pid, Signal, kill_process_group};
use understudy_recovery::client::Pointer;
use understudy_shell::bounded::{self, Pending};
use understudy_shell::{PortError, PortErrorKind};

/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long its output is waited for once it has ended: what it left running may hold the pipe open.
const OUTPUT_WITHIN: Duration = Duration::from_millis(500);
/// How much of its output is looked at, from the end, in bytes.
const TAIL: usize = 4 * 1024;
/// How much of its last line an error shows, in characters.
const LINE: usize = 200;

/// What is to be run.
pub struct Run<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// Where it is run.
    pub folder: &'a Path,
    /// `quiesce`, `apply` or `revert`.
    pub step: &'a str,
    /// What it is told.
    pub pointer: &'a Pointer,
    /// How long it may take.
    pub within: Duration,
}

impl Run<'_> {
    /// Runs it. What it printed may hold secrets: an error shows its last line, and nothing else is kept.
    ///
    /// # Errors
    /// It cannot be started, ends with another status than 0, or does not end in time; then it is ended, with everything
    /// that it started.
    pub fn to_its_end(&self) -> Result<(), PortError> {
        let trouble = |kind, what: String| {
            let program = self.command.first().map_or("", String::as_str);
            PortError::new(kind, format!("command {program} ({}) {what}", self.step))
        };
        let Some((program, arguments)) = self.command.split_first() else {
            let text = "is empty; name a program in the pair file".to_owned();
            return Err(trouble(PortErrorKind::Refused, text));
        };
        let folder = if self.folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            self.folder
        };
        let started = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("UNDERSTUDY_STEP", self.step)
            .env("UNDERSTUDY_ACTIVE", &self.pointer.active)
            .env("UNDERSTUDY_BOOTSTRAP", &self.pointer.bootstrap)
            .env("UNDERSTUDY_EPOCH", self.pointer.epoch.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = started.map_err(|error| {
            let text = format!("cannot be started: {error}");
            trouble(PortErrorKind::Refused, text)
        })?;
        let printed = [
            child.stdout.take().map(start_reading),
            child.stderr.take().map(start_reading),
        ];
        let ended = self.wait(&mut child);
        let said = || last_line(printed);
        match ended {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => {
                let text = format!("ended with {status}{}", said());
                Err(trouble(PortErrorKind::Refused, text))
            }
            Ok(None) => {
                let text = format!(
                    "did not end within {} and was ended{}",
                    limit(self.within),
                    said()
                );
                Err(trouble(PortErrorKind::TimedOut, text))
            }
            Err(error) => {
                let text = format!("cannot be watched: {error}");
                Err(trouble(PortErrorKind::Unreachable, text))
            }
        }
    }

    /// How it ended; nothing if it had to be.
    fn wait(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        let until = Instant::now() + self.within;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                // The group is the command's own, and it has not been waited for: the number is nobody else's.
                let _ended = kill_process_group(Pid::from_child(child), Signal::KILL);
                let _gone = child.wait();
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }
}

fn start_reading(mut pipe: impl Read + Send + 'static) -> Pending<Vec<u8>> {
    bounded::start(move || {
        let (mut tail, mut some) = (Vec::new(), [0; 1024]);
        while let Ok(count @ 1..) = pipe.read(&mut some) {
            tail.extend(some.iter().take(count));
            let surplus = tail.len().saturating_sub(TAIL);
            tail.drain(..surplus);
        }
        tail
    })
}

/// `: ` and the last line that was printed, errors before output.
fn last_line(printed: [Option<Pending<Vec<u8>>>; 2]) -> String {
    let [out, err] = printed;
    for pipe in [err, out].into_iter().flatten() {
        let tail = pipe.wait(OUTPUT_WITHIN).unwrap_or_default();
        let text = String::from_utf8_lossy(&tail);
        let line = text.lines().rev().find(|line| !line.trim().is_empty());
        if let Some(line) = line {
            let shown = line.trim().chars().filter(|it| !it.is_control());
            let shown: String = shown.take(LINE).collect();
            return format!(": {shown}");
        }
    }
    String::new()
}
