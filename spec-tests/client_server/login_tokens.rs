//! Logging another device in from one that is logged in.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::server::Settings;
use crate::harness::sync::list;
use crate::harness::{Hearth, Reply, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        the_server_says_that_it_gives_out_login_tokens,
        a_device_logs_another_one_in,
        a_login_token_is_good_once,
        a_login_token_takes_the_password_every_time,
        a_login_token_that_is_none_is_refused,
    ];
    tests.extend(tests![own_server: a_login_token_expires]);
    tests
}

const PATH: &str = "/_matrix/client/v1/login/get_token";

async fn token(user: &User) -> Value {
    user.proven("POST", PATH, &json!({})).await.ok()
}

async fn log_in(hearth: &Hearth, token: &Value) -> Reply {
    hearth.post("/login", &json!({"type": "m.login.token", "token": token})).await
}

async fn the_server_says_that_it_gives_out_login_tokens(hearth: Hearth) {
    let flows = hearth.get("/login").await.ok();
    let flow = list(&flows["flows"]).iter().find(|flow| flow["type"] == "m.login.token");
    assert_eq!(flow, Some(&json!({"type": "m.login.token", "get_login_token": true})));
    let capabilities = hearth.user("alice").await.get("/capabilities").await.ok();
    assert_eq!(capabilities["capabilities"]["m.get_login_token"], json!({"enabled": true}));
}

async fn a_device_logs_another_one_in(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let given = token(&alice).await;
    assert!(given["expires_in_ms"].as_u64().is_some_and(|ms| (1..=300_000).contains(&ms)), "{given}");
    let body = json!({
        "type": "m.login.token", "token": given["login_token"], "device_id": "TABLET",
        "initial_device_display_name": "Tablet", "refresh_token": true,
    });
    let reply = hearth.post("/login", &body).await.ok();
    assert_eq!((&reply["user_id"], &reply["device_id"]), (&json!(alice.id), &json!("TABLET")));
    assert!(reply["refresh_token"].is_string(), "{reply}");
    let tablet = User::new(hearth.client(), &reply, &alice.password);
    assert_eq!(tablet.get("/devices/TABLET").await.ok()["display_name"], "Tablet");
}

async fn a_login_token_is_good_once(hearth: Hearth) {
    let given = token(&hearth.user("alice").await).await;
    log_in(&hearth, &given["login_token"]).await.ok();
    log_in(&hearth, &given["login_token"]).await.fails(403, "M_FORBIDDEN");
}

async fn a_login_token_takes_the_password_every_time(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let challenge = alice.post(PATH, &json!({})).await;
    assert_eq!(challenge.status, 401, "{}", challenge.text);
    let mut auth = alice.proof();
    auth["session"] = challenge.body["session"].clone();
    alice.post(PATH, &json!({"auth": auth})).await.ok();
    // The session is used up with it.
    let again = alice.post(PATH, &json!({"auth": {"session": challenge.body["session"]}})).await;
    assert_eq!(again.status, 401, "{}", again.text);
    hearth.post(PATH, &json!({"auth": auth})).unchecked().await.fails(401, "M_MISSING_TOKEN");
}

async fn a_login_token_that_is_none_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    log_in(&hearth, &json!("made-up")).await.fails(403, "M_FORBIDDEN");
    log_in(&hearth, &json!(alice.token)).await.fails(403, "M_FORBIDDEN");
    log_in(&hearth, &Value::Null).await.fails(400, "M_MISSING_PARAM");
    // And it is no access token.
    let given = token(&alice).await;
    let login_token = given["login_token"].as_str().unwrap();
    hearth.get("/account/whoami").token(login_token).await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn a_login_token_expires(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_SESSION__LOGIN_TOKEN_LIFETIME", "100ms");
    let (server, hearth) = hearth.start(settings).await;
    let given = token(&hearth.user("alice").await).await;
    assert_eq!(given["expires_in_ms"], 100);
    sleep(Duration::from_millis(200)).await;
    log_in(&hearth, &given["login_token"]).await.fails(403, "M_FORBIDDEN");
    server.stop().await;
}
