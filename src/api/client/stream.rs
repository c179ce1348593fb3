//! Streams: what changes, pushed over a WebSocket or as server-sent events. No released specification has them;
//! docs/websocket.md is theirs.

mod end;
mod events;
mod frame;
mod places;
mod reader;
mod socket;
mod verbs;
mod views;

use axum::Router;
use axum::extract::{FromRequestParts, Query, WebSocketUpgrade};
use axum::response::Response;
use hearth_services::accounts::{Caller, EventStream};
use http::header::{ACCEPT, CONNECTION, ORIGIN, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ruma::api::auth_scheme::AccessToken;
use ruma::api::error::{DeserializationError, Error as MatrixError, ErrorKind};
use ruma::api::path_builder::SinglePath;
use ruma::api::{IncomingRequest, Metadata};
use serde::Deserialize;
use serde_json::json;

pub use self::places::{StreamSettings, Streams};

use super::sync::SyncRequest;
use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{self, Identify, Ruma, Who};
use crate::reply::Json;
use crate::route::{Route, arriving, route};

const PATH: &str = "/_matrix/client/unstable/hearth/stream";

/// The path in the old draft's example.
const DRAFT_PATH: &str = "/_matrix/client/v2_alpha/stream";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The longest id of an event: a token and its seal.
const MAX_EVENT_ID: usize = 128;

/// The routes; `requests` answers what comes over a WebSocket.
pub(crate) fn routes(requests: &Router) -> Vec<Route> {
    let requests = requests.clone();
    let open = move |app, arrived| open(app, arrived, requests.clone());
    vec![
        arriving::<Opening, _, _>(Method::GET, PATH, open).also(DRAFT_PATH).in_line(Line::None),
        route(ticket),
    ]
}

/// `GET /_matrix/client/unstable/hearth/stream`
async fn open(app: App, (mut parts, opening): (Parts, Opening), requests: Router) -> Result<Response> {
    let address = extract::address(&app, &parts);
    check_origin(&app, &parts.headers)?;
    let wanted = query::<SyncRequest>(&parts)?;
    let place = app.streams.enter(address)?;
    if wants_events(&parts.headers) {
        let (caller, stream) = match opening {
            Opening::Nobody => return Err(Error::missing_token()),
            Opening::Caller(caller) => (caller, None),
            Opening::EventStream(caller, stream) => (caller, Some(stream)),
        };
        let wanted = match last_event(&parts.headers)? {
            Some(id) => wanted.starting_at(EventStream::token(id).to_owned()),
            None => wanted,
        };
        let reader = reader::Reader::open(app, caller, &wanted, place).await?;
        return Ok(events::respond(reader, stream));
    }
    let user_agent = parts.headers.get(USER_AGENT).and_then(|name| name.to_str().ok()).map(ToOwned::to_owned);
    if !is_handshake(&parts.headers) {
        return Ok(upgrade_required());
    }
    let upgrade = upgrade(&mut parts).await?;
    let reader = match opening {
        Opening::Nobody => None,
        Opening::Caller(caller) | Opening::EventStream(caller, _) => {
            Some(reader::Reader::open(app.clone(), caller, &wanted, place.clone()).await?)
        }
    };
    let held = app.streams.hold();
    let opened = socket::Opened { app, requests, address, user_agent, place };
    Ok(upgrade.on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket was not opened")).on_upgrade(
        move |socket| async move {
            socket::serve(socket, opened, reader).await;
            drop(held);
        },
    ))
}

/// `POST /_matrix/client/unstable/hearth/stream/ticket`
async fn ticket(app: App, Ruma { caller, .. }: Ruma<TicketRequest>) -> Result<Json> {
    let (ticket, lifetime) = app.accounts.new_stream_ticket(&caller).await?;
    Ok(Json::new(&json!({ "ticket": ticket, "expires_in_ms": lifetime.as_millis() })))
}

