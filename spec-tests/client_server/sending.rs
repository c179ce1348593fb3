//! Sending messages and state: transaction ids, permissions, limits.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::rooms::{event_id, ids, text};
use crate::harness::{Hearth, Test, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_message_is_stored_as_it_was_sent,
        a_repeated_transaction_is_one_event,
        concurrent_repeats_are_one_event,
        transaction_ids_belong_to_a_device_a_path_and_an_endpoint,
        the_transaction_id_is_told_to_the_sending_device_only,
        one_who_is_not_in_the_room_cannot_send,
        sending_needs_power,
        state_is_set_and_read_by_type_and_key,
        the_empty_state_key_may_be_left_out,
        state_that_is_set_again_to_the_same_is_the_same_event,
        state_can_be_read_as_an_event,
        setting_state_needs_power,
        a_state_event_may_take_no_power,
        a_state_key_that_is_a_user_id_belongs_to_that_user,
        keys_and_types_may_hold_any_character,
        ones_own_member_event_gets_name_and_picture,
        a_member_event_by_state_follows_the_rules_of_membership,
        nobody_lets_themselves_in_in_anothers_name,
        an_alias_in_the_canonical_alias_must_exist_and_point_here,
        power_levels_are_checked_for_their_form,
        encryption_is_set_like_any_state,
        an_event_for_later_is_not_sent_at_once,
        numbers_that_have_no_canonical_form_are_refused,
        an_event_has_at_most_64_kib,
        a_type_and_a_state_key_have_at_most_255_bytes,
        a_transaction_id_has_at_most_255_bytes,
        many_senders_at_once_lose_nothing,
    ]
}

async fn a_message_is_stored_as_it_was_sent(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let content = json!({"msgtype": "m.text", "body": "grüße 🐈\n\"quoted\" \\ \u{7f}", "org.example": {"n": [0, -1, null, true]}});
    let id = event_id(&alice.send(&room, "m.room.message", &content).await.ok());
    let event = alice.event(&room, &id).await.ok();
    let found = (&event["content"], &event["sender"], &event["type"], &event["room_id"], &event["event_id"]);
    assert_eq!(found, (&content, &json!(alice.id), &json!("m.room.message"), &json!(room), &json!(id)));
    assert!(event["origin_server_ts"].as_i64().unwrap() > 1_600_000_000_000, "{event}");
    assert_eq!(event["state_key"], Value::Null);
    assert!(event["unsigned"]["age"].is_i64(), "{event}");
}

async fn a_transaction_id_has_at_most_255_bytes(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = |length| format!("/rooms/{room}/send/m.room.message/{}", "t".repeat(length));
    alice.put(&path(255), &text("fits")).await.ok();
    for length in [256, 9000] {
        alice.put(&path(length), &text("does not")).await.fails(400, "M_INVALID_PARAM");
    }
}

async fn a_repeated_transaction_is_one_event(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/send/m.room.message/{}", fresh("txn"));
    let first = alice.put(&path, &text("once")).await.ok();
    assert_eq!(alice.put(&path, &text("once")).await.ok(), first);
    assert_eq!(alice.put(&path, &text("or other words")).await.ok(), first);
    let id = event_id(&first);
    let redact = format!("/rooms/{room}/redact/{}/{}", enc(&id), fresh("txn"));
    let redaction = alice.put(&redact, &json!({})).await.ok();
    assert_eq!(alice.put(&redact, &json!({})).await.ok(), redaction);
    let history = alice.history(&room, None, 50).await;
    assert_eq!(ids(&history[history.len() - 2..]), [id, event_id(&redaction)]);
}

async fn concurrent_repeats_are_one_event(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/send/m.room.message/{}", fresh("txn"));
    let calls = (0..10).map(|_| tokio::spawn(alice.put(&path, &text("once")).send()));
    let mut replies = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        replies.push(event_id(&call.await.unwrap().unwrap().ok()));
    }
    replies.dedup();
    assert_eq!(replies.len(), 1);
    let history = alice.history(&room, None, 50).await;
    assert_eq!(history.iter().filter(|event| event["type"] == "m.room.message").count(), 1);
}

