//! The baseline: a server that sends every text it is given to all who listen, and does nothing else.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::{get, post};
use hearth_bench::Result;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::broadcast::{Sender, channel};

/// What this program is told to be the baseline by.
pub(crate) const WORD: &str = "--broadcast";

/// Texts that may wait for a listener.
const WAITING: usize = 64;

/// The same program as a process of its own.
pub(crate) async fn start() -> Result<(Child, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.args([WORD, &address]).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((child, address))
}

/// Serves until it is killed, with as many threads as there are cores, as the server does.
pub(crate) async fn serve(address: &str) -> Result<()> {
    let address = address.to_owned();
    let (_, descriptors) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, descriptors, descriptors)?;
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let sender = Arc::new(channel(WAITING).0);
            let router =
                Router::new().route("/listen", get(listen)).route("/say", post(tell)).with_state(sender);
            axum::serve(TcpListener::bind(address).await?, router).await
        })
    });
    tokio::task::spawn_blocking(|| serving.join()).await?.map_err(|_| "the baseline panicked")??;
    Ok(())
}

async fn tell(State(sender): State<Arc<Sender<Utf8Bytes>>>, text: String) -> String {
    sender.send(text.into()).map_or(0, |listeners| listeners).to_string()
}

async fn listen(
    State(sender): State<Arc<Sender<Utf8Bytes>>>,
    upgrade: WebSocketUpgrade,
) -> axum::response::Response {
    let mut texts = sender.subscribe();
    upgrade.on_upgrade(async move |mut socket: WebSocket| {
        while let Ok(text) = texts.recv().await {
            if socket.send(Message::Text(text)).await.is_err() {
                break;
            }
        }
    })
}
