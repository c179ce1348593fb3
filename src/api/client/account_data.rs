//! Client config: data that a user's clients keep for each other.

use hearth_core::push_rules;
use hearth_services::account_data::Scope;
use http::Method;
use ruma::api::auth_scheme::AccessToken;
use ruma::api::client::config::{
    get_global_account_data, get_room_account_data, set_global_account_data, set_room_account_data,
};
use ruma::api::error::{DeserializationError, Error as MatrixError};
use ruma::api::path_builder::SinglePath;
use ruma::api::{IncomingRequest, Metadata};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::de::Error as _;
use serde::de::value::Error as PathError;
use serde_json::value::RawValue;

use crate::app::App;
use crate::error::Result;
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

/// Lists of ignored users and of direct chats grow with use; nothing sensible is larger.
const MAX_BODY: usize = 256 * 1024;

type SetGlobal = At<set_global_account_data::v3::Request, (OwnedUserId, String), Box<RawValue>>;
type SetRoom = At<set_room_account_data::v3::Request, (OwnedUserId, OwnedRoomId, String), Box<RawValue>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(get_global),
        route(set_global).needs_body().body_limit(MAX_BODY).limited(Family::AccountData),
        route(get_room),
        route(set_room).needs_body().body_limit(MAX_BODY).limited(Family::AccountData),
        route(delete).also(DELETE_IN_ROOM).body_limit(MAX_BODY).limited(Family::AccountData),
    ]
}

/// Where data of a room are deleted. It takes the room as one argument more.
const DELETE_IN_ROOM: &str =
    "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}";

/// What is to be deleted (MSC3391).
struct Delete {
    user: OwnedUserId,
    room: Option<OwnedRoomId>,
    data_type: String,
}

/// `GET /_matrix/client/v3/user/{userId}/account_data/{type}`
async fn get_global(
    app: App,
    Ruma { request, caller }: Ruma<get_global_account_data::v3::Request>,
) -> Result<Json> {
    caller.must_be(&request.user_id)?;
    let data_type = request.event_type.to_string();
    if data_type == "m.push_rules" {
        return Ok(Json::new(&push_rules::content(&caller.user_id)));
    }
    let content = app.account_data.get(caller.user, Scope::Global, &data_type).await?;
    Ok(Json::stored(&content))
}

/// `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`
async fn set_global(
    app: App,
    Ruma { request, caller }: Ruma<SetGlobal>,
) -> Result<set_global_account_data::v3::Response> {
    let (user_id, data_type) = request.path;
    caller.must_be(&user_id)?;
    app.account_data.set(caller.user, Scope::Global, data_type, &request.body).await?;
    Ok(set_global_account_data::v3::Response {})
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn get_room(
    app: App,
    Ruma { request, caller }: Ruma<get_room_account_data::v3::Request>,
) -> Result<Json> {
    caller.must_be(&request.user_id)?;
    let data_type = request.event_type.to_string();
    let content = app.account_data.get(caller.user, Scope::Room(&request.room_id), &data_type).await?;
    Ok(Json::stored(&content))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn set_room(
    app: App,
    Ruma { request, caller }: Ruma<SetRoom>,
) -> Result<set_room_account_data::v3::Response> {
    let (user_id, room_id, data_type) = request.path;
    caller.must_be(&user_id)?;
    app.account_data.set(caller.user, Scope::Room(&room_id), data_type, &request.body).await?;
    Ok(set_room_account_data::v3::Response {})
}

/// `DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{userId}/account_data/{type}`, and of a room
async fn delete(
    app: App,
    Ruma { request, caller }: Ruma<Delete>,
) -> Result<set_global_account_data::v3::Response> {
    caller.must_be(&request.user)?;
    let scope = request.room.as_deref().map_or(Scope::Global, Scope::Room);
    app.account_data.delete(caller.user, scope, request.data_type).await?;
    Ok(set_global_account_data::v3::Response {})
}

impl Metadata for Delete {
    const METHOD: Method = Method::DELETE;
    const RATE_LIMITED: bool = true;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new(
        "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/account_data/{event_type}",
    );
}

impl IncomingRequest for Delete {
    type EndpointError = MatrixError;
    type OutgoingResponse = set_global_account_data::v3::Response;

    fn try_from_http_request_inner(
        _: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (user, room, data_type) = match *arguments {
            [user, room, data_type] => (user, Some(room), data_type),
            [user, data_type] => (user, None, data_type),
            _ => return Err(PathError::custom("these are not the path's arguments").into()),
        };
        let user = user.try_into().map_err(PathError::custom)?;
        let room = room.map(TryInto::try_into).transpose().map_err(PathError::custom)?;
        Ok(Self { user, room, data_type: data_type.to_owned() })
    }
}
