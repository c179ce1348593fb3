//! What only one reader is told beside an event.

use std::fmt::Write as _;

use hearth_core::client_event::ClientEvent;
use hearth_core::room_version::RoomVersion;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;

use super::engine::Reader;
use super::timeline::{Previous, Seen};

/// The `unsigned` object of an event, as JSON.
pub(super) fn unsigned(
    seen: &Seen,
    reader: &Reader,
    version: &RoomVersion,
    now_ms: i64,
) -> Result<String, StoreError> {
    let event = &seen.shown.event;
    let sent = i64::from(event.pdu.origin_server_ts().get());
    let mut out = String::with_capacity(64);
    // Writing to a string cannot fail.
    let _ = write!(out, "{{\"age\":{}", now_ms.saturating_sub(sent));
    if let Some(membership) = seen.membership {
        let _ = write!(out, ",\"membership\":\"{}\"", membership.name());
    }
    if let Some(previous) = &seen.previous {
        write_previous(&mut out, previous, version)?;
    }
    if let Some(redaction) = &seen.redaction {
        let json = ClientEvent::full(&redaction.pdu).map_err(|_| corrupt(redaction))?;
        let _ = write!(out, ",\"redacted_because\":{}", json.as_str());
    }
    let sent_by = event
        .sent_by
        .as_ref()
        .filter(|sent_by| event.sender == reader.user && sent_by.device_id == reader.device.as_str());
    if let Some(sent_by) = sent_by {
        // A string always has a JSON text.
        let txn_id = serde_json::to_string(&sent_by.txn_id).unwrap_or_default();
        let _ = write!(out, ",\"transaction_id\":{txn_id}");
    }
    out.push('}');
    Ok(out)
}

/// What a state event replaced: its id always, its content for those who may see it.
fn write_previous(out: &mut String, previous: &Previous, version: &RoomVersion) -> Result<(), StoreError> {
    let event = &previous.event;
    // An event id holds nothing that JSON escapes, but in the oldest rooms servers choose it.
    let id = serde_json::to_string(event.pdu.event_id()).unwrap_or_default();
    let _ = write!(out, ",\"replaces_state\":{id}");
    if !previous.visible {
        return Ok(());
    }
    if event.redacted_by.is_none() {
        let _ = write!(out, ",\"prev_content\":{}", event.pdu.content().get());
    } else {
        let redacted = event.pdu.redacted(version).map_err(|_| corrupt(event))?;
        let _ = write!(out, ",\"prev_content\":{}", redacted.content().get());
    }
    Ok(())
}

fn corrupt(event: &StoredEvent) -> StoreError {
    StoreError::corrupt("event", event.nid)
}
