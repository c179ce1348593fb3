//! Reading rooms: members, single events, history in both directions, by context and by time.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::rooms::{bodies, event_id, find, ids};
use crate::harness::sync::list;
use crate::harness::{Call, Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        the_members_are_listed_with_those_who_left,
        the_members_can_be_narrowed_by_membership,
        the_members_as_of_a_token_are_those_of_then,
        the_joined_members_come_with_name_and_picture,
        members_are_told_to_members_only,
        one_who_left_reads_the_state_as_of_then,
        an_event_that_is_unknown_or_elsewhere_is_not_found,
        history_is_read_backwards_in_pages_without_gap_or_repeat,
        history_is_read_forwards_from_the_beginning,
        the_two_directions_meet,
        a_page_stops_at_the_token_it_is_told,
        a_page_has_ten_events_unless_told_otherwise,
        history_is_filtered,
        a_filter_that_hides_a_page_still_leads_on,
        lazy_history_brings_the_members_who_speak,
        a_bad_page_request_is_refused,
        the_context_of_an_event_lies_around_it,
        the_context_may_be_the_event_alone,
        the_tokens_of_a_context_lead_on_both_ways,
        an_event_is_found_by_its_time,
    ]
}

/// Users and their memberships in a list of member events.
fn memberships(reply: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let members = list(&reply["chunk"]).iter();
    let mut members: Vec<_> =
        members.map(|event| (word(&event["state_key"]), word(&event["content"]["membership"]))).collect();
    members.sort();
    members
}

fn sorted<const N: usize>(pairs: [(&User, &str); N]) -> Vec<(String, String)> {
    let mut pairs = pairs.map(|(user, membership)| (user.id.clone(), membership.to_owned())).to_vec();
    pairs.sort();
    pairs
}

fn members(user: &User, room: &str, query: &str) -> Call {
    user.get(&format!("/rooms/{room}/members{query}"))
}

async fn the_members_are_listed_with_those_who_left(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    bob.leave(&room).await.ok();
    alice.invite(&room, &carol).await.ok();
    let all = members(&alice, &room, "").await.ok();
    assert_eq!(memberships(&all), sorted([(&alice, "join"), (&bob, "leave"), (&carol, "invite")]));
    for event in list(&all["chunk"]) {
        assert_eq!((&event["type"], &event["room_id"]), (&json!("m.room.member"), &json!(room)));
    }
}

async fn the_members_can_be_narrowed_by_membership(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    alice.ban(&room, &carol).await.ok();
    bob.leave(&room).await.ok();
    let joined = members(&alice, &room, "?membership=join").await.ok();
    assert_eq!(memberships(&joined), sorted([(&alice, "join")]));
    let not_banned = members(&alice, &room, "?not_membership=ban").await.ok();
    assert_eq!(memberships(&not_banned), sorted([(&alice, "join"), (&bob, "leave")]));
}

async fn the_members_as_of_a_token_are_those_of_then(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    let then = alice.sync().await.next_batch().to_owned();
    bob.leave(&room).await.ok();
    carol.join(&room).await.ok();
    let found = members(&alice, &room, &format!("?at={}", enc(&then))).await.ok();
    assert_eq!(memberships(&found), sorted([(&alice, "join"), (&bob, "join")]));
    members(&alice, &room, "?at=nonsense").unchecked().await.fails(400, "M_INVALID_PARAM");
}

async fn the_joined_members_come_with_name_and_picture(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let profile = |key: &str| format!("/profile/{}/{key}", bob.id);
    bob.put(&profile("displayname"), &json!({"displayname": "Bob B"})).await.ok();
    bob.put(&profile("avatar_url"), &json!({"avatar_url": "mxc://hearth.test/bob"})).await.ok();
    let room = alice.room_with(&[&bob]).await;
    let found = alice.get(&format!("/rooms/{room}/joined_members")).await.ok();
    let bob_found = &found["joined"][&bob.id];
    let wanted = (&json!("Bob B"), &json!("mxc://hearth.test/bob"));
    assert_eq!((&bob_found["display_name"], &bob_found["avatar_url"]), wanted);
    assert_eq!(found["joined"].as_object().unwrap().len(), 2);
}

