//! Registration, by user-interactive authentication.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::server::Settings;
use crate::harness::sync::list;
use crate::harness::{Hearth, Reply, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        registration_asks_for_authentication_first,
        registration_gives_an_account_and_a_session,
        registration_may_be_without_a_login,
        registration_may_choose_the_device,
        registration_without_a_name_makes_one_up,
        a_name_in_upper_case_is_never_kept,
        a_taken_name_is_refused_before_authentication,
        an_invalid_name_is_refused_before_authentication,
        a_free_name_is_available_and_a_taken_one_is_not,
        a_name_taken_in_the_meantime_is_refused,
        another_kind_of_account_is_refused,
        a_session_is_of_use_for_one_account_only,
        a_stage_that_is_not_offered_does_not_authenticate,
    ];
    tests.extend(tests![own_server:
        a_registration_token_is_asked_for_and_checked,
        closed_registration_is_forbidden,
    ]);
    tests
}

/// Asks to register, answering a challenge with the stage that needs nothing.
async fn register(hearth: &Hearth, mut body: Value) -> Reply {
    let challenge = hearth.post("/register", &body).await;
    if challenge.status != 401 {
        return challenge;
    }
    body["auth"] = json!({"type": "m.login.dummy", "session": challenge.body["session"]});
    hearth.post("/register", &body).await
}

async fn registration_asks_for_authentication_first(hearth: Hearth) {
    let reply = hearth.post("/register", &json!({"username": fresh("a"), "password": "p"})).await;
    assert_eq!(reply.status, 401, "{}", reply.text);
    assert!(reply.body["session"].is_string());
    assert!(reply.body["params"].is_object());
    let stages: Vec<&Value> = list(&reply.body["flows"]).iter().map(|flow| &flow["stages"]).collect();
    assert!(stages.contains(&&json!(["m.login.dummy"])), "{stages:?}");
}

async fn registration_gives_an_account_and_a_session(hearth: Hearth) {
    let name = fresh("alice");
    let body = register(&hearth, json!({"username": name, "password": "p"})).await.ok();
    let user_id = body["user_id"].as_str().unwrap();
    assert!(user_id.starts_with(&format!("@{name}:")), "{user_id}");
    let token = body["access_token"].as_str().unwrap();
    let whoami = hearth.get("/account/whoami").token(token).await.ok();
    assert_eq!((&whoami["user_id"], &whoami["device_id"]), (&body["user_id"], &body["device_id"]));
    assert_ne!(whoami["is_guest"], true);
}

async fn registration_may_be_without_a_login(hearth: Hearth) {
    let body = json!({"username": fresh("a"), "password": "p", "inhibit_login": true});
    let body = register(&hearth, body).await.ok();
    assert!(body["user_id"].is_string());
    assert_eq!((&body["access_token"], &body["device_id"]), (&Value::Null, &Value::Null));
}

async fn registration_may_choose_the_device(hearth: Hearth) {
    let request = json!({"username": fresh("a"), "password": "p", "device_id": "MYDEVICE"});
    let body = register(&hearth, request).await.ok();
    assert_eq!(body["device_id"], "MYDEVICE");
}

async fn registration_without_a_name_makes_one_up(hearth: Hearth) {
    let first = register(&hearth, json!({"password": "p"})).await.ok();
    let second = register(&hearth, json!({"password": "p"})).await.ok();
    assert_ne!(first["user_id"], second["user_id"]);
}

async fn a_name_in_upper_case_is_never_kept(hearth: Hearth) {
    let name = fresh("loud");
    let reply = register(&hearth, json!({"username": name.to_uppercase(), "password": "p"})).await;
    if reply.status == 200 {
        let body = reply.ok();
        assert!(body["user_id"].as_str().unwrap().starts_with(&format!("@{name}:")), "{body}");
    } else {
        reply.fails(400, "M_INVALID_USERNAME");
    }
}

async fn a_taken_name_is_refused_before_authentication(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let body = json!({"username": alice.localpart(), "password": "p"});
    hearth.post("/register", &body).await.fails(400, "M_USER_IN_USE");
    let body = json!({"username": alice.localpart(), "password": "p", "auth": {"type": "m.login.dummy"}});
    hearth.post("/register", &body).await.fails(400, "M_USER_IN_USE");
}

