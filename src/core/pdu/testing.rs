//! Events for the tests of this crate.

use std::sync::Arc;

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, events::TimelineEventType, owned_server_name, room_id, user_id,
};
use serde_json::Value;

use super::{Content, Depth, Pdu, PduBuilder, Reference, SigningKey};
use crate::{canonical_json, room_version::RoomVersion, spec_vectors::vectors};

/// The key of the specification's examples.
pub(crate) fn spec_key() -> SigningKey {
    let signing = vectors("signing");
    // The example's last character has bits beyond the 32 bytes, which a strict decoder refuses.
    let seed = ruma::serde::Base64::<ruma::serde::base64::Standard, [u8; 32]>::parse(
        signing["seed_base64"].as_str().unwrap(),
    );
    SigningKey::from_seed(owned_server_name!("domain"), "1", seed.unwrap().as_inner()).unwrap()
}

/// A message in some room of a version.
pub(crate) fn message(version: &RoomVersion) -> PduBuilder {
    let chosen = version.event_ids_are_chosen();
    let other = ruma::event_id!("$other:domain").to_owned();
    let reference =
        if chosen { Reference::with_hash(other, "hash".to_owned()) } else { Reference::by_id(other) };
    PduBuilder {
        room_id: Some(room_id!("!r:domain").to_owned()),
        sender: user_id!("@u:domain").to_owned(),
        event_type: TimelineEventType::RoomMessage,
        state_key: None,
        content: Content::from_client(r#"{"msgtype":"m.text","body":"hi"}"#, version).unwrap(),
        prev_events: vec![reference.clone()],
        auth_events: vec![reference],
        depth: Depth::new(7).unwrap(),
        origin_server_ts: MilliSecondsSinceUnixEpoch(ruma::uint!(1_000_000)),
        redacts: None,
        event_id: chosen.then(|| ruma::event_id!("$m:domain").to_owned()),
    }
}

/// An event with hashes and signatures that nobody checks, for what comes after those checks.
pub(crate) fn unchecked(version: &RoomVersion, event_id: &str, mut json: Value) -> Pdu {
    let defaults = serde_json::json!({
        "auth_events": [],
        "content": {},
        "depth": 1,
        "hashes": { "sha256": "" },
        "origin_server_ts": 1,
        "prev_events": [],
        "room_id": "!r:domain",
        "signatures": {},
    });
    if let (Value::Object(json), Value::Object(defaults)) = (&mut json, defaults) {
        for (key, value) in defaults {
            json.entry(key).or_insert(value);
        }
    }
    let allow = canonical_json::Allow { any_number: true, nul: true };
    let text: Arc<str> = canonical_json::canonicalise(json.to_string(), allow).unwrap().into();
    Pdu::from_stored(text, EventId::parse(event_id).unwrap(), version).unwrap()
}
