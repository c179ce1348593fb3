//! What Synapse made of two thousand hostile histories; `interop/README.md` describes the file.

use std::io::{BufRead, BufReader};

use super::*;
use crate::auth;

/// Cases that we decide otherwise on purpose, each with its reason. May only shrink.
const DEVIATIONS: &[(&str, &str)] = &[];

fn cases() -> impl Iterator<Item = Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop/state_res_oracle.jsonl.gz");
    let file = std::fs::File::open(path).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The room with its history and, if asked for, the events in nobody's history.
fn world(case: &Value, probes: bool) -> World {
    let mut world = World::new(text(&case["room_version"]));
    let probes = list(&case["probes"]).filter(|_| probes);
    for event in list(&case["events"]).chain(probes) {
        let mut json = event.clone();
        let fields = json.as_object_mut().unwrap();
        let rejected = fields.remove("rejected").is_some_and(|rejected| rejected == true);
        fields.remove("event_id");
        if !(world.version.room_id_is_create_hash() && event["type"] == "m.room.create") {
            fields.insert("room_id".to_owned(), case["room_id"].clone());
        }
        world.add(text(&event["event_id"]), &json, rejected);
    }
    world
}

impl World {
    fn nid(&self, id: &Value) -> EventNid {
        self.nids[&OwnedEventId::try_from(text(id)).unwrap()]
    }

    fn allowed_by_its_auth_events(&self, nid: EventNid) -> bool {
        let lookup = |id: &ruma::EventId| self.nids.get(id).map(|nid| self.pdu(*nid));
        auth::check_auth_events(self.version, self.pdu(nid), lookup).is_ok()
    }

    fn allowed_by(&self, nid: EventNid, state: &State) -> bool {
        let lookup = |event_type: &StateEventType, key: &str| {
            let key = self.keys.get(&(event_type.clone(), key.to_owned()))?;
            state.get(key).map(|nid| self.pdu(*nid))
        };
        auth::check_by_state(self.version, self.pdu(nid), lookup).is_ok()
    }

    /// What a verdict without `against` is about.
    fn own_auth_events(&self, nid: EventNid) -> State {
        let auth = self.pdu(nid).auth_events().iter().filter_map(|id| self.nids.get(id).copied());
        let create = self.version.room_id_is_create_hash().then_some(CREATE);
        self.state(auth.chain(create))
    }
}

fn known(case: usize) -> bool {
    DEVIATIONS.iter().any(|(name, _)| *name == case.to_string())
}

#[test]
fn every_history_resolves_as_synapse_resolved_it() {
    let mut resolutions = 0;
    let mut wrong = Vec::new();
    for (number, case) in cases().enumerate().filter(|(number, _)| !known(*number)) {
        let world = world(&case, false);
        for resolution in list(&case["resolutions"]) {
            let states: Vec<State> = list(&resolution["state_sets"])
                .map(|set| world.state(list(set).map(|id| world.nid(id))))
                .collect();
            let expected = world.state(list(&resolution["resolved"]).map(|id| world.nid(id)));
            // To begin with nothing at hand, and to go the long way, takes long.
            let sample = resolutions % 5 == 0;
            let (ours, _) = world.resolve_counting(&states, usize::from(!sample));
            let version = text(&case["room_version"]);
            if ours != expected {
                wrong.push((number, version.to_owned(), "against the oracle"));
            }
            if sample && ours != world.resolve_whole(&states) {
                wrong.push((number, version.to_owned(), "against whole states"));
            }
            resolutions += 1;
        }
    }
    assert!(resolutions > 2_000, "only {resolutions} resolutions");
    assert_eq!(wrong, vec![], "of {resolutions} resolutions");
}

#[test]
fn every_event_is_judged_as_synapse_judged_it() {
    let mut verdicts = 0;
    let mut wrong = Vec::new();
    for (number, case) in cases().enumerate().filter(|(number, _)| !known(*number)) {
        let world = world(&case, true);
        for verdict in list(&case["verdicts"]) {
            let nid = world.nid(&verdict["event"]);
            let independent = world.allowed_by_its_auth_events(nid);
            if verdict["independent"] != independent {
                wrong.push((number, verdict.clone(), world.pdu(nid).json().to_string()));
            }
            if let Some(expected) = verdict["dependent"].as_bool() {
                let state = match verdict.get("against") {
                    Some(against) => world.state(list(against).map(|id| world.nid(id))),
                    None => world.own_auth_events(nid),
                };
                if expected != world.allowed_by(nid, &state) {
                    wrong.push((number, verdict.clone(), world.pdu(nid).json().to_string()));
                }
            }
            verdicts += 1;
        }
    }
    assert!(verdicts > 10_000, "only {verdicts} verdicts");
    assert!(wrong.is_empty(), "{} of {verdicts} verdicts, the first {:#?}", wrong.len(), wrong.first());
}
