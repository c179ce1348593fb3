//! Sync: what comes, when, and in which section.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::rooms::{bodies, find, ids};
use crate::harness::sync::{Sync, list};
use crate::harness::{Hearth, Test, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        the_first_sync_has_the_state_before_the_timeline,
        a_later_sync_has_only_what_is_new,
        a_quiet_sync_has_no_rooms,
        a_timeline_that_left_something_out_says_so_and_where,
        a_gap_is_filled_by_paging_back_without_gap_or_repeat,
        state_that_changed_in_the_gap_comes_with_the_timeline,
        the_same_token_brings_the_same_again,
        a_room_that_is_joined_comes_whole,
        a_room_that_was_left_and_joined_again_comes_whole,
        full_state_brings_all_state_though_nothing_is_new,
        the_state_can_be_had_as_of_after_the_timeline,
        a_token_of_no_sync_is_refused,
        bad_parameters_are_refused,
        a_sync_without_patience_returns_at_once,
        a_sync_waits_until_its_time_is_up,
        a_waiting_sync_wakes_for_a_message,
        a_waiting_sync_wakes_for_an_invitation,
        one_sees_ones_own_messages,
        messages_come_once_and_in_order_through_many_syncs,
        the_summary_counts_members_and_names_heroes,
        the_heroes_are_five_others_and_those_who_left_where_nobody_else_is,
        events_tell_what_they_replaced,
        devices_sync_apart,
    ]
}

async fn the_first_sync_has_the_state_before_the_timeline(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "At first"})).await;
    alice.set(&room, "m.room.name", "", &json!({"name": "Later"})).await.ok();
    alice.say(&room, "hello").await;
    let sync = alice.sync_filtered(&json!({"room": {"timeline": {"limit": 2}}}), "timeout=0").await;
    let timeline = sync.timeline(&room);
    let kinds: Vec<_> = timeline.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["m.room.name", "m.room.message"]);
    let name = find(sync.state(&room), "m.room.name", "").unwrap();
    assert_eq!(name["content"]["name"], "At first");
    for (kind, key) in [("m.room.create", ""), ("m.room.member", alice.id.as_str())] {
        assert!(find(sync.state(&room), kind, key).is_some(), "{kind}");
    }
    assert!(sync.joined(&room)["timeline"]["prev_batch"].is_string());
    for event in timeline.iter().chain(sync.state(&room)) {
        assert_eq!(event["room_id"], Value::Null, "the room is named around it");
    }
}

async fn a_later_sync_has_only_what_is_new(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (busy, quiet) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    let first = alice.sync().await;
    let sent = alice.chatter(&busy, "new", 3).await;
    let next = alice.sync_since(first.next_batch()).await;
    assert_eq!(ids(next.timeline(&busy)), sent);
    assert_eq!(next.state(&busy), &[] as &[Value]);
    assert_ne!(next.joined(&busy)["timeline"]["limited"], true);
    assert_eq!(next.joined(&quiet), &Value::Null);
    let last = alice.sync_since(next.next_batch()).await;
    assert_eq!(last.joined(&busy), &Value::Null);
}

async fn a_quiet_sync_has_no_rooms(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let first = alice.sync().await;
    for _ in 0..2 {
        let next = alice.sync_since(first.next_batch()).await;
        assert_eq!((next.joined(&room), next.left(&room)), (&Value::Null, &Value::Null));
    }
}

async fn a_timeline_that_left_something_out_says_so_and_where(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let since = alice.sync().await.next_batch().to_owned();
    let sent = alice.chatter(&room, "new", 8).await;
    let filter = json!({"room": {"timeline": {"limit": 3}}});
    let sync = alice.sync_filtered(&filter, &format!("timeout=0&since={}", enc(&since))).await;
    assert_eq!(ids(sync.timeline(&room)), sent[5..]);
    assert_eq!(sync.joined(&room)["timeline"]["limited"], true);
    let exact = json!({"room": {"timeline": {"limit": 8}}});
    let sync = alice.sync_filtered(&exact, &format!("timeout=0&since={}", enc(&since))).await;
    assert_eq!(ids(sync.timeline(&room)), sent);
    assert_ne!(sync.joined(&room)["timeline"]["limited"], true);
}

