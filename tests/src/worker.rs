//! A worker: one `understudy replicate` process, which can be killed, paused and asked.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Doing, LabError, Result, tail};
use crate::flow_file::FlowFile;
use crate::http::{Answer, get};
use crate::minimal_root::MinimalRoot;
use crate::ports::Port;
use crate::process::{Process, Wakes};
use crate::wait::wait_for;

/// How long a tool may take.
const TOOL_LIMIT: Duration = Duration::from_secs(120);

/// A worker that crashes leaves its memory beside its log, where the system allows it; what stays is the same process.
const WITH_CORE: &str = "cd \"$1\" && shift && { ulimit -c unlimited; } 2>/dev/null
exec \"$@\"";

/// The `understudy` binary: `$UNDERSTUDY_BIN`, or the one built beside this program.
pub fn understudy_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("UNDERSTUDY_BIN") {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_exe().doing("find this program")?;
    let beside = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("understudy"))
        .find(|path| path.is_file());
    beside.ok_or_else(|| {
        LabError::Usage(
            "no understudy binary; build the workspace first, or set UNDERSTUDY_BIN".to_owned(),
        )
    })
}

/// Runs `understudy` with these arguments to its end, at most for `limit`.
pub fn understudy<A: AsRef<OsStr>>(
    args: impl IntoIterator<Item = A>,
    limit: Duration,
) -> Result<Output> {
    understudy_in(&[], args, limit)
}

/// The same, with these variables in its environment. What it said until then is told where it takes longer.
pub fn understudy_in<A: AsRef<OsStr>>(
    environment: &[(&str, &str)],
    args: impl IntoIterator<Item = A>,
    limit: Duration,
) -> Result<Output> {
    let mut command = Command::new(understudy_binary()?);
    command.args(args);
    let verb = command.get_args().next().unwrap_or_default();
    let what = format!("understudy {} to end", verb.display());
    let mut child = command
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing("start understudy")?;
    // Read while it runs: a full pipe would stop it.
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let out = scope.spawn(|| read_all(out));
        let err = scope.spawn(|| read_all(err));
        let mut ended = wait_for(&what, limit, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(String::new()),
            Err(error) => Err(error.to_string()),
        });
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let stdout = out.join().unwrap_or_default();
        let stderr = err.join().unwrap_or_default();
        if let Err(LabError::TooLate { hint, .. }) = &mut ended {
            for printed in [&stdout, &stderr] {
                hint.push('\n');
                hint.push_str(&String::from_utf8_lossy(printed));
            }
        }
        ended.map(|status| Output {
            status,
            stdout,
            stderr,
        })
    })
}

