//! Profiles: names and pictures, and how rooms hear of them.

use serde_json::{Value, json};

use crate::harness::sync::{Sync, list};
use crate::harness::{Call, Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_profile_is_set_read_and_removed,
        the_profile_of_nobody_is_not_found,
        a_profile_belongs_to_its_user,
        a_profile_has_values_of_the_right_type,
        a_profile_takes_fields_of_ones_own,
        a_profile_has_bounds_and_says_which,
        a_change_of_name_reaches_all_rooms,
        a_change_of_name_or_picture_is_told_with_presence,
        a_change_of_name_leaves_rooms_that_one_left_alone,
        a_change_of_name_needs_nobody_to_let_one_in_again,
        the_same_name_again_changes_nothing,
        a_change_can_be_kept_from_rooms,
        the_paths_that_profiles_had_before_still_work,
    ]
}

impl User {
    fn profile(&self, key: &str) -> String {
        format!("/profile/{}/{key}", self.id)
    }

    fn call_myself(&self, name: &str) -> Call {
        self.put(&self.profile("displayname"), &json!({"displayname": name}))
    }
}

async fn a_profile_is_set_read_and_removed(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    assert_eq!(alice.call_myself("Alice 🐈").await.ok(), json!({}));
    let picture = json!({"avatar_url": "mxc://hearth.test/cat"});
    alice.put(&alice.profile("avatar_url"), &picture).await.ok();
    assert_eq!(alice.get(&alice.profile("displayname")).await.ok(), json!({"displayname": "Alice 🐈"}));
    assert_eq!(alice.get(&alice.profile("avatar_url")).await.ok(), picture);
    let whole = alice.get(&format!("/profile/{}", alice.id)).await.ok();
    assert_eq!(whole, json!({"displayname": "Alice 🐈", "avatar_url": "mxc://hearth.test/cat"}));
    assert_eq!(alice.delete(&alice.profile("avatar_url")).await.ok(), json!({}));
    alice.delete(&alice.profile("avatar_url")).await.ok();
    let whole = alice.get(&format!("/profile/{}", alice.id)).await.ok();
    assert_eq!((&whole["displayname"], &whole["avatar_url"]), (&json!("Alice 🐈"), &Value::Null));
    alice.get(&alice.profile("avatar_url")).await.fails(404, "M_NOT_FOUND");
}

async fn the_profile_of_nobody_is_not_found(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let nobody = format!("/profile/@nobody:{}", alice.server());
    alice.get(&nobody).await.fails(404, "M_NOT_FOUND");
    alice.get(&format!("{nobody}/displayname")).await.fails(404, "M_NOT_FOUND");
    let reply = alice.get("/profile/nonsense").unchecked().await;
    reply.fails(400, "M_INVALID_PARAM");
}

async fn a_profile_belongs_to_its_user(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.call_myself("Alice").await.ok();
    let body = json!({"displayname": "Not Alice"});
    bob.put(&alice.profile("displayname"), &body).await.fails(403, "M_FORBIDDEN");
    bob.delete(&alice.profile("displayname")).await.fails(403, "M_FORBIDDEN");
    assert_eq!(bob.get(&alice.profile("displayname")).await.ok(), json!({"displayname": "Alice"}));
}

