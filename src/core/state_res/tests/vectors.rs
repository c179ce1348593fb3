//! The scenarios of `testdata/state_res_vectors.json`, whose licence stands in the file.

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../testdata/state_res_vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// The room of a scenario, and its events file by file.
fn world(vectors: &Value, scenario: &Value) -> (World, Vec<Vec<EventNid>>) {
    let files: Vec<&Value> = scenario["pdu_files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &vectors["files"][file.as_str().unwrap()])
        .collect();
    let mut world = World::new(text(&files[0][0]["content"], "room_version"));
    let mut depth = 0;
    let mut add = |event: &Value| {
        depth += 1;
        let mut json = event.clone();
        json["depth"] = depth.into();
        world.add(text(event, "event_id"), &json, false)
    };
    let batches = files.iter().map(|file| file.as_array().unwrap().iter().map(&mut add).collect()).collect();
    (world, batches)
}

fn expected(scenario: &Value) -> BTreeSet<String> {
    scenario["resolved"].as_array().unwrap().iter().map(|event| text(event, "event_id").to_owned()).collect()
}

/// The way of a server in the room: the state before each event, then after it, then that of all heads.
fn one_by_one(world: &World, events: &[EventNid]) -> State {
    let mut after: BTreeMap<EventNid, State> = BTreeMap::new();
    let mut heads: BTreeSet<EventNid> = BTreeSet::new();
    for event in events {
        let prev: Vec<_> = world.pdu(*event).prev_events().iter().map(|id| world.nids[id]).collect();
        let states: Vec<_> = prev.iter().map(|nid| after[nid].clone()).collect();
        let before = if states.is_empty() { State::new() } else { world.resolve(&states) };
        let mut with = before.clone();
        with.insert(world.event(*event).key, *event);
        after.insert(*event, world.resolve(&[before, with]));
        heads.insert(*event);
        heads.retain(|head| !prev.contains(head));
    }
    world.resolve(&heads.iter().map(|head| after[head].clone()).collect::<Vec<_>>())
}

/// Each event of a batch as a state of its own.
fn batch_by_batch<'a>(world: &World, batches: impl Iterator<Item = &'a [EventNid]>) -> State {
    batches.fold(State::new(), |state, batch| {
        let mut states: Vec<State> = batch.iter().map(|event| world.state([*event])).collect();
        if !state.is_empty() {
            states.push(state);
        }
        world.resolve(&states)
    })
}

#[test]
fn batches_resolve_alike_one_by_one_batch_by_batch_and_at_once() {
    let vectors = vectors();
    let scenarios = vectors["batches"].as_array().unwrap();
    assert_eq!(scenarios.len(), 9);
    for scenario in scenarios {
        let (world, batches) = world(&vectors, scenario);
        let all = batches.concat();
        let expected = expected(scenario);
        let name = &scenario["name"];
        assert_eq!(world.names(&one_by_one(&world, &all)), expected, "{name} one by one");
        let by_batch = batch_by_batch(&world, batches.iter().map(Vec::as_slice));
        assert_eq!(world.names(&by_batch), expected, "{name} batch by batch");
        assert_eq!(world.names(&batch_by_batch(&world, [&*all].into_iter())), expected, "{name} at once");
    }
}

#[test]
fn states_resolve_as_they_should() {
    let vectors = vectors();
    let scenarios = vectors["state_maps"].as_array().unwrap();
    assert_eq!(scenarios.len(), 4);
    for scenario in scenarios {
        let (world, _) = world(&vectors, scenario);
        let algorithm = match world.version.state_resolution {
            StateResolution::V1 => "v1",
            StateResolution::V2 => "v2",
            StateResolution::V2_1 => "v2.1",
        };
        assert_eq!(algorithm, text(scenario, "algorithm"));
        let state = |file: &Value| {
            let ids = vectors["files"][file.as_str().unwrap()].as_array().unwrap();
            world.state(
                ids.iter().map(|id| world.nids[&OwnedEventId::try_from(id.as_str().unwrap()).unwrap()]),
            )
        };
        let mut states: Vec<State> = scenario["state_files"].as_array().unwrap().iter().map(state).collect();
        for _ in 0..2 {
            assert_eq!(world.names(&world.resolve(&states)), expected(scenario), "{}", scenario["name"]);
            assert_eq!(world.resolve(&states), world.resolve_whole(&states), "{}", scenario["name"]);
            states.reverse();
        }
    }
}
