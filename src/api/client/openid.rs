//! Telling third parties who one is.

use ruma::api::client::account::request_openid_token;
use ruma::authentication::TokenType;

use crate::app::App;
use crate::error::Result;
use crate::extract::{CallerExt, Ruma};
use crate::route::{Route, route};

/// Nothing is asked for.
const MAX_BODY: usize = 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![route(token).body_limit(MAX_BODY)]
}

/// `POST /_matrix/client/v3/user/{userId}/openid/request_token`
async fn token(
    app: App,
    Ruma { request, caller }: Ruma<request_openid_token::v3::Request>,
) -> Result<request_openid_token::v3::Response> {
    caller.must_be(&request.user_id)?;
    let (access_token, expires_in) = app.accounts.new_openid_token(caller.user).await?;
    Ok(request_openid_token::v3::Response {
        access_token,
        token_type: TokenType::Bearer,
        matrix_server_name: app.settings.server_name.clone(),
        expires_in,
    })
}