async fn transaction_ids_belong_to_a_device_a_path_and_an_endpoint(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let (one, two) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    let txn = fresh("txn");
    let mut sent = Vec::new();
    for (user, path) in [
        (&alice, format!("/rooms/{one}/send/m.room.message/{txn}")),
        (&phone, format!("/rooms/{one}/send/m.room.message/{txn}")),
        (&alice, format!("/rooms/{two}/send/m.room.message/{txn}")),
        (&alice, format!("/rooms/{one}/send/org.example.other/{txn}")),
    ] {
        sent.push(event_id(&user.put(&path, &text("hello")).await.ok()));
    }
    let target = enc(&sent[0]);
    sent.push(event_id(&alice.put(&format!("/rooms/{one}/redact/{target}/{txn}"), &json!({})).await.ok()));
    let count = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), count, "each is an event of its own");
}

async fn the_transaction_id_is_told_to_the_sending_device_only(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let phone = hearth.login(&alice).await;
    let room = alice.room_with(&[&bob]).await;
    let txn = fresh("txn");
    let path = format!("/rooms/{room}/send/m.room.message/{txn}");
    let id = event_id(&alice.put(&path, &text("hello")).await.ok());
    for (user, told) in [(&alice, json!(txn)), (&phone, Value::Null), (&bob, Value::Null)] {
        let event = user.event(&room, &id).await.ok();
        assert_eq!(event["unsigned"]["transaction_id"], told, "by /event");
        let page = user.messages(&room, "dir=b&limit=1").await.ok();
        assert_eq!(page["chunk"][0]["unsigned"]["transaction_id"], told, "by /messages");
        let context = user.get(&format!("/rooms/{room}/context/{}", enc(&id))).await.ok();
        assert_eq!(context["event"]["unsigned"]["transaction_id"], told, "by /context");
        let sync = user.sync().await;
        let last = sync.timeline(&room).last().unwrap();
        assert_eq!((&last["event_id"], &last["unsigned"]["transaction_id"]), (&json!(id), &told), "by /sync");
    }
}

async fn one_who_is_not_in_the_room_cannot_send(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    let denied = [(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")];
    for room in [room.as_str(), "!nowhere:hearth.test"] {
        bob.send(room, "m.room.message", &text("hello")).await.fails_with_one_of(&denied);
        bob.set(room, "m.room.topic", "", &json!({"topic": "x"})).await.fails_with_one_of(&denied);
        bob.redact(room, "$event").await.fails_with_one_of(&denied);
    }
    alice.invite(&room, &bob).await.ok();
    bob.send(&room, "m.room.message", &text("hello")).await.fails(403, "M_FORBIDDEN");
}

async fn sending_needs_power(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let levels = json!({"events_default": 10, "events": {"org.example.free": 0}});
    let options = json!({"preset": "public_chat", "power_level_content_override": levels});
    let room = alice.create_room(options).await;
    bob.join(&room).await.ok();
    bob.send(&room, "m.room.message", &text("hello")).await.fails(403, "M_FORBIDDEN");
    bob.send(&room, "org.example.free", &json!({})).await.ok();
    alice.send(&room, "m.room.message", &text("hello")).await.ok();
}

async fn state_is_set_and_read_by_type_and_key(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let set = alice.set(&room, "org.example.s", "one", &json!({"v": 1})).await.ok();
    alice.set(&room, "org.example.s", "two", &json!({"v": 2})).await.ok();
    assert_eq!(alice.state(&room, "org.example.s", "one").await.ok(), json!({"v": 1}));
    assert_eq!(alice.state(&room, "org.example.s", "two").await.ok(), json!({"v": 2}));
    alice.state(&room, "org.example.s", "three").await.fails(404, "M_NOT_FOUND");
    alice.state(&room, "org.example.s", "").await.fails(404, "M_NOT_FOUND");
    alice.set(&room, "org.example.s", "one", &json!({"v": 3})).await.ok();
    assert_eq!(alice.state(&room, "org.example.s", "one").await.ok(), json!({"v": 3}));
    let old = alice.event(&room, &event_id(&set)).await.ok();
    assert_eq!((&old["content"], &old["state_key"]), (&json!({"v": 1}), &json!("one")));
}

async fn the_empty_state_key_may_be_left_out(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/state/m.room.topic");
    alice.put(&path, &json!({"topic": "one"})).await.ok();
    assert_eq!(alice.get(&format!("{path}/")).await.ok()["topic"], "one");
    alice.put(&format!("{path}/"), &json!({"topic": "two"})).await.ok();
    assert_eq!(alice.get(&path).await.ok()["topic"], "two");
}

async fn state_that_is_set_again_to_the_same_is_the_same_event(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let content = json!({"topic": "same", "z": 1, "a": 2});
    let first = alice.set(&room, "m.room.topic", "", &content).await.ok();
    assert_eq!(alice.set(&room, "m.room.topic", "", &content).await.ok(), first);
}

async fn state_can_be_read_as_an_event(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "Named"})).await;
    let event = alice.get(&format!("/rooms/{room}/state/m.room.name?format=event")).unchecked().await.ok();
    assert_eq!((&event["content"]["name"], &event["sender"]), (&json!("Named"), &json!(alice.id)));
    let content = alice.get(&format!("/rooms/{room}/state/m.room.name?format=content")).await.ok();
    assert_eq!(content, json!({"name": "Named"}));
}

