//! Login, logout, and who am I.

use std::net::IpAddr;

use hearth_services::accounts::{Credentials, NewDevice, OpenedSession};
use ruma::OwnedDeviceId;
use ruma::api::client::account::whoami;
use ruma::api::client::session::{
    get_login_token,
    get_login_types::{self, v3::LoginType, v3::PasswordLoginType, v3::TokenLoginType},
    login::{self, v3::DiscoveryInfo, v3::HomeserverInfo},
    logout, logout_all, refresh_token,
};
use ruma::api::error::ErrorKind;
use serde::Deserialize;

use super::prove;
use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{At, Interactive, Ruma};
use crate::rate_limit::{Family, Key};
use crate::route::{Route, interactive, route};

/// A name, a password and a device.
const MAX_BODY: usize = 16 * 1024;

const PASSWORD: &str = "m.login.password";
const TOKEN: &str = "m.login.token";

/// A login: by password or by token.
#[derive(Deserialize)]
struct LoginBody {
    r#type: String,
    identifier: Option<Identifier>,
    /// What `identifier` was before there was one.
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
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
        route(log_in).limited(Family::LoginPerAddress).in_line(Line::Passwords).body_limit(MAX_BODY),
        interactive(login_token).body_limit(MAX_BODY),
        route(refresh).limited(Family::Refresh).body_limit(MAX_BODY),
        route(log_out).even_locked(),
        route(log_out_everywhere).even_locked(),
        route(who_am_i),
    ]
}

/// `GET /_matrix/client/v3/login`
async fn flows(
    _: App,
    Ruma { .. }: Ruma<get_login_types::v3::Request>,
) -> Result<get_login_types::v3::Response> {
    let token = LoginType::Token(TokenLoginType { get_login_token: true });
    Ok(get_login_types::v3::Response { flows: vec![LoginType::Password(PasswordLoginType {}), token] })
}

/// `POST /_matrix/client/v3/login`
async fn log_in(app: App, Ruma { request, caller }: Ruma<Login>) -> Result<login::v3::Response> {
    let session = match &*request.body.r#type {
        PASSWORD => log_in_by_password(&app, request.body, caller.address).await?,
        TOKEN => {
            let mut body = request.body;
            let token = body.token.take().ok_or_else(|| missing("The body has no \"token\"."))?;
            app.accounts.log_in_by_token(&token, body.device()).await?
        }
        _ => return Err(Error::bad_request(ErrorKind::Unknown, "This type of login is not offered.")),
    };
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
        expires_in: session.renewal.as_ref().map(|renewal| renewal.expires_in),
        refresh_token: session.renewal.map(|renewal| renewal.refresh_token),
    })
}

async fn log_in_by_password(
    app: &App,
    mut body: LoginBody,
    address: Option<IpAddr>,
) -> Result<OpenedSession> {
    let password = body.password.take().ok_or_else(|| missing("The body has no \"password\"."))?;
    // Whoever is named by something else than a user name is nobody here, and takes as long to be refused.
    let name = match body.identifier.take() {
        Some(identifier) if identifier.r#type == "m.id.user" => {
            Some(identifier.user.ok_or_else(|| missing("The identifier has no \"user\"."))?)
        }
        Some(_) => None,
        None => Some(body.user.take().ok_or_else(|| missing("The body has no \"identifier\"."))?),
    };
    let account = Key::Named(name.as_deref().unwrap_or_default().to_ascii_lowercase());
    let vacancy = app.limits.vacancy(Family::LoginPerAccount, account)?;
    let credentials = Credentials { name, password, address };
    let session = app.accounts.log_in(credentials, body.device()).await?;
    vacancy.take();
    Ok(session)
}

impl LoginBody {
    fn device(self) -> NewDevice {
        NewDevice {
            id: self.device_id,
            display_name: self.initial_device_display_name,
            refreshable: self.refresh_token,
        }
    }
}

fn missing(message: &'static str) -> Error {
    Error::bad_request(ErrorKind::MissingParam, message)
}

/// `POST /_matrix/client/v1/login/get_token`
async fn login_token(
    app: App,
    Interactive { caller, attempt, .. }: Interactive<get_login_token::v1::Request>,
) -> Result<get_login_token::v1::Response> {
    let passed = prove::password(&app, &attempt).await?;
    let (login_token, expires_in) = app.accounts.new_login_token(caller.user).await?;
    app.uia.finish(passed).await;
    Ok(get_login_token::v1::Response { expires_in, login_token })
}

/// `POST /_matrix/client/v3/refresh`
async fn refresh(
    app: App,
    Ruma { request, .. }: Ruma<refresh_token::v3::Request>,
) -> Result<refresh_token::v3::Response> {
    let refreshed = app.accounts.refresh(&request.refresh_token).await?;
    Ok(refresh_token::v3::Response {
        access_token: refreshed.access_token,
        refresh_token: Some(refreshed.renewal.refresh_token),
        expires_in_ms: Some(refreshed.renewal.expires_in),
    })
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
