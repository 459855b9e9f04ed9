//! One listening port of a link, and the connections made through it.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::pipe::{Direction, pump};
use super::{LinkState, Shared};
use crate::error::{Doing, Result};
use crate::ports::Port;
use crate::wait::wait_for;

/// How long a port that is reserved for us may still be held.
const FREE_WITHIN: Duration = Duration::from_secs(5);

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// One way through a link. Its listener is closed while the link is cut, so that connecting fails.
#[derive(Debug)]
pub(crate) struct Route {
    address: SocketAddr,
    inner: Arc<Inner>,
    _port: Port,
}

#[derive(Debug)]
struct Inner {
    upstream: SocketAddr,
    shared: Arc<Shared>,
    /// Written by the route's own thread, read by `follows`.
    listening: AtomicBool,
    /// Threads that carry bytes; each counts itself.
    carrying: AtomicUsize,
    /// Both ends of each connection, to close them; written by the route's threads.
    open: Mutex<Vec<Arc<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    broker: TcpStream,
}

impl Connection {
    fn close(&self) {
        // Already closed by a peer is as good.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }
}

impl Route {
    pub(crate) fn open(upstream: SocketAddr, shared: Arc<Shared>) -> Result<Self> {
        let port = Port::reserve()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        // A process that is being started by another thread may hold the socket with which the port was tried, for as long
        // as it takes from its fork to its own program.
        let listener = wait_for(&format!("{address} to be free"), FREE_WITHIN, || {
            TcpListener::bind(address).map_err(|error| error.to_string())
        })?;
        let inner = Arc::new(Inner {
            upstream,
            shared,
            listening: AtomicBool::new(true),
            carrying: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let serving = Arc::clone(&inner);
        thread::Builder::new()
            .name(format!("link-{}", port.number()))
            .spawn(move || serving.serve(address, listener))
            .doing("start a thread")?;
        Ok(Self {
            address,
            inner,
            _port: port,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Wakes the route's thread from waiting for a connection.
    pub(crate) fn nudge(&self) {
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
    }

    /// Whether the listener and the connections are as `state` wants them.
    pub(crate) fn follows(&self, state: LinkState) -> bool {
        let listening = self.inner.listening.load(Ordering::Acquire);
        match state {
            LinkState::Up | LinkState::Blackhole => listening,
            LinkState::Cut => !listening && self.inner.carrying.load(Ordering::Acquire) == 0,
        }
    }
}

impl Inner {
    /// Accepts while the link is up or a black hole; stays away while it is cut.
    fn serve(self: Arc<Self>, address: SocketAddr, first: TcpListener) {
        let mut listener = Some(first);
        loop {
            if let Some(open) = listener.take() {
                self.accept(&open);
            }
            self.listening.store(false, Ordering::Release);
            self.close_all();
            let settings = self
                .shared
                .wait_until(None, |now| now.closed || now.state != LinkState::Cut);
            if settings.closed {
                return self.close_all();
            }
            // The port is reserved for us; should the kernel still hold it, try again soon.
            listener = TcpListener::bind(address).ok();
            self.listening.store(listener.is_some(), Ordering::Release);
            if listener.is_none() {
                self.shared
                    .wait_until(Some(Instant::now() + Duration::from_millis(20)), |now| {
                        now.closed
                    });
            }
        }
    }

    /// Returns when the link is cut or closed.
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            let settings = self.shared.settings();
            if settings.closed || settings.state == LinkState::Cut {
                return;
            }
            let Ok((client, _)) = accepted else { continue };
            let inner = Arc::clone(self);
            // Connecting waits while the link is a black hole, so not on this thread.
            self.carrying.fetch_add(1, Ordering::AcqRel);
            let started = thread::Builder::new()
                .name("link-carry".to_owned())
                .spawn(move || {
                    inner.carry(client);
                    inner.carrying.fetch_sub(1, Ordering::AcqRel);
                });
            if started.is_err() {
                self.carrying.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Connects and copies both ways until either side ends.
    fn carry(&self, client: TcpStream) {
        let settings = self
            .shared
            .wait_until(None, |now| now.closed || now.state != LinkState::Blackhole);
        if settings.closed || settings.state == LinkState::Cut {
            return;
        }
        let Ok(broker) = TcpStream::connect_timeout(&self.upstream, CONNECT_LIMIT) else {
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = broker.set_nodelay(true);
        let connection = Arc::new(Connection { client, broker });
        self.open().push(Arc::clone(&connection));
        // Registered first, looked at second: a cut in between closes it here or there.
        let settings = self.shared.settings();
        if !settings.closed && settings.state != LinkState::Cut {
            thread::scope(|scope| {
                scope.spawn(|| {
                    pump(
                        &connection.client,
                        &connection.broker,
                        Direction::Inward,
                        &self.shared,
                    )
                });
                pump(
                    &connection.broker,
                    &connection.client,
                    Direction::Outward,
                    &self.shared,
                );
            });
        }
        connection.close();
        self.open().retain(|other| !Arc::ptr_eq(other, &connection));
    }

    fn close_all(&self) {
        for connection in self.open().iter() {
            connection.close();
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
