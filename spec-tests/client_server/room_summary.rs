//! Summaries of single rooms.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::{Call, Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_public_room_is_told_to_anyone,
        a_room_is_found_by_its_alias,
        a_closed_room_is_told_to_those_inside_and_invited,
        a_room_that_lets_in_members_of_another_is_told_to_those,
        a_room_that_one_may_knock_at_is_told_to_anyone,
        a_room_that_is_not_told_is_as_unknown_as_none,
    ]
}

fn path(room: &str) -> String {
    format!("/_matrix/client/v1/room_summary/{}", enc(room))
}

fn summary(user: &User, room: &str) -> Call {
    user.get(&path(room))
}

async fn a_public_room_is_told_to_anyone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let options = json!({
        "preset": "public_chat", "name": "Garden", "topic": "Roses", "room_version": "11",
        "creation_content": {"type": "m.space"},
        "initial_state": [
            {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
            {"type": "m.room.avatar", "content": {"url": "mxc://hearth.test/rose"}},
        ],
    });
    let room = alice.create_room(options).await;
    let mut wanted = json!({
        "room_id": room,
        "name": "Garden",
        "topic": "Roses",
        "avatar_url": "mxc://hearth.test/rose",
        "num_joined_members": 1,
        "join_rule": "public",
        "world_readable": false,
        "guest_can_join": false,
        "room_type": "m.space",
        "room_version": "11",
        "encryption": "m.megolm.v1.aes-sha2",
    });
    assert_eq!(hearth.get(&path(&room)).await.ok(), wanted);
    for earlier in ["summary/", "rooms/"] {
        let end = if earlier == "rooms/" { "/summary" } else { "" };
        let path = format!("/_matrix/client/unstable/im.nheko.summary/{earlier}{}{end}", enc(&room));
        assert_eq!(hearth.get(&path).await.ok(), wanted);
    }
    wanted["membership"] = json!("leave");
    assert_eq!(summary(&bob, &room).await.ok(), wanted);
    bob.join(&room).await.ok();
    wanted["membership"] = json!("join");
    wanted["num_joined_members"] = json!(2);
    assert_eq!(summary(&bob, &room).await.ok(), wanted);
}

async fn a_room_is_found_by_its_alias(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let name = fresh("summary");
    let room = alice.create_room(json!({"preset": "public_chat", "room_alias_name": name})).await;
    let alias = format!("#{name}:{}", alice.server());
    let found = hearth.get(&path(&alias)).await.ok();
    assert_eq!((&found["room_id"], &found["canonical_alias"]), (&json!(room), &json!(alias)));
    hearth.get(&path(&format!("#{}:{}", fresh("none"), alice.server()))).await.fails(404, "M_NOT_FOUND");
}

async fn a_closed_room_is_told_to_those_inside_and_invited(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.create_room(json!({"preset": "private_chat"})).await;
    alice.invite(&room, &bob).await.ok();
    assert_eq!(summary(&alice, &room).await.ok()["membership"], "join");
    assert_eq!(summary(&bob, &room).await.ok()["membership"], "invite");
    summary(&carol, &room).await.fails(404, "M_NOT_FOUND");
    hearth.get(&path(&room)).await.fails(404, "M_NOT_FOUND");
    let readable = json!({"history_visibility": "world_readable"});
    alice.set(&room, "m.room.history_visibility", "", &readable).await.ok();
    assert_eq!(summary(&carol, &room).await.ok()["world_readable"], true);
}

async fn a_room_that_lets_in_members_of_another_is_told_to_those(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let other = alice.room_with(&[&bob]).await;
    let room = alice.create_room(json!({"preset": "private_chat"})).await;
    let rule: Value =
        json!({"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": other}]});
    alice.set(&room, "m.room.join_rules", "", &rule).await.ok();
    let found = summary(&bob, &room).await.ok();
    assert_eq!((&found["join_rule"], &found["allowed_room_ids"]), (&json!("restricted"), &json!([other])));
    summary(&carol, &room).await.fails(404, "M_NOT_FOUND");
}

async fn a_room_that_is_not_told_is_as_unknown_as_none(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "private_chat"})).await;
    let closed = summary(&bob, &room).await.fails(404, "M_NOT_FOUND");
    let none = summary(&bob, "!nowhere:hearth.test").await.fails(404, "M_NOT_FOUND");
    assert_eq!(closed, none);
    summary(&bob, "nonsense").unchecked().await.fails(400, "M_INVALID_PARAM");
}

async fn a_room_that_one_may_knock_at_is_told_to_anyone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for rule in ["knock", "knock_restricted"] {
        let state = json!({"type": "m.room.join_rules", "content": {"join_rule": rule}});
        let room = alice.create_room(json!({"initial_state": [state]})).await;
        assert_eq!(summary(&bob, &room).await.ok()["join_rule"], rule);
    }
}
