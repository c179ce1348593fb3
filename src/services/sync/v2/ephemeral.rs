//! The `ephemeral` section of a room.

use serde_json::json;

use crate::sync::SyncError;
use crate::sync::ephemeral::Ephemeral;
use crate::sync::json::Json;
use crate::sync::pieces;

/// Writes what passed in a room.
pub(super) fn ephemeral(json: &mut Json, passed: &Ephemeral) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("events").array(|json| {
            if let Some(typing) = &passed.typing {
                pieces::event(json, "m.typing", &pieces::typing(typing));
            }
            for content in pieces::receipts(passed.receipts.iter().map(AsRef::as_ref)) {
                pieces::event(json, "m.receipt", &json!(content));
            }
            Ok(())
        })
    })
}
