//! Coming into rooms, leaving them, and being made to.

use serde_json::{Value, json};

use crate::harness::rooms::find;
use crate::harness::{Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        anyone_may_join_a_public_room,
        nobody_joins_a_private_room_uninvited,
        one_who_is_invited_may_join,
        joining_again_changes_nothing,
        joining_by_alias_or_by_id_gives_the_rooms_id,
        joining_what_does_not_exist_is_not_found,
        a_reason_is_kept,
        an_invitation_by_an_outsider_or_to_a_member_is_refused,
        an_invitation_needs_power,
        an_invitation_twice_is_one,
        an_invitation_is_declined_by_leaving,
        leaving_what_one_is_not_in_is_refused,
        a_kick_needs_power_and_more_of_it_than_the_kicked,
        a_kick_takes_back_an_invitation,
        kicking_one_who_is_not_there_is_refused,
        the_banned_cannot_come_back_until_the_ban_is_lifted,
        a_ban_works_on_those_who_never_were_there,
        only_the_banned_can_be_unbanned,
        forgetting_is_for_those_who_left,
        the_joined_rooms_are_those_one_is_in,
        one_who_knocks_can_be_let_in,
        one_who_knocks_can_be_turned_away_or_give_up,
        knocking_works_only_where_the_rule_says_so,
        a_member_of_the_other_room_joins_a_restricted_one,
        one_may_speak_after_coming_back,
    ]
}

/// A user's membership as the room has it; empty where it has none.
async fn membership(witness: &User, room: &str, user: &User) -> String {
    let state = witness.full_state(room).await;
    let member = find(&state, "m.room.member", &user.id);
    member.map_or("", |event| event["content"]["membership"].as_str().unwrap()).to_owned()
}

async fn anyone_may_join_a_public_room(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    assert_eq!(bob.join(&room).await.ok(), json!({"room_id": room}));
    assert_eq!(membership(&alice, &room, &bob).await, "join");
    let carol = hearth.user("carol").await;
    assert_eq!(carol.post(&format!("/rooms/{room}/join"), &json!({})).await.ok(), json!({"room_id": room}));
}

async fn nobody_joins_a_private_room_uninvited(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "private_chat"})).await;
    bob.join(&room).await.fails(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &bob).await, "");
}

async fn one_who_is_invited_may_join(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "private_chat"})).await;
    assert_eq!(alice.invite(&room, &bob).await.ok(), json!({}));
    assert_eq!(membership(&alice, &room, &bob).await, "invite");
    bob.join(&room).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "join");
}

async fn joining_again_changes_nothing(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let before = alice.history(&room, None, 100).await.len();
    assert_eq!(bob.join(&room).await.ok(), json!({"room_id": room}));
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
}

async fn joining_by_alias_or_by_id_gives_the_rooms_id(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let name = crate::harness::hearth::fresh("way-in");
    let room = alice.create_room(json!({"preset": "public_chat", "room_alias_name": name})).await;
    let alias = format!("#{name}:{}", alice.server());
    assert_eq!(bob.join(&alias).await.ok(), json!({"room_id": room}));
}

async fn joining_what_does_not_exist_is_not_found(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let nowhere = format!("#nowhere:{}", alice.server());
    alice.join(&nowhere).await.fails(404, "M_NOT_FOUND");
    let reply = alice.join("!nowhere:hearth.test").await;
    reply.fails_with_one_of(&[(404, "M_NOT_FOUND"), (404, "M_UNKNOWN"), (403, "M_FORBIDDEN")]);
    let reply = alice.post("/join/nonsense", &json!({})).unchecked().await;
    reply.fails(400, "M_INVALID_PARAM");
}

async fn a_reason_is_kept(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    let because = |why: &str| json!({"reason": why});
    let about = |why: &str| json!({"user_id": bob.id, "reason": why});
    for (user, verb, body, why) in [
        (&alice, "invite", about("welcome"), "welcome"),
        (&bob, "join", because("thanks"), "thanks"),
        (&bob, "leave", because("bye"), "bye"),
        (&alice, "invite", about("come back"), "come back"),
        (&alice, "kick", about("changed my mind"), "changed my mind"),
        (&alice, "ban", about("stay out"), "stay out"),
        (&alice, "unban", about("sorry"), "sorry"),
    ] {
        user.post(&format!("/rooms/{room}/{verb}"), &body).await.ok();
        let member = alice.state(&room, "m.room.member", &bob.id).await.ok();
        assert_eq!(member["reason"], why, "{verb}");
    }
}