async fn members_are_told_to_members_only(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    for path in ["members", "joined_members", "state", "state/m.room.create/"] {
        bob.get(&format!("/rooms/{room}/{path}")).await.fails(403, "M_FORBIDDEN");
    }
    bob.get(&format!("/rooms/{room}/messages?dir=b")).await.fails(403, "M_FORBIDDEN");
}

async fn one_who_left_reads_the_state_as_of_then(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.set(&room, "m.room.topic", "", &json!({"topic": "before"})).await.ok();
    bob.leave(&room).await.ok();
    alice.set(&room, "m.room.topic", "", &json!({"topic": "after"})).await.ok();
    alice.set(&room, "m.room.name", "", &json!({"name": "after"})).await.ok();
    assert_eq!(bob.state(&room, "m.room.topic", "").await.ok(), json!({"topic": "before"}));
    bob.state(&room, "m.room.name", "").await.fails(404, "M_NOT_FOUND");
    let state = bob.full_state(&room).await;
    assert_eq!(find(&state, "m.room.topic", "").unwrap()["content"]["topic"], "before");
    assert_eq!(find(&state, "m.room.member", &bob.id).unwrap()["content"]["membership"], "leave");
    let found = members(&bob, &room, "").await.ok();
    assert_eq!(memberships(&found), sorted([(&alice, "join"), (&bob, "leave")]));
    bob.get(&format!("/rooms/{room}/joined_members")).await.fails(403, "M_FORBIDDEN");
}

async fn an_event_that_is_unknown_or_elsewhere_is_not_found(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let (one, two) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    let id = alice.say(&one, "here").await;
    alice.event(&one, "$unknown").await.fails(404, "M_NOT_FOUND");
    alice.event(&two, &id).await.fails(404, "M_NOT_FOUND");
    let denied = [(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")];
    bob.event(&one, &id).await.fails_with_one_of(&denied);
    alice.event("!nowhere:hearth.test", &id).await.fails_with_one_of(&denied);
    let context = alice.get(&format!("/rooms/{two}/context/{}", enc(&id)));
    context.await.fails(404, "M_NOT_FOUND");
}

async fn history_is_read_backwards_in_pages_without_gap_or_repeat(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "message", 37).await;
    let whole = ids(&alice.history(&room, None, 100).await);
    assert_eq!(whole.len(), 6 + 37, "what the room began with, and the messages");
    for page in [1, 2, 7, 10, 43] {
        assert_eq!(ids(&alice.history(&room, None, page).await), whole, "in pages of {page}");
    }
    let from = alice.sync().await.next_batch().to_owned();
    alice.chatter(&room, "later", 3).await;
    assert_eq!(ids(&alice.history(&room, Some(&from), 9).await), whole, "from a sync's token");
}

/// All history forwards, page by page.
async fn forwards(user: &User, room: &str, from: Option<&str>, page: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut from = from.map(str::to_owned);
    loop {
        let token = from.map(|token| format!("&from={}", enc(&token))).unwrap_or_default();
        let reply = user.messages(room, &format!("dir=f&limit={page}{token}")).await.ok();
        events.extend(list(&reply["chunk"]).iter().cloned());
        match reply["end"].as_str() {
            Some(end) => from = Some(end.to_owned()),
            None => return events,
        }
    }
}

async fn history_is_read_forwards_from_the_beginning(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "message", 12).await;
    let whole = ids(&alice.history(&room, None, 100).await);
    for page in [1, 5, 100] {
        assert_eq!(ids(&forwards(&alice, &room, None, page).await), whole, "in pages of {page}");
    }
}

