//! Tokens that tell third parties who somebody is.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::client::enc;
use crate::harness::server::Settings;
use crate::harness::{Call, Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        a_third_party_learns_who_somebody_is,
        a_token_for_third_parties_is_good_for_nothing_else,
        nobody_gets_a_token_for_somebody_else,
        a_token_that_is_none_tells_of_nobody,
        a_token_of_an_account_that_ended_tells_of_nobody,
    ];
    tests.extend(tests![own_server: a_token_for_third_parties_expires]);
    tests
}

impl User {
    fn openid(&self, user: &Self) -> Call {
        self.post(&format!("/user/{}/openid/request_token", enc(&user.id)), &json!({}))
    }
}

fn info(hearth: &Hearth, token: &Value) -> Call {
    let token = enc(token.as_str().expect("a token"));
    hearth.get(&format!("/_matrix/federation/v1/openid/userinfo?access_token={token}"))
}

async fn a_third_party_learns_who_somebody_is(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let token = alice.openid(&alice).await.ok();
    assert_eq!(
        (&token["token_type"], &token["matrix_server_name"]),
        (&json!("Bearer"), &json!(alice.server()))
    );
    assert!(token["expires_in"].as_u64().is_some_and(|seconds| seconds > 0), "{token}");
    for _ in 0..2 {
        assert_eq!(info(&hearth, &token["access_token"]).await.ok(), json!({"sub": alice.id}));
    }
}

async fn a_token_for_third_parties_is_good_for_nothing_else(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let token = alice.openid(&alice).await.ok();
    let whoami = hearth.get("/account/whoami").token(token["access_token"].as_str().unwrap());
    whoami.await.fails(401, "M_UNKNOWN_TOKEN");
    info(&hearth, &json!(alice.token)).await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn nobody_gets_a_token_for_somebody_else(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    bob.openid(&alice).await.fails(403, "M_FORBIDDEN");
}

async fn a_token_that_is_none_tells_of_nobody(hearth: Hearth) {
    info(&hearth, &json!("made-up")).await.fails(401, "M_UNKNOWN_TOKEN");
    hearth.get("/_matrix/federation/v1/openid/userinfo").unchecked().await.fails(400, "M_MISSING_PARAM");
}

async fn a_token_of_an_account_that_ended_tells_of_nobody(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let token = alice.openid(&alice).await.ok();
    alice.proven("POST", "/account/deactivate", &json!({})).await.ok();
    info(&hearth, &token["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn a_token_for_third_parties_expires(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_SESSION__OPENID_TOKEN_LIFETIME", "1s");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let token = alice.openid(&alice).await.ok();
    assert_eq!(token["expires_in"], 1);
    info(&hearth, &token["access_token"]).await.ok();
    sleep(Duration::from_millis(1_100)).await;
    info(&hearth, &token["access_token"]).await.fails(401, "M_UNKNOWN_TOKEN");
    server.stop().await;
}