async fn a_gap_is_filled_by_paging_back_without_gap_or_repeat(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "old", 4).await;
    let since = alice.sync().await.next_batch().to_owned();
    let sent = alice.chatter(&room, "new", 40).await;
    let sync = alice.sync_since(&since).await;
    let timeline = &sync.joined(&room)["timeline"];
    assert_eq!(timeline["limited"], true);
    let prev_batch = timeline["prev_batch"].as_str().unwrap();
    let mut found = Vec::new();
    let mut from = prev_batch.to_owned();
    loop {
        let query = format!("dir=b&limit=6&from={}&to={}", enc(&from), enc(&since));
        let page = alice.messages(&room, &query).await.ok();
        found.extend(list(&page["chunk"]).iter().cloned());
        match page["end"].as_str() {
            Some(end) => end.clone_into(&mut from),
            None => break,
        }
    }
    found.reverse();
    found.extend(list(&timeline["events"]).iter().cloned());
    assert_eq!(ids(&found), sent);
    let mut whole = alice.history(&room, Some(prev_batch), 5).await;
    whole.extend(list(&timeline["events"]).iter().cloned());
    assert_eq!(ids(&whole), ids(&alice.history(&room, None, 100).await));
}

async fn state_that_changed_in_the_gap_comes_with_the_timeline(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = alice.sync().await.next_batch().to_owned();
    for topic in ["one", "two"] {
        alice.set(&room, "m.room.topic", "", &json!({"topic": topic})).await.ok();
    }
    bob.leave(&room).await.ok();
    alice.chatter(&room, "new", 12).await;
    alice.set(&room, "m.room.name", "", &json!({"name": "in the timeline"})).await.ok();
    let sync = alice.sync_since(&since).await;
    let state = sync.state(&room);
    assert_eq!(find(state, "m.room.topic", "").unwrap()["content"]["topic"], "two");
    assert_eq!(find(state, "m.room.member", &bob.id).unwrap()["content"]["membership"], "leave");
    assert_eq!(state.len(), 2, "{state:?}");
    assert_eq!(sync.timeline(&room).last().unwrap()["content"]["name"], "in the timeline");
}

async fn the_same_token_brings_the_same_again(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let since = alice.sync().await.next_batch().to_owned();
    let sent = alice.chatter(&room, "new", 3).await;
    let once = alice.sync_since(&since).await;
    let again = alice.sync_since(&since).await;
    assert_eq!(ids(once.timeline(&room)), sent);
    assert_eq!(ids(again.timeline(&room)), sent);
}

#[track_caller]
fn must_be_whole(sync: &Sync, room: &str) {
    let events = [sync.state(room), sync.timeline(room)].concat();
    for kind in ["m.room.create", "m.room.power_levels", "m.room.join_rules"] {
        assert!(find(&events, kind, "").is_some(), "no {kind} in {}", sync.joined(room));
    }
}

async fn a_room_that_is_joined_comes_whole(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    alice.chatter(&room, "before", 20).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.join(&room).await.ok();
    let sync = bob.sync_since(&since).await;
    must_be_whole(&sync, &room);
    let own = [sync.state(&room), sync.timeline(&room)].concat();
    assert_eq!(find(&own, "m.room.member", &bob.id).unwrap()["content"]["membership"], "join");
    alice.invite(&room, &hearth.user("carol").await).await.ok();
    let next = bob.sync_since(sync.next_batch()).await;
    assert_eq!(next.timeline(&room).len(), 1);
}

async fn a_room_that_was_left_and_joined_again_comes_whole(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    bob.leave(&room).await.ok();
    let away = bob.sync_since(&since).await;
    assert!(!away.left(&room).is_null());
    alice.set(&room, "m.room.topic", "", &json!({"topic": "missed"})).await.ok();
    alice.chatter(&room, "missed", 15).await;
    bob.join(&room).await.ok();
    for token in [&since, away.next_batch()] {
        let sync = bob.sync_since(token).await;
        must_be_whole(&sync, &room);
        let events = [sync.state(&room), sync.timeline(&room)].concat();
        assert_eq!(find(&events, "m.room.topic", "").unwrap()["content"]["topic"], "missed");
        assert_eq!(sync.left(&room), &Value::Null);
    }
}

async fn full_state_brings_all_state_though_nothing_is_new(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "Named"})).await;
    let since = alice.sync().await.next_batch().to_owned();
    let started = Instant::now();
    let sync = alice.sync_with(&format!("full_state=true&timeout=20000&since={}", enc(&since))).await;
    assert!(started.elapsed() < Duration::from_secs(15), "it does not wait");
    assert_eq!(sync.timeline(&room), &[] as &[Value]);
    let mut found = ids(sync.state(&room));
    let mut wanted = ids(&alice.full_state(&room).await);
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

