//! Room membership.

use hearth_services::accounts::Caller;
use hearth_services::rooms::Removal;
use ruma::api::client::knock::knock_room;
use ruma::api::client::membership::invite_user::v3::InvitationRecipient;
use ruma::api::client::membership::{
    ban_user, forget_room, invite_user, join_room_by_id, join_room_by_id_or_alias, kick_user, leave_room,
    unban_user,
};
use ruma::{OwnedRoomId, RoomId};

use super::create_room::author;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::rate_limit::{Family, Key};
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(invite).unless_suspended().limited(Family::InvitesPerIssuer).shows_activity(),
        route(join).unless_suspended().limited(Family::JoinsPerUser).shows_activity(),
        route(join_by_id_or_alias).unless_suspended().limited(Family::JoinsPerUser).shows_activity(),
        route(knock).unless_suspended().limited(Family::Knocks).shows_activity(),
        route(leave),
        route(forget),
        route(kick).unless_suspended().limited(Family::Moderation),
        route(ban).unless_suspended().limited(Family::Moderation),
        route(unban).unless_suspended().limited(Family::Moderation),
    ]
}

/// `POST /_matrix/client/v3/rooms/{roomId}/invite`
async fn invite(
    app: App,
    Ruma { request, caller }: Ruma<invite_user::v3::Request>,
) -> Result<invite_user::v3::Response> {
    let InvitationRecipient::UserId(invited) = &request.recipient else {
        return Err(Error::forbidden("This server cannot invite by e-mail address or telephone number."));
    };
    let reason = invited.reason.as_deref();
    let to_room = app.limits.vacancy(Family::InvitesPerRoom, Key::Named(request.room_id.to_string()))?;
    let to_user = app.limits.vacancy(Family::InvitesPerUser, Key::Named(invited.user_id.to_string()))?;
    app.rooms.invite(&author(&caller), &request.room_id, &invited.user_id, reason).await?;
    to_room.take();
    to_user.take();
    Ok(invite_user::v3::Response {})
}

/// `POST /_matrix/client/v3/rooms/{roomId}/join`
async fn join(
    app: App,
    Ruma { request, caller }: Ruma<join_room_by_id::v3::Request>,
) -> Result<join_room_by_id::v3::Response> {
    let room_id = join_room(&app, &caller, &request.room_id, request.reason.as_deref()).await?;
    Ok(join_room_by_id::v3::Response { room_id })
}

/// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
async fn join_by_id_or_alias(
    app: App,
    Ruma { request, caller }: Ruma<join_room_by_id_or_alias::v3::Request>,
) -> Result<join_room_by_id_or_alias::v3::Response> {
    let room = app.rooms.resolve(&request.room_id_or_alias).await?;
    let room_id = join_room(&app, &caller, &room, request.reason.as_deref()).await?;
    Ok(join_room_by_id_or_alias::v3::Response { room_id })
}

async fn join_room(app: &App, caller: &Caller, room: &RoomId, reason: Option<&str>) -> Result<OwnedRoomId> {
    let vacancy = app.limits.vacancy(Family::JoinsPerRoom, Key::Named(room.to_string()))?;
    let room_id = app.rooms.join(&author(caller), room, reason).await?;
    vacancy.take();
    Ok(room_id)
}

/// `POST /_matrix/client/v3/knock/{roomIdOrAlias}`
async fn knock(
    app: App,
    Ruma { request, caller }: Ruma<knock_room::v3::Request>,
) -> Result<knock_room::v3::Response> {
    let room = app.rooms.resolve(&request.room_id_or_alias).await?;
    let room_id = app.rooms.knock(&author(&caller), &room, request.reason.as_deref()).await?;
    Ok(knock_room::v3::Response { room_id })
}

/// `POST /_matrix/client/v3/rooms/{roomId}/leave`
async fn leave(
    app: App,
    Ruma { request, caller }: Ruma<leave_room::v3::Request>,
) -> Result<leave_room::v3::Response> {
    app.rooms.leave(&author(&caller), &request.room_id, request.reason.as_deref()).await?;
    Ok(leave_room::v3::Response {})
}

/// `POST /_matrix/client/v3/rooms/{roomId}/forget`
async fn forget(
    app: App,
    Ruma { request, caller }: Ruma<forget_room::v3::Request>,
) -> Result<forget_room::v3::Response> {
    app.rooms.forget(&author(&caller), &request.room_id).await?;
    Ok(forget_room::v3::Response {})
}

/// `POST /_matrix/client/v3/rooms/{roomId}/kick`
async fn kick(
    app: App,
    Ruma { request, caller }: Ruma<kick_user::v3::Request>,
) -> Result<kick_user::v3::Response> {
    let reason = request.reason.as_deref();
    app.rooms.remove(&author(&caller), &request.room_id, &request.user_id, Removal::Kick, reason).await?;
    Ok(kick_user::v3::Response {})
}

/// `POST /_matrix/client/v3/rooms/{roomId}/ban`
async fn ban(
    app: App,
    Ruma { request, caller }: Ruma<ban_user::v3::Request>,
) -> Result<ban_user::v3::Response> {
    let reason = request.reason.as_deref();
    app.rooms.remove(&author(&caller), &request.room_id, &request.user_id, Removal::Ban, reason).await?;
    Ok(ban_user::v3::Response {})
}

/// `POST /_matrix/client/v3/rooms/{roomId}/unban`
async fn unban(
    app: App,
    Ruma { request, caller }: Ruma<unban_user::v3::Request>,
) -> Result<unban_user::v3::Response> {
    let reason = request.reason.as_deref();
    app.rooms.remove(&author(&caller), &request.room_id, &request.user_id, Removal::Unban, reason).await?;
    Ok(unban_user::v3::Response {})
}
