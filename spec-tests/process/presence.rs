//! Presence over time, and when the process that saw somebody is gone.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::harness::server::Settings;
use crate::harness::{Hearth, Test, User, enc, tests};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        somebody_who_does_nothing_goes_idle_and_comes_back,
        somebody_who_is_gone_goes_offline,
        when_the_process_that_saw_somebody_dies_they_go_offline,
        a_status_message_outlives_the_process,
        without_presence_everybody_is_offline,
    ]
}

/// Durations in the tens of what they are by default.
fn short() -> Settings {
    Settings::new()
        .set("HEARTH_PRESENCE__ACTIVE_FOR", "1s")
        .set("HEARTH_PRESENCE__IDLE_AFTER", "3s")
        .set("HEARTH_PRESENCE__OFFLINE_AFTER", "2s")
}

/// How long it takes until somebody is shown in some way.
async fn until(viewer: &User, of: &User, wanted: (&str, Option<bool>)) -> Duration {
    let start = Instant::now();
    loop {
        let told = viewer.get(&format!("/presence/{}/status", enc(&of.id))).await.ok();
        if told["presence"] == wanted.0 && told["currently_active"].as_bool() == wanted.1 {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "{} did not become {wanted:?}: {told}", of.id);
        sleep(Duration::from_millis(50)).await;
    }
}

async fn somebody_who_does_nothing_goes_idle_and_comes_back(hearth: Hearth) {
    let (server, at) = hearth.start(short()).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let first = alice.sync_with("timeout=0").await;
    let polling = async {
        let mut since = first.next_batch().to_owned();
        loop {
            let sync = alice.sync_with(&format!("since={since}&timeout=500")).await;
            sync.next_batch().clone_into(&mut since);
        }
    };
    let watching = async {
        let online = until(&bob, &alice, ("online", Some(true))).await;
        let resting = until(&bob, &alice, ("online", Some(false))).await;
        let idle = until(&bob, &alice, ("unavailable", None)).await;
        assert!(online + resting + idle > Duration::from_millis(2500), "she went idle too soon");
        alice.say(&room, "here again").await;
        until(&bob, &alice, ("online", Some(true))).await;
    };
    tokio::select! {
        () = polling => {}
        () = watching => {}
    }
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn somebody_who_is_gone_goes_offline(hearth: Hearth) {
    let (server, at) = hearth.start(short()).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    alice.room_with(&[&bob]).await;
    alice.sync().await;
    let his = bob.sync_with("set_presence=offline").await;
    let gone = Instant::now();
    let (waited, told) = tokio::join!(
        until(&bob, &alice, ("offline", None)),
        bob.sync_until(his.next_batch(), |sync| sync.body["presence"]["events"]
            .as_array()
            .is_some_and(|events| events.iter().any(|event| event["content"]["presence"] == "offline")))
    );
    assert!(waited > Duration::from_secs(1), "she went offline too soon");
    assert!(gone.elapsed() < Duration::from_secs(20), "it took {:?} to tell", gone.elapsed());
    assert_eq!(told.body["presence"]["events"][0]["sender"], alice.id);
    server.stop().await;
}

async fn when_the_process_that_saw_somebody_dies_they_go_offline(hearth: Hearth) {
    let (first, at_first) = hearth.start(short()).await;
    let second = first.start_replica().await.expect("a second replica starts");
    let at_second = hearth.other(second.base());
    let (alice, bob) = (at_first.user("alice").await, at_first.user("bob").await.at(&at_second));
    alice.room_with(&[&bob]).await;
    let phone = at_first.login(&alice).await.at(&at_second);
    phone.sync_with("set_presence=unavailable").await;
    alice.sync().await;
    until(&bob, &alice, ("online", Some(true))).await;
    let polling = async {
        let mut since = phone.sync_with("set_presence=unavailable").await.next_batch().to_owned();
        loop {
            let query = format!("since={since}&timeout=500&set_presence=unavailable");
            phone.sync_with(&query).await.next_batch().clone_into(&mut since);
        }
    };
    first.kill().await;
    // What the other process sees of her is left.
    tokio::select! {
        () = polling => {}
        _ = until(&bob, &alice, ("unavailable", None)) => {}
    }
    until(&bob, &alice, ("offline", None)).await;
    assert_eq!(second.errors(), Vec::<String>::new());
    second.stop().await;
}

async fn a_status_message_outlives_the_process(hearth: Hearth) {
    let (server, at) = hearth.start(short()).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    alice.room_with(&[&bob]).await;
    let path = format!("/presence/{}/status", enc(&alice.id));
    alice.put(&path, &json!({"presence": "online", "status_msg": "on a boat"})).await.ok();
    let (settings, folder) = server.kill().await;
    let server = crate::harness::server::Server::start_in(settings, folder).await;
    let again = hearth.other(server.base());
    let told = bob.at(&again).get(&path).await.ok();
    assert_eq!(told["status_msg"], "on a boat");
    until(&bob.at(&again), &alice, ("offline", None)).await;
    alice.at(&again).sync().await;
    let told = bob.at(&again).get(&path).await.ok();
    assert_eq!((&told["presence"], &told["status_msg"]), (&json!("online"), &json!("on a boat")));
    server.stop().await;
}

async fn without_presence_everybody_is_offline(hearth: Hearth) {
    let (server, at) = hearth.start(short().set("HEARTH_PRESENCE__ENABLED", "false")).await;
    let (alice, bob) = (at.user("alice").await, at.user("bob").await);
    alice.room_with(&[&bob]).await;
    let path = format!("/presence/{}/status", enc(&alice.id));
    alice.put(&path, &json!({"presence": "online", "status_msg": "hello"})).await.ok();
    assert!(alice.sync().await.body.get("presence").is_none());
    assert_eq!(bob.get(&path).await.ok(), json!({"presence": "offline"}));
    server.stop().await;
}
