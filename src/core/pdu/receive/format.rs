//! The fields of an event, one by one.

use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde::de::DeserializeOwned;

use super::{Counts, FormatError};
use crate::{
    pdu::{MAX_AUTH_EVENTS, MAX_FIELD_BYTES, MAX_PREV_EVENTS, slices::Slices},
    room_version::{MAX_SAFE_INTEGER, RoomVersion},
};

/// Checks that every field is there and of its type; gives the id where the sender chose it.
pub(super) fn check_fields(
    json: &str,
    version: &RoomVersion,
    counts: Counts,
) -> Result<Option<OwnedEventId>, FormatError> {
    let event = Slices::parse(json)?;
    let event_type = required_string(&event, "type")?;
    let sender = required_string(&event, "sender")?;
    UserId::parse(sender).map_err(|_| FormatError::Wrong("sender", "a user id"))?;
    optional_string(&event, "state_key")?;
    check_room(&event, &event_type, version)?;
    integer(&event, "depth", version.max_depth)?;
    integer(&event, "origin_server_ts", MAX_SAFE_INTEGER)?;
    references(&event, "prev_events", version, counts, MAX_PREV_EVENTS)?;
    references(&event, "auth_events", version, counts, MAX_AUTH_EVENTS)?;
    for field in ["content", "hashes", "signatures"] {
        object(&event, field)?;
    }
    let hashes = Slices::parse(event.get("hashes").unwrap_or("{}"))?;
    if hashes.get("sha256").and_then(read::<String>).is_none() {
        return Err(FormatError::Wrong("hashes", "an object with a string sha256"));
    }
    let signatures = Slices::parse(event.get("signatures").unwrap_or("{}"))?;
    if signatures.0.values().any(|of_server| !of_server.get().starts_with('{')) {
        return Err(FormatError::Wrong("signatures", "an object of objects"));
    }
    if !version.event_ids_are_chosen() {
        return Ok(None);
    }
    let event_id = required_string(&event, "event_id")?;
    match EventId::parse(&event_id) {
        Ok(event_id) if event_id.server_name().is_some() => Ok(Some(event_id)),
        _ => Err(FormatError::Wrong("event_id", "an event id with a server name")),
    }
}

/// The room id, which only the create event of a room named by it may lack.
fn check_room(event: &Slices<'_>, event_type: &str, version: &RoomVersion) -> Result<(), FormatError> {
    match optional_string(event, "room_id")? {
        Some(room_id) => {
            RoomId::parse(room_id).map_err(|_| FormatError::Wrong("room_id", "a room id"))?;
            Ok(())
        }
        None if event_type == "m.room.create" && version.room_id_is_create_hash() => Ok(()),
        None => Err(FormatError::Missing("room_id")),
    }
}

/// A string that fits in an identifier's bytes and in the database.
fn optional_string(event: &Slices<'_>, field: &'static str) -> Result<Option<String>, FormatError> {
    let Some(json) = event.get(field) else { return Ok(None) };
    let value: String = read(json).ok_or(FormatError::Wrong(field, "a string"))?;
    if value.len() > MAX_FIELD_BYTES {
        return Err(FormatError::TooLong(field));
    }
    if value.contains('\0') {
        return Err(FormatError::Wrong(field, "free of the character U+0000"));
    }
    Ok(Some(value))
}

fn required_string(event: &Slices<'_>, field: &'static str) -> Result<String, FormatError> {
    optional_string(event, field)?.ok_or(FormatError::Missing(field))
}

fn integer(event: &Slices<'_>, field: &'static str, max: i64) -> Result<(), FormatError> {
    let json = event.get(field).ok_or(FormatError::Missing(field))?;
    match read::<i64>(json) {
        Some(value) if (0..=max).contains(&value) => Ok(()),
        _ => Err(FormatError::Wrong(field, "an integer in range")),
    }
}

fn object(event: &Slices<'_>, field: &'static str) -> Result<(), FormatError> {
    match event.get(field) {
        Some(json) if json.starts_with('{') => Ok(()),
        Some(_) => Err(FormatError::Wrong(field, "an object")),
        None => Err(FormatError::Missing(field)),
    }
}

/// References in the shape of the room version, and not too many.
fn references(
    event: &Slices<'_>,
    field: &'static str,
    version: &RoomVersion,
    counts: Counts,
    max: usize,
) -> Result<(), FormatError> {
    let json = event.get(field).ok_or(FormatError::Missing(field))?;
    let ids: Vec<OwnedEventId> = if version.references_carry_hashes() {
        read::<Vec<(OwnedEventId, serde::de::IgnoredAny)>>(json)
            .map(|pairs| pairs.into_iter().map(|(id, _)| id).collect())
            .ok_or(FormatError::Wrong(field, "a list of pairs of an event id and hashes"))?
    } else {
        read(json).ok_or(FormatError::Wrong(field, "a list of event ids"))?
    };
    if counts == Counts::Bounded && ids.len() > max {
        return Err(FormatError::TooLong(field));
    }
    if ids.iter().any(|id| id.as_str().len() > MAX_FIELD_BYTES) {
        return Err(FormatError::Wrong(field, "a list of event ids"));
    }
    Ok(())
}

/// A value of a type, if it is of that type.
fn read<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
}
