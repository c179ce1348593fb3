//! Presence.

use std::time::Duration;

use hearth_services::ephemeral::presence::PresenceState;
use ruma::OwnedUserId;
use ruma::api::client::presence::{get_presence, set_presence};
use ruma::presence::PresenceState as Named;
use serde::Deserialize;

use crate::app::App;
use crate::error::Result;
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::route::{Route, route};
use hearth_services::clock;

/// A status message in any escaping.
const MAX_BODY: usize = 16 * 1024;

type SetStatus = At<set_presence::v3::Request, (OwnedUserId,), Status>;

#[derive(Debug, Deserialize)]
struct Status {
    presence: Stated,
    /// None takes it back.
    status_msg: Option<String>,
}

/// What somebody may say of themselves.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Stated {
    Online,
    Offline,
    Unavailable,
    Busy,
}

impl TryFrom<String> for Stated {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        match &*name {
            "online" => Ok(Self::Online),
            "offline" => Ok(Self::Offline),
            "unavailable" => Ok(Self::Unavailable),
            "org.matrix.msc3026.busy" | "busy" => Ok(Self::Busy),
            _ => Err("presence is online, unavailable, offline or busy"),
        }
    }
}

impl From<Stated> for PresenceState {
    fn from(stated: Stated) -> Self {
        match stated {
            Stated::Online => Self::Online,
            Stated::Offline => Self::Offline,
            Stated::Unavailable => Self::Unavailable,
            Stated::Busy => Self::Busy,
        }
    }
}

pub(super) fn routes() -> Vec<Route> {
    vec![route(get), route(set).body_limit(MAX_BODY).limited(Family::Presence)]
}

/// `GET /_matrix/client/v3/presence/{userId}/status`
async fn get(
    app: App,
    Ruma { request, caller }: Ruma<get_presence::v3::Request>,
) -> Result<get_presence::v3::Response> {
    let Some(presence) = app.presences.get(&caller, &request.user_id).await? else {
        return Ok(get_presence::v3::Response::new(Named::Offline));
    };
    let mut response = get_presence::v3::Response::new(Named::from(presence.state.name()));
    response.status_msg.clone_from(&presence.status_msg);
    response.last_active_ago =
        presence.last_active_ago(clock::now_ms()).map(|ago| Duration::from_millis(ago.unsigned_abs()));
    response.currently_active = presence.says_currently_active();
    Ok(response)
}

/// `PUT /_matrix/client/v3/presence/{userId}/status`
async fn set(app: App, Ruma { request, caller }: Ruma<SetStatus>) -> Result<set_presence::v3::Response> {
    let (user,) = request.path;
    caller.must_be(&user)?;
    let Status { presence, status_msg } = request.body;
    app.presences.set(&caller, presence.into(), status_msg).await?;
    Ok(set_presence::v3::Response {})
}
