//! How a command reaches the daemon: one line of JSON each way over a socket in the cache.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use understudy_tests::{LabError, Result};

use crate::daemon::folder;
use crate::status::Status;

/// A link and a broker answer within seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Status,
    Link {
        to: Option<String>,
        round_trip_micros: Option<u64>,
        rate: Option<u64>,
        change: Option<LinkChange>,
    },
    Broker {
        cluster: String,
        node: usize,
        action: BrokerAction,
    },
    Down,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum LinkChange {
    Cut,
    Blackhole,
    Heal,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum BrokerAction {
    Kill,
    Pause,
    Resume,
    Terminate,
    Start,
}

/// The status afterwards, or what went wrong.
pub(crate) type Response = std::result::Result<Status, String>;

/// The daemon's socket.
pub(crate) fn socket() -> Result<PathBuf> {
    let path = folder()?.join("control");
    // The kernel's limit for the name of a socket is 107 bytes.
    if path.as_os_str().len() > 107 {
        return Err(LabError::Usage(format!(
            "{} is too long for a socket; set UNDERSTUDY_CACHE to a shorter one",
            path.display()
        )));
    }
    Ok(path)
}

/// Asks the daemon; returns the status afterwards.
pub(crate) fn ask(request: &Request) -> Result<Status> {
    let bad = |why: String| LabError::BadAnswer {
        who: "the lab's daemon".to_owned(),
        why,
    };
    let answer = exchange(request).map_err(|source| LabError::Io {
        action: "reach the lab's daemon; start it with: scripts/clusters up".to_owned(),
        source,
    })?;
    let response: Response =
        serde_json::from_str(&answer).map_err(|error| bad(error.to_string()))?;
    response.map_err(LabError::Usage)
}

fn exchange(request: &Request) -> std::io::Result<String> {
    let path = socket().map_err(std::io::Error::other)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    writeln!(stream, "{}", serde_json::to_string(request)?)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}
