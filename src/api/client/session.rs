//! Login, logout, and who am I.

use hearth_services::accounts::NewDevice;
use ruma::OwnedDeviceId;
use ruma::api::client::account::whoami;
use ruma::api::client::session::{
    get_login_types::{self, v3::LoginType, v3::PasswordLoginType},
    login::{self, v3::DiscoveryInfo, v3::HomeserverInfo},
    logout, logout_all,
};
use ruma::api::error::ErrorKind;
use serde::Deserialize;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{At, Ruma};
use crate::rate_limit::Family;
use crate::route::{Route, route};

/// A name, a password and a device.
const MAX_BODY: usize = 16 * 1024;

const PASSWORD: &str = "m.login.password";

/// A login by password; every other type has none of these.
#[derive(Deserialize)]
struct LoginBody {
    r#type: String,
    identifier: Option<Identifier>,
    /// What `identifier` was before there was one.
    user: Option<String>,
    password: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    r#type: String,
    user: Option<String>,
}

type Login = At<login::v3::Request, [(); 0], LoginBody>;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(flows),
        route(log_in).limited(Family::Login).body_limit(MAX_BODY),
        route(log_out),
        route(log_out_everywhere),
        route(who_am_i),
    ]
}

/// `GET /_matrix/client/v3/login`
async fn flows(
    _: App,
    Ruma { .. }: Ruma<get_login_types::v3::Request>,
) -> Result<get_login_types::v3::Response> {
    Ok(get_login_types::v3::Response { flows: vec![LoginType::Password(PasswordLoginType {})] })
}

/// `POST /_matrix/client/v3/login`
async fn log_in(app: App, Ruma { request, .. }: Ruma<Login>) -> Result<login::v3::Response> {
    let body = request.body;
    if body.r#type != PASSWORD {
        return Err(Error::bad_request(ErrorKind::Unknown, "This type of login is not offered."));
    }
    let password = body.password.ok_or_else(|| missing("The body has no \"password\"."))?;
    // Whoever is named by something else than a user name is nobody here, and takes as long to be refused.
    let name = match body.identifier {
        Some(identifier) if identifier.r#type == "m.id.user" => {
            Some(identifier.user.ok_or_else(|| missing("The identifier has no \"user\"."))?)
        }
        Some(_) => None,
        None => Some(body.user.ok_or_else(|| missing("The body has no \"identifier\"."))?),
    };
    app.limits.check_account(name.as_deref().unwrap_or_default())?;
    let device = NewDevice { id: body.device_id, display_name: body.initial_device_display_name };
    let session = app.accounts.log_in(name.as_deref(), password, device).await?;
    let well_known = app
        .settings
        .public_url
        .clone()
        .map(|base_url| DiscoveryInfo { homeserver: HomeserverInfo { base_url }, identity_server: None });
    #[expect(deprecated, reason = "some old clients still read home_server")]
    Ok(login::v3::Response {
        user_id: session.user_id,
        access_token: session.access_token,
        home_server: Some(app.settings.server_name.clone()),
        device_id: session.device_id,
        well_known,
        refresh_token: None,
        expires_in: None,
    })
}

fn missing(message: &'static str) -> Error {
    Error::bad_request(ErrorKind::MissingParam, message)
}

/// `POST /_matrix/client/v3/logout`
async fn log_out(app: App, Ruma { caller, .. }: Ruma<logout::v3::Request>) -> Result<logout::v3::Response> {
    app.accounts.log_out(caller.user, caller.device_id).await?;
    Ok(logout::v3::Response {})
}

/// `POST /_matrix/client/v3/logout/all`
async fn log_out_everywhere(
    app: App,
    Ruma { caller, .. }: Ruma<logout_all::v3::Request>,
) -> Result<logout_all::v3::Response> {
    app.accounts.log_out_everywhere(caller.user).await?;
    Ok(logout_all::v3::Response {})
}

/// `GET /_matrix/client/v3/account/whoami`
async fn who_am_i(_: App, Ruma { caller, .. }: Ruma<whoami::v3::Request>) -> Result<whoami::v3::Response> {
    Ok(whoami::v3::Response { user_id: caller.user_id, device_id: Some(caller.device_id), is_guest: false })
}