async fn an_invitation_by_an_outsider_or_to_a_member_is_refused(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    carol.invite(&room, &alice).await.fails(403, "M_FORBIDDEN");
    alice.invite(&room, &bob).await.fails(403, "M_FORBIDDEN");
    bob.leave(&room).await.ok();
    bob.invite(&room, &carol).await.fails(403, "M_FORBIDDEN");
    alice.ban(&room, &bob).await.ok();
    alice.invite(&room, &bob).await.fails(403, "M_FORBIDDEN");
    let bad = json!({"user_id": "nonsense"});
    let reply = alice.post(&format!("/rooms/{room}/invite"), &bad).unchecked().await;
    reply.fails_with_one_of(&[(400, "M_INVALID_PARAM"), (400, "M_BAD_JSON")]);
}

async fn an_invitation_needs_power(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let levels = json!({"invite": 50});
    let options = json!({"preset": "public_chat", "power_level_content_override": levels});
    let room = alice.create_room(options).await;
    bob.join(&room).await.ok();
    bob.invite(&room, &carol).await.fails(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &carol).await, "");
}

async fn an_invitation_twice_is_one(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    alice.invite(&room, &bob).await.ok();
    let before = alice.history(&room, None, 100).await.len();
    alice.invite(&room, &bob).await.ok();
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
}

async fn an_invitation_is_declined_by_leaving(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"invite": [bob.id]})).await;
    bob.leave(&room).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "leave");
    bob.join(&room).await.fails(403, "M_FORBIDDEN");
}

async fn leaving_what_one_is_not_in_is_refused(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    let before = alice.history(&room, None, 100).await.len();
    let reply = bob.leave(&room).await;
    reply.fails_with_one_of(&[(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")]);
    assert_eq!(alice.history(&room, None, 100).await.len(), before);
}

async fn a_kick_needs_power_and_more_of_it_than_the_kicked(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    bob.kick(&room, &carol).await.fails(403, "M_FORBIDDEN");
    bob.ban(&room, &carol).await.fails(403, "M_FORBIDDEN");
    let mut levels = alice.state(&room, "m.room.power_levels", "").await.ok();
    levels["users"][&bob.id] = json!(50);
    levels["users"][&carol.id] = json!(50);
    alice.set(&room, "m.room.power_levels", "", &levels).await.ok();
    bob.kick(&room, &carol).await.fails(403, "M_FORBIDDEN");
    alice.kick(&room, &carol).await.ok();
    assert_eq!(membership(&alice, &room, &carol).await, "leave");
    carol.join(&room).await.ok();
}

async fn a_kick_takes_back_an_invitation(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"invite": [bob.id]})).await;
    let since = bob.sync().await.next_batch().to_owned();
    alice.kick(&room, &bob).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "leave");
    bob.join(&room).await.fails(403, "M_FORBIDDEN");
    bob.sync_until(&since, |sync| !sync.left(&room).is_null()).await;
    assert_eq!(bob.sync().await.invited(&room), &Value::Null);
}

async fn kicking_one_who_is_not_there_is_refused(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    alice.kick(&room, &bob).await.fails(403, "M_FORBIDDEN");
    assert_eq!(membership(&alice, &room, &bob).await, "");
}

async fn the_banned_cannot_come_back_until_the_ban_is_lifted(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.ban(&room, &bob).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "ban");
    bob.join(&room).await.fails(403, "M_FORBIDDEN");
    bob.send(&room, "m.room.message", &json!({"body": "x"})).await.fails(403, "M_FORBIDDEN");
    alice.unban(&room, &bob).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "leave");
    bob.join(&room).await.ok();
}

async fn a_ban_works_on_those_who_never_were_there(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    alice.ban(&room, &bob).await.ok();
    bob.join(&room).await.fails(403, "M_FORBIDDEN");
}

async fn only_the_banned_can_be_unbanned(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let refused = [(403, "M_FORBIDDEN"), (403, "M_BAD_STATE"), (400, "M_BAD_STATE")];
    alice.unban(&room, &bob).await.fails_with_one_of(&refused);
    assert_eq!(membership(&alice, &room, &bob).await, "join");
}

async fn forgetting_is_for_those_who_left(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let reply = bob.forget(&room).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    bob.leave(&room).await.ok();
    bob.messages(&room, "dir=b").await.ok();
    assert_eq!(bob.forget(&room).await.ok(), json!({}));
    bob.messages(&room, "dir=b").await.fails(403, "M_FORBIDDEN");
    let with_left = json!({"room": {"include_leave": true}});
    assert_eq!(bob.sync_filtered(&with_left, "timeout=0").await.left(&room), &Value::Null);
    bob.join(&room).await.ok();
    bob.messages(&room, "dir=b").await.ok();
}

