//! Asking a scanner of the operator's whether media are clean, before they are served for the first time.

use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::TryStreamExt;
use hearth_store::media::Blob;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::turns::Turns;
use super::{Bytestream, Media, MediaError};
use crate::clock;

/// How long it may take.
const TIME: Duration = Duration::from_mins(1);

/// Files that are scanned at a time.
const AT_ONCE: usize = 8;

/// What a scanner's reply means beside success.
const INFECTED: http::StatusCode = http::StatusCode::NOT_ACCEPTABLE;

/// What a command's exit means beside success.
const INFECTED_EXIT: i32 = 1;

/// What says whether media are clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// An address that takes the bytes by POST: 2xx says that they are clean, 406 that they are not.
    Url(String),
    /// A program that reads the bytes from its standard input: it exits with 0 where they are clean, with 1 where
    /// they are not.
    Command(Vec<String>),
}

/// Scans under way.
pub(super) struct Scans {
    scanner: Option<Scanner>,
    running: Turns<i64>,
    places: Semaphore,
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Scans {
    pub(super) fn new(scanner: Option<Scanner>) -> Self {
        Self { scanner, running: Turns::new(), places: Semaphore::new(AT_ONCE), client: OnceLock::new() }
    }

    /// Not the client of the world outside: a scanner is the operator's, and in a private network.
    fn client(&self) -> Result<&reqwest::Client, String> {
        let made = self
            .client
            .get_or_init(|| reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string()));
        made.as_ref().map_err(Clone::clone)
    }
}

impl Media {
    /// Refuses what the scanner finds infected, or cannot say anything about.
    pub(super) async fn must_be_clean(&self, blob: &Blob) -> Result<(), MediaError> {
        let Some(scanner) = &self.inner.scans.scanner else { return Ok(()) };
        if blob.scanned {
            return Ok(());
        }
        // One asks, the others wait for that.
        let _turn = self.inner.scans.running.at(blob.nid).await;
        let store = &self.inner.store;
        let now_known = store.blob(blob.nid).await?.ok_or(MediaError::Absent)?;
        let infected = if now_known.scanned {
            now_known.infected
        } else {
            // It is never closed.
            let _place = self.inner.scans.places.acquire().await.map_err(|_| MediaError::Busy)?;
            let infected = self.scan(scanner, blob).await?;
            store.blob_is_scanned(blob.nid, infected, clock::now_ms()).await?;
            infected
        };
        if infected { Err(MediaError::Absent) } else { Ok(()) }
    }

    /// Whether the scanner finds it infected.
    async fn scan(&self, scanner: &Scanner, blob: &Blob) -> Result<bool, MediaError> {
        let bytes = self.inner.depot.read(&blob.object, 0..blob.size).await?;
        let asked = async {
            match scanner {
                Scanner::Url(url) => ask(self.inner.scans.client()?, url, bytes, blob.size).await,
                Scanner::Command(command) => run(command, bytes).await,
            }
        };
        let asked = tokio::time::timeout(TIME, asked).await;
        asked.unwrap_or_else(|_| Err("it took too long".to_owned())).map_err(MediaError::Scanner)
    }
}

async fn ask(client: &reqwest::Client, url: &str, bytes: Bytestream, size: u64) -> Result<bool, String> {
    let request = client
        .post(url)
        .header(http::header::CONTENT_TYPE, super::kind::BYTES)
        .header(http::header::CONTENT_LENGTH, size)
        .body(reqwest::Body::wrap_stream(bytes));
    let status = request.send().await.map_err(|error| error.to_string())?.status();
    match status {
        INFECTED => Ok(true),
        status if status.is_success() => Ok(false),
        status => Err(format!("it answered {status}")),
    }
}

async fn run(command: &[String], mut bytes: Bytestream) -> Result<bool, String> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        while let Some(piece) = bytes.try_next().await.map_err(|error| error.to_string())? {
            // Whoever has seen enough reads no more.
            if input.write_all(&piece).await.is_err() {
                break;
            }
        }
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    match status.code() {
        Some(0) => Ok(false),
        Some(INFECTED_EXIT) => Ok(true),
        _ => Err(format!("{program} ended with {status}")),
    }
}
