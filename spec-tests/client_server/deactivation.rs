//! The end of an account.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::enc;
use crate::harness::rooms::{bodies, find};
use crate::harness::server::{Server, Settings};
use crate::harness::sync::Sync;
use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        an_account_that_ended_is_logged_out_and_cannot_log_in,
        the_name_of_an_account_that_ended_is_not_given_out_again,
        ending_an_account_takes_the_password,
        who_ends_their_account_leaves_their_rooms_and_declines_invites,
        the_profile_ends_with_the_account,
        a_sync_that_waits_ends_with_the_account,
        what_was_erased_is_shown_to_those_who_were_there_only,
        what_was_not_erased_stays,
    ];
    tests.extend(
        tests![own_server: who_was_being_seen_out_when_the_server_was_killed_is_seen_out_by_the_next],
    );
    tests
}

impl User {
    async fn end(&self, body: &Value) {
        let reply = self.proven("POST", "/account/deactivate", body).await.ok();
        assert_eq!(reply, json!({"id_server_unbind_result": "success"}));
    }
}

/// What a sync says that a user became in a room.
fn membership<'a>(sync: &'a Sync, room: &str, user: &User) -> Option<&'a str> {
    find(sync.timeline(room), "m.room.member", &user.id)?["content"]["membership"].as_str()
}

async fn an_account_that_ended_is_logged_out_and_cannot_log_in(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    alice.end(&json!({})).await;
    alice.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    hearth.post("/login", &alice.proof()).await.fails(403, "M_USER_DEACTIVATED");
}

async fn the_name_of_an_account_that_ended_is_not_given_out_again(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.end(&json!({"erase": true})).await;
    let body = json!({"username": alice.localpart(), "password": "p", "auth": {"type": "m.login.dummy"}});
    hearth.post("/register", &body).await.fails(400, "M_USER_IN_USE");
    let available = format!("/register/available?username={}", alice.localpart());
    hearth.get(&available).await.fails(400, "M_USER_IN_USE");
}

async fn ending_an_account_takes_the_password(hearth: Hearth) {
    let (alice, mallory) = (hearth.user("alice").await, hearth.user("mallory").await);
    for auth in [mallory.proof(), json!({"type": "m.login.dummy"})] {
        let refused = alice.post("/account/deactivate", &json!({"auth": auth})).await;
        assert_eq!(refused.status, 401, "{}", refused.text);
    }
    let body = json!({"auth": alice.proof()});
    hearth.post("/account/deactivate", &body).unchecked().await.fails(401, "M_MISSING_TOKEN");
    let body = json!({"auth": alice.proof(), "erase": "yes"});
    alice.post("/account/deactivate", &body).unchecked().await.fails(400, "M_BAD_JSON");
    alice.get("/account/whoami").await.ok();
}

async fn who_ends_their_account_leaves_their_rooms_and_declines_invites(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let joined = bob.room_with(&[&alice]).await;
    let invited = bob.create_room(json!({"invite": [alice.id]})).await;
    let start = bob.sync().await;
    alice.end(&json!({})).await;
    for room in [&joined, &invited] {
        bob.sync_until(start.next_batch(), |sync| membership(sync, room, &alice) == Some("leave")).await;
        let member = bob.state(room, "m.room.member", &alice.id).await.ok();
        assert_eq!(member, json!({"membership": "leave"}));
    }
}

async fn the_profile_ends_with_the_account(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let path = format!("/profile/{}", enc(&alice.id));
    bob.get(&path).await.ok();
    alice.end(&json!({})).await;
    bob.get(&path).await.fails(404, "M_NOT_FOUND");
    bob.get(&format!("{path}/displayname")).await.fails(404, "M_NOT_FOUND");
}

async fn a_sync_that_waits_ends_with_the_account(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let since = alice.sync().await.next_batch().to_owned();
    let started = Instant::now();
    let waiting = alice.get(&format!("/sync?timeout=30000&since={}", enc(&since)));
    let waiting = waiting.patient(Duration::from_secs(40)).send();
    let (waited, ()) = tokio::join!(waiting, async { alice.end(&json!({})).await });
    waited.expect("a reply");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A room in which Alice said something to Bob, and ended her account; and Carol, who came later.
async fn after_alice(hearth: &Hearth, end: &Value) -> (String, String, User, User) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let carol = hearth.user("carol").await;
    let room = bob.room_with(&[&alice]).await;
    let said = alice.say(&room, "the secret").await;
    bob.say(&room, "all right").await;
    let start = bob.sync().await;
    alice.end(end).await;
    bob.sync_until(start.next_batch(), |sync| membership(sync, &room, &alice) == Some("leave")).await;
    bob.invite(&room, &carol).await.ok();
    carol.join(&room).await.ok();
    (room, said, bob, carol)
}

async fn what_was_erased_is_shown_to_those_who_were_there_only(hearth: Hearth) {
    let (room, said, bob, carol) = after_alice(&hearth, &json!({"erase": true})).await;
    assert_eq!(bob.event(&room, &said).await.ok()["content"]["body"], "the secret");
    assert_eq!(bodies(&bob.history(&room, None, 50).await), ["the secret", "all right"]);
    let left = carol.event(&room, &said).await.ok();
    assert_eq!((&left["content"], &left["type"]), (&json!({}), &json!("m.room.message")), "{left}");
    let history = carol.history(&room, None, 50).await;
    assert_eq!(bodies(&history), ["all right"]);
    assert!(history.iter().any(|event| event["event_id"] == said.as_str()), "{history:?}");
    assert!(!json!(history).to_string().contains("the secret"), "{history:?}");
    let sync = carol.sync_with("timeout=0&filter={\"room\":{\"timeline\":{\"limit\":50}}}").await;
    let told = sync.timeline(&room);
    assert!(told.iter().any(|event| event["event_id"] == said.as_str()), "{told:?}");
    assert!(!json!(told).to_string().contains("the secret"), "{told:?}");
    // What the reader who was there is shown stays whole beside it.
    let sync = bob.sync_with("timeout=0&filter={\"room\":{\"timeline\":{\"limit\":50}}}").await;
    assert!(bodies(sync.timeline(&room)).contains(&"the secret"));
}

async fn what_was_not_erased_stays(hearth: Hearth) {
    let (room, said, _, carol) = after_alice(&hearth, &json!({})).await;
    assert_eq!(carol.event(&room, &said).await.ok()["content"]["body"], "the secret");
    assert_eq!(bodies(&carol.history(&room, None, 50).await), ["the secret", "all right"]);
}

async fn who_was_being_seen_out_when_the_server_was_killed_is_seen_out_by_the_next(hearth: Hearth) {
    let (server, first) = hearth.start(Settings::new()).await;
    let (alice, bob) = (first.user("alice").await, first.user("bob").await);
    let mut rooms = Vec::new();
    for _ in 0..20 {
        rooms.push(bob.room_with(&[&alice]).await);
    }
    alice.end(&json!({})).await;
    let (settings, folder) = server.kill().await;
    let server = Server::start_in(settings, folder).await;
    let second = hearth.other(server.base());
    let bob = bob.at(&second);
    let deadline = Instant::now() + Duration::from_secs(40);
    for room in &rooms {
        let path = format!("/rooms/{room}/joined_members");
        while bob.get(&path).await.ok()["joined"].as_object().expect("members").len() > 1 {
            assert!(Instant::now() < deadline, "alice is still in {room}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    alice.at(&second).get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    server.stop().await;
}
