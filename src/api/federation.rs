//! The server-server API, a file for each section of the specification.

mod openid;

use crate::route::Route;

/// Every route of this API.
pub(crate) fn routes() -> Vec<Route> {
    openid::routes()
}
