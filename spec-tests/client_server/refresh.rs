//! Access tokens that expire, and refresh tokens.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::hearth::fresh;
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Reply, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        who_does_not_ask_for_it_gets_a_token_that_lasts,
        a_login_and_a_registration_give_a_refresh_token_where_that_is_asked_for,
        a_refresh_token_is_traded_for_a_new_pair,
        the_old_pair_ends_when_the_new_access_token_is_used,
        the_old_refresh_token_ends_when_the_new_one_is_used,
        an_answer_that_got_lost_can_be_asked_for_again,
        a_refresh_token_that_is_none_is_refused,
        logging_out_ends_the_refresh_token,
        a_new_login_of_the_device_ends_the_refresh_token,
        refreshing_changes_nothing_about_the_device,
    ];
    tests.extend(tests![own_server: an_expired_token_is_a_soft_logout_and_can_be_refreshed]);
    tests
}

/// A login that can be refreshed: the user and the whole reply.
async fn refreshable(hearth: &Hearth) -> (User, Value) {
    let alice = hearth.user("alice").await;
    let mut body = alice.proof();
    body["refresh_token"] = json!(true);
    let reply = hearth.post("/login", &body).await.ok();
    (User::new(hearth.client(), &reply, &alice.password), reply)
}

async fn refresh(hearth: &Hearth, token: &Value) -> Reply {
    hearth.post("/refresh", &json!({"refresh_token": token})).await
}

async fn whoami(hearth: &Hearth, token: &Value) -> Reply {
    hearth.get("/account/whoami").token(token.as_str().expect("a token")).await
}

async fn who_does_not_ask_for_it_gets_a_token_that_lasts(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let reply = hearth.post("/login", &alice.proof()).await.ok();
    assert_eq!((&reply["refresh_token"], &reply["expires_in_ms"]), (&Value::Null, &Value::Null), "{reply}");
}

async fn a_login_and_a_registration_give_a_refresh_token_where_that_is_asked_for(hearth: Hearth) {
    let (_, login) = refreshable(&hearth).await;
    let auth = json!({"type": "m.login.dummy"});
    let body = json!({"username": fresh("a"), "password": "p", "refresh_token": true, "auth": auth});
    let registration = hearth.post("/register", &body).await.ok();
    for reply in [login, registration] {
        assert!(reply["expires_in_ms"].as_u64().is_some_and(|ms| ms > 0), "{reply}");
        refresh(&hearth, &reply["refresh_token"]).await.ok();
    }
}

async fn a_refresh_token_is_traded_for_a_new_pair(hearth: Hearth) {
    let (alice, first) = refreshable(&hearth).await;
    let second = refresh(&hearth, &first["refresh_token"]).await.ok();
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert!(second["expires_in_ms"].as_u64().is_some_and(|ms| ms > 0), "{second}");
    let who = whoami(&hearth, &second["access_token"]).await.ok();
    assert_eq!((&who["user_id"], &who["device_id"]), (&json!(alice.id), &json!(alice.device)));
}

