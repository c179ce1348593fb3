//! Account data and tags.

use serde_json::{Value, json};

use crate::harness::{Call, Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        account_data_is_read_back_as_it_was_written,
        account_data_that_was_never_written_is_not_found,
        account_data_of_others_is_forbidden,
        account_data_is_an_object,
        what_the_server_keeps_itself_cannot_be_written_as_account_data,
        account_data_of_a_room_is_apart_from_the_global_one,
        account_data_comes_by_sync_once,
        account_data_comes_to_all_devices_and_wakes_them,
        the_last_of_several_values_comes_by_sync,
        a_type_may_hold_any_character,
        what_is_deleted_is_gone_and_other_devices_hear_of_it,
        tags_are_set_read_and_removed,
        tags_of_others_are_forbidden,
        the_order_of_a_tag_is_a_number,
        tags_come_by_sync_as_the_whole_list,
    ]
}

impl User {
    fn data(&self, kind: &str) -> String {
        format!("/user/{}/account_data/{kind}", self.id)
    }

    fn room_data(&self, room: &str, kind: &str) -> String {
        format!("/user/{}/rooms/{room}/account_data/{kind}", self.id)
    }

    fn tags(&self, room: &str) -> Call {
        self.get(&format!("/user/{}/rooms/{room}/tags", self.id))
    }

    fn tag(&self, room: &str, tag: &str, content: &Value) -> Call {
        self.put(&format!("/user/{}/rooms/{room}/tags/{tag}", self.id), content)
    }

    fn untag(&self, room: &str, tag: &str) -> Call {
        self.delete(&format!("/user/{}/rooms/{room}/tags/{tag}", self.id))
    }
}

async fn account_data_is_read_back_as_it_was_written(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let content =
        json!({"text": "grüße 🐈", "list": [1, 2.5, null, {"a": []}], "": {"deep": {"deeper": true}}});
    assert_eq!(alice.put(&alice.data("org.example.a"), &content).await.ok(), json!({}));
    assert_eq!(alice.get(&alice.data("org.example.a")).await.ok(), content);
}

async fn what_is_deleted_is_gone_and_other_devices_hear_of_it(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let room = alice.create_room(json!({})).await;
    let unstable = |path: &str| format!("/_matrix/client/unstable/org.matrix.msc3391{path}");
    for path in [alice.data("org.example.gone"), alice.room_data(&room, "org.example.gone")] {
        for by_delete in [true, false] {
            alice.put(&path, &json!({"a": 1})).await.ok();
            let since = phone.sync().await.next_batch().to_owned();
            // Deleting what is not there any more changes nothing.
            for _ in 0..2 {
                let deleted = if by_delete {
                    alice.delete(&unstable(&path)).await
                } else {
                    alice.put(&path, &json!({})).await
                };
                assert_eq!(deleted.ok(), json!({}));
            }
            alice.get(&path).await.fails(404, "M_NOT_FOUND");
            let told = phone.sync_since(&since).await;
            let told = [
                told.account_data("org.example.gone").clone(),
                told.room_account_data(&room, "org.example.gone").clone(),
            ];
            assert!(told.contains(&json!({})), "{told:?}");
            let first = phone.sync().await;
            assert_eq!(first.account_data("org.example.gone"), &Value::Null);
            assert_eq!(first.room_account_data(&room, "org.example.gone"), &Value::Null);
        }
    }
    let bob = hearth.user("bob").await;
    bob.delete(&unstable(&alice.data("org.example.a"))).await.fails(403, "M_FORBIDDEN");
    alice.delete(&unstable(&alice.data("m.push_rules"))).await.fails(405, "M_BAD_JSON");
}

async fn account_data_that_was_never_written_is_not_found(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.get(&alice.data("org.example.none")).await.fails(404, "M_NOT_FOUND");
    let room = alice.create_room(json!({})).await;
    alice.get(&alice.room_data(&room, "org.example.none")).await.fails(404, "M_NOT_FOUND");
}

async fn account_data_of_others_is_forbidden(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.put(&alice.data("org.example.a"), &json!({"secret": 1})).await.ok();
    bob.get(&alice.data("org.example.a")).await.fails(403, "M_FORBIDDEN");
    bob.put(&alice.data("org.example.a"), &json!({})).await.fails(403, "M_FORBIDDEN");
    bob.get(&alice.room_data(&room, "org.example.a")).await.fails(403, "M_FORBIDDEN");
    bob.put(&alice.room_data(&room, "org.example.a"), &json!({})).await.fails(403, "M_FORBIDDEN");
    assert_eq!(alice.get(&alice.data("org.example.a")).await.ok(), json!({"secret": 1}));
}

async fn account_data_is_an_object(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for body in [json!([]), json!("text"), json!(1), json!(null)] {
        alice.put(&alice.data("org.example.a"), &body).await.fails(400, "M_BAD_JSON");
    }
    alice.get(&alice.data("org.example.a")).await.fails(404, "M_NOT_FOUND");
}

async fn what_the_server_keeps_itself_cannot_be_written_as_account_data(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.put(&alice.data("m.push_rules"), &json!({})).await.fails(405, "M_BAD_JSON");
    alice.put(&alice.data("m.fully_read"), &json!({})).await.fails(405, "M_BAD_JSON");
    alice.put(&alice.room_data(&room, "m.fully_read"), &json!({})).await.fails(405, "M_BAD_JSON");
}

