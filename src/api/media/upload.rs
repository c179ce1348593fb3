//! Taking media.

#![expect(deprecated, reason = "clients of before version 1.11 have nothing else")]

use std::time::Duration;

use axum::response::Response;
use hearth_services::accounts::Caller;
use hearth_services::media::{Declared, Intake, Target, Uploaded};
use http::header::CONTENT_TYPE;
use ruma::UInt;
use ruma::api::client::authenticated_media::get_media_config as get_authenticated_config;
use ruma::api::client::media::{create_content, create_content_async, create_mxc_uri, get_media_config};
use serde_json::json;

use crate::app::App;
use crate::error::{Error, Result, render};
use crate::extract::{Content, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, receiving, route};

/// How long an upload may take that does not stand still: a gigabyte over a slow line.
const UPLOAD_TIME: Duration = Duration::from_hours(24);

pub(super) fn routes() -> Vec<Route> {
    let upload = |route: Route| route.limited(Family::Uploads).unless_suspended().extra_time(UPLOAD_TIME);
    vec![
        upload(receiving(create)).also("/_matrix/media/v1/upload"),
        upload(receiving(fill)),
        route(reserve).limited(Family::MediaReservations).unless_suspended(),
        route(config).also("/_matrix/media/v1/config"),
        route(authenticated_config),
    ]
}

/// `POST /_matrix/media/v3/upload`, with a blurhash for who asks for one (MSC2448)
async fn create(
    app: App,
    Ruma { request, caller }: Ruma<create_content::v3::Request>,
    content: Content,
) -> Result<Response> {
    let uploaded = receive(&app, &caller, Target::New, request.filename, content).await?;
    let blurhash = if request.generate_blurhash { app.media.blurhash(&uploaded).await? } else { None };
    Ok(render(create_content::v3::Response { content_uri: uploaded.uri, blurhash }))
}

/// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`
async fn fill(
    app: App,
    Ruma { request, caller }: Ruma<create_content_async::v3::Request>,
    content: Content,
) -> Result<Response> {
    let target = match app.media.reserved(caller.user, &request.server_name, &request.media_id).await {
        Ok(target) => target,
        Err(error) => return Err(refuse(content, error).await),
    };
    receive(&app, &caller, target, request.filename, content).await?;
    Ok(render(Json::new(&json!({}))))
}

/// `POST /_matrix/media/v1/create`
async fn reserve(
    app: App,
    Ruma { caller, .. }: Ruma<create_mxc_uri::v1::Request>,
) -> Result<create_mxc_uri::v1::Response> {
    let reserved = app.media.reserve(caller.user).await?;
    Ok(create_mxc_uri::v1::Response { content_uri: reserved.uri, unused_expires_at: Some(reserved.expires) })
}

/// `GET /_matrix/media/v3/config`
async fn config(app: App, _: Ruma<get_media_config::v3::Request>) -> Result<get_media_config::v3::Response> {
    Ok(get_media_config::v3::Response::new(largest(&app)))
}

/// `GET /_matrix/client/v1/media/config`
async fn authenticated_config(
    app: App,
    _: Ruma<get_authenticated_config::v1::Request>,
) -> Result<get_authenticated_config::v1::Response> {
    Ok(get_authenticated_config::v1::Response::new(largest(&app)))
}

fn largest(app: &App) -> UInt {
    UInt::try_from(app.media.settings().max_upload).unwrap_or(UInt::MAX)
}

async fn receive(
    app: &App,
    caller: &Caller,
    target: Target,
    file_name: Option<String>,
    mut content: Content,
) -> Result<Uploaded> {
    let content_type = content.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let declared = Declared {
        content_type: content_type.map(ToOwned::to_owned),
        file_name,
        length: content.announced(),
    };
    let mut intake = match app.media.begin(caller.user, target, declared).await {
        Ok(intake) => intake,
        Err(error) => return Err(refuse(content, error).await),
    };
    if let Err(error) = take(&mut intake, &mut content).await {
        drop(intake);
        content.drain().await;
        return Err(error);
    }
    Ok(intake.finish().await?)
}

async fn take(intake: &mut Intake, content: &mut Content) -> Result<()> {
    while let Some(bytes) = content.next().await? {
        intake.write(bytes).await?;
    }
    Ok(())
}

/// A client that is still sending hears no answer: it sends all, and then hears it.
pub(super) async fn refuse(content: Content, error: impl Into<Error>) -> Error {
    content.drain().await;
    error.into()
}
