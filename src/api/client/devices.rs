//! The devices of a user.

use hearth_services::accounts::Device;
use ruma::api::client::device::{delete_device, delete_devices, get_device, get_devices, update_device};
use serde::Serialize;

use super::prove;
use crate::app::App;
use crate::error::Result;
use crate::extract::{Interactive, Ruma};
use crate::reply::Json;
use crate::route::{Route, interactive, route};

/// The ids of devices, a name, or a password.
const MAX_BODY: usize = 64 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(devices),
        route(device),
        route(rename).body_limit(MAX_BODY),
        interactive(delete).body_limit(MAX_BODY),
        interactive(delete_several).body_limit(MAX_BODY),
    ]
}

#[derive(Serialize)]
struct Devices {
    devices: Vec<Shown>,
}

/// A device as its user sees it: what it does not have is left out, not `null`.
#[derive(Serialize)]
struct Shown {
    device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_ts: Option<i64>,
}

/// `GET /_matrix/client/v3/devices`
async fn devices(app: App, Ruma { caller, .. }: Ruma<get_devices::v3::Request>) -> Result<Json> {
    let devices = app.accounts.devices(caller.user).await?;
    Ok(Json::new(&Devices { devices: devices.into_iter().map(Shown::from).collect() }))
}

/// `GET /_matrix/client/v3/devices/{deviceId}`
async fn device(app: App, Ruma { request, caller }: Ruma<get_device::v3::Request>) -> Result<Json> {
    let device = app.accounts.device(caller.user, &request.device_id).await?;
    Ok(Json::new(&Shown::from(device)))
}

/// `PUT /_matrix/client/v3/devices/{deviceId}`
async fn rename(
    app: App,
    Ruma { request, caller }: Ruma<update_device::v3::Request>,
) -> Result<update_device::v3::Response> {
    match request.display_name {
        Some(name) => app.accounts.rename_device(caller.user, &request.device_id, name).await?,
        // > If not given, the display name is unchanged.
        None => drop(app.accounts.device(caller.user, &request.device_id).await?),
    }
    Ok(update_device::v3::Response::new())
}

/// `DELETE /_matrix/client/v3/devices/{deviceId}`
async fn delete(
    app: App,
    Interactive { request, caller, attempt }: Interactive<delete_device::v3::Request>,
) -> Result<delete_device::v3::Response> {
    let passed = prove::password(&app, &attempt).await?;
    app.accounts.delete_devices(caller.user, vec![request.device_id]).await?;
    app.uia.finish(passed).await;
    Ok(delete_device::v3::Response::new())
}

/// `POST /_matrix/client/v3/delete_devices`
async fn delete_several(
    app: App,
    Interactive { request, caller, attempt }: Interactive<delete_devices::v3::Request>,
) -> Result<delete_devices::v3::Response> {
    let passed = prove::password(&app, &attempt).await?;
    app.accounts.delete_devices(caller.user, request.devices).await?;
    app.uia.finish(passed).await;
    Ok(delete_devices::v3::Response::new())
}

impl From<Device> for Shown {
    fn from(device: Device) -> Self {
        let (last_seen_ip, last_seen_ts) = device.seen.map(|seen| (seen.ip, seen.ts)).unzip();
        Self {
            device_id: device.id,
            display_name: device.display_name,
            last_seen_ip: last_seen_ip.flatten(),
            last_seen_ts,
        }
    }
}
