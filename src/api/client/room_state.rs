//! The state of a room, and its members.

use hearth_services::rooms::MembersRequest;
use ruma::api::client::membership::{get_member_events, joined_members, joined_rooms};
use ruma::api::client::state::get_state_event_for_key::v3::StateEventFormat;
use ruma::api::client::state::{get_state_event_for_key, get_state_events};
use ruma::api::error::ErrorKind;
use serde_json::json;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(state).limited(Family::History),
        route(state_event).last_argument_optional(),
        route(members).limited(Family::History),
        route(members_now).limited(Family::History),
        route(rooms),
    ]
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state`
async fn state(app: App, Ruma { request, caller }: Ruma<get_state_events::v3::Request>) -> Result<Json> {
    Ok(Json::new(&app.rooms.state(&caller.viewer(), &request.room_id).await?))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
async fn state_event(
    app: App,
    Ruma { request, caller }: Ruma<get_state_event_for_key::v3::Request>,
) -> Result<Json> {
    let event_type = request.event_type.to_string();
    let (viewer, key) = (caller.viewer(), (event_type.as_str(), request.state_key.as_str()));
    let json = match request.format {
        StateEventFormat::Content => app.rooms.state_content(&viewer, &request.room_id, key).await?,
        StateEventFormat::Event => app.rooms.state_event(&viewer, &request.room_id, key).await?,
        _ => {
            let message = "The format is either content or event.";
            return Err(Error::bad_request(ErrorKind::InvalidParam, message));
        }
    };
    Ok(Json::from(&*json))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/members`
async fn members(app: App, Ruma { request, caller }: Ruma<get_member_events::v3::Request>) -> Result<Json> {
    let members = MembersRequest {
        at: request.at,
        membership: request.membership.map(|membership| membership.to_string()),
        not_membership: request.not_membership.map(|membership| membership.to_string()),
    };
    let chunk = app.rooms.members(&caller.viewer(), &request.room_id, &members).await?;
    Ok(Json::new(&json!({ "chunk": chunk })))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
async fn members_now(app: App, Ruma { request, caller }: Ruma<joined_members::v3::Request>) -> Result<Json> {
    let joined = app.rooms.joined_members(&caller.viewer(), &request.room_id).await?;
    Ok(Json::new(&json!({ "joined": joined })))
}

/// `GET /_matrix/client/v3/joined_rooms`
async fn rooms(
    app: App,
    Ruma { caller, .. }: Ruma<joined_rooms::v3::Request>,
) -> Result<joined_rooms::v3::Response> {
    let joined_rooms = app.rooms.joined_rooms(&caller.viewer()).await?;
    Ok(joined_rooms::v3::Response { joined_rooms })
}
