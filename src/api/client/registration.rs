//! Account registration.

use hearth_services::accounts::{NewAccount, NewDevice};
use http::StatusCode;
use ruma::api::client::account::{
    check_registration_token_validity, get_username_availability,
    register::{self, LoginType, RegistrationKind},
};
use ruma::api::error::ErrorKind;
use ruma::{DeviceId, OwnedUserId, ServerName};
use serde::Serialize;

use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{Interactive, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, interactive, route};

/// Names, a password and what authentication needs.
const MAX_BODY: usize = 16 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        interactive(register).limited(Family::Registration).in_line(Line::Passwords).body_limit(MAX_BODY),
        route(available).limited(Family::RegistrationLookup),
        route(token_validity).limited(Family::RegistrationLookup),
    ]
}

/// The reply to a registration: without a login it has no device, not even `null`.
#[derive(Serialize)]
struct Registered<'a> {
    user_id: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u128>,
    /// Some old clients still read it.
    home_server: &'a ServerName,
}

/// `POST /_matrix/client/v3/register`
async fn register(
    app: App,
    Interactive { request, attempt, .. }: Interactive<register::v3::Request>,
) -> Result<Json> {
    check_kind(&request)?;
    let flows = app.accounts.policy().flows()?;
    let user_id = app.accounts.free_name(request.username.as_deref()).await?;
    let passed = app.uia.pass(&attempt, &flows).await?;
    let password = request.password.ok_or_else(|| {
        Error::bad_request(ErrorKind::MissingParam, "The body must have a \"password\" for the account.")
    })?;
    let device = (!request.inhibit_login).then_some(NewDevice {
        id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    });
    let account = NewAccount {
        user_id: user_id.clone(),
        password: Some(password),
        admin: false,
        counted_token: passed.counted_token(),
        device,
    };
    let session = app.accounts.create(account).await?;
    app.uia.finish(passed).await;
    let renewal = session.as_ref().and_then(|session| session.renewal.as_ref());
    Ok(Json::new(&Registered {
        user_id,
        access_token: session.as_ref().map(|session| &*session.access_token),
        device_id: session.as_ref().map(|session| &*session.device_id),
        refresh_token: renewal.map(|renewal| &*renewal.refresh_token),
        expires_in_ms: renewal.map(|renewal| renewal.expires_in.as_millis()),
        home_server: &app.settings.server_name,
    }))
}

/// Guests and application services have no accounts here.
fn check_kind(request: &register::v3::Request) -> Result<()> {
    match request.kind {
        RegistrationKind::User => {}
        RegistrationKind::Guest => {
            return Err(Error::new(
                StatusCode::FORBIDDEN,
                ErrorKind::GuestAccessForbidden,
                "This server has no guests.",
            ));
        }
        _ => return Err(Error::bad_request(ErrorKind::InvalidParam, "\"kind\" is either user or guest.")),
    }
    match request.login_type {
        Some(LoginType::ApplicationService) => Err(Error::unknown_token()),
        _ => Ok(()),
    }
}

/// `GET /_matrix/client/v3/register/available`
async fn available(
    app: App,
    Ruma { request, .. }: Ruma<get_username_availability::v3::Request>,
) -> Result<get_username_availability::v3::Response> {
    app.accounts.free_name(Some(&request.username)).await?;
    Ok(get_username_availability::v3::Response { available: true })
}

/// `GET /_matrix/client/v1/register/m.login.registration_token/validity`
async fn token_validity(
    app: App,
    Ruma { request, .. }: Ruma<check_registration_token_validity::v1::Request>,
) -> Result<check_registration_token_validity::v1::Response> {
    let policy = app.accounts.policy();
    policy.flows()?;
    let valid = policy.is_token_valid(&request.token).await?;
    Ok(check_registration_token_validity::v1::Response { valid })
}
