//! Whether the authorisation rules allow an event.
//!
//! The rules themselves are the library's, but for a few gaps (see `gaps.rs`). This layer names their outcome, and [`context`] answers the
//! everyday questions (may this member send a message?) without reading the room's levels each time.

use std::borrow::Borrow;

use ruma::{
    EventId, UserId,
    events::{StateEventType, TimelineEventType},
    state_res::{Event, auth_types_for_event, check_state_independent_auth_rules},
};
use serde_json::value::RawValue;

use crate::{pdu::Pdu, power::Malformed, room_version::RoomVersion};

pub mod context;
mod gaps;

/// Why an event is not allowed. Its text is a sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The events it names as allowing it are not the right ones.
    #[error("The event's auth events do not allow it: {0}.")]
    AuthEvents(String),
    /// One of the rules refuses it in the state it was judged by.
    #[error("The room's rules do not allow this: {0}.")]
    Rules(String),
    /// The room is for users of the creator's server only.
    #[error("This room is only for users of the server it was created on.")]
    NotFederated,
    /// The sender is not in the room.
    #[error("You are not in this room.")]
    NotJoined,
    /// The sender's level does not suffice.
    #[error("Your power level in this room is too low: this takes at least {needed}.")]
    TooLittlePower {
        /// The level it takes.
        needed: i64,
    },
    /// The other user's level is too high for the sender to act on them.
    #[error("The power level of {0} is not below yours.")]
    EqualOrMorePower(String),
    /// The state key is the id of another user.
    #[error("A state key that is a user's id may only be used by that user.")]
    StateOfAnotherUser,
    /// The other user's membership does not fit the action.
    #[error("The user is already in the room or banned from it.")]
    CannotInvite,
    /// The room's own state cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The state that an event must name in `auth_events`, where the room has it.
pub fn auth_types(
    version: &RoomVersion,
    event_type: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
) -> Result<Vec<(StateEventType, String)>, Denied> {
    auth_types_for_event(event_type, sender, state_key, content, &version.rules.authorization)
        .map_err(Denied::Rules)
}

/// Judges an event by the events it names itself, then by a state.
pub fn check<E: Event + Borrow<Pdu>>(
    version: &RoomVersion,
    event: &Pdu,
    fetch_event: impl Fn(&EventId) -> Option<E>,
    fetch_state: impl Fn(&StateEventType, &str) -> Option<E>,
) -> Result<(), Denied> {
    check_auth_events(version, event, fetch_event)?;
    check_by_state(version, event, fetch_state)
}

/// Whether the events it names as allowing it are of the right kinds, in this room and not rejected.
///
/// This depends on no state and holds once and for all.
pub fn check_auth_events<E: Event>(
    version: &RoomVersion,
    event: &Pdu,
    fetch_event: impl Fn(&EventId) -> Option<E>,
) -> Result<(), Denied> {
    gaps::check_room_version(event)?;
    check_state_independent_auth_rules(&version.rules.authorization, event, fetch_event)
        .map_err(Denied::AuthEvents)
}

/// Whether a state allows the event: the state of its auth events, the state before it, or, for soft
/// failure, the room's current state.
pub fn check_by_state<E: Borrow<Pdu>>(
    version: &RoomVersion,
    event: &Pdu,
    fetch_state: impl Fn(&StateEventType, &str) -> Option<E>,
) -> Result<(), Denied> {
    gaps::check_by_state(version, event, fetch_state)
}

#[cfg(test)]
mod tests;
