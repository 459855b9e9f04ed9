//! One process that plays AWS in one Region.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::aws::tools;
use crate::error::Result;
use crate::http::get;
use crate::ports::Port;
use crate::process::Process;
use crate::wait::wait_for;

const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// A MiniStack. Ends when dropped, and its functions with it.
#[derive(Debug)]
pub struct Ministack {
    region: String,
    port: Port,
    process: Process,
}

impl Ministack {
    /// Starts one; its log goes to `folder`.
    pub fn start(name: &str, region: &str, folder: &Path) -> Result<Self> {
        let program = tools::ministack()?;
        let port = Port::reserve()?;
        let url = format!("http://127.0.0.1:{}", port.number());
        let site = program.join("site").display().to_string();
        let scratch = folder.display().to_string();
        let environment = [
            ("PYTHONPATH", site.as_str()),
            // It unpacks functions there and leaves them.
            ("TMPDIR", &scratch),
            // Inherited by functions: where this Region's AWS is.
            ("AWS_ENDPOINT_URL", &url),
            ("GATEWAY_PORT", &port.number().to_string()),
            ("BIND_HOST", "127.0.0.1"),
            ("MINISTACK_REGION", region),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("LOG_LEVEL", "WARNING"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let arguments: [&str; 0] = [];
        let process = Process::start(
            format!("MiniStack {name}"),
            program.join("bin/ministack"),
            arguments,
            &environment,
            folder.join(format!("ministack-{name}.log")),
        )?;
        let mut started = Self {
            region: region.to_owned(),
            port,
            process,
        };
        started.wait_ready()?;
        Ok(started)
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
