//! Sliding sync: what it costs, and that a client that looks at changing windows knows what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth_core::sliding_sync::{self, Form};
use hearth_services::rooms::viewer::Viewer;
use hearth_services::statements;
use hearth_services::sync::SlidingRequest;
use proptest::prelude::any;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::room::Room;

/// A request after an answer, or a first one.
fn request(viewer: &Viewer, body: &Value, after: Option<&Value>) -> SlidingRequest {
    SlidingRequest {
        asked: sliding_sync::Request::parse(&body.to_string(), Form::Stable, &viewer.id).unwrap(),
        form: Form::Stable,
        pos: after.map(|answer| answer["pos"].as_str().unwrap().parse().unwrap()),
        timeout: Duration::ZERO,
    }
}

/// An answer, and how many statements it took.
async fn ask(world: &World, viewer: &Viewer, body: &Value, after: Option<&Value>) -> (Value, u64) {
    let asked = request(viewer, body, after);
    let (answer, statements) = statements::counted(world.sync.sliding(viewer, asked)).await;
    (serde_json::from_str(&answer.unwrap()).unwrap(), statements)
}

/// A window on the first so many rooms.
fn window(rooms: usize, events: usize) -> Value {
    json!({"lists": {"top": {"range": [0, rooms - 1], "timeline_limit": events, "required_state": {
        "include": [{"type": "m.room.topic", "state_key": ""}], "lazy_members": true,
    }}}})
}

fn events<'a>(answer: &'a Value, room: &Room) -> Vec<&'a str> {
    let timeline = answer["rooms"][room.id.as_str()]["timeline"].as_array();
    timeline.into_iter().flatten().map(|event| event["event_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sliding_sync_over_a_real_database() {
    let world = World::new().await;
    what_is_new_makes_no_statement_once_its_speakers_are_known(&world).await;
    the_statements_of_a_first_response_do_not_grow_with_the_rooms(&world).await;
    a_client_with_changing_windows_knows_what_there_is(&world).await;
    world.end().await;
}

async fn what_is_new_makes_no_statement_once_its_speakers_are_known(world: &World) {
    let alice = world.user("window").await;
    let mut room = Room::new(world, &alice, "shared").await;
    let body = window(20, 5);
    let (mut answer, _) = ask(world, &alice, &body, None).await;
    room.say(world, &alice, "first").await;
    answer = ask(world, &alice, &body, Some(&answer)).await.0;
    for _ in 0..3 {
        let sent = room.say(world, &alice, "next").await;
        let (next, statements) = ask(world, &alice, &body, Some(&answer)).await;
        assert_eq!((events(&next, &room), statements), (vec![sent.id.as_str()], 0));
        answer = next;
        let (quiet, statements) = ask(world, &alice, &body, Some(&answer)).await;
        assert_eq!((&quiet["rooms"], statements), (&Value::Null, 0));
    }
}

async fn the_statements_of_a_first_response_do_not_grow_with_the_rooms(world: &World) {
    let mut counts = BTreeSet::new();
    for rooms in [12, 60] {
        let reader = world.user(&format!("rooms{rooms}")).await;
        for _ in 0..rooms {
            Room::new(world, &reader, "shared").await;
        }
        ask(world, &reader, &window(10, 1), None).await;
        let (answer, statements) = ask(world, &reader, &window(10, 1), None).await;
        assert_eq!(answer["rooms"].as_object().unwrap().len(), 10);
        counts.insert(statements);
    }
    assert_eq!(counts.len(), 1, "{counts:?}");
}

/// What a client has put together of a room.
#[derive(Debug, Default)]
struct Mine {
    /// The newest events, without a gap.
    events: Vec<String>,
    topic: Option<String>,
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody speaks in a room.
    Say(usize),
    /// Somebody says what a room is about.
    Topic(usize),
    /// The client looks at so many rooms.
    Look(usize),
    /// The reply to it is lost, and it asks again.
    Lose(usize),
}

/// Whatever happens, in whichever order rooms come into the window and leave it: what it shows of a room is the end of
/// the room's history, each event once, and its state.
async fn a_client_with_changing_windows_knows_what_there_is(world: &World) {
    let alice = world.user("model").await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(Room::new(world, &alice, "shared").await);
    }
    let step = (0..4_u8, any::<usize>()).prop_map(|(kind, number)| match kind {
        0 => Step::Say(number % 5),
        1 => Step::Topic(number % 5),
        2 => Step::Look(1 + number % 5),
        _ => Step::Lose(1 + number % 5),
    });
    let mut runner = TestRunner::deterministic();
    let (mut mine, mut said) = (BTreeMap::new(), BTreeMap::<usize, (Vec<String>, String)>::new());
    let mut answer: Option<Value> = None;
    let mut looked = 0;
    for number in 0..400 {
        match step.new_tree(&mut runner).unwrap().current() {
            Step::Say(room) => {
                let sent = rooms[room].say(world, &alice, "word").await;
                said.entry(room).or_default().0.push(sent.id.to_string());
            }
            Step::Topic(room) => {
                let topic = format!("topic {number}");
                let sent =
                    rooms[room].set(world, &alice, ("m.room.topic", ""), json!({"topic": topic})).await;
                let of_room = said.entry(room).or_default();
                of_room.0.push(sent.id.to_string());
                of_room.1 = topic;
            }
            Step::Look(count) => {
                let (next, _) = ask(world, &alice, &window(count, 3), answer.as_ref()).await;
                take(&mut mine, &rooms, &next);
                hold(&mine, &said, &next, &rooms);
                answer = Some(next);
                looked += 1;
            }
            Step::Lose(count) => {
                ask(world, &alice, &window(count, 3), answer.as_ref()).await;
            }
        }
    }
    assert!(looked > 50, "it looked {looked} times");
}

/// Takes in what an answer tells.
fn take(mine: &mut BTreeMap<usize, Mine>, rooms: &[Room], answer: &Value) {
    for (number, room) in rooms.iter().enumerate() {
        let told = &answer["rooms"][room.id.as_str()];
        if told.is_null() {
            continue;
        }
        let of_room = mine.entry(number).or_default();
        if told["initial"] == true || told["limited"] == true {
            of_room.events.clear();
        }
        of_room.events.extend(events(answer, room).into_iter().map(str::to_owned));
        for event in told["required_state"].as_array().unwrap() {
            if event["type"] == "m.room.topic" {
                of_room.topic = event["content"]["topic"].as_str().map(str::to_owned);
            }
        }
    }
}

/// Holds what a client knows of the rooms that were told against what there is.
fn hold(
    mine: &BTreeMap<usize, Mine>,
    said: &BTreeMap<usize, (Vec<String>, String)>,
    answer: &Value,
    rooms: &[Room],
) {
    for (number, room) in rooms.iter().enumerate() {
        let (Some(mine), Some((said, topic))) = (mine.get(&number), said.get(&number)) else { continue };
        if answer["rooms"][room.id.as_str()].is_null() {
            continue;
        }
        let known: Vec<&String> = mine.events.iter().filter(|event| said.contains(event)).collect();
        let end: Vec<&String> = said.iter().skip(said.len() - known.len().min(said.len())).collect();
        assert_eq!(known, end, "room {number}: {answer}");
        assert!(!known.is_empty(), "room {number}: {answer}");
        if !topic.is_empty() {
            assert_eq!(mine.topic.as_ref(), Some(topic), "room {number}");
        }
    }
}
