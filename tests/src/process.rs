//! Processes that cannot outlive the one that started them.
//!
//! Each is started through a short shell line that leaves a watcher in the child's own process group
//! and then becomes the child, so the process id is the child's. The watcher reads a pipe whose other
//! end only we hold; when we end, by whatever means, it reads the end of the file and kills its group.
//!
//! a. A group's number is not given out again while a member lives, and the watcher is one: the kill
//!    can only ever hit what we started.
//! b. A group of its own also keeps Ctrl-C from reaching the child before us.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::error::{Doing, LabError, Result, tail};

const WATCHED: &str = "exec 3<&0
(read -r _; kill -KILL 0) <&3 >/dev/null 2>&1 &
exec 3<&- </dev/null
exec \"$@\"";

/// A child process with a log, which ends when this value or this process does.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    /// Held open for as long as the child may live; never written to.
    leash: Option<ChildStdin>,
    /// CPU time seen last, kept because /proc forgets the dead.
    cpu_seconds: f64,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `program`; its output is appended to `log`.
    pub fn start<A: AsRef<OsStr>>(
        name: impl Into<String>,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        environment: &[(String, String)],
        log: impl Into<PathBuf>,
    ) -> Result<Self> {
        let (name, log) = (name.into(), log.into());
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .doing(format!("open {}", log.display()))?;
        let errors = output.try_clone().doing("share a log")?;
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(WATCHED)
            .arg("sh")
            .arg(program)
            .args(args)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .doing(format!("start {name}"))?;
        let leash = child.stdin.take();
        Ok(Self {
            name,
            log,
            child,
            leash,
            cpu_seconds: 0.0,
            status: None,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        if self.try_status()?.is_none() {
            self.signal(Signal::KILL)?;
            self.wait(Duration::from_secs(30))?;
        }
        Ok(())
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGSTOP: it stands still, its sockets stay open.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// From now on no file of it grows beyond `bytes`: writes fail as they do when a disk is full. None lifts that.
    pub fn limit_files(&mut self, bytes: Option<u64>) -> Result<()> {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit)
            .map(drop)
            .doing(format!("limit the files of {}", self.name))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.try_status()? {
                return Ok(status);
            }
            if begun.elapsed() >= limit {
                let hint = format!("; the end of its log:\n{}", tail(&self.log, 20));
                let what = format!("{} to end", self.name);
                return Err(LabError::TooLate {
                    what,
                    waited: begun.elapsed(),
                    hint,
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its exit status, if it has ended.
    pub fn try_status(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.cpu_seconds();
            self.status = self
                .child
                .try_wait()
                .doing(format!("look after {}", self.name))?;
            if self.status.is_some() {
                self.leash = None;
            }
        }
        Ok(self.status)
    }

    /// An error with the end of the log if it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.try_status()? {
            None => Ok(()),
            Some(status) => Err(LabError::Exited {
                name: self.name.clone(),
                status: status.to_string(),
                log: self.log.clone(),
                tail: tail(&self.log, 50),
            }),
        }
    }

    /// User and system time used so far; after its end, what was seen last.
    pub fn cpu_seconds(&mut self) -> f64 {
        if let Some(stat) = Stat::of(self.child.id()) {
            self.cpu_seconds = self.cpu_seconds.max(stat.cpu_seconds);
        }
        self.cpu_seconds
    }

    /// The most memory it has had resident, while it runs.
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        memory_bytes(self.child.id(), "VmHWM:")
    }

    /// The memory it has resident now, while it runs.
    pub fn rss_bytes(&self) -> Option<u64> {
        memory_bytes(self.child.id(), "VmRSS:")
    }

    /// How often each of its threads has been put on a processor.
    ///
    /// # Errors
    /// It does not run.
    pub fn wakes(&self) -> Result<Wakes> {
        Wakes::of(self.child.id()).ok_or_else(|| LabError::NotRunning {
            name: self.name.clone(),
        })
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.try_status()?.is_some() {
            return Err(LabError::NotRunning {
                name: self.name.clone(),
            });
        }
        // Not yet reaped, so the number is still this child's.
        kill_process(Pid::from_child(&self.child), signal)
            .doing(format!("send {signal:?} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to tell anyone here; the watcher does it again when the leash is dropped.
        let _ = self.kill();
    }
}

/// How often each thread of a process that runs has been put on a processor, by its id.
#[derive(Debug, Clone)]
pub struct Wakes(BTreeMap<OsString, u64>);

/// What /proc tells of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// User and system time together.
    pub cpu_seconds: f64,
    /// When it was started, in clock ticks since boot: with the id, its identity.
    pub started_ticks: u64,
    /// It has ended, but its parent has not looked yet.
    pub is_zombie: bool,
}

impl Stat {
    /// Reads `/proc/<id>/stat`; none if there is no such process.
    pub fn of(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may hold spaces; state follows it as field 3.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks_per_second as f64,
            started_ticks: field(22)?,
            is_zombie: fields.first() == Some(&"Z"),
        })
    }
}

impl Wakes {
    /// Those of a process that runs.
    fn of(id: u32) -> Option<Self> {
        let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
        let wakes = threads.flatten().filter_map(|thread| {
            // It may end meanwhile.
            let text = fs::read_to_string(thread.path().join("status")).ok()?;
            let lines = text.lines().filter(|line| line.contains("_ctxt_switches:"));
            let count = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
            Some((thread.file_name(), lines.filter_map(count).sum::<u64>()))
        });
        let wakes: BTreeMap<OsString, u64> = wakes.collect();
        // Whoever runs was put on a processor.
        let any = wakes.values().any(|count| *count > 0);
        any.then_some(Self(wakes))
    }

    /// How many there were since `before`, of threads that have not ended since; none if no thread was there before.
    pub fn since(&self, before: &Self) -> Option<u64> {
        if !self.0.keys().any(|thread| before.0.contains_key(thread)) {
            return None;
        }
        let of = |(thread, count): (&OsString, &u64)| {
            count.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        Some(self.0.iter().map(of).sum())
    }
}

fn memory_bytes(id: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
