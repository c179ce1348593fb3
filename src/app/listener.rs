//! Listens for HTTP/1 and HTTP/2 over TCP and Unix sockets.

mod crowd;
mod guarded;
mod idle;

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::TryFutureExt;
use hearth_api::Peer;
use hearth_services::seldom::Seldom;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tower::ServiceExt;

pub(crate) use self::crowd::Crowd;

use self::guarded::Guarded;
use self::idle::{Held, Idle};
use crate::config::Listen;
use crate::lifecycle::Stages;
use crate::supervisor::Supervisor;

/// Connections that wait to be accepted: enough for all clients to come back at once after a restart.
const BACKLOG: u32 = 4096;

/// When the system has no descriptors left, accepting again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is buffered of a request or a response over HTTP/1: a head fits, and a file goes through in pieces.
const BUFFER: usize = 128 * 1024;

/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 256;

/// A quiet HTTP/2 connection is asked for a sign of life this often.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// The mode of a socket: its owner's group, which the reverse proxy can be in.
const SOCKET_MODE: u32 = 0o660;

static SLOW: Seldom = Seldom::new();

/// Why a listener could not be opened, as one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Somebody else has the address.
    #[error(
        "the address {0} is in use by another program: stop that one, or set `listen` to another address"
    )]
    InUse(String),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// An open listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the head of a request.
    pub(crate) header: Duration,
    /// For taking more of a reply.
    pub(crate) stall: Duration,
    /// For another request.
    pub(crate) idle: Duration,
}

/// What every connection is served with.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) router: Router,
    pub(crate) supervisor: Supervisor,
    pub(crate) stages: Stages,
    pub(crate) crowd: Crowd,
    pub(crate) patience: Patience,
}

impl Listener {
    /// Opens an address, without accepting anything yet.
    pub(crate) fn open(address: &Listen) -> Result<Self, ListenError> {
        let opened = match address {
            Listen::Tcp(address) => open_tcp(*address).map(Self::Tcp),
            Listen::Unix(path) => open_unix(path).map(Self::Unix),
        };
        opened.map_err(|source| {
            let address = address.to_string();
            if source.kind() == io::ErrorKind::AddrInUse {
                ListenError::InUse(address)
            } else {
                ListenError::Io { address, source }
            }
        })
    }

    /// The address, as a person would type it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| format!("http://{address}")),
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path =
                    address.and_then(|address| address.as_pathname().map(|path| path.display().to_string()));
                format!("unix:{}", path.unwrap_or_default())
            }
        }
    }

    /// Accepts connections until the server closes.
    pub(crate) async fn run(self, serving: Serving) {
        let closing = serving.stages.closing.clone();
        let next = async || {
            let slot = serving.crowd.slot().await.ok_or_else(|| io::Error::other("no room"))?;
            self.accept().await.map(|(stream, peer)| (stream, peer, slot))
        };
        while let Some(accepted) = closing.run_until_cancelled(next()).await {
            match accepted {
                Ok((stream, peer, slot)) => {
                    let Some(place) = serving.crowd.enter(slot, peer.0) else { continue };
                    let serving = serving.clone();
                    serving.supervisor.clone().serve_connection(async move {
                        serve(stream, peer, serving).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Replies are whole when they are written; waiting for more only delays them.
                // One that is closed already is found out by its first use.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), Peer(Some(address.ip().to_canonical()))))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), Peer(None)))
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn serve(stream: Box<dyn Stream>, peer: Peer, serving: Serving) {
    let (router, idle, patience) = (serving.router, Idle::new(), serving.patience);
    let requests = idle.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = requests.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let response = router.clone().oneshot(request);
        response.map_ok(move |response| response.map(|body| Body::new(Held::new(body, busy))))
    });
    let stream = Guarded::new(stream, patience.header, patience.stall);
    let mut builder = Builder::new(TokioExecutor::new());
    let late = serving.stages.draining.is_cancelled();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.header).keep_alive(!late);
    builder.http1().max_buf_size(BUFFER);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).keep_alive_interval(KEEP_ALIVE);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // Asked to end before its first request, a late connection would not answer that one either.
    let end = if late { &serving.stages.closing } else { &serving.stages.draining };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = idle.lasts(patience.idle) => {
            connection.as_mut().graceful_shutdown();
            // One of HTTP/2 is asked for a last sign of life, which a client that is gone does not give.
            tokio::time::timeout(patience.stall, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection of {:?} ended badly: {error}", peer.0);
        if is_timeout(&*error)
            && let Some(count) = SLOW.count()
        {
            let last = peer.0.map_or_else(|| "a socket".to_owned(), |address| address.to_string());
            tracing::warn!(
                count,
                "connections were closed because their clients were too slow, the last from {last}"
            );
        }
    }
}

/// Whether a connection ended because its client did not get on.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let by_http = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
    let by_stream =
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    by_http || by_stream || error.source().is_some_and(is_timeout)
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the last connections of the run before to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn open_unix(path: &Path) -> io::Result<UnixListener> {
    // A socket that nobody answers on is left from a server that was killed.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_one_sentence() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Listen::Tcp(taken.local_addr().unwrap());
        let error = Listener::open(&address).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "the address {address} is in use by another program: stop that one, or set `listen` to another address"
            )
        );
    }

    #[tokio::test]
    async fn a_socket_left_by_a_killed_server_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let address = Listen::Unix(dir.path().join("http.sock"));
        drop(Listener::open(&address).unwrap());
        let _open = Listener::open(&address).unwrap();
        assert!(matches!(Listener::open(&address), Err(ListenError::InUse(_))));
    }
}
