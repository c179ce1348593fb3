//! Ending an account.

use ruma::api::client::account::{ThirdPartyIdRemovalStatus, deactivate};

use super::prove;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Interactive;
use crate::route::{Route, interactive};

/// A password.
const MAX_BODY: usize = 16 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![interactive(end).body_limit(MAX_BODY)]
}

/// `POST /_matrix/client/v3/account/deactivate`
async fn end(
    app: App,
    Interactive { request, caller, attempt }: Interactive<deactivate::v3::Request>,
) -> Result<deactivate::v3::Response> {
    // Without a token one would prove by mail who one is, and this server knows no addresses.
    let caller = caller.ok_or_else(Error::missing_token)?;
    let passed = prove::password(&app, &attempt).await?;
    app.accounts.deactivate(caller.user, request.erase).await?;
    app.uia.finish(passed).await;
    // There is no address that an identity server could know of.
    Ok(deactivate::v3::Response { id_server_unbind_result: ThirdPartyIdRemovalStatus::Success })
}
