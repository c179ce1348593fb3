//! Building an event of this server: hashed, signed, named.
//!
//! The canonical text is written directly, since an event's keys are known and their order with them.
//! One text serves the signature and the event id: both cover what outlives redaction.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, events::TimelineEventType,
};

use super::{
    Content, Depth, MAX_AUTH_EVENTS, MAX_BYTES, MAX_FIELD_BYTES, MAX_PREV_EVENTS, Pdu, PduError, SigningKey,
    hash, slices::ObjectWriter, wire,
};
use crate::{
    canonical_json::{JsonError, write_string},
    room_version::RoomVersion,
};

/// An event that refers to another: by its id and, in the oldest rooms, by its hash too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    event_id: OwnedEventId,
    /// The reference hash, in rooms whose references carry it.
    sha256: Option<String>,
}

/// An event of this server before it has hashes, a signature and an id.
#[derive(Clone, Debug)]
pub struct PduBuilder {
    /// The room; `None` for the create event of a room that is named by it.
    pub room_id: Option<OwnedRoomId>,
    /// Who sends it.
    pub sender: OwnedUserId,
    /// Its type.
    pub event_type: TimelineEventType,
    /// Its state key, for a state event.
    pub state_key: Option<String>,
    /// Its content.
    pub content: Content,
    /// The events it is built on.
    pub prev_events: Vec<Reference>,
    /// The events that allow it.
    pub auth_events: Vec<Reference>,
    /// One more than the depth of what it is built on.
    pub depth: Depth,
    /// Now.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// What it redacts; put where the room version wants it.
    pub redacts: Option<OwnedEventId>,
    /// The id, in the room versions where the sender chooses it, and only there.
    pub event_id: Option<OwnedEventId>,
}

