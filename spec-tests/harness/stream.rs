//! Streams, over a `WebSocket` and as server-sent events.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::user::User;

/// Where streams are.
pub const STREAM: &str = "/_matrix/client/unstable/hearth/stream";
/// How long a thing that must come may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the documentation says a server sends.
static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../docs/websocket.schema.json")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
});

/// An opening that was refused.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub body: Value,
}

/// A WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Came while something else was waited for.
    waiting: VecDeque<Value>,
    requests: u64,
    /// The code and reason that it was closed with.
    pub closed: Option<(u16, String)>,
}

/// An opening.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    pub base: &'a str,
    pub query: &'a str,
    pub headers: Vec<(&'static str, String)>,
}

impl<'a> Opening<'a> {
    /// Without anything that says who it is.
    pub fn new(base: &'a str, query: &'a str) -> Self {
        Self { base, query, headers: Vec::new() }
    }

    /// With a header more, or in the place of one.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Opens a WebSocket; an error where there is no server.
    pub async fn open(self) -> Result<Result<Socket, Refused>, Error> {
        let address = self.base.trim_start_matches("http://");
        let mut request = format!("ws://{address}{STREAM}?{}", self.query).into_client_request()?;
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).expect("a header");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let tcp = TcpStream::connect(address).await.map_err(Error::Io)?;
        match timeout(PATIENCE, tokio_tungstenite::client_async(request, tcp))
            .await
            .expect("an answer in time")
        {
            Ok((stream, _)) => Ok(Ok(Socket { stream, waiting: VecDeque::new(), requests: 0, closed: None })),
            Err(Error::Http(response)) => {
                let status = response.status().as_u16();
                let body = response.body().as_deref().unwrap_or_default();
                Ok(Err(Refused { status, body: serde_json::from_slice(body).unwrap_or_default() }))
            }
            Err(error) => Err(error),
        }
    }
}

impl User {
    /// Opens a WebSocket by header.
    pub async fn stream(&self, query: &str) -> Socket {
        self.opening(query).open().await.expect("a server").expect("a WebSocket")
    }

    /// An opening by header.
    pub fn opening<'a>(&'a self, query: &'a str) -> Opening<'a> {
        Opening::new(self.base(), query).with("authorization", &format!("Bearer {}", self.token))
    }

    /// A ticket for a stream.
    pub async fn ticket(&self) -> String {
        let reply = self.post(&format!("{STREAM}/ticket"), &json!({})).await.ok();
        assert_eq!(reply["expires_in_ms"], 60_000);
        reply["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// Opens an event stream by header.
    pub async fn events(&self, query: &str) -> Events {
        let request = super::hearth::http().get(format!("{}{STREAM}?{query}", self.base()));
        Events::open(request.bearer_auth(&self.token)).await.expect("a server").expect("an event stream")
    }
}

impl Socket {
    /// The next message, held to the schema; none when it was closed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if let Err(error) = SCHEMA.validate(&message) {
                        panic!("{error} in {message}");
                    }
                    return Some(message);
                }
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next message for which this holds; what else comes is kept for later. None when it was closed.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        if let Some(index) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(index);
        }
        let waiting = async {
            loop {
                let message = self.next().await?;
                if wanted(&message) {
                    return Some(message);
                }
                self.waiting.push_back(message);
            }
        };
        let found = timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("what was waited for never came; {:?} did", self.waiting))
    }

    /// The next update.
    pub async fn update(&mut self) -> Value {
        self.wait_for(is_update).await.expect("an update")
    }

    /// The next update within a time, if one comes.
    pub async fn update_within(&mut self, time: Duration) -> Option<Value> {
        if let Some(index) = self.waiting.iter().position(is_update) {
            return self.waiting.remove(index);
        }
        timeout(time, self.wait_for(is_update)).await.ok().flatten()
    }

    /// The next notice of a kind.
    pub async fn notice(&mut self, method: &str) -> Value {
        let found = self.wait_for(|message| message["method"] == method).await;
        found.unwrap_or_else(|| panic!("closed without {method}"))["params"].take()
    }

    /// Reads to the end: the last words, and the code and reason of the closing.
    pub async fn farewell(&mut self) -> (Value, u16, String) {
        let bye = self.notice("bye").await;
        assert_eq!(self.wait_for(|_| false).await, None);
        let (code, reason) = self.closed.clone().expect("a closing");
        (bye, code, reason)
    }

    /// Makes a request and waits for its answer.
    pub async fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.requests += 1;
        let id = format!("r{}", self.requests);
        self.ask_as(&id, method, params).await
    }

    /// The same with an id of one's own.
    pub async fn ask_as(&mut self, id: &str, method: &str, params: &Value) -> Value {
        self.say(&json!({"id": id, "method": method, "params": params}).to_string()).await;
        self.wait_for(|message| message["id"] == id).await.expect("an answer")
    }

    /// Sends any text.
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends any message. That it is closed already is found out by who reads.
    pub async fn send(&mut self, message: Message) {
        let _ = self.stream.send(message).await;
    }

    /// The connection below.
    pub fn into_inner(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// Whether a message is an update.
pub fn is_update(message: &Value) -> bool {
    message.get("next_batch").is_some() && message.get("id").is_none() && message.get("method").is_none()
}

/// An event of an event stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

/// An event stream.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    read: String,
    /// Lines that were heartbeats.
    pub beats: usize,
}

impl Events {
    /// Opens an event stream; an error where there is no server.
    pub async fn open(request: reqwest::RequestBuilder) -> Result<Result<Self, Refused>, reqwest::Error> {
        let response = request.header("accept", "text/event-stream").send().await?;
        if response.status() != 200 {
            let status = response.status().as_u16();
            return Ok(Err(Refused { status, body: response.json().await.unwrap_or_default() }));
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Ok(Self { response, read: String::new(), beats: 0 }))
    }

    /// The next event; none at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
                };
                let Some(name) = field("event") else {
                    self.beats += 1;
                    continue;
                };
                let data = serde_json::from_str(&field("data").expect("data")).expect("one line of JSON");
                return Some(Event { name, id: field("id"), data });
            }
            let piece = self.response.chunk().await.ok().flatten()?;
            self.read += str::from_utf8(&piece).expect("UTF-8");
        }
    }

    /// The next event of a kind; others are passed over. None at the end.
    pub async fn find(&mut self, name: &str) -> Option<Event> {
        let finding = async {
            loop {
                let event = self.next().await?;
                if event.name == name {
                    return Some(event);
                }
            }
        };
        timeout(PATIENCE, finding).await.unwrap_or_else(|_| panic!("no {name} came"))
    }
}