/// Names that no new account may have.
fn invalid_names() -> [String; 8] {
    ["with space", "@sigil", "co:lon", "tab\t", "ümlaut", "back\\slash", "star*"]
        .map(str::to_owned)
        .into_iter()
        .chain(["x".repeat(256)])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

async fn an_invalid_name_is_refused_before_authentication(hearth: Hearth) {
    for name in invalid_names() {
        let reply = hearth.post("/register", &json!({"username": name, "password": "p"})).await;
        reply.fails(400, "M_INVALID_USERNAME");
    }
}

async fn a_free_name_is_available_and_a_taken_one_is_not(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let available = |name: &str| hearth.get(&format!("/register/available?username={name}"));
    let free = fresh("free");
    assert_eq!(available(&free).await.ok(), json!({"available": true}));
    register(&hearth, json!({"username": free, "password": "p"})).await.ok();
    available(alice.localpart()).await.fails(400, "M_USER_IN_USE");
    available("with%20space").await.fails(400, "M_INVALID_USERNAME");
    hearth.get("/register/available").await.fails(400, "M_MISSING_PARAM");
}

async fn another_kind_of_account_is_refused(hearth: Hearth) {
    let body = json!({"username": fresh("a"), "password": "p"});
    let reply = hearth.post("/register?kind=robot", &body).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    let reply = hearth.post("/register?kind=guest", &json!({})).await;
    reply.fails_with_one_of(&[(403, "M_GUEST_ACCESS_FORBIDDEN"), (403, "M_FORBIDDEN")]);
}

async fn a_session_is_of_use_for_one_account_only(hearth: Hearth) {
    let body = json!({"username": fresh("a"), "password": "p"});
    let challenge = hearth.post("/register", &body).await;
    let auth = json!({"type": "m.login.dummy", "session": challenge.body["session"]});
    let mut body = body;
    body["auth"] = auth.clone();
    hearth.post("/register", &body).await.ok();
    let other = json!({"username": fresh("b"), "password": "p", "auth": auth});
    let reply = hearth.post("/register", &other).await;
    assert!((400..500).contains(&reply.status), "{}: {}", reply.status, reply.text);
}

async fn a_stage_that_is_not_offered_does_not_authenticate(hearth: Hearth) {
    let mut body = json!({"username": fresh("a"), "password": "p"});
    let challenge = hearth.post("/register", &body).await;
    body["auth"] = json!({"type": "org.example.magic", "session": challenge.body["session"]});
    let reply = hearth.post("/register", &body).await;
    assert!(matches!(reply.status, 400 | 401), "{}: {}", reply.status, reply.text);
    // The session lives on.
    body["auth"]["type"] = json!("m.login.dummy");
    hearth.post("/register", &body).await.ok();
}

async fn a_registration_token_is_asked_for_and_checked(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_REGISTRATION__MODE", "token");
    let (server, hearth) = hearth.start(settings.set("HEARTH_REGISTRATION__TOKEN", "open-sesame")).await;
    let stage = "m.login.registration_token";
    let valid =
        |token: &str| hearth.get(&format!("/_matrix/client/v1/register/{stage}/validity?token={token}"));
    assert_eq!(valid("open-sesame").await.ok(), json!({"valid": true}));
    assert_eq!(valid("abracadabra").await.ok(), json!({"valid": false}));

    let mut body = json!({"username": "alice", "password": "p"});
    let challenge = hearth.post("/register", &body).await;
    assert_eq!(challenge.status, 401);
    let flows = list(&challenge.body["flows"]);
    assert!(flows.iter().all(|flow| list(&flow["stages"]).contains(&json!(stage))), "{flows:?}");
    let session = &challenge.body["session"];

    body["auth"] = json!({"type": "m.login.dummy", "session": session});
    assert_eq!(hearth.post("/register", &body).await.status, 401);
    body["auth"] = json!({"type": stage, "token": "abracadabra", "session": session});
    let refused = hearth.post("/register", &body).await;
    assert_eq!((refused.status, &refused.body["session"]), (401, session));
    assert!(refused.body["errcode"].is_string() && refused.body["error"].is_string(), "{}", refused.text);
    body["auth"]["token"] = json!("open-sesame");
    assert_eq!(hearth.post("/register", &body).await.body["completed"], json!([stage]));
    body["auth"] = json!({"type": "m.login.dummy", "session": session});
    assert_eq!(hearth.post("/register", &body).await.ok()["user_id"], "@alice:hearth.test");
    server.stop().await;
}

async fn closed_registration_is_forbidden(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_REGISTRATION__MODE", "closed");
    let (server, hearth) = hearth.start(settings).await;
    hearth.post("/register", &json!({"username": "alice", "password": "p"})).await.fails(403, "M_FORBIDDEN");
    server.stop().await;
}

async fn a_name_taken_in_the_meantime_is_refused(hearth: Hearth) {
    let mut body = json!({"username": fresh("a"), "password": "p"});
    let slow = hearth.post("/register", &body).await;
    register(&hearth, body.clone()).await.ok();
    body["auth"] = json!({"type": "m.login.dummy", "session": slow.body["session"]});
    hearth.post("/register", &body).await.fails(400, "M_USER_IN_USE");
}
