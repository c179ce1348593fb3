//! An event as servers exchange it.
//!
//! A [`Pdu`] never changes. It keeps the exact canonical JSON that was hashed and signed, and beside it
//! the few fields that authorisation, state resolution and storage ask for. `unsigned` is no part of it:
//! what a client reads there depends on who reads.

use std::sync::Arc;

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::TimelineEventType, state_res,
};
use serde_json::value::RawValue;

use crate::room_version::RoomVersion;

mod build;
mod content;
mod hash;
mod receive;
mod redact;
mod signing_key;
mod slices;
mod wire;

pub use build::{BuildError, PduBuilder, Reference};
pub use content::Content;
pub use receive::{Counts, FormatError, Integrity, SignatureError, Signed, Unverified, check_format};
pub use signing_key::{BadKeyVersion, SigningKey};
pub(crate) use slices::{ObjectWriter, Slices};

/// The most bytes an event may have in canonical JSON, signatures included.
///
/// > The complete event MUST NOT be larger than 65536 bytes.
pub const MAX_BYTES: usize = 65_536;

/// The most bytes of an event's type, state key, sender, room id and event id, each.
pub const MAX_FIELD_BYTES: usize = 255;

/// The most events one event may be built on.
pub const MAX_PREV_EVENTS: usize = 20;

/// The most events that may be named as allowing one event.
pub const MAX_AUTH_EVENTS: usize = 10;

/// How far an event is from the room's beginning, as its sender says; never to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Depth(i64);

/// Why bytes are not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// The JSON does not have an event's fields, or one of them has another type.
    #[error("the event is malformed: {0}")]
    Malformed(String),
    /// The room id cannot be the hash of this create event.
    #[error("the event has no room id and none follows from its event id")]
    NoRoomId,
}

/// An event: the exact JSON, and what is read from it often.
#[derive(Clone, Debug)]
pub struct Pdu {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    holds_room_id: bool,
    sender: OwnedUserId,
    event_type: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: Depth,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    redacts: Option<OwnedEventId>,
    rejected: bool,
    json: Arc<str>,
}

impl Depth {
    /// The depth of the create event.
    pub const FIRST: Self = Self(1);

    /// A depth as it stands in an event; none is negative.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// As in the event.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The depth of an event on top of one at this depth.
    ///
    /// > If the depth is at the limit, the event repeats it.
    #[must_use]
    pub fn next(self, version: &RoomVersion) -> Self {
        Self(self.0.saturating_add(1).min(version.max_depth))
    }
}

impl Pdu {
    /// Reads an event that was checked when it was stored or received.
    ///
    /// The JSON is read once and kept as it is; it must be canonical already.
    pub fn from_stored(
        json: Arc<str>,
        event_id: OwnedEventId,
        version: &RoomVersion,
    ) -> Result<Self, PduError> {
        let fields = wire::Fields::parse(&json)?;
        let redacts = fields.redacts(version);
        let (room_id, holds_room_id) = match fields.room_id {
            Some(room_id) => (room_id, true),
            None => (room_of_create(&event_id, version)?, false),
        };
        Ok(Self {
            room_id,
            holds_room_id,
            sender: fields.sender,
            event_type: fields.event_type,
            state_key: fields.state_key.map(std::borrow::Cow::into_owned),
            content: fields.content.to_owned(),
            prev_events: fields.prev_events.0,
            auth_events: fields.auth_events.0,
            depth: Depth(fields.depth),
            origin_server_ts: fields.origin_server_ts,
            redacts,
            rejected: false,
            event_id,
            json,
        })
    }

    /// The same event, marked as refused by the authorisation rules.
    #[must_use]
    pub fn with_rejected(mut self, rejected: bool) -> Self {
        self.rejected = rejected;
        self
    }

    /// The same event as it remains after redaction: same id, same signatures, less content.
    pub fn redacted(&self, version: &RoomVersion) -> Result<Self, PduError> {
        let json = redact::event(&Slices::parse(&self.json)?, &version.rules.redaction)?;
        let redacted = Self::from_stored(json.into(), self.event_id.clone(), version)?;
        Ok(redacted.with_rejected(self.rejected))
    }

    /// Its id.
    #[must_use]
    pub fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    /// Its room, also where the create event itself does not say so.
    #[must_use]
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// Who sent it.
    #[must_use]
    pub fn sender(&self) -> &UserId {
        &self.sender
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    /// Its state key, if it is a state event.
    #[must_use]
    pub fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    /// Its content, as JSON.
    #[must_use]
    pub fn content(&self) -> &RawValue {
        &self.content
    }

    /// The events it was built on.
    #[must_use]
    pub fn prev_events(&self) -> &[OwnedEventId] {
        &self.prev_events
    }

    /// The events that allow it.
    #[must_use]
    pub fn auth_events(&self) -> &[OwnedEventId] {
        &self.auth_events
    }

    /// Its depth.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// When its sender says it was sent.
    #[must_use]
    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    /// The event it redacts, if it is a redaction.
    #[must_use]
    pub fn redacts(&self) -> Option<&EventId> {
        self.redacts.as_deref()
    }

    /// It was refused by the authorisation rules.
    #[must_use]
    pub fn rejected(&self) -> bool {
        self.rejected
    }

    /// The exact canonical JSON, signatures included.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }
}

impl state_res::Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.event_id
    }

    /// What the event itself says: the rules refuse a create event that names its room where the room
    /// is named by the create event.
    fn room_id(&self) -> Option<&RoomId> {
        self.holds_room_id.then_some(&*self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&Self::Id> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// The room of a create event that does not name it: the same hash under the other sigil.
fn room_of_create(event_id: &EventId, version: &RoomVersion) -> Result<OwnedRoomId, PduError> {
    if !version.room_id_is_create_hash() {
        return Err(PduError::NoRoomId);
    }
    let hash = event_id.as_str().strip_prefix('$').ok_or(PduError::NoRoomId)?;
    RoomId::parse(format!("!{hash}")).map_err(|_| PduError::NoRoomId)
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
