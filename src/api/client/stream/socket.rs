//! A stream over a WebSocket.
//!
//! One task does everything in turn: it answers a request, or tells what changed, or waits. What it is sent
//! meanwhile waits in the connection, and what it sends goes only as fast as the client takes it.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use axum::response::Response;
use futures_util::FutureExt;
use hearth_services::accounts::Caller;
use hearth_services::rate::Rate;
use http::{HeaderValue, Method, StatusCode};
use ruma::api::error::ErrorKind;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt;
use tungstenite::error::CapacityError;

use super::end::End;
use super::frame::{self, Asked};
use super::places::Place;
use super::reader::{Event, Reader};
use super::verbs;
use crate::app::App;
use crate::client::presence::Stated;
use crate::client::sync::{SyncRequest, parse_token};
use crate::error::{Error, Result, render};
use crate::extract::Peer;
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::Admits;

/// The only encoding there is.
pub(super) const PROTOCOL: &str = "m.json";

/// The largest message of a client: an event of the largest size, with the white space and escapes of a wasteful
/// client, as over HTTP.
pub(super) const MAX_MESSAGE: usize = 260 * 1024;

/// What is read of a larger one, so that the client has sent all of it when it hears why the stream ends, and does
/// not mistake it for a broken connection.
pub(super) const MAX_READ: usize = 4 * MAX_MESSAGE;

/// What is read at a time. Most messages are short, and each connection has a buffer of this size.
pub(super) const READ_BUFFER: usize = 4 * 1024;

/// How long the first message may take, where it says who sends it.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// How long a client may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// Messages that no endpoint limits.
const MESSAGES: Rate = Rate { count: 20, per: Duration::from_secs(1), burst: 200 };

/// A client that goes on at more than so many times that rate is not to be reasoned with,
const FOLD: u32 = 10;

/// once so many were refused.
const BORNE: u32 = 2_000;

/// What a connection was opened with.
pub(super) struct Opened {
    pub(super) app: App,
    /// What answers requests.
    pub(super) requests: Router,
    pub(super) address: Option<IpAddr>,
    pub(super) user_agent: Option<String>,
    pub(super) place: Place,
}

/// Serves a connection to its end.
pub(super) async fn serve(socket: WebSocket, opened: Opened, reader: Option<Reader>) {
    let mut channel = Channel { socket, opened, heard: Instant::now(), excess: Excess::new(), stale: true };
    let ended = match reader {
        Some(reader) => channel.run(reader).boxed().await,
        None => channel.introduce().boxed().await,
    };
    channel.close(ended).await;
}

/// How a stream ended, and the token to go on from.
type Ended = (End, Option<String>);

struct Channel {
    socket: WebSocket,
    opened: Opened,
    /// When the client was last heard of.
    heard: Instant,
    excess: Excess,
    /// Something may have changed that the reader was not told of.
    stale: bool,
}

impl Channel {
    /// Waits for the message that says who this is.
    async fn introduce(&mut self) -> Ended {
        match self.first_message().await {
            Ok((reader, answer)) => self.greet(reader, answer).boxed().await,
            Err(end) => (end, None),
        }
    }

    async fn first_message(&mut self) -> Result<(Reader, (Option<String>, Value)), End> {
        let deadline = Instant::now() + INTRODUCTION;
        loop {
            let message = tokio::select! {
                () = self.opened.app.sync.stopped() => return Err(End::Stopping),
                () = sleep_until(deadline) => return Err(Error::missing_token().into()),
                message = self.socket.recv() => received(message)?,
            };
            if let Message::Text(text) = message {
                return self.admit(text).boxed().await;
            }
            self.excess.bear()?;
        }
    }

