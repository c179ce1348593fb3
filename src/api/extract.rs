//! From an HTTP request to what a handler takes: who, then how often, then what.

mod address;
mod arrival;
mod content;
mod identity;
mod pace;
mod shape;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hearth_services::accounts::uia::Attempt;
use http::HeaderMap;
use http::request::Parts;
use ruma::api::IncomingRequest;
use ruma::api::error::{DeserializationError, ErrorKind};
use serde_json::{Map, Value};

pub use self::address::Peer;
pub(crate) use self::address::of as address;
pub(crate) use self::content::Content;
pub(crate) use self::identity::{CallerExt, Identify, Who, token};
pub(crate) use self::shape::At;

use self::arrival::{Arrival, Head};
use crate::app::App;
use crate::error::{Error, Result};
use crate::route::Policy;

/// A request of the type that ruma has for it, and who makes it.
///
/// The caller's type is the one that the endpoint's authentication stands for, so that no handler can forget
/// or unwrap it.
pub(crate) struct Ruma<T: IncomingRequest<Authentication: Identify>> {
    /// The request.
    pub(crate) request: T,
    /// Who makes it.
    pub(crate) caller: <T::Authentication as Identify>::Caller,
}

/// A request that user-interactive authentication must let through.
pub(crate) struct Interactive<T: IncomingRequest<Authentication: Identify>> {
    /// The request, of the session's first body where this one has none.
    pub(crate) request: T,
    /// Who makes it.
    pub(crate) caller: <T::Authentication as Identify>::Caller,
    /// What the authentication is about.
    pub(crate) attempt: Attempt,
}

pub(crate) async fn ruma<T>(app: &App, policy: Policy, request: Request) -> Result<Ruma<T>>
where
    T: IncomingRequest,
    T::Authentication: Identify,
{
    let (arrival, caller) = Arrival::receive::<T::Authentication>(app, policy, request).await?;
    let request = parse(&arrival.parts, &arrival.arguments, &arrival.body)?;
    Ok(Ruma { request, caller })
}

/// A request as it arrived, and who makes it.
pub(crate) async fn arrived<A>(app: &App, policy: Policy, request: Request) -> Result<(Parts, A::Caller)>
where
    A: Identify,
{
    let (arrival, caller) = Arrival::receive::<A>(app, policy, request).await?;
    Ok((arrival.parts, caller))
}

/// A request whose body the handler takes as it comes; ruma's type has all else.
pub(crate) async fn streaming<T>(app: &App, policy: Policy, request: Request) -> Result<(Ruma<T>, Content)>
where
    T: IncomingRequest,
    T::Authentication: Identify,
{
    let (parts, body) = request.into_parts();
    let mut content = Content::new(app, &parts, body);
    match with_headers::<T>(app, policy, Request::from_parts(parts, Body::empty())).await {
        Ok((ruma, headers)) => {
            content.headers = headers;
            Ok((ruma, content))
        }
        Err(error) => {
            content.drain().await;
            Err(error)
        }
    }
}

/// A request without a body, and its headers.
pub(crate) async fn with_headers<T>(
    app: &App,
    policy: Policy,
    request: Request,
) -> Result<(Ruma<T>, HeaderMap)>
where
    T: IncomingRequest,
    T::Authentication: Identify,
{
    let (head, caller) = Head::receive::<T::Authentication>(app, policy, request).await?;
    let request = parse(&head.parts, &head.arguments, &Bytes::new())?;
    Ok((Ruma { request, caller }, head.parts.headers))
}

pub(crate) async fn interactive<T>(app: &App, policy: Policy, request: Request) -> Result<Interactive<T>>
where
    T: IncomingRequest,
    T::Authentication: Identify,
{
    let (arrival, caller) = Arrival::receive::<T::Authentication>(app, policy, request).await?;
    let body = match &arrival.body {
        body if body.is_empty() => Map::new(),
        body => serde_json::from_slice::<Map<String, Value>>(body).map_err(|error| bad_body(&error, body))?,
    };
    let attempt = app.uia.begin(arrival.route(), caller.user(), body).await?;
    let body = serde_json::to_vec(&attempt.body()).map_err(Error::internal)?;
    let request = parse(&arrival.parts, &arrival.arguments, &body.into())?;
    Ok(Interactive { request, caller, attempt })
}

fn parse<T: IncomingRequest>(parts: &Parts, arguments: &[String], body: &Bytes) -> Result<T> {
    // ruma takes an empty body for an empty object, but for the few requests that it reads by hand.
    let given = if body.is_empty() && parts.method == http::Method::POST { b"{}" } else { &body[..] };
    let request = http::Request::from_parts(parts.clone(), given);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    T::try_from_http_request_inner(request, &arguments).map_err(|error| match error {
        DeserializationError::Json(error) => bad_body(&error, body),
        error => bad_parameter(&error.to_string()),
    })
}

/// > `M_NOT_JSON`: the request did not contain valid JSON. `M_BAD_JSON`: it was malformed in some other way,
/// > e.g. missing required keys.
fn bad_body(error: &serde_json::Error, body: &[u8]) -> Error {
    let kind = if body.is_empty() || !error.is_data() { ErrorKind::NotJson } else { ErrorKind::BadJson };
    Error::bad_request(kind, format!("The body is not what this endpoint takes: {error}."))
}

/// What is wrong with the path or the query.
fn bad_parameter(error: &str) -> Error {
    let kind =
        if error.starts_with("missing field") { ErrorKind::MissingParam } else { ErrorKind::InvalidParam };
    Error::bad_request(kind, format!("The path or the query is not what this endpoint takes: {error}."))
}
