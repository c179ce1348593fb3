//! A client that uploads and downloads.

use std::time::Duration;

use hearth_bench::{Connection, Head, Request, Result, SERVER_NAME};
use tokio::time::{Instant, sleep_until};

use crate::content::{Content, Workbench};

/// Somebody with a connection that stays open.
pub(crate) struct Courier {
    connection: Connection,
    token: String,
    workbench: Workbench,
    /// Bytes a second that it takes no more than.
    pace: Option<u64>,
}

impl Courier {
    /// Connects. Without a pace it is as fast as it can be.
    pub(crate) async fn open(address: &str, token: &str, pace: Option<u64>) -> Result<Self> {
        let connection = Connection::open(address).await?;
        Ok(Self { connection, token: token.to_owned(), workbench: Workbench::new(), pace })
    }

    /// So many, by turns for these people.
    pub(crate) async fn several(address: &str, tokens: &[String], count: usize) -> Result<Vec<Self>> {
        let mut couriers = Vec::with_capacity(count);
        for token in tokens.iter().cycle().take(count) {
            couriers.push(Self::open(address, token, None).await?);
        }
        Ok(couriers)
    }

    /// Uploads a file; its media id.
    pub(crate) async fn upload(&mut self, content: Content) -> Result<String> {
        self.begin_upload("application/octet-stream", content.size).await?;
        let begun = Instant::now();
        for offset in content.offsets() {
            self.wait(begun, offset).await;
            self.connection.send_piece(self.workbench.make(content, offset)).await?;
        }
        self.end_upload().await
    }

    /// Uploads bytes; their media id.
    pub(crate) async fn upload_bytes(&mut self, content_type: &str, bytes: &[u8]) -> Result<String> {
        self.begin_upload(content_type, u64::try_from(bytes.len())?).await?;
        self.connection.send_piece(bytes).await?;
        self.end_upload().await
    }

    /// Downloads a medium, which must be this file.
    pub(crate) async fn download(&mut self, id: &str, content: Content) -> Result<()> {
        let path = format!("/_matrix/client/v1/media/download/{SERVER_NAME}/{id}");
        self.get(&path, content).await
    }

    /// Gets what is under a path, which must be this file.
    pub(crate) async fn get(&mut self, path: &str, content: Content) -> Result<()> {
        self.connection.send(&Request { method: "GET", path, token: &self.token, body: "" }).await?;
        let head = self.connection.receive_head().await?;
        if head.status != 200 || head.length != content.size {
            return Err(format!("{path}: {} and {} bytes", head.status, head.length).into());
        }
        let begun = Instant::now();
        for offset in content.offsets() {
            self.wait(begun, offset).await;
            self.connection.receive_piece(self.workbench.room(content, offset)).await?;
            self.workbench.check(content, offset)?;
        }
        Ok(())
    }

    /// What is under a path.
    pub(crate) async fn fetch(&mut self, path: &str) -> Result<Vec<u8>> {
        self.connection.ask(&Request { method: "GET", path, token: &self.token, body: "" }).await
    }

    async fn begin_upload(&mut self, content_type: &str, length: u64) -> Result<()> {
        let path = "/_matrix/media/v3/upload";
        let head = Head { method: "POST", path, token: &self.token, content_type, length };
        self.connection.send_head(&head).await
    }

    async fn end_upload(&mut self) -> Result<String> {
        let reply = self.connection.receive().await?;
        let text = String::from_utf8(reply.body)?;
        let id =
            text.split_once(&format!("mxc://{SERVER_NAME}/")).and_then(|(_, rest)| rest.split('"').next());
        let id = id.filter(|_| reply.status == 200);
        Ok(id.ok_or_else(|| format!("an upload: {} {text}", reply.status))?.to_owned())
    }

    /// Waits until so many bytes may have been moved.
    async fn wait(&self, begun: Instant, moved: u64) {
        if let Some(pace) = self.pace {
            sleep_until(begun + Duration::from_micros(moved.saturating_mul(1_000_000) / pace.max(1))).await;
        }
    }
}
