//! A place that takes connections and never answers: what is lost looks like this when a network in between still works.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Doing, Result};

/// Takes connections until it is dropped, and notes when each came.
#[derive(Debug)]
pub struct Dark {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<i64>>>,
    stop: Arc<AtomicBool>,
    taking: Option<JoinHandle<()>>,
}

impl Dark {
    /// Listens on a free port.
    pub fn start() -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("listen on a free port")?;
        let address = listener.local_addr().doing("see which port it is")?;
        let (calls, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let taking = std::thread::spawn({
            let (calls, stop) = (Arc::clone(&calls), Arc::clone(&stop));
            move || take(&listener, &calls, &stop)
        });
        Ok(Self {
            address,
            calls,
            stop,
            taking: Some(taking),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When connections came, in milliseconds since 1970.
    pub fn calls(&self) -> Vec<i64> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }
}

fn take(listener: &TcpListener, calls: &Mutex<Vec<i64>>, stop: &AtomicBool) {
    // Kept: a connection that is closed is an answer.
    let mut silent = Vec::new();
    for connection in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since.map_or(0, |since| since.as_millis());
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(i64::try_from(now_ms).unwrap_or(i64::MAX));
        silent.extend(connection.ok());
    }
}

impl Drop for Dark {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it; where that fails it ends with the process.
        if TcpStream::connect(self.address).is_ok()
            && let Some(taking) = self.taking.take()
        {
            drop(taking.join());
        }
    }
}
