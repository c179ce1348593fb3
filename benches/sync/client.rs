//! A client that syncs.

use std::time::{Duration, Instant};

use hearth_bench::{Connection, Person, Reply, Request, Result, Server};
use ruma::RoomId;

/// How the server's metrics call it.
pub(crate) const ROUTE: &str = "/sync";

/// Somebody with a connection, and how far they have come.
pub(crate) struct Client {
    connection: Connection,
    token: String,
    since: Option<String>,
    sent: u64,
}

impl Client {
    pub(crate) async fn open(server: &Server, person: &Person) -> Result<Self> {
        let connection = Connection::open(&server.address).await?;
        Ok(Self { connection, token: person.token.clone(), since: None, sent: 0 })
    }

    /// Syncs on from the last time, and waits for at most so many milliseconds; how long it took, and how many
    /// bytes came.
    pub(crate) async fn sync(&mut self, timeout: u32) -> Result<(Duration, usize)> {
        let begun = Instant::now();
        self.ask(timeout).await?;
        let body = self.receive().await?;
        Ok((begun.elapsed(), body.len()))
    }

    /// Asks for what is new.
    pub(crate) async fn ask(&mut self, timeout: u32) -> Result<()> {
        let since = self.since.as_ref().map_or(String::new(), |since| format!("&since={since}"));
        let path = format!("/_matrix/client/v3/sync?timeout={timeout}{since}");
        let request = Request { method: "GET", path: &path, token: &self.token, body: "" };
        self.connection.send(&request).await
    }

    /// Waits for what is new.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>> {
        let Reply { status, body } = self.connection.receive().await?;
        if status != 200 {
            return Err(format!("a sync: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        self.since = Some(text_of(&body, "next_batch")?.to_owned());
        Ok(body)
    }

    /// Sends a message; the event's id.
    pub(crate) async fn say(&mut self, room: &RoomId) -> Result<String> {
        self.sent += 1;
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", self.sent);
        let body = r#"{"msgtype":"m.text","body":"Something new."}"#;
        let request = Request { method: "PUT", path: &path, token: &self.token, body };
        let reply = self.connection.ask(&request).await?;
        Ok(text_of(&reply, "event_id")?.to_owned())
    }
}

/// Whether a body holds a text.
pub(crate) fn holds(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The value of a key whose value is a plain text; without reading all of the body, which costs more than
/// making it.
fn text_of<'a>(body: &'a [u8], key: &str) -> Result<&'a str> {
    let body = std::str::from_utf8(body)?;
    let rest = body.split_once(&format!("\"{key}\":\"")).ok_or_else(|| format!("no {key} in {body}"))?.1;
    Ok(rest.split('"').next().unwrap_or_default())
}
