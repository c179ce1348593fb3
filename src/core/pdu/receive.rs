//! What an event of another server must pass before anything reads it.
//!
//! The first three checks on receipt, in their order: [`check_format`], [`Unverified::verify_signatures`],
//! [`Signed::check_content_hash`]. Each hands over a type that only the next one takes.

use std::collections::BTreeSet;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId, OwnedServerName,
    serde::{Base64, base64::Standard},
    signatures::{PublicKeyMap, required_server_signatures_to_verify_event, verify_canonical_json_bytes},
};

use super::{MAX_BYTES, Pdu, PduError, hash, slices::Slices};
use crate::{
    canonical_json::{self, Allow, JsonError},
    room_version::RoomVersion,
};

mod format;

/// Whether the number of references is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// As for every new event.
    Bounded,
    /// Not for history that was fetched, which may be older than the bounds.
    Unbounded,
}

/// Why a text is not an event of a room version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is no canonical JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is too large.
    #[error("the event has {0} bytes, more than the {MAX_BYTES} allowed")]
    TooLarge(usize),
    /// A field that every event has is not there.
    #[error("the event has no {0}")]
    Missing(&'static str),
    /// A field is not what it must be.
    #[error("the event's {0} is not {1}")]
    Wrong(&'static str, &'static str),
    /// A field is too long.
    #[error("the event's {0} is too long")]
    TooLong(&'static str),
    /// What should have been checked before was not enough to read it.
    #[error(transparent)]
    Event(#[from] PduError),
}

/// Why an event's signatures do not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Who must have signed it cannot be told.
    #[error("cannot tell who must sign the event: {0}")]
    Signers(String),
    /// A server that must sign did not, or not with a key that is known.
    #[error("the event is not signed by {0} with a known key")]
    Missing(OwnedServerName),
    /// A signature is wrong.
    #[error("the signature of {0} on the event does not hold: {1}")]
    Wrong(OwnedServerName, String),
}

/// Whether an event's content is the one that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// The content hash matches.
    Whole,
    /// It does not: only what redaction leaves is kept.
    Redacted,
}

/// An event in the right format, of whom nothing is known yet.
#[derive(Debug)]
pub struct Unverified {
    json: String,
    signed_text: String,
    event_id: OwnedEventId,
    version: &'static RoomVersion,
}

/// An event that the servers signed who must.
#[derive(Debug)]
pub struct Signed(Unverified);

/// 1. Is a valid event, otherwise it is dropped.
///
/// > For an event to be valid, it must contain a `room_id`, and it must comply with the event format of
/// > that room version.
///
/// `unsigned` is dropped: nobody vouches for it.
pub fn check_format(
    json: &str,
    version: &'static RoomVersion,
    counts: Counts,
) -> Result<Unverified, FormatError> {
    let canonical = canonical_json::canonicalise(json, Allow::from_server(version))?;
    let json = Slices::parse(&canonical)?.without(&["unsigned"]).to_json();
    if json.len() > MAX_BYTES {
        return Err(FormatError::TooLarge(json.len()));
    }
    let chosen_id = format::check_fields(&json, version, counts)?;
    let signed_text = hash::signed_text(&json, version)?;
    let event_id = match chosen_id {
        Some(event_id) => event_id,
        None => EventId::parse(format!("${}", hash::reference_hash(&signed_text, version)))
            .map_err(|_| FormatError::Wrong("hash", "an event id"))?,
    };
    Ok(Unverified { json, signed_text, event_id, version })
}

impl Unverified {
    /// The id: its hash, or the one it names in the room versions where the sender chooses.
    #[must_use]
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// The servers whose keys are needed for the next step.
    pub fn signers(&self) -> Result<BTreeSet<OwnedServerName>, SignatureError> {
        let said = self.said_about_signers().map_err(|error| SignatureError::Signers(error.to_string()))?;
        required_server_signatures_to_verify_event(&said, &self.version.rules.signatures)
            .map_err(|error| SignatureError::Signers(error.to_string()))
    }