/// Who opens a stream.
enum Opening {
    /// They will say so in their first message.
    Nobody,
    /// By an access token, or by a ticket for a WebSocket.
    Caller(Caller),
    /// By the ticket of an event stream.
    EventStream(Caller, EventStream),
}

#[derive(Deserialize)]
struct TicketQuery {
    ticket: Option<String>,
}

impl Identify for Opening {
    type Caller = Self;

    async fn identify(app: &App, parts: &Parts) -> Result<Self> {
        if let Some(token) = extract::token(app, parts) {
            let caller = app.accounts.caller(&token).await?.ok_or_else(Error::unknown_token)?;
            return Ok(Self::Caller(caller));
        }
        let Some(ticket) = query::<TicketQuery>(parts)?.ticket else { return Ok(Self::Nobody) };
        let opening = if wants_events(&parts.headers) {
            let opened = app.accounts.open_event_stream(&ticket, last_event(&parts.headers)?).await?;
            opened.map(|(caller, stream)| Self::EventStream(caller, stream))
        } else {
            app.accounts.take_stream_ticket(&ticket).await?.map(Self::Caller)
        };
        opening.ok_or_else(Error::unknown_token)
    }
}

impl Who for Opening {
    fn account(&self) -> Option<&Caller> {
        match self {
            Self::Nobody => None,
            Self::Caller(caller) | Self::EventStream(caller, _) => Some(caller),
        }
    }
}

fn query<T: for<'de> Deserialize<'de>>(parts: &Parts) -> Result<T> {
    let read = Query::try_from_uri(&parts.uri);
    let refused = |error: axum::extract::rejection::QueryRejection| {
        Error::bad_request(ErrorKind::InvalidParam, format!("{}.", error.body_text()))
    };
    read.map(|Query(read)| read).map_err(refused)
}

/// Pages of other origins are refused where the configuration names those that may.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<()> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let allowed = &app.streams.settings().origins;
    if allowed.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes()) {
        return Ok(());
    }
    Err(Error::forbidden("Pages of this origin may not open streams here."))
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|accepted| {
        let essence = accepted.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    })
}

fn last_event(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) else { return Ok(None) };
    match id.to_str() {
        Ok(id) if id.len() <= MAX_EVENT_ID => Ok(Some(id)),
        _ => Err(Error::bad_request(ErrorKind::InvalidParam, "No event had such an id.")),
    }
}

/// Whether a request begins a WebSocket of the version that there is.
fn is_handshake(headers: &HeaderMap) -> bool {
    let is = |name: HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    is(UPGRADE, "websocket") && is(CONNECTION, "upgrade") && is(SEC_WEBSOCKET_VERSION, "13")
}

/// Says what a request must be that gets a stream here.
fn upgrade_required() -> Response {
    let message =
        "A stream is opened by a WebSocket handshake of version 13, or by accepting text/event-stream.";
    let refused = Error::new(StatusCode::UPGRADE_REQUIRED, ErrorKind::Unrecognized, message);
    let mut response = refused.into_response();
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

async fn upgrade(parts: &mut Parts) -> Result<WebSocketUpgrade> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    let upgrade = upgrade.map_err(|refused| {
        Error::bad_request(ErrorKind::InvalidParam, format!("{}.", refused.body_text()))
    })?;
    Ok(upgrade
        .protocols([socket::PROTOCOL])
        .read_buffer_size(socket::READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(socket::MAX_READ)
        .max_frame_size(socket::MAX_READ))
}

struct TicketRequest;

impl Metadata for TicketRequest {
    const METHOD: Method = Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new("/_matrix/client/unstable/hearth/stream/ticket");
}

impl IncomingRequest for TicketRequest {
    type EndpointError = MatrixError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stream_is_asked_for_by_its_media_type() {
        let accepting = |value: &'static str| {
            wants_events(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]))
        };
        assert!(accepting("text/event-stream") && accepting("text/html, Text/Event-Stream;q=0.9"));
        assert!(!accepting("*/*") && !accepting("application/json") && !wants_events(&HeaderMap::new()));
    }
}
