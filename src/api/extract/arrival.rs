//! Receiving a request: its path, its caller, its body.

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use bytes::{Bytes, BytesMut};
use hearth_core::canonical_json::{self, JsonError};
use http::request::Parts;
use http::{Method, StatusCode};
use ruma::api::error::ErrorKind;

use super::address;
use super::identity::{Identify, Who};
use super::pace::Pace;
use crate::admission::Turn;
use crate::app::App;
use crate::error::{Error, Result};
use crate::route::{Body as Expected, Policy};

/// Of a body that is too large, so many bytes more are read and thrown away, so that the client has sent all of
/// it when the answer comes and does not mistake it for a broken connection. A proxy sends whatever it was sent.
pub(super) const DRAINED: usize = 64 * 1024 * 1024;

/// A request whose caller is known, and whose body is still to come.
pub(super) struct Head {
    /// Method, address and headers.
    pub(super) parts: Parts,
    /// The arguments in the path, decoded.
    pub(super) arguments: Vec<String>,
    /// The body.
    pub(super) body: Body,
}

/// A request whose caller is known and whose body is all there.
pub(super) struct Arrival {
    /// Method, address and headers.
    pub(super) parts: Parts,
    /// The arguments in the path, decoded.
    pub(super) arguments: Vec<String>,
    /// The body; empty for methods that have none.
    pub(super) body: Bytes,
}

impl Head {
    /// Receives what comes before the body, in the order of what costs least: address, caller, user, path.
    pub(super) async fn receive<A: Identify>(
        app: &App,
        policy: Policy,
        request: Request,
    ) -> Result<(Self, A::Caller)> {
        let (mut parts, body) = request.into_parts();
        let address = address::of(app, &parts);
        app.limits.check_address(policy.family, address)?;
        if policy.fresh {
            if !app.log.is_current() {
                return Err(Error::out_of_touch());
            }
            app.log.catch_up().await?;
        }
        let caller = A::identify(app, &parts).await?;
        if let Some(caller) = caller.account() {
            policy.admits.check(caller)?;
        }
        app.limits.check_user(policy.family, caller.user(), address)?;
        if let Some(caller) = caller.account() {
            let user_agent = parts.headers.get(http::header::USER_AGENT).and_then(|name| name.to_str().ok());
            app.accounts.note_use(caller, address, user_agent);
            if policy.activity {
                app.presences.act(caller);
            }
        }
        let arguments = arguments(&mut parts).await?;
        Ok((Self { parts, arguments, body }, caller))
    }
}

impl Arrival {
    /// Receives a request: what comes before the body, then the body.
    pub(super) async fn receive<A: Identify>(
        app: &App,
        policy: Policy,
        request: Request,
    ) -> Result<(Self, A::Caller)> {
        let (Head { parts, arguments, body }, caller) = Head::receive::<A>(app, policy, request).await?;
        let body = match parts.method {
            // Deleting a device takes a password.
            Method::POST | Method::PUT | Method::DELETE => read(app, policy, &parts, body).await?,
            _ => Bytes::new(),
        };
        Ok((Self { parts, arguments, body }, caller))
    }

    /// The method and the path as the client wrote it: what a session of authentication is for.
    pub(super) fn route(&self) -> String {
        let path = self.parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        format!("{} {path} {}", self.parts.method, self.arguments.join(" "))
    }
}

/// The arguments in the path. What the database cannot hold is refused here, for the query as well.
async fn arguments(parts: &mut Parts) -> Result<Vec<String>> {
    let invalid = |message: &'static str| Error::bad_request(ErrorKind::InvalidParam, message);
    let params = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| invalid("The path is not UTF-8 when it is decoded."))?;
    let arguments: Vec<String> = params.iter().map(|(_, value)| value.to_owned()).collect();
    let query = parts.uri.query().unwrap_or_default();
    if arguments.iter().any(|argument| argument.contains('\0')) || query.contains("%00") {
        return Err(invalid("The path or the query holds the character U+0000."));
    }
    Ok(arguments)
}

async fn read(app: &App, policy: Policy, parts: &Parts, body: Body) -> Result<Bytes> {
    let pace = Pace::new(app.settings.stall_timeout, parts.extensions.get::<Turn>().cloned());
    let body = collect(body, policy.body_limit, pace).await?;
    let is_json = match policy.body {
        Expected::Json => true,
        Expected::JsonOrNothing => !body.is_empty(),
        Expected::Anything => false,
    };
    if is_json {
        canonical_json::check_object(&body).map_err(|error| bad_json(&error))?;
    }
    Ok(body)
}

async fn collect(mut body: Body, limit: usize, mut pace: Pace) -> Result<Bytes> {
    // It grows as it comes: what a client announces costs it nothing.
    let mut collected = BytesMut::new();
    let mut received = 0;
    while let Some(data) = pace.next(&mut body, received).await? {
        received += data.len();
        if received <= limit {
            collected.extend_from_slice(&data);
        } else if received > limit + DRAINED {
            break;
        }
    }
    pace.end().await?;
    if received > limit {
        let message = format!("The body has more than {limit} bytes.");
        return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message));
    }
    Ok(collected.freeze())
}

fn bad_json(error: &JsonError) -> Error {
    let kind = if error.is_syntax() { ErrorKind::NotJson } else { ErrorKind::BadJson };
    Error::bad_request(kind, format!("The body must be a JSON object: {error}."))
}
