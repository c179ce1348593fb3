//! A proxy on the loopback that sends each request to the next of several replicas in turn.
//!
//! It passes bytes on as they come, with one change: each connection carries one request, so that the next
//! request, on the next connection, goes elsewhere. What becomes a WebSocket is left as it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
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
                // A connection that breaks is the client's to notice.
                tokio::spawn(relay(Arc::clone(&turns), stream));
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

/// Passes one request on, and its reply back.
async fn relay(turns: Arc<Turns>, mut client: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let end = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let turn = turns.next.fetch_add(1, Ordering::Relaxed) % turns.backends.len();
    let mut backend = TcpStream::connect(&turns.backends[turn]).await?;
    backend.write_all(&last_of_its_connection(&request[..end])).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_backend, mut to_backend) = backend.split();
    let up = async {
        // A replica that replies before it has read everything stops reading; its reply counts.
        let _ = to_backend.write_all(&request[end..]).await;
        let _ = copy(&mut from_client, &mut to_backend).await;
        let _ = to_backend.shutdown().await;
    };
    let down = async {
        copy(&mut from_backend, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::pin!(down);
    tokio::select! {
        ended = &mut down => ended,
        () = up => down.await,
    }
}

/// The head of a request, without the empty line, as one after which the connection is closed.
fn last_of_its_connection(head: &[u8]) -> Vec<u8> {
    if head.to_ascii_lowercase().windows(9).any(|part| part == b"\nupgrade:") {
        return head.to_vec();
    }
    let mut changed = Vec::with_capacity(head.len());
    for line in head.split(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"connection") {
            changed.extend_from_slice(line.trim_ascii_end());
            changed.extend_from_slice(b"\r\n");
        }
    }
    changed.extend_from_slice(b"connection: close");
    changed
}