async fn account_data_of_a_room_is_apart_from_the_global_one(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (one, two) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    alice.put(&alice.data("org.example.a"), &json!({"in": "all"})).await.ok();
    alice.put(&alice.room_data(&one, "org.example.a"), &json!({"in": "one"})).await.ok();
    assert_eq!(alice.get(&alice.data("org.example.a")).await.ok(), json!({"in": "all"}));
    assert_eq!(alice.get(&alice.room_data(&one, "org.example.a")).await.ok(), json!({"in": "one"}));
    alice.get(&alice.room_data(&two, "org.example.a")).await.fails(404, "M_NOT_FOUND");
}

async fn account_data_comes_by_sync_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.put(&alice.data("org.example.a"), &json!({"v": 1})).await.ok();
    alice.put(&alice.room_data(&room, "org.example.b"), &json!({"v": 2})).await.ok();
    let first = alice.sync().await;
    assert_eq!(first.account_data("org.example.a"), &json!({"v": 1}));
    assert_eq!(first.room_account_data(&room, "org.example.b"), &json!({"v": 2}));
    assert_eq!(first.room_account_data(&room, "org.example.a"), &Value::Null);

    let quiet = alice.sync_since(first.next_batch()).await;
    assert_eq!(quiet.account_data("org.example.a"), &Value::Null);
    assert_eq!(quiet.joined(&room), &Value::Null);

    alice.put(&alice.room_data(&room, "org.example.b"), &json!({"v": 3})).await.ok();
    let next = alice.sync_since(quiet.next_batch()).await;
    assert_eq!(next.room_account_data(&room, "org.example.b"), &json!({"v": 3}));
    assert_eq!(next.timeline(&room), &[] as &[Value]);
}

async fn account_data_comes_to_all_devices_and_wakes_them(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let since = phone.sync().await.next_batch().to_owned();
    let waiting = tokio::spawn(async move {
        phone.sync_until(&since, |sync| !sync.account_data("org.example.wake").is_null()).await
    });
    alice.put(&alice.data("org.example.wake"), &json!({"up": true})).await.ok();
    assert_eq!(waiting.await.unwrap().account_data("org.example.wake"), &json!({"up": true}));
}

async fn the_last_of_several_values_comes_by_sync(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let since = alice.sync().await.next_batch().to_owned();
    for value in 1..=5 {
        alice.put(&alice.data("org.example.a"), &json!({"v": value})).await.ok();
    }
    let next = alice.sync_since(&since).await;
    assert_eq!(next.account_data("org.example.a"), &json!({"v": 5}));
}

async fn a_type_may_hold_any_character(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let kind = "org.example/slash %25 🐈?#";
    let path = alice.data(&crate::harness::enc(kind));
    alice.put(&path, &json!({"v": 1})).await.ok();
    assert_eq!(alice.get(&path).await.ok(), json!({"v": 1}));
    assert_eq!(alice.sync().await.account_data(kind), &json!({"v": 1}));
}

async fn tags_are_set_read_and_removed(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    assert_eq!(alice.tags(&room).await.ok(), json!({"tags": {}}));
    alice.tag(&room, "m.favourite", &json!({"order": 0.25})).await.ok();
    alice.tag(&room, "u.work", &json!({})).await.ok();
    let both = json!({"tags": {"m.favourite": {"order": 0.25}, "u.work": {}}});
    assert_eq!(alice.tags(&room).await.ok(), both);
    alice.tag(&room, "m.favourite", &json!({"order": 0.75})).await.ok();
    alice.untag(&room, "u.work").await.ok();
    alice.untag(&room, "u.work").await.ok();
    assert_eq!(alice.tags(&room).await.ok(), json!({"tags": {"m.favourite": {"order": 0.75}}}));
}

async fn tags_of_others_are_forbidden(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let path = format!("/user/{}/rooms/{room}/tags", alice.id);
    bob.get(&path).await.fails(403, "M_FORBIDDEN");
    bob.put(&format!("{path}/u.mine"), &json!({})).await.fails(403, "M_FORBIDDEN");
    bob.delete(&format!("{path}/u.mine")).await.fails(403, "M_FORBIDDEN");
}

async fn the_order_of_a_tag_is_a_number(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let reply = alice.tag(&room, "u.a", &json!({"order": {"of": "things"}})).await;
    reply.fails_with_one_of(&[(400, "M_BAD_JSON"), (400, "M_INVALID_PARAM")]);
    assert_eq!(alice.tags(&room).await.ok(), json!({"tags": {}}));
}

async fn tags_come_by_sync_as_the_whole_list(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.tag(&room, "u.one", &json!({})).await.ok();
    let first = alice.sync().await;
    assert_eq!(first.room_account_data(&room, "m.tag"), &json!({"tags": {"u.one": {}}}));
    alice.tag(&room, "u.two", &json!({"order": 0.5})).await.ok();
    let next = alice.sync_since(first.next_batch()).await;
    let both = json!({"tags": {"u.one": {}, "u.two": {"order": 0.5}}});
    assert_eq!(next.room_account_data(&room, "m.tag"), &both);
    alice.untag(&room, "u.one").await.ok();
    alice.untag(&room, "u.two").await.ok();
    let last = alice.sync_since(next.next_batch()).await;
    assert_eq!(last.room_account_data(&room, "m.tag"), &json!({"tags": {}}));
}
