//! Creating rooms, with every option.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::rooms::{event_id, find};
use crate::harness::{Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        rooms_made_at_the_same_time_are_rooms_of_their_own,
        a_room_begins_with_its_state_in_the_order_of_the_specification,
        the_presets_set_who_may_come_in_and_what_newcomers_see,
        visibility_chooses_the_preset_where_none_is_named,
        in_a_trusted_private_chat_those_invited_have_the_creators_power,
        initial_state_wins_over_the_preset_and_name_and_topic_over_both,
        a_topic_has_its_text_in_both_forms,
        power_levels_can_be_overridden_key_by_key,
        levels_that_forbid_the_creator_to_go_on_are_refused,
        creation_content_is_kept_but_for_what_the_server_sets,
        a_room_can_be_made_in_every_version,
        an_unknown_version_is_refused,
        in_version_12_the_creator_stands_above_all_levels,
        in_version_12_there_may_be_more_creators,
        additional_creators_are_user_ids,
        before_version_12_the_creator_is_in_the_power_levels,
        those_invited_get_an_invite_that_says_whether_it_is_direct,
        an_alias_is_made_and_becomes_the_canonical_one,
        a_taken_alias_makes_no_room,
        a_public_room_is_in_the_directory,
        bad_options_make_no_room,
        an_oversized_event_among_the_options_is_refused,
    ]
}

async fn rooms_made_at_the_same_time_are_rooms_of_their_own(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let body = json!({});
    let replies = join_all((0..40).map(|_| alice.post("/createRoom", &body).into_future())).await;
    let rooms: BTreeSet<String> =
        replies.into_iter().map(|reply| reply.ok()["room_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(rooms.len(), 40);
}

async fn create(user: &User, options: Value) -> (String, Vec<Value>) {
    let room = user.create_room(options).await;
    let state = user.full_state(&room).await;
    (room, state)
}

#[track_caller]
fn content<'a>(state: &'a [Value], kind: &str) -> &'a Value {
    find(state, kind, "").map_or(&Value::Null, |event| &event["content"])
}

async fn a_room_begins_with_its_state_in_the_order_of_the_specification(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let options = json!({
        "preset": "private_chat", "room_alias_name": fresh("alias"), "name": "The name", "topic": "The topic",
        "initial_state": [{"type": "org.example.first", "state_key": "k", "content": {"a": 1}}],
        "invite": [bob.id],
    });
    let (room, _) = create(&alice, options).await;
    let history = alice.history(&room, None, 50).await;
    let kinds: Vec<&str> = history.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "org.example.first",
            "m.room.name",
            "m.room.topic",
            "m.room.member",
        ]
    );
    assert_eq!(history[1]["state_key"], alice.id);
    assert_eq!(history[10]["state_key"], bob.id);
}

async fn the_presets_set_who_may_come_in_and_what_newcomers_see(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (preset, join_rule, visibility, guests) in [
        ("private_chat", "invite", "shared", Some("can_join")),
        ("trusted_private_chat", "invite", "shared", Some("can_join")),
        ("public_chat", "public", "shared", None),
    ] {
        let (_, state) = create(&alice, json!({"preset": preset})).await;
        assert_eq!(content(&state, "m.room.join_rules")["join_rule"], join_rule, "{preset}");
        assert_eq!(
            content(&state, "m.room.history_visibility")["history_visibility"],
            visibility,
            "{preset}"
        );
        let access = content(&state, "m.room.guest_access")["guest_access"].as_str();
        assert_eq!(access.filter(|access| *access != "forbidden"), guests, "{preset}");
    }
}

async fn visibility_chooses_the_preset_where_none_is_named(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (options, join_rule) in [
        (json!({}), "invite"),
        (json!({"visibility": "private"}), "invite"),
        (json!({"visibility": "public"}), "public"),
        (json!({"visibility": "public", "preset": "private_chat"}), "invite"),
    ] {
        let (_, state) = create(&alice, options.clone()).await;
        assert_eq!(content(&state, "m.room.join_rules")["join_rule"], join_rule, "{options}");
    }
}

async fn in_a_trusted_private_chat_those_invited_have_the_creators_power(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let options = json!({"preset": "trusted_private_chat", "invite": [bob.id], "room_version": "11"});
    let (_, state) = create(&alice, options).await;
    let users = &content(&state, "m.room.power_levels")["users"];
    assert_eq!(users, &json!({&alice.id: 100, &bob.id: 100}));
    let options = json!({"preset": "trusted_private_chat", "invite": [bob.id], "room_version": "12"});
    let (_, state) = create(&alice, options).await;
    assert_eq!(content(&state, "m.room.create")["additional_creators"], json!([bob.id]));
    let levels = content(&state, "m.room.power_levels");
    assert!(levels["users"].as_object().is_none_or(serde_json::Map::is_empty), "{levels}");
}

