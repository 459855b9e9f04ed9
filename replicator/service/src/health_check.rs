//! `understudy healthcheck`: whether the worker beside it answers, for whoever replaces containers that do not.
//!
//! It reads no flow file, so it needs no secret, and asks nobody but the worker.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;
use understudy_flow::report::Report;

/// Time limit of each step; a container's check has five seconds in all.
const WITHIN: Duration = Duration::from_secs(1);
/// How an answer begins that says that all is well.
const WELL: &[u8] = b"HTTP/1.1 200";

/// What was found.
#[derive(Serialize)]
pub struct Health {
    /// Who was asked.
    listen: SocketAddr,
    /// Whether the worker answers.
    healthy: bool,
    /// Why it does not.
    reason: Option<String>,
}

/// Asks the worker that listens there.
pub fn run(listen: SocketAddr) -> Health {
    let reason = match ask(listen) {
        Ok(answer) if answer == WELL => None,
        Ok(answer) => Some(format!(
            "it answered {:?} to GET /healthz",
            String::from_utf8_lossy(&answer)
        )),
        Err(error) => Some(format!("nobody answered: {error}")),
    };
    Health {
        listen,
        healthy: reason.is_none(),
        reason,
    }
}

/// The first bytes of the answer.
fn ask(listen: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&listen, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {listen}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![0; WELL.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

impl Report for Health {
    fn holds(&self) -> bool {
        self.healthy
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            None => write!(f, "the worker at {} is well", self.listen),
            Some(reason) => write!(
                f,
                "the worker at {} is not well: {reason}; look at its log, and at --listen: it is http.listen of its flow file",
                self.listen
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Asks somebody who answers so.
    fn asked(answer: &'static [u8]) -> io::Result<Health> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let _asked = stream.read(&mut [0; 512])?;
            stream.write_all(answer)
        });
        let health = run(address);
        let _ended = server.join();
        Ok(health)
    }

    #[test]
    fn only_a_200_is_well() -> io::Result<()> {
        assert!(asked(b"HTTP/1.1 200 OK\r\n\r\nok\n")?.holds());
        for other in [
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n".as_slice(),
            b"HTTP/1.1",
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            let health = asked(other)?;
            assert!(!health.holds(), "{health}");
        }
        Ok(())
    }

    #[test]
    fn nobody_there_is_not_well() -> io::Result<()> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let health = run(address);
        assert!(health.to_string().contains("nobody answered"), "{health}");
        Ok(())
    }
}
