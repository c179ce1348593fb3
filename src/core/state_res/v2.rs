//! Versions 2 and 2.1.
//!
//! The algorithm is given the conflicted entries and those agreed ones that can matter. That is enough:
//! agreed entries serve to authorise events of the full conflicted set (in version 2) and to override what
//! became of their own keys, and both are asked for by key; and an event below an agreed entry is below all
//! states and in no auth difference.
//!
//! ruma has the same algorithm. It is not called here because it judges events by its own auth rules, whose
//! gaps [`auth`](crate::auth) fills, and fails as a whole where one event is malformed; tests compare the two.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{
    events::{TimelineEventType, room::member::MembershipState},
    state_res::events::RoomMemberEvent,
};

use super::{Conflict, Facts, Inquiry, StateEvent, StateKey, Unresolved, auth_keys, name};
use crate::{
    id::{EventNid, StateKeyNid},
    pdu::Pdu,
    room_version::StateResolution,
};

mod checks;
mod order;
mod search;

use self::search::Found;

pub(super) fn resolve(
    conflict: &Conflict<'_>,
    facts: &Facts,
) -> Result<Vec<(StateKeyNid, Option<EventNid>)>, Unresolved> {
    let Found { full, agreed } = search::search(conflict, facts)?;
    let room = Room { conflict, facts };
    let powers = select_power_events(&room, &full);
    let powers_in_order = order::by_power(&room, &powers);
    let partial = checks::apply(&room, powers_in_order, begin(conflict, &agreed));
    let rest = full.difference(&powers).copied().collect::<Vec<_>>();
    let rest_in_order = order::by_mainline(&room, &rest, &partial);
    let resolved = checks::apply(&room, rest_in_order, partial);
    Ok(overlay(&room, &resolved, &agreed))
}

/// The state while it is being resolved.
type Partial = BTreeMap<StateKey, EventNid>;

/// Everything at hand; what an event is judged by is known to be.
#[derive(Clone, Copy)]
struct Room<'a> {
    conflict: &'a Conflict<'a>,
    facts: &'a Facts,
}

impl<'a> Room<'a> {
    fn event(&self, event: EventNid) -> Option<&'a StateEvent> {
        self.facts.events.get(&event)
    }

    fn pdu(&self, event: EventNid) -> Option<&'a Pdu> {
        Some(&self.event(event)?.pdu)
    }

    fn auth_events(&self, event: EventNid) -> &'a [EventNid] {
        self.facts.links.get(&event).map_or(&[], |links| &links.to)
    }

    /// The power levels event among the auth events of an event.
    fn power_levels_of(&self, event: EventNid) -> Option<EventNid> {
        let is_powers = |event: &EventNid| self.pdu(*event).is_some_and(is_power_levels);
        self.auth_events(event).iter().copied().find(is_powers)
    }
}

/// > 1. Select the set X of all power events that appear in the full conflicted set. For each such power
/// > event P, enlarge X by adding the events in the auth chain of P which also belong to the full set.
fn select_power_events(room: &Room<'_>, full: &BTreeSet<EventNid>) -> BTreeSet<EventNid> {
    let is_power = |event: &EventNid| room.pdu(*event).is_some_and(is_power_event);
    let mut open: Vec<EventNid> = full.iter().copied().filter(is_power).collect();
    let mut selected = BTreeSet::new();
    while let Some(event) = open.pop() {
        if selected.insert(event) {
            open.extend(room.auth_events(event).iter().filter(|event| full.contains(event)));
        }
    }
    selected
}

/// > 2. Apply the iterative auth checks algorithm, starting from the unconflicted state map; since version
/// > 2.1, from an empty one.
fn begin(conflict: &Conflict<'_>, agreed: &BTreeMap<StateKey, EventNid>) -> Partial {
    match conflict.version.state_resolution {
        StateResolution::V2_1 => Partial::new(),
        StateResolution::V1 | StateResolution::V2 => agreed.clone(),
    }
}

/// > 5. Update the result by replacing any event with the event with the same key from the unconflicted
/// > state map, if such an event exists.
///
/// What remains is what became of the conflicted keys, and keys that no state has but the full set brought up.
fn overlay(
    room: &Room<'_>,
    resolved: &Partial,
    agreed: &BTreeMap<StateKey, EventNid>,
) -> Vec<(StateKeyNid, Option<EventNid>)> {
    let mut changes: BTreeMap<StateKeyNid, Option<EventNid>> =
        room.conflict.sides.iter().flatten().map(|entry| (entry.key, None)).collect();
    for (key, nid) in resolved {
        if let Some(event) = room.event(*nid)
            && !agreed.contains_key(key)
        {
            changes.insert(event.key, Some(*nid));
        }
    }
    changes.into_iter().collect()
}

fn is_power_levels(pdu: &Pdu) -> bool {
    *pdu.event_type() == TimelineEventType::RoomPowerLevels && pdu.state_key() == Some("")
}

/// > A power event is a state event with type `m.room.power_levels` or `m.room.join_rules`, or a state event
/// > with type `m.room.member` where the `membership` is `leave` or `ban` and the `sender` does not match the
/// > `state_key`.
///
/// Like other servers, we count the create event too, which is before all in any case.
fn is_power_event(pdu: &Pdu) -> bool {
    match pdu.event_type() {
        TimelineEventType::RoomPowerLevels
        | TimelineEventType::RoomJoinRules
        | TimelineEventType::RoomCreate => pdu.state_key() == Some(""),
        TimelineEventType::RoomMember => {
            pdu.state_key() != Some(pdu.sender().as_str())
                && RoomMemberEvent::new(pdu).membership().is_ok_and(|membership| {
                    matches!(membership, MembershipState::Leave | MembershipState::Ban)
                })
        }
        _ => false,
    }
}
