//! Filters: kept on the server or given inline, and what they do to a sync.

use serde_json::{Value, json};

use crate::harness::rooms::bodies;
use crate::harness::sync::list;
use crate::harness::{Call, Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_filter_is_kept_and_read_back,
        a_filter_id_is_never_mistaken_for_a_filter,
        filters_belong_to_their_user,
        a_bad_filter_is_refused,
        a_sync_is_filtered_by_id_and_inline_alike,
        a_timeline_is_limited_and_chosen_by_type_and_sender,
        an_empty_list_matches_nothing,
        rooms_are_chosen_and_left_out,
        state_is_filtered_apart_from_the_timeline,
        account_data_is_filtered,
        only_the_wanted_fields_are_sent,
        events_can_be_had_in_the_format_of_federation,
    ]
}

impl User {
    fn keep_filter(&self, filter: &Value) -> Call {
        self.post(&format!("/user/{}/filter", self.id), filter)
    }

    fn kept_filter(&self, id: &str) -> Call {
        self.get(&format!("/user/{}/filter/{id}", self.id))
    }
}

async fn a_filter_is_kept_and_read_back(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let filter = json!({
        "room": {"timeline": {"limit": 3, "types": ["m.room.message"], "not_senders": ["@spam:hearth.test"]},
                 "state": {"lazy_load_members": true}, "rooms": ["!a:b"], "include_leave": true},
        "presence": {"not_types": ["*"]}, "event_format": "client", "event_fields": ["type", "content.body"],
    });
    let id = alice.keep_filter(&filter).await.ok()["filter_id"].as_str().unwrap().to_owned();
    assert_eq!(alice.kept_filter(&id).await.ok(), filter);
    let other = alice.keep_filter(&json!({})).await.ok()["filter_id"].as_str().unwrap().to_owned();
    assert_ne!(id, other);
    assert_eq!(alice.kept_filter(&other).await.ok(), json!({}));
}

async fn a_filter_id_is_never_mistaken_for_a_filter(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for limit in 1..20 {
        let filter = json!({"room": {"timeline": {"limit": limit}}});
        let id = alice.keep_filter(&filter).await.ok()["filter_id"].clone();
        assert!(!id.as_str().unwrap().starts_with('{'), "{id}");
    }
}

async fn filters_belong_to_their_user(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let id = alice.keep_filter(&json!({})).await.ok()["filter_id"].as_str().unwrap().to_owned();
    bob.get(&format!("/user/{}/filter/{id}", alice.id)).await.fails(403, "M_FORBIDDEN");
    bob.post(&format!("/user/{}/filter", alice.id), &json!({})).await.fails(403, "M_FORBIDDEN");
    alice
        .kept_filter("nosuchfilter")
        .unchecked()
        .await
        .fails_with_one_of(&[(404, "M_NOT_FOUND"), (400, "M_INVALID_PARAM")]);
    alice.kept_filter("999999").await.fails(404, "M_NOT_FOUND");
}

async fn a_bad_filter_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for filter in [
        json!({"room": []}),
        json!({"room": {"timeline": {"limit": "ten"}}}),
        json!({"room": {"timeline": {"types": "m.room.message"}}}),
        json!({"room": {"timeline": {"senders": [1]}}}),
        json!({"event_format": 1}),
    ] {
        let reply = alice.keep_filter(&filter).unchecked().await;
        reply.fails_with_one_of(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
        let inline = crate::harness::enc(&filter.to_string());
        let reply = alice.get(&format!("/sync?timeout=0&filter={inline}")).unchecked().await;
        reply.fails_with_one_of(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    }
    for filter in ["{", "nosuchfilter", "999999"] {
        let inline = crate::harness::enc(filter);
        let reply = alice.get(&format!("/sync?timeout=0&filter={inline}")).unchecked().await;
        assert!(matches!(reply.status, 400 | 404), "{filter}: {}", reply.text);
    }
}

async fn a_sync_is_filtered_by_id_and_inline_alike(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "message", 5).await;
    let filter = json!({"room": {"timeline": {"limit": 2}}});
    let id = alice.keep_filter(&filter).await.ok()["filter_id"].as_str().unwrap().to_owned();
    let by_id = alice.sync_with(&format!("timeout=0&filter={id}")).await;
    let inline = alice.sync_filtered(&filter, "timeout=0").await;
    assert_eq!(bodies(by_id.timeline(&room)), ["message 3", "message 4"]);
    assert_eq!(bodies(inline.timeline(&room)), ["message 3", "message 4"]);
    assert_eq!(inline.joined(&room)["timeline"]["limited"], true);
}