async fn the_two_directions_meet(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "before", 5).await;
    let middle = alice.sync().await.next_batch().to_owned();
    alice.chatter(&room, "after", 5).await;
    let mut both = alice.history(&room, Some(&middle), 3).await;
    both.extend(forwards(&alice, &room, Some(&middle), 3).await);
    assert_eq!(ids(&both), ids(&alice.history(&room, None, 100).await));
}

async fn a_page_stops_at_the_token_it_is_told(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.say(&room, "one").await;
    let first = alice.sync().await.next_batch().to_owned();
    alice.say(&room, "two").await;
    alice.say(&room, "three").await;
    let second = alice.sync().await.next_batch().to_owned();
    alice.say(&room, "four").await;
    let between = |from: &str, to: &str, dir: &str| {
        alice.messages(&room, &format!("dir={dir}&limit=50&from={}&to={}", enc(from), enc(to)))
    };
    let back = between(&second, &first, "b").await.ok();
    assert_eq!(bodies(list(&back["chunk"])), ["three", "two"]);
    let forth = between(&first, &second, "f").await.ok();
    assert_eq!(bodies(list(&forth["chunk"])), ["two", "three"]);
}

async fn a_page_has_ten_events_unless_told_otherwise(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "message", 15).await;
    let page = alice.messages(&room, "dir=b").await.ok();
    assert_eq!(list(&page["chunk"]).len(), 10);
    assert!(page["start"].is_string() && page["end"].is_string(), "{page}");
}

async fn history_is_filtered(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.say(&room, "from alice").await;
    bob.say(&room, "from bob").await;
    alice.send(&room, "org.example.other", &json!({"body": "other"})).await.ok();
    let picture = json!({"msgtype": "m.image", "body": "picture", "url": "mxc://hearth.test/p"});
    alice.send(&room, "m.room.message", &picture).await.ok();
    for (filter, wanted) in [
        (json!({"types": ["m.room.message"]}), vec!["picture", "from bob", "from alice"]),
        (json!({"types": ["m.room.mess*"], "not_senders": [bob.id]}), vec!["picture", "from alice"]),
        (json!({"types": ["m.room.message"], "senders": [bob.id]}), vec!["from bob"]),
        (json!({"contains_url": true}), vec!["picture"]),
        (json!({"types": ["m.*"], "not_types": ["m.room.message"]}), vec![]),
        (json!({"senders": []}), vec![]),
    ] {
        let query = format!("dir=b&limit=50&filter={}", enc(&filter.to_string()));
        let page = alice.messages(&room, &query).await.ok();
        assert_eq!(bodies(list(&page["chunk"])), wanted, "{filter}");
    }
}

async fn a_filter_that_hides_a_page_still_leads_on(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.say(&room, "needle").await;
    for _ in 0..30 {
        alice.send(&room, "org.example.hay", &json!({})).await.ok();
    }
    let filter = enc(&json!({"types": ["m.room.message"]}).to_string());
    let (mut from, mut found) = (String::new(), Vec::new());
    for _ in 0..60 {
        let page = alice.messages(&room, &format!("dir=b&limit=2&filter={filter}{from}")).await.ok();
        found.extend(list(&page["chunk"]).iter().cloned());
        let Some(end) = page["end"].as_str() else { break };
        from = format!("&from={}", enc(end));
    }
    assert_eq!(bodies(&found), ["needle"]);
}

async fn lazy_history_brings_the_members_who_speak(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    bob.say(&room, "hello").await;
    let lazy = enc(&json!({"lazy_load_members": true, "types": ["m.room.message"]}).to_string());
    let page = alice.messages(&room, &format!("dir=b&limit=5&filter={lazy}")).await.ok();
    let state = list(&page["state"]);
    assert_eq!(state.len(), 1, "{state:?}");
    assert_eq!((&state[0]["type"], &state[0]["state_key"]), (&json!("m.room.member"), &json!(bob.id)));
}

