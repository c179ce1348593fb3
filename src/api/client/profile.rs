//! Profiles.

use ruma::OwnedUserId;
use ruma::api::client::profile::{delete_profile_field, get_profile, get_profile_field, set_profile_field};
use ruma::api::error::ErrorKind;
use serde_json::{Map, Value, json};

use super::create_room::author;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

/// A little more than a whole profile may have, so that one that is too large is told so.
const MAX_BODY: usize = 128 * 1024;

type SetField = At<set_profile_field::v3::Request, (OwnedUserId, String), Map<String, Value>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(get),
        route(get_field),
        route(set_field).limited(Family::Profile).body_limit(MAX_BODY),
        route(delete_field).limited(Family::Profile),
    ]
}

/// `GET /_matrix/client/v3/profile/{userId}`
async fn get(app: App, Ruma { request, .. }: Ruma<get_profile::v3::Request>) -> Result<Json> {
    Ok(Json::new(&*app.profiles.get(&request.user_id).await?))
}

/// `GET /_matrix/client/v3/profile/{userId}/{keyName}`
async fn get_field(app: App, Ruma { request, .. }: Ruma<get_profile_field::v3::Request>) -> Result<Json> {
    let profile = app.profiles.get(&request.user_id).await?;
    let field = request.field.as_str();
    let value = profile.get(field).ok_or_else(|| Error::not_found("The user has not set this."))?;
    Ok(Json::new(&json!({ field: value })))
}

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
async fn set_field(
    app: App,
    Ruma { mut request, caller }: Ruma<SetField>,
) -> Result<set_profile_field::v3::Response> {
    let (user_id, field) = request.path;
    caller.must_be(&user_id)?;
    let value = request.body.remove(&field).ok_or_else(|| {
        Error::bad_request(ErrorKind::MissingParam, "The body must have the field's name as its key.")
    })?;
    app.profiles.set(caller.user, field, value).await?;
    app.rooms.propagate_profile(&author(&caller)).await?;
    Ok(set_profile_field::v3::Response {})
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
async fn delete_field(
    app: App,
    Ruma { request, caller }: Ruma<delete_profile_field::v3::Request>,
) -> Result<delete_profile_field::v3::Response> {
    caller.must_be(&request.user_id)?;
    app.profiles.delete(caller.user, request.field.to_string()).await?;
    app.rooms.propagate_profile(&author(&caller)).await?;
    Ok(delete_profile_field::v3::Response {})
}
