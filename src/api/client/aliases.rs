//! Room aliases.

use ruma::api::client::alias::{create_alias, delete_alias, get_alias};
use ruma::api::client::room::aliases;

use crate::app::App;
use crate::error::Result;
use crate::extract::{CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(resolve).limited(Family::Directory),
        route(create).unless_suspended().limited(Family::Aliases),
        route(delete).unless_suspended().limited(Family::Aliases),
        route(of_room),
    ]
}

/// `GET /_matrix/client/v3/directory/room/{roomAlias}`
async fn resolve(
    app: App,
    Ruma { request, .. }: Ruma<get_alias::v3::Request>,
) -> Result<get_alias::v3::Response> {
    let (room_id, servers) = app.rooms.resolve_alias(&request.room_alias).await?;
    Ok(get_alias::v3::Response { room_id, servers })
}

/// `PUT /_matrix/client/v3/directory/room/{roomAlias}`
async fn create(
    app: App,
    Ruma { request, caller }: Ruma<create_alias::v3::Request>,
) -> Result<create_alias::v3::Response> {
    app.rooms.create_alias(&caller.viewer(), &request.room_alias, &request.room_id).await?;
    Ok(create_alias::v3::Response {})
}

/// `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
async fn delete(
    app: App,
    Ruma { request, caller }: Ruma<delete_alias::v3::Request>,
) -> Result<delete_alias::v3::Response> {
    app.rooms.delete_alias(&caller.viewer(), caller.admin, &request.room_alias).await?;
    Ok(delete_alias::v3::Response {})
}

/// `GET /_matrix/client/v3/rooms/{roomId}/aliases`
async fn of_room(
    app: App,
    Ruma { request, caller }: Ruma<aliases::v3::Request>,
) -> Result<aliases::v3::Response> {
    let aliases = app.rooms.aliases(&caller.viewer(), &request.room_id).await?;
    Ok(aliases::v3::Response { aliases })
}
