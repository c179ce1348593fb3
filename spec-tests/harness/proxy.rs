//! A proxy on the loopback that sends each request to the next of several replicas in turn.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    base: String,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the servers at these addresses.
    pub async fn start(backends: Vec<String>) -> Self {
        let strip = |base: &String| base.trim_start_matches("http://").to_owned();
        let turns =
            Arc::new(Turns { backends: backends.iter().map(strip).collect(), next: AtomicUsize::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let turns = Arc::clone(&turns);
                let service = service_fn(move |request| forward(Arc::clone(&turns), request));
                // A connection that breaks is the client's to notice.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { base, task }
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Turns {
    backends: Vec<String>,
    next: AtomicUsize,
}

/// Sends a request on over a connection of its own, with its path as it came.
async fn forward(turns: Arc<Turns>, request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
    let turn = turns.next.fetch_add(1, Ordering::Relaxed) % turns.backends.len();
    let stream = TcpStream::connect(&turns.backends[turn]).await.expect("the replica listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("the replica speaks HTTP");
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.expect("the replica answers"))
}
