//! Redaction on the text of an event.
//!
//! Which keys survive is the library's table; the surviving values are copied as they stand, so that
//! even a number that canonical JSON does not know keeps the bytes that were hashed.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, canonical_json::redact_in_place,
    room_version_rules::RedactionRules,
};

use super::{
    PduError,
    slices::{ObjectWriter, Slices},
};

/// How deep below `content` any version's rules look: `third_party_invite.signed`.
const NESTED: usize = 1;

/// An event's text, redacted. The event is canonical and so is the result.
pub(super) fn event(slices: &Slices<'_>, rules: &RedactionRules) -> Result<String, PduError> {
    let mut shape = CanonicalJsonObject::new();
    for (key, value) in &slices.0 {
        let value = match key.as_ref() {
            "type" => CanonicalJsonValue::String(
                serde_json::from_str(value.get()).map_err(|error| PduError::Malformed(error.to_string()))?,
            ),
            "content" => shape_of(value.get(), NESTED)?,
            _ => CanonicalJsonValue::Null,
        };
        shape.insert(key.clone().into_owned(), value);
    }
    redact_in_place(&mut shape, rules, None).map_err(|error| PduError::Malformed(error.to_string()))?;
    project(slices, &shape)
}

/// The keys of a value, with nothing in the place of their values.
fn shape_of(json: &str, nested: usize) -> Result<CanonicalJsonValue, PduError> {
    if !json.starts_with('{') {
        return Ok(CanonicalJsonValue::Null);
    }
    let mut shape = CanonicalJsonObject::new();
    for (key, value) in Slices::parse(json)?.0 {
        let value = if nested > 0 { shape_of(value.get(), nested - 1)? } else { CanonicalJsonValue::Null };
        shape.insert(key.into_owned(), value);
    }
    Ok(CanonicalJsonValue::Object(shape))
}

/// What of an object a shape keeps.
fn project(slices: &Slices<'_>, shape: &CanonicalJsonObject) -> Result<String, PduError> {
    let mut out = ObjectWriter::new(256);
    for (key, value) in &slices.0 {
        match shape.get(key.as_ref()) {
            Some(CanonicalJsonValue::Object(inner)) => {
                out.entry(key, &project(&Slices::parse(value.get())?, inner)?);
            }
            Some(_) => out.entry(key, value.get()),
            None => {}
        }
    }
    Ok(out.end())
}
