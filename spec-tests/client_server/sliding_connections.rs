//! Sliding sync (MSC4186), both forms: connections, their positions, and waiting.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::rooms::ids;
use crate::harness::server::Settings;
use crate::harness::sliding::{FORMS, Form, Window};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        the_same_position_gives_the_same_again,
        a_position_of_before_the_last_is_unknown,
        positions_belong_to_one_connection_of_one_device,
        a_connection_that_was_long_not_used_is_forgotten,
        a_device_has_so_many_connections_at_the_most,
        two_connections_of_a_device_know_different_things,
        one_who_waits_is_woken,
        where_nothing_happens_the_wait_ends_with_a_position,
        a_first_request_is_answered_at_once,
        logging_out_ends_the_wait,
        syncing_is_being_there,
        what_asks_for_too_much_is_refused,
        the_versions_name_it,
    ]
}

const STABLE: &str = "/_matrix/client/v4/sync";

async fn the_same_position_gives_the_same_again(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 5, &[("m.room.member", "$LAZY")]);
        window.next().await;
        let event = alice.say(&room, "hello").await;
        let pos = window.pos.clone();
        let lost = window.next().await;
        assert_eq!(lost["rooms"][&room]["timeline"][0]["event_id"], json!(event.clone()));
        window.pos = pos;
        let again = window.next().await;
        assert_eq!(ids(list(&again["rooms"][&room]["timeline"])), [event], "the reply was lost");
        assert!(window.next().await["rooms"].get(&room).is_none());
    }
}

async fn a_position_of_before_the_last_is_unknown(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.create_room(json!({})).await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        window.next().await;
        let old = window.pos.clone();
        for _ in 0..2 {
            alice.create_room(json!({})).await;
            window.next().await;
        }
        let known = std::mem::replace(&mut window.pos, old);
        window.call(0).await.fails(400, "M_UNKNOWN_POS");
        window.pos = known;
        window.call(0).await.ok();
        for wrong in ["x", "s1", "s1~0000000000000000", "s99999999999~0000000000000000", ""] {
            window.pos = Some(wrong.to_owned());
            window.call(0).await.fails(400, "M_UNKNOWN_POS");
        }
    }
}

async fn positions_belong_to_one_connection_of_one_device(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.create_room(json!({})).await;
    let (other, bob) = (hearth.login(&alice).await, hearth.user("bob").await);
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        window.next().await;
        for user in [&other, &bob] {
            let mut foreign = Window::on_all(user, form, 1, &[]);
            foreign.pos.clone_from(&window.pos);
            foreign.call(0).await.fails(400, "M_UNKNOWN_POS");
        }
        window.body["conn_id"] = "another".into();
        window.call(0).await.fails(400, "M_UNKNOWN_POS");
    }
}

async fn a_connection_that_was_long_not_used_is_forgotten(hearth: Hearth) {
    let short = Settings::new().set("HEARTH_SYNC__CONNECTION_LIFETIME", "2s");
    let (_server, hearth) = hearth.start(short).await;
    let alice = hearth.user("alice").await;
    let mut window = Window::on_all(&alice, Form::Stable, 1, &[]);
    window.next().await;
    window.next().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    window.call(0).await.fails(400, "M_UNKNOWN_POS");
}

async fn a_device_has_so_many_connections_at_the_most(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.create_room(json!({})).await;
    let mut windows = Vec::new();
    for number in 0..18 {
        let mut window = Window::on_all(&alice, Form::Stable, 1, &[]);
        window.body["conn_id"] = format!("connection {number}").into();
        window.next().await;
        windows.push(window);
    }
    windows[17].call(0).await.ok();
    windows[10].call(0).await.ok();
}

async fn two_connections_of_a_device_know_different_things(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for form in FORMS {
        let mut rooms = Window::on_all(&alice, form, 1, &[]);
        rooms.body["conn_id"] = "room-list".into();
        let mut encryption = Window::new(&alice, form, json!({"conn_id": "encryption"}));
        assert!(rooms.next().await["rooms"].get(&room).is_some());
        let nothing = encryption.next().await;
        assert!(nothing["rooms"].get(&room).is_none() && nothing["pos"].is_string(), "{nothing}");
        alice.say(&room, "hello").await;
        assert!(encryption.next().await["rooms"].get(&room).is_none());
        assert!(rooms.next().await["rooms"].get(&room).is_some());
    }
}

