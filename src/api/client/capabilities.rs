//! What this server can do.

use hearth_core::room_version;
use ruma::api::client::discovery::get_capabilities;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::error::Result;
use crate::extract::Ruma;
use crate::reply::Json;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![route(capabilities)]
}

/// `GET /_matrix/client/v3/capabilities`
async fn capabilities(_: App, Ruma { caller, .. }: Ruma<get_capabilities::v3::Request>) -> Result<Json> {
    let available: Map<String, Value> =
        room_version::all().iter().map(|version| (version.id.to_string(), json!("stable"))).collect();
    Ok(Json::new(&json!({
        "capabilities": {
            "m.room_versions": { "default": room_version::DEFAULT, "available": available },
            "m.change_password": { "enabled": true },
            "m.3pid_changes": { "enabled": false },
            "m.get_login_token": { "enabled": true },
            "m.profile_fields": { "enabled": true },
            "m.set_displayname": { "enabled": true },
            "m.set_avatar_url": { "enabled": true },
            "m.forget_forced_upon_leave": { "enabled": false },
            "m.account_moderation": { "lock": caller.admin, "suspend": caller.admin },
        }
    })))
}
