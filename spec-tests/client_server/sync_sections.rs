//! Sync's sections: invitations, knocks, left rooms; and members loaded lazily.

use serde_json::{Value, json};

use crate::harness::rooms::{bodies, find, ids};
use crate::harness::sync::{Sync, list};
use crate::harness::{Hearth, Test, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        an_invitation_comes_once_with_what_one_may_know,
        an_accepted_invitation_moves_to_the_joined_rooms,
        a_declined_invitation_moves_to_the_left_rooms,
        a_knock_comes_with_what_one_may_know,
        a_left_room_comes_once_with_the_leave_at_its_end,
        what_happens_after_the_leave_does_not_come,
        one_who_is_removed_sees_by_whom,
        left_rooms_come_at_first_only_when_asked_for,
        a_forgotten_room_comes_no_more,
        leaving_and_coming_back_between_two_syncs_is_a_stay,
        joining_and_leaving_between_two_syncs_is_a_leave,
        lazy_members_are_those_who_speak_and_oneself,
        lazy_members_of_later_speakers_come_with_their_words,
        a_lazy_gap_brings_every_change_of_membership,
    ]
}

/// The stripped events by type and state key.
#[track_caller]
fn must_be_stripped(events: &Value, member: &str) {
    let events = list(events);
    assert!(find(events, "m.room.create", "").is_some(), "{events:?}");
    assert!(find(events, "m.room.member", member).is_some(), "{events:?}");
    for event in events {
        let mut keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["content", "sender", "state_key", "type"], "{event}");
    }
}

async fn an_invitation_comes_once_with_what_one_may_know(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let since = bob.sync().await.next_batch().to_owned();
    let room = alice.create_room(json!({"name": "Come in", "invite": [bob.id]})).await;
    let sync = bob.sync_since(&since).await;
    let events = &sync.invited(&room)["invite_state"]["events"];
    must_be_stripped(events, &bob.id);
    let invite = find(list(events), "m.room.member", &bob.id).unwrap();
    assert_eq!((&invite["content"]["membership"], &invite["sender"]), (&json!("invite"), &json!(alice.id)));
    assert_eq!(find(list(events), "m.room.name", "").unwrap()["content"]["name"], "Come in");
    let next = bob.sync_since(sync.next_batch()).await;
    assert_eq!(next.invited(&room), &Value::Null);
    assert!(!bob.sync().await.invited(&room).is_null(), "a first sync has it still");
}

async fn an_accepted_invitation_moves_to_the_joined_rooms(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"invite": [bob.id]})).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.join(&room).await.ok();
    let sync = bob.sync_since(&since).await;
    assert_eq!(sync.invited(&room), &Value::Null);
    let events = [sync.state(&room), sync.timeline(&room)].concat();
    assert!(find(&events, "m.room.create", "").is_some(), "the room comes whole");
}

async fn a_declined_invitation_moves_to_the_left_rooms(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"invite": [bob.id]})).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.leave(&room).await.ok();
    let sync = bob.sync_since(&since).await;
    assert!(!sync.left(&room).is_null(), "{}", sync.body);
    assert_eq!(sync.invited(&room), &Value::Null);
    assert_eq!(bob.sync().await.invited(&room), &Value::Null);
}

async fn a_knock_comes_with_what_one_may_know(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
    let room = alice.create_room(json!({"name": "Knock first", "initial_state": [rule]})).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.knock(&room).await.ok();
    let sync = bob.sync_since(&since).await;
    must_be_stripped(&sync.knocked(&room)["knock_state"]["events"], &bob.id);
    alice.invite(&room, &bob).await.ok();
    let next = bob.sync_since(sync.next_batch()).await;
    assert!(!next.invited(&room).is_null() && next.knocked(&room).is_null(), "{}", next.body);
}

/// The timeline of a left room.
fn left_timeline<'a>(sync: &'a Sync, room: &str) -> &'a [Value] {
    list(&sync.left(room)["timeline"]["events"])
}

async fn a_left_room_comes_once_with_the_leave_at_its_end(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    alice.say(&room, "farewell").await;
    bob.leave(&room).await.ok();
    let sync = bob.sync_since(&since).await;
    let timeline = left_timeline(&sync, &room);
    assert_eq!(bodies(timeline), ["farewell"]);
    let last = timeline.last().unwrap();
    assert_eq!((&last["state_key"], &last["content"]["membership"]), (&json!(bob.id), &json!("leave")));
    assert_eq!(sync.joined(&room), &Value::Null);
    assert_eq!(bob.sync_since(sync.next_batch()).await.left(&room), &Value::Null);
}

async fn what_happens_after_the_leave_does_not_come(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    alice.kick(&room, &bob).await.ok();
    alice.say(&room, "about bob").await;
    alice.set(&room, "m.room.topic", "", &json!({"topic": "about bob"})).await.ok();
    let sync = bob.sync_since(&since).await;
    assert!(!sync.body.to_string().contains("about bob"), "{}", sync.body);
    assert_eq!(left_timeline(&sync, &room).last().unwrap()["content"]["membership"], "leave");
    alice.say(&room, "about bob").await;
    let next = bob.sync_since(sync.next_batch()).await;
    assert_eq!((next.left(&room), next.joined(&room)), (&Value::Null, &Value::Null));
}

