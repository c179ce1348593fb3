//! Versions 2 and 2.1: finds out what ruma's algorithm has to be given, and gives it.
//!
//! ruma wants whole states and whole auth chains. It is given, in each state, the conflicted entries and
//! those agreed ones that can matter, and instead of chains their difference. That is enough: agreed entries
//! serve to authorise events of the full conflicted set (in version 2) and to override what became of their
//! own keys, and both are asked for by key; and an event below an agreed entry is below all states and in no
//! difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};

use super::{Conflict, Facts, Inquiry, StateEvent, StateKey, Unresolved, auth_keys, name};
use crate::{
    dag,
    id::{EventNid, StateKeyNid},
    pdu::Pdu,
    room_version::StateResolution,
    state_tree::Entry,
};

pub(super) fn resolve(
    conflict: &Conflict<'_>,
    facts: &Facts,
) -> Result<Vec<(StateKeyNid, Option<EventNid>)>, Unresolved> {
    let sides: Vec<Vec<EventNid>> =
        conflict.sides.iter().map(|side| side.iter().map(|entry| entry.event).collect()).collect();
    let mut search = Search {
        conflict,
        conflicted: sides.iter().flatten().copied().collect(),
        names: BTreeSet::new(),
        inquiry: Inquiry::new(facts),
    };
    search.name_the_conflicted()?;
    let subgraph = search.subgraph()?;
    let difference = search.auth_difference(&sides, &subgraph)?;
    let full = search.conflicted.iter().chain(&difference).chain(&subgraph).copied().collect();
    search.gather_authorising(&full)?;
    let agreed = search.gather_agreed(&full)?;
    Call { conflict, facts, difference, subgraph, agreed }.resolve()
}

/// The search for everything that has to be known.
struct Search<'a> {
    conflict: &'a Conflict<'a>,
    conflicted: BTreeSet<EventNid>,
    /// The keys of the conflicted events.
    names: BTreeSet<StateKey>,
    inquiry: Inquiry<'a>,
}

impl Search<'_> {
    fn name_the_conflicted(&mut self) -> Result<(), Unresolved> {
        for event in &self.conflicted {
            // Asked for together: the search cannot begin without either.
            self.inquiry.links(*event);
            if let Some(event) = self.inquiry.event(*event) {
                self.names.extend(name(&event.pdu));
            }
        }
        self.inquiry.settle()
    }

    /// > The auth difference is calculated by first calculating the full auth chain for each state Si, and
    /// > then taking every event that doesn't appear in every auth chain.
    fn auth_difference(
        &mut self,
        sides: &[Vec<EventNid>],
        subgraph: &[EventNid],
    ) -> Result<Vec<EventNid>, Unresolved> {
        let facts = self.inquiry.facts;
        let below = facts.below_agreed.iter().filter(|(_, below)| **below).map(|(event, _)| *event);
        let mut common: Vec<EventNid> = facts.agreed.values().flatten().copied().chain(below).collect();
        common.push(self.conflict.create);
        let found = dag::difference(&facts.links, sides, &common).map_err(|missing| self.missing(missing))?;
        let in_any_case = |event: &EventNid| self.conflicted.contains(event) || subgraph.contains(event);
        let doubtful: Vec<EventNid> = found.iter().copied().filter(|event| !in_any_case(event)).collect();
        self.doubt_each(&doubtful)?;
        Ok(found)
    }

    /// What is in the full conflicted set only by the difference may yet be below an agreed entry: most often
    /// below the one at its own key, which is cheap to find out.
    fn doubt_each(&mut self, doubtful: &[EventNid]) -> Result<(), Unresolved> {
        for event in doubtful {
            if let Some(key) = self.inquiry.event(*event).and_then(|event| name(&event.pdu))
                && !self.names.contains(&key)
            {
                self.inquiry.agreed(key);
            }
        }
        self.inquiry.settle()?;
        let known = &self.inquiry.facts.below_agreed;
        self.inquiry.needs.below_agreed.extend(doubtful.iter().filter(|event| !known.contains_key(event)));
        self.inquiry.settle()
    }

    /// > The conflicted state subgraph: every event on any path between two conflicted events.
    fn subgraph(&mut self) -> Result<Vec<EventNid>, Unresolved> {
        if self.conflict.version.state_resolution != StateResolution::V2_1 {
            return Ok(Vec::new());
        }
        let conflicted: Vec<EventNid> = self.conflicted.iter().copied().collect();
        dag::between(&self.inquiry.facts.links, &conflicted).map_err(|missing| self.missing(missing))
    }

    /// The auth events of the full set, and the power levels below them down to the first.
    fn gather_authorising(&mut self, full: &BTreeSet<EventNid>) -> Result<(), Unresolved> {
        self.inquiry.event(self.conflict.create);
        let powers = (StateEventType::RoomPowerLevels, String::new());
        let mut open: Vec<EventNid> = full.iter().copied().collect();
        open.extend(self.inquiry.facts.agreed.get(&powers).copied().flatten());
        let mut seen = BTreeSet::new();
        while let Some(event) = open.pop() {
            if !seen.insert(event) {
                continue;
            }
            let Some(loaded) = self.inquiry.event(event) else { continue };
            if !full.contains(&event) && !is_power_levels(&loaded.pdu) {
                continue;
            }
            if let Some(links) = self.inquiry.links(event) {
                open.extend(&links.to);
            }
        }
        self.inquiry.settle()
    }

    /// The agreed entries at the keys of the full set, and those that authorise it.
    fn gather_agreed(
        &mut self,
        full: &BTreeSet<EventNid>,
    ) -> Result<BTreeMap<StateKey, EventNid>, Unresolved> {
        let mut keys = BTreeSet::new();
        for event in full {
            let Some(event) = self.inquiry.event(*event) else { continue };
            keys.extend(name(&event.pdu));
            // Version 2.1 authorises from scratch.
            if self.conflict.version.state_resolution == StateResolution::V2 {
                keys.extend(auth_keys(&event.pdu, self.conflict.version));
            }
        }
        let mut agreed = BTreeMap::new();
        for key in keys.difference(&self.names) {
            if let Some(event) = self.inquiry.agreed(key.clone()) {
                self.inquiry.event(event);
                agreed.insert(key.clone(), event);
            }
        }
        self.inquiry.settle()?;
        Ok(agreed)
    }

    fn missing(&mut self, missing: dag::Missing) -> Unresolved {
        self.inquiry.needs.links.extend(missing.0);
        Unresolved::Need(std::mem::take(&mut self.inquiry.needs))
    }
}

