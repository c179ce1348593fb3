//! An event's fields, borrowed from its JSON in one pass.

use std::{borrow::Cow, fmt};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, events::TimelineEventType};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::PduError;
use crate::room_version::RoomVersion;

/// The fields that a [`super::Pdu`] keeps.
#[derive(Deserialize)]
pub(super) struct Fields<'a> {
    pub(super) room_id: Option<OwnedRoomId>,
    pub(super) sender: OwnedUserId,
    #[serde(rename = "type")]
    pub(super) event_type: TimelineEventType,
    #[serde(borrow)]
    pub(super) state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
    pub(super) prev_events: References,
    pub(super) auth_events: References,
    pub(super) depth: i64,
    pub(super) origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
}

/// The part of a redaction's content that names its target.
#[derive(Deserialize)]
struct RedactionContent {
    redacts: Option<OwnedEventId>,
}

/// `prev_events` or `auth_events`, in either of their shapes.
pub(super) struct References(pub(super) Vec<OwnedEventId>);

/// One reference: an id, or a pair of an id and hashes.
struct Reference(OwnedEventId);

impl<'a> Fields<'a> {
    /// Reads the fields of one event.
    pub(super) fn parse(json: &'a str) -> Result<Self, PduError> {
        serde_json::from_str(json).map_err(|error| PduError::Malformed(error.to_string()))
    }

    /// The event that this one redacts.
    pub(super) fn redacts(&self, version: &RoomVersion) -> Option<OwnedEventId> {
        redacts(&self.event_type, self.redacts, self.content, version)
    }
}

/// The event that a redaction names, beside its content or in it.
///
/// A redaction that names none, or names it badly, is an event like any other that redacts nothing.
pub(super) fn redacts(
    event_type: &TimelineEventType,
    beside: Option<&RawValue>,
    content: &RawValue,
    version: &RoomVersion,
) -> Option<OwnedEventId> {
    if *event_type != TimelineEventType::RoomRedaction {
        return None;
    }
    if version.redacts_in_content() {
        serde_json::from_str::<RedactionContent>(content.get()).ok()?.redacts
    } else {
        serde_json::from_str(beside?.get()).ok()
    }
}

impl<'de> Deserialize<'de> for References {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let references = Vec::<Reference>::deserialize(deserializer)?;
        Ok(Self(references.into_iter().map(|Reference(id)| id).collect()))
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

struct ReferenceVisitor;

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = Reference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event id or a pair of an event id and its hashes")
    }

    fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Reference, E> {
        ruma::EventId::parse(id).map(Reference).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Reference, A::Error> {
        let id =
            pair.next_element::<OwnedEventId>()?.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
        while pair.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Reference(id))
    }
}
