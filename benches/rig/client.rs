//! A client that syncs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ruma::{OwnedUserId, RoomId};

use crate::{Connection, Person, Reply, Request, Result, Server};

/// How the server's metrics call a sync.
pub const ROUTE: &str = "/sync";

/// Somebody with a connection, and how far they have come.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    token: String,
    user: OwnedUserId,
    /// What the client says of their presence.
    presence: &'static str,
    since: Option<String>,
}

/// Messages sent by all clients together: each has a transaction id of its own.
static SENT: AtomicU64 = AtomicU64::new(0);

impl Client {
    /// Connects. Nobody hears of this client's presence.
    pub async fn open(server: &Server, person: &Person) -> Result<Self> {
        let connection = Connection::open(&server.address).await?;
        let (token, user) = (person.token.clone(), person.author.id.clone());
        Ok(Self { connection, token, user, presence: "offline", since: None })
    }

    /// The same client, online.
    #[must_use]
    pub fn online(self) -> Self {
        Self { presence: "online", ..self }
    }

    /// The same client, at the token of another.
    #[must_use]
    pub fn from_where(self, other: &Self) -> Self {
        Self { since: other.since.clone(), ..self }
    }

    /// How far they have come.
    #[must_use]
    pub fn since(&self) -> Option<&str> {
        self.since.as_deref()
    }

    /// Syncs on from the last time, and waits for at most so many milliseconds; how long it took, and how many
    /// bytes came.
    pub async fn sync(&mut self, timeout: u32) -> Result<(Duration, usize)> {
        let begun = Instant::now();
        self.ask(timeout).await?;
        let body = self.receive().await?;
        Ok((begun.elapsed(), body.len()))
    }

    /// Asks for what is new.
    pub async fn ask(&mut self, timeout: u32) -> Result<()> {
        let since = self.since.as_ref().map_or(String::new(), |since| format!("&since={since}"));
        let presence = self.presence;
        let path = format!("/_matrix/client/v3/sync?timeout={timeout}&set_presence={presence}{since}");
        let request = Request { method: "GET", path: &path, token: &self.token, body: "" };
        self.connection.send(&request).await
    }

    /// Waits for what is new.
    pub async fn receive(&mut self) -> Result<Vec<u8>> {
        let Reply { status, body } = self.connection.receive().await?;
        if status != 200 {
            return Err(format!("a sync: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        self.since = Some(text_of(&body, "next_batch")?.to_owned());
        Ok(body)
    }

    /// Says what they are to be taken for.
    pub async fn set_presence(&mut self, presence: &str) -> Result<()> {
        let path = format!("/_matrix/client/v3/presence/{}/status", self.user);
        let body = format!(r#"{{"presence":"{presence}"}}"#);
        let request = Request { method: "PUT", path: &path, token: &self.token, body: &body };
        self.connection.ask(&request).await.map(drop)
    }

    /// Sends a message; the event's id.
    pub async fn say(&mut self, room: &RoomId) -> Result<String> {
        let number = SENT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}");
        let body = r#"{"msgtype":"m.text","body":"Something new."}"#;
        let request = Request { method: "PUT", path: &path, token: &self.token, body };
        let reply = self.connection.ask(&request).await?;
        Ok(text_of(&reply, "event_id")?.to_owned())
    }
}

/// Whether a body holds a text.
#[must_use]
pub fn holds(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The value of a key whose value is a plain text; without reading all of the body, which costs more than
/// making it.
fn text_of<'a>(body: &'a [u8], key: &str) -> Result<&'a str> {
    let body = std::str::from_utf8(body)?;
    let rest = body.split_once(&format!("\"{key}\":\"")).ok_or_else(|| format!("no {key} in {body}"))?.1;
    Ok(rest.split('"').next().unwrap_or_default())
}