async fn a_profile_has_values_of_the_right_type(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for body in [json!({"displayname": 1}), json!({"displayname": ["a"]}), json!([])] {
        let reply = alice.put(&alice.profile("displayname"), &body).unchecked().await;
        reply.fails_with_one_of(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    }
    for body in [json!({"avatar_url": 1}), json!({"avatar_url": {}})] {
        let reply = alice.put(&alice.profile("avatar_url"), &body).unchecked().await;
        reply.fails_with_one_of(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    }
    let reply = alice.put(&alice.profile("displayname"), &json!({})).unchecked().await;
    reply.fails_with_one_of(&[(400, "M_MISSING_PARAM"), (400, "M_BAD_JSON")]);
    let long = json!({"displayname": "x".repeat(70_000)});
    let reply = alice.put(&alice.profile("displayname"), &long).unchecked().await;
    assert!((400..500).contains(&reply.status), "{}", reply.text);
}

async fn a_profile_takes_fields_of_ones_own(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let field = json!({"org.example.pronouns": ["she", {"in": "en"}]});
    let path = alice.profile("org.example.pronouns");
    alice.put(&path, &field).await.ok();
    assert_eq!(alice.get(&path).await.ok(), field);
    assert_eq!(alice.get(&format!("/profile/{}", alice.id)).await.ok()["org.example.pronouns"][0], "she");
    alice.delete(&path).await.ok();
    alice.get(&path).await.fails(404, "M_NOT_FOUND");
}

async fn a_change_of_name_reaches_all_rooms(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let rooms = [alice.room_with(&[&bob]).await, alice.room_with(&[&bob]).await];
    let since = alice.sync().await.next_batch().to_owned();
    bob.call_myself("Robert").await.ok();
    for room in &rooms {
        let sync = alice.sync_until(&since, |sync| !sync.timeline(room).is_empty()).await;
        let event = &sync.timeline(room)[0];
        assert_eq!((&event["type"], &event["state_key"]), (&json!("m.room.member"), &json!(bob.id)));
        let wanted = json!({"membership": "join", "displayname": "Robert"});
        assert_eq!(event["content"], wanted);
        assert_eq!(event["unsigned"]["prev_content"]["membership"], "join");
    }
}

async fn a_change_of_name_or_picture_is_told_with_presence(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    bob.sync().await;
    let told_of_bob = |sync: &Sync| {
        let events = list(&sync.body["presence"]["events"]);
        events.iter().find(|event| event["sender"] == bob.id.as_str()).map(|event| event["content"].clone())
    };
    let mut since = alice.sync().await.next_batch().to_owned();
    let picture = "mxc://example.org/picture";
    for (key, value) in [("displayname", "Robert"), ("avatar_url", picture)] {
        bob.put(&bob.profile(key), &json!({ key: value })).await.ok();
        let sync = alice.sync_until(&since, |sync| told_of_bob(sync).is_some()).await;
        let content = told_of_bob(&sync).expect("his presence");
        assert_eq!((&content["presence"], &content[key]), (&json!("online"), &json!(value)));
        assert_eq!(content["displayname"], "Robert");
        sync.next_batch().clone_into(&mut since);
    }
}

async fn a_change_of_name_leaves_rooms_that_one_left_alone(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let (here, left) = (alice.room_with(&[&bob]).await, alice.room_with(&[&bob]).await);
    bob.leave(&left).await.ok();
    let since = alice.sync().await.next_batch().to_owned();
    bob.call_myself("Robert").await.ok();
    let sync = alice.sync_until(&since, |sync| !sync.timeline(&here).is_empty()).await;
    assert_eq!(sync.joined(&left), &Value::Null);
}

async fn the_same_name_again_changes_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.call_myself("Alice").await.ok();
    let rooms = [alice.create_room(json!({})).await, alice.create_room(json!({})).await];
    let before = alice.history(&rooms[0], None, 100).await.len();
    alice.call_myself("Alice").await.ok();
    // Whatever the name before did to rooms, it did before the next one.
    let since = alice.sync().await.next_batch().to_owned();
    alice.call_myself("Alicia").await.ok();
    for room in &rooms {
        alice.sync_until(&since, |sync| !sync.timeline(room).is_empty()).await;
        assert_eq!(alice.history(room, None, 100).await.len(), before + 1);
    }
}

async fn a_change_can_be_kept_from_rooms(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let before = alice.history(&room, None, 100).await.len();
    let quietly = |key: &str| format!("{}?org.matrix.msc4069.propagate=false", alice.profile(key));
    alice.put(&quietly("displayname"), &json!({"displayname": "Nobody"})).await.ok();
    alice.delete(&quietly("displayname")).await.ok();
    alice.put(&quietly("displayname"), &json!({"displayname": "Somebody"})).await.ok();
    let wrong = format!("{}?org.matrix.msc4069.propagate=maybe", alice.profile("displayname"));
    alice.put(&wrong, &json!({"displayname": "x"})).await.fails(400, "M_INVALID_PARAM");
    let since = alice.sync().await.next_batch().to_owned();
    // The next change that rooms are to show shows all there is.
    alice.put(&alice.profile("avatar_url"), &json!({"avatar_url": "mxc://hearth.test/cat"})).await.ok();
    let told = alice.sync_until(&since, |sync| !sync.timeline(&room).is_empty()).await;
    let content = &told.timeline(&room)[0]["content"];
    assert_eq!(
        (&content["displayname"], &content["avatar_url"]),
        (&json!("Somebody"), &json!("mxc://hearth.test/cat"))
    );
    assert_eq!(alice.history(&room, None, 100).await.len(), before + 1);
}

async fn the_paths_that_profiles_had_before_still_work(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let path = format!("/_matrix/client/unstable/uk.tcpip.msc4133/profile/{}/org.example.x", alice.id);
    alice.call("PUT", &path).json(&json!({"org.example.x": 1})).await.ok();
    assert_eq!(alice.get(&path).await.ok(), json!({"org.example.x": 1}));
    alice.delete(&path).await.ok();
    alice.get(&path).await.fails(404, "M_NOT_FOUND");
}

async fn a_profile_has_bounds_and_says_which(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let field = |key: &str, value: Value| alice.put(&alice.profile(key), &json!({key: value}));
    let (fits, long) = (format!("a.{}", "k".repeat(253)), format!("a.{}", "k".repeat(254)));
    field(&fits, json!(1)).await.ok();
    field(&long, json!(1)).await.fails(400, "M_KEY_TOO_LARGE");
    field("Not.Named", json!(1)).await.fails(400, "M_INVALID_PARAM");
    field("org.example.big", json!("x".repeat(66_000))).await.fails(400, "M_PROFILE_TOO_LARGE");
    let other = json!({"org.example.other": 1});
    alice.put(&alice.profile("org.example.x"), &other).await.fails(400, "M_MISSING_PARAM");
    field("avatar_url", json!("https://hearth.test/cat")).await.fails(400, "M_INVALID_PARAM");
    field("m.tz", json!("Europe/Berlin")).await.ok();
    field("m.tz", json!("no zone!")).await.fails(400, "M_INVALID_PARAM");
    // Nothing is something here.
    field("org.example.nothing", Value::Null).await.ok();
    let whole = alice.get(&format!("/profile/{}", alice.id)).await.ok();
    assert_eq!(whole.get("org.example.nothing"), Some(&Value::Null), "{whole}");
    assert_eq!((&whole["m.tz"], whole.get("org.example.big")), (&json!("Europe/Berlin"), None));
}

async fn a_change_of_name_needs_nobody_to_let_one_in_again(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let club = alice.room_with(&[&bob]).await;
    let allow = json!([{"type": "m.room_membership", "room_id": club}]);
    let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}});
    let room = alice.create_room(json!({"initial_state": [rule]})).await;
    bob.join(&room).await.ok();
    bob.leave(&club).await.ok();
    let since = alice.sync().await.next_batch().to_owned();
    bob.call_myself("Robert").await.ok();
    let sync = alice.sync_until(&since, |sync| !sync.timeline(&room).is_empty()).await;
    let wanted = json!({"membership": "join", "displayname": "Robert"});
    assert_eq!(sync.timeline(&room)[0]["content"], wanted);
}
