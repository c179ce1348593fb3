//! Logging in and out.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        password_login_is_on_offer,
        a_user_logs_in_by_localpart_or_full_id,
        the_old_form_of_naming_the_user_still_works,
        a_wrong_password_and_an_unknown_user_are_refused_alike,
        an_unknown_way_to_log_in_is_refused,
        a_login_without_its_parts_is_refused,
        a_known_device_is_used_again_and_its_old_token_dies,
        a_device_id_that_is_too_long_is_refused,
        two_logins_are_two_devices,
        a_login_tells_where_the_server_is,
        logging_out_ends_this_session_only,
        logging_out_everywhere_ends_all_sessions,
        logging_out_needs_no_body,
    ]
}

fn by_password(identifier: &Value, password: &str) -> Value {
    json!({"type": "m.login.password", "identifier": identifier, "password": password})
}

async fn password_login_is_on_offer(hearth: Hearth) {
    let body = hearth.get("/login").await.ok();
    assert!(list(&body["flows"]).iter().any(|flow| flow["type"] == "m.login.password"), "{body}");
}

async fn a_device_id_that_is_too_long_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut body = by_password(&json!({"type": "m.id.user", "user": alice.id}), &alice.password);
    body["device_id"] = json!("D".repeat(9000));
    hearth.post("/login", &body).await.fails(400, "M_INVALID_PARAM");
}

async fn a_user_logs_in_by_localpart_or_full_id(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for name in [alice.localpart(), &alice.id] {
        let identifier = json!({"type": "m.id.user", "user": name});
        let body = hearth.post("/login", &by_password(&identifier, &alice.password)).await.ok();
        assert_eq!(body["user_id"], alice.id);
        let token = body["access_token"].as_str().unwrap();
        let whoami = hearth.get("/account/whoami").token(token).await.ok();
        assert_eq!((&whoami["user_id"], &whoami["device_id"]), (&body["user_id"], &body["device_id"]));
    }
    let elsewhere = json!({"type": "m.id.user", "user": format!("@{}:elsewhere.test", alice.localpart())});
    hearth.post("/login", &by_password(&elsewhere, &alice.password)).await.fails(403, "M_FORBIDDEN");
}

async fn the_old_form_of_naming_the_user_still_works(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let body = json!({"type": "m.login.password", "user": alice.localpart(), "password": alice.password});
    assert_eq!(hearth.post("/login", &body).await.ok()["user_id"], alice.id);
}

async fn a_wrong_password_and_an_unknown_user_are_refused_alike(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut sentences = Vec::new();
    for name in [alice.localpart().to_owned(), fresh("nobody")] {
        let identifier = json!({"type": "m.id.user", "user": name});
        let refused =
            hearth.post("/login", &by_password(&identifier, "wrong")).await.fails(403, "M_FORBIDDEN");
        sentences.push(refused["error"].clone());
    }
    assert_eq!(sentences[0], sentences[1]);
}

async fn an_unknown_way_to_log_in_is_refused(hearth: Hearth) {
    hearth.post("/login", &json!({"type": "org.example.magic"})).await.fails(400, "M_UNKNOWN");
}

async fn a_login_without_its_parts_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let identifier = json!({"type": "m.id.user", "user": alice.id});
    for body in [
        json!({}),
        json!({"type": "m.login.password", "password": alice.password}),
        json!({"type": "m.login.password", "identifier": identifier}),
        json!({"type": "m.login.password", "identifier": {"type": "m.id.user"}, "password": "p"}),
        json!({"type": "m.login.password", "identifier": "text", "password": "p"}),
        json!({"type": 1}),
    ] {
        hearth.post("/login", &body).unchecked().await.fails_with_one_of(&[
            (400, "M_MISSING_PARAM"),
            (400, "M_BAD_JSON"),
            (400, "M_INVALID_PARAM"),
            (400, "M_UNKNOWN"),
        ]);
    }
}

async fn a_known_device_is_used_again_and_its_old_token_dies(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut body = by_password(&json!({"type": "m.id.user", "user": alice.id}), &alice.password);
    body["device_id"] = json!(alice.device);
    let again = hearth.post("/login", &body).await.ok();
    assert_eq!(again["device_id"], alice.device);
    assert_ne!(again["access_token"], alice.token);
    alice.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn two_logins_are_two_devices(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let again = hearth.login(&alice).await;
    assert_ne!((&again.device, &again.token), (&alice.device, &alice.token));
    alice.get("/account/whoami").await.ok();
    again.get("/account/whoami").await.ok();
}

async fn logging_out_ends_this_session_only(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    assert_eq!(phone.post("/logout", &json!({})).await.ok(), json!({}));
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    phone.post("/logout", &json!({})).await.fails(401, "M_UNKNOWN_TOKEN");
    alice.get("/account/whoami").await.ok();
}

async fn logging_out_everywhere_ends_all_sessions(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    phone.post("/logout/all", &json!({})).await.ok();
    alice.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    hearth.login(&alice).await.get("/account/whoami").await.ok();
}

async fn logging_out_needs_no_body(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.call("POST", "/logout").await.ok();
    let again = hearth.login(&alice).await;
    again.call("POST", "/logout/all").await.ok();
}

async fn a_login_tells_where_the_server_is(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let reply = hearth.post("/login", &alice.proof()).await.ok();
    assert_eq!(reply["home_server"], alice.server());
    let document = hearth.get("/.well-known/matrix/client").await.ok();
    assert_eq!(reply["well_known"]["m.homeserver"], document["m.homeserver"]);
}
