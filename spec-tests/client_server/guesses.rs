//! Wrong passwords: how many are borne, for whom, and who does not suffer from it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::client::Call;
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Test, cluster, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        an_account_cannot_be_guessed_at_from_many_addresses,
        many_accounts_cannot_be_guessed_at_from_one_address,
        guesses_made_at_once_are_counted_like_others,
        right_passwords_cost_nothing,
        replicas_count_together_and_a_restart_forgets_nothing,
        who_is_logged_in_can_prove_it_whatever_strangers_try,
        what_was_typed_as_a_name_is_not_kept,
    ]
}

fn settings(rates: &[(&str, &str)]) -> Settings {
    let settings = Settings::new().set("HEARTH_LIMITS__ENABLED", "true");
    let settings = settings.set("HEARTH_TRUSTED_PROXIES", "127.0.0.0/8");
    let others = [("LOGIN_PER_ADDRESS", "unlimited"), ("LOGIN_PER_ACCOUNT", "unlimited")];
    others
        .iter()
        .chain(rates)
        .fold(settings, |settings, (name, rate)| settings.set(&format!("HEARTH_LIMITS__RATES__{name}"), rate))
}

const PER_ACCOUNT: (&str, &str) = ("FAILED_LOGIN_PER_ACCOUNT", "1/h burst 5");
const PER_ADDRESS: (&str, &str) = ("FAILED_LOGIN_PER_ADDRESS", "1/h burst 5");

fn body(name: &str, password: &str) -> Value {
    let identifier = json!({"type": "m.id.user", "user": name});
    json!({"type": "m.login.password", "identifier": identifier, "password": password})
}

fn try_from(hearth: &Hearth, address: usize, name: &str, password: &str) -> Call {
    let address = format!("198.51.100.{address}");
    hearth.post("/login", &body(name, password)).header("x-forwarded-for", &address)
}

/// Guesses until no guess is let through; how many were.
async fn guess(hearth: &Hearth, name: &str) -> usize {
    for number in 0..20 {
        let reply = try_from(hearth, number, name, "wrong").await;
        if reply.status == 429 {
            return number;
        }
        reply.fails(403, "M_FORBIDDEN");
    }
    panic!("no guess was refused");
}

async fn end(server: Server) {
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn an_account_cannot_be_guessed_at_from_many_addresses(hearth: Hearth) {
    let (server, hearth) = hearth.start(settings(&[PER_ACCOUNT])).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    assert_eq!(guess(&hearth, &alice.id).await, 5);
    // Under any of her names, and by the right password too.
    for name in [&*alice.id, alice.localpart(), &alice.localpart().to_uppercase()] {
        let refused = try_from(&hearth, 99, name, &alice.password).await;
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((3000..=3600).contains(&seconds), "{seconds}");
        refused.fails(429, "M_LIMIT_EXCEEDED");
    }
    alice.get("/account/whoami").await.ok();
    try_from(&hearth, 1, &bob.id, &bob.password).await.ok();
    // Nobody can tell by it who has an account.
    assert_eq!(guess(&hearth, "nobody").await, 5);
    end(server).await;
}

async fn many_accounts_cannot_be_guessed_at_from_one_address(hearth: Hearth) {
    let (server, hearth) = hearth.start(settings(&[PER_ADDRESS])).await;
    let alice = hearth.user("alice").await;
    for number in 0..5 {
        try_from(&hearth, 1, &format!("name-{number}"), "wrong").await.fails(403, "M_FORBIDDEN");
    }
    try_from(&hearth, 1, "name-6", "wrong").await.fails(429, "M_LIMIT_EXCEEDED");
    try_from(&hearth, 1, &alice.id, &alice.password).await.fails(429, "M_LIMIT_EXCEEDED");
    try_from(&hearth, 2, &alice.id, &alice.password).await.ok();
    end(server).await;
}

async fn guesses_made_at_once_are_counted_like_others(hearth: Hearth) {
    let (server, hearth) = hearth.start(settings(&[PER_ACCOUNT])).await;
    let alice = hearth.user("alice").await;
    let tries = (0..60).map(|number| try_from(&hearth, number, &alice.id, "wrong").into_future());
    let mut statuses: Vec<u16> = join_all(tries).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!((&statuses[..5], &statuses[5..]), (&[403; 5][..], &[429; 55][..]));
    end(server).await;
}

async fn right_passwords_cost_nothing(hearth: Hearth) {
    let (server, hearth) = hearth.start(settings(&[PER_ACCOUNT, PER_ADDRESS])).await;
    let alice = hearth.user("alice").await;
    for _ in 0..10 {
        try_from(&hearth, 1, &alice.id, &alice.password).await.ok();
    }
    for _ in 0..4 {
        try_from(&hearth, 1, &alice.id, "wrong").await.fails(403, "M_FORBIDDEN");
    }
    try_from(&hearth, 1, &alice.id, &alice.password).await.ok();
    end(server).await;
}

async fn replicas_count_together_and_a_restart_forgets_nothing(hearth: Hearth) {
    let (first, at_first) = hearth.start(settings(&[PER_ACCOUNT])).await;
    let second = first.start_replica().await.expect("a second replica starts");
    let at_second = hearth.other(second.base());
    let alice = at_first.user("alice").await;
    for number in 0..3 {
        try_from(&at_first, number, &alice.id, "wrong").await.fails(403, "M_FORBIDDEN");
    }
    assert_eq!(guess(&at_second, &alice.id).await, 2);
    for door in [&at_first, &at_second] {
        try_from(door, 50, &alice.id, &alice.password).await.fails(429, "M_LIMIT_EXCEEDED");
    }
    end(second).await;
    let (settings, folder) = first.estate();
    end(first).await;
    let again = Server::start_in(settings, folder).await;
    let here = hearth.other(again.base());
    try_from(&here, 50, &alice.id, &alice.password).await.fails(429, "M_LIMIT_EXCEEDED");
    end(again).await;
}

async fn who_is_logged_in_can_prove_it_whatever_strangers_try(hearth: Hearth) {
    let (server, hearth) = hearth.start(settings(&[PER_ACCOUNT])).await;
    let mut alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    assert_eq!(guess(&hearth, &alice.id).await, 5);
    let change = json!({"new_password": "another", "logout_devices": false});
    alice.proven("POST", "/account/password", &change).await.ok();
    // A stolen token is no way to guess on, either.
    "wrong".clone_into(&mut alice.password);
    let remove = format!("/devices/{}", phone.device);
    for _ in 0..5 {
        assert_eq!(alice.proven("DELETE", &remove, &json!({})).await.status, 401);
    }
    "another".clone_into(&mut alice.password);
    alice.proven("DELETE", &remove, &json!({})).await.fails(429, "M_LIMIT_EXCEEDED");
    end(server).await;
}

async fn what_was_typed_as_a_name_is_not_kept(hearth: Hearth) {
    let (server, hearth) = hearth.start(settings(&[])).await;
    try_from(&hearth, 1, "mypassword", "wrong").await.fails(403, "M_FORBIDDEN");
    let mut inside = cluster::connect(server.settings().database_url()).await;
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT subject FROM failed_login").fetch_all(&mut inside).await.unwrap();
    assert!(kept.len() == 2 && kept.iter().all(|subject| subject.len() == 32), "{kept:?}");
    end(server).await;
}