async fn a_bad_page_request_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for query in
        ["dir=x", "dir=b&limit=many", "dir=b&from=nonsense", "dir=b&to=nonsense", "dir=b&limit=-1", "limit=5"]
    {
        let reply = alice.messages(&room, query).unchecked().await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text);
        assert!(!reply.errcode().is_empty());
    }
    for filter in ["{", "[]", "{\"types\": 1}", "no-such-filter"] {
        let reply = alice.messages(&room, &format!("dir=b&filter={}", enc(filter))).unchecked().await;
        assert_eq!(reply.status, 400, "{filter}: {}", reply.text);
    }
}

fn context(user: &User, room: &str, id: &str, query: &str) -> Call {
    user.get(&format!("/rooms/{room}/context/{}{query}", enc(id)))
}

async fn the_context_of_an_event_lies_around_it(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = alice.chatter(&room, "message", 11).await;
    alice.set(&room, "m.room.topic", "", &json!({"topic": "afterwards"})).await.ok();
    let found = context(&alice, &room, &sent[5], "?limit=6").await.ok();
    assert_eq!(event_id(&found["event"]), sent[5]);
    assert_eq!(bodies(list(&found["events_before"])), ["message 4", "message 3", "message 2"]);
    assert_eq!(bodies(list(&found["events_after"])), ["message 6", "message 7", "message 8"]);
    let state = list(&found["state"]);
    assert!(find(state, "m.room.create", "").is_some() && find(state, "m.room.topic", "").is_none());
    let all = context(&alice, &room, &sent[5], "").await.ok();
    assert_eq!(list(&all["events_before"]).len() + list(&all["events_after"]).len(), 10, "ten by default");
}

async fn the_context_may_be_the_event_alone(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = alice.chatter(&room, "message", 3).await;
    let found = context(&alice, &room, &sent[1], "?limit=0").await.ok();
    assert_eq!(event_id(&found["event"]), sent[1]);
    assert_eq!((list(&found["events_before"]).len(), list(&found["events_after"]).len()), (0, 0));
}

async fn the_tokens_of_a_context_lead_on_both_ways(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let sent = alice.chatter(&room, "message", 9).await;
    let found = context(&alice, &room, &sent[4], "?limit=2").await.ok();
    let mut all = alice.history(&room, found["start"].as_str(), 3).await;
    all.extend(list(&found["events_before"]).iter().rev().cloned());
    all.push(found["event"].clone());
    all.extend(list(&found["events_after"]).iter().cloned());
    all.extend(forwards(&alice, &room, found["end"].as_str(), 3).await);
    assert_eq!(ids(&all), ids(&alice.history(&room, None, 100).await));
}

async fn an_event_is_found_by_its_time(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    let mut sent = Vec::new();
    for number in 0..3 {
        sleep(Duration::from_millis(20)).await;
        let id = alice.say(&room, &format!("message {number}")).await;
        let time = alice.event(&room, &id).await.ok()["origin_server_ts"].as_i64().unwrap();
        sent.push((id, time));
    }
    let at = |user: &User, ts: i64, dir: &str| {
        user.get(&format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}"))
    };
    for (ts, dir, wanted) in [
        (sent[0].1, "f", 0),
        (sent[0].1, "b", 0),
        (sent[0].1 + 1, "f", 1),
        (sent[1].1 - 1, "b", 0),
        (sent[2].1 + 100_000, "b", 2),
    ] {
        let found = at(&alice, ts, dir).await.ok();
        let (id, time) = &sent[wanted];
        assert_eq!(
            (&found["event_id"], &found["origin_server_ts"]),
            (&json!(id), &json!(time)),
            "{ts} {dir}"
        );
    }
    at(&alice, sent[2].1 + 100_000, "f").await.fails(404, "M_NOT_FOUND");
    at(&alice, 1, "b").await.fails(404, "M_NOT_FOUND");
    at(&bob, sent[0].1, "f").await.fails(403, "M_FORBIDDEN");
    at(&alice, sent[0].1, "x").unchecked().await.fails(400, "M_INVALID_PARAM");
}