async fn the_old_pair_ends_when_the_new_access_token_is_used(hearth: Hearth) {
    let (_, first) = refreshable(&hearth).await;
    let second = refresh(&hearth, &first["refresh_token"]).await.ok();
    // A request that was under way with the old token is answered.
    whoami(&hearth, &first["access_token"]).await.ok();
    whoami(&hearth, &second["access_token"]).await.ok();
    whoami(&hearth, &first["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    refresh(&hearth, &first["refresh_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    whoami(&hearth, &second["access_token"]).await.ok();
    refresh(&hearth, &second["refresh_token"]).await.ok();
}

async fn the_old_refresh_token_ends_when_the_new_one_is_used(hearth: Hearth) {
    let (_, first) = refreshable(&hearth).await;
    let second = refresh(&hearth, &first["refresh_token"]).await.ok();
    let third = refresh(&hearth, &second["refresh_token"]).await.ok();
    refresh(&hearth, &first["refresh_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    whoami(&hearth, &first["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    whoami(&hearth, &third["access_token"]).await.ok();
}

async fn an_answer_that_got_lost_can_be_asked_for_again(hearth: Hearth) {
    let (_, first) = refreshable(&hearth).await;
    let lost = refresh(&hearth, &first["refresh_token"]).await.ok();
    let second = refresh(&hearth, &first["refresh_token"]).await.ok();
    whoami(&hearth, &lost["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    refresh(&hearth, &lost["refresh_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    whoami(&hearth, &second["access_token"]).await.ok();
}

async fn a_refresh_token_that_is_none_is_refused(hearth: Hearth) {
    let (alice, _) = refreshable(&hearth).await;
    refresh(&hearth, &json!("hthr_made-up")).await.fails(401, "M_UNKNOWN_TOKEN");
    // An access token is none.
    refresh(&hearth, &json!(alice.token)).await.fails(401, "M_UNKNOWN_TOKEN");
    hearth.post("/refresh", &json!({})).await.fails(400, "M_BAD_JSON");
    hearth.post("/refresh", &json!({"refresh_token": 5})).await.fails(400, "M_BAD_JSON");
}

async fn logging_out_ends_the_refresh_token(hearth: Hearth) {
    let (alice, first) = refreshable(&hearth).await;
    alice.post("/logout", &json!({})).await.ok();
    let refused = refresh(&hearth, &first["refresh_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    assert_ne!(refused["soft_logout"], true);
}

async fn a_new_login_of_the_device_ends_the_refresh_token(hearth: Hearth) {
    let (alice, first) = refreshable(&hearth).await;
    let mut body = alice.proof();
    body["device_id"] = json!(alice.device);
    hearth.post("/login", &body).await.ok();
    refresh(&hearth, &first["refresh_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn refreshing_changes_nothing_about_the_device(hearth: Hearth) {
    let (alice, first) = refreshable(&hearth).await;
    alice.put(&format!("/devices/{}", alice.device), &json!({"display_name": "Tablet"})).await.ok();
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/send/m.room.message/same-{}", alice.device);
    let sent = alice.put(&path, &json!({"body": "hello"})).await.ok();
    let second = refresh(&hearth, &first["refresh_token"]).await.ok();
    let mut later = alice.clone();
    second["access_token"].as_str().unwrap().clone_into(&mut later.token);
    // The device's transaction ids are those of before.
    assert_eq!(later.put(&path, &json!({"body": "hello"})).await.ok(), sent);
    let device = later.get(&format!("/devices/{}", alice.device)).await.ok();
    assert_eq!(device["display_name"], "Tablet");
}

async fn an_expired_token_is_a_soft_logout_and_can_be_refreshed(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_SESSION__ACCESS_TOKEN_LIFETIME", "1s");
    let (server, hearth): (Server, Hearth) = hearth.start(settings).await;
    let (alice, first) = refreshable(&hearth).await;
    assert_eq!(first["expires_in_ms"], 1000);
    sleep(Duration::from_millis(1100)).await;
    let expired = whoami(&hearth, &first["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(expired["soft_logout"], true);
    alice.get("/sync?timeout=0").await.fails(401, "M_UNKNOWN_TOKEN");
    let second = refresh(&hearth, &first["refresh_token"]).await.ok();
    whoami(&hearth, &second["access_token"]).await.ok();
    sleep(Duration::from_millis(1100)).await;
    whoami(&hearth, &second["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    refresh(&hearth, &second["refresh_token"]).await.ok();
    // One that did not ask for it does not expire.
    let mut lasting = alice.clone();
    let reply = hearth.post("/login", &alice.proof()).await.ok();
    reply["access_token"].as_str().unwrap().clone_into(&mut lasting.token);
    sleep(Duration::from_millis(1100)).await;
    lasting.get("/account/whoami").await.ok();
    server.stop().await;
}
