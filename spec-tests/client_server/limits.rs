//! Rate limits: 429 with how long to wait, for whom it concerns.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::client::Call;
use crate::harness::hearth::fresh;
use crate::harness::rooms::text;
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Mxc, Reply, Test, User, cluster, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_limit_says_how_long_to_wait,
        addresses_are_limited_apart_and_only_proxies_tell_them,
        every_family_of_requests_has_its_own_limit,
        limits_by_address_have_their_own_limits,
        invites_by_createroom_and_by_state_count_as_invites,
        a_join_that_fails_empties_nobodys_limit,
        an_administrator_may_redact_more_than_others,
        replicas_share_a_limit_between_them,
        a_reload_changes_the_limits,
    ]
}

/// More than any limit lets through at once.
const MANY: usize = 60;

/// So little that what is let through shows.
const TWO: &str = "1/h burst 2";

fn limited(reply: &Reply) -> bool {
    reply.status == 429
}

/// Limits in force behind a proxy that tells addresses, with these rates by the ends of their variables.
fn limits(rates: &[(&str, &str)]) -> Settings {
    let settings = Settings::new().set("HEARTH_LIMITS__ENABLED", "true");
    let settings = settings.set("HEARTH_TRUSTED_PROXIES", "127.0.0.0/8");
    rates.iter().fold(settings, |settings, (name, rate)| {
        settings.set(&format!("HEARTH_LIMITS__RATES__{}", name.to_uppercase()), rate)
    })
}

