//! Where callers come in: a listener with a bound on connections, a limit on idleness, and TLS if it is configured.
//!
//! Without these bounds anybody who reaches the port could take every file descriptor of the process that mirrors.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::http_config::TlsFiles;

/// How many callers may be connected at once; the next one waits.
const CONNECTIONS: usize = 128;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(90);
/// The wait after the machine refused a connection.
const REFUSED_WAIT: Duration = Duration::from_millis(500);

/// Why the page cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is not there, or not PEM, or holds something else.
    #[error("cannot use {path} as {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// An authority that cannot verify anything.
    #[error("cannot verify clients with http.tls_client_ca")]
    ClientCa(#[from] VerifierBuilderError),
    /// A key that does not fit its certificate, or of a kind that is not supported.
    #[error("http.tls_certificate and http.tls_key cannot be used together")]
    Pair(#[from] rustls::Error),
}

/// Reads the files.
///
/// # Errors
/// The first that cannot be used.
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let certificates = certificates(&files.certificate, "http.tls_certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        path: files.key.clone(),
        what: "http.tls_key",
        source,
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in self::certificates(path, "http.tls_client_ca")? {
                roots.add(authority)?;
            }
            // A caller without a certificate may still ask /healthz, or show the token.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |source| TlsError::File {
        path: path.to_owned(),
        what,
        source,
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(refused)?
        .collect::<Result<_, _>>()
        .map_err(refused)?;
    if found.is_empty() {
        return Err(refused(pem::Error::NoItemsFound));
    }
    Ok(found)
}

/// The listener.
pub struct Door {
    local: SocketAddr,
    /// Connections whose handshake is done.
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
}

impl Door {
    /// Begins to accept.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn open(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (done, ready) = mpsc::channel(1);
        tokio::spawn(accept(listener, tls, done));
        Ok(Self { local, ready })
    }
}

/// Accepts until the door is dropped. A handshake has its own task, so that a slow caller holds up nobody.
async fn accept(
    mut listener: TcpListener,
    tls: Option<TlsAcceptor>,
    done: mpsc::Sender<(Connection, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let (stream, peer) = tokio::select! {
            accepted = next(&mut listener) => accepted,
            () = done.closed() => return,
        };
        let (tls, done) = (tls.clone(), done.clone());
        tokio::spawn(async move {
            let connection = match tls {
                None => Connection::new(Box::new(stream), false, place),
                Some(tls) => {
                    let shaken = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await;
                    // Whoever does not speak TLS, or shows a foreign certificate, is sent away; it is not our fault.
                    let Ok(Ok(stream)) = shaken else { return };
                    let certified = stream.get_ref().1.peer_certificates().is_some();
                    Connection::new(Box::new(stream), certified, place)
                }
            };
            // The server has stopped.
            drop(done.send((connection, peer)).await);
        });
    }
}

async fn next(listener: &mut TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match TcpListener::accept(listener).await {
            Ok(accepted) => return accepted,
            // Out of file descriptors, or the caller is gone already: no reason to end, or to spin.
            Err(_error) => tokio::time::sleep(REFUSED_WAIT).await,
        }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task only ends with us.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// What a caller's connection proved.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Whether it showed a certificate that our authority signed.
    pub certified: bool,
}

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self {
            certified: stream.io().certified,
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One caller. Gives its place back when it goes.
pub struct Connection {
    stream: Box<dyn Stream>,
    certified: bool,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: Box<dyn Stream>, certified: bool, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            certified,
            idle: Box::pin(tokio::time::sleep(IDLE)),
            _place: place,
        }
    }

    /// Whatever moves puts the limit off; whoever stands still long enough is cut off.
    fn timed<T>(
        &mut self,
        moved: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(tokio::time::Instant::now() + IDLE);
            return moved;
        }
        match self.idle.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.timed(moved, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(moved, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_flush(context);
        self.timed(moved, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timed(moved, context)
    }
}
