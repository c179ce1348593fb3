//! Receipts and fully-read markers.

use serde_json::{Value, json};

use crate::harness::rooms::receipt as path;
use crate::harness::sync::{Sync, list};
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_receipt_is_told_to_everybody_in_the_room,
        a_private_receipt_is_told_to_its_user_alone,
        receipts_only_move_forward,
        a_first_sync_has_the_receipts_of_all,
        a_receipt_wakes_those_who_wait,
        a_receipt_names_a_thread_that_its_event_is_in,
        receipts_of_threads_are_kept_apart,
        a_receipt_for_an_unknown_event_moves_nothing,
        only_members_send_receipts,
        the_fully_read_marker_is_account_data_that_only_this_endpoint_moves,
        read_markers_set_all_three_at_once,
        a_filter_leaves_receipts_out,
        a_receipt_that_is_not_one_is_refused,
    ]
}

/// The receipts of a kind that a sync brings of a room: who, up to which event, with what.
fn receipts(sync: &Sync, room: &str, kind: &str) -> Vec<(String, String, Value)> {
    let events = list(&sync.joined(room)["ephemeral"]["events"]);
    let mut found = Vec::new();
    for event in events.iter().filter(|event| event["type"] == "m.receipt") {
        for (id, kinds) in event["content"].as_object().expect("content") {
            for (user, data) in kinds[kind].as_object().into_iter().flatten() {
                found.push((user.clone(), id.clone(), data.clone()));
            }
        }
    }
    found
}

fn who(sync: &Sync, room: &str, kind: &str) -> Vec<(String, String)> {
    receipts(sync, room, kind).into_iter().map(|(user, event, _)| (user, event)).collect()
}

async fn a_receipt_is_told_to_everybody_in_the_room(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let event = alice.say(&room, "read me").await;
    let before = alice.sync().await;
    bob.read(&room, "m.read", &event).await;
    let after = alice.sync_since(before.next_batch()).await;
    let told = receipts(&after, &room, "m.read");
    assert_eq!(told.len(), 1, "{after:?}");
    assert_eq!((&told[0].0, &told[0].1), (&bob.id, &event));
    assert!(told[0].2["ts"].is_u64(), "{told:?}");
    assert_eq!(told[0].2.get("thread_id"), None);
    assert!(after.timeline(&room).is_empty());
    let later = alice.sync_since(after.next_batch()).await;
    assert!(who(&later, &room, "m.read").is_empty());
}

async fn a_private_receipt_is_told_to_its_user_alone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let event = alice.say(&room, "read me").await;
    let (of_alice, of_bob) = (alice.sync().await, bob.sync().await);
    bob.read(&room, "m.read.private", &event).await;
    let told = bob.sync_since(of_bob.next_batch()).await;
    assert_eq!(who(&told, &room, "m.read.private"), [(bob.id.clone(), event)]);
    let told = alice.sync_since(of_alice.next_batch()).await;
    assert!(!told.body.to_string().contains("m.receipt"), "{told:?}");
    assert!(!alice.sync().await.body.to_string().contains("m.read.private"));
}

async fn receipts_only_move_forward(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let (first, second) = (alice.say(&room, "1").await, alice.say(&room, "2").await);
    alice.read(&room, "m.read", &second).await;
    let since = alice.sync().await;
    alice.read(&room, "m.read", &first).await;
    alice.read(&room, "m.read", &second).await;
    let told = alice.sync_since(since.next_batch()).await;
    assert!(who(&told, &room, "m.read").is_empty(), "{told:?}");
    // A public receipt may be behind the private one.
    let third = alice.say(&room, "3").await;
    alice.read(&room, "m.read.private", &third).await;
    let now = alice.sync().await;
    assert_eq!(who(&now, &room, "m.read"), [(alice.id.clone(), second)]);
    assert_eq!(who(&now, &room, "m.read.private"), [(alice.id.clone(), third)]);
}

async fn a_first_sync_has_the_receipts_of_all(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let event = alice.say(&room, "read me").await;
    bob.read(&room, "m.read", &event).await;
    alice.read(&room, "m.read", &event).await;
    let mut told = who(&alice.sync().await, &room, "m.read");
    told.sort();
    let mut all = vec![(alice.id.clone(), event.clone()), (bob.id.clone(), event)];
    all.sort();
    assert_eq!(told, all);
}

async fn a_receipt_wakes_those_who_wait(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let event = alice.say(&room, "read me").await;
    let since = alice.sync().await;
    let (told, ()) = tokio::join!(
        alice.sync_until(since.next_batch(), |sync| !who(sync, &room, "m.read").is_empty()),
        async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            bob.read(&room, "m.read", &event).await;
        }
    );
    assert_eq!(who(&told, &room, "m.read"), [(bob.id, event.clone())]);
}

async fn a_receipt_names_a_thread_that_its_event_is_in(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let (thread, other) = (alice.say(&room, "the thread").await, alice.say(&room, "other").await);
    let inside = alice.reply(&room, &thread, "in the thread").await;
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": inside, "key": "+"}});
    let reaction = alice.send(&room, "m.reaction", &reaction).await.ok();
    let reaction = reaction["event_id"].as_str().expect("event_id");
    let send = |event: &str, thread: &str| {
        alice.post(&path(&room, "m.read", event), &json!({ "thread_id": thread }))
    };
    let to_root = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": thread, "key": "+"}});
    let to_root = alice.send(&room, "m.reaction", &to_root).await.ok();
    let to_root = to_root["event_id"].as_str().expect("event_id");
    for (event, thread) in
        [(&*thread, "main"), (&*other, "main"), (to_root, "main"), (&*inside, &*thread), (reaction, &*thread)]
    {
        send(event, thread).await.ok();
    }
    for (event, thread) in
        [(&*thread, &*thread), (&*other, &*thread), (&*inside, "main"), (&*inside, &*other)]
    {
        send(event, thread).await.fails(400, "M_INVALID_PARAM");
    }
}