async fn setting_state_needs_power(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    bob.set(&room, "m.room.topic", "", &json!({"topic": "mine"})).await.fails(403, "M_FORBIDDEN");
    let mut levels = alice.state(&room, "m.room.power_levels", "").await.ok();
    levels["events"]["m.room.topic"] = json!(0);
    alice.set(&room, "m.room.power_levels", "", &levels).await.ok();
    bob.set(&room, "m.room.topic", "", &json!({"topic": "mine"})).await.ok();
    bob.set(&room, "m.room.power_levels", "", &levels).await.fails(403, "M_FORBIDDEN");
}

async fn a_state_key_that_is_a_user_id_belongs_to_that_user(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let levels = json!({"state_default": 0});
    let options = json!({"preset": "public_chat", "power_level_content_override": levels});
    let room = alice.create_room(options).await;
    bob.join(&room).await.ok();
    bob.set(&room, "org.example.mine", &alice.id, &json!({})).await.fails(403, "M_FORBIDDEN");
    bob.set(&room, "org.example.mine", &bob.id, &json!({})).await.ok();
}

async fn keys_and_types_may_hold_any_character(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for key in ["a/b", "a%2Fb", " ", "🐈", "?#&=+", ".", "a b"] {
        alice.set(&room, "org.example.odd", key, &json!({"key": key})).await.ok();
        assert_eq!(alice.state(&room, "org.example.odd", key).await.ok(), json!({"key": key}));
    }
    let kind = "org.example/🐈 %";
    let id = event_id(&alice.send(&room, &enc(kind), &json!({})).await.ok());
    assert_eq!(alice.event(&room, &id).await.ok()["type"], kind);
}

async fn ones_own_member_event_gets_name_and_picture(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.put(&format!("/profile/{}/displayname", alice.id), &json!({"displayname": "Alice A"})).await.ok();
    let room = alice.create_room(json!({})).await;
    let member = alice.state(&room, "m.room.member", &alice.id).await.ok();
    assert_eq!((&member["displayname"], &member["membership"]), (&json!("Alice A"), &json!("join")));
    let reason = json!({"membership": "join", "reason": "still here"});
    alice.set(&room, "m.room.member", &alice.id, &reason).await.ok();
    let member = alice.state(&room, "m.room.member", &alice.id).await.ok();
    assert_eq!((&member["displayname"], &member["reason"]), (&json!("Alice A"), &json!("still here")));
}

