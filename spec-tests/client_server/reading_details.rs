//! What events tell beside their content, and reading from the edge of a room.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::rooms::{bodies, event_id, find};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_state_event_tells_what_it_took_the_place_of,
        what_was_redacted_is_redacted_where_it_was_replaced_too,
        a_stranger_is_told_what_was_replaced_in_an_open_room,
        a_format_that_is_none_is_refused,
        lazy_context_brings_the_members_who_speak,
        a_time_leads_to_an_event_that_one_may_see,
        one_who_left_finds_no_later_event_by_its_time,
        one_who_forgot_a_room_reads_no_more_of_it,
        a_filter_for_another_room_finds_nothing,
        the_directory_turns_back,
        a_page_of_the_directory_holds_still,
    ]
}

async fn last(user: &User, room: &str) -> Value {
    list(&user.messages(room, "dir=b&limit=1").await.ok()["chunk"])[0].clone()
}

async fn a_state_event_tells_what_it_took_the_place_of(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let first = event_id(&alice.set(&room, "m.room.topic", "", &json!({"topic": "one"})).await.ok());
    let unsigned = last(&alice, &room).await["unsigned"].clone();
    assert_eq!((&unsigned["replaces_state"], &unsigned["prev_content"]), (&Value::Null, &Value::Null));
    let second = event_id(&alice.set(&room, "m.room.topic", "", &json!({"topic": "two"})).await.ok());
    for event in [last(&alice, &room).await, alice.event(&room, &second).await.ok()] {
        assert_eq!(event["unsigned"]["replaces_state"], json!(first));
        assert_eq!(event["unsigned"]["prev_content"], json!({"topic": "one"}));
        assert_eq!(event["unsigned"]["membership"], "join");
        assert!(event["unsigned"]["age"].as_i64().is_some_and(|age| age >= 0), "{event}");
    }
}

async fn what_was_redacted_is_redacted_where_it_was_replaced_too(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let first = event_id(&alice.set(&room, "m.room.topic", "", &json!({"topic": "secret"})).await.ok());
    let second = event_id(&alice.set(&room, "m.room.topic", "", &json!({"topic": "open"})).await.ok());
    alice.redact(&room, &first).await.ok();
    let event = alice.event(&room, &second).await.ok();
    assert_eq!(event["unsigned"]["replaces_state"], json!(first));
    assert_eq!(event["unsigned"]["prev_content"], json!({}));
}

async fn a_stranger_is_told_what_was_replaced_in_an_open_room(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let options = json!({"topic": "one", "initial_state": [
        {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}},
    ]});
    let room = alice.create_room(options).await;
    alice.set(&room, "m.room.topic", "", &json!({"topic": "two"})).await.ok();
    let event = last(&bob, &room).await;
    assert_eq!(event["unsigned"]["prev_content"]["topic"], "one");
    assert_eq!(event["unsigned"]["membership"], "leave");
    assert_eq!(find(&bob.full_state(&room).await, "m.room.topic", "").unwrap()["content"]["topic"], "two");
}

async fn a_format_that_is_none_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/state/m.room.create/?format=picture");
    alice.get(&path).unchecked().await.fails(400, "M_INVALID_PARAM");
}

async fn lazy_context_brings_the_members_who_speak(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    let said = bob.say(&room, "hello").await;
    let lazy = enc(&json!({"lazy_load_members": true}).to_string());
    let path = format!("/rooms/{room}/context/{}?limit=0&filter={lazy}", enc(&said));
    let found = alice.get(&path).await.ok();
    let state = list(&found["state"]);
    assert!(find(state, "m.room.member", &bob.id).is_some() && find(state, "m.room.create", "").is_some());
    assert!(find(state, "m.room.member", &carol.id).is_none(), "{state:?}");
}

