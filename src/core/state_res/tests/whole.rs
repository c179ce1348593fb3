//! Resolution as the specification tells it, over whole states and whole auth chains.

use std::collections::HashSet;

use ruma::state_res::{StateMap, utils::event_id_set::EventIdSet};

use super::*;

impl World {
    /// As [`World::resolve`], the long way.
    pub(super) fn resolve_whole(&self, states: &[State]) -> State {
        match self.version.rules.state_res.v2_rules() {
            Some(_) => self.resolve_whole_v2(states),
            None => self.resolve_whole_v1(states),
        }
    }

    fn resolve_whole_v2(&self, states: &[State]) -> State {
        let rules = &self.version.rules;
        let id = |nid: &EventNid| self.pdu(*nid).event_id().clone();
        let maps: Vec<StateMap<OwnedEventId>> = states
            .iter()
            .map(|state| state.values().map(|nid| (name(self.pdu(*nid)).unwrap(), id(nid))).collect())
            .collect();
        let chains = states
            .iter()
            .map(|state| {
                let from: Vec<_> = state.values().copied().chain([CREATE]).collect();
                dag::chain(&self.facts.links, &from).unwrap().iter().map(id).collect::<EventIdSet<_>>()
            })
            .collect();
        let resolved = ruma::state_res::resolve(
            &rules.authorization,
            rules.state_res.v2_rules().unwrap(),
            &maps,
            chains,
            |id| self.nids.get(id).map(|nid| self.pdu(*nid)),
            |conflicted| {
                let nids: Vec<_> = conflicted.values().flatten().map(|id| self.nids[id]).collect();
                Some(dag::between(&self.facts.links, &nids).unwrap().iter().map(id).collect())
            },
        )
        .unwrap();
        self.state(resolved.values().map(|id| self.nids[id]))
    }

    /// Version 1 with every agreed entry at hand: what one event or none is named for is agreed.
    fn resolve_whole_v1(&self, states: &[State]) -> State {
        let mut named: BTreeMap<StateKeyNid, HashSet<EventNid>> = BTreeMap::new();
        for (key, event) in states.iter().flatten() {
            named.entry(*key).or_default().insert(*event);
        }
        let sides: Vec<Vec<Entry>> = states
            .iter()
            .map(|state| state.iter().map(|(key, event)| Entry { key: *key, event: *event }).collect())
            .collect();
        let conflict = Conflict { version: self.version, create: CREATE, sides: &sides };
        let mut facts = self.facts.clone();
        // What no state has was asked for as agreed and is not there.
        for key in self.keys.iter().filter(|(_, key)| !named.contains_key(key)).map(|(name, _)| name) {
            facts.agreed.insert(key.clone(), None);
        }
        loop {
            match resolve(&conflict, &facts) {
                Ok(changes) => {
                    return changes.into_iter().filter_map(|(key, event)| Some((key, event?))).collect();
                }
                Err(Unresolved::Need(needs)) => {
                    assert!(needs.agreed.iter().all(|name| !self.keys.contains_key(name)), "{needs:?}");
                    facts.agreed.extend(needs.agreed.into_iter().map(|name| (name, None)));
                }
                Err(failed) => panic!("{failed}"),
            }
        }
    }
}
