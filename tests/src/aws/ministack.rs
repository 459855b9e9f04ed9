//! One process that plays AWS in one Region.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::aws::tools;
use crate::error::{LabError, Result};
use crate::http::get;
use crate::ports::Port;
use crate::process::Process;
use crate::wait::wait_for;

const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// A MiniStack. Ends when dropped, and its functions with it.
#[derive(Debug)]
pub struct Ministack {
    name: String,
    region: String,
    folder: PathBuf,
    port: Port,
    process: Process,
}

impl Ministack {
    /// Starts one; its log goes to `folder`.
    pub fn start(name: &str, region: &str, folder: &Path) -> Result<Self> {
        let port = Port::reserve()?;
        let process = process(name, region, folder, port.number())?;
        let mut started = Self {
            name: name.to_owned(),
            region: region.to_owned(),
            folder: folder.to_owned(),
            port,
            process,
        };
        started.wait_ready()?;
        Ok(started)
    }

    /// Starts it again after its end, at the same address. It remembers nothing.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.try_status()?.is_none() {
            return Err(LabError::AlreadyRunning {
                name: self.name.clone(),
            });
        }
        self.process = process(&self.name, &self.region, &self.folder, self.port.number())?;
        self.wait_ready()
    }

    /// Which Region it plays.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }

    /// The URL of all its services.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// SIGKILL: the Region's AWS is lost, with everything in it.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGSTOP: it takes connections and answers nothing.
    pub fn pause(&mut self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT.
    pub fn resume(&mut self) -> Result<()> {
        self.process.resume()
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let address = self.address();
        let process = &mut self.process;
        let mut ended = None;
        let ready = wait_for("MiniStack to answer", STARTED_WITHIN, || {
            if let Err(error) = process.expect_running() {
                ended = Some(error);
                return Ok(());
            }
            match get(address, "/_ministack/health") {
                Ok(answer) if answer.code == 200 => Ok(()),
                Ok(answer) => Err(answer.body),
                Err(error) => Err(error.to_string()),
            }
        });
        ended.map_or(ready, Err)
    }
}

fn process(name: &str, region: &str, folder: &Path, port: u16) -> Result<Process> {
    let program = tools::ministack()?;
    let url = format!("http://127.0.0.1:{port}");
    let site = program.join("site").display().to_string();
    let scratch = folder.display().to_string();
    let environment = [
        ("PYTHONPATH", site.as_str()),
        // It unpacks functions there and leaves them.
        ("TMPDIR", &scratch),
        // Inherited by functions: where this Region's AWS is.
        ("AWS_ENDPOINT_URL", &url),
        ("GATEWAY_PORT", &port.to_string()),
        ("BIND_HOST", "127.0.0.1"),
        ("MINISTACK_REGION", region),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("LOG_LEVEL", "WARNING"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let arguments: [&str; 0] = [];
    Process::start(
        format!("MiniStack {name}"),
        program.join("bin/ministack"),
        arguments,
        &environment,
        folder.join(format!("ministack-{name}.log")),
    )
}