fn is_power_levels(pdu: &Pdu) -> bool {
    *pdu.event_type() == TimelineEventType::RoomPowerLevels && pdu.state_key() == Some("")
}

/// Everything that ruma's algorithm is given.
struct Call<'a> {
    conflict: &'a Conflict<'a>,
    facts: &'a Facts,
    difference: Vec<EventNid>,
    subgraph: Vec<EventNid>,
    agreed: BTreeMap<StateKey, EventNid>,
}

impl Call<'_> {
    fn resolve(&self) -> Result<Vec<(StateKeyNid, Option<EventNid>)>, Unresolved> {
        let rules = &self.conflict.version.rules;
        let Some(v2_rules) = rules.state_res.v2_rules() else {
            return Err(Unresolved::Failed("the room version has no rules for version 2".to_owned()));
        };
        let by_id: HashMap<&EventId, (EventNid, &StateEvent)> =
            self.facts.events.iter().map(|(nid, event)| (&**event.pdu.event_id(), (*nid, event))).collect();
        let subgraph = self.ids(&self.subgraph);
        let resolved = state_res::resolve(
            &rules.authorization,
            v2_rules,
            &self.states(),
            // What is in one of two sets is their difference.
            vec![self.ids(&self.difference), EventIdSet::new()],
            |id| by_id.get(id).map(|(_, event)| &*event.pdu),
            |_| Some(subgraph.clone()),
        )
        .map_err(|error| Unresolved::Failed(error.to_string()))?;
        Ok(self.changes(&resolved, &by_id))
    }

    fn states(&self) -> Vec<StateMap<OwnedEventId>> {
        let named = |event: &EventNid| {
            let pdu = &self.facts.events.get(event)?.pdu;
            Some((name(pdu)?, pdu.event_id().clone()))
        };
        let agreed: StateMap<OwnedEventId> = self.agreed.values().filter_map(named).collect();
        let state = |side: &Vec<Entry>| {
            let mut state = agreed.clone();
            state.extend(side.iter().filter_map(|entry| named(&entry.event)));
            state
        };
        self.conflict.sides.iter().map(state).collect()
    }

    fn ids(&self, events: &[EventNid]) -> EventIdSet<OwnedEventId> {
        events.iter().filter_map(|event| Some(self.facts.events.get(event)?.pdu.event_id().clone())).collect()
    }

    /// What became of the conflicted keys, and of keys that no state has but the full set brought up.
    fn changes(
        &self,
        resolved: &StateMap<OwnedEventId>,
        by_id: &HashMap<&EventId, (EventNid, &StateEvent)>,
    ) -> Vec<(StateKeyNid, Option<EventNid>)> {
        let mut changes: BTreeMap<StateKeyNid, Option<EventNid>> =
            self.conflict.sides.iter().flatten().map(|entry| (entry.key, None)).collect();
        for (key, id) in resolved {
            if let Some((nid, event)) = by_id.get(&**id)
                && !self.agreed.contains_key(key)
            {
                changes.insert(event.key, Some(*nid));
            }
        }
        changes.into_iter().collect()
    }
}