async fn the_state_can_be_had_as_of_after_the_timeline(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "One"})).await;
    let first = alice.sync_with("timeout=0&use_state_after=true").await;
    let after = list(&first.joined(&room)["state_after"]["events"]);
    assert_eq!(after.len(), alice.full_state(&room).await.len());
    assert_eq!(first.joined(&room)["state"], Value::Null);
    alice.set(&room, "m.room.name", "", &json!({"name": "Two"})).await.ok();
    alice.say(&room, "hello").await;
    let query = format!("timeout=0&use_state_after=true&since={}", enc(first.next_batch()));
    let next = alice.sync_with(&query).await;
    let after = list(&next.joined(&room)["state_after"]["events"]);
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0]["content"]["name"], "Two");
    assert_eq!(next.timeline(&room).len(), 2);
    alice.say(&room, "no state").await;
    let query = format!("timeout=0&use_state_after=true&since={}", enc(next.next_batch()));
    let last = alice.sync_with(&query).await;
    assert_eq!(last.joined(&room)["state_after"]["events"], json!([]), "it is there though empty");
}

async fn a_token_of_no_sync_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for token in ["nonsense", "s", "-1", "99999999999999999999999", "s1_2_3 4", "é"] {
        let reply = alice.get(&format!("/sync?timeout=0&since={}", enc(token))).unchecked().await;
        reply.fails_with_one_of(&[(400, "M_INVALID_PARAM"), (400, "M_UNKNOWN"), (400, "M_UNKNOWN_POS")]);
    }
}

async fn bad_parameters_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for query in ["timeout=soon", "full_state=perhaps", "timeout=-1", "set_presence=asleep"] {
        let reply = alice.get(&format!("/sync?{query}")).unchecked().await;
        reply.fails(400, "M_INVALID_PARAM");
    }
}

async fn a_sync_without_patience_returns_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let since = alice.sync().await.next_batch().to_owned();
    let started = Instant::now();
    alice.sync_since(&since).await;
    alice.sync_with(&format!("since={}", enc(&since))).await;
    assert!(started.elapsed() < Duration::from_secs(10));
}

async fn a_sync_waits_until_its_time_is_up(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    // Of a device that nobody sees, so that not even its own coming is news.
    let since = alice.sync_with("timeout=0&set_presence=offline").await.next_batch().to_owned();
    let started = Instant::now();
    let sync = alice.sync_with(&format!("timeout=700&set_presence=offline&since={}", enc(&since))).await;
    assert!(started.elapsed() >= Duration::from_millis(600), "it waited {:?}", started.elapsed());
    assert_eq!(sync.joined(&room), &Value::Null);
    let sent = alice.say(&room, "hello").await;
    assert_eq!(ids(alice.sync_since(sync.next_batch()).await.timeline(&room)), [sent]);
}

