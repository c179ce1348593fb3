//! The sync engine.

use std::time::Duration;

use hearth_services::ephemeral::receipts::ReceiptKind;
use hearth_services::rooms::viewer::Viewer;
use hearth_services::statements;
use hearth_services::sync::v2::{Request, StateSection};
use hearth_store::log::{Change, Proposal};
use serde_json::{Value, json};

use crate::harness::room::{Room, Sent};
use crate::harness::{World, filtered, since};

/// Events' ids.
fn ids(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap()).collect()
}

fn of(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| sent.id.as_str()).collect()
}

fn joined<'a>(answer: &'a Value, room: &Room) -> &'a Value {
    &answer["rooms"]["join"][room.id.as_str()]
}

fn left<'a>(answer: &'a Value, room: &Room) -> &'a Value {
    &answer["rooms"]["leave"][room.id.as_str()]
}

fn timeline<'a>(answer: &'a Value, room: &Room) -> Vec<&'a str> {
    ids(&joined(answer, room)["timeline"]["events"])
}

/// The types of events, with their state keys.
fn kinds(events: &Value) -> Vec<(&str, &str)> {
    let mut kinds: Vec<(&str, &str)> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["state_key"].as_str().unwrap_or("-")))
        .collect();
    kinds.sort_unstable();
    kinds
}

#[tokio::test]
async fn the_engine_over_a_real_database() {
    let world = World::new().await;
    a_quiet_sync_makes_no_statement_while_other_rooms_are_busy(&world).await;
    a_receipt_is_told_from_memory(&world).await;
    memory_and_database_answer_alike(&world).await;
    a_redaction_reaches_what_is_in_memory(&world).await;
    the_past_is_judged_event_by_event(&world).await;
    a_waiting_sync_wakes_for_what_concerns_its_user_and_for_nothing_else(&world).await;
    a_state_change_that_the_filter_hides_is_in_the_state(&world).await;
    one_left_hears_up_to_the_leaving(&world).await;
    the_statements_of_a_sync_do_not_grow_with_the_rooms(&world).await;
    world.end().await;
}

async fn a_quiet_sync_makes_no_statement_while_other_rooms_are_busy(world: &World) {
    let (alice, bob) = (world.user("quiet").await, world.user("busy").await);
    let mut room = Room::new(world, &alice, "shared").await;
    let mut busy = Room::new(world, &bob, "shared").await;
    let first = world.sync(&alice, since(None)).await;
    busy.say(world, &bob, "noise").await;
    let (quiet, statements) = world.counted(&alice, since(Some(&first))).await;
    assert_eq!((&quiet["rooms"], statements), (&Value::Null, 0));
    let sent = room.say(world, &alice, "one").await;
    let (once, _) = world.counted(&alice, since(Some(&quiet))).await;
    assert_eq!(timeline(&once, &room), [sent.id.as_str()]);
    busy.say(world, &bob, "noise").await;
    for _ in 0..2 {
        let (again, statements) = world.counted(&alice, since(Some(&quiet))).await;
        assert_eq!((timeline(&again, &room), statements), (vec![sent.id.as_str()], 0));
    }
    let event = &joined(&once, &room)["timeline"]["events"][0];
    assert_eq!(event["unsigned"]["transaction_id"], "txn");
    assert_eq!(event["unsigned"]["membership"], "join");
    let mut other = alice.clone();
    other.device = Some("OTHER".to_owned());
    let there = world.sync(&other, since(Some(&quiet))).await;
    assert_eq!(joined(&there, &room)["timeline"]["events"][0]["unsigned"]["transaction_id"], Value::Null);
}

async fn a_receipt_is_told_from_memory(world: &World) {
    let (alice, bob) = (world.user("told").await, world.user("reads").await);
    let mut room = Room::new(world, &alice, "shared").await;
    room.member(world, &bob, &bob, "join").await;
    let sent = room.say(world, &alice, "read me").await;
    let first = world.sync(&alice, since(None)).await;
    let receipt = Change::SetReceipt {
        user: bob.user,
        user_id: bob.id.to_string(),
        room: room.nid,
        kind: ReceiptKind::Public,
        thread: String::new(),
        event: sent.nid,
        event_id: sent.id.to_string(),
        anchor: world.log.applied(),
        sub: 0,
        ts: 7,
    };
    world.log.commit(Proposal::change(receipt)).await.unwrap();
    let (told, statements) = world.counted(&alice, since(Some(&first))).await;
    let content = json!({ sent.id.as_str(): {"m.read": {bob.id.as_str(): {"ts": 7}}} });
    let expected = json!({"events": [{"type": "m.receipt", "content": content}]});
    assert_eq!((&joined(&told, &room)["ephemeral"], statements), (&expected, 0));
    let cold = world.cold_sync().await.v2(&alice, &since(Some(&first))).await.unwrap();
    let cold: Value = serde_json::from_str(&cold).unwrap();
    assert_eq!(joined(&cold, &room)["ephemeral"], expected);
}

