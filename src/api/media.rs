//! The content repository.

mod bytes;
mod download;
mod preview;
mod resumption;
mod upload;

use crate::route::Route;

/// Its routes.
pub(crate) fn routes() -> Vec<Route> {
    let parts = [upload::routes(), download::routes(), preview::routes(), resumption::routes()];
    parts.into_iter().flatten().collect()
}