fn read_all(pipe: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What came until it broke is what there is to show.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// One running worker. Ends when dropped.
#[derive(Debug)]
pub struct Worker {
    name: String,
    flow: PathBuf,
    log: PathBuf,
    http: SocketAddr,
    environment: Vec<(String, String)>,
    /// Runs it; the binary itself unless it has a root of its own.
    program: PathBuf,
    /// Written by the methods below, one at a time.
    process: Mutex<Process>,
    _port: Option<Port>,
}

impl Worker {
    /// Starts a worker of a flow, with a config file and an HTTP port of its own. Returns at once.
    pub fn start(flow: &FlowFile, name: &str) -> Result<Self> {
        let port = Port::reserve()?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let path = flow.write(name, http)?;
        let environment = flow.environment.clone();
        Self::run(
            understudy_binary()?,
            name,
            path,
            http,
            environment,
            Some(port),
        )
    }

    /// Starts a worker where it finds nothing but itself, and its flow file.
    pub fn start_in(root: &MinimalRoot, flow: &FlowFile, name: &str) -> Result<Self> {
        let port = Port::reserve()?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let files = root.files()?;
        let path = flow.clone().in_folder(&files).write(name, http)?;
        let mut environment = flow.environment.clone();
        environment.push(("UNDERSTUDY_FILES".to_owned(), files.display().to_string()));
        Self::run(root.program(), name, path, http, environment, Some(port))
    }

    /// Starts a worker from a config file that somebody wrote.
    pub fn start_file(flow: &Path, name: &str) -> Result<Self> {
        let text = std::fs::read_to_string(flow).doing(format!("read {}", flow.display()))?;
        let listen = toml::from_str::<toml::Table>(&text)
            .ok()
            .and_then(|file| file.get("http")?.get("listen")?.as_str()?.parse().ok())
            .ok_or_else(|| LabError::Usage(format!("{} has no http.listen", flow.display())))?;
        let program = understudy_binary()?;
        Self::run(program, name, flow.to_owned(), listen, Vec::new(), None)
    }

    fn run(
        program: PathBuf,
        name: &str,
        flow: PathBuf,
        http: SocketAddr,
        environment: Vec<(String, String)>,
        port: Option<Port>,
    ) -> Result<Self> {
        let log = flow.with_file_name(format!("{name}.log"));
        let process = Mutex::new(replicate(&program, name, &flow, &environment, &log)?);
        Ok(Self {
            name: name.to_owned(),
            flow,
            log,
            http,
            environment,
            program,
            process,
            _port: port,
        })
    }

    /// Starts it again after its end, with the same config, port and log.
    pub fn restart(&self) -> Result<()> {
        let mut process = self.process();
        if process.try_status()?.is_none() {
            return Err(LabError::AlreadyRunning {
                name: self.name.clone(),
            });
        }
        *process = replicate(
            &self.program,
            &self.name,
            &self.flow,
            &self.environment,
            &self.log,
        )?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its `FLOW.toml`.
    pub fn flow(&self) -> &Path {
        &self.flow
    }

    /// Where it serves its page.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// What the kernel says of it: a file of its folder below `/proc`.
    pub fn kernel_says(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.process().id());
        std::fs::read_to_string(&path).doing(format!("read {path}"))
    }

    /// Runs a tool on its flow: the tool, and options with `--json` among them. Its exit status, and what it says.
    pub fn tool(&self, arguments: &[&str]) -> Result<(i32, serde_json::Value)> {
        let (name, options) = arguments
            .split_first()
            .ok_or(LabError::Usage("which tool?".to_owned()))?;
        let mut all = vec![OsStr::new(name), self.flow().as_os_str()];
        all.extend(options.iter().map(OsStr::new));
        let output = understudy(all, TOOL_LIMIT)?;
        let value = serde_json::from_slice(&output.stdout).map_err(|error| {
            let errors = String::from_utf8_lossy(&output.stderr);
            LabError::Usage(format!("{name} printed no JSON: {error}: {errors}"))
        })?;
        Ok((output.status.code().unwrap_or(-1), value))
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) -> Result<()> {
        self.process().kill()
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&self) -> Result<()> {
        self.process().terminate()
    }

    /// SIGSTOP: a worker that everyone else takes for dead.
    pub fn pause(&self) -> Result<()> {
        self.process().pause()
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.process().resume()
    }

    /// Waits for its end.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        self.process().wait(limit)
    }

    /// An error with the end of its log if it has ended.
    pub fn expect_running(&self) -> Result<()> {
        self.process().expect_running()
    }

    /// The process id.
    pub fn process_id(&self) -> u32 {
        self.process().id()
    }

    /// User and system time of the running process, or of the last one at its end.
    pub fn cpu_seconds(&self) -> f64 {
        self.process().cpu_seconds()
    }

    /// How often each of its threads has been put on a processor.
    ///
    /// # Errors
    /// It does not run.
    pub fn wakes(&self) -> Result<Wakes> {
        self.process().wakes()
    }

    /// The most memory it has had resident, while it runs.
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        self.process().peak_rss_bytes()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Where it logs.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// GETs a path of its page.
    pub fn get(&self, path: &str) -> Result<Answer> {
        get(self.http, path)
    }

    /// `/status.json`.
    pub fn status(&self) -> Result<serde_json::Value> {
        let answer = self.get("/status.json")?;
        let bad = |why: String| LabError::BadAnswer {
            who: format!("{}'s /status.json", self.name),
            why,
        };
        if answer.code != 200 {
            return Err(bad(format!("{}: {}", answer.code, answer.body)));
        }
        serde_json::from_str(&answer.body).map_err(|error| bad(error.to_string()))
    }

    /// `/metrics`, as Prometheus would read it.
    pub fn metrics(&self) -> Result<String> {
        Ok(self.get("/metrics")?.body)
    }

    /// Waits until its status is as wanted; returns that status. Fails at once if the worker ends.
    pub fn wait_status(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value> {
        let mut ended = None;
        let found = wait_for(&format!("{what} at {}", self.name), limit, || {
            if let Err(error) = self.expect_running() {
                ended = Some(error);
                return Ok(serde_json::Value::Null);
            }
            let status = self.status().map_err(|error| crate::error::chain(&error))?;
            if holds(&status) {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        });
        match (ended, found) {
            (Some(error), _) => Err(error),
            (None, found) => found.map_err(|error| self.with_log(error)),
        }
    }

    /// Waits until it serves its status.
    pub fn wait_serving(&self, limit: Duration) -> Result<()> {
        self.wait_status("a status", limit, |_| true).map(drop)
    }

    /// Waits until it is ready.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        self.wait_status("readiness", limit, |status| status["ready"] == true)
            .map(drop)
    }

    /// Waits until one of the reasons that keep it from being ready holds all of `words`; returns `/readyz`.
    pub fn wait_reason(&self, words: &[&str], limit: Duration) -> Result<String> {
        let what = format!("a reason with {words:?} at {}", self.name);
        let found = wait_for(&what, limit, || {
            let answer = self
                .get("/readyz")
                .map_err(|error| crate::error::chain(&error))?;
            let holds = |line: &str| words.iter().all(|word| line.contains(word));
            if answer.code == 503 && answer.body.lines().any(holds) {
                Ok(answer.body)
            } else {
                Err(format!("{} {}", answer.code, answer.body))
            }
        });
        found.map_err(|error| self.with_log(error))
    }

    /// Waits until it says that it has copied everything that a `read_committed` reader of `source` can see of a
    /// topic; returns that status.
    pub fn wait_copied(
        &self,
        source: &crate::Cluster,
        topic: &str,
        limit: Duration,
    ) -> Result<serde_json::Value> {
        let ends = source.ends(topic)?;
        self.wait_status(&format!("all of {topic}"), limit, |status| {
            let lines = || {
                let lines = status.get("partitions").and_then(|lines| lines.as_array());
                lines.into_iter().flatten()
            };
            ends.iter().all(|(partition, end)| {
                lines().any(|line| {
                    line["topic"] == topic
                        && line["partition"] == *partition
                        && line["source_offset"] == end.last_stable
                        && line["lag_records"] == 0
                })
            })
        })
    }

    fn with_log(&self, error: LabError) -> LabError {
        match error {
            LabError::TooLate { what, waited, hint } => {
                let hint = format!("{hint}\nthe end of its log:\n{}", tail(&self.log, 20));
                LabError::TooLate { what, waited, hint }
            }
            other => other,
        }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replicate(
    program: &Path,
    name: &str,
    flow: &Path,
    environment: &[(String, String)],
    log: &Path,
) -> Result<Process> {
    let absolute = |path: &Path| std::path::absolute(path).doing("find the current folder");
    let (binary, flow) = (absolute(program)?, absolute(flow)?);
    let folder = flow.parent().unwrap_or(Path::new("/"));
    let arguments = [
        "-c".as_ref(),
        WITH_CORE.as_ref(),
        "sh".as_ref(),
        folder.as_os_str(),
        binary.as_os_str(),
        "replicate".as_ref(),
        flow.as_os_str(),
    ];
    Process::start(name, "sh", arguments, environment, log)
}
