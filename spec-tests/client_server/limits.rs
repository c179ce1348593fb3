//! Rate limits: 429 with how long to wait, for whom it concerns.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::hearth::fresh;
use crate::harness::server::Settings;
use crate::harness::{Hearth, Reply, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        logins_to_one_account_are_limited,
        addresses_are_limited_apart_and_only_proxies_tell_them,
    ]
}

/// More than any limit lets through at once.
const MANY: usize = 60;

fn limited(reply: &Reply) -> bool {
    reply.status == 429
}

async fn logins_to_one_account_are_limited(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_LIMITS__ENABLED", "true");
    let (server, hearth) = hearth.start(settings.set("HEARTH_TRUSTED_PROXIES", "127.0.0.0/8")).await;
    let name = fresh("a");
    let mut refused = None;
    for i in 0..MANY {
        // From another address every time: the account is what counts.
        let body = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": "x"});
        let call = hearth.post("/login", &body).header("x-forwarded-for", &format!("198.51.100.{i}"));
        let reply = call.await;
        if limited(&reply) {
            refused = Some(reply);
            break;
        }
        reply.fails(403, "M_FORBIDDEN");
    }
    let refused = refused.expect("a login that is refused");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    assert_eq!(refused.fails(429, "M_LIMIT_EXCEEDED")["retry_after_ms"], seconds * 1000);
    server.stop().await;
}

async fn addresses_are_limited_apart_and_only_proxies_tell_them(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_LIMITS__ENABLED", "true");
    let (server, hearth) = hearth.start(settings.set("HEARTH_TRUSTED_PROXIES", "127.0.0.0/8")).await;
    let ask = |forwarded: &str| {
        hearth.get("/register/available?username=free").header("x-forwarded-for", forwarded)
    };
    // At once, so that no time passes in which the limit lets more through. What the client itself wrote, on the
    // left, changes nothing.
    let forwarded: Vec<String> = (0..MANY).map(|i| format!("203.0.113.{i}, 198.51.100.1")).collect();
    let replies = join_all(forwarded.iter().map(|forwarded| ask(forwarded).into_future())).await;
    assert!(replies.iter().any(limited), "no limit");
    // Another address is another client.
    assert!(!limited(&ask("198.51.100.1, 198.51.100.2").await));
    server.stop().await;
}