async fn the_joined_rooms_are_those_one_is_in(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    assert_eq!(bob.get("/joined_rooms").await.ok(), json!({"joined_rooms": []}));
    let (one, two) = (alice.room_with(&[&bob]).await, alice.room_with(&[&bob]).await);
    alice.create_room(json!({"invite": [bob.id]})).await;
    bob.leave(&one).await.ok();
    assert_eq!(bob.get("/joined_rooms").await.ok(), json!({"joined_rooms": [two]}));
}

async fn knocking_room(alice: &User) -> String {
    let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
    alice.create_room(json!({"initial_state": [rule]})).await
}

async fn one_who_knocks_can_be_let_in(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = knocking_room(&alice).await;
    bob.join(&room).await.fails(403, "M_FORBIDDEN");
    let knock = bob.post(&format!("/knock/{}", enc(&room)), &json!({"reason": "let me in"})).await.ok();
    assert_eq!(knock, json!({"room_id": room}));
    let member = alice.state(&room, "m.room.member", &bob.id).await.ok();
    assert_eq!((&member["membership"], &member["reason"]), (&json!("knock"), &json!("let me in")));
    let sync = bob.sync().await;
    assert!(sync.knocked(&room)["knock_state"]["events"].is_array(), "{}", sync.body);
    alice.invite(&room, &bob).await.ok();
    bob.join(&room).await.ok();
    assert_eq!(membership(&alice, &room, &bob).await, "join");
}

async fn one_who_knocks_can_be_turned_away_or_give_up(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = knocking_room(&alice).await;
    bob.knock(&room).await.ok();
    let since = bob.sync().await.next_batch().to_owned();
    alice.kick(&room, &bob).await.ok();
    bob.sync_until(&since, |sync| !sync.left(&room).is_null()).await;
    bob.knock(&room).await.ok();
    let since = bob.sync().await.next_batch().to_owned();
    bob.leave(&room).await.ok();
    assert!(!bob.sync_since(&since).await.left(&room).is_null());
    assert_eq!(membership(&alice, &room, &bob).await, "leave");
    alice.ban(&room, &bob).await.ok();
    bob.knock(&room).await.fails(403, "M_FORBIDDEN");
}

async fn knocking_works_only_where_the_rule_says_so(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let private = alice.create_room(json!({"preset": "private_chat"})).await;
    bob.knock(&private).await.fails(403, "M_FORBIDDEN");
    let public = alice.create_room(json!({"preset": "public_chat"})).await;
    bob.knock(&public).await.fails(403, "M_FORBIDDEN");
    let room = knocking_room(&alice).await;
    alice.knock(&room).await.fails(403, "M_FORBIDDEN");
    // Before version 7 there was no knocking, and before version 10 none beside a restricted rule.
    for (version, rule) in [("6", "knock"), ("9", "knock_restricted")] {
        let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": rule, "allow": []}});
        let room = alice.create_room(json!({"room_version": version, "initial_state": [rule]})).await;
        bob.knock(&room).await.fails(403, "M_FORBIDDEN");
    }
    let rule =
        json!({"type": "m.room.join_rules", "content": {"join_rule": "knock_restricted", "allow": []}});
    let room = alice.create_room(json!({"initial_state": [rule]})).await;
    bob.knock(&room).await.ok();
}

async fn a_member_of_the_other_room_joins_a_restricted_one(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let club = alice.room_with(&[&bob]).await;
    let allow = json!([{"type": "org.example.unknown"}, {"type": "m.room_membership", "room_id": club}]);
    for version in ["8", "9", "10", "11", "12"] {
        let rule = json!({"join_rule": "restricted", "allow": allow});
        let state = json!([{"type": "m.room.join_rules", "content": rule}]);
        let room = alice.create_room(json!({"initial_state": state, "room_version": version})).await;
        carol.join(&room).await.fails(403, "M_FORBIDDEN");
        bob.join(&room).await.ok();
        let member = alice.state(&room, "m.room.member", &bob.id).await.ok();
        assert_eq!(member["join_authorised_via_users_server"], alice.id, "{version}");
        alice.invite(&room, &carol).await.ok();
        carol.join(&room).await.ok();
        let member = alice.state(&room, "m.room.member", &carol.id).await.ok();
        assert_eq!(member["join_authorised_via_users_server"], Value::Null, "{version}");
    }
}

async fn one_may_speak_after_coming_back(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    for _ in 0..3 {
        bob.say(&room, "here").await;
        bob.leave(&room).await.ok();
        bob.send(&room, "m.room.message", &json!({"body": "gone"})).await.fails(403, "M_FORBIDDEN");
        bob.join(&room).await.ok();
    }
    bob.say(&room, "back").await;
}