/// Why an event cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The whole event is too large.
    #[error("the event has {0} bytes, more than the {MAX_BYTES} allowed")]
    TooLarge(usize),
    /// One of its fields is too long.
    #[error("the event's {0} has more than {MAX_FIELD_BYTES} bytes")]
    FieldTooLong(&'static str),
    /// A field holds U+0000.
    #[error("the event's {0} holds the character U+0000")]
    Nul(&'static str),
    /// It refers to too many events.
    #[error("the event refers to too many {0}")]
    TooManyReferences(&'static str),
    /// The version wants an id to be given and none was, or the other way round.
    #[error("this room version chooses event ids in another way")]
    EventId,
    /// The version wants hashes beside references and one has none.
    #[error("this room version wants the hash of {0} beside the reference to it")]
    ReferenceWithoutHash(OwnedEventId),
    /// The content cannot take what it redacts.
    #[error(transparent)]
    Content(#[from] JsonError),
    /// The parts do not make an event.
    #[error(transparent)]
    Event(#[from] PduError),
}

/// What is added in turn to the text of an event.
#[derive(Clone, Copy, Default)]
struct Seals<'a> {
    hashes: Option<&'a str>,
    signatures: Option<&'a str>,
}

impl Reference {
    /// A reference to an event that is at hand.
    pub fn to(event: &Pdu, version: &RoomVersion) -> Result<Self, PduError> {
        let sha256 = if version.references_carry_hashes() {
            Some(hash::reference_hash(&hash::signed_text(event.json(), version)?, version))
        } else {
            None
        };
        Ok(Self { event_id: event.event_id().clone(), sha256 })
    }

    /// A reference by id alone, for the room versions where that is enough.
    #[must_use]
    pub fn by_id(event_id: OwnedEventId) -> Self {
        Self { event_id, sha256: None }
    }

    /// A reference with the reference hash of what it refers to, in unpadded base64.
    #[must_use]
    pub fn with_hash(event_id: OwnedEventId, sha256: String) -> Self {
        Self { event_id, sha256: Some(sha256) }
    }

    /// The event referred to.
    #[must_use]
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }
}

impl PduBuilder {
    /// Hashes, signs and names the event.
    pub fn build(mut self, version: &RoomVersion, key: &SigningKey) -> Result<Pdu, BuildError> {
        self.check(version)?;
        if let (Some(redacts), true) = (&self.redacts, version.redacts_in_content()) {
            self.content = self.content.with_string("redacts", redacts.as_str())?;
        }
        let bare = self.write(version, Seals::default())?;
        let mut hashes = ObjectWriter::new(64);
        hashes.string("sha256", &STANDARD_NO_PAD.encode(hash::sha256(&bare)));
        let hashes = hashes.end();

        let unsigned = self.write(version, Seals { hashes: Some(&hashes), signatures: None })?;
        let signed_text = hash::signed_text(&unsigned, version)?;
        let event_id = match self.event_id.take() {
            Some(event_id) => event_id,
            None => EventId::parse(format!("${}", hash::reference_hash(&signed_text, version)))
                .map_err(|error| PduError::Malformed(error.to_string()))?,
        };
        let signatures = signatures(&signed_text, key);
        // The chosen id is part of the text, so it goes back before the last writing.
        self.event_id = version.event_ids_are_chosen().then(|| event_id.clone());
        let json = self.write(version, Seals { hashes: Some(&hashes), signatures: Some(&signatures) })?;
        if json.len() > MAX_BYTES {
            return Err(BuildError::TooLarge(json.len()));
        }
        self.into_pdu(json, event_id, version)
    }

    /// What must hold whatever the rest of the event says.
    fn check(&self, version: &RoomVersion) -> Result<(), BuildError> {
        if self.event_id.is_some() != version.event_ids_are_chosen() {
            return Err(BuildError::EventId);
        }
        let fields = [
            ("type", Some(self.event_type.to_string())),
            ("state_key", self.state_key.clone()),
            ("sender", Some(self.sender.to_string())),
            ("room_id", self.room_id.as_ref().map(ToString::to_string)),
            ("event_id", self.event_id.as_ref().map(ToString::to_string)),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            if value.len() > MAX_FIELD_BYTES {
                return Err(BuildError::FieldTooLong(name));
            }
            if value.contains('\0') {
                return Err(BuildError::Nul(name));
            }
        }
        if self.prev_events.len() > MAX_PREV_EVENTS {
            return Err(BuildError::TooManyReferences("prev_events"));
        }
        if self.auth_events.len() > MAX_AUTH_EVENTS {
            return Err(BuildError::TooManyReferences("auth_events"));
        }
        Ok(())
    }

    /// The canonical text, with what is known of hashes and signatures.
    fn write(&self, version: &RoomVersion, seals: Seals<'_>) -> Result<String, BuildError> {
        let mut out = ObjectWriter::new(self.content.as_str().len() + 1024);
        out.entry("auth_events", &references(&self.auth_events, version)?);
        out.entry("content", self.content.as_str());
        out.entry("depth", &self.depth.get().to_string());
        if let Some(event_id) = &self.event_id {
            out.string("event_id", event_id.as_str());
        }
        if let Some(hashes) = seals.hashes {
            out.entry("hashes", hashes);
        }
        out.entry("origin_server_ts", &self.origin_server_ts.get().to_string());
        out.entry("prev_events", &references(&self.prev_events, version)?);
        if let (Some(redacts), false) = (&self.redacts, version.redacts_in_content()) {
            out.string("redacts", redacts.as_str());
        }
        if let Some(room_id) = &self.room_id {
            out.string("room_id", room_id.as_str());
        }
        out.string("sender", self.sender.as_str());
        if let Some(signatures) = seals.signatures {
            out.entry("signatures", signatures);
        }
        if let Some(state_key) = &self.state_key {
            out.string("state_key", state_key);
        }
        out.string("type", &self.event_type.to_string());
        Ok(out.end())
    }

    /// The finished event, without reading its text again.
    fn into_pdu(
        self,
        json: String,
        event_id: OwnedEventId,
        version: &RoomVersion,
    ) -> Result<Pdu, BuildError> {
        let ids = |references: Vec<Reference>| references.into_iter().map(|r| r.event_id).collect();
        let redacts = if version.redacts_in_content() {
            wire::redacts(&self.event_type, None, self.content.raw(), version)
        } else {
            self.redacts.filter(|_| self.event_type == TimelineEventType::RoomRedaction)
        };
        let holds_room_id = self.room_id.is_some();
        let room_id = match self.room_id {
            Some(room_id) => room_id,
            None => super::room_of_create(&event_id, version)?,
        };
        Ok(Pdu {
            room_id,
            holds_room_id,
            sender: self.sender,
            redacts,
            event_type: self.event_type,
            state_key: self.state_key,
            content: self.content.into_raw(),
            prev_events: ids(self.prev_events),
            auth_events: ids(self.auth_events),
            depth: self.depth,
            origin_server_ts: self.origin_server_ts,
            rejected: false,
            event_id,
            json: json.into(),
        })
    }
}

/// The `signatures` of an event that only this server signs.
fn signatures(signed_text: &str, key: &SigningKey) -> String {
    let mut by_key = ObjectWriter::new(160);
    by_key.string(key.key_id().as_str(), &key.sign_text(signed_text));
    let mut by_server = ObjectWriter::new(256);
    by_server.entry(key.server_name().as_str(), &by_key.end());
    by_server.end()
}

/// A list of references in the shape of the room version.
fn references(references: &[Reference], version: &RoomVersion) -> Result<String, BuildError> {
    let mut out = String::with_capacity(references.len() * 64 + 2);
    out.push('[');
    for (index, reference) in references.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if version.references_carry_hashes() {
            let Some(sha256) = &reference.sha256 else {
                return Err(BuildError::ReferenceWithoutHash(reference.event_id.clone()));
            };
            let mut hashes = ObjectWriter::new(64);
            hashes.string("sha256", sha256);
            out.push('[');
            write_string(&mut out, reference.event_id.as_str());
            out.push(',');
            out.push_str(&hashes.end());
            out.push(']');
        } else {
            write_string(&mut out, reference.event_id.as_str());
        }
    }
    out.push(']');
    Ok(out)
}
