//! HTTP in, HTTP out: every endpoint is a short handler over one service call.
//!
//! ```text
//! request ─▶ front (CORS, deadline, metrics, panics) ─▶ route: who ─▶ rate ─▶ body ─▶ handler ─▶ reply
//! ```

mod admission;
mod app;
mod client;
mod error;
mod extract;
mod federation;
mod front;
mod health;
mod media;
mod rate_limit;
mod reply;
mod route;
mod well_known;

use axum::Router;
use axum::routing::on_service;

pub use self::admission::Admission;
pub use self::app::{App, Services, Settings, Support};
pub use self::client::{StreamSettings, Streams};
pub use self::extract::Peer;
pub use self::health::Readiness;
pub use self::rate_limit::{Family, RateLimits, Rates};

use self::route::{Route, Served};

/// The whole HTTP surface of the server.
///
/// Requests should carry a [`Peer`] among their extensions; without one the client's address is unknown.
pub fn router(app: App) -> Router {
    let router = serve(&app, Router::new(), routes());
    // What comes over a stream is answered by everything else.
    let requests = finish(app.clone(), router.clone());
    let router = serve(&app, router, client::stream_routes(&requests));
    finish(app, router)
}

fn serve(app: &App, mut served: Router, routes: Vec<Route>) -> Router {
    for route in routes {
        let filter = route.filter();
        let paths = route.paths().to_vec();
        let service = Served::new(app.clone(), route);
        for path in paths {
            served = served.route(&path, on_service(filter, service.clone()));
        }
    }
    served
}

/// What holds for every request.
fn finish(app: App, router: Router) -> Router {
    router
        .fallback(route::unknown_path)
        .method_not_allowed_fallback(route::wrong_method)
        .layer(axum::middleware::from_fn_with_state(app, front::serve))
}

/// Every route of the server but those of streams.
fn routes() -> Vec<Route> {
    let mut routes = health::routes();
    routes.extend(well_known::routes());
    routes.extend(client::routes());
    routes.extend(federation::routes());
    routes.extend(media::routes());
    routes
}
