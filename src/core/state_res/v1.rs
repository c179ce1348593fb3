//! The algorithm of room version 1.
//!
//! It knows only the conflicted events and what authorises them, compares depths as events claim them, and
//! can be led astray by both; that is why later versions have another.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use ruma::events::StateEventType;
use sha1::{Digest, Sha1};

use super::{Conflict, Facts, Inquiry, StateKey, Unresolved, auth_keys, name};
use crate::{
    auth,
    id::{EventNid, StateKeyNid},
    pdu::Pdu,
    room_version::RoomVersion,
};

pub(super) fn resolve(
    conflict: &Conflict<'_>,
    facts: &Facts,
) -> Result<Vec<(StateKeyNid, Option<EventNid>)>, Unresolved> {
    let mut inquiry = Inquiry::new(facts);
    let candidates = gather_candidates(conflict, &mut inquiry);
    inquiry.settle()?;
    let (mut state, disputes) = split(&candidates);
    add_authorising(conflict.version, &disputes, &mut state, &mut inquiry);
    inquiry.settle()?;

    let mut resolution = Resolution { version: conflict.version, state };
    let mut winners = Winners::new();
    for step in [resolve_power_levels, resolve_join_rules, resolve_members, resolve_the_rest] {
        let resolved = step(&resolution, &disputes);
        resolution.state.extend(resolved.iter().map(|(key, winner)| (key.clone(), winner.pdu)));
        winners.extend(resolved);
    }

    let mut changes: BTreeMap<StateKeyNid, Option<EventNid>> =
        conflict.sides.iter().flatten().map(|entry| (entry.key, None)).collect();
    let undisputed = candidates.values().filter(|events| events.len() == 1).flatten();
    for winner in undisputed.chain(winners.values()) {
        changes.insert(winner.key, Some(winner.nid));
    }
    Ok(changes.into_iter().collect())
}

/// One of the events that the states have at a key.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    nid: EventNid,
    key: StateKeyNid,
    pdu: &'a Pdu,
}

type Candidates<'a> = BTreeMap<StateKey, Vec<Candidate<'a>>>;

/// What the conflicted keys stand at in any of the states, each event once.
fn gather_candidates<'a>(conflict: &Conflict<'_>, inquiry: &mut Inquiry<'a>) -> Candidates<'a> {
    let mut candidates = Candidates::new();
    let nids: BTreeSet<EventNid> = conflict.sides.iter().flatten().map(|entry| entry.event).collect();
    for nid in nids {
        let Some(event) = inquiry.event(nid) else { continue };
        if event.pdu.rejected() {
            continue;
        }
        if let Some(name) = name(&event.pdu) {
            candidates.entry(name).or_default().push(Candidate { nid, key: event.key, pdu: &event.pdu });
        }
    }
    candidates
}

/// Where the states name one event or none, that is no dispute in this version.
fn split<'a>(candidates: &Candidates<'a>) -> (BTreeMap<StateKey, &'a Pdu>, Candidates<'a>) {
    let mut settled = BTreeMap::new();
    let mut disputes = Candidates::new();
    for (key, events) in candidates {
        match events.as_slice() {
            [only] => {
                settled.insert(key.clone(), only.pdu);
            }
            _ => {
                disputes.insert(key.clone(), events.clone());
            }
        }
    }
    (settled, disputes)
}

/// Adds to the state the agreed events by which the disputed ones may be authorised.
fn add_authorising<'a>(
    version: &RoomVersion,
    disputes: &Candidates<'a>,
    state: &mut BTreeMap<StateKey, &'a Pdu>,
    inquiry: &mut Inquiry<'a>,
) {
    for candidate in disputes.values().flatten() {
        for key in auth_keys(candidate.pdu, version) {
            if disputes.contains_key(&key) || state.contains_key(&key) {
                continue;
            }
            if let Some(event) = inquiry.agreed(key.clone()).and_then(|event| inquiry.event(event)) {
                state.insert(key, &event.pdu);
            }
        }
    }
}

