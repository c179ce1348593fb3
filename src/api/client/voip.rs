//! Voice over IP.

use ruma::api::client::voip::get_turn_server_info;
use serde_json::json;

use crate::app::App;
use crate::error::Result;
use crate::extract::Ruma;
use crate::reply::Json;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![route(turn_server)]
}

/// `GET /_matrix/client/v3/voip/turnServer`
///
/// No TURN server is configured, which clients expect to be told as an empty object.
async fn turn_server(_: App, Ruma { .. }: Ruma<get_turn_server_info::v3::Request>) -> Result<Json> {
    Ok(Json::new(&json!({})))
}
