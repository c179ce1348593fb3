//! What every request passes first and last: CORS, an id, metrics, and the wall that panics stop at.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use hearth_services::statements;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tracing::Instrument;

use crate::app::App;
use crate::error::Error;

/// The headers that let a page of any origin use this server. The last six request headers are those of
/// rendezvous sessions and of ranges.
const CORS: [(HeaderName, HeaderValue); 4] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS")),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "X-Requested-With, Content-Type, Authorization, Date, If-Match, If-None-Match, If-Range, Range",
        ),
    ),
    (
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Accept-Ranges, Content-Disposition, Content-Range, ETag, Retry-After, X-Request-Id",
        ),
    ),
];

/// How long a browser may remember the answer to OPTIONS; they cap it at two hours.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("7200");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves one request.
pub(crate) async fn serve(State(_): State<App>, request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        let mut response = Response::default();
        allow_every_origin(response.headers_mut());
        response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        return response;
    }
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let id = format!("{:016x}", rand::random::<u64>());
    let span = tracing::info_span!("request", request.id = %id, %method, route);
    let mut response = measured(&method, route, next.run(request)).instrument(span).await;
    allow_every_origin(response.headers_mut());
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn measured(method: &Method, route: &str, answer: impl Future<Output = Response>) -> Response {
    let start = Instant::now();
    let (answered, statements) = statements::counted(AssertUnwindSafe(answer).catch_unwind()).await;
    let response = answered.unwrap_or_else(|panic| Error::internal(panic_message(&*panic)).into_response());
    let duration = start.elapsed();
    let (method, route) = (method_label(method), route.to_owned());
    let status = response.status().as_u16();
    metrics::counter!("hearth_http_requests_total",
        "method" => method, "route" => route.clone(), "status" => status.to_string())
    .increment(1);
    metrics::histogram!("hearth_http_request_duration_seconds", "method" => method, "route" => route.clone())
        .record(duration.as_secs_f64());
    metrics::counter!("hearth_db_statements_total", "route" => route).increment(statements);
    tracing::debug!(status, duration_ms = duration.as_millis(), statements, "answered");
    response
}

fn allow_every_origin(headers: &mut HeaderMap) {
    headers.extend(CORS);
}

/// A label from a fixed set: anybody can make up methods.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", message.unwrap_or("no message"))
}
