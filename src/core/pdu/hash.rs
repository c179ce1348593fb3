//! The two hashes of an event.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::room_version_rules::EventIdFormatVersion;
use sha2::{Digest as _, Sha256};

use super::{PduError, redact, slices::Slices};
use crate::room_version::RoomVersion;

/// What the content hash does not cover.
const OUTSIDE_CONTENT_HASH: [&str; 3] = ["hashes", "signatures", "unsigned"];

/// What neither a signature nor the reference hash covers.
const OUTSIDE_SIGNATURE: [&str; 2] = ["signatures", "unsigned"];

/// The hash that `hashes.sha256` must hold.
pub(super) fn content_hash(json: &str) -> Result<[u8; 32], PduError> {
    Ok(sha256(&Slices::parse(json)?.without(&OUTSIDE_CONTENT_HASH).to_json()))
}

/// The bytes that servers sign and that give an event its id: what outlives redaction.
pub(super) fn signed_text(json: &str, version: &RoomVersion) -> Result<String, PduError> {
    redact::event(&Slices::parse(json)?.without(&OUTSIDE_SIGNATURE), &version.rules.redaction)
}

/// The reference hash, out of [`signed_text`], in the alphabet of the room version.
pub(super) fn reference_hash(signed_text: &str, version: &RoomVersion) -> String {
    let hash = sha256(signed_text);
    match version.rules.event_id_format {
        EventIdFormatVersion::V1 | EventIdFormatVersion::V2 => STANDARD_NO_PAD.encode(hash),
        EventIdFormatVersion::V3 => URL_SAFE_NO_PAD.encode(hash),
    }
}

/// SHA-256 of a text.
pub(super) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
