//! Finding out what has to be known before anything can be resolved.

use std::collections::{BTreeMap, BTreeSet};

use ruma::events::StateEventType;

use super::{Conflict, Facts, Inquiry, StateKey, Unresolved, auth_keys, is_power_levels, name};
use crate::{dag, id::EventNid, room_version::StateResolution};

/// What the algorithm works on.
pub(super) struct Found {
    /// The conflicted events, the auth difference and, in version 2.1, the conflicted state subgraph.
    pub(super) full: BTreeSet<EventNid>,
    /// The agreed entries that matter for it.
    pub(super) agreed: BTreeMap<StateKey, EventNid>,
}

/// Looks for the full conflicted set and everything that its events are judged by.
pub(super) fn search(conflict: &Conflict<'_>, facts: &Facts) -> Result<Found, Unresolved> {
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
    Ok(Found { full, agreed })
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