    async fn admit(&mut self, text: Utf8Bytes) -> Result<(Reader, (Option<String>, Value)), End> {
        let asked = Asked::parse(&text)?;
        if asked.method != "auth" {
            return Err(Error::missing_token().into());
        }
        let app = self.opened.app.clone();
        let caller = app.accounts.caller(asked.text("access_token")?).await.map_err(Error::from)?;
        let caller = caller.ok_or_else(Error::unknown_token)?;
        Admits::Suspended.check(&caller)?;
        app.limits.check_user(Family::Other, Some(caller.user), self.opened.address)?;
        self.note_use(&caller);
        let wanted = wanted(asked.params)?;
        let reader = Reader::open(app, caller, &wanted, self.opened.place.clone()).await?;
        let result = self.welcome(&reader);
        Ok((reader, (asked.id, result)))
    }

    /// Answers the first message, and serves whoever sent it.
    async fn greet(&mut self, mut reader: Reader, (id, result): (Option<String>, Value)) -> Ended {
        let answer = frame::answer(id.as_deref(), render(Json::new(&result))).await;
        match self.send(&mut reader, Message::Text(answer.into())).await {
            Ok(()) => self.serve(reader).await,
            Err(end) => (end, reader.token()),
        }
    }

    /// Greets and serves whoever opened the connection.
    async fn run(&mut self, mut reader: Reader) -> Ended {
        let hello = frame::notice("hello", &self.welcome(&reader));
        match self.send(&mut reader, Message::Text(hello.into())).await {
            Ok(()) => self.serve(reader).await,
            Err(end) => (end, reader.token()),
        }
    }

    fn welcome(&self, reader: &Reader) -> Value {
        json!({
            "user_id": reader.caller.user_id,
            "device_id": reader.caller.device_id,
            "heartbeat_ms": u64::try_from(self.heartbeat().as_millis()).unwrap_or(u64::MAX),
            "max_message_bytes": MAX_MESSAGE,
        })
    }

    fn heartbeat(&self) -> Duration {
        self.opened.app.streams.settings().heartbeat
    }

    async fn serve(&mut self, mut reader: Reader) -> Ended {
        let mut beat = Instant::now() + self.heartbeat();
        loop {
            if let Err(end) = self.step(&mut reader, &mut beat).await {
                return (end, reader.token());
            }
        }
    }

    /// Does the next thing that there is to do.
    async fn step(&mut self, reader: &mut Reader, beat: &mut Instant) -> Result<(), End> {
        if std::mem::take(&mut self.stale) {
            reader.views.are_due();
            if let Some(update) = reader.update().boxed().await? {
                return self.send(reader, Message::Text(update.json.into())).await;
            }
        }
        if let Some(notice) = reader.views.next().boxed().await? {
            return self.send(reader, Message::Text(notice.into())).await;
        }
        // By chance, where several are ready: whoever is told something all the time is listened to as well.
        tokio::select! {
            event = reader.event() => self.heed(reader, event).await,
            message = self.socket.recv() => {
                let message = received(message)?;
                self.heard = Instant::now();
                self.take(reader, message).boxed().await
            }
            () = sleep_until(*beat) => {
                *beat = Instant::now() + self.heartbeat();
                self.beat(reader).boxed().await
            }
        }
    }

    async fn heed(&mut self, reader: &Reader, event: Event) -> Result<(), End> {
        match event {
            Event::Woken => self.stale = true,
            // Says how the token ended.
            Event::Expired => reader.check().await?,
            Event::Stopping => return Err(End::Stopping),
        }
        Ok(())
    }

    /// Tells the client that the server is there, and asks whether it is itself.
    async fn beat(&mut self, reader: &mut Reader) -> Result<(), End> {
        if self.heard.elapsed() >= 2 * self.heartbeat() {
            return Err(End::Silent);
        }
        // Nothing that concerned the reader happened, so this moves their token on.
        if let Some(update) = reader.update().await? {
            self.send(reader, Message::Text(update.json.into())).await?;
        }
        self.send(reader, Message::Ping(axum::body::Bytes::new())).await?;
        let ping = frame::notice("ping", &json!({ "next_batch": reader.token() }));
        self.send(reader, Message::Text(ping.into())).await
    }

