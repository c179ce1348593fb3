//! Which versions of the specification this server speaks.

use ruma::api::client::discovery::get_supported_versions;

use crate::app::App;
use crate::error::Result;
use crate::extract::Ruma;
use crate::route::{Route, route};

/// Clients refuse a server that does not list one they know; what is missing of the newest is told in
/// docs/spec-status.md.
const VERSIONS: [&str; 19] = [
    "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
    "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
];

/// Features under unstable names that work.
const FEATURES: [&str; 6] = [
    "org.matrix.msc3026.busy_presence",
    "org.matrix.msc3391",
    "org.matrix.msc4069",
    "org.matrix.simplified_msc3575",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
];

pub(super) fn routes() -> Vec<Route> {
    vec![route(versions)]
}

/// `GET /_matrix/client/versions`
async fn versions(
    _: App,
    Ruma { .. }: Ruma<get_supported_versions::Request>,
) -> Result<get_supported_versions::Response> {
    Ok(get_supported_versions::Response {
        versions: VERSIONS.map(ToOwned::to_owned).to_vec(),
        unstable_features: FEATURES.map(|feature| (feature.to_owned(), true)).into(),
    })
}