async fn a_timeline_is_limited_and_chosen_by_type_and_sender(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.say(&room, "by alice").await;
    bob.say(&room, "by bob").await;
    alice.send(&room, "org.example.other", &json!({})).await.ok();
    let picture = json!({"msgtype": "m.image", "body": "picture", "url": "mxc://hearth.test/p"});
    bob.send(&room, "m.room.message", &picture).await.ok();
    for (timeline, wanted) in [
        (json!({"types": ["m.room.message"]}), vec!["by alice", "by bob", "picture"]),
        (json!({"types": ["m.room.message"], "limit": 2}), vec!["by bob", "picture"]),
        (json!({"types": ["*"], "senders": [bob.id]}), vec!["by bob", "picture"]),
        (json!({"senders": [bob.id, alice.id], "not_senders": [bob.id]}), vec!["by alice"]),
        (json!({"contains_url": true}), vec!["picture"]),
        (json!({"contains_url": false, "types": ["m.room.message"]}), vec!["by alice", "by bob"]),
        (json!({"not_types": ["m.room.*"]}), vec![]),
        (json!({"rooms": ["!other:hearth.test"]}), vec![]),
        (json!({"not_rooms": [room]}), vec![]),
    ] {
        let sync = alice.sync_filtered(&json!({"room": {"timeline": timeline}}), "timeout=0").await;
        assert_eq!(bodies(sync.timeline(&room)), wanted, "{timeline}");
    }
}

async fn an_empty_list_matches_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.say(&room, "hello").await;
    for empty in ["types", "senders", "rooms"] {
        let sync = alice.sync_filtered(&json!({"room": {"timeline": {empty: []}}}), "timeout=0").await;
        assert_eq!(sync.timeline(&room), &[] as &[Value], "{empty}");
    }
    let sync = alice.sync_filtered(&json!({"room": {"rooms": []}}), "timeout=0").await;
    assert_eq!(sync.joined(&room), &Value::Null);
}

async fn rooms_are_chosen_and_left_out(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (one, two) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    for room in [&one, &two] {
        alice
            .put(&format!("/user/{}/rooms/{room}/account_data/org.example.a", alice.id), &json!({}))
            .await
            .ok();
        alice.read(room, "m.read", &alice.say(room, "read").await).await;
    }
    for (rooms, there) in [
        (json!({"rooms": [one]}), (true, false)),
        (json!({"not_rooms": [one]}), (false, true)),
        (json!({"rooms": [one, two], "not_rooms": [one]}), (false, true)),
    ] {
        let sync = alice.sync_filtered(&json!({"room": rooms}), "timeout=0").await;
        assert_eq!((!sync.joined(&one).is_null(), !sync.joined(&two).is_null()), there, "{rooms}");
    }
}

async fn state_is_filtered_apart_from_the_timeline(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "Named", "topic": "On cats"})).await;
    alice.chatter(&room, "message", 3).await;
    let filter = json!({"room": {"timeline": {"limit": 1}, "state": {"types": ["m.room.name"]}}});
    let sync = alice.sync_filtered(&filter, "timeout=0").await;
    let kinds: Vec<_> = sync.state(&room).iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["m.room.name"]);
    assert_eq!(bodies(sync.timeline(&room)), ["message 2"]);
}

async fn account_data_is_filtered(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for kind in ["org.example.wanted", "org.example.other"] {
        alice.put(&format!("/user/{}/account_data/{kind}", alice.id), &json!({"a": 1})).await.ok();
        alice
            .put(&format!("/user/{}/rooms/{room}/account_data/{kind}", alice.id), &json!({"a": 1}))
            .await
            .ok();
    }
    let only = json!({"types": ["org.example.wan*"]});
    let filter = json!({"account_data": only, "room": {"account_data": only}});
    let sync = alice.sync_filtered(&filter, "timeout=0").await;
    let kinds = |events: &Value| -> Vec<Value> {
        list(&events["events"]).iter().map(|event| event["type"].clone()).collect()
    };
    assert_eq!(kinds(&sync.body["account_data"]), ["org.example.wanted"]);
    assert_eq!(kinds(&sync.joined(&room)["account_data"]), ["org.example.wanted"]);
}

async fn only_the_wanted_fields_are_sent(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let content = json!({"msgtype": "m.text", "body": "hello", "org.example": {"a": 1, "b": 2}});
    alice.send(&room, "m.room.message", &content).await.ok();
    let filter = json!({"event_fields": ["type", "content.body", "content.org\\.example.a"]});
    let path = format!("/sync?timeout=0&filter={}", crate::harness::enc(&filter.to_string()));
    // Fields that the schema requires are left out because that was asked for.
    let body = alice.get(&path).unchecked().await.ok();
    let events = list(&body["rooms"]["join"][&room]["timeline"]["events"]);
    let wanted = json!({"type": "m.room.message", "content": {"body": "hello", "org.example": {"a": 1}}});
    assert_eq!(events.last(), Some(&wanted));
}

async fn events_can_be_had_in_the_format_of_federation(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.say(&room, "hello").await;
    let filter = json!({"event_format": "federation"});
    let path = format!("/sync?timeout=0&filter={}", crate::harness::enc(&filter.to_string()));
    let body = alice.get(&path).unchecked().await.ok();
    let events = list(&body["rooms"]["join"][&room]["timeline"]["events"]);
    let last = events.last().unwrap();
    for key in ["auth_events", "prev_events", "hashes", "signatures", "depth", "content", "sender"] {
        assert!(!last[key].is_null(), "{key} of {last}");
    }
}