async fn memory_and_database_answer_alike(world: &World) {
    let alice = world.user("alike").await;
    let mut room = Room::new(world, &alice, "shared").await;
    let first = world.sync(&alice, since(None)).await;
    let mut sent = Vec::new();
    for number in 0..12 {
        sent.push(room.set(world, &alice, ("m.room.topic", ""), json!({ "topic": number })).await);
    }
    let cold = world.cold_sync().await;
    for request in [since(Some(&first)), since(None), Request { full_state: true, ..since(Some(&first)) }] {
        for state in [StateSection::Before, StateSection::After] {
            let request = Request { state, ..request.clone() };
            let warm = world.sync(&alice, request.clone()).await;
            let cold: Value = serde_json::from_str(&cold.v2(&alice, &request).await.unwrap()).unwrap();
            assert_eq!(ids(&joined(&warm, &room)["timeline"]["events"]), of(&sent[2..]));
            assert_eq!(without_ages(cold), without_ages(warm));
        }
    }
    let gap = world.sync(&alice, since(Some(&first))).await;
    assert_eq!(joined(&gap, &room)["timeline"]["limited"], true);
    assert_eq!(ids(&joined(&gap, &room)["state"]["events"]), of(&sent[1..2]));
    let exact = filtered(Some(&first), &json!({"room": {"timeline": {"limit": 12}}}));
    let exact = world.sync(&alice, exact).await;
    assert_eq!(joined(&exact, &room)["timeline"]["limited"], false);
    assert_eq!(joined(&exact, &room)["state"]["events"], json!([]));
}

fn without_ages(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            object.remove("age");
            object.values_mut().for_each(|value| *value = without_ages(value.take()));
        }
        Value::Array(array) => array.iter_mut().for_each(|value| *value = without_ages(value.take())),
        _ => {}
    }
    value
}

async fn a_redaction_reaches_what_is_in_memory(world: &World) {
    let alice = world.user("redacts").await;
    let mut room = Room::new(world, &alice, "shared").await;
    let first = world.sync(&alice, since(None)).await;
    let secret = room.say(world, &alice, "secret").await;
    let before = world.sync(&alice, since(Some(&first))).await;
    assert!(before.to_string().contains("secret"));
    let redaction = room.redact(world, &alice, &secret).await;
    let after = world.sync(&alice, since(Some(&first))).await;
    assert!(!after.to_string().contains("secret"), "{after}");
    let events = &joined(&after, &room)["timeline"]["events"];
    assert_eq!(ids(events), [secret.id.as_str(), redaction.id.as_str()]);
    assert_eq!(events[0]["unsigned"]["redacted_because"]["event_id"], redaction.id.as_str());
    assert_eq!(events[0]["content"], json!({}));
}

