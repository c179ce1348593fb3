//! A stream as server-sent events: for whoever has nothing but GET.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::{FutureExt, stream};
use hearth_services::accounts::{EventStream, KEPT_EVERY};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::end::End;
use super::reader::{Event, Reader};

/// Tells nginx to pass on what comes as it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a browser waits before it connects again, in milliseconds.
const RETRY: u32 = 2_000;

/// Answers with everything that changes.
pub(super) fn respond(reader: Reader, opened: Option<EventStream>) -> Response {
    let events = Events {
        beat: Instant::now() + reader.app.streams.settings().heartbeat,
        kept: Instant::now() + KEPT_EVERY,
        held: Some(reader.app.streams.hold()),
        ready: VecDeque::new(),
        reader,
        opened,
        stale: true,
    };
    let body = stream::unfold(events.begun(), |events| events.next().boxed());
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    response
}

struct Events {
    reader: Reader,
    /// The ticket that it was opened with.
    opened: Option<EventStream>,
    beat: Instant,
    /// When the ticket is to be put off next.
    kept: Instant,
    /// Written and not taken yet: never more than a few lines.
    ready: VecDeque<String>,
    /// Something may have changed that the reader was not told of.
    stale: bool,
    /// None when the stream ended.
    held: Option<tokio_util::task::task_tracker::TaskTrackerToken>,
}

impl Events {
    /// Begins with what the reader should know.
    fn begun(mut self) -> Self {
        let heartbeat = self.reader.app.streams.settings().heartbeat.as_millis();
        let hello = json!({
            "user_id": self.reader.caller.user_id,
            "device_id": self.reader.caller.device_id,
            "heartbeat_ms": u64::try_from(heartbeat).unwrap_or(u64::MAX),
        });
        self.ready.push_back(format!("retry: {RETRY}\n{}", event("hello", &hello)));
        self
    }

    /// The next bytes; none at the end.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some((Ok(text.into()), self));
            }
            self.held.as_ref()?;
            if let Err(end) = self.step().await {
                self.held = None;
                let mut bye = json!({ "reason": end.goodbye().await?.error });
                if let Some(token) = self.reader.token() {
                    bye["next_batch"] = token.into();
                }
                self.ready.push_back(event("bye", &bye));
            }
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        if std::mem::take(&mut self.stale) {
            if let Some(update) = self.reader.update().await? {
                let token = update.next_batch.to_string();
                let id = self.opened.as_ref().map_or_else(|| token.clone(), |opened| opened.event_id(&token));
                self.ready.push_back(format!("event: sync\nid: {id}\ndata: {}\n\n", one_line(update.json)));
            }
            return Ok(());
        }
        tokio::select! {
            event = self.reader.event() => match event {
                Event::Woken => self.stale = true,
                Event::Expired => self.reader.check().await?,
                Event::Stopping => return Err(End::Stopping),
            },
            () = sleep_until(self.beat) => {
                self.beat = Instant::now() + self.reader.app.streams.settings().heartbeat;
                self.ready.push_back(":\n\n".to_owned());
                // Nothing that concerned the reader happened, or they are told of it now.
                self.stale = true;
            }
            () = sleep_until(self.kept), if self.opened.is_some() => {
                self.kept = Instant::now() + KEPT_EVERY;
                if let Some(opened) = &self.opened {
                    let kept = self.reader.app.accounts.keep_event_stream(opened).await;
                    kept.map_err(crate::error::Error::from)?;
                }
            }
        }
        Ok(())
    }
}

/// JSON without line breaks: in strings there are none, and elsewhere they are white space. Few clients write any.
fn one_line(json: String) -> String {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json }
}

/// An event of one line of JSON.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
