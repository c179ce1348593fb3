//! Giving media out.

#![expect(deprecated, reason = "clients of before version 1.11 have nothing else")]

use std::time::Duration;

use axum::response::Response;
use hearth_services::media::{Found, MediaError, Reach, Wanted};
use http::HeaderMap;
use ruma::api::client::authenticated_media::{get_content, get_content_as_filename, get_content_thumbnail};
use ruma::api::client::media as unauthenticated;
use ruma::api::error::ErrorKind;
use ruma::media::Method;
use ruma::{ServerName, UInt};

use super::bytes::{self, Offer};
use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::rate_limit::Family;
use crate::route::{Route, fetching};

/// The longest that bytes are waited for that have not come yet, and that making a thumbnail may take.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

pub(super) fn routes() -> Vec<Route> {
    let old = |route: Route, path: &str| route.also(&format!("/_matrix/media/v1/{path}"));
    let routes = vec![
        fetching(download),
        fetching(download_as),
        fetching(thumbnail),
        old(fetching(old_download), "download/{server_name}/{media_id}"),
        old(fetching(old_download_as), "download/{server_name}/{media_id}/{filename}"),
        old(fetching(old_thumbnail), "thumbnail/{server_name}/{media_id}"),
    ];
    let common =
        |route: Route| route.limited(Family::Downloads).in_line(Line::None).extra_time(LONGEST_WAIT * 2);
    routes.into_iter().map(common).collect()
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
async fn download(
    app: App,
    Ruma { request, .. }: Ruma<get_content::v1::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked { server: &request.server_name, id: &request.media_id, timeout: request.timeout_ms };
    let found = asked.find(&app, Reach::Authenticated).await?;
    bytes::offer(&app, found, &Offer::new(&headers, false)).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
async fn download_as(
    app: App,
    Ruma { request, .. }: Ruma<get_content_as_filename::v1::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked { server: &request.server_name, id: &request.media_id, timeout: request.timeout_ms };
    let found = asked.find(&app, Reach::Authenticated).await?;
    bytes::offer(&app, called(found, request.filename), &Offer::new(&headers, false)).await
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
async fn thumbnail(
    app: App,
    Ruma { request, .. }: Ruma<get_content_thumbnail::v1::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked { server: &request.server_name, id: &request.media_id, timeout: request.timeout_ms };
    let wanted = wanted(request.width, request.height, request.method.as_ref(), request.animated)?;
    let found = asked.find(&app, Reach::Authenticated).await?;
    let thumbnail = app.media.thumbnail(&found, wanted).await?;
    bytes::offer(&app, thumbnail, &Offer::new(&headers, false)).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}`
async fn old_download(
    app: App,
    Ruma { request, .. }: Ruma<unauthenticated::get_content::v3::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked { server: &request.server_name, id: &request.media_id, timeout: request.timeout_ms };
    let found = asked.find(&app, Reach::Anybody).await?;
    bytes::offer(&app, found, &Offer::new(&headers, request.allow_redirect)).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}`
async fn old_download_as(
    app: App,
    Ruma { request, .. }: Ruma<unauthenticated::get_content_as_filename::v3::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked { server: &request.server_name, id: &request.media_id, timeout: request.timeout_ms };
    let found = asked.find(&app, Reach::Anybody).await?;
    bytes::offer(&app, called(found, request.filename), &Offer::new(&headers, request.allow_redirect)).await
}

/// `GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}`
async fn old_thumbnail(
    app: App,
    Ruma { request, .. }: Ruma<unauthenticated::get_content_thumbnail::v3::Request>,
    headers: HeaderMap,
) -> Result<Response> {
    let asked = Asked { server: &request.server_name, id: &request.media_id, timeout: request.timeout_ms };
    let wanted = wanted(request.width, request.height, request.method.as_ref(), request.animated)?;
    let found = asked.find(&app, Reach::Anybody).await?;
    let thumbnail = app.media.thumbnail(&found, wanted).await?;
    bytes::offer(&app, thumbnail, &Offer::new(&headers, request.allow_redirect)).await
}

/// What somebody asks for.
struct Asked<'a> {
    server: &'a ServerName,
    id: &'a str,
    timeout: Duration,
}

impl Asked<'_> {
    async fn find(&self, app: &App, reach: Reach) -> Result<Found, MediaError> {
        app.media.find(self.server, self.id, self.timeout.min(LONGEST_WAIT), reach).await
    }
}

/// Under another name than its uploader gave it.
fn called(found: Found, file_name: String) -> Found {
    Found { file_name: Some(file_name), ..found }
}

fn wanted(width: UInt, height: UInt, method: Option<&Method>, animated: Option<bool>) -> Result<Wanted> {
    let side = |length: UInt| u32::try_from(length).ok().filter(|length| *length > 0);
    let (Some(width), Some(height)) = (side(width), side(height)) else {
        return Err(Error::bad_request(
            ErrorKind::InvalidParam,
            "A thumbnail is at least one pixel wide and high.",
        ));
    };
    let crop = match method {
        Some(Method::Crop) => true,
        Some(Method::Scale) | None => false,
        Some(_) => return Err(Error::bad_request(ErrorKind::InvalidParam, "There is no such method.")),
    };
    Ok(Wanted { width, height, crop, animated: animated == Some(true) })
}
