//! Listing rooms: the public directory and summaries of single rooms.

use hearth_services::rooms::ListRequest;
use ruma::api::client::directory::{
    get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility,
};
use ruma::api::client::room::{Visibility, get_summary};
use ruma::api::error::ErrorKind;
use ruma::directory::RoomNetwork;
use ruma::{OwnedServerName, RoomAliasId, RoomId, UInt};
use serde::Deserialize;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

/// Where clients asked for summaries before these had a path in the specification.
const EARLIER_SUMMARY: &str = "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}";

/// Rooms of a page whose size the client leaves to the server.
const PAGE: u64 = 100;

type SetVisibility = At<set_room_visibility::v3::Request, (ruma::OwnedRoomId,), NewVisibility>;

/// > The new visibility setting for the room. Defaults to `public`.
#[derive(Deserialize)]
struct NewVisibility {
    visibility: Option<Visibility>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(is_listed).limited(Family::Directory),
        route(list).unless_suspended().limited(Family::Aliases),
        route(page).limited(Family::Directory),
        route(search).limited(Family::Directory),
        route(summary).limited(Family::Directory).also(EARLIER_SUMMARY),
    ]
}

/// `GET /_matrix/client/v3/directory/list/room/{roomId}`
async fn is_listed(
    app: App,
    Ruma { request, .. }: Ruma<get_room_visibility::v3::Request>,
) -> Result<get_room_visibility::v3::Response> {
    let listed = app.directory.is_listed(&request.room_id).await?;
    let visibility = if listed { Visibility::Public } else { Visibility::Private };
    Ok(get_room_visibility::v3::Response { visibility })
}

/// `PUT /_matrix/client/v3/directory/list/room/{roomId}`
async fn list(
    app: App,
    Ruma { request, caller }: Ruma<SetVisibility>,
) -> Result<set_room_visibility::v3::Response> {
    let (room_id,) = request.path;
    let listed = match request.body.visibility {
        None | Some(Visibility::Public) => true,
        Some(Visibility::Private) => false,
        Some(_) => {
            let message = "The visibility is either public or private.";
            return Err(Error::bad_request(ErrorKind::InvalidParam, message));
        }
    };
    app.directory.list(&caller.viewer(), caller.admin, &room_id, listed).await?;
    Ok(set_room_visibility::v3::Response {})
}

/// `GET /_matrix/client/v3/publicRooms`
async fn page(app: App, Ruma { request, .. }: Ruma<get_public_rooms::v3::Request>) -> Result<Json> {
    must_be_ours(&app, request.server.as_ref())?;
    let request = ListRequest { limit: limit(request.limit), since: request.since, ..ListRequest::default() };
    Ok(Json::new(&app.directory.page(&request).await?))
}

/// `POST /_matrix/client/v3/publicRooms`
async fn search(
    app: App,
    Ruma { request, .. }: Ruma<get_public_rooms_filtered::v3::Request>,
) -> Result<Json> {
    must_be_ours(&app, request.server.as_ref())?;
    if !matches!(request.room_network, RoomNetwork::Matrix | RoomNetwork::All) {
        // No application service brings networks of its own yet.
        return Err(Error::not_found("This server knows no such network."));
    }
    let types = request.filter.room_types;
    let request = ListRequest {
        limit: limit(request.limit),
        since: request.since,
        term: request.filter.generic_search_term,
        room_types: Some(types)
            .filter(|types| !types.is_empty())
            .map(|types| types.iter().map(|wanted| wanted.as_str().map(str::to_owned)).collect()),
    };
    Ok(Json::new(&app.directory.page(&request).await?))
}

/// `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`
async fn summary(app: App, Ruma { request, caller }: Ruma<get_summary::v1::Request>) -> Result<Json> {
    let named = request.room_id_or_alias.as_str();
    let room_id = match <&RoomAliasId>::try_from(named) {
        Ok(alias) => app.rooms.resolve_alias(alias).await?.0,
        Err(_) => RoomId::parse(named)
            .map_err(|_| Error::bad_request(ErrorKind::InvalidParam, "This is no room and no alias."))?,
    };
    let viewer = caller.map(|caller| caller.viewer());
    Ok(Json::new(&app.directory.summary(viewer.as_ref(), &room_id).await?))
}

/// Other servers' lists are had by asking them, which this server does not do yet.
fn must_be_ours(app: &App, server: Option<&OwnedServerName>) -> Result<()> {
    if server.is_none_or(|server| *server == app.settings.server_name) {
        return Ok(());
    }
    Err(Error::not_found("This server cannot reach that server's list of rooms."))
}

/// None, and nothing at all, leave it to the server.
fn limit(asked: Option<UInt>) -> usize {
    let asked = asked.map(u64::from).filter(|asked| *asked > 0).unwrap_or(PAGE);
    usize::try_from(asked).unwrap_or(usize::MAX)
}