async fn the_past_is_judged_event_by_event(world: &World) {
    for (visibility, seen) in
        [("shared", vec!["before", "invited"]), ("invited", vec!["invited"]), ("joined", vec![])]
    {
        let alice = world.user(&format!("keeps.{visibility}")).await;
        let bob = world.user(&format!("joins.{visibility}")).await;
        let first = world.sync(&bob, since(None)).await;
        let mut room = Room::new(world, &alice, visibility).await;
        room.say(world, &alice, "before").await;
        room.member(world, &alice, &bob, "invite").await;
        let invited = world.sync(&bob, since(Some(&first))).await;
        let told = &invited["rooms"]["invite"][room.id.as_str()]["invite_state"]["events"];
        let member = |reader: &Viewer| ("m.room.member".to_owned(), reader.id.to_string());
        let names: Vec<(String, String)> =
            kinds(told).into_iter().map(|(kind, key)| (kind.to_owned(), key.to_owned())).collect();
        let mut wanted = vec![("m.room.create".to_owned(), String::new()), member(&alice), member(&bob)];
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        room.say(world, &alice, "invited").await;
        room.member(world, &bob, &bob, "join").await;
        room.say(world, &alice, "joined").await;
        let answer = world.sync(&bob, since(Some(&invited))).await;
        let bodies: Vec<&str> = joined(&answer, &room)["timeline"]["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|event| event["content"]["body"].as_str())
            .collect();
        assert_eq!(bodies, [seen, vec!["joined"]].concat(), "{visibility}");
        let told =
            [&joined(&answer, &room)["state"]["events"], &joined(&answer, &room)["timeline"]["events"]];
        let told: Vec<(&str, &str)> = told.into_iter().flat_map(kinds).collect();
        let state = ["m.room.create", "m.room.history_visibility"];
        assert!(state.iter().all(|kind| told.contains(&(kind, ""))), "the room comes whole: {answer}");
    }
}

async fn a_waiting_sync_wakes_for_what_concerns_its_user_and_for_nothing_else(world: &World) {
    let (alice, bob) = (world.user("waits").await, world.user("wakes").await);
    let mut room = Room::new(world, &alice, "shared").await;
    let mut other = Room::new(world, &bob, "shared").await;
    let first = world.sync(&alice, since(None)).await;
    let waiting = Request { timeout: Duration::from_secs(30), ..since(Some(&first)) };
    let begun = std::time::Instant::now();
    let (sync, reader) = (world.sync.clone(), alice.clone());
    let answer = tokio::spawn(async move { sync.v2(&reader, &waiting).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.say(world, &bob, "elsewhere").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!answer.is_finished());
    let sent = room.say(world, &alice, "here").await;
    let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(timeline(&answer, &room), [sent.id.as_str()]);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let short = Request { timeout: Duration::from_millis(50), ..since(Some(&answer)) };
    assert_eq!(world.sync(&alice, short).await["rooms"], Value::Null);
}

async fn a_state_change_that_the_filter_hides_is_in_the_state(world: &World) {
    let alice = world.user("filters").await;
    let mut room = Room::new(world, &alice, "shared").await;
    let first = world.sync(&alice, since(None)).await;
    let topic = room.set(world, &alice, ("m.room.topic", ""), json!({"topic": "x"})).await;
    let said = room.say(world, &alice, "hello").await;
    let filter = json!({"room": {"timeline": {"types": ["m.room.message"]}}});
    let answer = world.sync(&alice, filtered(Some(&first), &filter)).await;
    assert_eq!(timeline(&answer, &room), [said.id.as_str()]);
    assert_eq!(ids(&joined(&answer, &room)["state"]["events"]), [topic.id.as_str()]);
}

async fn one_left_hears_up_to_the_leaving(world: &World) {
    let (alice, bob) = (world.user("stays").await, world.user("goes").await);
    let mut room = Room::new(world, &alice, "joined").await;
    room.member(world, &bob, &bob, "join").await;
    let first = world.sync(&bob, since(None)).await;
    let last = room.say(world, &alice, "farewell").await;
    let leave = room.member(world, &alice, &bob, "leave").await;
    room.say(world, &alice, "about bob").await;
    let answer = world.sync(&bob, since(Some(&first))).await;
    assert_eq!(ids(&left(&answer, &room)["timeline"]["events"]), of(&[last, leave]));
    assert_eq!(left(&answer, &room)["timeline"]["events"][1]["unsigned"]["membership"], "leave");
    let next = world.sync(&bob, since(Some(&answer))).await;
    assert_eq!(next["rooms"], Value::Null);
    let with_left = filtered(None, &json!({"room": {"include_leave": true}}));
    let whole = world.sync(&bob, with_left).await;
    assert!(!whole.to_string().contains("about bob"));
    assert!(!left(&whole, &room).is_null());
}

async fn the_statements_of_a_sync_do_not_grow_with_the_rooms(world: &World) {
    let mut counts = Vec::new();
    for rooms in [3, 12] {
        let alice = world.user(&format!("has.{rooms}")).await;
        let bob = world.user(&format!("speaks.{rooms}")).await;
        let mut all = Vec::new();
        for number in 0..rooms {
            let mut room = Room::new(world, &bob, "shared").await;
            if number % 2 == 0 {
                room.set(world, &bob, ("m.room.name", ""), json!({"name": format!("Room {number}")})).await;
            }
            room.say(world, &bob, "before").await;
            room.member(world, &alice, &alice, "join").await;
            all.push(room);
        }
        let cold = world.cold_sync().await;
        let ask = async |request: Request| {
            let (answer, statements) = statements::counted(cold.v2(&alice, &request)).await;
            (serde_json::from_str::<Value>(&answer.unwrap()).unwrap(), statements)
        };
        let (first, at_first) = ask(filtered(None, &json!({"room": {"timeline": {"limit": 2}}}))).await;
        assert_eq!(first["rooms"]["join"].as_object().unwrap().len(), rooms);
        let (same, afterwards) = ask(since(Some(&first))).await;
        assert_eq!(same["rooms"], Value::Null);
        let sent = all[0].say(world, &bob, "hello").await;
        let (next, woken) = ask(since(Some(&first))).await;
        assert_eq!(timeline(&next, &all[0]), [sent.id.as_str()]);
        assert_eq!(ask(since(Some(&first))).await.1, 0);
        let other = world.cold_sync().await;
        let (answer, catching_up) = statements::counted(other.v2(&alice, &since(Some(&first)))).await;
        let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
        assert_eq!(timeline(&answer, &all[0]), [sent.id.as_str()]);
        counts.push([at_first, afterwards, woken, catching_up]);
    }
    assert_eq!(counts[0], counts[1]);
    assert_eq!((counts[0][1], counts[0][2]), (0, 0), "nothing new, and one message");
    assert!(counts[0].iter().all(|count| *count <= 21), "{counts:?}");
}
