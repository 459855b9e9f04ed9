//! One broker, started again in the same place: a JVM that can be killed and paused, or a part of one that others share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::broker_config::Addresses;
use crate::error::{LabError, Result};
use crate::host::Guest;
use crate::listener::Listener;
use crate::ports::Port;
use crate::process::Process;

/// A broker ends within a second; a busy machine may take long over it.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// One broker of a cluster. Its ports and log folder stay the same over restarts.
#[derive(Debug)]
pub struct Broker {
    name: String,
    node: usize,
    addresses: Addresses,
    dir: PathBuf,
    place: Place,
    /// Written by the methods below, one at a time.
    running: Mutex<Running>,
    _ports: Vec<Port>,
}

/// Where a broker runs.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a process of its own: everything after `java`.
    Own(Vec<String>),
    /// In the JVM at this socket.
    Shared(PathBuf),
}

#[derive(Debug)]
enum Runner {
    Own(Process),
    Shared(Guest),
}

#[derive(Debug, Default)]
struct Running {
    runner: Option<Runner>,
    /// Started, and not asked to end since.
    wanted: bool,
    /// CPU time of processes that have ended.
    ended_cpu_seconds: f64,
}

impl Broker {
    pub(crate) fn new(
        name: String,
        node: usize,
        addresses: Addresses,
        dir: PathBuf,
        place: Place,
        ports: Vec<Port>,
    ) -> Self {
        Self {
            name,
            node,
            addresses,
            dir,
            place,
            running: Mutex::default(),
            _ports: ports,
        }
    }

    /// How errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node id, from 1.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Where it listens, as clients see it.
    pub fn address(&self, listener: Listener) -> SocketAddr {
        self.addresses.of(listener)
    }

    /// Where it listens for TLS without and with client certificates, if it was built so.
    pub(crate) fn tls(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.addresses.tls
    }

    /// What it printed, over all its starts; in a shared JVM, what all brokers there did.
    pub fn log(&self) -> PathBuf {
        match &self.running().runner {
            Some(Runner::Shared(guest)) => guest.log().to_owned(),
            Some(Runner::Own(_)) | None => self.own_log(),
        }
    }

    fn own_log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Its properties.
    pub(crate) fn properties(dir: &Path) -> PathBuf {
        dir.join("server.properties")
    }

    /// The folder with its properties, log and data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts it; returns at once. [`crate::Cluster::wait_ready`] waits until it serves.
    pub fn start(&self) -> Result<()> {
        let mut running = self.running();
        if running.runs()? {
            return Err(LabError::AlreadyRunning {
                name: self.name.clone(),
            });
        }
        running.ended_cpu_seconds = running.all_cpu_seconds();
        running.runner = Some(match &self.place {
            Place::Own(arguments) => {
                let started = Process::start(&self.name, "java", arguments, &[], self.own_log())?;
                Runner::Own(started)
            }
            Place::Shared(host) => {
                let properties = Self::properties(&self.dir);
                Runner::Shared(Guest::start(&self.name, host, &properties)?)
            }
        });
        running.wanted = true;
        Ok(())
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) -> Result<()> {
        self.running().wanted = false;
        self.with(Process::kill)
    }

    /// Ends it in whatever way is quickest; returns when it is gone.
    pub(crate) fn end(&self) -> Result<()> {
        let mut running = self.running();
        running.wanted = false;
        match &mut running.runner {
            Some(Runner::Own(process)) => process.kill(),
            Some(Runner::Shared(guest)) => match guest.is_running() {
                true => guest.stop(STOP_LIMIT),
                false => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// SIGTERM: a controlled shutdown. Returns at once; [`Self::wait`] waits for its end.
    pub fn terminate(&self) -> Result<()> {
        self.running().wanted = false;
        self.with(Process::terminate)
    }

    /// A controlled shutdown; returns when it is gone.
    pub(crate) fn stop_cleanly(&self, limit: Duration) -> Result<()> {
        let mut running = self.running();
        running.wanted = false;
        match &mut running.runner {
            Some(Runner::Own(process)) => {
                process.terminate()?;
                process.wait(limit).map(drop)
            }
            Some(Runner::Shared(guest)) => guest.stop(limit),
            None => Err(LabError::NotRunning {
                name: self.name.clone(),
            }),
        }
    }

    /// SIGSTOP: connections stay open, nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.with(Process::pause)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.with(Process::resume)
    }

    /// From now on no file of it grows beyond `bytes`, as if its disk were full; none lifts that. A broker that is
    /// started again has no such limit.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        self.with(|process| process.limit_files(bytes))
    }

    /// Waits for its end.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        self.with(|process| process.wait(limit))
    }

    /// An error with the end of its log if it has ended although nobody asked it to.
    pub fn expect_running(&self) -> Result<()> {
        let mut running = self.running();
        if !running.wanted {
            return Ok(());
        }
        match &mut running.runner {
            Some(Runner::Own(process)) => process.expect_running(),
            Some(Runner::Shared(guest)) => guest.expect_running(),
            None => Ok(()),
        }
    }

    /// Whether its process runs (a paused one does).
    pub fn is_running(&self) -> bool {
        matches!(self.running().runs(), Ok(true))
    }

    /// The process id, while it runs in a process of its own.
    pub fn process_id(&self) -> Option<u32> {
        match &self.running().runner {
            Some(Runner::Own(process)) => Some(process.id()),
            Some(Runner::Shared(_)) | None => None,
        }
    }

    /// User and system time over all its starts; none is known of a shared JVM.
    pub fn cpu_seconds(&self) -> f64 {
        self.running().all_cpu_seconds()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Process) -> Result<T>) -> Result<T> {
        match &mut self.running().runner {
            Some(Runner::Own(process)) => act(process),
            Some(Runner::Shared(_)) => Err(LabError::Usage(format!(
                "{} shares its JVM with others; build its cluster with own_processes()",
                self.name
            ))),
            None => Err(LabError::NotRunning {
                name: self.name.clone(),
            }),
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Whether it runs (a paused process does).
    fn runs(&mut self) -> Result<bool> {
        match &mut self.runner {
            Some(Runner::Own(process)) => Ok(process.try_status()?.is_none()),
            Some(Runner::Shared(guest)) => Ok(guest.is_running()),
            None => Ok(false),
        }
    }

    /// CPU time of all processes that ran so far.
    fn all_cpu_seconds(&mut self) -> f64 {
        let latest = match &mut self.runner {
            Some(Runner::Own(process)) => process.cpu_seconds(),
            Some(Runner::Shared(_)) | None => 0.0,
        };
        self.ended_cpu_seconds + latest
    }
}
