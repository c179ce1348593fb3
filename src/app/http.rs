//! What is served until the whole HTTP surface is there: whether the server lives and is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// Whether requests are welcome.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Everything that is needed to serve is there.
    pub(super) fn set_ready(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// The server stops.
    pub(super) fn set_stopping(&self) {
        self.0.store(2, Ordering::Relaxed);
    }
}

/// `GET /health` and `GET /ready`.
pub(super) fn router(readiness: Readiness) -> Router {
    let ready = move || {
        let (code, status) = match readiness.0.load(Ordering::Relaxed) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            1 => (StatusCode::OK, "ready"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        async move { (code, Json(json!({ "status": status }))) }
    };
    let unknown = || async {
        let error: Value = json!({ "errcode": "M_UNRECOGNIZED", "error": "There is no such endpoint." });
        (StatusCode::NOT_FOUND, Json(error))
    };
    Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/ready", get(ready))
        .fallback(unknown)
}