/// The state so far: *R* in the specification.
struct Resolution<'a> {
    version: &'a RoomVersion,
    state: BTreeMap<StateKey, &'a Pdu>,
}

/// What the events of each disputed key have come down to.
type Winners<'a> = BTreeMap<StateKey, Candidate<'a>>;

/// 1. Disputes on `m.room.power_levels` come first.
fn resolve_power_levels<'a>(resolution: &Resolution<'_>, disputes: &Candidates<'a>) -> Winners<'a> {
    resolution.resolve_each(disputes, Turn::PowerLevels)
}

/// 2. Then those on `m.room.join_rules`, with the result of the first.
fn resolve_join_rules<'a>(resolution: &Resolution<'_>, disputes: &Candidates<'a>) -> Winners<'a> {
    resolution.resolve_each(disputes, Turn::JoinRules)
}

/// 3. Then those on `m.room.member`, with the results so far.
fn resolve_members<'a>(resolution: &Resolution<'_>, disputes: &Candidates<'a>) -> Winners<'a> {
    resolution.resolve_each(disputes, Turn::Members)
}

/// 4. Then all others, with all of these.
fn resolve_the_rest<'a>(resolution: &Resolution<'_>, disputes: &Candidates<'a>) -> Winners<'a> {
    resolution.resolve_each(disputes, Turn::Rest)
}

/// When a key's dispute is resolved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    PowerLevels,
    JoinRules,
    Members,
    Rest,
}

impl Turn {
    fn of((event_type, state_key): &StateKey) -> Self {
        match event_type {
            StateEventType::RoomPowerLevels if state_key.is_empty() => Self::PowerLevels,
            StateEventType::RoomJoinRules => Self::JoinRules,
            StateEventType::RoomMember => Self::Members,
            _ => Self::Rest,
        }
    }
}

impl Resolution<'_> {
    fn resolve_each<'a>(&self, disputes: &Candidates<'a>, turn: Turn) -> Winners<'a> {
        let winner = |key, events| match turn {
            Turn::Rest => self.deepest_allowed(events),
            _ => self.last_allowed(key, events),
        };
        disputes
            .iter()
            .filter(|(key, _)| Turn::of(key) == turn)
            .filter_map(|(key, events)| Some((key.clone(), winner(key, events)?)))
            .collect()
    }

    /// The first of the events, from the least depth up, counts without a check; each further one replaces
    /// it if that allows it, up to the first that is not allowed.
    fn last_allowed<'a>(&self, key: &StateKey, events: &[Candidate<'a>]) -> Option<Candidate<'a>> {
        let mut sorted = deepest_first(events).into_iter().rev();
        let mut winner = sorted.next()?;
        for event in sorted {
            if !self.allows(event.pdu, Some((key, winner.pdu))) {
                break;
            }
            winner = event;
        }
        Some(winner)
    }

    /// If no event is allowed, the one of the least depth has to do.
    fn deepest_allowed<'a>(&self, events: &[Candidate<'a>]) -> Option<Candidate<'a>> {
        let sorted = deepest_first(events);
        sorted.iter().find(|event| self.allows(event.pdu, None)).or(sorted.last()).copied()
    }

    /// Whether the auth rules allow an event, given the state so far and perhaps another event in it.
    fn allows(&self, event: &Pdu, with: Option<(&StateKey, &Pdu)>) -> bool {
        let lookup = |event_type: &StateEventType, key: &str| {
            let wanted = (event_type.clone(), key.to_owned());
            match with {
                Some((key, pdu)) if *key == wanted => Some(pdu),
                _ => self.state.get(&wanted).copied(),
            }
        };
        auth::check_by_state(self.version, event, lookup).is_ok()
    }
}

/// By descending depth, and at equal depth by the ascending SHA-1 of the event id.
fn deepest_first<'a>(events: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let mut sorted = events.to_vec();
    sorted.sort_by_cached_key(|event| {
        (Reverse(event.pdu.depth()), Sha1::digest(event.pdu.event_id().as_bytes()))
    });
    sorted
}
