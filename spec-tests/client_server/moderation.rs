//! Accounts that an administrator locks or suspends, and what administrators ask about users.

use serde_json::{Value, json};

use crate::harness::client::enc;
use crate::harness::command;
use crate::harness::rooms::text;
use crate::harness::server::{Server, Settings};
use crate::harness::{Call, Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![who_is_no_administrator_restricts_nobody, a_user_sees_where_they_were_last_seen];
    tests.extend(tests![own_server:
        a_locked_user_can_only_log_out,
        a_locked_user_goes_on_where_they_were_once_unlocked,
        a_suspended_user_reads_and_leaves_and_takes_no_part,
        administrators_and_strangers_are_not_restricted,
        an_administrator_sees_where_a_user_was_last_seen,
        administrators_are_told_that_they_can_restrict,
        an_administrator_removes_any_alias,
    ]);
    tests
}

fn path(what: &str, user: &str) -> String {
    format!("/_matrix/client/v1/admin/{what}/{}", enc(user))
}

impl User {
    fn lock(&self, other: &Self, locked: bool) -> Call {
        self.put(&path("lock", &other.id), &json!({"locked": locked}))
    }

    fn suspend(&self, other: &Self, suspended: bool) -> Call {
        self.put(&path("suspend", &other.id), &json!({"suspended": suspended}))
    }
}

/// A server of its own, and its administrator.
async fn administrated(hearth: &Hearth) -> (Server, Hearth, User) {
    let (server, here) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let create = ["user", "create", "root", "--admin", "--password-stdin"];
    command::ok(&settings, folder.path(), &create, "a password\n").await;
    let identifier = json!({"type": "m.id.user", "user": "root"});
    let body = json!({"type": "m.login.password", "identifier": identifier, "password": "a password"});
    let reply = here.post("/login", &body).await.ok();
    let admin = User::new(here.client(), &reply, "a password");
    (server, here, admin)
}

async fn who_is_no_administrator_restricts_nobody(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.lock(&bob, true).await.fails(403, "M_FORBIDDEN");
    alice.suspend(&bob, true).await.fails(403, "M_FORBIDDEN");
    // They do not even learn who has an account.
    for user in [&bob.id, "@nobody:hearth.test", "@bob:elsewhere.test"] {
        alice.get(&path("lock", user)).await.fails(403, "M_FORBIDDEN");
        alice.get(&path("suspend", user)).await.fails(403, "M_FORBIDDEN");
        alice.get(&format!("/admin/whois/{}", enc(user))).await.fails(403, "M_FORBIDDEN");
    }
    bob.get("/account/whoami").await.ok();
    let capabilities = alice.get("/capabilities").await.ok();
    let moderation = &capabilities["capabilities"]["m.account_moderation"];
    assert_eq!(*moderation, json!({"lock": false, "suspend": false}));
}

async fn a_user_sees_where_they_were_last_seen(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let seen = alice.get(&format!("/admin/whois/{}", enc(&alice.id))).await.ok();
    assert_eq!(seen["user_id"], alice.id);
    let connection = &seen["devices"][&alice.device]["sessions"][0]["connections"][0];
    assert!(connection["last_seen"].as_u64().is_some() && connection["ip"].is_string(), "{seen}");
}

async fn a_locked_user_can_only_log_out(hearth: Hearth) {
    let (server, here, admin) = administrated(&hearth).await;
    let alice = here.user("alice").await;
    let phone = here.login(&alice).await;
    let room = alice.create_room(json!({})).await;
    assert_eq!(admin.lock(&alice, true).await.ok(), json!({"locked": true}));
    assert_eq!(admin.get(&path("lock", &alice.id)).await.ok(), json!({"locked": true}));
    let locked = alice.get("/account/whoami").await.fails(401, "M_USER_LOCKED");
    assert_eq!(locked["soft_logout"], true);
    for call in [
        alice.get("/sync?timeout=0"),
        alice.get("/devices"),
        alice.send(&room, "m.room.message", &text("hello")),
    ] {
        call.unchecked().await.fails(401, "M_USER_LOCKED");
    }
    here.post("/login", &alice.proof()).await.fails(401, "M_USER_LOCKED");
    phone.post("/logout", &json!({})).await.ok();
    alice.post("/logout/all", &json!({})).await.ok();
    alice.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    server.stop().await;
}

async fn a_locked_user_goes_on_where_they_were_once_unlocked(hearth: Hearth) {
    let (server, here, admin) = administrated(&hearth).await;
    let alice = here.user("alice").await;
    let mut login = alice.proof();
    login["refresh_token"] = json!(true);
    let pair = here.post("/login", &login).await.ok();
    admin.lock(&alice, true).await.ok();
    let refresh = json!({"refresh_token": pair["refresh_token"]});
    here.post("/refresh", &refresh).await.fails(401, "M_USER_LOCKED");
    admin.lock(&alice, false).await.ok();
    assert_eq!(admin.get(&path("lock", &alice.id)).await.ok(), json!({"locked": false}));
    alice.get("/account/whoami").await.ok();
    here.post("/refresh", &refresh).await.ok();
    server.stop().await;
}

