//! Filtering: filters that clients name in a sync.

use ruma::OwnedUserId;
use ruma::api::client::filter::{create_filter, get_filter};
use serde_json::value::RawValue;

use crate::app::App;
use crate::error::Result;
use crate::extract::{At, CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

/// A filter that names every room of a busy user has some tens of kilobytes.
const MAX_BODY: usize = 64 * 1024;

type CreateFilter = At<create_filter::v3::Request, (OwnedUserId,), Box<RawValue>>;

pub(super) fn routes() -> Vec<Route> {
    vec![route(create).needs_body().body_limit(MAX_BODY).limited(Family::Filters), route(get)]
}

/// `POST /_matrix/client/v3/user/{userId}/filter`
async fn create(
    app: App,
    Ruma { request, caller }: Ruma<CreateFilter>,
) -> Result<create_filter::v3::Response> {
    let (user_id,) = request.path;
    caller.must_be(&user_id)?;
    let filter_id = app.filters.keep(caller.user, request.body.get()).await?.to_string();
    Ok(create_filter::v3::Response { filter_id })
}

/// `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
async fn get(app: App, Ruma { request, caller }: Ruma<get_filter::v3::Request>) -> Result<Json> {
    caller.must_be(&request.user_id)?;
    Ok(Json::stored(&app.filters.get(caller.user, &request.filter_id).await?))
}