/// Ends a server that must not have complained.
async fn end(server: Server) {
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn a_limit_says_how_long_to_wait(hearth: Hearth) {
    let (server, hearth) = hearth.start(limits(&[("typing", "6/m burst 1")])).await;
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/typing/{}", alice.id);
    let call = || alice.put(&path, &json!({"typing": false}));
    call().await.ok();
    let refused = call().await;
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    assert_eq!(refused.fails(429, "M_LIMIT_EXCEEDED")["retry_after_ms"], seconds * 1000);
    end(server).await;
}

async fn addresses_are_limited_apart_and_only_proxies_tell_them(hearth: Hearth) {
    let (server, hearth) = hearth.start(limits(&[])).await;
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
    end(server).await;
}

/// Somebody, and what they have to do with.
struct Scene {
    alice: User,
    bob: User,
    room: String,
    event: String,
}

/// A request of a family: one of several, by number.
type Ask = fn(&Scene, usize) -> Call;

/// A request of each family that is counted by user.
const BY_USER: [(&str, Ask); 21] = [
    ("message", |scene, _| scene.alice.send(&scene.room, "m.room.message", &text("hello"))),
    ("room_creation", |scene, _| scene.alice.post("/createRoom", &json!({}))),
    ("invites_per_issuer", |scene, _| scene.alice.invite(&scene.room, &scene.bob)),
    ("joins_per_user", |scene, _| scene.alice.join(&scene.room)),
    ("knocks", |scene, _| scene.alice.knock(&scene.room)),
    ("moderation", |scene, _| scene.alice.kick(&scene.room, &scene.bob)),
    ("aliases", |scene, _| {
        let alias = enc(&format!("#{}:{}", fresh("alias"), scene.alice.server()));
        scene.alice.put(&format!("/directory/room/{alias}"), &json!({"room_id": scene.room}))
    }),
    ("directory", |scene, _| scene.alice.get("/publicRooms")),
    ("history", |scene, _| scene.alice.messages(&scene.room, "dir=b")),
    ("first_sync", |scene, _| scene.alice.get("/sync")),
    ("profile", |scene, number| {
        let path = format!("/profile/{}/displayname", scene.alice.id);
        scene.alice.put(&path, &json!({"displayname": number.to_string()}))
    }),
    ("receipts", |scene, _| {
        scene.alice.post(&format!("/rooms/{}/receipt/m.read/{}", scene.room, enc(&scene.event)), &json!({}))
    }),
    ("typing", |scene, _| {
        let path = format!("/rooms/{}/typing/{}", scene.room, scene.alice.id);
        scene.alice.put(&path, &json!({"typing": false}))
    }),
    ("presence", |scene, _| {
        let path = format!("/presence/{}/status", scene.alice.id);
        scene.alice.put(&path, &json!({"presence": "online"}))
    }),
    ("account_data", |scene, number| {
        let path = format!("/user/{}/account_data/org.example.data", scene.alice.id);
        scene.alice.put(&path, &json!({"number": number}))
    }),
    ("filters", |scene, _| scene.alice.post(&format!("/user/{}/filter", scene.alice.id), &json!({}))),
    ("uploads", |scene, _| scene.alice.upload("text/plain", "meow")),
    ("media_reservations", |scene, _| scene.alice.call("POST", "/_matrix/media/v1/create")),
    ("downloads", |scene, _| {
        let mxc = Mxc { server: scene.alice.server().to_owned(), id: "none".to_owned() };
        scene.alice.download(&mxc)
    }),
    ("previews", |scene, _| {
        let page = enc("http://127.0.0.1/");
        scene.alice.get(&format!("/_matrix/client/v1/media/preview_url?url={page}"))
    }),
    ("other", |scene, _| scene.bob.get("/account/whoami")),
];

/// What is asked for succeeds or fails as it may: what counts is which of it is limited.
async fn let_through(ask: impl Fn(usize) -> Call) -> Vec<usize> {
    let mut through = Vec::new();
    for number in 0..4 {
        if !limited(&ask(number).unchecked().await) {
            through.push(number);
        }
    }
    through
}

async fn every_family_of_requests_has_its_own_limit(hearth: Hearth) {
    let mut rates: Vec<(&str, &str)> = BY_USER.iter().map(|(family, _)| (*family, TWO)).collect();
    rates.extend([("invites_per_room", "unlimited"), ("invites_per_user", "unlimited")]);
    // Another user sets the scene, whose own limits that uses up.
    let (server, hearth) = hearth.start(limits(&rates)).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = bob.create_room(json!({"preset": "public_chat"})).await;
    let event = bob.say(&room, "hello").await;
    let scene = Scene { alice, bob, room, event };
    scene.alice.join(&scene.room).await.ok();
    for (family, ask) in BY_USER {
        let through = let_through(|number| ask(&scene, number)).await;
        let left = if family == "joins_per_user" { vec![0] } else { vec![0, 1] };
        assert_eq!(through, left, "{family}");
    }
    end(server).await;
}

async fn limits_by_address_have_their_own_limits(hearth: Hearth) {
    let families = ["registration", "registration_lookup", "login_per_address", "login_per_account"];
    let rates: Vec<(&str, &str)> = families.iter().map(|family| (*family, "1/h burst 4")).collect();
    let (server, hearth) = hearth.start(limits(&rates)).await;
    let from = |call: Call, address: &str| call.header("x-forwarded-for", address);
    let register = async |address: &str| {
        let body = json!({"username": fresh("new"), "password": "x", "auth": {"type": "m.login.dummy"}});
        from(hearth.post("/register", &body), address).await
    };
    let alice = register("192.0.2.1").await.ok();
    let body = json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice["user_id"]}, "password": "x",
    });
    let log_in = async |address: &str| from(hearth.post("/login", &body), address).await;
    let ask = async |address: &str| from(hearth.get("/register/available?username=free"), address).await;
    let count = |replies: Vec<Reply>| replies.iter().filter(|reply| !limited(reply)).count();
    let five = |address: &'static str| [address; 5];
    assert_eq!(count(join_all(five("192.0.2.2").map(register)).await), 4);
    assert_eq!(count(join_all(five("192.0.2.2").map(ask)).await), 4);
    assert_eq!(count(join_all(five("192.0.2.2").map(log_in)).await), 4);
    let check = async |address: &str| {
        let path = "/_matrix/client/v1/register/m.login.registration_token/validity?token=x";
        from(hearth.get(path), address).await
    };
    assert_eq!(count(join_all(five("192.0.2.4").map(check)).await), 4);
    // To one account from wherever.
    assert!(limited(&log_in("192.0.2.3").await));
    // The addresses of one IPv6 network are one.
    assert_eq!(
        count(
            join_all(["2001:db8::1", "2001:db8::2", "2001:db8::3:1", "2001:db8::4", "2001:db8::5"].map(ask))
                .await
        ),
        4
    );
    assert!(!limited(&ask("2001:db8:0:1::1").await));
    end(server).await;
}

