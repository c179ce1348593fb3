//! What a local user wants to have added to a room.

use hearth_core::id::UserNid;
use hearth_core::pdu::Content;
use hearth_store::log::Entry;
use ruma::events::TimelineEventType;
use ruma::{OwnedEventId, OwnedUserId};

/// A local user, by both names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Their integer.
    pub nid: UserNid,
    /// Their id.
    pub id: OwnedUserId,
}

/// An event before the room has given it its surroundings.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its type.
    pub event_type: TimelineEventType,
    /// Its state key, for a state event.
    pub state_key: Option<String>,
    /// Its content.
    pub content: Content,
    /// What it redacts.
    pub redacts: Option<OwnedEventId>,
}

impl Draft {
    /// A state event.
    #[must_use]
    pub fn state(event_type: impl Into<TimelineEventType>, state_key: &str, content: Content) -> Self {
        Self { event_type: event_type.into(), state_key: Some(state_key.to_owned()), content, redacts: None }
    }

    /// An event that is no state event.
    #[must_use]
    pub fn message(event_type: impl Into<TimelineEventType>, content: Content) -> Self {
        Self { event_type: event_type.into(), state_key: None, content, redacts: None }
    }
}

/// A client's transaction id, and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The device that sends.
    pub device_id: String,
    /// The endpoint and its path parameters.
    pub scope: String,
    /// As the client chose it.
    pub txn_id: String,
}

/// Events to be added to a room, all or none.
#[derive(Clone, Debug)]
pub struct Addition {
    /// Who adds them.
    pub author: Author,
    /// The events, in order.
    pub drafts: Vec<Draft>,
    /// The transaction id it uses up.
    pub transaction: Option<Transaction>,
    /// What else must become true with them.
    pub with: Vec<Entry>,
    /// A single state event that says what the room's state says already is not sent again; the event that
    /// says it is the answer.
    pub unless_same: bool,
}

impl Addition {
    /// One event.
    #[must_use]
    pub fn of(author: &Author, draft: Draft) -> Self {
        Self {
            author: author.clone(),
            drafts: vec![draft],
            transaction: None,
            with: Vec::new(),
            unless_same: false,
        }
    }
}

/// An event that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its id.
    pub event_id: OwnedEventId,
}