async fn initial_state_wins_over_the_preset_and_name_and_topic_over_both(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let state = |kind: &str, content: Value| json!({"type": kind, "content": content});
    let options = json!({
        "preset": "public_chat", "name": "By option",
        "initial_state": [
            state("m.room.join_rules", json!({"join_rule": "knock"})),
            state("m.room.history_visibility", json!({"history_visibility": "joined"})),
            state("m.room.name", json!({"name": "By state"})),
            state("m.room.encryption", json!({"algorithm": "m.megolm.v1.aes-sha2"})),
        ],
    });
    let (room, found) = create(&alice, options).await;
    assert_eq!(content(&found, "m.room.join_rules")["join_rule"], "knock");
    assert_eq!(content(&found, "m.room.history_visibility")["history_visibility"], "joined");
    assert_eq!(content(&found, "m.room.name")["name"], "By option");
    assert_eq!(content(&found, "m.room.encryption")["algorithm"], "m.megolm.v1.aes-sha2");
    let history = alice.history(&room, None, 50).await;
    let rules = history.iter().filter(|event| event["type"] == "m.room.join_rules").count();
    assert_eq!(rules, 1, "what is overridden is not sent first");
}

async fn a_topic_has_its_text_in_both_forms(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (_, state) = create(&alice, json!({"topic": "On cats"})).await;
    let topic = content(&state, "m.room.topic");
    assert_eq!(topic["topic"], "On cats");
    let text = &topic["m.topic"]["m.text"][0];
    assert_eq!(text["body"], "On cats");
    assert!(text["mimetype"].is_null() || text["mimetype"] == "text/plain", "{topic}");
}

async fn power_levels_can_be_overridden_key_by_key(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let overridden = json!({"events_default": 7, "events": {"m.room.name": 3}, "invite": 42});
    let options = json!({"power_level_content_override": overridden, "room_version": "11"});
    let (_, state) = create(&alice, options).await;
    let levels = content(&state, "m.room.power_levels");
    assert_eq!((&levels["events_default"], &levels["invite"]), (&json!(7), &json!(42)));
    assert_eq!(levels["events"], json!({"m.room.name": 3}), "a key is replaced as a whole");
    assert_eq!(levels["users"], json!({&alice.id: 100}), "the others stay");
}

async fn levels_that_forbid_the_creator_to_go_on_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let overridden = json!({"users": {&alice.id: 10}, "state_default": 50});
    let options =
        json!({"power_level_content_override": overridden, "name": "Never set", "room_version": "11"});
    let reply = alice.post("/createRoom", &options).await;
    reply.fails(400, "M_INVALID_ROOM_STATE");
    assert_eq!(alice.get("/joined_rooms").await.ok(), json!({"joined_rooms": []}));
}

async fn creation_content_is_kept_but_for_what_the_server_sets(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let extra = json!({
        "m.federate": false, "type": "m.space", "org.example.more": [1],
        "creator": "@other:hearth.test", "room_version": "3",
    });
    let (_, state) = create(&alice, json!({"creation_content": extra, "room_version": "10"})).await;
    let found = content(&state, "m.room.create");
    let wanted = json!({
        "m.federate": false, "type": "m.space", "org.example.more": [1],
        "creator": alice.id, "room_version": "10",
    });
    assert_eq!(found, &wanted);
}

async fn a_room_can_be_made_in_every_version(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for number in 1..=12 {
        let options =
            json!({"room_version": number.to_string(), "preset": "public_chat", "name": "Versioned"});
        let (room, state) = create(&alice, options).await;
        let create = find(&state, "m.room.create", "").unwrap();
        assert_eq!(create["sender"], alice.id);
        assert_eq!(create["content"]["creator"].is_string(), number < 11, "{create}");
        assert_eq!(room.contains(':'), number < 12, "{room}");
        assert_eq!(event_id(create).contains(':'), number < 3, "{create}");
        bob.join(&room).await.ok();
        bob.say(&room, "hello").await;
        let last = alice.history(&room, None, 50).await.pop().unwrap();
        assert_eq!(
            (&last["content"]["body"], &last["sender"]),
            (&json!("hello"), &json!(bob.id)),
            "{number}"
        );
    }
}

async fn an_unknown_version_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for version in ["0", "13", "nonsense", "org.example.unknown"] {
        let reply = alice.post("/createRoom", &json!({"room_version": version})).await;
        reply.fails(400, "M_UNSUPPORTED_ROOM_VERSION");
    }
}

async fn in_version_12_the_creator_stands_above_all_levels(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let options = json!({"room_version": "12", "preset": "public_chat"});
    let (room, state) = create(&alice, options).await;
    let create = find(&state, "m.room.create", "").unwrap();
    assert_eq!(room[1..], event_id(create)[1..], "the room is named by its first event");
    let mut levels = content(&state, "m.room.power_levels").clone();
    let tombstone = levels["events"]["m.room.tombstone"].as_i64().unwrap();
    assert!(tombstone > levels["state_default"].as_i64().unwrap_or(50), "{levels}");
    bob.join(&room).await.ok();
    levels["users"] = json!({&bob.id: 1_000_000, &alice.id: 100});
    alice.set(&room, "m.room.power_levels", "", &levels).await.fails_with_one_of(&[
        (403, "M_FORBIDDEN"),
        (400, "M_BAD_JSON"),
        (400, "M_INVALID_PARAM"),
    ]);
    levels["users"] = json!({&bob.id: 1_000_000});
    alice.set(&room, "m.room.power_levels", "", &levels).await.ok();
    bob.kick(&room, &alice).await.fails(403, "M_FORBIDDEN");
    alice.kick(&room, &bob).await.ok();
}

