//! Simplified sliding sync (MSC4186), in the form that was merged and in the one that clients shipped.

use std::time::Duration;

use axum::extract::Query;
use hearth_core::sliding_sync::{self, Form, RequestError};
use hearth_services::accounts::Caller;
use hearth_services::sync::SlidingRequest;
use ruma::api::auth_scheme::AccessToken;
use ruma::api::error::{DeserializationError, Error as MatrixError, ErrorKind};
use ruma::api::path_builder::SinglePath;
use ruma::api::{IncomingRequest, Metadata};
use serde::Deserialize;
use serde::de::Error as _;
use serde::de::value::Error as QueryError;

use super::presence::Stated;
use super::sync::{WAITING, limit_first, poll};
use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{CallerExt, Ruma};
use crate::reply::Json;
use crate::route::{Route, route};

/// A hundred lists and subscriptions, each with dozens of pairs of required state.
const MAX_BODY: usize = 512 * 1024;

/// `POST /_matrix/client/v4/sync`: everything is in the body.
struct StableRequest(String);

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`.
struct UnstableRequest {
    query: UnstableQuery,
    body: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UnstableQuery {
    pos: Option<String>,
    /// Milliseconds.
    timeout: u64,
    set_presence: Option<Stated>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(stable).body_limit(MAX_BODY).extra_time(WAITING).in_line(Line::None),
        route(unstable).body_limit(MAX_BODY).extra_time(WAITING).in_line(Line::None),
    ]
}

/// `POST /_matrix/client/v4/sync`
async fn stable(app: App, Ruma { request, caller }: Ruma<StableRequest>) -> Result<Json> {
    let asked = read(&request.0, Form::Stable, &caller)?;
    let set_presence = match asked.stable.set_presence.clone() {
        Some(name) => Some(Stated::try_from(name).map_err(|why| invalid(&why))?),
        None => None,
    };
    let pos = asked.stable.pos.clone();
    let timeout = Duration::from_millis(asked.stable.timeout.unwrap_or_default());
    answer(&app, &caller, set_presence, request_of(asked, Form::Stable, pos.as_deref(), timeout)?).await
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
async fn unstable(app: App, Ruma { request, caller }: Ruma<UnstableRequest>) -> Result<Json> {
    let UnstableRequest { query, body } = request;
    let asked = read(&body, Form::Unstable, &caller)?;
    let timeout = Duration::from_millis(query.timeout);
    let request = request_of(asked, Form::Unstable, query.pos.as_deref(), timeout)?;
    answer(&app, &caller, query.set_presence, request).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    set_presence: Option<Stated>,
    request: SlidingRequest,
) -> Result<Json> {
    let is_first = request.pos.is_none();
    if is_first {
        limit_first(app, caller)?;
    }
    let _poll = poll(app, caller, set_presence, is_first).await;
    Ok(Json::written(app.sync.sliding(&caller.viewer(), request).await?))
}

/// The request of a client that is pushed what changes: in the stable form, but that there is no waiting.
pub(super) fn pushed(body: &str, app: &App, caller: &Caller) -> Result<SlidingRequest> {
    let asked = read(body, Form::Stable, caller)?;
    let pos = asked.stable.pos.clone();
    let request = request_of(asked, Form::Stable, pos.as_deref(), Duration::ZERO)?;
    if request.pos.is_none() {
        limit_first(app, caller)?;
    }
    Ok(request)
}

/// Reads what is asked for.
fn read(body: &str, form: Form, caller: &Caller) -> Result<sliding_sync::Request> {
    let body = if body.is_empty() { "{}" } else { body };
    sliding_sync::Request::parse(body, form, &caller.user_id).map_err(|error| match error {
        RequestError::Shape(_) => Error::bad_request(ErrorKind::BadJson, format!("{error}.")),
        _ => invalid(&error),
    })
}

/// The request that begins at a position, if there is one. A first one waits for nothing.
fn request_of(
    asked: sliding_sync::Request,
    form: Form,
    pos: Option<&str>,
    timeout: Duration,
) -> Result<SlidingRequest> {
    let pos = match pos {
        Some(pos) => Some(pos.parse().map_err(|_| unknown_pos())?),
        None => None,
    };
    Ok(SlidingRequest { asked, form, pos, timeout })
}

fn unknown_pos() -> Error {
    hearth_services::sync::SyncError::UnknownPos.into()
}

fn invalid(why: &dyn std::fmt::Display) -> Error {
    Error::bad_request(ErrorKind::InvalidParam, format!("Sliding sync: {why}."))
}

impl Metadata for StableRequest {
    const METHOD: http::Method = http::Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new("/_matrix/client/v4/sync");
}

impl IncomingRequest for StableRequest {
    type EndpointError = MatrixError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self(text(request.body())?))
    }
}

impl Metadata for UnstableRequest {
    const METHOD: http::Method = http::Method::POST;
    const RATE_LIMITED: bool = true;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath =
        SinglePath::new("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync");
}

impl IncomingRequest for UnstableRequest {
    type EndpointError = MatrixError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        let query = Query::try_from_uri(request.uri());
        let query = query.map_err(|error| QueryError::custom(error.body_text()))?.0;
        Ok(Self { query, body: text(request.body())? })
    }
}

/// The body, which the extraction has found to be JSON already.
fn text(body: &[u8]) -> Result<String, DeserializationError> {
    String::from_utf8(body.to_vec()).map_err(|error| QueryError::custom(error).into())
}
