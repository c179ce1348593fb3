//! Uploads in several requests, for large files over lines that break: docs/media.md describes them.

use std::marker::PhantomData;
use std::time::Duration;

use axum::response::Response;
use hearth_services::media::Declared;
use http::Method;
use http::header::CONTENT_TYPE;
use ruma::OwnedServerName;
use ruma::api::auth_scheme::AccessToken;
use ruma::api::error::{DeserializationError, Error as MatrixError};
use ruma::api::path_builder::SinglePath;
use ruma::api::{IncomingRequest, Metadata};
use serde::Deserialize;
use serde::de::{Error as _, value};
use serde_json::json;

use super::upload::refuse;
use crate::app::App;
use crate::error::{Result, render};
use crate::extract::{Content, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, receiving, route};

const PATH: &str = "/_matrix/client/unstable/hearth/media/upload/{server_name}/{media_id}";

/// How long a piece may take that does not stand still.
const PIECE_TIME: Duration = Duration::from_hours(24);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(progress).limited(Family::Uploads),
        receiving(append).limited(Family::Uploads).unless_suspended().extra_time(PIECE_TIME),
        receiving(complete).limited(Family::Uploads).unless_suspended().extra_time(PIECE_TIME),
    ]
}

/// `GET …/media/upload/{serverName}/{mediaId}`: how much has come.
async fn progress(app: App, Ruma { request, caller }: Ruma<Resumption<Progress>>) -> Result<Json> {
    let target = app.media.reserved(caller.user, &request.server_name, &request.media_id).await?;
    Ok(Json::new(&json!({ "offset": app.media.progress(&target).await? })))
}

/// `PUT …/media/upload/{serverName}/{mediaId}?offset=`: the next bytes. What came before the connection broke is kept.
async fn append(
    app: App,
    Ruma { request, caller }: Ruma<Resumption<Append>>,
    mut content: Content,
) -> Result<Response> {
    let target = match app.media.reserved(caller.user, &request.server_name, &request.media_id).await {
        Ok(target) => target,
        Err(error) => return Err(refuse(content, error).await),
    };
    let mut continuation =
        match app.media.resume(caller.user, &target, request.query.offset.unwrap_or_default()).await {
            Ok(continuation) => continuation,
            Err(error) => return Err(refuse(content, error).await),
        };
    let broken = loop {
        match content.next().await {
            Ok(Some(bytes)) => {
                if let Err(error) = continuation.write(bytes).await {
                    return Err(refuse(content, error).await);
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let offset = continuation.finish().await?;
    if let Some(error) = broken {
        return Err(error);
    }
    Ok(render(Json::new(&json!({ "offset": offset }))))
}

/// `POST …/media/upload/{serverName}/{mediaId}?filename=&size=`: that was all.
async fn complete(
    app: App,
    Ruma { request, caller }: Ruma<Resumption<Complete>>,
    content: Content,
) -> Result<Response> {
    let target = app.media.reserved(caller.user, &request.server_name, &request.media_id).await?;
    let content_type = content.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let declared = Declared {
        content_type: content_type.map(ToOwned::to_owned),
        file_name: request.query.filename,
        length: request.query.size,
    };
    app.media.complete(caller.user, target, declared).await?;
    Ok(render(Json::new(&json!({}))))
}

/// A request about an upload in several requests.
struct Resumption<V> {
    server_name: OwnedServerName,
    media_id: String,
    query: ResumptionQuery,
    verb: PhantomData<V>,
}

#[derive(Deserialize)]
struct ResumptionQuery {
    offset: Option<u64>,
    filename: Option<String>,
    size: Option<u64>,
}

/// What is to be done.
trait Verb: Send + 'static {
    const METHOD: Method;
}

struct Progress;
struct Append;
struct Complete;

impl Verb for Progress {
    const METHOD: Method = Method::GET;
}

impl Verb for Append {
    const METHOD: Method = Method::PUT;
}

impl Verb for Complete {
    const METHOD: Method = Method::POST;
}

impl<V: Verb> Metadata for Resumption<V> {
    const METHOD: Method = V::METHOD;
    const RATE_LIMITED: bool = true;
    type Authentication = AccessToken;
    type PathBuilder = SinglePath;
    const PATH_BUILDER: SinglePath = SinglePath::new(PATH);
}

impl<V: Verb> IncomingRequest for Resumption<V> {
    type EndpointError = MatrixError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let [server_name, media_id] = path_args else {
            return Err(value::Error::custom("expected a server name and a media id").into());
        };
        let query = serde_html_form::from_str(request.uri().query().unwrap_or_default())?;
        let server_name = OwnedServerName::try_from(*server_name)?;
        Ok(Self { server_name, media_id: (*media_id).to_owned(), query, verb: PhantomData })
    }
}
