//! `GET /health` and `GET /ready`, for supervisors and load balancers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http::{Method, StatusCode};
use serde_json::json;

use crate::app::App;
use crate::error::Result;
use crate::reply::Json;
use crate::route::{Route, plain};

/// Whether requests are welcome. Cheap to clone; every clone sees a change.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Readiness {
    /// Everything that is needed to serve is there.
    pub fn set_ready(&self) {
        self.0.store(READY, Ordering::Relaxed);
    }

    /// The server stops: nothing new should come.
    pub fn set_stopping(&self) {
        self.0.store(STOPPING, Ordering::Relaxed);
    }

    fn name(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            STARTING => "starting",
            READY => "ready",
            _ => "stopping",
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![plain(Method::GET, "/health", health), plain(Method::GET, "/ready", ready)]
}

/// The process runs.
async fn health(_: App) -> Result<Json> {
    Ok(Json::new(&json!({ "status": "ok" })))
}

/// The process can serve: it has started, does not stop, and hears of what other replicas do.
async fn ready(app: App) -> Result<Json> {
    let status = match app.readiness.name() {
        "ready" if !app.log.is_current() => "waiting for the database",
        status => status,
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut reply = json!({ "status": status });
    if let Some(stray) = app.media.settings().stray {
        reply["media"] = json!(stray);
    }
    Ok(Json::new(&reply).with_status(code))
}