    /// 2. Passes signature checks, otherwise it is dropped.
    ///
    /// Every signature by a known key of a server that must sign has to hold, and each such server needs
    /// at least one. The caller leaves out keys that were not valid when the event was sent, in the room
    /// versions where that matters.
    pub fn verify_signatures(self, keys: &PublicKeyMap) -> Result<Signed, SignatureError> {
        let malformed = |error: PduError| SignatureError::Signers(error.to_string());
        let event = Slices::parse(&self.json).map_err(malformed)?;
        let by_server = Slices::parse(event.get("signatures").unwrap_or("{}")).map_err(malformed)?;
        for server in self.signers()? {
            let signatures = by_server.get(server.as_str()).unwrap_or("{}");
            let signatures = Slices::parse(signatures).map_err(malformed)?;
            self.verify_server(&server, &signatures, keys)?;
        }
        Ok(Signed(self))
    }

    /// At least one signature of one server, and none that is wrong.
    fn verify_server(
        &self,
        server: &OwnedServerName,
        signatures: &Slices<'_>,
        keys: &PublicKeyMap,
    ) -> Result<(), SignatureError> {
        let missing = || SignatureError::Missing(server.clone());
        let wrong = |reason: String| SignatureError::Wrong(server.clone(), reason);
        let keys = keys.get(server.as_str()).ok_or_else(missing)?;
        let mut verified = false;
        for (key_id, signature) in &signatures.0 {
            let Some((algorithm, _)) = key_id.split_once(':').filter(|(name, _)| *name == "ed25519") else {
                continue;
            };
            let Some(key) = keys.get(key_id.as_ref()) else { continue };
            let signature: Base64<Standard> =
                serde_json::from_str(signature.get()).map_err(|error| wrong(error.to_string()))?;
            verify_canonical_json_bytes(
                &algorithm.into(),
                key.as_bytes(),
                signature.as_bytes(),
                self.signed_text.as_bytes(),
            )
            .map_err(|error| wrong(error.to_string()))?;
            verified = true;
        }
        if verified { Ok(()) } else { Err(missing()) }
    }

    /// The few fields that decide who must sign.
    fn said_about_signers(&self) -> Result<CanonicalJsonObject, PduError> {
        let event = Slices::parse(&self.json)?;
        let content = Slices::parse(event.get("content").unwrap_or("{}"))?;
        let pick = |slices: &Slices<'_>, keys: &[&str]| -> CanonicalJsonObject {
            keys.iter().filter_map(|key| Some(((*key).to_owned(), coarse(slices.get(key)?)))).collect()
        };
        let mut said = pick(&event, &["event_id", "sender", "type"]);
        let content =
            pick(&content, &["join_authorised_via_users_server", "membership", "third_party_invite"]);
        said.insert("content".to_owned(), CanonicalJsonValue::Object(content));
        Ok(said)
    }
}

impl Signed {
    /// 3. Passes hash checks, otherwise it is redacted before being processed further.
    pub fn check_content_hash(self) -> Result<(Pdu, Integrity), PduError> {
        let Unverified { json, event_id, version, .. } = self.0;
        let event = Pdu::from_stored(json.into(), event_id, version)?;
        let said: Option<Base64<Standard>> = Slices::parse(event.json())?
            .get("hashes")
            .and_then(|hashes| Slices::parse(hashes).ok()?.get("sha256"))
            // A hash that is not base64 matches nothing.
            .and_then(|hash| serde_json::from_str(hash).ok());
        if said.is_some_and(|said| hash::content_hash(event.json()).is_ok_and(|real| said.as_bytes() == real))
        {
            return Ok((event, Integrity::Whole));
        }
        Ok((event.redacted(version)?, Integrity::Redacted))
    }
}

/// A value as far as it matters who signs: strings as they are, objects as objects.
fn coarse(json: &str) -> CanonicalJsonValue {
    if json.starts_with('{') {
        return CanonicalJsonValue::Object(CanonicalJsonObject::new());
    }
    serde_json::from_str(json).map_or(CanonicalJsonValue::Null, CanonicalJsonValue::String)
}
