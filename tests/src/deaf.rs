//! A place to which packets go and from which none comes back: its queue of connections is full, so the kernel drops the
//! first packet of each new one. What is lost looks like this when the network in between is gone as well.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::error::{Doing, LabError, Result};

/// How long a connection may take on this machine before it is known that nobody answers.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);
/// More than any queue of connections holds that a listener asks for.
const MOST: usize = 10_000;

/// Answers nobody until it is dropped.
#[derive(Debug)]
pub struct Deaf {
    address: SocketAddr,
    _listener: TcpListener,
    /// They fill its queue.
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    /// On a free port.
    pub fn start() -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("listen on a free port")?;
        let address = listener.local_addr().doing("see which port it is")?;
        let mut waiting = Vec::new();
        while let Ok(connection) = TcpStream::connect_timeout(&address, ANSWERED_WITHIN) {
            waiting.push(connection);
            if waiting.len() > MOST {
                let text = "a listener that takes no connection is answered for all the same";
                return Err(LabError::Usage(text.to_owned()));
            }
        }
        Ok(Self {
            address,
            _listener: listener,
            _waiting: waiting,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
