//! The `presence` section.

use std::sync::Arc;

use crate::ephemeral::presence::Shown;
use crate::sync::SyncError;
use crate::sync::json::Json;

/// Writes who is online.
pub(super) fn presence(json: &mut Json, of: &[Arc<Shown>], now_ms: i64) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("events").array(|json| {
            for shown in of {
                shown.write_event(json.value(), now_ms);
            }
            Ok(())
        })
    })
}
