//! Syncing: what is new for a client, at once or as soon as there is something.

use std::time::Duration;

use axum::extract::Query;
use hearth_core::token::SyncToken;
use hearth_services::accounts::Caller;
use hearth_services::ephemeral::presence::Poll;
use hearth_services::sync::v2::{self, StateSection};
use ruma::api::client::sync::sync_events;
use ruma::api::error::{DeserializationError, Error as MatrixError, ErrorKind};
use ruma::api::{IncomingRequest, Metadata};
use serde::Deserialize;
use serde::de::Error as _;
use serde::de::value::Error as QueryError;

use super::presence::Stated;
use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{CallerExt, Ruma};
use crate::rate_limit::{Family, Key};
use crate::reply::Json;
use crate::route::{Route, route};

/// Longer than any configured wait: what bounds a sync is how long it may wait for news, which is bounded where
/// it waits.
pub(super) const WAITING: Duration = Duration::from_hours(24);

/// The query of a sync, with the filter as the client wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SyncRequest {
    filter: Option<String>,
    since: Option<String>,
    full_state: bool,
    set_presence: Option<Stated>,
    /// Milliseconds.
    timeout: u64,
    use_state_after: bool,
    #[serde(rename = "org.matrix.msc4222.use_state_after")]
    unstable_use_state_after: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![route(sync).extra_time(WAITING).in_line(Line::None)]
}

/// `GET /_matrix/client/v3/sync`
async fn sync(app: App, Ruma { request, caller }: Ruma<SyncRequest>) -> Result<Json> {
    let asked = request.resolve(&app, &caller).await?;
    let _poll = request.poll(&app, &caller).await;
    Ok(Json::written(app.sync.v2(&caller.viewer(), &asked).await?))
}

impl SyncRequest {
    /// What it asks for.
    pub(super) async fn resolve(&self, app: &App, caller: &Caller) -> Result<v2::Request> {
        let since = self.since.as_deref().map(parse_token).transpose()?;
        if since.is_none() {
            limit_first(app, caller)?;
        }
        let filter = match &self.filter {
            Some(filter) => app.sync.filter(caller.user, filter).await?,
            None => v2::no_filter(),
        };
        Ok(v2::Request {
            since,
            filter,
            full_state: self.full_state,
            state: self.state_section(),
            timeout: Duration::from_millis(self.timeout),
        })
    }

    /// Its device is there for as long as it is held.
    pub(super) async fn poll(&self, app: &App, caller: &Caller) -> Option<Poll> {
        poll(app, caller, self.set_presence, self.since.is_none()).await
    }

    /// The same from another token on.
    pub(super) fn starting_at(self, since: String) -> Self {
        Self { since: Some(since), ..self }
    }

    const fn state_section(&self) -> StateSection {
        match (self.use_state_after, self.unstable_use_state_after) {
            (true, _) => StateSection::After,
            (false, true) => StateSection::UnstableAfter,
            (false, false) => StateSection::Before,
        }
    }
}

/// Beginning anew costs something, by whichever kind of sync.
pub(super) fn limit_first(app: &App, caller: &Caller) -> Result<()> {
    app.limits.take(Family::FirstSync, Key::User(caller.user))
}

/// The device is there for as long as this is held, and a first sync tells of it.
pub(super) async fn poll(app: &App, caller: &Caller, stated: Option<Stated>, is_first: bool) -> Option<Poll> {
    let poll = app.presences.poll(caller, stated.unwrap_or(Stated::Online).into());
    if let Some(poll) = poll.as_ref().filter(|_| is_first) {
        poll.told().await;
    }
    poll
}

/// A token that a client gives back.
pub(super) fn parse_token(token: &str) -> Result<SyncToken> {
    token.parse().map_err(|error| Error::bad_request(ErrorKind::InvalidParam, format!("{error}.")))
}

impl Metadata for SyncRequest {
    const METHOD: http::Method = sync_events::v3::Request::METHOD;
    const RATE_LIMITED: bool = sync_events::v3::Request::RATE_LIMITED;
    type Authentication = <sync_events::v3::Request as Metadata>::Authentication;
    type PathBuilder = <sync_events::v3::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = sync_events::v3::Request::PATH_BUILDER;
}

impl IncomingRequest for SyncRequest {
    type EndpointError = MatrixError;
    type OutgoingResponse = sync_events::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        let query = Query::try_from_uri(request.uri());
        Ok(query.map_err(|error| QueryError::custom(error.body_text()))?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<SyncRequest> {
        let request = http::Request::get(format!("/_matrix/client/v3/sync{query}")).body(&[][..]).unwrap();
        SyncRequest::try_from_http_request_inner(request, &[]).ok()
    }

    #[test]
    fn a_query_is_read_and_what_is_left_out_has_its_default() {
        let request = read("?since=s5&timeout=30000&full_state=true&set_presence=offline&x=y").unwrap();
        assert_eq!(
            (request.since.as_deref(), request.timeout, request.full_state),
            (Some("s5"), 30_000, true)
        );
        let request = read("").unwrap();
        assert_eq!((request.since, request.timeout, request.full_state), (None, 0, false));
        for wrong in ["?timeout=soon", "?timeout=-1", "?full_state=perhaps", "?set_presence=asleep"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_state_section_has_the_name_that_was_asked_for() {
        assert_eq!(read("").unwrap().state_section(), StateSection::Before);
        assert_eq!(read("?use_state_after=true").unwrap().state_section(), StateSection::After);
        let unstable = read("?org.matrix.msc4222.use_state_after=true").unwrap();
        assert_eq!(unstable.state_section(), StateSection::UnstableAfter);
    }
}
