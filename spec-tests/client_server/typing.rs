//! Typing notifications.

use serde_json::{Value, json};

use crate::harness::sync::{Sync, list};
use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        others_see_who_types_and_who_ceased,
        typing_ends_by_itself,
        saying_it_again_wakes_nobody,
        who_leaves_does_not_type,
        a_first_sync_shows_who_types,
        one_types_for_oneself_and_where_one_is,
        typing_that_is_not_one_is_refused,
    ]
}

impl User {
    async fn types(&self, room: &str, body: &Value) {
        self.put(&format!("/rooms/{room}/typing/{}", self.id), body).await.ok();
    }
}

/// Who types, where a sync says so.
fn typists(sync: &Sync, room: &str) -> Option<Vec<String>> {
    let events = list(&sync.joined(room)["ephemeral"]["events"]);
    let typing = events.iter().find(|event| event["type"] == "m.typing")?;
    let ids = typing["content"]["user_ids"].as_array().expect("user_ids");
    Some(ids.iter().map(|id| id.as_str().expect("a user id").to_owned()).collect())
}

async fn others_see_who_types_and_who_ceased(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let start = bob.sync().await;
    assert_eq!(typists(&start, &room), None);
    let typing = json!({"typing": true, "timeout": 60_000});
    let (told, ()) = tokio::join!(
        bob.sync_until(start.next_batch(), |sync| typists(sync, &room).is_some()),
        alice.types(&room, &typing)
    );
    assert_eq!(typists(&told, &room), Some(vec![alice.id.clone()]));
    assert_eq!(typists(&bob.sync_since(told.next_batch()).await, &room), None);
    bob.types(&room, &json!({"typing": true, "timeout": 60_000})).await;
    let both = bob.sync_since(told.next_batch()).await;
    assert_eq!(typists(&both, &room).map(|ids| ids.len()), Some(2));
    alice.types(&room, &json!({"typing": false})).await;
    let one = bob.sync_since(both.next_batch()).await;
    assert_eq!(typists(&one, &room), Some(vec![bob.id.clone()]));
    bob.types(&room, &json!({"typing": false})).await;
    let none = bob.sync_since(one.next_batch()).await;
    assert_eq!(typists(&none, &room), Some(vec![]));
}

async fn typing_ends_by_itself(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.types(&room, &json!({"typing": true, "timeout": 500})).await;
    let start = bob.sync().await;
    let told = match typists(&start, &room) {
        Some(ids) if !ids.is_empty() => {
            bob.sync_until(start.next_batch(), |sync| typists(sync, &room).is_some()).await
        }
        // A slow machine: it ended before the first look.
        _ => start,
    };
    assert_eq!(typists(&told, &room).unwrap_or_default(), Vec::<String>::new());
}

async fn saying_it_again_wakes_nobody(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.types(&room, &json!({"typing": true, "timeout": 60_000})).await;
    let start = bob.sync().await;
    alice.types(&room, &json!({"typing": true, "timeout": 60_000})).await;
    alice.types(&room, &json!({"typing": true})).await;
    let told = bob.sync_since(start.next_batch()).await;
    assert_eq!(typists(&told, &room), None);
    alice.types(&room, &json!({"typing": false})).await;
    alice.types(&room, &json!({"typing": false})).await;
    let told = bob.sync_since(told.next_batch()).await;
    assert_eq!(typists(&told, &room), Some(vec![]));
}

async fn who_leaves_does_not_type(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    bob.types(&room, &json!({"typing": true, "timeout": 60_000})).await;
    let start = alice.sync().await;
    assert_eq!(typists(&start, &room), Some(vec![bob.id.clone()]));
    bob.post(&format!("/rooms/{room}/leave"), &json!({})).await.ok();
    let told = alice.sync_since(start.next_batch()).await;
    assert_eq!(typists(&told, &room), Some(vec![]));
}

async fn a_first_sync_shows_who_types(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.types(&room, &json!({"typing": true, "timeout": 60_000})).await;
    assert_eq!(typists(&bob.sync().await, &room), Some(vec![alice.id.clone()]));
    let filter = json!({"room": {"ephemeral": {"not_types": ["m.typing"]}}});
    assert_eq!(typists(&bob.sync_filtered(&filter, "timeout=0").await, &room), None);
}

async fn one_types_for_oneself_and_where_one_is(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    let typing = json!({"typing": true, "timeout": 1000});
    bob.put(&format!("/rooms/{room}/typing/{}", alice.id), &typing).await.fails(403, "M_FORBIDDEN");
    bob.put(&format!("/rooms/{room}/typing/{}", bob.id), &typing).await.fails(403, "M_FORBIDDEN");
}

async fn typing_that_is_not_one_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/typing/{}", alice.id);
    for body in [json!({}), json!({"typing": "yes"}), json!({"typing": true, "timeout": -5})] {
        alice.put(&path, &body).await.fails(400, "M_BAD_JSON");
    }
    // However long somebody wants to type, the server bounds it.
    alice.types(&room, &json!({"typing": true, "timeout": 9_007_199_254_740_991_i64})).await;
}