    /// Does what a message asks for.
    async fn take(&mut self, reader: &mut Reader, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(End::Malformed(1003, "A message must be text.")),
            Message::Close(_) => return Err(End::Gone),
            // Pings are answered where they are read.
            Message::Ping(_) | Message::Pong(_) => return self.excess.bear(),
        };
        let (id, response) = match Asked::parse(&text) {
            Ok(asked) => {
                let answered = self.answer(reader, &asked).await?;
                (asked.id, answered)
            }
            Err(error) => {
                self.excess.bear()?;
                (None, error.into_response())
            }
        };
        let answer = frame::answer(id.as_deref(), response).await;
        self.send(reader, Message::Text(answer.into())).await
    }

    async fn answer(&mut self, reader: &mut Reader, asked: &Asked) -> Result<Response, End> {
        if let Some(request) = verbs::request(asked, &reader.caller.user_id) {
            let response = match request {
                Ok(request) => self.ask(reader, request).await,
                Err(error) => {
                    self.excess.bear()?;
                    error.into_response()
                }
            };
            if asked.method == "presence" && response.status() == StatusCode::OK {
                appear(reader, &asked.params);
            }
            return Ok(response);
        }
        if let ControlFlow::Break(wait) = self.excess.count()? {
            return Ok(Error::limit_exceeded(wait).into_response());
        }
        let done = self.arrange(reader, asked).await;
        Ok(done.map_or_else(Error::into_response, |()| render(Json::new(&json!({})))))
    }

    /// Does what concerns the stream itself.
    async fn arrange(&mut self, reader: &mut Reader, asked: &Asked) -> Result<()> {
        match &*asked.method {
            "ping" => Ok(()),
            "ack" => acknowledge(reader, asked.text("next_batch")?),
            "auth" => {
                reader.renew(asked.text("access_token")?).await?;
                self.note_use(&reader.caller);
                Ok(())
            }
            "view" => reader.views.open(&reader.app, &reader.caller, &asked.params).await,
            "end_view" => {
                reader.views.close(asked.params.get("conn_id").and_then(Value::as_str).unwrap_or_default())
            }
            "filter" => {
                let filter = inline(asked.params.get("filter")).unwrap_or_default();
                let filter = match &*filter {
                    "" => hearth_services::sync::v2::no_filter(),
                    filter => self.opened.app.sync.filter(reader.caller.user, filter).await?,
                };
                reader.follow.set_filter(filter);
                Ok(())
            }
            _ => Err(Error::bad_request(ErrorKind::Unrecognized, "There is no such method.")),
        }
    }

    /// Makes a request as over HTTP.
    async fn ask(&mut self, reader: &Reader, mut request: http::Request<Body>) -> Response {
        debug_assert_ne!(request.method(), Method::GET);
        request.extensions_mut().insert(reader.caller.token_hash);
        request.extensions_mut().insert(Peer(self.opened.address));
        if let Some(agent) =
            self.opened.user_agent.as_deref().and_then(|name| HeaderValue::from_str(name).ok())
        {
            request.headers_mut().insert(http::header::USER_AGENT, agent);
        }
        self.opened.requests.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    fn note_use(&self, caller: &Caller) {
        self.opened.app.accounts.note_use(caller, self.opened.address, self.opened.user_agent.as_deref());
    }

    /// Sends a message as soon as the client takes it. Whoever's session ends meanwhile is not told of it.
    async fn send(&mut self, reader: &mut Reader, message: Message) -> Result<(), End> {
        let started = Instant::now();
        let mut sending = std::pin::pin!(self.socket.send(message));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => {
                    if started.elapsed() > Duration::from_secs(1) {
                        // It took what was waiting for it.
                        self.heard = Instant::now();
                    }
                    return sent.map_err(|_| End::Gone);
                }
                event = reader.event() => {
                    self.stale = true;
                    if event == Event::Stopping || reader.check().await.is_err() {
                        return Err(End::Gone);
                    }
                }
            }
        }
    }

    /// Says why the stream ends and from where it can go on, and waits for the client to have heard it.
    async fn close(mut self, (end, token): Ended) {
        let Some(goodbye) = end.goodbye().await else { return };
        let reason = goodbye.errcode().into();
        let code = goodbye.code;
        let mut params = json!({ "reason": goodbye.error });
        if let Some(token) = token {
            params["next_batch"] = token.into();
        }
        let farewell = async {
            self.socket.send(Message::Text(frame::notice("bye", &params).into())).await?;
            self.socket.send(Message::Close(Some(CloseFrame { code, reason }))).await?;
            // The connection ends when both have closed it.
            while let Some(message) = self.socket.recv().await {
                message?;
            }
            Ok::<_, axum::Error>(())
        };
        // Who is gone hears nothing.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

const TOO_LARGE: &str = "The message is too large.";

/// What came, or why nothing will.
fn received(message: Option<Result<Message, axum::Error>>) -> Result<Message, End> {
    let error = match message {
        Some(Ok(Message::Text(text))) if text.len() > MAX_MESSAGE => {
            return Err(End::Malformed(1009, TOO_LARGE));
        }
        Some(Ok(message)) => return Ok(message),
        Some(Err(error)) => error.into_inner(),
        None => return Err(End::Gone),
    };
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. })) => {
            Err(End::Malformed(1009, TOO_LARGE))
        }
        Some(tungstenite::Error::Utf8(_)) => Err(End::Malformed(1007, "A message must be UTF-8.")),
        Some(tungstenite::Error::Protocol(error))
            if *error != tungstenite::error::ProtocolError::ResetWithoutClosingHandshake =>
        {
            Err(End::Malformed(1002, "This is not the WebSocket protocol."))
        }
        _ => Err(End::Gone),
    }
}

