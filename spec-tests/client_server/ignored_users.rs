//! Ignoring users.

use serde_json::{Value, json};

use crate::harness::sync::list;
use crate::harness::{Hearth, Test, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        what_ignored_users_say_is_gone_wherever_it_is_read,
        what_ignored_users_do_to_the_room_stays,
        who_is_no_longer_ignored_is_heard_again,
        invites_by_ignored_users_do_not_come,
        receipts_and_typing_of_ignored_users_do_not_come,
        nobody_ignores_themselves,
    ]
}

async fn what_ignored_users_say_is_gone_wherever_it_is_read(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let before = bob.say(&room, "unheard 1").await;
    let start = alice.sync().await;
    alice.ignore(&[&bob]).await;
    bob.say(&room, "unheard 2").await;
    let mine = alice.say(&room, "heard").await;
    let everything = [
        alice.sync_since(start.next_batch()).await.body.to_string(),
        alice.sync().await.body.to_string(),
        alice.messages(&room, "dir=b&limit=50").await.text,
        alice.get(&format!("/rooms/{room}/context/{}", enc(&mine))).await.text,
    ];
    for text in everything {
        assert!(text.contains("heard") && !text.contains("unheard"), "{text}");
    }
    alice.event(&room, &before).await.fails(404, "M_NOT_FOUND");
}

async fn what_ignored_users_do_to_the_room_stays(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.ignore(&[&bob]).await;
    let start = alice.sync().await;
    bob.post(&format!("/rooms/{room}/leave"), &json!({})).await.ok();
    let told = alice.sync_since(start.next_batch()).await;
    let left = told.timeline(&room).iter().any(|event| event["content"]["membership"] == "leave");
    assert!(left, "{told:?}");
}

async fn who_is_no_longer_ignored_is_heard_again(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.ignore(&[&bob]).await;
    let said = bob.say(&room, "in between").await;
    alice.ignore(&[]).await;
    alice.event(&room, &said).await.ok();
    assert!(alice.messages(&room, "dir=b&limit=50").await.text.contains("in between"));
}

async fn invites_by_ignored_users_do_not_come(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.ignore(&[&bob]).await;
    let start = alice.sync().await;
    let room = bob.create_room(json!({"invite": [alice.id]})).await;
    assert_eq!(alice.sync_since(start.next_batch()).await.invited(&room), &Value::Null);
    assert_eq!(alice.sync().await.invited(&room), &Value::Null);
    alice.ignore(&[]).await;
    assert_ne!(alice.sync().await.invited(&room), &Value::Null);
}

async fn receipts_and_typing_of_ignored_users_do_not_come(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.ignore(&[&bob]).await;
    let event = alice.say(&room, "read me").await;
    bob.post(&format!("/rooms/{room}/receipt/m.read/{}", enc(&event)), &json!({})).await.ok();
    let typing = json!({"typing": true, "timeout": 60_000});
    bob.put(&format!("/rooms/{room}/typing/{}", bob.id), &typing).await.ok();
    let told = alice.sync().await;
    let passed = list(&told.joined(&room)["ephemeral"]["events"]);
    assert!(!json!(passed).to_string().contains(&bob.id), "{passed:?}");
}

async fn nobody_ignores_themselves(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let path = format!("/user/{}/account_data/m.ignored_user_list", alice.id);
    let list = json!({"ignored_users": {alice.id.clone(): {}}});
    alice.put(&path, &list).await.fails(400, "M_INVALID_PARAM");
    alice.get(&path).await.fails(404, "M_NOT_FOUND");
}