async fn receipts_of_threads_are_kept_apart(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let thread = alice.say(&room, "the thread").await;
    let inside = alice.reply(&room, &thread, "in the thread").await;
    let last = alice.say(&room, "last").await;
    let send = |event: &str, body: Value| {
        let call = alice.post(&path(&room, "m.read", event), &body);
        async { drop(call.await.ok()) }
    };
    send(&last, json!({"thread_id": "main"})).await;
    send(&inside, json!({ "thread_id": thread })).await;
    send(&last, json!({})).await;
    let told = receipts(&alice.sync().await, &room, "m.read");
    let mut threads: Vec<_> =
        told.iter().map(|(_, event, data)| (event.as_str(), data["thread_id"].as_str())).collect();
    threads.sort_unstable();
    let mut all = vec![(&*last, None), (&*last, Some("main")), (&*inside, Some(&*thread))];
    all.sort_unstable();
    assert_eq!(threads, all);
}

async fn a_receipt_for_an_unknown_event_moves_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (room, other) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    let elsewhere = alice.say(&other, "elsewhere").await;
    let since = alice.sync().await;
    alice.read(&room, "m.read", "$unknown").await;
    alice.read(&room, "m.read", &elsewhere).await;
    alice.read(&room, "m.fully_read", "$unknown").await;
    let after = alice.sync_since(since.next_batch()).await;
    assert_eq!(after.joined(&room), &Value::Null, "{after:?}");
}

async fn only_members_send_receipts(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "not for bob").await;
    for kind in ["m.read", "m.read.private", "m.fully_read"] {
        bob.post(&path(&room, kind, &event), &json!({})).await.fails(403, "M_FORBIDDEN");
    }
    let markers = json!({"m.read": event});
    bob.post(&format!("/rooms/{room}/read_markers"), &markers).await.fails(403, "M_FORBIDDEN");
}

async fn the_fully_read_marker_is_account_data_that_only_this_endpoint_moves(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let (first, second) = (alice.say(&room, "1").await, alice.say(&room, "2").await);
    let since = alice.sync().await;
    alice.read(&room, "m.fully_read", &second).await;
    alice.read(&room, "m.fully_read", &first).await;
    let told = alice.sync_since(since.next_batch()).await;
    assert_eq!(told.room_account_data(&room, "m.fully_read"), &json!({ "event_id": second }));
    let stored = format!("/user/{}/rooms/{room}/account_data/m.fully_read", alice.id);
    assert_eq!(alice.get(&stored).await.ok(), json!({ "event_id": second }));
    alice.put(&stored, &json!({ "event_id": first })).await.fails(405, "M_BAD_JSON");
    let with_thread = json!({"thread_id": "main"});
    alice.post(&path(&room, "m.fully_read", &second), &with_thread).await.fails(400, "M_INVALID_PARAM");
}

async fn read_markers_set_all_three_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let (first, second, third) =
        (alice.say(&room, "1").await, alice.say(&room, "2").await, alice.say(&room, "3").await);
    let markers = json!({"m.fully_read": first, "m.read": second, "m.read.private": third});
    alice.post(&format!("/rooms/{room}/read_markers"), &markers).await.ok();
    alice.post(&format!("/rooms/{room}/read_markers"), &json!({})).await.ok();
    let told = alice.sync().await;
    assert_eq!(told.room_account_data(&room, "m.fully_read"), &json!({ "event_id": first }));
    assert_eq!(who(&told, &room, "m.read"), [(alice.id.clone(), second)]);
    assert_eq!(who(&told, &room, "m.read.private"), [(alice.id.clone(), third)]);
}

async fn a_filter_leaves_receipts_out(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "1").await;
    alice.read(&room, "m.read", &event).await;
    for filter in [json!({"types": []}), json!({"not_types": ["m.receipt"]}), json!({"not_rooms": [room]})] {
        let filter = json!({"room": {"ephemeral": filter}});
        let told = alice.sync_filtered(&filter, "timeout=0").await;
        assert_eq!(told.joined(&room).get("ephemeral"), None, "{filter}");
    }
    let filter = json!({"room": {"ephemeral": {"types": ["m.rec*"]}}});
    let told = alice.sync_filtered(&filter, "timeout=0").await;
    assert_eq!(who(&told, &room, "m.read"), [(alice.id.clone(), event)]);
}

async fn a_receipt_that_is_not_one_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "1").await;
    alice.post(&path(&room, "m.written", &event), &json!({})).await.fails(400, "M_INVALID_PARAM");
    alice.post(&path(&room, "m.read", "no event"), &json!({})).await.fails(400, "M_INVALID_PARAM");
    let number = json!({"thread_id": 7});
    alice.post(&path(&room, "m.read", &event), &number).await.fails(400, "M_BAD_JSON");
    let wrong = json!({"thread_id": "nonsense"});
    alice.post(&path(&room, "m.read", &event), &wrong).await.fails(400, "M_INVALID_PARAM");
    alice.post(&format!("/rooms/{room}/read_markers"), &json!({"m.read": 7})).await.fails(400, "M_BAD_JSON");
    alice.post(&path("!nowhere:localhost", "m.read", &event), &json!({})).await.fails(403, "M_FORBIDDEN");
}
