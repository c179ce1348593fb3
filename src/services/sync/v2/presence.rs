//! The `presence` section.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::ephemeral::presence::Presence;
use crate::sync::SyncError;
use crate::sync::json::Json;

/// The content of `m.presence`.
#[derive(Serialize)]
struct Content<'a> {
    presence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_msg: Option<&'a str>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_active_ago: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currently_active: Option<bool>,
}

/// Writes who is online.
pub(super) fn presence(json: &mut Json, of: &[Arc<Presence>], now_ms: i64) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("events").array(|json| {
            for presence in of {
                let content = Content {
                    presence: presence.state.name(),
                    status_msg: presence.status_msg.as_deref(),
                    last_active_ago: presence.last_active_ago(now_ms),
                    currently_active: presence.says_currently_active(),
                };
                let event = json!({"type": "m.presence", "sender": presence.user_id, "content": content});
                json.raw(&event.to_string());
            }
            Ok(())
        })
    })
}