async fn in_version_12_there_may_be_more_creators(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let extra = json!({"additional_creators": [bob.id]});
    let options = json!({"room_version": "12", "preset": "public_chat", "creation_content": extra});
    let room = alice.create_room(options).await;
    bob.join(&room).await.ok();
    bob.set(&room, "m.room.tombstone", "", &json!({"body": "b", "replacement_room": "!x:y"})).await.ok();
    alice.kick(&room, &bob).await.fails(403, "M_FORBIDDEN");
}

async fn additional_creators_are_user_ids(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for creators in [json!(["bob"]), json!("@bob:hearth.test"), json!([1]), json!(["@:"])] {
        let options = json!({"room_version": "12", "creation_content": {"additional_creators": creators}});
        let reply = alice.post("/createRoom", &options).await;
        reply.fails_with_one_of(&[
            (400, "M_BAD_JSON"),
            (400, "M_INVALID_PARAM"),
            (400, "M_INVALID_ROOM_STATE"),
        ]);
    }
}

async fn before_version_12_the_creator_is_in_the_power_levels(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (_, state) = create(&alice, json!({"room_version": "11"})).await;
    let levels = content(&state, "m.room.power_levels");
    assert_eq!(levels["users"], json!({&alice.id: 100}));
}

async fn those_invited_get_an_invite_that_says_whether_it_is_direct(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for direct in [true, false] {
        let (room, state) = create(&alice, json!({"invite": [bob.id], "is_direct": direct})).await;
        let invite = find(&state, "m.room.member", &bob.id).unwrap();
        assert_eq!(invite["content"]["membership"], "invite");
        assert_eq!(invite["content"]["is_direct"] == true, direct, "{invite}");
        let own = find(&state, "m.room.member", &alice.id).unwrap();
        assert_eq!(own["content"]["is_direct"], Value::Null, "only the invites say so");
        let sync = bob.sync().await;
        assert!(sync.invited(&room)["invite_state"]["events"].is_array(), "{}", sync.body);
    }
}

async fn an_alias_is_made_and_becomes_the_canonical_one(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let name = fresh("alias");
    let (room, state) = create(&alice, json!({"room_alias_name": name})).await;
    let alias = format!("#{name}:{}", alice.server());
    assert_eq!(content(&state, "m.room.canonical_alias")["alias"], alias.as_str());
    let found = hearth.get(&format!("/directory/room/{}", enc(&alias))).await.ok();
    assert_eq!((&found["room_id"], &found["servers"]), (&json!(room), &json!([alice.server()])));
}

async fn a_taken_alias_makes_no_room(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let name = fresh("alias");
    let room = alice.create_room(json!({"room_alias_name": name})).await;
    let reply = alice.post("/createRoom", &json!({"room_alias_name": name})).await;
    reply.fails(400, "M_ROOM_IN_USE");
    assert_eq!(alice.get("/joined_rooms").await.ok(), json!({"joined_rooms": [room]}));
}

async fn a_public_room_is_in_the_directory(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for visibility in ["public", "private"] {
        let room = alice.create_room(json!({"visibility": visibility})).await;
        let listed = hearth.get(&format!("/directory/list/room/{room}")).await.ok();
        assert_eq!(listed, json!({"visibility": visibility}));
    }
}

async fn bad_options_make_no_room(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for options in [
        json!({"preset": "org.example.unknown"}),
        json!({"visibility": "sometimes"}),
        json!({"room_alias_name": "has:colon"}),
        json!({"room_alias_name": "#sigil:hearth.test"}),
        json!({"room_alias_name": "x".repeat(256)}),
        json!({"invite": ["not-a-user-id"]}),
        json!({"power_level_content_override": {"users": {"not-a-user-id": 1}}}),
        json!({"power_level_content_override": {"ban": "many"}}),
        json!({"initial_state": [{"type": "m.room.power_levels", "content": {"users": 1}}]}),
        json!({"initial_state": [{"type": "x".repeat(256), "content": {}}]}),
    ] {
        let reply = alice.post("/createRoom", &options).unchecked().await;
        assert_eq!(reply.status, 400, "{options}: {}", reply.text);
        assert!(!reply.errcode().is_empty());
    }
    assert_eq!(alice.get("/joined_rooms").await.ok(), json!({"joined_rooms": []}));
}

async fn an_oversized_event_among_the_options_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let reply = alice.post("/createRoom", &json!({"topic": "x".repeat(70_000)})).await;
    reply.fails_with_one_of(&[(413, "M_TOO_LARGE"), (400, "M_INVALID_ROOM_STATE")]);
    assert_eq!(alice.get("/joined_rooms").await.ok(), json!({"joined_rooms": []}));
}