async fn one_who_is_removed_sees_by_whom(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for membership in ["leave", "ban"] {
        let room = alice.room_with(&[&bob]).await;
        let since = bob.sync().await.next_batch().to_owned();
        let removal = if membership == "ban" { alice.ban(&room, &bob) } else { alice.kick(&room, &bob) };
        removal.await.ok();
        let sync = bob.sync_since(&since).await;
        let last = left_timeline(&sync, &room).last().unwrap();
        assert_eq!((&last["sender"], &last["content"]["membership"]), (&json!(alice.id), &json!(membership)));
    }
}

async fn left_rooms_come_at_first_only_when_asked_for(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    bob.leave(&room).await.ok();
    assert_eq!(bob.sync().await.left(&room), &Value::Null);
    let with_left = json!({"room": {"include_leave": true}});
    let sync = bob.sync_filtered(&with_left, "timeout=0").await;
    assert_eq!(left_timeline(&sync, &room).last().unwrap()["content"]["membership"], "leave");
}

async fn a_forgotten_room_comes_no_more(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.leave(&room).await.ok();
    bob.forget(&room).await.ok();
    let with_left = json!({"room": {"include_leave": true}});
    let later = bob.sync_filtered(&with_left, "timeout=0").await;
    assert_eq!(later.left(&room), &Value::Null);
    let gap = bob.sync_since(&since).await;
    assert_eq!(gap.joined(&room), &Value::Null);
}

async fn leaving_and_coming_back_between_two_syncs_is_a_stay(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.leave(&room).await.ok();
    bob.join(&room).await.ok();
    let sent = alice.say(&room, "welcome back").await;
    let sync = bob.sync_since(&since).await;
    assert_eq!(sync.left(&room), &Value::Null);
    assert_eq!(ids(sync.timeline(&room)).last(), Some(&sent));
}

async fn joining_and_leaving_between_two_syncs_is_a_leave(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.join(&room).await.ok();
    bob.leave(&room).await.ok();
    let sync = bob.sync_since(&since).await;
    assert_eq!(sync.joined(&room), &Value::Null);
    assert_eq!(left_timeline(&sync, &room).last().unwrap()["content"]["membership"], "leave");
}

/// A filter for members loaded lazily, with a short timeline.
fn lazy(limit: u64) -> Value {
    json!({"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": limit}}})
}

/// Whose member events are in the state.
fn members(sync: &Sync, room: &str) -> Vec<String> {
    let members = sync.state(room).iter().filter(|event| event["type"] == "m.room.member");
    let mut members: Vec<_> = members.map(|event| event["state_key"].as_str().unwrap().to_owned()).collect();
    members.sort();
    members
}

fn sorted<const N: usize>(ids: [&str; N]) -> Vec<String> {
    let mut ids = ids.map(str::to_owned).to_vec();
    ids.sort();
    ids
}

async fn lazy_members_are_those_who_speak_and_oneself(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mut crowd = Vec::new();
    for _ in 0..7 {
        crowd.push(hearth.user("crowd").await);
    }
    let room = alice.room_with(&[&bob]).await;
    for user in &crowd {
        user.join(&room).await.ok();
    }
    bob.say(&room, "hello").await;
    alice.set(&room, "m.room.topic", "", &json!({"topic": "x"})).await.ok();
    bob.say(&room, "hello again").await;
    let sync = alice.sync_filtered(&lazy(1), "timeout=0").await;
    let heroes: Vec<_> = list(&sync.joined(&room)["summary"]["m.heroes"]).to_vec();
    let mut found = members(&sync, &room);
    // Those who give the room its name may come along.
    found.retain(|id| *id == bob.id || *id == alice.id || !heroes.contains(&json!(id)));
    assert_eq!(found, sorted([&alice.id, &bob.id]));
}

async fn lazy_members_of_later_speakers_come_with_their_words(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.say(&room, "hello").await;
    let first = alice.sync_filtered(&lazy(1), "timeout=0").await;
    bob.say(&room, "hello").await;
    let query = format!("timeout=0&since={}", enc(first.next_batch()));
    let next = alice.sync_filtered(&lazy(10), &query).await;
    // A server that remembers what it sent need not send it again.
    let known = [members(&first, &room), members(&next, &room)].concat();
    assert!(known.contains(&bob.id), "{}", next.joined(&room));
}

async fn a_lazy_gap_brings_every_change_of_membership(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    let first = alice.sync_filtered(&lazy(3), "timeout=0").await;
    bob.leave(&room).await.ok();
    carol.join(&room).await.ok();
    alice.chatter(&room, "message", 6).await;
    let query = format!("timeout=0&since={}", enc(first.next_batch()));
    let next = alice.sync_filtered(&lazy(3), &query).await;
    let found = members(&next, &room);
    assert!(found.contains(&bob.id) && found.contains(&carol.id), "{found:?}");
}
