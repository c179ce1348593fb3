//! Profiles.

use hearth_services::profiles::Field;
use ruma::OwnedUserId;
use ruma::api::client::profile::{delete_profile_field, get_profile, get_profile_field, set_profile_field};
use ruma::api::error::ErrorKind;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

/// A little more than a whole profile may have, so that one that is too large is told so.
const MAX_BODY: usize = 128 * 1024;

type DeleteField = At<delete_profile_field::v3::Request, (OwnedUserId, String), Map<String, Value>>;
type SetField = At<set_profile_field::v3::Request, (OwnedUserId, String), Map<String, Value>>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(get),
        route(get_field),
        route(set_field).unless_suspended().limited(Family::Profile).body_limit(MAX_BODY),
        route(delete_field).unless_suspended().limited(Family::Profile),
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
    let (user_id, key) = request.path;
    caller.must_be(&user_id)?;
    let value = request.body.remove(&key).ok_or_else(|| {
        Error::bad_request(ErrorKind::MissingParam, "The body must have the field's name as its key.")
    })?;
    app.profiles.set(caller.user, Field { key, spread: is_spread(&request.query)? }, value).await?;
    Ok(set_profile_field::v3::Response {})
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
async fn delete_field(
    app: App,
    Ruma { request, caller }: Ruma<DeleteField>,
) -> Result<delete_profile_field::v3::Response> {
    let (user_id, key) = request.path;
    caller.must_be(&user_id)?;
    app.profiles.delete(caller.user, Field { key, spread: is_spread(&request.query)? }).await?;
    Ok(delete_profile_field::v3::Response {})
}

/// Whether the rooms that the user is in are to show the change (MSC4069).
fn is_spread(query: &str) -> Result<bool> {
    #[derive(Deserialize)]
    struct Spread {
        #[serde(rename = "org.matrix.msc4069.propagate", default = "yes")]
        propagate: bool,
    }
    const fn yes() -> bool {
        true
    }
    let query = serde_html_form::from_str::<Spread>(query);
    let read = query.map_err(|error| Error::bad_request(ErrorKind::InvalidParam, error.to_string()))?;
    Ok(read.propagate)
}
