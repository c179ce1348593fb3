//! What web pages say about themselves.

#![expect(deprecated, reason = "clients of before version 1.11 have nothing else")]

use std::time::Duration;

use axum::response::Response;
use hearth_core::id::UserNid;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use ruma::api::client::authenticated_media::get_media_preview;
use ruma::api::client::media as unauthenticated;

use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result, render};
use crate::extract::Ruma;
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, fetching};

/// A page, its oEmbed document and its picture.
const PREVIEW_TIME: Duration = Duration::from_mins(2);

pub(super) fn routes() -> Vec<Route> {
    let common = |route: Route| {
        route.limited(Family::Previews).in_line(Line::None).extra_time(PREVIEW_TIME).unless_suspended()
    };
    vec![common(fetching(preview)), common(fetching(old_preview)).also("/_matrix/media/v1/preview_url")]
}

/// `GET /_matrix/client/v1/media/preview_url`
async fn preview(
    app: App,
    Ruma { request, caller }: Ruma<get_media_preview::v1::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    of(&app, caller.user, &request.url, &headers).await
}

/// `GET /_matrix/media/v3/preview_url`
async fn old_preview(
    app: App,
    Ruma { request, caller }: Ruma<unauthenticated::get_media_preview::v3::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    of(&app, caller.user, &request.url, &headers).await
}

async fn of(app: &App, user: UserNid, url: &str, headers: &HeaderMap) -> Result<Response> {
    if !app.media.settings().previews.enabled {
        return Err(Error::not_found("This server makes no previews."));
    }
    let languages = headers.get(ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok());
    let preview = app.media.preview(user, url, languages).await?;
    Ok(render(Json::written(preview)))
}
