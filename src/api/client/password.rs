//! Changing the password of an account.

use ruma::api::client::account::change_password;

use super::prove;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Interactive;
use crate::route::{Route, interactive};

/// Two passwords.
const MAX_BODY: usize = 16 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![interactive(change).body_limit(MAX_BODY)]
}

/// `POST /_matrix/client/v3/account/password`
async fn change(
    app: App,
    Interactive { request, caller, attempt }: Interactive<change_password::v3::Request>,
) -> Result<change_password::v3::Response> {
    // Without a token one would prove by mail who one is, and this server knows no addresses.
    let caller = caller.ok_or_else(Error::missing_token)?;
    let passed = prove::password(&app, &attempt).await?;
    app.accounts.change_password(&caller, request.new_password, request.logout_devices).await?;
    app.uia.finish(passed).await;
    Ok(change_password::v3::Response::new())
}
