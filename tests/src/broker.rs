//! One broker: a JVM that can be killed, paused and started again in the same place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::broker_config::Addresses;
use crate::error::{LabError, Result};
use crate::listener::Listener;
use crate::ports::Port;
use crate::process::Process;

/// One broker of a cluster. Its ports and log folder stay the same over restarts.
#[derive(Debug)]
pub struct Broker {
    name: String,
    node: usize,
    addresses: Addresses,
    dir: PathBuf,
    /// Everything after `java`.
    arguments: Vec<String>,
    /// Written by the methods below, one at a time.
    running: Mutex<Running>,
    _ports: Vec<Port>,
}

#[derive(Debug, Default)]
struct Running {
    process: Option<Process>,
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
        arguments: Vec<String>,
        ports: Vec<Port>,
    ) -> Self {
        Self {
            name,
            node,
            addresses,
            dir,
            arguments,
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

    /// What it printed, over all its starts.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// The folder with its properties, log and data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts it; returns at once. [`crate::Cluster::wait_ready`] waits until it serves.
    pub fn start(&self) -> Result<()> {
        let mut running = self.running();
        if let Some(process) = &mut running.process
            && process.try_status()?.is_none()
        {
            return Err(LabError::AlreadyRunning {
                name: self.name.clone(),
            });
        }
        running.ended_cpu_seconds += running.process.as_mut().map_or(0.0, Process::cpu_seconds);
        running.process = Some(Process::start(
            &self.name,
            "java",
            &self.arguments,
            &[],
            self.log(),
        )?);
        running.wanted = true;
        Ok(())
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) -> Result<()> {
        self.running().wanted = false;
        self.with(Process::kill)
    }

    /// SIGTERM: a controlled shutdown. Returns at once; [`Self::wait`] waits for its end.
    pub fn terminate(&self) -> Result<()> {
        self.running().wanted = false;
        self.with(Process::terminate)
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
        if !self.running().wanted {
            return Ok(());
        }
        self.with(Process::expect_running)
    }

    /// Whether its process runs (a paused one does).
    pub fn is_running(&self) -> bool {
        self.running()
            .process
            .as_mut()
            .is_some_and(|process| matches!(process.try_status(), Ok(None)))
    }

    /// The process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.running().process.as_ref().map(Process::id)
    }

    /// User and system time over all its starts.
    pub fn cpu_seconds(&self) -> f64 {
        let mut running = self.running();
        running.ended_cpu_seconds + running.process.as_mut().map_or(0.0, Process::cpu_seconds)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Process) -> Result<T>) -> Result<T> {
        match &mut self.running().process {
            Some(process) => act(process),
            None => Err(LabError::NotRunning {
                name: self.name.clone(),
            }),
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
