//! An event as clients read it.
//!
//! The text holds everything but `unsigned`, which depends on the reader and is appended last. It is put
//! together from the event's own text; nothing is parsed again.

use std::sync::Arc;

use ruma::events::TimelineEventType;

use crate::pdu::{ObjectWriter, Pdu, PduError, Slices};

/// An event's JSON for clients, without `unsigned`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent(Arc<str>);

impl ClientEvent {
    /// The form of every endpoint but sync: with the room's id.
    pub fn full(event: &Pdu) -> Result<Self, PduError> {
        encode(event, true)
    }

    /// The form inside a sync response, where the room is said around the event.
    pub fn in_sync(event: &Pdu) -> Result<Self, PduError> {
        encode(event, false)
    }

    /// The form in which someone outside the room sees a state event.
    #[must_use]
    pub fn stripped(event: &Pdu) -> Self {
        let mut out = ObjectWriter::new(event.content().get().len() + 256);
        out.entry("content", event.content().get());
        out.string("sender", event.sender().as_str());
        out.string("state_key", event.state_key().unwrap_or_default());
        out.string("type", &event.event_type().to_string());
        Self(out.end().into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends the event to a text, with an `unsigned` object if there is one for the reader.
    pub fn append_to(&self, out: &mut String, unsigned: Option<&str>) {
        match (unsigned, self.0.strip_suffix('}')) {
            (Some(unsigned), Some(open)) => {
                out.push_str(open);
                out.push_str(",\"unsigned\":");
                out.push_str(unsigned);
                out.push('}');
            }
            _ => out.push_str(&self.0),
        }
    }

    /// The event with an `unsigned` object.
    #[must_use]
    pub fn with_unsigned(&self, unsigned: &str) -> String {
        let mut out = String::with_capacity(self.0.len() + unsigned.len() + 16);
        self.append_to(&mut out, Some(unsigned));
        out
    }
}

fn encode(event: &Pdu, with_room_id: bool) -> Result<ClientEvent, PduError> {
    let content = content(event)?;
    let mut out = ObjectWriter::new(content.len() + 512);
    out.entry("content", &content);
    out.string("event_id", event.event_id().as_str());
    out.entry("origin_server_ts", &event.origin_server_ts().get().to_string());
    if let Some(redacts) = event.redacts() {
        out.string("redacts", redacts.as_str());
    }
    if with_room_id {
        out.string("room_id", event.room_id().as_str());
    }
    out.string("sender", event.sender().as_str());
    if let Some(state_key) = event.state_key() {
        out.string("state_key", state_key);
    }
    out.string("type", &event.event_type().to_string());
    Ok(ClientEvent(out.end().into()))
}

/// The content; a redaction's names its target whatever the room version, for clients of any age.
fn content(event: &Pdu) -> Result<std::borrow::Cow<'_, str>, PduError> {
    let json = event.content().get();
    let Some(redacts) = event.redacts().filter(|_| *event.event_type() == TimelineEventType::RoomRedaction)
    else {
        return Ok(json.into());
    };
    let target = serde_json::value::to_raw_value(redacts.as_str())
        .map_err(|error| PduError::Malformed(error.to_string()))?;
    let mut entries = Slices::parse(json)?;
    entries.0.insert("redacts".into(), &target);
    Ok(entries.to_json().into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        pdu::testing::{message, spec_key},
        pdu::{Content, PduBuilder},
        room_version,
    };

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_client_reads_nothing_of_what_only_servers_need() {
        for version in room_version::all() {
            let builder = PduBuilder { state_key: Some("k\"\u{1}é".to_owned()), ..message(version) };
            let event = builder.build(version, &spec_key()).unwrap();
            let full = json!({
                "content": { "body": "hi", "msgtype": "m.text" },
                "event_id": event.event_id(),
                "origin_server_ts": 1_000_000,
                "room_id": "!r:domain",
                "sender": "@u:domain",
                "state_key": "k\"\u{1}é",
                "type": "m.room.message",
            });
            assert_eq!(value(ClientEvent::full(&event).unwrap().as_str()), full);
            let mut in_sync = full.clone();
            in_sync.as_object_mut().unwrap().remove("room_id");
            assert_eq!(value(ClientEvent::in_sync(&event).unwrap().as_str()), in_sync);
            let stripped = json!({
                "content": full["content"],
                "sender": full["sender"],
                "state_key": full["state_key"],
                "type": full["type"],
            });
            assert_eq!(value(ClientEvent::stripped(&event).as_str()), stripped);
        }
    }

    #[test]
    fn a_redaction_names_its_target_in_both_places_in_every_version() {
        for version in room_version::all() {
            let builder = PduBuilder {
                event_type: TimelineEventType::RoomRedaction,
                content: Content::from_client(r#"{"reason":"spam","z":1}"#, version).unwrap(),
                redacts: Some(ruma::event_id!("$target:domain").to_owned()),
                ..message(version)
            };
            let event = builder.build(version, &spec_key()).unwrap();
            let json = value(ClientEvent::in_sync(&event).unwrap().as_str());
            assert_eq!(json["redacts"], json!("$target:domain"));
            assert_eq!(
                json["content"],
                json!({ "reason": "spam", "redacts": "$target:domain", "z": 1 }),
                "version {}",
                version.id
            );
        }
    }

    #[test]
    fn a_redacted_event_says_why_in_what_the_reader_is_told_beside_it() {
        let version = room_version::rules(&room_version::DEFAULT).unwrap();
        let event = message(version).build(version, &spec_key()).unwrap().redacted(version).unwrap();
        let told = ClientEvent::full(&event).unwrap().with_unsigned(r#"{"redacted_because":{"type":"x"}}"#);
        let json = value(&told);
        assert_eq!(json["content"], json!({}));
        assert_eq!(json["unsigned"], json!({ "redacted_because": { "type": "x" } }));
        let mut plain = String::from("[");
        ClientEvent::full(&event).unwrap().append_to(&mut plain, None);
        assert_eq!(&plain[1..], ClientEvent::full(&event).unwrap().as_str());
    }
}
