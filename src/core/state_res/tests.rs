//! State resolution against fixtures, against an oracle, and against itself.

use std::collections::{BTreeMap, BTreeSet};

use ruma::OwnedEventId;
use serde_json::Value;

use super::*;
use crate::{
    dag,
    room_version::{self, RoomVersion},
};

mod oracle;
mod random;
mod vectors;
mod whole;

/// A state, in full.
type State = BTreeMap<StateKeyNid, EventNid>;

/// The first event of every room here; later ones of its type are forgeries.
const CREATE: EventNid = EventNid::new(1);

/// A room whose events are all known; resolving in it begins with no facts at hand all the same.
struct World {
    version: &'static RoomVersion,
    facts: Facts,
    nids: HashMap<OwnedEventId, EventNid>,
    keys: HashMap<StateKey, StateKeyNid>,
}

/// What was asked for until a conflict was resolved.
#[derive(Clone, Debug, Default)]
struct Asked {
    rounds: usize,
    events: usize,
    links: usize,
    agreed: usize,
    below_agreed: usize,
}

impl World {
    fn new(version: &str) -> Self {
        let version = room_version::rules(&version.try_into().unwrap()).unwrap();
        Self { version, facts: Facts::default(), nids: HashMap::new(), keys: HashMap::new() }
    }

    /// Takes up an event, given as JSON with its id beside it.
    fn add(&mut self, event_id: &str, json: &Value, rejected: bool) -> EventNid {
        let event_id = OwnedEventId::try_from(event_id).unwrap();
        // A number that says nothing about the order of events.
        let nid = EventNid::new(i64::try_from(self.nids.len() * 7919 % 100_003 + 1).unwrap());
        let pdu = Pdu::from_stored(json.to_string().into(), event_id.clone(), self.version).unwrap();
        let pdu = Arc::new(pdu.with_rejected(rejected));
        let to: Box<[EventNid]> =
            pdu.auth_events().iter().filter_map(|id| self.nids.get(id).copied()).collect();
        let order = 1 + to.iter().filter_map(|to| self.facts.links[to].order).max().unwrap_or(0);
        self.facts.links.insert(nid, Links { order: Some(order), to });
        let next = StateKeyNid::new(i64::try_from(self.keys.len() + 1).unwrap());
        let key = name(&pdu).map_or(StateKeyNid::new(0), |name| *self.keys.entry(name).or_insert(next));
        assert!(self.facts.events.insert(nid, StateEvent { key, pdu }).is_none());
        assert!(self.nids.insert(event_id, nid).is_none());
        nid
    }

    fn event(&self, nid: EventNid) -> &StateEvent {
        &self.facts.events[&nid]
    }

    fn pdu(&self, nid: EventNid) -> &Pdu {
        &self.facts.events[&nid].pdu
    }

    /// The state that holds these events.
    fn state(&self, events: impl IntoIterator<Item = EventNid>) -> State {
        events.into_iter().map(|event| (self.event(event).key, event)).collect()
    }

    fn names(&self, state: &State) -> BTreeSet<String> {
        state.values().map(|event| self.pdu(*event).event_id().to_string()).collect()
    }

    fn resolve(&self, states: &[State]) -> State {
        self.resolve_counting(states, 0).0
    }

    /// Resolves, loading exactly what is asked for, round by round.
    fn resolve_counting(&self, states: &[State], extra: usize) -> (State, Asked) {
        let differs = |key: &StateKeyNid| states.iter().any(|state| state.get(key) != states[0].get(key));
        let side = |state: &State| -> Vec<Entry> {
            let entries = state.iter().filter(|(key, _)| differs(key));
            entries.map(|(key, event)| Entry { key: *key, event: *event }).collect()
        };
        let sides: Vec<_> = states.iter().map(side).collect();
        let agreed: State =
            states[0].iter().filter(|(key, _)| !differs(key)).map(|(key, event)| (*key, *event)).collect();
        let conflict = Conflict { version: self.version, create: CREATE, sides: &sides };
        let mut facts = self.some_facts(extra);
        let mut asked = Asked::default();
        loop {
            match resolve(&conflict, &facts) {
                Ok(changes) => {
                    let mut result = agreed;
                    for (key, event) in changes {
                        if let Some(event) = event {
                            assert_eq!(result.insert(key, event), None, "an agreed key was changed");
                        }
                    }
                    return (result, asked);
                }
                Err(Unresolved::Need(needs)) => self.load(&mut facts, &mut asked, &needs, &agreed),
                Err(failed) => panic!("{failed}"),
            }
        }
    }

    fn load(&self, facts: &mut Facts, asked: &mut Asked, needs: &Needs, agreed: &State) {
        assert!(!needs.is_empty());
        asked.rounds += 1;
        asked.events += needs.events.len();
        asked.links += needs.links.len();
        asked.agreed += needs.agreed.len();
        asked.below_agreed += needs.below_agreed.len();
        for event in &needs.events {
            assert!(facts.events.insert(*event, self.event(*event).clone()).is_none());
        }
        for event in &needs.links {
            assert!(facts.links.insert(*event, self.facts.links[event].clone()).is_none());
        }
        for name in &needs.agreed {
            let found = self.keys.get(name).and_then(|key| agreed.get(key).copied());
            assert!(facts.agreed.insert(name.clone(), found).is_none());
        }
        let from: Vec<_> = agreed.values().copied().collect();
        let targets: Vec<_> = needs.below_agreed.iter().copied().collect();
        let below = dag::reached(&self.facts.links, &from, &targets).unwrap();
        for event in targets {
            assert!(facts.below_agreed.insert(event, below.contains(&event)).is_none());
        }
    }

    /// Facts that happen to be at hand before anything was asked.
    fn some_facts(&self, every: usize) -> Facts {
        let mut facts = Facts::default();
        if let Some(every) = std::num::NonZero::new(every) {
            let mut nids: Vec<_> = self.nids.values().copied().collect();
            nids.sort_unstable();
            for nid in nids.into_iter().step_by(every.get()) {
                facts.events.insert(nid, self.event(nid).clone());
                facts.links.insert(nid, self.facts.links[&nid].clone());
            }
        }
        facts
    }
}