async fn invites_by_createroom_and_by_state_count_as_invites(hearth: Hearth) {
    let rates = [("invites_per_issuer", "1/h burst 4"), ("invites_per_user", "1/h burst 3")];
    let (server, hearth) = hearth.start(limits(&rates)).await;
    let (alice, bob, carol) =
        (hearth.user("alice").await, hearth.user("bob").await, hearth.user("carol").await);
    let room = alice.create_room(json!({"invite": [bob.id, carol.id]})).await;
    alice.post("/createRoom", &json!({"invite": [bob.id]})).await.ok();
    let invite = json!({"membership": "invite"});
    let dora = hearth.user("dora").await;
    alice.set(&room, "m.room.member", &dora.id, &invite).await.ok();
    alice.set(&room, "m.room.member", &dora.id, &invite).await.fails(429, "M_LIMIT_EXCEEDED");
    alice.post("/createRoom", &json!({"invite": [dora.id]})).await.fails(429, "M_LIMIT_EXCEEDED");
    alice.post("/createRoom", &json!({})).await.ok();
    // Whoever is invited by others has a limit too.
    carol.post("/createRoom", &json!({"invite": [bob.id]})).await.ok();
    carol.post("/createRoom", &json!({"invite": [bob.id]})).await.fails(429, "M_LIMIT_EXCEEDED");
    end(server).await;
}

async fn a_join_that_fails_empties_nobodys_limit(hearth: Hearth) {
    let (server, hearth) = hearth.start(limits(&[("joins_per_room", TWO), ("invites_per_room", TWO)])).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "private_chat"})).await;
    for _ in 0..5 {
        bob.join(&room).await.fails(403, "M_FORBIDDEN");
        bob.invite(&room, &alice).await.fails(403, "M_FORBIDDEN");
    }
    alice.invite(&room, &bob).await.ok();
    bob.join(&room).await.ok();
    let (carol, dora) = (hearth.user("carol").await, hearth.user("dora").await);
    alice.invite(&room, &carol).await.ok();
    carol.join(&room).await.ok();
    alice.invite(&room, &dora).await.fails(429, "M_LIMIT_EXCEEDED");
    dora.join(&room).await.fails(429, "M_LIMIT_EXCEEDED");
    end(server).await;
}

async fn an_administrator_may_redact_more_than_others(hearth: Hearth) {
    let settings = limits(&[("message", "1/h burst 3"), ("admin_redaction", "1/h burst 6")]);
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let mut inside = cluster::connect(server.settings().database_url()).await;
    let made = sqlx::query("UPDATE account SET admin = true").execute(&mut inside).await.unwrap();
    assert_eq!(made.rows_affected(), 1);
    // Whoever she is is read anew after a login.
    let alice = hearth.login(&alice).await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "hello").await;
    let mut replies = Vec::new();
    for _ in 0..8 {
        replies.push(limited(&alice.redact(&room, &event).await));
    }
    assert_eq!(replies, [false, false, false, false, false, false, true, true]);
    end(server).await;
}

async fn replicas_share_a_limit_between_them(hearth: Hearth) {
    let (first, at_first) = hearth.start(limits(&[("typing", "2/h burst 10")])).await;
    let second = first.start_replica().await.expect("a second replica starts");
    let at_second = hearth.other(second.base());
    let alice = at_first.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let path = format!("/rooms/{room}/typing/{}", alice.id);
    for door in [&at_first, &at_second] {
        let user = alice.at(door);
        let calls = (0..10).map(|_| user.put(&path, &json!({"typing": false})).into_future());
        let through = join_all(calls).await.iter().filter(|reply| !limited(reply)).count();
        assert_eq!(through, 5, "half of ten each");
    }
    end(second).await;
    end(first).await;
}

async fn a_reload_changes_the_limits(hearth: Hearth) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hearth.yaml");
    std::fs::write(&file, "limits: {enabled: true}\n").unwrap();
    let (server, hearth) = hearth.start(limits(&[]).set("HEARTH_CONFIG", file.to_str().unwrap())).await;
    let alice = hearth.user("alice").await;
    assert_eq!(let_through(|_| alice.get("/capabilities")).await.len(), 4);
    std::fs::write(&file, "limits: {rates: {other: 1/h burst 1}}\n").unwrap();
    server.signal("HUP").await;
    let mut tries = 0;
    while !limited(&alice.get("/capabilities").await) {
        tries += 1;
        assert!(tries < 500, "the change is not in force");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    end(server).await;
}