async fn a_suspended_user_reads_and_leaves_and_takes_no_part(hearth: Hearth) {
    let (server, here, admin) = administrated(&hearth).await;
    let (alice, bob) = (here.user("alice").await, here.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let (own, other) = (alice.say(&room, "mine").await, bob.say(&room, "not mine").await);
    let invited = bob.create_room(json!({"invite": [alice.id]})).await;
    let open = bob.create_room(json!({"preset": "public_chat"})).await;
    assert_eq!(admin.suspend(&alice, true).await.ok(), json!({"suspended": true}));
    assert_eq!(admin.get(&path("suspend", &alice.id)).await.ok(), json!({"suspended": true}));

    let carol = here.user("carol").await;
    for call in [
        alice.send(&room, "m.room.message", &text("hello")),
        alice.set(&room, "m.room.topic", "", &json!({"topic": "mine"})),
        alice.redact(&room, &other),
        alice.post("/createRoom", &json!({})),
        alice.join(&open),
        alice.join(&invited),
        alice.post(&format!("/rooms/{open}/join"), &json!({})),
        alice.post(&format!("/knock/{open}"), &json!({})),
        alice.invite(&room, &carol),
        alice.kick(&room, &bob),
        alice.ban(&room, &bob),
        alice.put(&format!("/profile/{}/displayname", enc(&alice.id)), &json!({"displayname": "Al"})),
        alice.put(&format!("/rooms/{room}/typing/{}", enc(&alice.id)), &json!({"typing": true})),
    ] {
        call.unchecked().await.fails(403, "M_USER_SUSPENDED");
    }

    alice.get("/sync?timeout=0").await.ok();
    alice.messages(&room, "dir=b").await.ok();
    here.login(&alice).await.get("/account/whoami").await.ok();
    alice.redact(&room, &own).await.ok();
    for left in [&invited, &room] {
        alice.post(&format!("/rooms/{left}/leave"), &json!({})).await.ok();
    }
    admin.suspend(&alice, false).await.ok();
    alice.join(&open).await.ok();
    admin.suspend(&carol, true).await.ok();
    here.login(&carol).await.post("/logout", &json!({})).await.ok();
    carol.proven("POST", "/account/deactivate", &json!({})).await.ok();
    server.stop().await;
}

async fn administrators_and_strangers_are_not_restricted(hearth: Hearth) {
    let (server, here, admin) = administrated(&hearth).await;
    admin.lock(&admin, true).await.fails(403, "M_FORBIDDEN");
    admin.suspend(&admin, true).await.fails(403, "M_FORBIDDEN");
    let (settings, folder) = server.estate();
    let create = ["user", "create", "second", "--admin", "--password-stdin"];
    command::ok(&settings, folder.path(), &create, "a password\n").await;
    for (what, body) in [("lock", json!({"locked": true})), ("suspend", json!({"suspended": true}))] {
        admin.put(&path(what, "@second:hearth.test"), &body).await.fails(403, "M_FORBIDDEN");
    }
    let ended = here.user("alice").await;
    ended.proven("POST", "/account/deactivate", &json!({})).await.ok();
    for user in ["@nobody:hearth.test", &ended.id] {
        for what in ["lock", "suspend"] {
            admin.get(&path(what, user)).await.fails(404, "M_NOT_FOUND");
            let body = json!({"locked": true, "suspended": true});
            admin.put(&path(what, user), &body).await.fails(404, "M_NOT_FOUND");
        }
    }
    admin.get(&path("lock", "@bob:elsewhere.test")).await.fails(400, "M_INVALID_PARAM");
    let bob = here.user("bob").await;
    admin.put(&path("lock", &bob.id), &json!({})).await.fails(400, "M_BAD_JSON");
    admin.put(&path("suspend", &bob.id), &json!({"suspended": "yes"})).await.fails(400, "M_BAD_JSON");
    bob.create_room(json!({})).await;
    server.stop().await;
}

async fn an_administrator_sees_where_a_user_was_last_seen(hearth: Hearth) {
    let (server, here, admin) = administrated(&hearth).await;
    let alice = here.user("alice").await;
    alice.get("/account/whoami").header("user-agent", "Pigeon/1.0").await.ok();
    let seen = admin.get(&format!("/admin/whois/{}", enc(&alice.id))).await.ok();
    let connection = &seen["devices"][&alice.device]["sessions"][0]["connections"][0];
    assert_eq!((&connection["user_agent"], &connection["ip"]), (&json!("Pigeon/1.0"), &json!("127.0.0.1")));
    admin.get(&format!("/admin/whois/{}", enc("@nobody:hearth.test"))).await.fails(404, "M_NOT_FOUND");
    server.stop().await;
}

async fn administrators_are_told_that_they_can_restrict(hearth: Hearth) {
    let (server, _, admin) = administrated(&hearth).await;
    let capabilities: Value = admin.get("/capabilities").await.ok();
    let moderation = &capabilities["capabilities"]["m.account_moderation"];
    assert_eq!(*moderation, json!({"lock": true, "suspend": true}));
    server.stop().await;
}

async fn an_administrator_removes_any_alias(hearth: Hearth) {
    let (server, here, admin) = administrated(&hearth).await;
    let alice = here.user("alice").await;
    alice.create_room(json!({"room_alias_name": "rude"})).await;
    let alias = format!("/directory/room/{}", enc("#rude:hearth.test"));
    here.user("bob").await.delete(&alias).await.fails(403, "M_FORBIDDEN");
    admin.delete(&alias).await.ok();
    here.get(&alias).await.fails(404, "M_NOT_FOUND");
    server.stop().await;
}
