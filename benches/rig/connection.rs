//! HTTP/1.1 over one connection that stays open: so little of a client that it costs next to nothing beside
//! the server it measures.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Result;

/// A reply that takes longer than this will not come.
const PATIENCE: Duration = Duration::from_mins(5);

/// An open connection, for one request after the other.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path and query, encoded.
    pub path: &'a str,
    /// The access token of who makes it.
    pub token: &'a str,
    /// Its body, JSON; empty for none.
    pub body: &'a str,
}

/// The head of a request whose body is sent piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its path and query, encoded.
    pub path: &'a str,
    /// The access token of who makes it.
    pub token: &'a str,
    /// What its body is.
    pub content_type: &'a str,
    /// How many bytes of body follow.
    pub length: u64,
}

/// A reply whose body is received piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct ReplyHead {
    /// Its status.
    pub status: u16,
    /// How many bytes of body follow.
    pub length: u64,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), head: String::new() })
    }

    /// Makes a request and waits for the whole reply.
    pub async fn request(&mut self, request: &Request<'_>) -> Result<Reply> {
        self.send(request).await?;
        timeout(PATIENCE, self.receive()).await.map_err(|_| "a reply did not come")?
    }

    /// Makes a request that must succeed; its body.
    pub async fn ask(&mut self, request: &Request<'_>) -> Result<Vec<u8>> {
        let reply = self.request(request).await?;
        if reply.status == 200 {
            return Ok(reply.body);
        }
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        Err(format!("{} {}: {} {said}", request.method, request.path, reply.status).into())
    }

    /// Makes a request, and leaves the reply to be waited for.
    pub async fn send(&mut self, request: &Request<'_>) -> Result<()> {
        let Request { method, path, token, body } = *request;
        let length = u64::try_from(body.len())?;
        let mut text = Head { method, path, token, content_type: "application/json", length }.text();
        text.push_str(body);
        Ok(self.stream.write_all(text.as_bytes()).await?)
    }

    /// Sends the head of a request.
    pub async fn send_head(&mut self, head: &Head<'_>) -> Result<()> {
        Ok(self.stream.write_all(head.text().as_bytes()).await?)
    }

    /// Sends the next bytes of the body that was announced.
    pub async fn send_piece(&mut self, piece: &[u8]) -> Result<()> {
        timeout(PATIENCE, self.stream.write_all(piece)).await.map_err(|_| "a body is not taken")??;
        Ok(())
    }

    /// Waits for the reply to a request that was sent.
    pub async fn receive(&mut self) -> Result<Reply> {
        let ReplyHead { status, length } = self.receive_head().await?;
        let mut body = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut body).await?;
        Ok(Reply { status, body })
    }

    /// Waits for the reply to a request that was sent, and leaves its body to be received.
    pub async fn receive_head(&mut self) -> Result<ReplyHead> {
        let status = self.line().await?.split(' ').nth(1).ok_or("a reply without a status")?.parse()?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
        Ok(ReplyHead { status, length: length.ok_or("a reply of unknown length")? })
    }

    /// Fills a piece with the next bytes of a body that was left to be received.
    pub async fn receive_piece(&mut self, piece: &mut [u8]) -> Result<()> {
        timeout(PATIENCE, self.stream.read_exact(piece)).await.map_err(|_| "a body does not come")??;
        Ok(())
    }

    async fn line(&mut self) -> Result<&str> {
        self.head.clear();
        if self.stream.read_line(&mut self.head).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(self.head.trim_end())
    }
}

impl Head<'_> {
    fn text(&self) -> String {
        let Self { method, path, token, content_type, length } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        )
    }
}
