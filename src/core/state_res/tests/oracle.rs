//! What Synapse made of two thousand hostile histories; `interop/README.md` describes the file.

use std::io::{BufRead, BufReader};

use super::*;

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

/// The room with its history.
fn world(case: &Value) -> World {
    let mut world = World::new(text(&case["room_version"]));
    for event in list(&case["events"]) {
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
}

fn known(case: usize) -> bool {
    DEVIATIONS.iter().any(|(name, _)| *name == case.to_string())
}

#[test]
fn every_history_resolves_as_synapse_resolved_it() {
    let mut resolutions = 0;
    let mut wrong = Vec::new();
    for (number, case) in cases().enumerate().filter(|(number, _)| !known(*number)) {
        let world = world(&case);
        for resolution in list(&case["resolutions"]) {
            let states: Vec<State> = list(&resolution["state_sets"])
                .map(|set| world.state(list(set).map(|id| world.nid(id))))
                .collect();
            let expected = world.state(list(&resolution["resolved"]).map(|id| world.nid(id)));
            let (ours, _) = world.resolve_counting(&states, 0);
            let version = text(&case["room_version"]);
            if ours != expected {
                wrong.push((number, version.to_owned(), "against the oracle"));
            }
            // The long way takes long.
            if resolutions % 5 == 0 && ours != world.resolve_whole(&states) {
                wrong.push((number, version.to_owned(), "against whole states"));
            }
            resolutions += 1;
        }
    }
    assert!(resolutions > 2_000, "only {resolutions} resolutions");
    assert_eq!(wrong, vec![], "of {resolutions} resolutions");
}
