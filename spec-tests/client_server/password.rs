//! Changing the password of an account.

use serde_json::json;

use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        the_old_password_ends_with_the_new_one,
        changing_the_password_logs_the_other_devices_out,
        the_other_devices_stay_where_that_is_asked_for,
        changing_the_password_takes_the_old_one,
        a_password_that_is_none_is_refused,
        who_is_not_logged_in_changes_no_password,
        the_server_says_that_passwords_can_be_changed,
    ]
}

/// The user with another password.
fn knowing(user: &User, password: &str) -> User {
    let mut user = user.clone();
    password.clone_into(&mut user.password);
    user
}

async fn the_old_password_ends_with_the_new_one(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.proven("POST", "/account/password", &json!({"new_password": "another one"})).await.ok();
    hearth.post("/login", &alice.proof()).await.fails(403, "M_FORBIDDEN");
    hearth.login(&knowing(&alice, "another one")).await.get("/account/whoami").await.ok();
}

async fn changing_the_password_logs_the_other_devices_out(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    alice.proven("POST", "/account/password", &json!({"new_password": "another one"})).await.ok();
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(alice.get("/account/whoami").await.ok()["device_id"], alice.device);
}

async fn the_other_devices_stay_where_that_is_asked_for(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let body = json!({"new_password": "another one", "logout_devices": false});
    alice.proven("POST", "/account/password", &body).await.ok();
    phone.get("/account/whoami").await.ok();
    alice.get("/account/whoami").await.ok();
}

async fn changing_the_password_takes_the_old_one(hearth: Hearth) {
    let (alice, mallory) = (hearth.user("alice").await, hearth.user("mallory").await);
    for auth in [knowing(&alice, "wrong").proof(), mallory.proof(), json!({"type": "m.login.dummy"})] {
        let body = json!({"new_password": "stolen", "auth": auth});
        let refused = alice.post("/account/password", &body).await;
        assert_eq!(refused.status, 401, "{}", refused.text);
    }
    hearth.login(&alice).await;
}

async fn a_password_that_is_none_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for password in [String::new(), "x".repeat(1025)] {
        let body = json!({"new_password": password, "auth": alice.proof()});
        alice.post("/account/password", &body).await.fails(400, "M_WEAK_PASSWORD");
    }
    let body = json!({"auth": alice.proof()});
    alice.post("/account/password", &body).unchecked().await.fails(400, "M_BAD_JSON");
    hearth.login(&alice).await;
}

async fn who_is_not_logged_in_changes_no_password(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let body = json!({"new_password": "stolen", "auth": alice.proof()});
    hearth.post("/account/password", &body).unchecked().await.fails(401, "M_MISSING_TOKEN");
    hearth.login(&alice).await;
}

async fn the_server_says_that_passwords_can_be_changed(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let capabilities = alice.get("/capabilities").await.ok();
    assert_eq!(capabilities["capabilities"]["m.change_password"], json!({"enabled": true}));
}
