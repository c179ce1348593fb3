//! Documents that tell clients about this server before they talk to it.

use ruma::api::client::discovery::{discover_homeserver, discover_support};

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::route::{Route, route};

pub(crate) fn routes() -> Vec<Route> {
    vec![route(homeserver).slash_optional(), route(support).slash_optional()]
}

/// `GET /.well-known/matrix/client`
async fn homeserver(
    app: App,
    Ruma { .. }: Ruma<discover_homeserver::Request>,
) -> Result<discover_homeserver::Response> {
    let url = app.settings.public_url.clone();
    let base_url = url.ok_or_else(|| Error::not_found("This server's address is not configured."))?;
    Ok(discover_homeserver::Response {
        homeserver: discover_homeserver::HomeserverInfo { base_url },
        identity_server: None,
    })
}

/// `GET /.well-known/matrix/support`
async fn support(
    app: App,
    Ruma { .. }: Ruma<discover_support::Request>,
) -> Result<discover_support::Response> {
    let support = app.settings.support.clone();
    if support.contacts.is_empty() && support.page.is_none() {
        return Err(Error::not_found("No contact is configured."));
    }
    Ok(discover_support::Response { contacts: support.contacts, support_page: support.page })
}
