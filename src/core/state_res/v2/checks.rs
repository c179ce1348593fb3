//! The iterative auth checks.

use std::collections::HashMap;

use ruma::events::{StateEventType, TimelineEventType};

use super::{Partial, Room, StateKey, auth_keys, name};
use crate::{auth, id::EventNid, pdu::Pdu};

/// > The iterative auth checks algorithm takes as input an initial room state and a sorted list of state
/// > events, and constructs a new room state by iterating through the event list and applying the state
/// > event to the room state if the state event is allowed by the authorization rules.
pub(super) fn apply(room: &Room<'_>, events: Vec<EventNid>, mut state: Partial) -> Partial {
    for event in events {
        let Some(pdu) = room.pdu(event) else { continue };
        let Some(key) = name(pdu) else { continue };
        let basis = basis(room, event, pdu, &state);
        // Looking up what the rules ask for by reference would need a map with borrowed keys.
        let lookup = |event_type: &StateEventType, key: &str| {
            basis.get(&(event_type.clone(), key.to_owned())).copied()
        };
        if auth::check_by_state(room.conflict.version, pdu, lookup).is_ok() {
            state.insert(key, event);
        }
    }
    state
}

/// What an event is judged by: of the state so far, what may authorise it, and
///
/// > If a (`event_type`, `state_key`) key that is required for checking the authorization rules is not
/// > present in the state, then the appropriate state event from the event's `auth_events` is used if the
/// > auth event is not rejected.
fn basis<'a>(room: &Room<'a>, event: EventNid, pdu: &Pdu, state: &Partial) -> HashMap<StateKey, &'a Pdu> {
    let accepted = |event: EventNid| room.pdu(event).filter(|pdu| !pdu.rejected());
    let mut basis = HashMap::new();
    for auth in room.auth_events(event).iter().copied().filter_map(accepted) {
        if let Some(key) = name(auth) {
            basis.insert(key, auth);
        }
    }
    let version = room.conflict.version;
    // Where the room id names the create event, events do not, and none has to authorise itself.
    if version.room_id_is_create_hash()
        && *pdu.event_type() != TimelineEventType::RoomCreate
        && let Some(create) = room.pdu(room.conflict.create)
    {
        basis.insert((StateEventType::RoomCreate, String::new()), create);
    }
    for key in auth_keys(pdu, version) {
        if let Some(in_state) = state.get(&key).copied().and_then(accepted) {
            basis.insert(key, in_state);
        }
    }
    basis
}
