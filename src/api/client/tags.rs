//! Room tagging.

use ruma::api::client::tag::{create_tag, delete_tag, get_tags};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::Result;
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

/// A tag holds little more than its order.
const MAX_BODY: usize = 16 * 1024;

type CreateTag = At<create_tag::v3::Request, (OwnedUserId, OwnedRoomId, String), Map<String, Value>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(get),
        route(create).body_limit(MAX_BODY).limited(Family::AccountData),
        route(delete).limited(Family::AccountData),
    ]
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`
async fn get(app: App, Ruma { request, caller }: Ruma<get_tags::v3::Request>) -> Result<Json> {
    caller.must_be(&request.user_id)?;
    let tags = app.account_data.tags(caller.user, &request.room_id).await?;
    Ok(Json::new(&json!({ "tags": tags })))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
async fn create(app: App, Ruma { request, caller }: Ruma<CreateTag>) -> Result<create_tag::v3::Response> {
    let (user_id, room_id, tag) = request.path;
    caller.must_be(&user_id)?;
    app.account_data.put_tag(caller.user, &room_id, tag, &request.body).await?;
    Ok(create_tag::v3::Response {})
}

/// `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
async fn delete(
    app: App,
    Ruma { request, caller }: Ruma<delete_tag::v3::Request>,
) -> Result<delete_tag::v3::Response> {
    caller.must_be(&request.user_id)?;
    app.account_data.remove_tag(caller.user, &request.room_id, request.tag).await?;
    Ok(delete_tag::v3::Response {})
}
