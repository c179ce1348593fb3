//! One state out of several: state resolution.
//!
//! Where a room's history forks, each branch has a state of its own, and every server must make the same
//! one out of them: in rooms of version 1 as [`v1`] says, in all others as [`v2`] does.
//!
//! # Only what differs
//!
//! A [`Conflict`] holds the entries at which the states differ (see
//! [`disagreement`](crate::state_tree::disagreement)) and nothing else; the result is the changes that turn
//! any of the states into the resolved one. It is the same as if whole states were resolved; what the rest
//! of the states matters for is asked for piece by piece.
//!
//! # What has to be loaded
//!
//! [`resolve`] works on [`Facts`], does no I/O, and as long as something is missing answers
//! [`Unresolved::Need`] with all that it can tell is missing by now. The caller adds those facts (more than
//! asked for never changes the result) and repeats it. Asked for are
//!
//! 1. the conflicted events, and the [`Links`](crate::dag::Links) of them and their auth chains down to
//!    where the chains of all states meet (see [`dag`](crate::dag));
//! 2. the other events that the full conflicted set turns out to hold, and for each whether the agreed part
//!    of the state holds its key, or leads to it;
//! 3. the auth events of all of these, of every power levels event among those the auth events too, and so
//!    on down to the first power levels;
//! 4. except under version 2.1, the agreed entries that authorise any of these events.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ruma::events::StateEventType;

use crate::{
    dag::{Links, SIDES_MAX},
    id::{EventNid, StateKeyNid},
    pdu::Pdu,
    room_version::{RoomVersion, StateResolution},
    state_tree::Entry,
};

#[cfg(test)]
mod tests;
mod v1;
mod v2;

/// A `(type, state_key)`.
pub type StateKey = (StateEventType, String);

/// A state event at hand.
#[derive(Clone, Debug)]
pub struct StateEvent {
    /// The integer of its `(type, state_key)`.
    pub key: StateKeyNid,
    /// The event, marked as rejected if it was.
    pub pdu: Arc<Pdu>,
}

/// What is to be resolved.
#[derive(Clone, Copy, Debug)]
pub struct Conflict<'a> {
    /// The version of the room.
    pub version: &'a RoomVersion,
    /// The room's create event.
    pub create: EventNid,
    /// For each state its entries at the keys at which not all of them agree. The order of the states does
    /// not matter; no two should be equal, and at most [`SIDES_MAX`] can be resolved at once.
    pub sides: &'a [Vec<Entry>],
}

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Events of the room.
    pub events: HashMap<EventNid, StateEvent>,
    /// What events name as their `auth_events`. For one that the store does not have: no links.
    pub links: HashMap<EventNid, Links>,
    /// Where the states agree: what a key stands at in all of them.
    pub agreed: HashMap<StateKey, Option<EventNid>>,
    /// Whether an event is in the auth chain of an event at which the states agree, or is itself one. Without
    /// a better index, [`reached`](crate::dag::reached) from all agreed events tells.
    pub below_agreed: HashMap<EventNid, bool>,
}

/// Which facts are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// For [`Facts::events`].
    pub events: BTreeSet<EventNid>,
    /// For [`Facts::links`].
    pub links: BTreeSet<EventNid>,
    /// For [`Facts::agreed`]; only keys at which the states agree are asked for.
    pub agreed: BTreeSet<StateKey>,
    /// For [`Facts::below_agreed`]; asked for last, and seldom.
    pub below_agreed: BTreeSet<EventNid>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// More has to be known.
    #[error("facts are missing")]
    Need(Needs),
    /// The events are not what accepted events of one room can be.
    #[error("state cannot be resolved: {0}")]
    Failed(String),
}

/// Resolves a conflict: what has to be changed in any of the states to get the resolved one, ascending by
/// key. Every key of the conflict is named.
pub fn resolve(
    conflict: &Conflict<'_>,
    facts: &Facts,
) -> Result<Vec<(StateKeyNid, Option<EventNid>)>, Unresolved> {
    if conflict.sides.len() > SIDES_MAX {
        return Err(Unresolved::Failed(format!("more than {SIDES_MAX} states")));
    }
    match conflict.version.state_resolution {
        StateResolution::V1 => v1::resolve(conflict, facts),
        StateResolution::V2 | StateResolution::V2_1 => v2::resolve(conflict, facts),
    }
}

impl Needs {
    /// Nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.links.is_empty()
            && self.agreed.is_empty()
            && self.below_agreed.is_empty()
    }

    fn settle(&mut self) -> Result<(), Unresolved> {
        if self.is_empty() { Ok(()) } else { Err(Unresolved::Need(std::mem::take(self))) }
    }
}

/// Facts, and a note of those that were asked for in vain.
struct Inquiry<'a> {
    facts: &'a Facts,
    needs: Needs,
}

impl<'a> Inquiry<'a> {
    fn new(facts: &'a Facts) -> Self {
        Self { facts, needs: Needs::default() }
    }

    fn event(&mut self, event: EventNid) -> Option<&'a StateEvent> {
        let found = self.facts.events.get(&event);
        if found.is_none() {
            self.needs.events.insert(event);
        }
        found
    }

    fn links(&mut self, event: EventNid) -> Option<&'a Links> {
        let found = self.facts.links.get(&event);
        if found.is_none() {
            self.needs.links.insert(event);
        }
        found
    }

    /// What the states agree on at a key; `None` also where that is not known yet.
    fn agreed(&mut self, key: StateKey) -> Option<EventNid> {
        if let Some(entry) = self.facts.agreed.get(&key) {
            return *entry;
        }
        self.needs.agreed.insert(key);
        None
    }

    /// Fails if anything was asked for in vain.
    fn settle(&mut self) -> Result<(), Unresolved> {
        self.needs.settle()
    }
}

/// The `(type, state_key)` of a state event.
fn name(pdu: &Pdu) -> Option<StateKey> {
    Some((pdu.event_type().to_string().into(), pdu.state_key()?.to_owned()))
}

/// The keys of the events that may authorise this one; none if its content is malformed, so that the auth
/// rules will refuse it anyway.
fn auth_keys(pdu: &Pdu, version: &RoomVersion) -> Vec<StateKey> {
    ruma::state_res::auth_types_for_event(
        pdu.event_type(),
        pdu.sender(),
        pdu.state_key(),
        pdu.content(),
        &version.rules.authorization,
    )
    .unwrap_or_default()
}