async fn a_waiting_sync_wakes_for_a_message(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let since = bob.sync().await.next_batch().to_owned();
    let waiting = tokio::spawn({
        let (bob, room) = (bob.clone(), room.clone());
        async move { bob.sync_until(&since, |sync| !sync.timeline(&room).is_empty()).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = alice.say(&room, "wake up").await;
    let sync = waiting.await.unwrap();
    assert_eq!(ids(sync.timeline(&room)), [sent]);
}

async fn a_waiting_sync_wakes_for_an_invitation(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let since = bob.sync().await.next_batch().to_owned();
    let room = alice.create_room(json!({})).await;
    let waiting = tokio::spawn({
        let (bob, room) = (bob.clone(), room.clone());
        async move { bob.sync_until(&since, |sync| !sync.invited(&room).is_null()).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    alice.invite(&room, &bob).await.ok();
    waiting.await.unwrap();
}

async fn one_sees_ones_own_messages(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let mut since = alice.sync().await.next_batch().to_owned();
    for number in 0..10 {
        let sent = alice.say(&room, &format!("message {number}")).await;
        // What was acknowledged is in the very next sync.
        let sync = alice.sync_since(&since).await;
        assert_eq!(ids(sync.timeline(&room)), [sent]);
        sync.next_batch().clone_into(&mut since);
    }
}

async fn messages_come_once_and_in_order_through_many_syncs(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    let since = carol.sync().await.next_batch().to_owned();
    let reader = tokio::spawn({
        let (carol, room) = (carol.clone(), room.clone());
        async move {
            let (mut since, mut seen) = (since, Vec::new());
            while seen.len() < 60 {
                let sync = carol.sync_with(&format!("timeout=5000&since={}", enc(&since))).await;
                assert_ne!(sync.joined(&room)["timeline"]["limited"], true);
                seen.extend(sync.timeline(&room).iter().cloned());
                sync.next_batch().clone_into(&mut since);
            }
            seen
        }
    });
    let talk = |user: &crate::harness::User| {
        let (user, room) = (user.clone(), room.clone());
        tokio::spawn(async move { user.chatter(&room, &user.id, 30).await })
    };
    let (first, second) = (talk(&alice), talk(&bob));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let seen = ids(&reader.await.unwrap());
    for sent in [first, second] {
        let order: Vec<_> = seen.iter().filter(|id| sent.contains(id)).cloned().collect();
        assert_eq!(order, sent);
    }
    let history = carol.history(&room, None, 50).await;
    assert_eq!(ids(&history[history.len() - 60..]), seen, "the order is the room's");
}

async fn the_summary_counts_members_and_names_heroes(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    alice.invite(&room, &carol).await.ok();
    let lazy = json!({"room": {"state": {"lazy_load_members": true}}});
    let sync = alice.sync_filtered(&lazy, "timeout=0").await;
    let summary = &sync.joined(&room)["summary"];
    let counts = (&summary["m.joined_member_count"], &summary["m.invited_member_count"]);
    assert_eq!(counts, (&json!(2), &json!(1)));
    let mut heroes: Vec<_> = list(&summary["m.heroes"]).iter().map(|id| id.as_str().unwrap()).collect();
    heroes.sort_unstable();
    let mut wanted = [bob.id.as_str(), carol.id.as_str()];
    wanted.sort_unstable();
    assert_eq!(heroes, wanted);
    carol.join(&room).await.ok();
    let query = format!("timeout=0&since={}", enc(sync.next_batch()));
    let next = alice.sync_filtered(&lazy, &query).await;
    assert_eq!(next.joined(&room)["summary"]["m.joined_member_count"], 3);
}

async fn the_heroes_are_five_others_and_those_who_left_where_nobody_else_is(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.room_with(&[]).await;
    let mut others = Vec::new();
    for _ in 0..6 {
        others.push(hearth.user("other").await);
    }
    for other in &others {
        other.join(&room).await.ok();
    }
    let lazy = json!({"room": {"state": {"lazy_load_members": true}}});
    let heroes = async || {
        let sync = alice.sync_filtered(&lazy, "timeout=0").await;
        let heroes = list(&sync.joined(&room)["summary"]["m.heroes"]);
        let heroes: Vec<_> = heroes.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        let events = [sync.state(&room), sync.timeline(&room)].concat();
        assert!(heroes.iter().all(|id| find(&events, "m.room.member", id).is_some()), "{}", sync.body);
        heroes
    };
    let found = heroes().await;
    assert_eq!((found.len(), found.contains(&alice.id)), (5, false), "{found:?}");
    for other in &others[1..] {
        other.leave(&room).await.ok();
    }
    assert_eq!(heroes().await, [others[0].id.clone()]);
    others[0].leave(&room).await.ok();
    let found = heroes().await;
    assert_eq!((found.len(), found.contains(&alice.id)), (5, false), "{found:?}");
}

async fn events_tell_what_they_replaced(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"topic": "One"})).await;
    let old = find(&alice.full_state(&room).await, "m.room.topic", "").unwrap()["event_id"].clone();
    let since = alice.sync().await.next_batch().to_owned();
    alice.set(&room, "m.room.topic", "", &json!({"topic": "Two"})).await.ok();
    let sync = alice.sync_since(&since).await;
    let unsigned = &sync.timeline(&room)[0]["unsigned"];
    assert_eq!(unsigned["prev_content"]["topic"], "One");
    assert_eq!(unsigned["replaces_state"], old);
    assert!(unsigned["age"].is_i64());
}

async fn devices_sync_apart(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let room = alice.create_room(json!({})).await;
    let (laptop_since, phone_since) = (alice.sync().await, phone.sync().await);
    alice.chatter(&room, "one", 2).await;
    let laptop = alice.sync_since(laptop_since.next_batch()).await;
    alice.chatter(&room, "two", 2).await;
    let phone = phone.sync_since(phone_since.next_batch()).await;
    assert_eq!(bodies(laptop.timeline(&room)), ["one 0", "one 1"]);
    assert_eq!(bodies(phone.timeline(&room)), ["one 0", "one 1", "two 0", "two 1"]);
}
