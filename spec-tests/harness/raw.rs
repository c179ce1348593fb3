//! Requests as bytes on a connection: what no well-behaved client would send.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any reply takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// A request, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct RawRequest {
    pub method: String,
    /// The path with its query.
    pub target: Vec<u8>,
    pub token: Option<String>,
    /// Further headers, each a line without its end.
    pub headers: Vec<String>,
    /// The length that is announced, where it is not the body's.
    pub announced: Option<usize>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct RawReply {
    pub status: u16,
    /// The body as JSON; null where it is none.
    pub body: Value,
    pub text: String,
}

impl RawRequest {
    /// Sends it to the server at `base` over a connection of its own.
    pub async fn send(&self, base: &str) -> RawReply {
        match timeout(DEADLINE, self.exchange(base)).await {
            Ok(Ok(bytes)) => RawReply::parse(&bytes),
            Ok(Err(error)) => panic!("{self}: {error}"),
            Err(elapsed) => panic!("{self}: {elapsed}"),
        }
    }

    /// Sends it, says that nothing more will come, and returns what is said to that: nothing where the other end
    /// closes without a word.
    pub async fn send_and_end(&self, base: &str) -> Option<RawReply> {
        let exchange = async {
            let mut stream = self.open(base).await?;
            stream.shutdown().await?;
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).await.map(|_| reply)
        };
        let reply = timeout(DEADLINE, exchange).await.expect("the connection is closed in time");
        reply.ok().filter(|reply| !reply.is_empty()).map(|reply| RawReply::parse(&reply))
    }

    /// Sends it and breaks the connection.
    pub async fn break_off(&self, base: &str) -> std::io::Result<()> {
        let mut stream = self.open(base).await?;
        stream.flush().await
    }

    /// Whether an HTTP server may refuse it before it asks what it is for.
    pub fn is_no_http(&self) -> bool {
        let target = String::from_utf8_lossy(&self.target);
        target.len() > 8_000 || !self.method.chars().all(|c| c.is_ascii_uppercase())
    }

    /// A connection on which all of it has been sent.
    pub async fn open(&self, base: &str) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await?;
        let mut head = format!("{} ", self.method).into_bytes();
        head.extend(&self.target);
        head.extend(b" HTTP/1.1\r\nhost: hearth.test\r\nconnection: close\r\n");
        if let Some(token) = &self.token {
            head.extend(format!("authorization: Bearer {token}\r\n").as_bytes());
        }
        for line in &self.headers {
            head.extend(format!("{line}\r\n").as_bytes());
        }
        let length = self.announced.unwrap_or(self.body.len());
        head.extend(format!("content-length: {length}\r\n\r\n").as_bytes());
        stream.write_all(&head).await?;
        // A server that refuses early may close before it has read everything; its reply counts.
        let _ = stream.write_all(&self.body).await;
        Ok(stream)
    }

    async fn exchange(&self, base: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = self.open(base).await?;
        let mut reply = Vec::new();
        match stream.read_to_end(&mut reply).await {
            Err(error) if reply.is_empty() => Err(error),
            _ => Ok(reply),
        }
    }
}

impl std::fmt::Display for RawRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned();
        let token = if self.token.is_some() { "with" } else { "without" };
        write!(f, "{} {} {token} a token, {body:?}", self.method, String::from_utf8_lossy(&self.target))
    }
}

impl RawReply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let rest = bytes.get(end + 4..).unwrap_or_default();
        let chunked = head.contains("transfer-encoding: chunked");
        let body = if chunked { unchunk(rest) } else { rest.to_vec() };
        Self {
            status: status.unwrap_or_else(|| panic!("no HTTP reply: {head}")),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// The error code, empty where there is none.
    pub fn errcode(&self) -> &str {
        self.body["errcode"].as_str().unwrap_or_default()
    }
}

/// Joins the chunks of a chunked body.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16).unwrap_or(0);
        if length == 0 || rest.len() < end + 2 + length {
            break;
        }
        body.extend(&rest[end + 2..end + 2 + length]);
        rest = rest.get(end + 4 + length..).unwrap_or_default();
    }
    body
}
