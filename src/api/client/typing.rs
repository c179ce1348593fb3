//! Typing notifications.

use std::time::Duration;

use ruma::api::client::typing::create_typing_event;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;

use crate::app::App;
use crate::error::Result;
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::route::{Route, route};

/// Two short values.
const MAX_BODY: usize = 4 * 1024;

/// How long somebody types who does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

type SetTyping = At<create_typing_event::v3::Request, (OwnedRoomId, OwnedUserId), State>;

#[derive(Debug, Deserialize)]
struct State {
    typing: bool,
    /// Milliseconds.
    timeout: Option<u64>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![route(set).unless_suspended().body_limit(MAX_BODY).limited(Family::Typing).shows_activity()]
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`
async fn set(
    app: App,
    Ruma { request, caller }: Ruma<SetTyping>,
) -> Result<create_typing_event::v3::Response> {
    let (room, user) = request.path;
    caller.must_be(&user)?;
    let State { typing, timeout } = request.body;
    let timeout = typing.then(|| timeout.map_or(DEFAULT_TIMEOUT, Duration::from_millis));
    app.typing.set(&caller.viewer(), &room, timeout).await?;
    Ok(create_typing_event::v3::Response {})
}