async fn a_member_event_by_state_follows_the_rules_of_membership(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    let membership = |to: &str| json!({"membership": to});
    bob.set(&room, "m.room.member", &bob.id, &membership("join")).await.fails(403, "M_FORBIDDEN");
    alice.set(&room, "m.room.member", &bob.id, &membership("join")).await.fails(403, "M_FORBIDDEN");
    alice.set(&room, "m.room.member", &bob.id, &membership("invite")).await.ok();
    bob.set(&room, "m.room.member", &bob.id, &membership("join")).await.ok();
    assert_eq!(bob.get("/joined_rooms").await.ok(), json!({"joined_rooms": [room]}));
    alice.set(&room, "m.room.member", &bob.id, &membership("leave")).await.ok();
    assert_eq!(bob.get("/joined_rooms").await.ok(), json!({"joined_rooms": []}));
    for content in [json!({}), json!({"membership": "dancing"}), json!({"membership": 1})] {
        let reply = alice.set(&room, "m.room.member", &alice.id, &content).unchecked().await;
        let refused = [(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM"), (403, "M_FORBIDDEN")];
        reply.fails_with_one_of(&refused);
    }
}

async fn an_alias_in_the_canonical_alias_must_exist_and_point_here(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (room, other) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    let alias = format!("#{}:{}", fresh("alias"), alice.server());
    let canonical = json!({"alias": alias});
    alice.set(&room, "m.room.canonical_alias", "", &canonical).await.fails(400, "M_BAD_ALIAS");
    let path = format!("/directory/room/{}", enc(&alias));
    alice.put(&path, &json!({"room_id": other})).await.ok();
    alice.set(&room, "m.room.canonical_alias", "", &canonical).await.fails(400, "M_BAD_ALIAS");
    alice.set(&other, "m.room.canonical_alias", "", &canonical).await.ok();
    let alternatives = json!({"alias": alias, "alt_aliases": [format!("{alias}2")]});
    alice.set(&other, "m.room.canonical_alias", "", &alternatives).await.fails(400, "M_BAD_ALIAS");
    alice.delete(&path).await.ok();
    // What is there already need not exist any more.
    let kept = json!({"alias": alias, "org.example": 1});
    alice.set(&other, "m.room.canonical_alias", "", &kept).await.ok();
    let bad = json!({"alias": "no-alias"});
    let reply = alice.set(&room, "m.room.canonical_alias", "", &bad).unchecked().await;
    reply.fails_with_one_of(&[(400, "M_INVALID_PARAM"), (400, "M_BAD_JSON"), (400, "M_BAD_ALIAS")]);
}

async fn power_levels_are_checked_for_their_form(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"room_version": "11"})).await;
    let good = alice.state(&room, "m.room.power_levels", "").await.ok();
    for (key, value) in [
        ("ban", json!("50")),
        ("ban", json!(1.5)),
        ("users", json!({"nobody": 1})),
        ("users", json!([])),
        ("events", json!({"m.room.name": "50"})),
        ("users_default", json!(null)),
    ] {
        let mut levels = good.clone();
        levels[key] = value;
        let reply = alice.set(&room, "m.room.power_levels", "", &levels).unchecked().await;
        let refused = [(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM"), (403, "M_FORBIDDEN")];
        reply.fails_with_one_of(&refused);
    }
    assert_eq!(alice.state(&room, "m.room.power_levels", "").await.ok(), good);
}

async fn numbers_that_have_no_canonical_form_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let before = alice.history(&room, None, 100).await.len();
    for number in ["1.5", "9007199254740992", "-9007199254740992", "1e400", "12345678901234567890123"] {
        let path = format!("/rooms/{room}/send/org.example.number/{}", fresh("txn"));
        let body = format!(r#"{{"n": {number}}}"#);
        let reply = alice.call("PUT", &path).bytes(body).await;
        reply.fails_with_one_of(&[(400, "M_BAD_JSON"), (400, "M_NOT_JSON")]);
    }
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
    let body = r#"{"n": 9007199254740991, "m": -9007199254740991, "z": 0}"#;
    let path = format!("/rooms/{room}/send/org.example.number/{}", fresh("txn"));
    alice.call("PUT", &path).bytes(body).await.ok();
}

async fn an_event_has_at_most_64_kib(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.send(&room, "m.room.message", &text(&"x".repeat(60_000))).await.ok();
    let before = alice.history(&room, None, 100).await.len();
    for length in [65_536, 70_000, 500_000] {
        let reply = alice.send(&room, "m.room.message", &text(&"x".repeat(length))).await;
        reply.fails(413, "M_TOO_LARGE");
        let topic = json!({"topic": "x".repeat(length)});
        alice.set(&room, "m.room.topic", "", &topic).await.fails(413, "M_TOO_LARGE");
    }
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
}

async fn a_type_and_a_state_key_have_at_most_255_bytes(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let (fits, long, wide) = ("x".repeat(255), "x".repeat(256), "ü".repeat(128));
    alice.send(&room, &fits, &json!({})).await.ok();
    alice.set(&room, &fits, &fits, &json!({})).await.ok();
    for name in [&long, &wide] {
        let refused = [(400, "M_INVALID_PARAM"), (400, "M_BAD_JSON"), (400, "M_TOO_LARGE")];
        alice.send(&room, &enc(name), &json!({})).await.fails_with_one_of(&refused);
        alice.set(&room, &enc(name), "", &json!({})).await.fails_with_one_of(&refused);
        alice.set(&room, "org.example.s", name, &json!({})).await.fails_with_one_of(&refused);
    }
}

async fn many_senders_at_once_lose_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(hearth.user("sender").await);
    }
    let room = alice.room_with(&others.iter().collect::<Vec<_>>()).await;
    let before = alice.history(&room, None, 100).await.len();
    let mut senders = Vec::new();
    for user in others {
        let room = room.clone();
        senders.push(tokio::spawn(async move { user.chatter(&room, &user.id, 10).await }));
    }
    let mut sent = Vec::new();
    for sender in senders {
        sent.push(sender.await.unwrap());
    }
    let history = ids(&alice.history(&room, None, 13).await);
    let mut all: Vec<String> = sent.concat();
    let mut found = history[before..].to_vec();
    for one in sent {
        let order: Vec<&String> = found.iter().filter(|id| one.contains(id)).collect();
        assert_eq!(order, one.iter().collect::<Vec<_>>(), "each sender's messages stay in order");
    }
    all.sort();
    found.sort();
    assert_eq!(found, all);
}