async fn a_time_leads_to_an_event_that_one_may_see(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let options = json!({"preset": "public_chat", "initial_state": [
        {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
    ]});
    let room = alice.create_room(options).await;
    alice.chatter(&room, "before", 3).await;
    bob.join(&room).await.ok();
    let joined = find(&bob.full_state(&room).await, "m.room.member", &bob.id).unwrap().clone();
    let from = joined["origin_server_ts"].as_i64().unwrap() - 60_000;
    let path = format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?dir=f&ts={from}");
    let found = bob.get(&path).await.ok();
    // Nothing said before the visibility was set is hidden either.
    let found = bob.event(&room, found["event_id"].as_str().unwrap()).await.ok();
    assert_eq!(found["type"], "m.room.create");
    let said = alice.event(&room, &alice.say(&room, "after").await).await.ok();
    let back = format!(
        "/_matrix/client/v1/rooms/{room}/timestamp_to_event?dir=b&ts={}",
        joined["origin_server_ts"].as_i64().unwrap() - 1
    );
    let found = bob.get(&back).await.ok();
    let found = bob.event(&room, found["event_id"].as_str().unwrap()).await.ok();
    assert_ne!(found["type"], "m.room.message", "what was said before they came is passed over");
    assert_eq!(said["unsigned"]["membership"], "join");
}

async fn one_who_left_finds_no_later_event_by_its_time(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let said = alice.say(&room, "before").await;
    let said = alice.event(&room, &said).await.ok()["origin_server_ts"].as_i64().unwrap();
    bob.leave(&room).await.ok();
    let later = alice.say(&room, "after").await;
    let path = format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?dir=b&ts={}", said + 100_000);
    let found = bob.get(&path).await.ok();
    assert_ne!(found["event_id"], json!(later));
    let left = bob.event(&room, found["event_id"].as_str().unwrap()).await.ok();
    assert_eq!((&left["state_key"], &left["content"]["membership"]), (&json!(bob.id), &json!("leave")));
}

async fn one_who_forgot_a_room_reads_no_more_of_it(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let said = alice.say(&room, "hello").await;
    bob.leave(&room).await.ok();
    bob.event(&room, &said).await.ok();
    bob.forget(&room).await.ok();
    bob.messages(&room, "dir=b").await.fails(403, "M_FORBIDDEN");
    bob.event(&room, &said).await.fails(404, "M_NOT_FOUND");
    bob.get(&format!("/rooms/{room}/state")).await.fails(403, "M_FORBIDDEN");
    bob.join(&room).await.ok();
    bob.event(&room, &said).await.ok();
}

async fn a_filter_for_another_room_finds_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.say(&room, "hello").await;
    for (filter, wanted) in [
        (json!({"rooms": ["!other:hearth.test"]}), vec![]),
        (json!({"rooms": []}), vec![]),
        (json!({"not_rooms": [room]}), vec![]),
        (json!({"rooms": [room]}), vec!["hello"]),
    ] {
        let query = format!("dir=b&limit=20&filter={}", enc(&filter.to_string()));
        assert_eq!(bodies(list(&alice.messages(&room, &query).await.ok()["chunk"])), wanted, "{filter}");
    }
}

fn rooms(page: &Value) -> Vec<&str> {
    list(&page["chunk"]).iter().map(|room| room["room_id"].as_str().unwrap()).collect()
}

async fn listed(user: &User, name: &str, count: usize) {
    for _ in 0..count {
        user.create_room(json!({"visibility": "public", "name": name})).await;
    }
}

async fn the_directory_turns_back(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let name = fresh("Turned");
    listed(&alice, &name, 5).await;
    let page = async |since: Option<&Value>| {
        let mut body = json!({"limit": 2, "filter": {"generic_search_term": name}});
        if let Some(since) = since {
            body["since"] = since.clone();
        }
        alice.post("/publicRooms", &body).await.ok()
    };
    let first = page(None).await;
    assert_eq!((first["prev_batch"].as_str(), rooms(&first).len()), (None, 2));
    let second = page(Some(&first["next_batch"])).await;
    let third = page(Some(&second["next_batch"])).await;
    assert_eq!((third["next_batch"].as_str(), rooms(&third).len()), (None, 1));
    assert_eq!(rooms(&page(Some(&third["prev_batch"])).await), rooms(&second));
    let back = page(Some(&second["prev_batch"])).await;
    assert_eq!(rooms(&back), rooms(&first));
    assert_eq!(rooms(&page(Some(&back["next_batch"])).await), rooms(&second));
    let nonsense = json!({"since": "nonsense"});
    alice.post("/publicRooms", &nonsense).await.fails(400, "M_INVALID_PARAM");
    hearth.get("/publicRooms?server=elsewhere.test").await.fails(404, "M_NOT_FOUND");
}

async fn a_page_of_the_directory_holds_still(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let name = fresh("Still");
    listed(&alice, &name, 3).await;
    let search = |since: Option<&str>| {
        let mut body = json!({"limit": 1, "filter": {"generic_search_term": name}});
        if let Some(since) = since {
            body["since"] = json!(since);
        }
        alice.post("/publicRooms", &body)
    };
    let (mut found, mut since) = (Vec::new(), None::<String>);
    loop {
        let page = search(since.as_deref()).await.ok();
        found.extend(rooms(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_batch"].as_str() else { break };
        since = Some(next.to_owned());
        // The room that was shown last grows past the others.
        bob.join(found.last().unwrap()).await.ok();
    }
    let mut distinct = found.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((found.len(), distinct.len()), (3, 3), "{found:?}");
}