async fn one_who_waits_is_woken(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    for form in FORMS {
        let mut window = Window::on_all(&bob, form, 1, &[]);
        window.next().await;
        let begun = Instant::now();
        let waits = tokio::spawn(async move { window.wait(20_000).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let event = alice.say(&room, "wake up").await;
        let reply = waits.await.unwrap();
        assert_eq!(reply["rooms"][&room]["timeline"][0]["event_id"], json!(event));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

async fn where_nothing_happens_the_wait_ends_with_a_position(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    alice.create_room(json!({})).await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        window.next().await;
        let begun = Instant::now();
        let reply = window.wait(700).await;
        assert!(begun.elapsed() >= Duration::from_millis(700));
        let keys: Vec<&String> = reply.as_object().unwrap().keys().collect();
        match form {
            Form::Stable => assert_eq!(keys, ["pos"]),
            Form::Unstable => assert_eq!(reply["lists"]["all"]["count"], 1),
        }
    }
}

async fn a_first_request_is_answered_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for form in FORMS {
        let begun = Instant::now();
        Window::on_all(&alice, form, 1, &[]).wait(20_000).await;
        Window::new(&alice, form, json!({})).wait(20_000).await;
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

async fn logging_out_ends_the_wait(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let other = hearth.login(&alice).await;
    let mut window = Window::on_all(&other, Form::Stable, 1, &[]);
    window.next().await;
    let begun = Instant::now();
    let waits = tokio::spawn(async move { window.call(20_000).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.post("/logout", &json!({})).await.ok();
    waits.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
}

async fn syncing_is_being_there(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.room_with(&[&bob]).await;
    let since = alice.sync().await.next_batch().to_owned();
    let mut window = Window::on_all(&bob, Form::Stable, 1, &[]);
    window.body["set_presence"] = "unavailable".into();
    window.next().await;
    let is_there = |body: &Value| {
        let events = list(&body["presence"]["events"]);
        events
            .iter()
            .any(|event| event["sender"] == json!(bob.id) && event["content"]["presence"] == "unavailable")
    };
    alice.sync_until(&since, |sync| is_there(&sync.body)).await;
}

async fn what_asks_for_too_much_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let post = |body: Value| alice.call("POST", STABLE).json(&body);
    let many = |count: usize, name: &dyn Fn(usize) -> String| -> Value {
        (0..count).map(|n| (name(n), json!({"timeline_limit": 1}))).collect::<serde_json::Map<_, _>>().into()
    };
    let (list, room) = (|n: usize| format!("list {n}"), |n: usize| format!("!room{n}:example.org"));
    post(json!({"lists": many(100, &list), "room_subscriptions": many(100, &room)})).await.ok();
    post(json!({"lists": many(101, &list)})).await.fails(400, "M_INVALID_PARAM");
    post(json!({"lists": many(5_000, &list)})).await.fails(400, "M_INVALID_PARAM");
    post(json!({"room_subscriptions": many(101, &room)})).await.fails(400, "M_INVALID_PARAM");
    post(json!({"set_presence": "asleep"})).await.fails(400, "M_INVALID_PARAM");
    post(json!({"conn_id": "x".repeat(300)})).await.fails(400, "M_INVALID_PARAM");
    let list = |list: Value| json!({"lists": {"x": list}});
    post(list(json!({"timeline_limit": 1, "range": [9, 1]}))).await.fails(400, "M_INVALID_PARAM");
    post(list(json!({"timeline_limit": 1, "range": [0]}))).await.fails(400, "M_BAD_JSON");
    post(list(json!({"timeline_limit": -1}))).await.fails(400, "M_BAD_JSON");
    post(list(json!({"timeline_limit": 1, "filters": {"is_dm": "perhaps"}}))).await.fails(400, "M_BAD_JSON");
    post(json!({"timeout": "soon"})).await.fails(400, "M_BAD_JSON");
    alice.call("POST", STABLE).bytes("{").await.fails(400, "M_NOT_JSON");
    alice.call("POST", STABLE).bytes(vec![b' '; 600_000]).await.fails(413, "M_TOO_LARGE");
    let unstable = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=soon";
    let reply = alice.call("POST", unstable).json(&json!({})).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    hearth.call("POST", STABLE).json(&json!({})).await.fails(401, "M_MISSING_TOKEN");
}

async fn the_versions_name_it(hearth: Hearth) {
    let versions = hearth.get("/_matrix/client/versions").await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.simplified_msc3575"], true);
}
