//! What administrators do to users, and ask about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_services::accounts::{Caller, LocalUser, Restriction};
use ruma::api::client::admin::{get_user_info, is_user_locked, is_user_suspended, lock_user, suspend_user};
use ruma::api::error::ErrorKind;
use ruma::{OwnedUserId, UserId};
use serde::Serialize;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::reply::Json;
use crate::route::{Route, route};

/// One flag.
const MAX_BODY: usize = 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(is_locked),
        route(lock).unless_suspended().body_limit(MAX_BODY),
        route(is_suspended),
        route(suspend).unless_suspended().body_limit(MAX_BODY),
        route(who_is),
    ]
}

/// Where a user was last seen: what is not known is left out, not `null`.
#[derive(Serialize)]
struct Whereabouts {
    user_id: OwnedUserId,
    devices: BTreeMap<String, Sessions>,
}

#[derive(Serialize)]
struct Sessions {
    sessions: [Connections; 1],
}

#[derive(Serialize)]
struct Connections {
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct Connection {
    last_seen: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// `GET /_matrix/client/v1/admin/lock/{userId}`
async fn is_locked(
    app: App,
    Ruma { request, caller }: Ruma<is_user_locked::v1::Request>,
) -> Result<is_user_locked::v1::Response> {
    let user = administrated(&app, &caller, &request.user_id).await?;
    Ok(is_user_locked::v1::Response { locked: user.restrictions.locked })
}

/// `PUT /_matrix/client/v1/admin/lock/{userId}`
async fn lock(
    app: App,
    Ruma { request, caller }: Ruma<lock_user::v1::Request>,
) -> Result<lock_user::v1::Response> {
    let user = restrictable(&app, &caller, &request.user_id).await?;
    app.accounts.restrict(user.user, Restriction::Locked(request.locked)).await?;
    Ok(lock_user::v1::Response { locked: request.locked })
}

/// `GET /_matrix/client/v1/admin/suspend/{userId}`
async fn is_suspended(
    app: App,
    Ruma { request, caller }: Ruma<is_user_suspended::v1::Request>,
) -> Result<is_user_suspended::v1::Response> {
    let user = administrated(&app, &caller, &request.user_id).await?;
    Ok(is_user_suspended::v1::Response { suspended: user.restrictions.suspended })
}

/// `PUT /_matrix/client/v1/admin/suspend/{userId}`
async fn suspend(
    app: App,
    Ruma { request, caller }: Ruma<suspend_user::v1::Request>,
) -> Result<suspend_user::v1::Response> {
    let user = restrictable(&app, &caller, &request.user_id).await?;
    app.accounts.restrict(user.user, Restriction::Suspended(request.suspended)).await?;
    Ok(suspend_user::v1::Response { suspended: request.suspended })
}

/// `GET /_matrix/client/v3/admin/whois/{userId}`
async fn who_is(app: App, Ruma { request, caller }: Ruma<get_user_info::v3::Request>) -> Result<Json> {
    let user = if caller.user_id == request.user_id {
        caller.user
    } else {
        administrated(&app, &caller, &request.user_id).await?.user
    };
    let devices = app.accounts.devices(user).await?.into_iter().map(|device| {
        let connections = device.seen.map(|seen| Connection {
            last_seen: seen.ts,
            ip: seen.ip,
            user_agent: seen.user_agent,
        });
        let connections = Connections { connections: connections.into_iter().collect() };
        (device.id, Sessions { sessions: [connections] })
    });
    Ok(Json::new(&Whereabouts { user_id: request.user_id, devices: devices.collect() }))
}

/// A user for an administrator. Who is none learns nothing, not even whether there is such a user.
async fn administrated(app: &App, caller: &Caller, user_id: &UserId) -> Result<Arc<LocalUser>> {
    if !caller.admin {
        return Err(Error::forbidden("Only administrators may do this."));
    }
    if user_id.server_name() != app.settings.server_name {
        return Err(Error::bad_request(ErrorKind::InvalidParam, "This is not a user of this server."));
    }
    Ok(app.accounts.in_use(user_id).await?)
}

/// A user whom the caller may keep from something: no administrator, and so not themselves.
async fn restrictable(app: &App, caller: &Caller, user_id: &UserId) -> Result<Arc<LocalUser>> {
    let user = administrated(app, caller, user_id).await?;
    if user.admin {
        return Err(Error::forbidden("This is an administrator."));
    }
    Ok(user)
}
