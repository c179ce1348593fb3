//! Who a token is of that somebody gave to a third party.

use ruma::api::federation::openid::get_openid_userinfo;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![route(user_info)]
}

/// `GET /_matrix/federation/v1/openid/userinfo`
async fn user_info(
    app: App,
    Ruma { request, .. }: Ruma<get_openid_userinfo::v1::Request>,
) -> Result<get_openid_userinfo::v1::Response> {
    let sub = app.accounts.openid_user(&request.access_token).await?.ok_or_else(Error::unknown_token)?;
    Ok(get_openid_userinfo::v1::Response { sub })
}