/// What a first message asks for, apart from who it says it is.
fn wanted(mut params: Map<String, Value>) -> Result<SyncRequest> {
    if let Some(filter) = inline(params.get("filter")) {
        params.insert("filter".to_owned(), filter.into());
    }
    serde_json::from_value(Value::Object(params)).map_err(|error| {
        Error::bad_request(ErrorKind::BadJson, format!("This is not what a stream takes: {error}."))
    })
}

/// A filter, written in place or by its id.
fn inline(filter: Option<&Value>) -> Option<String> {
    match filter? {
        Value::String(id) => Some(id.clone()),
        definition => Some(definition.to_string()),
    }
}

/// A client has dealt with everything up to a token. It frees what is kept until then.
fn acknowledge(reader: &Reader, token: &str) -> Result<()> {
    let token = parse_token(token)?;
    if reader.follow.token().is_none_or(|told| token > told) {
        return Err(Error::bad_request(ErrorKind::InvalidParam, "This stream has not come to that token."));
    }
    Ok(())
}

/// The device is from now on taken for what its user said.
fn appear(reader: &mut Reader, params: &Map<String, Value>) {
    let stated = params.get("presence").cloned().map(serde_json::from_value::<Stated>);
    if let Some(Ok(stated)) = stated {
        reader.set_presence(stated.into());
    }
}

/// Messages beyond what is borne.
struct Excess {
    /// When the bucket will be empty.
    full_until: Instant,
    refused: u32,
}

impl Excess {
    fn new() -> Self {
        Self { full_until: Instant::now(), refused: 0 }
    }

    /// Counts a message that is let pass.
    fn bear(&mut self) -> Result<(), End> {
        self.count().map(|_| ())
    }

    /// Counts a message. Says for how long to send no more; ends the stream of who does not listen.
    fn count(&mut self) -> Result<ControlFlow<Duration>, End> {
        let now = Instant::now();
        let full_until = self.full_until.max(now) + MESSAGES.every();
        let wait = full_until.duration_since(now).saturating_sub(MESSAGES.depth());
        if wait.is_zero() {
            self.full_until = full_until;
            self.refused = self.refused.saturating_sub(FOLD);
            return Ok(ControlFlow::Continue(()));
        }
        self.refused += 1;
        if self.refused > BORNE { Err(End::Flooding) } else { Ok(ControlFlow::Break(wait)) }
    }
}
