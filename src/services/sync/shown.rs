//! An event with the JSON that every reader of it shares.

use std::sync::{Arc, OnceLock};

use hearth_core::client_event::ClientEvent;
use hearth_core::id::Position;
use hearth_core::room_version::RoomVersion;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;

use crate::rooms::client_view::{Form, client_event};

/// An event, and its JSON without `unsigned`, made once, when the first reader asks for it.
#[derive(Debug)]
pub(super) struct Shown {
    /// The event.
    pub(super) event: Arc<StoredEvent>,
    json: OnceLock<ClientEvent>,
}

impl Shown {
    /// An event that nobody was shown yet.
    #[must_use]
    pub(super) const fn new(event: Arc<StoredEvent>) -> Self {
        Self { event, json: OnceLock::new() }
    }

    /// Its JSON inside a sync response: redacted where a redaction is in effect.
    pub(super) fn json(&self, version: &RoomVersion) -> Result<&ClientEvent, StoreError> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let made = client_event(&self.event, version, Form::InSync)?;
        Ok(self.json.get_or_init(|| made))
    }

    /// The log position that it happened at, or that it was sorted before when it was fetched later; zero for
    /// an event without a place.
    #[must_use]
    pub(super) fn pos(&self) -> Position {
        self.event.place.map_or(Position::ZERO, |place| place.anchor)
    }

    /// Roughly what it holds of memory.
    pub(super) fn bytes(&self) -> usize {
        // The text twice, as it came and as it is shown, and the content once more; the rest is small.
        3 * self.event.pdu.json().len() + FIXED_BYTES
    }
}

/// What an event takes beside its text.
const FIXED_BYTES: usize = 1024;