async fn nobody_lets_themselves_in_in_anothers_name(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let club = alice.create_room(json!({})).await;
    let allow = json!([{"type": "m.room_membership", "room_id": club}]);
    let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}});
    let room = alice.create_room(json!({"initial_state": [rule]})).await;
    let forged = json!({"membership": "join", "join_authorised_via_users_server": alice.id});
    bob.set(&room, "m.room.member", &bob.id, &forged).await.fails(403, "M_FORBIDDEN");
    bob.set(&room, "m.room.member", &bob.id, &json!({"membership": "join"})).await.fails(403, "M_FORBIDDEN");
    assert_eq!(bob.get("/joined_rooms").await.ok(), json!({"joined_rooms": []}));
    // A member of the club comes in this way too, in the name of whom the server says.
    let carol = hearth.user("carol").await;
    alice.invite(&club, &carol).await.ok();
    carol.join(&club).await.ok();
    let forged = json!({"membership": "join", "join_authorised_via_users_server": bob.id});
    carol.set(&room, "m.room.member", &carol.id, &forged).await.ok();
    let member = alice.state(&room, "m.room.member", &carol.id).await.ok();
    assert_eq!(member["join_authorised_via_users_server"], alice.id);
}

async fn encryption_is_set_like_any_state(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for content in [json!({"algorithm": "m.megolm.v1.aes-sha2"}), json!({})] {
        alice.set(&room, "m.room.encryption", "", &content).await.ok();
        assert_eq!(alice.state(&room, "m.room.encryption", "").await.ok(), content);
        alice.say(&room, "in the clear").await;
    }
}

async fn an_event_for_later_is_not_sent_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let before = alice.history(&room, None, 100).await.len();
    let later = "org.matrix.msc4140.delay=60000";
    let path = format!("/rooms/{room}/send/m.room.message/{}?{later}", fresh("txn"));
    alice.put(&path, &text("later")).await.fails(400, "M_UNRECOGNIZED");
    let path = format!("/rooms/{room}/state/m.room.topic/?{later}");
    alice.put(&path, &json!({"topic": "later"})).await.fails(400, "M_UNRECOGNIZED");
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
}

async fn a_state_event_may_take_no_power(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    // As clients make rooms in which everybody may call.
    let kind = "org.matrix.msc3401.call.member";
    let levels = json!({"events": {kind: 0}});
    let room =
        alice.create_room(json!({"preset": "public_chat", "power_level_content_override": levels})).await;
    bob.join(&room).await.ok();
    bob.set(&room, kind, &bob.id, &json!({"memberships": []})).await.ok();
    bob.set(&room, "m.room.topic", "", &json!({"topic": "mine"})).await.fails(403, "M_FORBIDDEN");
}
